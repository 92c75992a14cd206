//! Expiry through the program: what goes, what stays, and that no rollup changes by it.

use chrono::{NaiveDate, TimeDelta, Utc};

use crate::support::{Ended, World};

/// So many days before today.
fn day(ago: i64) -> NaiveDate {
    Utc::now().date_naive() - TimeDelta::days(ago)
}

fn at(ago: i64, time: &str) -> String {
    format!("{}T{time}Z", day(ago))
}

fn silver_dates(world: &World) -> Vec<NaiveDate> {
    world.lake().host_metrics().store().dates().unwrap()
}

/// Samples around each midnight of five dates, of which three are older than 90 days, built.
fn world() -> World {
    let world = World::new();
    for ago in 89..94 {
        world.append("pi", &at(ago, "00:00:03"), 60);
        world.append("pi", &at(ago, "23:50:03"), 60);
    }
    world.build(&[]);
    world
}

#[track_caller]
fn expire(world: &World, arguments: &[&str]) -> Ended {
    let got = world.run(&[&["expire"], arguments].concat());
    assert_eq!(got.code, 0, "{}", got.stderr);
    got
}

#[test]
fn old_samples_go_and_every_rollup_stays() {
    let world = world();
    let gold = world.identities();
    let plan = world.run(&["plan", "--print", "json"]);
    let expiring = plan.stdout.lines().filter(|line| line.contains("\"expire\":\"samples\"")).count();
    assert_eq!(expiring, 3, "{}", plan.stdout);
    assert_eq!(silver_dates(&world).len(), 5, "plan writes nothing");

    expire(&world, &[]);
    assert_eq!(silver_dates(&world), [day(90), day(89)]);
    // The first date left was computed with samples of the last that is gone: it is not stale.
    world.build(&[]);
    world.build(&["--force", "--to", &day(91).to_string()]);
    assert_eq!(world.identities(), gold);
    let plan = world.run(&["plan"]).stdout;
    assert_eq!(
        (plan.matches("samples have expired").count(), plan.matches("up to date").count()),
        (3, 2),
        "{plan}"
    );
    let trash = world.path().join(".trash");
    assert_eq!(std::fs::read_dir(&trash).unwrap().count(), 3);
    let locks = world.path().join(".state/@lake/ops_host_metrics");
    let is_left = locks.join(format!("date={}.lock", day(91))).exists();
    assert_eq!(is_left, cfg!(windows), "lock file of an expired date");
    assert!(locks.join(format!("date={}.lock", day(90))).exists());
    expire(&world, &[]);
    assert_eq!(world.identities(), gold);
}

#[test]
fn samples_that_come_after_expiry_are_left_alone_and_named() {
    let world = world();
    expire(&world, &[]);
    let gold = world.identities();
    let late = world.append("pi", &at(92, "12:00:03"), 6);
    for arguments in [&[][..], &["--force", "--to", &day(91).to_string()]] {
        let got = world.run(arguments);
        assert_eq!(got.code, 3, "{}", got.stderr);
        assert!(got.stderr.contains(late.file_name().unwrap().to_str().unwrap()), "{}", got.stderr);
        // Nor are they the last samples before the dates that are left.
        assert_eq!(world.identities(), gold);
    }
    world.build(&["compact"]);
    expire(&world, &[]);
    assert!(late.exists());
    assert_eq!(world.identities()[&day(92)], gold[&day(92)]);
}

/// The record cannot be read any more: the lake itself tells what it said.
#[test]
fn a_damaged_record_of_what_has_expired_costs_no_rollup() {
    let world = world();
    world.build(&["compact"]);
    world.build(&[]);
    expire(&world, &[]);
    let record = world.path().join(".state/@lake/expired.json");
    let whole: serde_json::Value = serde_json::from_slice(&std::fs::read(&record).unwrap()).unwrap();
    let gold = world.identities();
    let late = world.append("nas", &at(92, "00:00:03"), 60);
    let last_day = day(91).to_string();
    for damage in ["", "{\"dates\":[", "{\"dates\":5}", "{\"dbtes\":[],\"pending\":{},\"survivors\":{}}"] {
        std::fs::write(&record, damage).unwrap();
        let plan = world.run(&["plan", "--force"]).stdout;
        assert_eq!(plan.matches("samples have expired").count(), 3, "{damage}: {plan}");
        assert_eq!(std::fs::read_to_string(&record).unwrap(), damage, "plan writes nothing");
        for arguments in [&["--force", "--to", &last_day][..], &["compact"], &["expire"], &["verify"], &[]] {
            std::fs::write(&record, damage).unwrap();
            let got = world.run(arguments);
            assert_eq!(got.code, 3, "{arguments:?}: {}", got.stderr);
            assert!(got.stderr.contains("quarantine"), "{arguments:?}: {}", got.stderr);
            let mended = serde_json::from_slice::<serde_json::Value>(&std::fs::read(&record).unwrap());
            assert_eq!(mended.unwrap(), whole, "{arguments:?} after {damage}");
            assert_eq!(world.identities(), gold, "{arguments:?} after {damage}");
        }
        assert_eq!(world.run(&["compact"]).code, 0, "told once");
    }
    assert!(late.exists());
    // Of a host that the rollup has, when the rollup has nothing of it.
    world.append("pi", &at(92, "12:00:03"), 200);
    std::fs::write(&record, "[").unwrap();
    assert_eq!(world.run(&[]).code, 3);
    assert_eq!(world.identities(), gold);
    let quarantine = world.path().join(".quarantine/.state/@lake");
    assert_eq!(std::fs::read_dir(quarantine).unwrap().count(), 5, "each damage once");
}

