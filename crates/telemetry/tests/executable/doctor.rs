//! What `telemetry doctor` says of real lakes.

use std::fs;

use chrono::Utc;
use telemetry_repository::{Holder, Selection};

use crate::support::{World, ended, expect, findings, host, tree};

/// Checks that depend on the lake alone, not on the machine of the test.
const OF_LAKE: [&str; 9] =
    ["staging", "quarantine", "schema", "samples", "gaps", "schedule", "collector", "rollup", "alerts"];

#[test]
fn a_machine_without_a_lake_is_told_to_sample() {
    let world = World::new();
    let found = world.examine();
    assert!(expect(&found, "lake", "note").text.contains("the first run makes it"), "{found:#?}");
    let samples = expect(&found, "samples", "warning");
    assert_eq!(samples.text, "no samples of pi yet");
    assert!(samples.remedy.contains("telemetry-collect -v"), "{samples:?}");
    assert!(expect(&found, "configuration", "ok").text.contains("(environment TELEMETRY_HOST_ID)"));
    assert_eq!(tree(world.path("").as_path()), Vec::<std::path::PathBuf>::new(), "a look made something");
}

#[test]
fn a_healthy_lake_has_nothing_wrong_and_stays_as_it_is() {
    let world = World::new();
    world.sample(20, |_| false);
    world.roll_up();
    let before = tree(world.lake().root());
    let found = world.examine();
    for check in OF_LAKE.iter().filter(|check| **check != "schedule") {
        expect(&found, check, "ok");
    }
    assert!(expect(&found, "lake", "ok").text.contains("can be written"), "{found:#?}");
    let wrong =
        found.iter().filter(|finding| OF_LAKE.contains(&finding.check.as_str()) && finding.level != "ok");
    assert_eq!(wrong.count(), 0, "{found:#?}");
    assert_eq!(tree(world.lake().root()), before);
}

#[test]
fn the_page_is_a_table_without_colours_unless_it_is_on_a_terminal() {
    let world = World::new();
    let got = world.run(&["doctor"]);
    assert_eq!(got.code, 3, "{got:?}");
    for part in ["check", "no samples of pi yet", "-> is it scheduled?", "warning"] {
        assert!(got.stdout.contains(part), "no {part:?} in {}", got.stdout);
    }
    assert!(!got.stdout.contains('\u{1b}'), "{}", got.stdout);
    assert_eq!(got.stderr, "");
}

#[test]
fn gaps_quarantine_and_orphans_are_found() {
    let world = World::new();
    world.sample(90, |minute| (20..60).contains(&minute));
    world.roll_up();
    let lake = world.lake();
    let silver = lake.host_metrics().store().clone();
    let file = silver.files(&Selection::all()).unwrap().pop().unwrap();
    let quarantined = silver.quarantine(&file).unwrap();
    fs::write(lake.root().join(".staging/0123456789ab__ba9876543210"), "torn").unwrap();
    let found = world.examine();
    let gaps = expect(&found, "gaps", "warning");
    assert!(gaps.text.starts_with("one gap in the last day: 40m 10s from "), "{gaps:?}");
    let set_aside = expect(&found, "quarantine", "warning");
    assert!(set_aside.text.starts_with("1 damaged files ("), "{set_aside:?}");
    assert!(set_aside.remedy.contains(quarantined.ancestors().nth(3).unwrap().to_str().unwrap()));
    assert!(expect(&found, "staging", "note").text.starts_with("1 unfinished"), "{found:#?}");
    assert!(lake.root().join(".staging/0123456789ab__ba9876543210").exists(), "the doctor changed the lake");
}

#[test]
fn a_damaged_file_is_named() {
    let world = World::new();
    world.sample(1, |_| false);
    let silver = world.lake().host_metrics().store().clone();
    let file = silver.files(&Selection::all()).unwrap().pop().unwrap();
    fs::write(&file.path, "not Parquet").unwrap();
    let found = world.examine();
    let schema = expect(&found, "schema", "problem");
    assert!(schema.text.contains(file.path.to_str().unwrap()), "{schema:?}");
    assert_eq!(schema.remedy, "telemetry-rollup verify");
}

#[test]
fn commands_are_for_the_lake_that_was_looked_at() {
    let world = World::new();
    let lake = world.path("another lake");
    let found = findings(&world.run(&["doctor", "--format", "json", "--lake", lake.to_str().unwrap()]));
    let lake = std::path::absolute(lake).unwrap();
    let quote = if cfg!(windows) { '"' } else { '\'' };
    let flag = format!("telemetry-collect -v --lake {quote}{}{quote}`", lake.display());
    assert!(expect(&found, "samples", "warning").remedy.ends_with(&flag), "{found:#?}");
}

