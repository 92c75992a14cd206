//! The example does what it says, through the crates that it shows and through its program.
#![allow(clippy::unwrap_used)]

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use telemetry_alert_rules::{Event, EventState};
use telemetry_embed::watch;
use telemetry_provider::Sampler;
use telemetry_repository::{Lake, Selection};
use telemetry_schema::{HostId, HostMetricsSample};

const HOST: &str = "embedded";

/// An hour of samples of this machine up to now, as if its processor had been that hot.
fn samples(now: DateTime<Utc>, temperature_c: f64) -> Vec<HostMetricsSample> {
    let taken = Sampler::of_this_machine(host(), 60).sample(now);
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
    let later = now + TimeDelta::minutes(61);
    // An hour of heat, the same instant again, and an hour without.
    let hours = [(now, Some(90.0)), (now, None), (later, Some(40.0))].into_iter().map(|(at, heat)| {
        let rows = heat.map(|heat| samples(at, heat)).unwrap_or_default();
        lake.host_metrics().append(&rows).unwrap();
        at
    });
    let mut told = Vec::new();
    watch(&lake, host(), hours, |event| told.push(event)).unwrap();
    assert_eq!(hot(&told), [&EventState::Firing, &EventState::Resolved]);
}

#[test]
fn a_sample_is_a_row_and_no_final_bucket_yet() {
    let directory = tempfile::tempdir().unwrap();
    let lake = Lake::new(directory.path());
    let instants = [0, 60, 120].map(|seconds| Utc::now() + TimeDelta::seconds(seconds));
    watch(&lake, host(), instants, |event| panic!("{event:?}")).unwrap();
    let files = lake.host_metrics().store().files(&Selection::all()).unwrap();
    assert_eq!(files.len(), 3);
}

#[test]
fn a_lake_that_cannot_be_written_ends_the_watch() {
    let directory = tempfile::tempdir().unwrap();
    let lake = Lake::new(directory.path().join("no/such/directory"));
    let error = watch(&lake, host(), [Utc::now()], |_| ()).unwrap_err();
    let missing = directory.path().join("no").join("such");
    assert!(error.to_string().contains(missing.to_str().unwrap()), "{error}");
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
