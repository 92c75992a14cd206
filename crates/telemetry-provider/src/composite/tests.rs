//! A provider that is held by a channel stands for one that hangs, so that no test waits for a
//! clock.

use telemetry_schema::host_metrics::BootReading;

use super::*;

const LONG: Duration = Duration::from_secs(30);
const SHORT: Duration = Duration::from_millis(20);

struct Scripted<F: FnMut() -> HostMetricsReadings + Send>(&'static str, F);

impl<F: FnMut() -> HostMetricsReadings + Send> SystemMetricsProvider for Scripted<F> {
    fn name(&self) -> &'static str {
        self.0
    }

    fn collect(&mut self) -> HostMetricsReadings {
        (self.1)()
    }
}

fn provider(
    name: &'static str,
    collect: impl FnMut() -> HostMetricsReadings + Send + 'static,
) -> Box<dyn SystemMetricsProvider> {
    Box::new(Scripted(name, collect))
}

fn boot(boot_id: Option<&str>, uptime_seconds: Option<f64>) -> HostMetricsReadings {
    let boot = BootReading { boot_id: boot_id.map(str::to_owned), uptime_seconds };
    HostMetricsReadings { boot: Some(boot), ..HostMetricsReadings::default() }
}

#[test]
fn later_providers_win_where_they_have_a_value() {
    let providers = vec![
        provider("first", || boot(Some("first"), Some(1.0))),
        provider("second", || boot(None, Some(2.0))),
        provider("third", HostMetricsReadings::default),
    ];
    let mut composite = CompositeProvider::new(providers, LONG);
    assert_eq!(composite.names().collect::<Vec<_>>(), ["first", "second", "third"]);
    assert_eq!(composite.collect(), boot(Some("first"), Some(2.0)));
}

#[test]
fn no_provider_gives_no_reading() {
    assert_eq!(CompositeProvider::new(Vec::new(), LONG).collect(), HostMetricsReadings::default());
}

#[test]
fn a_provider_that_hangs_costs_only_its_own_values_until_it_comes_back() {
    let (release, held) = mpsc::channel::<f64>();
    let (done, finished) = mpsc::channel();
    let providers = vec![
        provider("steady", || boot(Some("steady"), None)),
        provider("hanging", move || {
            let uptime = held.recv().ok();
            let _ = done.send(());
            boot(None, uptime)
        }),
    ];
    let mut composite = CompositeProvider::new(providers, SHORT);
    assert_eq!(composite.collect(), boot(Some("steady"), None));

    // Still stuck: it is skipped, so even an endless deadline is not waited for.
    composite.deadline = LONG;
    assert_eq!(composite.collect(), boot(Some("steady"), None));

    // It comes back with the answer to a round that is over, which must not be used.
    assert!(release.send(1.0).is_ok() && finished.recv().is_ok() && release.send(2.0).is_ok());
    let fresh = loop {
        let readings = composite.collect();
        if readings != boot(Some("steady"), None) {
            break readings;
        }
    };
    assert_eq!(fresh, boot(Some("steady"), Some(2.0)));
}

#[test]
fn a_panic_is_a_failed_reading() {
    let mut calls = 0;
    let providers = vec![
        provider("steady", || boot(Some("steady"), None)),
        provider("panicking", move || {
            calls += 1;
            assert_ne!(calls, 1, "a panic that a test provokes");
            boot(None, Some(3.0))
        }),
    ];
    let mut composite = CompositeProvider::new(providers, LONG);
    assert_eq!(composite.collect(), boot(Some("steady"), None));
    assert_eq!(composite.collect(), boot(Some("steady"), Some(3.0)));
}

#[test]
fn prime_reads_nothing() {
    let providers = vec![provider("counting", || boot(None, Some(1.0)))];
    let mut composite = CompositeProvider::new(providers, LONG);
    composite.prime();
    assert_eq!(composite.collect(), boot(None, Some(1.0)));
}
