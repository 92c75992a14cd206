//! Clocks that start in the past, step and stand still. libfaketime moves the wall clock alone, as a
//! step does; a time namespace makes the machine young, a mount namespace makes it boot.

use std::path::PathBuf;
use std::process::{Child, Command};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use telemetry_repository::Lake;
use telemetry_schema::{HostId, HostMetricsSample};

use crate::support::{Ended, World, ended, program};

const INTERVAL: &str = "TELEMETRY__COLLECT__PUBLISH_INTERVAL_MINUTES";
const HOUR: i64 = 3_600;
/// Longer than the time since 1970 of any run of this test.
const TO_1970: i64 = -56 * 365 * 24 * HOUR;
/// What starting the program and a busy disk may take: far less than the clocks here are off.
const MOST_DELAY: TimeDelta = TimeDelta::seconds(60);

/// What the dynamic linker is told, so that a program's wall clock is off by what a file says.
fn fake_clock(file: &std::path::Path) -> Vec<(&'static str, String)> {
    let find = |directory: PathBuf| directory.join("faketime/libfaketimeMT.so.1");
    let directories = std::fs::read_dir("/usr/lib").unwrap().map(|entry| entry.unwrap().path());
    let library = directories.map(find).find(|path| path.exists()).expect("apt-get install faketime");
    vec![
        ("LD_PRELOAD", library.display().to_string()),
        ("FAKETIME_TIMESTAMP_FILE", file.display().to_string()),
        ("FAKETIME_NO_CACHE", "1".to_owned()),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
        ("TZ", "UTC".to_owned()),
    ]
}

impl World {
    /// Sets the clock of all programs that are started by [`World::clocked`], also while they run.
    fn set_clock(&self, off: i64) {
        std::fs::write(self.path("clock.new"), format!("{off:+}\n")).unwrap();
        std::fs::rename(self.path("clock.new"), self.path("clock")).unwrap();
    }

    fn clocked(&self, arguments: &[&str]) -> Command {
        let mut command = self.command(arguments);
        command.envs(fake_clock(&self.path("clock")));
        command
    }

    fn run_at(&self, off: i64, arguments: &[&str]) -> Ended {
        self.set_clock(off);
        ended(self.clocked(arguments).output().unwrap())
    }

    fn waiting(&self) -> usize {
        let spool = Lake::new(self.lake()).find_spool(&HostId::parse("pi").unwrap()).unwrap();
        spool.map_or(0, |spool| spool.waiting().samples)
    }

    /// Samples by age.
    fn silver(&self) -> Vec<HostMetricsSample> {
        let (mut samples, _) = self.samples();
        samples.sort_by(|one, other| one.uptime_seconds.partial_cmp(&other.uptime_seconds).unwrap());
        samples
    }

    fn dates(&self) -> Vec<String> {
        let Ok(dates) = std::fs::read_dir(self.lake().join("silver/ops_host_metrics")) else {
            return Vec::new();
        };
        dates.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }
}

fn assert_near(sample: &HostMetricsSample, begun: DateTime<Utc>) {
    let late = sample.as_of - begun;
    assert!(late > -TimeDelta::seconds(2) && late < MOST_DELAY, "{} is {late} after {begun}", sample.as_of);
}

#[test]
fn a_start_in_1970_is_dated_once_the_clock_is_set() {
    for interval in ["0", "60"] {
        let world = World::new();
        let mut begun = Vec::new();
        for _ in 0..3 {
            begun.push(Utc::now());
            world.set_clock(TO_1970);
            let got = ended(world.clocked(&[]).env(INTERVAL, interval).output().unwrap());
            let said = "clock is not set, samples wait in the spool until it is (timedatectl)";
            assert_eq!((got.code, got.stderr.matches(said).count()), (3, 1), "{}", got.stderr);
        }
        assert_eq!((world.waiting(), world.dates()), (3, vec![]));
        let got = world.run_at(TO_1970, &["--publish"]);
        assert_eq!((got.code, world.waiting()), (3, 3), "{}", got.stderr);
        begun.push(Utc::now());
        world.set_clock(0);
        let got = ended(world.clocked(&[]).env(INTERVAL, "0").output().unwrap());
        assert_eq!((got.code, got.stderr.as_str(), world.waiting()), (0, "", 0));
        let samples = world.silver();
        assert_eq!(samples.len(), 4);
        samples.iter().zip(begun).for_each(|(sample, begun)| assert_near(sample, begun));
        assert!(world.dates().iter().all(|date| date.starts_with("date=20")), "{:?}", world.dates());
    }
}

