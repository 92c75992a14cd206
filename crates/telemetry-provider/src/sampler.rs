//! From readings to stamped rows.

use std::borrow::Cow;
use std::time::Duration;

use chrono::{DateTime, SubsecRound, Utc};
use telemetry_schema::host_metrics::names;
use telemetry_schema::{HOST_METRICS, HostId, HostMetricsSample, Row, Value, round_to_units};

use crate::cpu_time::BaselineSlot;
use crate::{
    CompositeProvider, CpuBaseline, ProcessProvider, ProviderSettings, SystemMetricsProvider, portable,
};

/// The window over which processor use is measured where there is no earlier reading. Shorter ones
/// mostly measure the start of this program.
const FIRST_WINDOW: Duration = Duration::from_millis(500);

/// What is written on every row of a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stamp {
    /// The host.
    pub host_id: HostId,
    /// Correlation identifier given by the caller.
    pub run_id: Option<String>,
    /// The schedule that the collector was told, in seconds.
    pub sample_interval_seconds: u32,
}

/// Takes samples of this machine.
pub struct Sampler {
    composite: CompositeProvider,
    stamp: Stamp,
    /// What stands for `/`; `None` if there is no provider that can use a baseline.
    #[cfg(target_os = "linux")]
    tree: Option<crate::linux::Tree>,
    baseline: BaselineSlot,
}

impl Sampler {
    /// Composes the providers of this machine. `baseline` is what [`Sampler::cpu_baseline`] of an
    /// earlier run returned.
    pub fn new(settings: &ProviderSettings, stamp: Stamp, baseline: Option<CpuBaseline>) -> Self {
        let baseline = BaselineSlot::new(baseline);
        Self {
            composite: compose_with(settings, &baseline),
            stamp,
            #[cfg(target_os = "linux")]
            tree: Some(crate::linux::Tree::new(&settings.root)),
            baseline,
        }
    }

    /// Samples this machine with the default settings, on that schedule.
    pub fn of_this_machine(host_id: HostId, sample_interval_seconds: u32) -> Self {
        let stamp = Stamp { host_id, run_id: None, sample_interval_seconds };
        Self::new(&ProviderSettings::default(), stamp, None)
    }

    /// Uses providers that are already composed.
    pub fn from_composite(composite: CompositeProvider, stamp: Stamp) -> Self {
        Self {
            composite,
            stamp,
            #[cfg(target_os = "linux")]
            tree: None,
            baseline: BaselineSlot::default(),
        }
    }

    /// Prepares the first sample and returns how long the caller has to wait for it: not at all
    /// (`None`) if it can measure since the reading of an earlier run, which must be of the same
    /// boot and at most 15 minutes old (Linux).
    pub fn prime(&mut self) -> Option<Duration> {
        if let Some(age) = self.baseline_age() {
            return FIRST_WINDOW.checked_sub(age).filter(|rest| !rest.is_zero());
        }
        self.composite.prime();
        Some(FIRST_WINDOW)
    }

    #[cfg(target_os = "linux")]
    fn baseline_age(&self) -> Option<Duration> {
        let seconds = crate::linux::baseline_age_seconds(self.tree.as_ref()?, &self.baseline.get()?)?;
        Duration::try_from_secs_f64(seconds).ok()
    }

    #[cfg(not(target_os = "linux"))]
    fn baseline_age(&self) -> Option<Duration> {
        None
    }

    /// Reads the machine once; `as_of` is the instant of the sample. Waits at most the deadline of
    /// the providers. Values are rounded to their units, but not checked against the rules.
    pub fn sample(&mut self, as_of: DateTime<Utc>) -> HostMetricsSample {
        let mut sample = stamped(&self.stamp, as_of);
        self.composite.collect().apply_to(&mut sample);
        round_to_units(&mut sample);
        sample
    }

    /// The latest reading of the processor's counters, to be kept for the next run; `None` where
    /// there are none (not Linux) or none has succeeded.
    pub fn cpu_baseline(&self) -> Option<CpuBaseline> {
        self.baseline.get()
    }
}

