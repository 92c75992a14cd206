//! What a user sees of `telemetry-collect`.

use crate::support::{World, ended};
use telemetry_schema::missing_required;

#[test]
fn one_sample_without_a_word() {
    let world = World::new();
    let got = world.run(&[]);
    assert_eq!((got.code, got.stdout.as_str(), got.stderr.as_str()), (0, "", ""));
    let (samples, files) = world.samples();
    assert_eq!((samples.len(), files), (1, 1));
    assert_eq!(missing_required(&samples[0]), Vec::<&str>::new());
    assert_eq!((samples[0].host_id.as_str(), samples[0].sample_interval_seconds), ("pi", Some(10)));
    assert_eq!(samples[0].os.as_deref(), Some(std::env::consts::OS));
    assert_eq!(samples[0].process_rss_mb, None);
    assert_eq!(samples[0].as_of.timestamp_subsec_micros() % 1000, 0, "rounded to the millisecond");
}

#[test]
fn printed_samples_are_the_stored_ones() {
    let world = World::new();
    let got = world.run(&["--print", "json", "--include-process-metrics", "true", "--run-id", "run-7"]);
    assert_eq!(got.code, 0, "{}", got.stderr);
    let printed: serde_json::Value = serde_json::from_str(&got.stdout).unwrap();
    let (samples, _) = world.samples();
    assert_eq!(printed, serde_json::to_value(&samples[0]).unwrap());
    assert_eq!(samples[0].run_id.as_deref(), Some("run-7"));
    assert!(samples[0].process_rss_mb.is_some() && samples[0].process_cpu_pct.is_some());
    let got = world.run(&["--print", "table"]);
    assert!(got.stdout.contains("cpu_pct") && !got.stdout.contains('\u{1b}'), "{}", got.stdout);
}

#[test]
fn the_run_id_can_come_from_the_environment() {
    let world = World::new();
    let got = ended(world.command(&[]).env("TELEMETRY_RUN_ID", "nightly").output().unwrap());
    assert_eq!(got.code, 0, "{}", got.stderr);
    assert_eq!(world.samples().0[0].run_id.as_deref(), Some("nightly"));
}

#[test]
fn a_burst_is_one_file_of_aligned_samples() {
    let world = World::new();
    let got = world.run(&["--samples", "3", "--interval", "2s"]);
    assert_eq!(got.code, 0, "{}", got.stderr);
    let (samples, files) = world.samples();
    assert_eq!((samples.len(), files), (3, 1));
    for pair in samples.windows(2) {
        let at = pair[1].as_of;
        assert_eq!(at.timestamp() % 2, 0, "{at} is no tick");
        let window = pair[1].cpu_interval_seconds.unwrap();
        let between = (at - pair[0].as_of).as_seconds_f64();
        assert!((window - between).abs() < 0.25, "measured over {window} s of {between} s");
    }
    assert!(samples.iter().all(|sample| sample.sample_interval_seconds == Some(2)));
}

#[cfg(target_os = "linux")]
#[test]
fn a_run_measures_the_processor_since_the_run_before() {
    let world = World::new();
    assert_eq!(world.run(&[]).code, 0);
    std::thread::sleep(std::time::Duration::from_millis(1_200));
    let begun = std::time::Instant::now();
    assert_eq!(world.run(&[]).code, 0);
    let waited = begun.elapsed();
    assert!(waited.as_millis() < 450, "waited {waited:?} for a window");
    let (mut samples, _) = world.samples();
    samples.sort_by_key(|sample| sample.as_of);
    let between = (samples[1].as_of - samples[0].as_of).as_seconds_f64();
    let window = samples[1].cpu_interval_seconds.unwrap();
    assert!((window - between).abs() < 0.2, "measured over {window} s of {between} s");
}

#[test]
fn an_unplugged_interface_costs_its_own_columns_only() {
    let world = World::new();
    let got = world.run(&["--network-interface", "unplugged0"]);
    assert_eq!(got.code, 3);
    assert!(got.stderr.contains("net_rx_bytes, net_tx_bytes"), "{}", got.stderr);
    let (samples, _) = world.samples();
    assert_eq!((samples[0].net_rx_bytes, samples[0].net_tx_bytes), (None, None));
    assert!(samples[0].cpu_pct.is_some() && samples[0].disk_root_free_gb.is_some());
}

#[test]
fn a_disk_that_is_not_there_costs_its_own_columns_only() {
    let world = World::new();
    let got = world.run(&["--disk-mount", "/no/such/mount"]);
    assert_eq!(got.code, 3);
    assert!(got.stderr.contains("disk_root_total_gb, disk_root_free_gb"), "{}", got.stderr);
    let (samples, _) = world.samples();
    assert_eq!(samples[0].disk_root_total_gb, None);
    assert!(samples[0].cpu_pct.is_some() && samples[0].net_rx_bytes.is_some());
}

#[test]
fn switched_off_writes_nothing() {
    let world = World::new();
    let got = world.run(&["--enabled", "false"]);
    assert_eq!(got.code, 0);
    assert!(got.stderr.contains("enabled = false"), "{}", got.stderr);
    assert!(!world.lake().exists());
}

#[test]
fn a_lake_that_cannot_be_is_named_with_what_to_do() {
    let world = World::new();
    std::fs::write(world.path("file"), "in the way").unwrap();
    let lake = world.path("file").display().to_string();
    let got = world.run(&["--lake", &lake]);
    assert_eq!(got.code, 72, "{}", got.stderr);
    assert!(got.stderr.contains(&lake) && got.stderr.contains("--lake DIR"), "{}", got.stderr);
    let lake = world.path("no/such/parent").display().to_string();
    let got = world.run(&["--lake", &lake]);
    assert_eq!(got.code, 72, "{}", got.stderr);
    assert!(got.stderr.contains("is its file system mounted?"), "{}", got.stderr);
}

#[test]
fn wrong_usage_ends_with_2() {
    let world = World::new();
    for arguments in [
        &["--samples", "0"][..],
        &["--interval", "10"],
        &["--interval", "1500ms"],
        &["--interval", "0s"],
        &["--watch", "--samples", "3"],
        &["--print", "yaml"],
        &["stray"],
    ] {
        let got = world.run(arguments);
        assert_eq!(got.code, 2, "{arguments:?}: {}", got.stderr);
        assert!(got.stderr.contains("error: "), "{}", got.stderr);
    }
    assert!(!world.lake().exists());
}

#[test]
fn help_shows_examples_and_exit_codes() {
    let got = World::new().run(&["--help"]);
    assert_eq!(got.code, 0);
    for part in ["--samples 6 --interval 10s", "Exit codes:", "--lake <DIR>", "75"] {
        assert!(got.stdout.contains(part), "no {part:?} in the help");
    }
}
