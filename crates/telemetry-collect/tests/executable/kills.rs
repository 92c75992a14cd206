//! Runs that are killed while they publish: what was acknowledged is there once.
//!
//! strace makes the calls of publishing slow, so that kills find them; the tests of the spool kill runs
//! that are as fast as always. `cargo xtask kills` makes more of them than the ordinary tests.

use std::process::Command;
use std::time::Duration;

use telemetry_trials::strace::{Kills, Trace, Tracer, start};
use telemetry_trials::trials;

use crate::outcome::{DURABILITY, INTERVAL, Prepared, output_of_killed};
use crate::support::{Ended, World, ended};

/// In each of the tests, unless the environment says how many.
const KILLS: usize = 6;
/// What each slow call takes.
const DELAY: Duration = Duration::from_millis(4);
/// A service is told to end after that long, so that there is an end.
const SERVICE: Duration = Duration::from_millis(1_500);

/// A run on the lake of a world with slow calls, killed a part of a delay after so many steps.
fn run_slowly(
    prepared: &Prepared,
    world: &World,
    arguments: &[&str],
    kill_at: Option<(usize, f64)>,
) -> (Ended, Trace) {
    let tracer = Tracer::slow(&world.path("trace"), DELAY);
    let mut command = world.command_under(tracer.command(), arguments);
    let mut run = start(command.env(INTERVAL, prepared.interval).env(DURABILITY, "sample"));
    let end = arguments.contains(&"--watch").then(|| end_later(&tracer, world));
    let result = match kill_at {
        Some((steps, part)) => {
            let trace = tracer.kill(&mut run, &world.lake(), steps, DELAY.mul_f64(part));
            (output_of_killed(&mut run), trace)
        }
        None => {
            let got = ended(run.wait_with_output().unwrap());
            (got, tracer.trace(&world.lake()))
        }
    };
    end.into_iter().for_each(|end| end.join().unwrap());
    result
}

/// Tells the service to end after a while, as a service manager does.
fn end_later(tracer: &Tracer, world: &World) -> std::thread::JoinHandle<()> {
    let (tracer, lake) = (tracer.clone(), world.lake());
    std::thread::spawn(move || {
        std::thread::sleep(SERVICE);
        if let Some(process) = tracer.trace(&lake).process() {
            // It may have been killed before.
            let _ = Command::new("kill").arg(process).output();
        }
    })
}

/// Kills runs on copies of the prepared lake.
#[track_caller]
fn kill(prepared: &Prepared, arguments: &[&str]) {
    let undisturbed = prepared.world.copy();
    let (got, trace) = run_slowly(prepared, &undisturbed, arguments, None);
    assert_eq!((got.code, got.stderr.as_str()), (0, ""));
    prepared.check(&undisturbed, &got, "not killed");
    let all = trace.steps.len();
    let publishing: Vec<usize> = (1..=all).filter(|step| trace.publishing()[step - 1]).collect();
    assert!(publishing.len() > 3, "{publishing:?} of {all} steps");
    let (wanted, mut kills) = (trials("XTASK_TEST_KILLS", KILLS), Kills::default());
    for round in 0..2 * wanted {
        // Half of them at any step, the others while something is published.
        let part = |of: usize| of * (2 * kills.all + 1) / (2 * wanted);
        let step = if round % 2 == 0 { part(all) } else { publishing[part(publishing.len())] };
        let world = prepared.world.copy();
        let moment = (step, (round % 5) as f64 / 5.0);
        let (printed, trace) = run_slowly(prepared, &world, arguments, Some(moment));
        prepared.check(&world, &printed, &format!("killed in {}", trace.end()));
        kills.add(&trace);
        if kills.all == wanted {
            println!("{arguments:?} {kills:#?}");
            return kills.check_share();
        }
    }
    panic!("runs end before they are killed: {kills:?}");
}

const CRON: [&str; 6] = ["--samples", "2", "--interval", "1s", "--print", "json"];
const WATCH: [&str; 5] = ["--watch", "--interval", "1s", "--print", "json"];

#[test]
fn a_run_of_cron_that_publishes() {
    kill(&Prepared::after_a_run(), &CRON);
}

#[test]
fn a_run_of_cron_that_publishes_what_is_due() {
    kill(&Prepared::after_a_run().with_samples_that_are_due(), &CRON);
}

#[test]
fn a_service_that_publishes_at_its_end() {
    kill(&Prepared::after_a_run(), &WATCH);
}

#[test]
fn a_service_that_publishes_what_is_due() {
    kill(&Prepared::after_a_run().with_samples_that_are_due(), &WATCH);
}
