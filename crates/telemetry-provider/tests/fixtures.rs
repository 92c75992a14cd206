//! Every folder of `fixtures/provider` is a machine: its files below `root`, and the columns that a
//! sample of it must have in `expected.toml`. A column that is not named there must be null.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test that cannot read its fixture has failed")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use chrono::DateTime;
use serde::Deserialize;
use telemetry_provider::{CpuBaseline, ProviderSettings, Sampler, Stamp};
use telemetry_schema::{HOST_METRICS, HostId, HostMetricsSample, Row, Source, Value, validate};

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct FixtureSettings {
    network_interface: Option<String>,
    /// What `vcgencmd get_throttled` prints; without it there is no such program.
    vcgencmd_output: Option<String>,
    baseline: Option<CpuBaseline>,
}

/// Where a fixture comes from; checked so that each one says it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Origin {
    kind: Kind,
    about: String,
    sources: Vec<String>,
    numbers: Option<String>,
}

#[derive(PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Recorded,
    Rebuilt,
}

/// An instant that a clock can say.
fn instant() -> DateTime<chrono::Utc> {
    DateTime::from_timestamp(1_800_000_000, 0).unwrap()
}

#[test]
fn fixture_machines_give_the_expected_rows() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/provider");
    let mut cases: Vec<PathBuf> = fs::read_dir(&directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir())
        .collect();
    cases.sort();
    assert!(!cases.is_empty(), "no fixture in {}", directory.display());
    let failures: Vec<String> = cases.iter().filter_map(|case| check(case).err()).collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

fn check(case: &Path) -> Result<(), String> {
    let name = case.file_name().unwrap().to_string_lossy();
    check_origin(case)?;
    let mut sample = sample(case);
    let expected: toml::Table = read_toml(&case.join("expected.toml"))?;
    let mut wrong = Vec::new();
    for column in expected.keys().filter(|column| HOST_METRICS.column(column).is_none()) {
        wrong.push(format!("  {column} is no column"));
    }
    for ((column, value), definition) in sample.to_row().into_iter().zip(HOST_METRICS.columns) {
        let got = to_toml(&value);
        if definition.source != Source::Stamped && got.as_ref() != expected.get(column) {
            wrong.push(format!("  {column}: expected {:?}, got {got:?}", expected.get(column)));
        }
    }
    let violations = validate(&mut sample);
    if violations != Ok(Vec::new()) {
        wrong.push(format!("  rules broken: {violations:?}"));
    }
    if wrong.is_empty() { Ok(()) } else { Err(format!("{name}:\n{}", wrong.join("\n"))) }
}

fn check_origin(case: &Path) -> Result<(), String> {
    let origin: Origin = read_toml(&case.join("source.toml"))?;
    let says_all = !origin.about.is_empty()
        && !origin.sources.is_empty()
        && (origin.kind == Kind::Recorded || origin.numbers.is_some());
    if says_all { Ok(()) } else { Err(format!("{}: source.toml does not say enough", case.display())) }
}

fn sample(case: &Path) -> HostMetricsSample {
    let fixture: FixtureSettings = match case.join("settings.toml") {
        path if path.exists() => read_toml(&path).unwrap(),
        _ => FixtureSettings::default(),
    };
    let programs = tempfile::tempdir().unwrap();
    let vcgencmd = programs.path().join("vcgencmd");
    if let Some(output) = &fixture.vcgencmd_output {
        // A further argument would clear the sticky bits of a real firmware.
        let script = format!("#!/bin/sh\n[ \"$#$1\" = 1get_throttled ] || exit 9\nprintf %s '{output}'\n");
        fs::write(&vcgencmd, script).unwrap();
        fs::set_permissions(&vcgencmd, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let mut settings = ProviderSettings {
        // The space of a file system cannot come from a fixture.
        disk_mount: PathBuf::from("/no/such/mount"),
        network_interface: fixture.network_interface,
        root: case.join("root"),
        ..ProviderSettings::default()
    };
    settings.config.raspberry_pi.vcgencmd = vcgencmd;
    // Never reached; a slow test machine must not turn a value into null.
    settings.config.provider.deadline_ms = 60_000;
    settings.config.raspberry_pi.deadline_ms = 30_000;
    let stamp =
        Stamp { host_id: HostId::parse("fixture").unwrap(), run_id: None, sample_interval_seconds: 10 };
    let mut sampler = Sampler::new(&settings, stamp, fixture.baseline);
    sampler.sample(instant())
}

fn read_toml<T: for<'de> Deserialize<'de>>(path: &Path) -> Result<T, String> {
    let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    toml::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))
}

fn to_toml(value: &Value<'_>) -> Option<toml::Value> {
    match value {
        Value::Null => None,
        Value::Int32(number) => Some(toml::Value::Integer(i64::from(*number))),
        Value::Int64(number) | Value::TimestampUs(number) => Some(toml::Value::Integer(*number)),
        Value::Float64(number) => Some(toml::Value::Float(*number)),
        Value::Boolean(flag) => Some(toml::Value::Boolean(*flag)),
        Value::String(text) => Some(toml::Value::String(text.clone().into_owned())),
    }
}