#[test]
fn who_has_the_lock_is_told_and_not_disturbed() {
    let world = World::new();
    world.sample(2, |_| false);
    let command = std::env::args().collect::<Vec<_>>().join(" ");
    let holder = Holder { pid: std::process::id(), since: Utc::now(), command };
    let lock = world.lake().lock_collector(&host(), &holder).unwrap();
    let found = world.examine();
    let collector = &expect(&found, "collector", "ok").text;
    assert!(collector.starts_with(&format!("process {} since", holder.pid)), "{collector}");
    assert!(collector.ends_with(&format!("({}) is at work", holder.command)), "{collector}");
    assert!(world.lake().lock_collector(&host(), &holder).is_err(), "the lock is gone");
    drop(lock);
    assert_eq!(expect(&world.examine(), "collector", "ok").text, "not at work now");
}

#[cfg(unix)]
#[test]
fn a_lake_of_another_user_has_the_command_that_takes_it_over() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    use std::os::unix::process::CommandExt;
    const NOBODY: u32 = 65_534;

    let world = World::new();
    world.sample(2, |_| false);
    let mode =
        |path: &std::path::Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    let staging = world.lake().root().join(".staging");
    mode(&world.path(""), 0o755);
    mode(&staging, 0o555);
    let mut command = world.command(&["doctor", "--format", "json"]);
    // The superuser may write everywhere.
    if world.path("").metadata().unwrap().uid() == 0 {
        command.uid(NOBODY).gid(NOBODY);
    }
    let got = ended(command.output().unwrap());
    mode(&staging, 0o755);
    let found = findings(&got);
    let lake = expect(&found, "lake", "problem");
    assert!(lake.text.contains("permission denied for ") && lake.text.contains(".staging"), "{lake:?}");
    assert!(lake.remedy.starts_with("sudo chown --recursive"), "{lake:?}");
    assert!(expect(&found, "samples", "ok").text.contains("the last sample of pi"), "{found:#?}");
}

/// Whoever opens a pipe that nobody writes to waits for ever, as on a mount whose server is gone.
#[cfg(unix)]
#[test]
fn a_lake_that_hangs_is_told_at_the_deadline() {
    let world = World::new();
    world.sample(1, |_| false);
    let state = world.lake().root().join(".state/@lake");
    fs::create_dir_all(&state).unwrap();
    let made = std::process::Command::new("mkfifo").arg(state.join("alerts.json")).status().unwrap();
    assert!(made.success());
    let begun = std::time::Instant::now();
    let mut doctor = world.command(&["doctor", "--format", "json", "--deadline", "700ms"]).spawn().unwrap();
    while doctor.try_wait().unwrap().is_none() {
        if begun.elapsed().as_secs() > 20 {
            doctor.kill().unwrap();
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    let elapsed = begun.elapsed();
    let found = findings(&ended(doctor.wait_with_output().unwrap()));
    assert!(expect(&found, "lake", "problem").text.ends_with("has not answered in 700ms"), "{found:#?}");
    assert!((700..5_000).contains(&elapsed.as_millis()), "{elapsed:?}");
    expect(&found, "configuration", "ok");
    assert!(found.iter().any(|finding| finding.check == "temperature"), "{found:#?}");
}

#[test]
fn bad_configuration_ends_with_78_and_wrong_usage_with_2() {
    let world = World::new();
    let got = ended(world.command(&["doctor"]).env("TELEMETRY_HOSTID", "pi").output().unwrap());
    assert_eq!(got.code, 78, "{got:?}");
    assert!(got.stderr.contains("did you mean `host_id`?"), "{}", got.stderr);
    for arguments in [&[][..], &["doctor", "--format", "yaml"], &["doctor", "--deadline", "soon"], &["cure"]]
    {
        let got = world.run(arguments);
        assert_eq!(got.code, 2, "{arguments:?}: {got:?}");
    }
}

#[test]
fn help_shows_examples_and_exit_codes() {
    let got = World::new().run(&["--help"]);
    assert_eq!(got.code, 0);
    for part in
        ["telemetry doctor", "Exit codes: 0 nothing is wrong;", "3 something is wrong", "--lake <DIR>"]
    {
        assert!(got.stdout.contains(part), "no {part:?} in the help");
    }
}
