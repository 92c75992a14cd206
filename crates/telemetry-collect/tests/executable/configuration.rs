//! Each key from file, environment and flag; each bad one with its code, its name, and nothing
//! written.

use crate::support::{Ended, World, ended, write};

/// Key, a good value as TOML, the same as text.
const KEYS: [(&str, &str, &str); 8] = [
    ("enabled", "false", "false"),
    ("host_id", "\"kitchen-pi\"", "kitchen-pi"),
    ("sample_interval_seconds", "30", "30"),
    ("rollup_interval_minutes", "15", "15"),
    ("include_process_metrics", "true", "true"),
    ("disk_mount", "\"/tmp\"", "/tmp"),
    ("network_interface", "\"eth7\"", "eth7"),
    ("lake", "\"/somewhere\"", "/somewhere"),
];

fn variable(key: &str) -> String {
    format!("TELEMETRY_{}", key.to_uppercase())
}

fn flag(key: &str) -> String {
    format!("--{}", key.replace('_', "-"))
}

/// A run with a value said in one place only.
fn run_with(world: &World, origin: &str, key: &str, toml: &str, text: &str, more: &[&str]) -> Ended {
    let mut command = world.command(more);
    match origin {
        "file" => {
            let file = write(&world.path("telemetry.toml"), &format!("{key} = {toml}\n"));
            command.env_remove(variable(key)).args(["--config", &file]);
        }
        "environment" => {
            command.env(variable(key), text);
        }
        _ => {
            command.env_remove(variable(key)).arg(format!("{}={text}", flag(key)));
        }
    }
    ended(command.output().unwrap())
}

#[test]
fn each_key_works_from_file_environment_and_flag() {
    let world = World::new();
    for (key, toml, text) in KEYS {
        for (origin, shown) in [
            ("file", world.path("telemetry.toml").display().to_string()),
            ("environment", format!("environment {}", variable(key))),
            ("flag", format!("flag {}", flag(key))),
        ] {
            let got = run_with(&world, origin, key, toml, text, &["--print-config"]);
            assert_eq!(got.code, 0, "{}", got.stderr);
            let line = got.stdout.lines().find(|line| line.starts_with(&format!("{key} = "))).unwrap();
            let (value, from) = line.split_once('#').unwrap();
            assert_eq!((value.trim(), from.trim()), (format!("{key} = {toml}").as_str(), shown.as_str()));
        }
    }
    assert!(!world.lake().exists(), "showing the configuration wrote something");
}

#[test]
fn later_layers_win() {
    let world = World::new();
    let file = write(&world.path("a.toml"), "sample_interval_seconds = 20\nrollup_interval_minutes = 20\n");
    let mut command =
        world.command(&["--config", &file, "--sample-interval-seconds", "40", "--print-config"]);
    let got = ended(command.env("TELEMETRY_SAMPLE_INTERVAL_SECONDS", "30").output().unwrap());
    assert!(got.stdout.contains("sample_interval_seconds = 40"), "{}", got.stdout);
    assert!(got.stdout.contains("rollup_interval_minutes = 20"), "{}", got.stdout);
}

#[test]
fn bad_values_end_the_program_before_anything_is_written() {
    let long = "a".repeat(300);
    let quoted_long = format!("\"{long}\"");
    let cases: [(&str, &str, &str, &str); 10] = [
        ("sample_interval_seconds", "0", "0", "from 1 to 86400"),
        ("sample_interval_seconds", "\"ten\"", "ten", "expected a whole number"),
        ("rollup_interval_minutes", "7", "7", "does not divide a day"),
        ("rollup_interval_minutes", "0", "0", "does not divide a day"),
        ("enabled", "\"maybe\"", "maybe", "expected a boolean"),
        ("include_process_metrics", "2", "2", "expected a boolean"),
        ("host_id", "\"../x\"", "../x", "[A-Za-z0-9][A-Za-z0-9._-]{0,62}"),
        ("host_id", "\"\"", "", "[A-Za-z0-9][A-Za-z0-9._-]{0,62}"),
        ("host_id", &quoted_long, &long, "[A-Za-z0-9][A-Za-z0-9._-]{0,62}"),
        ("network_interface", "\"\"", "", "the name of an interface"),
    ];
    for (key, toml, text, allowed) in cases {
        let world = World::new();
        for (origin, code, name) in [
            ("file", 78, world.path("telemetry.toml").display().to_string()),
            ("environment", 78, variable(key)),
            ("flag", 2, flag(key)),
        ] {
            let got = run_with(&world, origin, key, toml, text, &[]);
            assert_eq!(got.code, code, "{key} by {origin}: {}", got.stderr);
            for part in [key, allowed, &name] {
                assert!(got.stderr.contains(part), "no {part:?} in {}", got.stderr);
            }
            assert_eq!(got.stdout, "");
        }
        assert!(!world.lake().exists(), "{key}: something was written");
    }
}

#[test]
fn unknown_keys_are_named_with_the_nearest_one() {
    let world = World::new();
    let file = write(&world.path("a.toml"), "sample_interval = 5\n");
    let got = world.run(&["--config", &file]);
    assert_eq!(got.code, 78);
    assert!(got.stderr.contains(&file) && got.stderr.contains("did you mean `sample_interval_seconds`?"));
    let got = ended(world.command(&[]).env("TELEMETRY_HOSTID", "pi").output().unwrap());
    assert_eq!(got.code, 78);
    assert!(got.stderr.contains("TELEMETRY_HOSTID") && got.stderr.contains("did you mean `host_id`?"));
    let got = world.run(&["--host", "pi"]);
    assert_eq!(got.code, 2);
    assert!(got.stderr.contains("--host-id"), "{}", got.stderr);
    assert!(!world.lake().exists());
}

#[test]
fn files_that_cannot_be_read_are_named() {
    let world = World::new();
    let nowhere = world.path("nowhere.toml").display().to_string();
    let got = world.run(&["--config", &nowhere]);
    assert_eq!(got.code, 78);
    assert!(got.stderr.contains(&nowhere), "{}", got.stderr);
    let broken = write(&world.path("broken.toml"), "host_id = \n");
    let got = world.run(&["--config", &broken]);
    assert_eq!(got.code, 78);
    assert!(got.stderr.contains(&broken) && got.stderr.contains("line 1"), "{}", got.stderr);
}

#[test]
fn the_user_s_own_file_is_read() {
    let world = World::new();
    let directory = world.path("home/telemetry");
    std::fs::create_dir_all(&directory).unwrap();
    write(&directory.join("telemetry.toml"), "sample_interval_seconds = 99\n");
    let got = world.run(&["--print-config"]);
    // On Unix the superuser has the system's file only.
    let is_read = cfg!(windows) || got.stdout.contains("home/telemetry/telemetry.toml");
    let expected = if is_read { "= 99" } else { "= 10" };
    assert!(got.stdout.contains(&format!("sample_interval_seconds {expected}")), "{}", got.stdout);
}