/// A row without measurements. It is made from cells, so that a new column needs no line here.
fn stamped(stamp: &Stamp, as_of: DateTime<Utc>) -> HostMetricsSample {
    let cells: Vec<Value<'_>> = HOST_METRICS
        .columns
        .iter()
        .map(|column| match column.name {
            names::as_of => Value::TimestampUs(as_of.round_subsecs(3).timestamp_micros()),
            names::host_id => Value::String(Cow::Borrowed(stamp.host_id.as_str())),
            _ => Value::Null,
        })
        .collect();
    let mut sample = HostMetricsSample::from_values(&cells)
        .expect("the key is filled, and every other column of the dataset can be null");
    sample.os = Some(std::env::consts::OS.to_owned());
    sample.arch = Some(std::env::consts::ARCH.to_owned());
    sample.run_id.clone_from(&stamp.run_id);
    sample.sample_interval_seconds = i32::try_from(stamp.sample_interval_seconds).ok();
    sample
}

/// The providers of this machine, in the order in which their readings are merged.
pub fn compose(settings: &ProviderSettings) -> CompositeProvider {
    compose_with(settings, &BaselineSlot::default())
}

fn compose_with(settings: &ProviderSettings, baseline: &BaselineSlot) -> CompositeProvider {
    let mut providers = system_providers(settings, baseline);
    providers.push(Box::new(portable::DiskProvider::new(&settings.disk_mount)));
    if settings.include_process_metrics {
        providers.push(Box::new(ProcessProvider::new(&settings.root)));
    }
    CompositeProvider::new(providers, settings.deadline())
}

/// On Linux the portable processor and network providers stay out. sysinfo reads the same files
/// there, so they could not stand in where ours fail; they would cost twice (it opens a dozen files
/// per interface); and they would undo decisions to report nothing, such as counters that began anew
/// or a configured interface that is gone. The portable disk provider serves every system.
#[cfg(target_os = "linux")]
fn system_providers(
    settings: &ProviderSettings,
    baseline: &BaselineSlot,
) -> Vec<Box<dyn SystemMetricsProvider>> {
    use crate::{RaspberryPiProvider, linux};

    let tree = linux::Tree::new(&settings.root);
    let mut providers: Vec<Box<dyn SystemMetricsProvider>> = vec![
        Box::new(linux::ProcessorProvider::with_baseline(tree.clone(), baseline.clone())),
        Box::new(linux::KernelProvider::new(tree.clone())),
        Box::new(linux::NetworkProvider::new(tree.clone(), settings.network_interface.clone())),
        Box::new(linux::FrequencyProvider::new(tree.clone())),
        Box::new(linux::TemperatureProvider::new(tree.clone())),
    ];
    if settings.config.raspberry_pi.enabled && linux::is_raspberry_pi(&tree) {
        providers.push(Box::new(RaspberryPiProvider::new(&settings.config.raspberry_pi)));
    }
    providers
}

#[cfg(not(target_os = "linux"))]
fn system_providers(
    settings: &ProviderSettings,
    _baseline: &BaselineSlot,
) -> Vec<Box<dyn SystemMetricsProvider>> {
    vec![
        Box::new(portable::ProcessorProvider::new()),
        Box::new(portable::NetworkProvider::new(settings.network_interface.clone())),
    ]
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used)]

    use chrono::TimeZone;

    use super::*;

    fn stamp() -> Stamp {
        Stamp {
            host_id: HostId::parse("pi").unwrap(),
            run_id: Some("run-7".into()),
            sample_interval_seconds: 10,
        }
    }

    #[test]
    fn rows_are_stamped_and_otherwise_empty() {
        let as_of = Utc.timestamp_nanos(1_700_000_000_123_456_789);
        let mut sampler =
            Sampler::from_composite(CompositeProvider::new(Vec::new(), Duration::from_secs(1)), stamp());
        assert_eq!(sampler.prime(), Some(FIRST_WINDOW));
        assert_eq!(sampler.cpu_baseline(), None);
        let sample = sampler.sample(as_of);
        assert_eq!(sample.as_of.timestamp_micros(), 1_700_000_000_123_000);
        let filled: Vec<_> =
            sample.to_row().into_iter().filter(|(_, v)| !v.is_null()).map(|(name, _)| name).collect();
        let expected = [
            names::as_of,
            names::host_id,
            names::os,
            names::arch,
            names::run_id,
            names::sample_interval_seconds,
        ];
        assert_eq!(filled, expected);
        assert_eq!(sample.run_id.as_deref(), Some("run-7"));
    }
}