/// Runs a script on a machine that was started a hundred seconds ago and has systemd's time service,
/// which has not reached a time server. Its clock is off by as many seconds as `clock` was told.
fn on_a_young_machine(world: &World, script: &str) -> Ended {
    let uptime: f64 =
        std::fs::read_to_string("/proc/uptime").unwrap().split(' ').next().unwrap().parse().unwrap();
    let prelude = r#"
        set -u
        mount -t tmpfs none /run && mkdir -p /run/systemd/timesync || exit 99
        clock() { printf '%+d\n' "$1" > "$CLOCK"; }
        boots() { echo "$1" > /run/boot; mount --bind /run/boot /proc/sys/kernel/random/boot_id || exit 99; }
        synchronises() { touch /run/systemd/timesync/synchronized; }
        collects() { env $FAKE "$COLLECT" "$@"; echo "$*:$?"; }
        boots 3f8a0f2c-9d1e-4c55-8c1b-0a4fcb2f6f60
    "#;
    let mut command = Command::new("unshare");
    let plain = world.command(&[]);
    let environment = plain.get_envs().filter_map(|(name, value)| Some((name, value?)));
    let fake = fake_clock(&world.path("clock"));
    let fake: Vec<_> = fake.iter().map(|(name, value)| format!("{name}={value}")).collect();
    command.args(["--map-root-user", "--mount", "--time", "--fork"]);
    let boottime = (100 - uptime as i64).to_string();
    command.arg(format!("--boottime={boottime}"));
    command.args(["sh", "-c", &format!("{prelude}{script}")]).envs(environment);
    command.env("COLLECT", program()).env("CLOCK", world.path("clock"));
    command.env("FAKE", fake.join(" ")).env("BOOTTIME", boottime);
    let got = ended(command.output().expect("apt-get install util-linux"));
    assert_ne!(got.code, 99, "needs user namespaces, or root; {}", got.stderr);
    got
}

#[test]
fn an_unsynchronised_boot_waits_for_its_time_server() {
    let world = World::new();
    let begun = Utc::now();
    let got = on_a_young_machine(
        &world,
        r"
        clock -10800; collects; collects --samples 2 --interval 1s; collects --publish
        clock 0; collects --samples 2 --interval 1s; ls $TELEMETRY_LAKE
        synchronises; collects; ls $TELEMETRY_LAKE
        ",
    );
    let said: Vec<_> = got.stdout.lines().collect();
    let expected =
        [":0", "--samples 2 --interval 1s:0", "--publish:0", "--samples 2 --interval 1s:0", ":0", "silver"];
    assert_eq!(said, expected, "{}", got.stderr);
    let told = " WARN clock is not synchronised, samples stay in the spool samples=3\n";
    assert_eq!(got.stderr, told, "but for --publish there is nothing to tell");
    let samples = world.silver();
    assert_eq!((samples.len(), world.waiting()), (6, 0));
    for sample in &samples {
        let age = TimeDelta::milliseconds((1e3 * (sample.uptime_seconds.unwrap() - 100.0)) as i64);
        assert_near(sample, begun + age);
    }
    let synced: Vec<_> = samples.iter().map(|sample| sample.clock_synced.unwrap()).collect();
    assert_eq!(synced, [false, false, false, false, false, true], "as it was when they were taken");
}

#[test]
fn without_a_time_server_an_hour_is_enough() {
    let world = World::new();
    let begun = Utc::now();
    let got = on_a_young_machine(
        &world,
        r#"
        clock -600; collects; ls $TELEMETRY_LAKE; clock 3000
        unshare --time --boottime=$((BOOTTIME + 3600)) --fork env $FAKE "$COLLECT"; echo "later:$?"
        "#,
    );
    assert_eq!((got.stdout.as_str(), got.stderr.as_str()), (":0\nlater:0\n", ""));
    let samples = world.silver();
    assert_eq!((samples.len(), world.waiting()), (2, 0));
    assert!(samples.iter().all(|sample| sample.clock_synced == Some(false)));
    for (sample, off) in samples.iter().zip([-600, 3_000]) {
        assert_near(sample, begun + TimeDelta::seconds(off));
    }
}

