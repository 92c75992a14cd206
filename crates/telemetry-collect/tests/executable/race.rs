//! Collectors that are started at once on one lake.

use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};

use crate::support::{Ended, World, ended};

const TRY_AGAIN: i32 = 75;
/// How long a collector may take to find out that it is not the one.
const MOST: Duration = Duration::from_millis(100);

/// How a run ended.
#[derive(Debug)]
struct Run {
    got: Ended,
    /// From before its start to its end.
    elapsed: Duration,
    /// Of that, the time in which it, and the test itself, were ready to run and others had the processors.
    kept_waiting: Duration,
}

/// How long a process or thread was ready to run and did not.
fn kept_waiting(of: &str) -> Duration {
    let accounts = std::fs::read_to_string(format!("/proc/{of}/schedstat")).unwrap();
    Duration::from_nanos(accounts.split(' ').nth(1).unwrap().parse().unwrap())
}

/// Starts so many at once; the one that goes on is told to end when the others have.
fn start(world: &World, count: usize) -> Vec<Run> {
    let (sender, ends) = std::sync::mpsc::channel();
    let mut running: Vec<u32> = Vec::new();
    for _ in 0..count {
        let (begun, before) = (Instant::now(), kept_waiting("thread-self"));
        let child = world.command(&["--watch"]).spawn().unwrap();
        let starting = kept_waiting("thread-self") - before;
        running.push(child.id());
        let sender = sender.clone();
        std::thread::spawn(move || {
            // It leaves its accounts until somebody takes notice of its end.
            let ended_but_there = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
            waitid(WaitId::Pid(Pid::from_child(&child)), ended_but_there).unwrap();
            let elapsed = begun.elapsed();
            let id = child.id();
            let kept_waiting = starting + kept_waiting(&id.to_string()) + kept_waiting("thread-self");
            let got = ended(child.wait_with_output().unwrap());
            sender.send((id, Run { got, elapsed, kept_waiting })).unwrap();
        });
    }
    let mut all = Vec::new();
    while !running.is_empty() {
        let (id, run) = ends.recv_timeout(Duration::from_secs(30)).expect("two go on");
        running.retain(|other| *other != id);
        all.push(run);
        if let [last] = running[..] {
            assert!(Command::new("kill").arg(last.to_string()).status().unwrap().success());
        }
    }
    all
}

/// One runs, the others end with 75; the longest time that one took for it by itself.
fn race(count: usize) -> Duration {
    let world = World::new();
    let all = start(&world, count);
    let (losers, winners): (Vec<_>, Vec<_>) = all.iter().partition(|run| run.got.code == TRY_AGAIN);
    assert_eq!(winners.len(), 1, "{all:?}");
    assert_eq!(winners[0].got.code, 0, "{}", winners[0].got.stderr);
    for Run { got, .. } in &losers {
        assert!(got.stderr.contains("the collector of pi is locked by"), "{}", got.stderr);
        assert_eq!(got.stderr.lines().count(), 1, "{}", got.stderr);
    }
    losers.iter().map(|run| run.elapsed.saturating_sub(run.kept_waiting)).max().unwrap()
}

/// Of ten races one: on a busy machine they also wait for each other, while one that is to open the file
/// of the lock waits for a processor, and nobody tells how long.
fn assert_ends_at_once(count: usize) {
    let mut longest = Vec::new();
    while longest.len() < 10 && longest.iter().all(|longest| *longest >= MOST) {
        longest.push(race(count));
    }
    println!("the last of {count} collectors ended after {longest:?} of its own time");
    assert!(longest.iter().any(|longest| *longest < MOST), "{longest:?}");
}

#[test]
fn of_two_collectors_one_runs_and_one_ends_at_once() {
    assert_ends_at_once(2);
}

#[test]
fn of_twenty_collectors_one_runs_and_nineteen_end_at_once() {
    assert_ends_at_once(20);
}
