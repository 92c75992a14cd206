//! Builds, plans, and what happens to data that comes late or damaged.

use chrono::Utc;
use telemetry_repository::Holder;
use telemetry_schema::HostMetricsSample;

use crate::support::{World, sample};

const MIDNIGHT: &str = "2026-03-10T00:00:03Z";

#[test]
fn an_empty_lake_is_no_failure() {
    let world = World::new();
    let got = world.run(&[]);
    assert_eq!(got.code, 0);
    assert!(got.stderr.contains("no samples yet"), "{}", got.stderr);
    let got = world.run(&["plan"]);
    assert_eq!(
        (got.code, got.stdout.as_str()),
        (0, "nothing to build: the lake holds no samples of these dates\n")
    );
    assert!(!world.path().exists(), "looking wrote something");
}

#[test]
fn a_day_becomes_288_rollups() {
    let world = World::new();
    world.append("pi", MIDNIGHT, 8_640);
    world.build(&[]);
    let rows = world.rollups("2026-03-10");
    assert_eq!(rows.len(), 288);
    assert!(rows.iter().all(|row| row.is_final == Some(true) && row.coverage == Some(1.0)));
    let inner = &rows[100];
    assert_eq!((inner.net_rx_bytes, inner.net_rx_rate_bps_avg), (Some(375_000), Some(10_000.0)));
    assert_eq!(inner.net_rx_covered_seconds, Some(300.0));
    let first = &rows[0];
    assert_eq!(first.net_rx_covered_seconds, Some(297.0), "nothing is known before the first sample");
}

#[test]
fn growth_crosses_midnight_and_silent_hours() {
    let world = World::new();
    world.append("pi", "2026-03-09T23:50:03Z", 60);
    world.append("pi", "2026-03-10T00:00:03Z", 60);
    world.append("nas", "2026-03-09T03:00:03Z", 6);
    world.append("nas", "2026-03-10T03:00:03Z", 6);
    world.build(&[]);
    let last = world.rollups("2026-03-09").into_iter().rfind(|row| row.host_id == "pi").unwrap();
    let first = world.rollups("2026-03-10").into_iter().find(|row| row.host_id == "pi").unwrap();
    assert_eq!((last.net_rx_covered_seconds, first.net_rx_covered_seconds), (Some(300.0), Some(300.0)));
    assert_eq!((last.net_rx_bytes, first.net_rx_bytes), (Some(375_000), Some(375_000)));
    let silent = world.rollups("2026-03-10").into_iter().find(|row| row.host_id == "nas").unwrap();
    assert_eq!(silent.net_rx_covered_seconds, Some(50.0));
}

#[test]
fn a_second_run_touches_nothing() {
    let world = World::new();
    for day in 8..11 {
        world.append("pi", &format!("2026-03-{day:02}T12:00:03Z"), 60);
    }
    world.build(&[]);
    let before = world.identities();
    assert_eq!(before.len(), 3);
    world.build(&[]);
    assert_eq!(world.identities(), before);
    let plan = world.run(&["plan"]);
    assert_eq!(plan.stdout.matches("up to date").count(), 3, "{}", plan.stdout);
}

