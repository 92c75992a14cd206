//! Samples that wait in the spool, and what becomes of them.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::DirEntry;
use std::io::Read as _;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use chrono::{DateTime, TimeDelta, Utc};
use telemetry_repository::{Lake, Spool};
use telemetry_schema::host_metrics::names;
use telemetry_schema::{HOST_METRICS, HostId, HostMetricsSample, Row as _, Value};

use crate::support::{Ended, World, ended};

pub(crate) const INTERVAL: &str = "TELEMETRY__COLLECT__PUBLISH_INTERVAL_MINUTES";
const DURABILITY: &str = "TELEMETRY__COLLECT__DURABILITY";
/// A publication of so many files takes long enough to be killed in, also where no directory is synced.
const DATES: i64 = 4;
/// A run of cron, but shorter.
const MINUTE: [&str; 4] = ["--samples", "2", "--interval", "1s"];

impl World {
    fn run_with_interval(&self, minutes: &str, arguments: &[&str]) -> Ended {
        ended(self.command(arguments).env(INTERVAL, minutes).output().unwrap())
    }

    pub(crate) fn spool(&self) -> Spool {
        Lake::new(self.lake()).open_spool(&HostId::parse("pi").unwrap()).unwrap()
    }

    /// All names below a directory of the lake.
    fn entries(&self, directory: &str) -> Vec<OsString> {
        entries(&self.lake().join(directory))
    }

    /// Returns when these are no longer the names below the directory, or after two seconds.
    fn wait_for_change(&self, directory: &str, before: &[OsString]) {
        let begun = Instant::now();
        while self.entries(directory) == before && begun.elapsed() < Duration::from_secs(2) {
            std::thread::sleep(Duration::from_micros(100));
        }
    }

    /// A sample of the hour before the last one, as an earlier run left it.
    fn seed(&self, millisecond: i64) -> DateTime<Utc> {
        self.seed_dates(millisecond, 1)[0]
    }

    /// Samples of that hour of so many dates, one each.
    fn seed_dates(&self, millisecond: i64, dates: i64) -> Vec<DateTime<Utc>> {
        let before = Utc::now() - TimeDelta::hours(2);
        let hour = DateTime::from_timestamp(before.timestamp().div_euclid(3600) * 3600, 0).unwrap();
        let last = hour + TimeDelta::milliseconds(millisecond);
        let times: Vec<_> = (0..dates).rev().map(|day| last - TimeDelta::days(day)).collect();
        let sample = |as_of: &DateTime<Utc>| {
            let cell = |name| match name {
                names::as_of => Value::TimestampUs(as_of.timestamp_micros()),
                names::host_id => Value::String("pi".into()),
                _ => Value::Null,
            };
            let cells: Vec<_> = HOST_METRICS.columns.iter().map(|column| cell(column.name)).collect();
            HostMetricsSample::from_values(&cells).unwrap()
        };
        let mut samples: Vec<_> = times.iter().map(sample).collect();
        self.spool().append(&mut samples, None, true).unwrap();
        times
    }
}

fn entries(directory: &Path) -> Vec<OsString> {
    let Ok(names) = std::fs::read_dir(directory) else { return Vec::new() };
    let below = |entry: DirEntry| {
        // Asking every file for its entries would take longer than a publication.
        let is_directory = entry.file_type().is_ok_and(|kind| kind.is_dir());
        let below = if is_directory { entries(&entry.path()) } else { Vec::new() };
        [vec![entry.file_name()], below].concat()
    };
    names.flatten().flat_map(below).collect()
}

/// So that no hour ends while a test takes its samples.
pub(crate) fn wait_for_the_hour_to_pass() {
    let second = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs() % 3600;
    if second > 3600 - 20 {
        std::thread::sleep(Duration::from_secs(3601 - second));
    }
}

#[test]
fn without_an_interval_there_is_no_spool() {
    let world = World::new();
    assert_eq!(world.run(&[]).code, 0);
    assert!(!world.lake().join(".spool").exists());
    assert_eq!(world.samples().0[0].dropped_samples, None);
    assert_eq!(world.run(&["--publish"]).code, 0, "nothing waits");
    assert_eq!(world.run(&["--publish", "--watch"]).code, 2);
}

