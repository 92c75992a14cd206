//! The generator: the same samples for the same seed, valid ones, with every fault among them.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};

use chrono::NaiveDate;
use telemetry_bench::{Fleet, FleetOptions, Layout, Profile, write};
use telemetry_repository::{Lake, Selection};
use telemetry_schema::{HOST_METRICS, HostMetricsSample, Presence, Row, round_to_units, validate};

fn options(profile: Profile) -> FleetOptions {
    FleetOptions {
        hosts: 3,
        from: NaiveDate::from_ymd_opt(2026, 11, 20).unwrap(),
        days: 2,
        until: None,
        after: None,
        interval_seconds: 10,
        seed: 7,
        profile,
    }
}

fn rows(options: FleetOptions) -> Vec<HostMetricsSample> {
    let hosts = Fleet::new(options).flat_map(|(_, hosts)| hosts);
    hosts.flat_map(|host| host.minutes.into_iter().chain(host.late)).flatten().collect()
}

/// Rows of a host in the order in which they were taken, duplicates included.
fn pairs(rows: &[HostMetricsSample]) -> Vec<(&HostMetricsSample, &HostMetricsSample)> {
    rows.windows(2).map(|pair| (&pair[0], &pair[1])).filter(|(a, b)| a.host_id == b.host_id).collect()
}

#[test]
fn the_same_seed_makes_the_same_samples_and_another_others() {
    for profile in [Profile::Steady, Profile::Faulty] {
        let made = rows(options(profile));
        assert_eq!(made, rows(options(profile)));
        assert_ne!(made, rows(FleetOptions { seed: 8, ..options(profile) }));
        // A host does not depend on how many others there are.
        let alone = rows(FleetOptions { hosts: 1, ..options(profile) });
        let first: Vec<_> = made.into_iter().filter(|row| row.host_id == "host-00000").collect();
        assert_eq!(alone, first);
    }
}

#[test]
fn samples_are_rounded_and_break_no_rule() {
    for row in rows(options(Profile::Faulty)) {
        let mut checked = row.clone();
        assert_eq!(validate(&mut checked), Ok(Vec::new()));
        round_to_units(&mut checked);
        assert_eq!(checked, row);
    }
}

#[test]
fn nothing_happens_to_steady_hosts() {
    let rows = rows(options(Profile::Steady));
    assert_eq!(rows.len(), 3 * 2 * 8_640);
    for (a, b) in pairs(&rows) {
        assert!(a.as_of < b.as_of && a.boot_id == b.boot_id && a.net_rx_bytes <= b.net_rx_bytes, "{b:?}");
    }
}

#[test]
fn every_column_is_null_somewhere_and_there_otherwise() {
    let rows = rows(options(Profile::Faulty));
    let never_made = ["process_rss_mb", "process_cpu_pct", "run_id", "dropped_samples"];
    for (index, column) in HOST_METRICS.columns.iter().enumerate() {
        let nulls = rows.iter().filter(|row| row.value(index).is_null()).count();
        assert_eq!(nulls > 0, column.presence != Presence::Key, "nulls of {}", column.name);
        assert_eq!(nulls == rows.len(), never_made.contains(&column.name), "values of {}", column.name);
    }
}

#[test]
fn every_fault_appears() {
    let rows = rows(options(Profile::Faulty));
    let pairs = pairs(&rows);
    let seconds = |a: &HostMetricsSample, b: &HostMetricsSample| (b.as_of - a.as_of).as_seconds_f64();
    let same_boot =
        |a: &HostMetricsSample, b: &HostMetricsSample| a.boot_id.is_some() && a.boot_id == b.boot_id;
    let skew = |a: &HostMetricsSample, b: &HostMetricsSample| match (a.uptime_seconds, b.uptime_seconds) {
        (Some(before), Some(now)) if same_boot(a, b) => seconds(a, b) - (now - before),
        _ => 0.0,
    };
    let fell = |a: &HostMetricsSample, b: &HostMetricsSample| b.net_rx_bytes < a.net_rx_bytes;
    let boots: BTreeSet<_> = rows.iter().map(|row| &row.boot_id).collect();
    let mut keys: BTreeMap<_, Vec<&HostMetricsSample>> = BTreeMap::new();
    for row in &rows {
        keys.entry((&row.host_id, row.as_of)).or_default().push(row);
    }
    let words: BTreeSet<_> = rows.iter().filter_map(|row| row.throttle_flags.clone()).collect();
    let intervals: BTreeSet<_> = rows.iter().map(|row| row.sample_interval_seconds).collect();
    let found = [
        ("reboots", boots.len() > 20),
        ("short gaps", pairs.iter().any(|(a, b)| same_boot(a, b) && (30.0..300.0).contains(&seconds(a, b)))),
        ("long gaps", pairs.iter().any(|(a, b)| same_boot(a, b) && seconds(a, b) > 300.0)),
        (
            "resets",
            pairs.iter().any(|(a, b)| same_boot(a, b) && fell(a, b) && b.net_rx_bytes < Some(100_000)),
        ),
        ("wraps", pairs.iter().any(|(a, b)| fell(a, b) && a.net_rx_bytes > Some((1 << 32) - 100_000))),
        ("clock forward", pairs.iter().any(|(a, b)| skew(a, b) > 2.0)),
        ("clock back", pairs.iter().any(|(a, b)| skew(a, b) < -2.0)),
        ("small clock steps", pairs.iter().any(|(a, b)| (1.0..2.0).contains(&skew(a, b).abs()))),
        ("exact duplicates", keys.values().any(|rows| rows.len() > 1 && rows[0] == rows[1])),
        ("conflicting duplicates", keys.values().any(|rows| rows.len() > 1 && rows[0] != rows[1])),
        ("throttle words", words.len() > 5 && words.iter().any(|word| word.len() > 5)),
        ("interfaces", pairs.iter().any(|(a, b)| a.net_interfaces != b.net_interfaces)),
        ("no boot id", rows.iter().any(|row| row.os.as_deref() == Some("windows") && row.boot_id.is_none())),
        ("unsynchronised clocks", rows.iter().any(|row| row.clock_synced == Some(false))),
        ("schedules", intervals.len() == 5),
        ("extremes", rows.iter().any(|row| row.cpu_pct == Some(100.0) && row.disk_root_free_gb == Some(0.0))),
        (
            "late files",
            Fleet::new(options(Profile::Faulty)).any(|(_, hosts)| hosts.iter().any(|h| !h.late.is_empty())),
        ),
    ];
    let missing: Vec<_> = found.iter().filter(|(_, is_there)| !is_there).map(|(name, _)| name).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn every_layout_stores_every_row() {
    for layout in [Layout::Day, Layout::HostDay, Layout::Minute] {
        let options = FleetOptions { days: 1, interval_seconds: 600, ..options(Profile::Steady) };
        let directory = tempfile::tempdir().unwrap();
        let lake = Lake::new(directory.path().join("lake"));
        let written = write(&lake, options, layout).unwrap();
        let files = lake.host_metrics().store().files(&Selection::all()).unwrap();
        let expected = match layout {
            Layout::Day => 1,
            Layout::HostDay => 3,
            Layout::Minute => 3 * 144,
        };
        assert_eq!((written.rows, written.files, files.len()), (3 * 144, expected, expected));
    }
}