#[test]
fn what_a_boot_left_that_never_knew_the_time_is_set_aside() {
    let world = World::new();
    let got = on_a_young_machine(
        &world,
        &format!(
            "clock {TO_1970}; collects; boots 9b2d3c4e-0000-4c55-8c1b-0a4fcb2f6f60; collects
            clock 0; synchronises; collects; collects"
        ),
    );
    let said: Vec<_> = got.stdout.lines().collect();
    assert_eq!(said, [":3", ":3", ":0", ":0"], "{}", got.stderr);
    let told = "samples of a boot whose clock was never set cannot be dated, set aside";
    assert_eq!(got.stderr.matches(told).count(), 1, "{}", got.stderr);
    assert_eq!((world.silver().len(), world.waiting()), (3, 0));
    let aside = std::fs::read_dir(world.lake().join(".quarantine/.spool/pi")).unwrap();
    let aside: Vec<_> = aside.map(|entry| entry.unwrap().path()).collect();
    assert_eq!(aside.len(), 1);
    assert_eq!(std::fs::read_to_string(&aside[0]).unwrap().lines().count(), 1);
}

/// A service, and the clock that is moved under it.
struct Service<'a> {
    world: &'a World,
    process: Child,
}

impl Service<'_> {
    fn signal(&self, signal: &str) {
        let kill = Command::new("kill").args([signal, &self.process.id().to_string()]).status();
        assert!(kill.unwrap().success());
    }

    fn runs(&self, seconds: f64) {
        std::thread::sleep(Duration::from_secs_f64(seconds));
    }
}

/// Ends the service; its samples by age, each stored once and none missing.
fn all_samples(service: Service<'_>) -> Vec<HostMetricsSample> {
    service.signal("-TERM");
    let world = service.world;
    let got = ended(service.process.wait_with_output().unwrap());
    assert_eq!(got.code, 0, "{}", got.stderr);
    let stored = world.silver();
    // Those that waited were printed with the time that the clock showed.
    let ages = |samples: &[HostMetricsSample]| {
        samples.iter().map(|sample| sample.uptime_seconds.unwrap()).collect::<Vec<_>>()
    };
    let mut printed: Vec<f64> = got
        .stdout
        .lines()
        .map(|line| {
            serde_json::from_str::<serde_json::Value>(line).unwrap()["uptime_seconds"].as_f64().unwrap()
        })
        .collect();
    printed.sort_by(f64::total_cmp);
    assert_eq!(ages(&stored), printed, "{}", got.stderr);
    stored
}

fn watch(world: &World) -> Service<'_> {
    let arguments = ["--watch", "--sample-interval-seconds", "1", "--print", "json"];
    Service { world, process: world.clocked(&arguments).spawn().unwrap() }
}

#[test]
fn steps_under_a_service_cost_no_sample() {
    let world = World::new();
    world.set_clock(0);
    let service = watch(&world);
    service.runs(2.5);
    for off in [HOUR, 0, -HOUR, -3, 0, TO_1970, 0] {
        world.set_clock(off);
        service.runs(1.7);
    }
    let samples = all_samples(service);
    // Of 14: a disk that others keep busy holds up who publishes to it.
    assert!(samples.len() >= 10, "only {} samples", samples.len());
    for pair in samples.windows(2) {
        let gap = pair[1].uptime_seconds.unwrap() - pair[0].uptime_seconds.unwrap();
        assert!(gap > 0.05, "two samples within {gap} s");
    }
    assert!(world.dates().iter().all(|date| date.starts_with("date=20")), "{:?}", world.dates());
    assert_eq!(world.waiting(), 0);
}

#[test]
fn a_service_that_was_suspended_goes_on() {
    let world = World::new();
    world.set_clock(-2 * HOUR);
    let service = watch(&world);
    service.runs(3.2);
    service.signal("-STOP");
    service.runs(2.0);
    world.set_clock(-HOUR);
    service.signal("-CONT");
    service.runs(3.2);
    let samples = all_samples(service);
    assert!(samples.len() >= 4, "only {} samples", samples.len());
    let steps = samples.windows(2).filter(|pair| pair[1].as_of - pair[0].as_of > TimeDelta::minutes(59));
    assert_eq!(steps.count(), 1);
}