#[test]
fn samples_wait_for_their_interval_and_are_one_file_then() {
    wait_for_the_hour_to_pass();
    let world = World::new();
    for _ in 0..2 {
        let got = world.run_with_interval("60", &MINUTE);
        assert_eq!((got.code, got.stderr.as_str()), (0, ""));
    }
    assert_eq!(world.samples(), (Vec::new(), 0));
    assert_eq!(world.spool().waiting().samples, 4);
    let got = world.run_with_interval("60", &["--publish"]);
    assert_eq!((got.code, got.stderr.as_str()), (0, ""));
    let (samples, files) = world.samples();
    assert_eq!((samples.len(), files), (4, 1));
    assert!(samples.iter().all(|sample| sample.dropped_samples == Some(0)));
    let window = samples[2].cpu_interval_seconds.unwrap();
    let between = (samples[2].as_of - samples[1].as_of).as_seconds_f64();
    // Elsewhere a run does not know what the one before has read.
    assert!(
        cfg!(not(target_os = "linux")) || (window - between).abs() < 0.25,
        "the second run measured over {window} s of {between} s"
    );
}

#[test]
fn what_is_due_is_published_before_the_first_sample() {
    wait_for_the_hour_to_pass();
    let world = World::new();
    let seeded: Vec<_> = (0..3).map(|n| world.seed(n)).collect();
    let got = world.run_with_interval("5", &MINUTE[..0]);
    assert_eq!((got.code, got.stderr.as_str()), (0, ""));
    let (samples, files) = world.samples();
    let published: Vec<_> = samples.iter().map(|sample| sample.as_of).collect();
    assert_eq!((published, files), (seeded, 1));
    assert_eq!(world.spool().waiting().samples, 1);
    // Who goes back to publishing each run does not leave anything behind.
    assert_eq!(world.run_with_interval("0", &[]).code, 0);
    assert_eq!((world.samples().0.len(), world.spool().waiting().samples), (5, 0));
}

#[test]
fn damage_is_named_and_the_rest_is_published() {
    wait_for_the_hour_to_pass();
    let world = World::new();
    let seeded: Vec<_> = (0..3).map(|n| world.seed(n)).collect();
    let journal = world.lake().join(".spool/pi/journal");
    let mut bytes = std::fs::read(&journal).unwrap();
    let frames: Vec<_> = (0..bytes.len() - 4).filter(|at| bytes[*at..].starts_with(b"TMf1")).collect();
    bytes[frames[1] + 70] ^= 1;
    std::fs::write(&journal, bytes).unwrap();
    let got = world.run_with_interval("60", &[]);
    assert_eq!(got.code, 3, "{}", got.stderr);
    // On Windows the path is told with two backslashes between its parts.
    let told = got.stderr.replace("\\\\", "/");
    let parts =
        ["spool is damaged, the rest of it is kept", ".quarantine/.spool/pi/segment-0-", "lost_frames=1"];
    assert!(parts.iter().all(|part| told.contains(part)), "{}", got.stderr);
    let published: Vec<_> = world.samples().0.iter().map(|sample| sample.as_of).collect();
    assert_eq!(published, [seeded[0], seeded[2]]);
    let again = world.run_with_interval("60", &[]);
    assert_eq!((again.code, again.stderr.as_str()), (0, ""), "told twice");
}