#[test]
fn late_samples_change_their_date_only() {
    let world = World::new();
    for day in 8..11 {
        world.append("pi", &format!("2026-03-{day:02}T12:00:03Z"), 60);
    }
    world.build(&[]);
    let before = world.identities();
    world.append("nas", "2026-03-09T15:00:00Z", 30);
    let plan = world.run(&["plan", "--print", "json"]);
    let lines: Vec<serde_json::Value> =
        plan.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let actions: Vec<&str> = lines.iter().map(|line| line["action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["up to date", "build: samples or configuration changed", "up to date"]);
    world.build(&[]);
    let after = world.identities();
    for (date, identity) in &before {
        assert_eq!(after[date] == *identity, date.to_string() != "2026-03-09", "{date}");
    }
    assert_eq!(world.rollups("2026-03-09").len(), 3);
}

#[test]
fn samples_near_midnight_concern_both_dates() {
    let world = World::new();
    world.append("pi", "2026-03-09T12:00:03Z", 60);
    world.append("pi", "2026-03-10T00:00:03Z", 60);
    world.build(&[]);
    let before = world.identities();
    world.append("pi", "2026-03-09T23:59:03Z", 6);
    world.build(&[]);
    let changed = world.identities().iter().filter(|(date, identity)| before[*date] != **identity).count();
    assert_eq!(changed, 2);
    assert_eq!(world.rollups("2026-03-10")[0].net_rx_covered_seconds, Some(300.0));
}

/// The rows of a date in a world that is built at once.
fn built_at_once(appended: &[(&str, &str, u32)], date: &str) -> Vec<telemetry_schema::HostMetricsRollup> {
    let world = World::new();
    for (host, from, samples) in appended {
        world.append(host, from, *samples);
    }
    world.build(&[]);
    world.rollups(date)
}

#[test]
fn hours_that_change_are_built_as_the_whole_would_be() {
    let appended = [
        ("pi", "2026-03-09T23:58:03Z", 6),
        ("pi", "2026-03-10T00:01:03Z", 60),
        ("nas", "2026-03-10T02:10:03Z", 30),
        ("pi", "2026-03-10T09:58:03Z", 60),
        ("pi", "2026-03-11T00:00:03Z", 6),
        // Late: between hours that are built, at their ends, across midnight, a new host, copies.
        ("pi", "2026-03-10T05:30:03Z", 120),
        ("pi", "2026-03-10T00:12:03Z", 12),
        ("pi", "2026-03-10T23:59:03Z", 6),
        ("pi", "2026-03-09T23:59:13Z", 5),
        ("attic", "2026-03-10T11:59:53Z", 3),
        ("pi", "2026-03-10T09:58:03Z", 8),
        ("nas", "2026-03-10T01:59:03Z", 6),
        // The growth up to the first sample of the hour falls into the hour before, which is built.
        ("pi", "2026-03-10T05:58:03Z", 11),
        ("pi", "2026-03-10T06:00:03Z", 6),
    ];
    let world = World::new();
    for (at, (host, from, samples)) in appended.iter().enumerate() {
        world.append(host, from, *samples);
        world.build(&[]);
        for date in ["2026-03-09", "2026-03-10", "2026-03-11"] {
            assert_eq!(world.rollups(date), built_at_once(&appended[..=at], date), "{date} after {from}");
        }
    }
}

#[test]
fn a_late_minute_reads_its_hours_only() {
    let world = World::new();
    let morning = world.append("pi", "2026-03-10T02:00:03Z", 60);
    world.append("pi", "2026-03-10T12:00:03Z", 60);
    world.build(&[]);
    // A run that opened this file would set it aside.
    let length = morning.metadata().unwrap().len();
    let damaged = vec![0u8; usize::try_from(length).unwrap()];
    std::fs::write(&morning, damaged).unwrap();
    world.append("pi", "2026-03-10T20:00:03Z", 6);
    world.build(&[]);
    assert_eq!(world.rollups("2026-03-10").len(), 5);
    assert!(morning.exists());
}

#[test]
fn dates_built_side_by_side_are_those_built_alone() {
    let (together, alone) = (World::new(), World::new());
    let dates: Vec<String> = (8..14).map(|day| format!("2026-03-{day:02}")).collect();
    for world in [&together, &alone] {
        for (at, date) in dates.iter().enumerate() {
            world.append("pi", &format!("{date}T00:00:03Z"), 8_640);
            // A host that is silent on every other date.
            if at % 2 == 0 {
                world.append("nas", &format!("{date}T23:50:03Z"), 60);
            }
        }
    }
    together.build(&[]);
    for date in dates.iter().rev() {
        alone.build(&["--from", date, "--to", date]);
    }
    for date in &dates {
        assert_eq!(together.rollups(date), alone.rollups(date), "{date}");
    }
    let before = together.identities();
    together.build(&[]);
    assert_eq!(together.identities(), before);
}

#[cfg(unix)]
#[test]
fn a_date_may_have_more_files_than_a_process_may_open() {
    let world = World::new();
    for minute in 0..120 {
        world.append("pi", &format!("2026-03-10T{:02}:{:02}:03Z", minute / 60, minute % 60), 6);
    }
    let program = crate::support::program().display().to_string();
    let lake = world.path().display().to_string();
    let limited = format!("ulimit -n 32; exec {program} --lake {lake}");
    let output = std::process::Command::new("sh").args(["-c", &limited]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(world.rollups("2026-03-10").len(), 24);
}

#[test]
fn duplicates_are_counted_and_dropped() {
    let world = World::new();
    world.append("pi", "2026-03-10T12:00:03Z", 30);
    world.append("pi", "2026-03-10T12:00:03Z", 12);
    world.build(&[]);
    let row = &world.rollups("2026-03-10")[0];
    assert_eq!((row.sample_count, row.duplicate_count), (Some(30), Some(12)));
    assert_eq!(row.net_rx_bytes, Some(290 * 1_250));
}

#[test]
fn a_range_and_force() {
    let world = World::new();
    for day in 8..12 {
        world.append("pi", &format!("2026-03-{day:02}T12:00:03Z"), 6);
    }
    world.build(&["--from", "2026-03-09", "--to", "2026-03-10"]);
    let before = world.identities();
    assert_eq!(before.len(), 2);
    world.build(&["build", "--from", "2026-03-09", "--to", "2026-03-09", "--force"]);
    let after = world.identities();
    let names: Vec<_> =
        after.values().map(|(path, _)| path.file_name().unwrap().to_str().unwrap().to_owned()).collect();
    assert!(names[0].contains("__g2__") && names[1].contains("__g1__"), "{names:?}");
    assert_eq!(after.len(), 2);
}

#[test]
fn another_interval_is_another_dataset() {
    let world = World::new();
    world.append("pi", "2026-03-10T12:00:03Z", 360);
    world.build(&[]);
    world.build(&["--rollup-interval-minutes", "15"]);
    assert_eq!(world.gold(5).dates().unwrap(), world.gold(15).dates().unwrap());
    let sql = world.run(&["sql", "--rollup-interval-minutes", "15"]);
    assert!(sql.stdout.contains("ops_host_metrics_15m_rollup"), "{}", sql.stdout);
}

#[test]
fn configuration_that_enters_the_formulas_rebuilds() {
    let world = World::new();
    world.append("pi", "2026-03-10T12:00:03Z", 30);
    world.build(&[]);
    let plan = world.run(&["plan", "--sample-interval-seconds", "30"]);
    assert!(plan.stdout.contains("samples or configuration changed"), "{}", plan.stdout);
}

#[test]
fn damaged_samples_are_set_aside_and_named() {
    let world = World::new();
    world.append("pi", "2026-03-10T12:00:03Z", 30);
    let damaged = world.append("pi", "2026-03-10T12:10:03Z", 30);
    let length = damaged.metadata().unwrap().len();
    std::fs::File::options().write(true).open(&damaged).unwrap().set_len(length / 2).unwrap();
    let got = world.run(&[]);
    assert_eq!(got.code, 3, "{}", got.stderr);
    let name = damaged.file_name().unwrap().to_str().unwrap();
    assert!(got.stderr.contains(name) && got.stderr.contains(".quarantine"), "{}", got.stderr);
    assert!(!damaged.exists());
    let aside = world.path().join(".quarantine/ops_host_metrics/date=2026-03-10").join(name);
    assert_eq!(aside.metadata().unwrap().len(), length / 2);
    assert_eq!(world.rollups("2026-03-10").len(), 1);
    world.build(&[]);
}

#[test]
fn a_damaged_file_next_to_the_date_is_set_aside_too() {
    let world = World::new();
    let before = world.append("pi", "2026-03-09T23:59:03Z", 6);
    world.build(&[]);
    std::fs::write(&before, vec![0u8; usize::try_from(before.metadata().unwrap().len()).unwrap()]).unwrap();
    world.append("pi", "2026-03-10T00:00:03Z", 6);
    let got = world.run(&["--from", "2026-03-10"]);
    assert_eq!(got.code, 3, "{}", got.stderr);
    assert!(got.stderr.contains(before.file_name().unwrap().to_str().unwrap()), "{}", got.stderr);
    assert!(!before.exists());
    assert_eq!(world.rollups("2026-03-10")[0].sample_count, Some(6));
}

#[test]
fn two_files_in_a_date_of_gold_become_one() {
    let world = World::new();
    world.append("pi", "2026-03-10T12:00:03Z", 30);
    world.build(&[]);
    let (path, _) = world.identities().into_values().next().unwrap();
    let name = path.file_name().unwrap().to_str().unwrap().replace("__g1__", "__g0__");
    std::fs::copy(&path, path.with_file_name(name)).unwrap();
    world.build(&[]);
    let gold = world.gold(5);
    assert_eq!(gold.files_on("2026-03-10".parse().unwrap()).unwrap().len(), 1);
    assert_eq!(world.rollups("2026-03-10").len(), 1);
}

#[test]
fn samples_that_are_gone_leave_their_rollup() {
    let world = World::new();
    world.append("pi", "2026-03-10T12:00:03Z", 30);
    world.build(&[]);
    let before = world.identities();
    std::fs::remove_dir_all(world.path().join("silver/ops_host_metrics/date=2026-03-10")).unwrap();
    world.build(&["--force"]);
    assert_eq!(world.identities(), before);
    assert!(world.run(&["plan"]).stdout.contains("kept: its samples are gone"));
}

#[test]
fn today_is_open_until_its_buckets_are_final() {
    let world = World::new();
    world.append("pi", &(Utc::now() - chrono::TimeDelta::seconds(30)).to_rfc3339(), 2);
    world.build(&[]);
    let before = world.identities();
    let (path, _) = before.values().next_back().unwrap();
    assert!(path.to_str().unwrap().ends_with("__open.parquet"), "{}", path.display());
    world.build(&[]);
    assert_eq!(world.identities(), before, "nothing became final");
}

#[test]
fn two_rollups_exclude_each_other() {
    let world = World::new();
    world.append("pi", "2026-03-10T12:00:03Z", 30);
    let command = std::env::args().collect::<Vec<_>>().join(" ");
    let holder = Holder { pid: std::process::id(), since: Utc::now(), command };
    let lock = world.lake().lock_rollup(&holder).unwrap();
    let got = world.run(&[]);
    assert_eq!(got.code, 75, "{}", got.stderr);
    let named = format!("process {} since", holder.pid);
    assert!(got.stderr.contains(&named) && got.stderr.contains(&holder.command), "{}", got.stderr);
    assert_eq!(world.run(&["plan"]).code, 0, "looking needs no lock");
    drop(lock);
    world.build(&[]);
}

#[test]
fn switched_off_builds_nothing_but_still_tells() {
    let world = World::new();
    world.append("pi", "2026-03-10T12:00:03Z", 30);
    let got = world.run(&["--enabled", "false"]);
    assert_eq!(got.code, 0);
    assert!(got.stderr.contains("enabled = false"), "{}", got.stderr);
    assert!(world.gold(5).dates().unwrap().is_empty());
    assert!(world.run(&["plan", "--enabled", "false"]).stdout.contains("not in Gold yet"));
    assert!(world.run(&["sql", "--enabled", "false"]).stdout.contains("CREATE OR REPLACE VIEW"));
}

#[test]
fn printed_rollups_are_the_stored_ones() {
    let world = World::new();
    world.append("pi", "2026-03-10T12:00:03Z", 90);
    world.append("pi", "2026-03-11T12:00:03Z", 30);
    let got = world.run(&["--print", "json"]);
    let printed: Vec<serde_json::Value> =
        got.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let stored: Vec<serde_json::Value> =
        world.rollups("2026-03-11").iter().map(|row| serde_json::to_value(row).unwrap()).collect();
    assert_eq!(printed, stored);
    let ranged = world.run(&["--print", "json", "--from", "2026-03-10"]);
    assert_eq!(ranged.stdout.lines().count(), 4);
    let table = world.run(&["--print", "table", "--from", "2026-03-10"]);
    assert!(table.stdout.contains("cpu_pct_p95"), "{}", table.stdout);
}

#[test]
fn wrong_usage_ends_with_2() {
    let world = World::new();
    for arguments in [
        &["--from", "yesterday"][..],
        &["--from", "2026-03-11", "--to", "2026-03-10"],
        &["compct"],
        &["--rollup-interval-minutes", "7"],
    ] {
        let got = world.run(arguments);
        assert_eq!(got.code, 2, "{arguments:?}: {}", got.stderr);
        assert!(got.stderr.contains("error: "), "{}", got.stderr);
    }
    assert!(!world.path().exists());
}

#[test]
fn the_last_of_several_files_before_a_date_counts() {
    let world = World::new();
    world.append("pi", "2026-03-08T12:00:03Z", 6);
    world.append("nas", "2026-03-08T12:00:03Z", 6);
    world.build(&["compact"]);
    world.append("pi", "2026-03-09T23:50:03Z", 60);
    world.build(&[]);
    // A new host: any file of several hosts may hold its last sample.
    world.append("attic", "2026-03-10T00:00:03Z", 6);
    world.append("pi", "2026-03-10T00:00:03Z", 6);
    world.build(&[]);
    let row = world.rollups("2026-03-10").into_iter().find(|row| row.host_id == "pi").unwrap();
    assert_eq!(row.net_rx_covered_seconds, Some(53.0));
}

#[test]
fn a_late_file_changes_the_next_hour_of_its_host_however_far_off() {
    let counted = |at: &str, bytes: i64| {
        let mut row = sample("nas", at.parse().unwrap());
        (row.net_rx_bytes, row.net_tx_bytes) = (Some(bytes), Some(bytes));
        row
    };
    let parts: [&[HostMetricsSample]; 2] = [
        &[counted("2026-03-10T02:00:03Z", 9_000), counted("2026-03-10T15:00:03Z", 2_000)],
        &[counted("2026-03-10T04:00:03Z", 1_000)],
    ];
    let (late, at_once) = (World::new(), World::new());
    for world in [&late, &at_once] {
        for hour in 0..24 {
            world.append("pi", &format!("2026-03-10T{hour:02}:00:03Z"), 6);
        }
        for row in parts[0] {
            world.lake().host_metrics().append(std::slice::from_ref(row)).unwrap();
        }
    }
    late.build(&[]);
    for world in [&late, &at_once] {
        world.lake().host_metrics().append(parts[1]).unwrap();
        world.build(&[]);
    }
    let resets = |world: &World| -> Vec<Option<i64>> {
        let rows = world.rollups("2026-03-10").into_iter();
        rows.filter(|row| row.host_id == "nas").map(|row| row.net_reset_count).collect()
    };
    // At 04:00 and no longer at 15:00.
    assert_eq!(resets(&at_once), [Some(0), Some(2), Some(0)]);
    assert_eq!(resets(&late), resets(&at_once));
}

#[test]
fn a_file_that_reaches_over_others_does_not_hide_them() {
    let world = World::new();
    let ends = ["2026-03-10T07:30:03Z", "2026-03-10T23:30:03Z"];
    world.lake().host_metrics().append(&ends.map(|at| sample("pi", at.parse().unwrap()))).unwrap();
    for at in ["16:58:03", "17:01:03", "13:58:03", "14:01:03"] {
        world.append("pi", &format!("2026-03-10T{at}Z"), 1);
    }
    world.build(&[]);
    // The hours from 14:00 to 17:00 are built again.
    world.append("pi", "2026-03-10T15:30:03Z", 1);
    world.build(&[]);
    let by_the_hour = world.rollups("2026-03-10");
    world.build(&["--force"]);
    assert_eq!(by_the_hour, world.rollups("2026-03-10"));
}
