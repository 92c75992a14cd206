//! Runs in which one call fails, whichever it is: nothing that is there is touched, a reader sees no
//! half of anything, and the next run finishes the work.
//!
//! strace has the call fail in the real program, so that no call is left out: those that read, too.
//! The ordinary tests take some of the calls, `cargo xtask faults` all of them.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use chrono::{DateTime, Days, TimeDelta, Utc};
use telemetry_schema::{HostId, HostMetricsSample};
use telemetry_trials::strace::{Call, Trace, Tracer, start};
use telemetry_trials::trials;

use crate::outcome::{Rows, check_seen, check_staging, rows, rows_but};
use crate::support::{Ended, World, ended, sample};

/// Of each verb, unless the environment says how many.
const FAULTS: usize = 8;
/// The device fails; it is full; a signal came.
const ERRORS: [&str; 3] = ["EIO", "ENOSPC", "EINTR"];

/// Runs at a time: much of a run is waiting for the disk, or for a collector that comes first.
const AT_A_TIME: usize = 4;

/// Done, failed, done in part, no space, the operating system failed.
const CODES: [i32; 5] = [0, 1, 3, 73, 74];

/// A verb on a lake, and what it makes of it when nothing fails.
struct Sweep<'a> {
    prepared: &'a World,
    arguments: &'a [&'a str],
    /// Names of files that were damaged before.
    damaged: &'a [OsString],
    before: Rows,
    after: Rows,
}

