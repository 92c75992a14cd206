//! The example does what it says, through the crates that it shows and through its program.
#![allow(clippy::unwrap_used)]

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use telemetry_alert_rules::{Event, EventState};
use telemetry_embed::Watch;
use telemetry_provider::{ProviderSettings, Sampler, Stamp};
use telemetry_repository::{Lake, Selection};
use telemetry_schema::{HostId, HostMetricsSample};

const HOST: &str = "embedded";

/// An hour of samples of this machine up to now, as if its processor had been that hot.
fn samples(now: DateTime<Utc>, temperature_c: f64) -> Vec<HostMetricsSample> {
    let stamp = Stamp { host_id: host(), run_id: None, sample_interval_seconds: 60 };
    let mut sampler = Sampler::new(&ProviderSettings::default(), stamp, None);
    let taken = sampler.sample(now);
    let minutes = (0..60).rev().map(TimeDelta::minutes);
    minutes
        .map(|ago| HostMetricsSample {
            as_of: now - ago,
            cpu_temp_c: Some(temperature_c),
            cpu_pct: Some(50.0),
            ..taken.clone()
        })
        .collect()
}

fn host() -> HostId {
    HostId::parse(HOST).unwrap()
}

fn hot(events: &[Event]) -> Vec<&EventState> {
    events.iter().filter(|event| event.rule_id == "cpu-hot").map(|event| &event.state).collect()
}

#[test]
fn a_hot_processor_is_told_once() {
    let directory = tempfile::tempdir().unwrap();
    let lake = Lake::new(directory.path());
    let now = Utc::now();
    lake.host_metrics().append(&samples(now, 90.0)).unwrap();
    let mut watch = Watch::new(lake.clone(), host()).unwrap();
    assert_eq!(hot(&watch.evaluate(now).unwrap()), [&EventState::Firing]);
    assert!(watch.evaluate(now).unwrap().is_empty());
    lake.host_metrics().append(&samples(now + TimeDelta::minutes(61), 40.0)).unwrap();
    assert_eq!(hot(&watch.evaluate(now + TimeDelta::minutes(61)).unwrap()), [&EventState::Resolved]);
}

#[test]
fn a_sample_is_a_row() {
    let directory = tempfile::tempdir().unwrap();
    let lake = Lake::new(directory.path());
    let mut watch = Watch::new(lake.clone(), host()).unwrap();
    watch.sample(Utc::now()).unwrap();
    let files = lake.host_metrics().store().files(&Selection::all()).unwrap();
    assert_eq!(files.len(), 1);
    assert!(watch.evaluate(Utc::now()).unwrap().is_empty(), "no bucket is final yet");
}

#[test]
fn the_program_says_what_fires() {
    let directory = tempfile::tempdir().unwrap();
    Lake::new(directory.path()).host_metrics().append(&samples(Utc::now(), 90.0)).unwrap();
    let mut program = Command::new(env!("CARGO_BIN_EXE_telemetry-embed"))
        .arg(directory.path())
        .arg(HOST)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let output = BufReader::new(program.stdout.take().unwrap());
    let (sender, lines) = mpsc::channel();
    let reading = thread::spawn(move || output.lines().try_for_each(|line| sender.send(line.unwrap())));
    let told = std::iter::from_fn(|| lines.recv_timeout(Duration::from_secs(30)).ok())
        .find(|line| line.contains("CPU of embedded"));
    program.kill().unwrap();
    program.wait().unwrap();
    drop(lines);
    let _ = reading.join().unwrap();
    assert!(told.unwrap().starts_with("firing warning: "));
}
