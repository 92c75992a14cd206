//! What `verify` finds, sets aside and mends.

use std::path::{Path, PathBuf};

use crate::support::World;

const DATE: &str = "2026-03-10";

/// A world with samples and their rollup.
fn world() -> World {
    let world = World::new();
    world.append("pi", "2026-03-10T12:00:03Z", 30);
    world.append("pi", "2026-03-10T12:10:03Z", 30);
    world.build(&[]);
    world
}

/// The only file of the rollup.
fn rollup(world: &World) -> PathBuf {
    world.gold(5).files_on(DATE.parse().unwrap()).unwrap().remove(0).path
}

fn flip_in_the_middle(path: &Path) {
    let mut bytes = std::fs::read(path).unwrap();
    let middle = bytes.len() / 4;
    bytes[middle] ^= 0x10;
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn a_whole_lake_is_verified() {
    let world = world();
    let got = world.run(&["verify"]);
    assert_eq!((got.code, got.stderr.as_str()), (0, ""), "{got:?}");
    assert!(got.stdout.starts_with("3 files verified (") && got.stdout.contains("0 damaged"), "{got:?}");
    let outside = world.run(&["verify", "--from", "2026-03-11"]);
    assert!(outside.stdout.starts_with("0 files"), "{outside:?}");
}

#[test]
fn damaged_samples_are_set_aside_and_the_rest_is_built() {
    let world = world();
    let damaged = world.append("pi", "2026-03-10T13:00:03Z", 30);
    world.build(&[]);
    assert_eq!(world.rollups(DATE).len(), 3);
    flip_in_the_middle(&damaged);
    let got = world.run(&["verify"]);
    assert_eq!(got.code, 3, "{got:?}");
    let name = damaged.file_name().unwrap().to_str().unwrap();
    assert!(got.stderr.contains(name) && got.stdout.contains("1 damaged"), "{got:?}");
    assert!(world.path().join(".quarantine/ops_host_metrics/date=2026-03-10").join(name).exists());
    assert_eq!(world.rollups(DATE).len(), 2);
    assert_eq!(world.run(&["verify"]).code, 0);
}

#[test]
fn a_damaged_rollup_is_computed_again() {
    let world = world();
    let hashes = world.content_hashes();
    let damaged = rollup(&world);
    flip_in_the_middle(&damaged);
    let got = world.run(&["verify"]);
    assert_eq!(got.code, 3, "{got:?}");
    assert!(got.stderr.contains("damaged rollup is computed again"), "{got:?}");
    assert_ne!(rollup(&world), damaged);
    assert_eq!(world.content_hashes(), hashes);
    assert_eq!(world.run(&["verify"]).code, 0);
}

#[test]
fn a_damaged_rollup_without_samples_is_set_aside() {
    let world = world();
    std::fs::remove_dir_all(world.path().join("silver/ops_host_metrics/date=2026-03-10")).unwrap();
    let damaged = rollup(&world);
    flip_in_the_middle(&damaged);
    let got = world.run(&["verify"]);
    assert_eq!(got.code, 3, "{got:?}");
    let name = damaged.file_name().unwrap();
    assert!(world.path().join(".quarantine/ops_host_metrics_5m_rollup/date=2026-03-10").join(name).exists());
}
