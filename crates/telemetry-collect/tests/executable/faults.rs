//! Runs in which one call fails, whichever it is: what was acknowledged is there once, and the next run
//! goes on. As for the other program, strace has the calls fail: the ordinary tests take some of them,
//! `cargo xtask faults` all.

use std::collections::BTreeMap;
use std::path::Path;

use telemetry_trials::strace::{Trace, Tracer, start};
use telemetry_trials::trials;

use crate::outcome::{INTERVAL, Prepared};
use crate::support::{Ended, World, ended};

/// Of each form, unless the environment says how many.
const FAULTS: usize = 8;
/// The device fails; it is full; a signal came.
const ERRORS: [&str; 3] = ["EIO", "ENOSPC", "EINTR"];
/// Done, failed, done in part, no space, the operating system failed.
const CODES: [i32; 5] = [0, 1, 3, 73, 74];

#[track_caller]
fn sweep(prepared: &Prepared, arguments: &[&str]) {
    let undisturbed = prepared.world.copy();
    let (got, trace) = run_under(prepared, &undisturbed, arguments, Tracer::counting);
    assert_eq!((got.code, got.stderr.as_str()), (0, ""));
    prepared.check(&undisturbed, &got, "nothing failed");
    assert!(trace.calls.len() > 20, "{:?}", trace.calls);
    let faults = trace.faults(&ERRORS, trials("XTASK_TEST_FAULTS", FAULTS));
    let mut by_call: BTreeMap<String, usize> = BTreeMap::new();
    for (call, error) in &faults {
        let world = prepared.world.copy();
        let (got, trace) = run_under(prepared, &world, arguments, |log| Tracer::failing(log, call, error));
        let failed = trace.failed();
        let what = format!("{error} in {} {}, {failed:?}: {got:?}", call.name, call.number);
        assert!(CODES.contains(&got.code) && !got.stderr.contains("panicked"), "{what}");
        prepared.check(&world, &got, &what);
        if let Some(label) = failed {
            *by_call.entry(label).or_default() += 1;
        }
    }
    println!("{arguments:?}, of {} calls: {by_call:#?}", trace.calls.len());
    let failed: usize = by_call.values().sum();
    assert!(10 * failed >= 9 * faults.len(), "only {failed} of {} runs had a fault", faults.len());
}

fn run_under(
    prepared: &Prepared,
    world: &World,
    arguments: &[&str],
    tracer: impl Fn(&Path) -> Tracer,
) -> (Ended, Trace) {
    let tracer = tracer(&world.path("trace"));
    let mut command = world.command_under(tracer.command_on_one_processor(), arguments);
    let run = start(command.env(INTERVAL, prepared.interval));
    let got = ended(run.wait_with_output().unwrap());
    (got, tracer.trace(&world.lake()))
}

#[test]
fn a_run_that_publishes() {
    sweep(&Prepared::after_a_run(), &["--print", "json"]);
}

#[test]
fn a_run_that_makes_the_spool() {
    sweep(&Prepared::after_a_run().with_a_spool(), &["--print", "json"]);
}

#[test]
fn a_run_that_publishes_what_is_due() {
    sweep(&Prepared::after_a_run().with_samples_that_are_due(), &["--print", "json"]);
}

#[test]
fn a_publication() {
    sweep(&Prepared::after_a_run().with_samples_that_are_due(), &["--publish"]);
}
