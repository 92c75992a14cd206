//! Programs that are told to end, as Unix does it.

use std::io::{BufRead, BufReader};
use std::process::Command;
use std::time::Duration;

use crate::spool::{INTERVAL, wait_for_the_hour_to_pass};
use crate::support::{World, ended};

#[test]
fn a_service_that_is_told_to_end_loses_nothing() {
    let world = World::new();
    let mut service = world
        .command(&["--watch", "--sample-interval-seconds", "1", "--print", "json", "-v"])
        .spawn()
        .unwrap();
    std::thread::sleep(Duration::from_millis(2_800));
    let second = world.run(&[]);
    let pid = service.id();
    assert_eq!(second.code, 75, "{}", second.stderr);
    assert!(second.stderr.contains(&format!("process {pid} ")), "{}", second.stderr);
    assert!(second.stderr.contains("--watch"), "{}", second.stderr);
    assert!(Command::new("kill").arg(pid.to_string()).status().unwrap().success());
    let out = BufReader::new(service.stdout.take().unwrap());
    let printed = out.lines().count();
    assert_eq!(service.wait().unwrap().code(), Some(0));
    let (samples, _) = world.samples();
    assert!(samples.len() >= 2, "{} samples in 2.8 s", samples.len());
    assert_eq!(samples.len(), printed);
    assert_eq!(world.run(&[]).code, 0, "the lock outlived its holder");
}

#[test]
fn a_burst_that_is_told_to_end_keeps_what_it_has() {
    let world = World::new();
    let burst = world.command(&["--samples", "5", "--interval", "20s"]).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(1_500));
    assert!(Command::new("kill").args(["-INT", &burst.id().to_string()]).status().unwrap().success());
    let got = ended(burst.wait_with_output().unwrap());
    assert_eq!(got.code, 3, "{}", got.stderr);
    assert!(got.stderr.contains("stopped before the last sample"), "{}", got.stderr);
    assert!(!world.samples().0.is_empty());
}

#[test]
fn a_service_that_is_told_to_end_leaves_its_samples_in_the_spool() {
    wait_for_the_hour_to_pass();
    let world = World::new();
    let watch = ["--watch", "--sample-interval-seconds", "1", "--print", "json"];
    let service = world.command(&watch).env(INTERVAL, "60").spawn().unwrap();
    std::thread::sleep(Duration::from_millis(2_800));
    assert!(Command::new("kill").arg(service.id().to_string()).status().unwrap().success());
    let got = ended(service.wait_with_output().unwrap());
    assert_eq!(got.code, 0, "{}", got.stderr);
    assert_eq!(world.samples().1, 0);
    assert_eq!(world.spool().waiting().samples, got.stdout.lines().count());
    assert!(got.stdout.lines().count() >= 2);
}