/// Kills a run so often; each begins with a publication that is due.
fn kill(arguments: &[&str], times: u64) {
    wait_for_the_hour_to_pass();
    let world = World::new();
    let arguments = [arguments, &["--print", "json"]].concat();
    let mut random = Random(17);
    let mut acknowledged: BTreeMap<String, String> = BTreeMap::new();
    let mut unfinished = 0;
    for n in 0..times {
        let seeded = world.seed_dates(n.cast_signed(), DATES);
        let seeded = seeded.iter().map(|as_of| (serde_json::to_string(as_of).unwrap(), "seed".to_owned()));
        acknowledged.extend(seeded);
        let [staging, silver] = [".staging", "silver/ops_host_metrics"];
        let before = [staging, silver].map(|directory| world.entries(directory));
        let mut run =
            world.command(&arguments).env(INTERVAL, "60").env(DURABILITY, "sample").spawn().unwrap();
        match n % 4 {
            // However long the start takes, some come as far as samples of their own.
            0 => {
                world.wait_for_change(silver, &before[1]);
                std::thread::sleep(Duration::from_millis(random.below(1_500)));
            }
            1 => std::thread::sleep(Duration::from_millis(random.below(150))),
            2 => world.wait_for_change(staging, &before[0]),
            _ => world.wait_for_change(silver, &before[1]),
        }
        run.kill().unwrap();
        let mut printed = String::new();
        run.stdout.take().unwrap().read_to_string(&mut printed).unwrap();
        run.wait().unwrap();
        for line in printed.split_inclusive('\n').filter(|line| line.ends_with('\n')) {
            let row: serde_json::Value = serde_json::from_str(line).unwrap();
            acknowledged.insert(row["as_of"].to_string(), row.to_string());
        }
        let mut spool = world.spool();
        if spool.waiting().is_urgent {
            // The next run completes it.
            unfinished += 1;
        } else {
            spool.publish().unwrap();
        }
    }
    let got = world.run_with_interval("60", &["--publish"]);
    assert_eq!((got.code, got.stderr.as_str()), (0, ""));
    let mut stored: BTreeMap<String, String> = BTreeMap::new();
    for sample in world.samples().0 {
        let row = serde_json::to_value(&sample).unwrap();
        let before = stored.insert(row["as_of"].to_string(), row.to_string());
        assert_eq!(before, None, "stored twice");
    }
    for (as_of, row) in &acknowledged {
        let found = stored.get(as_of);
        assert!(found.is_some_and(|found| row == "seed" || found == row), "{as_of} is not as acknowledged");
    }
    assert!(acknowledged.len() as u64 > DATES.unsigned_abs() * times, "no run came as far as a sample");
    assert!(10 * unfinished >= times, "only {unfinished} kills came within a publication");
}

struct Random(u64);

impl Random {
    fn below(&mut self, most: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % most
    }
}

#[test]
fn runs_of_cron_can_be_killed_at_any_moment() {
    kill(&MINUTE, 40);
}

#[test]
fn a_service_can_be_killed_at_any_moment() {
    kill(&["--watch", "--sample-interval-seconds", "1"], 40);
}

/// In a mount namespace of its own; the lake is copied out of it.
#[cfg(target_os = "linux")]
#[test]
fn a_full_lake_of_a_megabyte_loses_nothing() {
    wait_for_the_hour_to_pass();
    let world = World::new();
    std::fs::create_dir(world.path("mount")).unwrap();
    let script = r#"
        set -u
        mount -t tmpfs -o size=1m none "$MOUNT" || exit 99
        export TELEMETRY_LAKE="$MOUNT/lake"
        "$COLLECT" --samples 2 --interval 1s; echo "made $?"
        dd if=/dev/zero of="$MOUNT/filler" bs=4k 2>/dev/null
        "$COLLECT" --samples 2 --interval 1s; echo "full $?"
        "$COLLECT" --publish; echo "refused $?"
        "$COLLECT" --samples 2 --interval 1s; echo "full $?"
        rm "$MOUNT/filler"
        "$COLLECT" --publish; echo "free $?"
        cp -r "$TELEMETRY_LAKE" "$OUT"
    "#;
    let mut command = std::process::Command::new("unshare");
    let plain = world.command(&[]);
    let environment = plain.get_envs().filter_map(|(name, value)| Some((name, value?)));
    command.args(["--map-root-user", "--mount", "sh", "-c", script]).envs(environment);
    command.env(INTERVAL, "60").env("COLLECT", crate::support::program());
    command.env("MOUNT", world.path("mount")).env("OUT", world.lake());
    let got = ended(command.output().expect("apt-get install util-linux"));
    let expected = ["made 0", "full 0", "refused 73", "full 0", "free 0"];
    let said: Vec<&str> = got.stdout.lines().collect();
    assert_eq!(said, expected, "needs user namespaces, or root; {}", got.stderr);
    assert!(got.stderr.contains("no space left for"), "{}", got.stderr);
    let (samples, files) = world.samples();
    assert_eq!((samples.len(), files), (6, 1));
    assert!(samples.iter().all(|sample| sample.dropped_samples == Some(0)));
}