impl<'a> Sweep<'a> {
    /// Has calls of the verb fail, one a run, evenly spread over all of them.
    #[track_caller]
    fn run(prepared: &'a World, arguments: &'a [&'a str], damaged: &'a [OsString]) {
        let undisturbed = prepared.copy();
        let (got, trace) = run_under(&undisturbed, arguments, Tracer::counting);
        assert!([0, 3].contains(&got.code), "{got:?}");
        complete(&undisturbed, arguments, "nothing failed");
        let (before, after) = (rows_but(prepared, damaged), rows_but(&undisturbed, damaged));
        let sweep = Sweep { prepared, arguments, damaged, before, after };
        assert!(trace.calls.len() > 40, "{:?}", trace.calls);
        let faults = trace.faults(&ERRORS, trials("XTASK_TEST_FAULTS", FAULTS));
        let (next, by_call) = (AtomicUsize::new(0), Mutex::new(BTreeMap::<String, usize>::new()));
        std::thread::scope(|scope| {
            for _ in 0..AT_A_TIME {
                scope.spawn(|| {
                    while let Some((call, error)) = faults.get(next.fetch_add(1, Ordering::Relaxed)) {
                        if let Some(label) = sweep.fail(call, error) {
                            *by_call.lock().unwrap().entry(label).or_default() += 1;
                        }
                    }
                });
            }
        });
        let by_call = by_call.into_inner().unwrap();
        println!("{arguments:?}, of {} calls: {by_call:#?}", trace.calls.len());
        let failed: usize = by_call.values().sum();
        assert!(10 * failed >= 9 * faults.len(), "only {failed} of {} runs had a fault", faults.len());
    }

    /// Returns which call failed, if one did.
    fn fail(&self, call: &Call, error: &str) -> Option<String> {
        let world = self.prepared.copy();
        let (got, trace) = run_under(&world, self.arguments, |log| Tracer::failing(log, call, error));
        let failed = trace.failed();
        let what = format!("{error} in {} {}, {failed:?}: {got:?}", call.name, call.number);
        assert!(CODES.contains(&got.code) && !got.stderr.contains("panicked"), "{what}");
        let seen = rows_but(&world, self.damaged);
        check_seen(&seen, (&self.before, &self.after), true, &what);
        complete(&world, self.arguments, &what);
        assert!(rows_but(&world, self.damaged) == self.after, "another result: {what}");
        check_staging(&world, &what);
        failed
    }
}

fn run_under(world: &World, arguments: &[&str], tracer: impl Fn(&Path) -> Tracer) -> (Ended, Trace) {
    let log: PathBuf = world.path().with_extension("trace");
    let tracer = tracer(&log);
    let mut command = world.command_under(tracer.command_on_one_processor(), arguments);
    let run = start(command.stdout(Stdio::piped()).stderr(Stdio::piped()));
    let got = ended(run.wait_with_output().unwrap());
    (got, tracer.trace(&world.path()))
}

/// Lets the run be completed by the next.
#[track_caller]
fn complete(world: &World, arguments: &[&str], what: &str) {
    let got = world.run(arguments);
    // What is damaged is set aside, which `verify` says.
    let is_done = got.code == 0 && got.stderr.is_empty() || arguments == ["verify"] && got.code == 3;
    assert!(is_done, "{got:?} after {what}");
    let is_verb = arguments.first().is_some_and(|first| !first.starts_with("--"));
    world.build(if is_verb { &[] } else { arguments });
}

/// A machine that was hot for half an hour two days ago: its rollup has alerts.
fn hot_world() -> World {
    let world = World::new();
    let date = Utc::now().date_naive() - Days::new(2);
    let noon = date.and_time(chrono::NaiveTime::MIN).and_utc() + TimeDelta::hours(12);
    for (minute, minutes, celsius) in [(0, 20, 50.0), (20, 30, 85.0), (50, 100, 50.0)] {
        heat(&world, noon + TimeDelta::minutes(minute), minutes, celsius);
    }
    world
}

/// A sample each ten seconds.
fn heat(world: &World, from: DateTime<Utc>, minutes: i64, celsius: f64) {
    let row = |n: i64| HostMetricsSample {
        cpu_temp_c: Some(celsius),
        ..sample("pi", from + TimeDelta::seconds(10 * n))
    };
    let rows: Vec<HostMetricsSample> = (0..6 * minutes).map(row).collect();
    world.lake().host_metrics().append(&rows).unwrap();
}

#[test]
fn a_first_rollup() {
    let world = hot_world();
    let sweep = world.copy();
    sweep.build(&[]);
    assert!(rows(&sweep).keys().any(|(dataset, _)| dataset.contains("alerts")), "no alert to be written");
    Sweep::run(&world, &[], &[]);
}

#[test]
fn a_rollup_of_late_samples() {
    let world = hot_world();
    world.build(&[]);
    let date = Utc::now().date_naive() - Days::new(2);
    heat(&world, date.and_time(chrono::NaiveTime::MIN).and_utc() + TimeDelta::hours(15), 40, 90.0);
    Sweep::run(&world, &[], &[]);
}

#[test]
fn a_compaction() {
    let world = World::new();
    for day in 9..11 {
        world.append("pi", &format!("2026-03-{day:02}T23:50:03Z"), 59);
        world.append("pi", &format!("2026-03-{day:02}T00:00:03Z"), 60);
        world.append("nas", &format!("2026-03-{day:02}T12:00:03Z"), 90);
    }
    world.build(&[]);
    Sweep::run(&world, &["compact"], &[]);
}

#[test]
fn an_expiry() {
    let world = World::new();
    for ago in 89..93 {
        let date = Utc::now().date_naive() - TimeDelta::days(ago);
        world.append("pi", &format!("{date}T00:00:03Z"), 60);
        world.append("pi", &format!("{date}T23:50:03Z"), 60);
    }
    world.build(&[]);
    Sweep::run(&world, &["expire"], &[]);
}

/// Samples of the date before are gone, with which the first of these was built: without the record of
/// that it would be built again.
fn expired_world() -> World {
    let world = World::new();
    for ago in 88..92 {
        let date = Utc::now().date_naive() - TimeDelta::days(ago);
        world.append("pi", &format!("{date}T00:00:03Z"), 60);
        world.append("pi", &format!("{date}T23:50:03Z"), 60);
    }
    world.build(&[]);
    world.build(&["expire"]);
    world
}

#[test]
fn a_rollup_of_late_samples_beside_an_expired_date() {
    let world = expired_world();
    let date = Utc::now().date_naive() - TimeDelta::days(89);
    world.append("pi", &format!("{date}T12:00:03Z"), 60);
    Sweep::run(&world, &[], &[]);
}

#[test]
fn a_damaged_record_beside_an_expired_date() {
    let world = expired_world();
    std::fs::write(world.path().join(".state/@lake/expired.json"), "{").unwrap();
    Sweep::run(&world, &["verify"], &[]);
}

/// The collector of this host was stopped, and its samples wait.
#[test]
fn a_rollup_that_publishes_what_waits() {
    let world = hot_world();
    world.build(&[]);
    let date = Utc::now().date_naive() - Days::new(2);
    let at =
        |n: i64| date.and_time(chrono::NaiveTime::MIN).and_utc() + TimeDelta::seconds(18 * 3_600 + 10 * n);
    let mut waiting: Vec<HostMetricsSample> = (0..60).map(|n| sample("pi", at(n))).collect();
    let mut spool = world.lake().open_spool(&HostId::parse("pi").unwrap()).unwrap();
    spool.append(&mut waiting, None, true).unwrap();
    drop(spool);
    Sweep::run(&world, &["--host-id", "pi"], &[]);
}

#[test]
fn a_verification_of_damaged_files() {
    let world = World::new();
    world.append("pi", "2026-03-10T12:00:03Z", 30);
    world.append("pi", "2026-03-11T12:00:03Z", 30);
    let samples = world.append("nas", "2026-03-10T13:00:03Z", 30);
    world.build(&[]);
    let rollup = world.gold(5).files_on("2026-03-11".parse().unwrap()).unwrap().remove(0).path;
    let damaged = [samples, rollup].map(|path| {
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
        path.file_name().unwrap().to_owned()
    });
    Sweep::run(&world, &["verify"], &damaged);
}
