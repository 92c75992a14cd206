//! Runs that are killed, at any step: the next one completes what they began.
//!
//! strace makes the calls of publishing slow, so that kills find them, and tells in which of them the
//! program was. `cargo xtask kills` makes more of them than the ordinary tests.

use std::process::Stdio;
use std::time::Duration;

use chrono::{TimeDelta, Utc};
use telemetry_trials::strace::{Kills, Step, Trace, Tracer, start};
use telemetry_trials::trials;

use crate::outcome::{check_seen, check_staging, rows};
use crate::support::World;

/// In each of the four tests, unless the environment says how many.
const KILLS: usize = 20;
/// What each slow call takes.
const DELAY: Duration = Duration::from_millis(4);

/// Runs with slow calls; a run that is to be killed is killed a part of a delay after so many steps.
fn run_slowly(world: &World, arguments: &[&str], has_exchange: bool, kill_at: Option<(usize, f64)>) -> Trace {
    let log = world.path().with_extension("trace");
    let slow = if has_exchange { Tracer::slow } else { Tracer::slow_without_exchange };
    let tracer = slow(&log, DELAY);
    let mut command = world.command_under(tracer.command(), arguments);
    let mut run = start(command.stdout(Stdio::null()).stderr(Stdio::null()));
    if let Some((steps, part)) = kill_at {
        return tracer.kill(&mut run, &world.path(), steps, DELAY.mul_f64(part));
    }
    run.wait().unwrap();
    tracer.trace(&world.path())
}

/// Lets the run be completed by the next.
fn complete(world: &World, arguments: &[&str]) {
    world.build(arguments);
    world.build(&[]);
}

/// Kills runs of the verb on copies of a lake, and checks what readers see and what the next run makes
/// of it.
fn kill(prepared: &World, arguments: &[&str]) -> Kills {
    let (before, undisturbed) = (rows(prepared), prepared.copy());
    let steps = run_slowly(&undisturbed, arguments, true, None).steps;
    let staging = steps.iter().position(Step::stages).unwrap_or(0);
    complete(&undisturbed, arguments);
    let (after, mut kills) = (rows(&undisturbed), Kills::default());
    let wanted = trials("XTASK_TEST_KILLS", KILLS);
    for round in 0..2 * wanted {
        // A third of them at any step, the others once something is published.
        let first = if round.is_multiple_of(3) { 0 } else { staging };
        let step = first + (steps.len() - first) * (2 * kills.all + 1) / (2 * wanted);
        let (world, has_exchange) = (prepared.copy(), round % 4 != 1);
        let moment = (step, (round % 5) as f64 / 5.0);
        let trace = run_slowly(&world, arguments, has_exchange, Some(moment));
        let what = format!("killed in {}", trace.end());
        check_seen(&rows(&world), (&before, &after), has_exchange, &what);
        complete(&world, arguments);
        assert!(rows(&world) == after, "another result: {what}");
        check_staging(&world, &what);
        kills.add(&trace);
        if kills.all == wanted {
            println!("{arguments:?} {kills:#?}");
            return kills;
        }
    }
    panic!("runs end before they are killed: {kills:?}");
}

/// Three dates of two hosts.
fn world() -> World {
    let world = World::new();
    for day in 9..12 {
        world.append("pi", &format!("2026-03-{day:02}T23:50:03Z"), 59);
        world.append("pi", &format!("2026-03-{day:02}T00:00:03Z"), 60);
        world.append("nas", &format!("2026-03-{day:02}T12:00:03Z"), 90);
    }
    world
}

#[test]
fn a_killed_rollup_is_completed_by_the_next() {
    kill(&world(), &[]).check_share();
}

#[test]
fn a_killed_rollup_of_late_samples_is_completed_by_the_next() {
    let world = world();
    world.build(&[]);
    world.append("pi", "2026-03-09T12:00:03Z", 30);
    world.append("nas", "2026-03-10T12:10:03Z", 30);
    world.append("pi", "2026-03-10T23:59:53Z", 1);
    kill(&world, &[]).check_share();
}

#[test]
fn a_killed_compaction_is_completed_by_the_next() {
    let world = world();
    world.build(&[]);
    kill(&world, &["compact"]).check_share();
}

#[test]
fn a_killed_expiry_is_completed_by_the_next() {
    let world = World::new();
    for ago in 89..94 {
        let date = Utc::now().date_naive() - TimeDelta::days(ago);
        world.append("pi", &format!("{date}T00:00:03Z"), 60);
        world.append("pi", &format!("{date}T23:50:03Z"), 60);
    }
    world.build(&[]);
    // It takes away only, so nothing is staged.
    kill(&world, &["expire"]);
}
