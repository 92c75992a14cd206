//! What every provider must keep to, run against each of them and against all together.

#![expect(clippy::unwrap_used, reason = "test code")]

use std::path::Path;
use std::time::Duration;

use chrono::DateTime;
use telemetry_provider::{
    CompositeProvider, ProcessProvider, ProviderSettings, Sampler, Stamp, SystemMetricsProvider, portable,
};
use telemetry_schema::{HostId, HostMetricsSample, Row, missing_required, validate};

/// Far longer than any reading takes.
const DEADLINE: Duration = Duration::from_secs(60);

type Make = fn(&Path) -> Box<dyn SystemMetricsProvider>;

const PORTABLE: [Make; 4] = [
    |_| Box::new(portable::ProcessorProvider::new()),
    |_| Box::new(portable::NetworkProvider::new(None)),
    |root| Box::new(portable::DiskProvider::new(root)),
    |root| Box::new(ProcessProvider::new(root)),
];

/// An instant that a clock can say.
fn instant() -> DateTime<chrono::Utc> {
    DateTime::from_timestamp(1_800_000_000, 0).unwrap()
}

#[cfg(target_os = "linux")]
fn all() -> Vec<Make> {
    use telemetry_provider::linux::{self, Tree};
    use telemetry_provider::{RaspberryPiProvider, RaspberryPiSection};

    let mut all: Vec<Make> = PORTABLE.to_vec();
    all.push(|root| Box::new(linux::ProcessorProvider::new(Tree::new(root))));
    all.push(|root| Box::new(linux::KernelProvider::new(Tree::new(root))));
    all.push(|root| Box::new(linux::NetworkProvider::new(Tree::new(root), None)));
    all.push(|root| Box::new(linux::FrequencyProvider::new(Tree::new(root))));
    all.push(|root| Box::new(linux::TemperatureProvider::new(Tree::new(root))));
    all.push(|root| {
        let vcgencmd = root.join("no-such-vcgencmd");
        Box::new(RaspberryPiProvider::new(&RaspberryPiSection { vcgencmd, ..RaspberryPiSection::default() }))
    });
    all
}

#[cfg(not(target_os = "linux"))]
fn all() -> Vec<Make> {
    PORTABLE.to_vec()
}

fn stamp() -> Stamp {
    Stamp { host_id: HostId::parse("here").unwrap(), run_id: None, sample_interval_seconds: 10 }
}

/// A row with what one provider read: first after priming, then once more.
fn rows(provider: Box<dyn SystemMetricsProvider>) -> [HostMetricsSample; 2] {
    let composite = CompositeProvider::new(vec![provider], DEADLINE);
    let mut sampler = Sampler::from_composite(composite, stamp());
    sampler.prime();
    [sampler.sample(instant()), sampler.sample(instant())]
}

fn check_rules(name: &str, mut row: HostMetricsSample) {
    assert_eq!(validate(&mut row), Ok(Vec::new()), "{name}");
}

#[test]
fn names_are_distinct() {
    let root = Path::new("/");
    let mut names: Vec<_> = all().iter().map(|make| make(root).name()).collect();
    names.sort_unstable();
    let count = names.len();
    names.dedup();
    assert_eq!(names.len(), count, "{names:?}");
}

#[test]
fn readings_of_this_machine_keep_the_rules() {
    for make in all() {
        let provider = make(Path::new("/"));
        let name = provider.name();
        for row in rows(provider) {
            check_rules(name, row);
        }
    }
}

#[test]
fn an_empty_tree_gives_no_reading_and_no_panic() {
    let empty = tempfile::tempdir().unwrap();
    for make in all() {
        let mut provider = make(empty.path());
        let name = provider.name();
        provider.prime();
        let readings = provider.collect();
        if name.starts_with("linux") || name == "raspberry-pi" {
            let mut row = Sampler::from_composite(CompositeProvider::new(Vec::new(), DEADLINE), stamp())
                .sample(instant());
            let before = row.clone();
            readings.apply_to(&mut row);
            assert_eq!(row, before, "{name}");
        }
    }
}

#[test]
fn a_provider_without_the_machine_it_reads_costs_the_others_nothing() {
    let empty = tempfile::tempdir().unwrap();
    let providers = all().into_iter().map(|make| make(empty.path())).collect();
    CompositeProvider::new(providers, DEADLINE).collect();
}

#[test]
fn required_columns_are_complete_on_this_machine() {
    let settings = ProviderSettings { include_process_metrics: true, ..ProviderSettings::default() };
    let mut sampler = Sampler::new(&settings, stamp(), None);
    // The one place that waits: the kernel's counters have to move for a share to exist.
    std::thread::sleep(sampler.prime().unwrap_or_default());
    let row = sampler.sample(instant());
    assert_eq!(missing_required(&row), Vec::<&str>::new());
    assert!(row.process_rss_mb.is_some_and(|mb| mb > 0), "{:?}", row.to_row());
    assert!(row.process_cpu_pct.is_some());
    check_rules("all", row);
}

#[cfg(target_os = "linux")]
#[test]
fn a_baseline_of_this_boot_spares_the_wait() {
    let settings = ProviderSettings::default();
    let mut first = Sampler::new(&settings, stamp(), None);
    assert_eq!(first.prime(), Some(Duration::from_millis(500)));
    let mut baseline = first.cpu_baseline().unwrap();

    // So fresh that the rest of a full window has to pass.
    let rest = Sampler::new(&settings, stamp(), Some(baseline.clone())).prime();
    assert!(rest.is_some_and(|rest| rest <= Duration::from_millis(500)), "{rest:?}");

    // As if it had been read before: no wait, and the share covers the whole gap.
    baseline.uptime_seconds -= 1.0;
    baseline.counters.idle = baseline.counters.idle.saturating_sub(100);
    let mut second = Sampler::new(&settings, stamp(), Some(baseline.clone()));
    assert_eq!(second.prime(), None);
    let row = second.sample(instant());
    assert!(row.cpu_pct.is_some() && row.cpu_interval_seconds.is_some_and(|seconds| seconds >= 1.0));
    assert_ne!(second.cpu_baseline(), Some(baseline.clone()));

    baseline.boot_id = "another boot".into();
    assert_eq!(Sampler::new(&settings, stamp(), Some(baseline)).prime(), Some(Duration::from_millis(500)));
}