/// What cannot be looked at is there: without this, a record would be made from no rollup at all.
#[cfg(unix)]
#[test]
fn what_cannot_be_looked_at_is_not_gone() {
    let world = world();
    expire(&world, &[]);
    let record = world.path().join(".state/@lake/expired.json");
    std::fs::write(&record, "{").unwrap();
    for layer in ["gold", "silver"] {
        let (there, away) = (world.path().join(layer), world.path().join("away"));
        std::fs::rename(&there, &away).unwrap();
        std::os::unix::fs::symlink(layer, &there).unwrap();
        for verb in ["verify", "expire", "compact", "build"] {
            let got = world.run(&[verb]);
            assert!(![0, 3].contains(&got.code) && got.stderr.contains(layer), "{verb}: {got:?}");
            assert_eq!(std::fs::read_to_string(&record).unwrap(), "{", "{verb} without {layer}");
        }
        std::fs::remove_file(&there).unwrap();
        std::fs::rename(&away, &there).unwrap();
    }
}

#[test]
fn late_samples_of_the_first_date_left_still_change_it() {
    let world = world();
    expire(&world, &[]);
    let gold = world.identities();
    world.append("nas", &at(90, "12:00:03"), 6);
    world.build(&[]);
    let after = world.identities();
    assert_ne!(after[&day(90)], gold[&day(90)]);
    assert_eq!(after[&day(89)], gold[&day(89)]);
    assert_eq!(world.rollups(&day(90).to_string()).iter().filter(|row| row.host_id == "nas").count(), 1);
}

#[test]
fn samples_whose_rollup_is_missing_or_stale_are_kept() {
    let world = world();
    world.append("nas", &at(92, "12:00:03"), 6);
    let got = world.run(&["expire"]);
    assert_eq!(got.code, 3, "{}", got.stderr);
    assert!(got.stderr.contains(&day(92).to_string()), "{}", got.stderr);
    // The date before 92 and the one after belong to what it is still to be built from.
    assert_eq!(silver_dates(&world), [day(93), day(92), day(91), day(90), day(89)]);
    world.build(&[]);
    expire(&world, &[]);
    assert_eq!(silver_dates(&world), [day(90), day(89)]);
}

#[test]
fn never_and_other_days_are_kept_to() {
    let world = world();
    let never = world.run_with(&[("TELEMETRY__RETENTION__SILVER_DAYS", "never")], &["expire"]);
    assert_eq!((never.code, silver_dates(&world).len()), (0, 5), "{}", never.stderr);
    let some = world.run_with(&[("TELEMETRY__RETENTION__SILVER_DAYS", "92")], &["expire"]);
    assert_eq!((some.code, silver_dates(&world).len()), (0, 4), "{}", some.stderr);
    let wrong = world.run_with(&[("TELEMETRY__RETENTION__SILVER_DAYS", "0")], &["expire"]);
    assert_eq!(wrong.code, 78);
    assert!(wrong.stderr.contains("days from 1 to 36525, or \"never\""), "{}", wrong.stderr);
}

#[test]
fn rollups_go_after_their_samples_only() {
    let world = world();
    let days = [("TELEMETRY__RETENTION__GOLD_DAYS", "92"), ("TELEMETRY__RETENTION__SILVER_DAYS", "never")];
    assert_eq!(world.run_with(&days, &["expire"]).code, 0);
    assert_eq!(world.identities().len(), 5, "rollups are not shorter kept than their samples");
    expire(&world, &[]);
    assert_eq!(world.run_with(&days, &["expire"]).code, 0);
    let left: Vec<NaiveDate> = world.identities().into_keys().collect();
    assert_eq!(left, [day(92), day(91), day(90), day(89)]);
    world.build(&[]);
    assert_eq!(world.identities().len(), 4);
}

/// A clock that is years ahead must not cost the lake.
#[test]
fn most_of_a_lake_does_not_go_by_itself() {
    let world = World::new();
    for ago in 100..140 {
        world.append("pi", &at(ago, "12:00:03"), 2);
    }
    world.append("pi", &at(1, "12:00:03"), 2);
    world.build(&[]);
    let doubted = world.run(&["expire"]);
    assert_eq!((doubted.code, silver_dates(&world).len()), (3, 41), "{}", doubted.stderr);
    assert!(doubted.stderr.contains("40 of 41 dates are older than they are kept"), "{}", doubted.stderr);
    assert!(doubted.stderr.contains("--force"), "{}", doubted.stderr);
    assert!(world.run(&["plan"]).stdout.contains("most of them would go"));
    let gold = [("TELEMETRY__RETENTION__GOLD_DAYS", "90")];
    expire(&world, &["--force"]);
    assert_eq!(silver_dates(&world), [day(1)]);
    let doubted = world.run_with(&gold, &["expire"]);
    assert_eq!((doubted.code, world.identities().len()), (3, 41), "{}", doubted.stderr);
    let month = [&day(139).to_string(), "--to", &day(110).to_string()].map(str::to_owned);
    let month: Vec<&str> = ["expire", "--from"].into_iter().chain(month.iter().map(String::as_str)).collect();
    assert_eq!((world.run_with(&gold, &month).code, world.identities().len()), (0, 11));
}
