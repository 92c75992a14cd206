//! Lakes with files that are nearly right: a run sets aside what it cannot read, and the next one has
//! nothing to complain of.

use std::path::PathBuf;
use std::process::Command;

use telemetry_repository::Selection;
use telemetry_trials::mutation;

use crate::support::{World, ended};

/// Of a lake.
const FILES: usize = 16;
/// What a run may take of address space: none needs a hundredth of it resident.
const MOST_ADDRESS_SPACE_KB: u64 = 4 * 1024 * 1024;

/// Samples of three dates, their rollups, and alerts.
fn world() -> World {
    let world = World::new();
    let today = chrono::Utc::now().date_naive();
    for ago in 2..5 {
        let date = today - chrono::Days::new(ago);
        for hour in 8..12 {
            world.append("pi", &format!("{date}T{hour:02}:00:03Z"), 60);
            world.append("nas", &format!("{date}T{hour:02}:20:03Z"), 60);
        }
    }
    world.build(&[]);
    world
}

fn files(world: &World) -> Vec<PathBuf> {
    let lake = world.lake();
    let stores = [lake.host_metrics().store().clone(), world.gold(5), lake.host_alerts().store().clone()];
    let files: Vec<_> = stores.iter().map(|store| store.files(&Selection::all()).unwrap()).collect();
    assert!(files.iter().all(|files| !files.is_empty()), "a dataset is empty");
    files.into_iter().flatten().map(|file| file.path).collect()
}

/// Runs with bounded memory; whether anything was found.
#[track_caller]
fn run(world: &World, arguments: &[&str], number: usize) -> bool {
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("ulimit -v {MOST_ADDRESS_SPACE_KB} && exec \"$0\" \"$@\"")]);
    let got = ended(world.command_under(shell, arguments).output().unwrap());
    assert!([0, 3].contains(&got.code), "case {number}, {arguments:?}: {got:?}");
    assert!(!got.stderr.contains("panicked"), "case {number}: {got:?}");
    got.code == 3
}

#[test]
fn mutated_lakes_are_built_and_verified() {
    let prepared = world();
    let (mut found, mut mutated) = (0, 0);
    mutation::in_batches("files of lakes", 2 * FILES, FILES, |mutator| {
        let world = prepared.copy();
        let files = files(&world);
        for _ in 0..FILES {
            let path = &files[mutator.random.usize(..files.len())];
            std::fs::write(path, mutator.bytes(&std::fs::read(path).unwrap())).unwrap();
            mutated += 1;
        }
        let verbs: [&[&str]; 3] = [&[], &["--force"], &["verify"]];
        let verb = verbs[mutator.random.usize(..verbs.len())];
        found += usize::from(run(&world, verb, mutator.number));
        run(&world, &["verify"], mutator.number);
        // What was damaged is out of the way; the dates that it was in are built without it.
        run(&world, &[], mutator.number);
        for verb in [&[][..], &["compact"], &["verify"]] {
            // A column that has got another name is named, and its file is left as it is.
            assert!(!run(&world, verb, mutator.number), "case {}: {verb:?} finds more", mutator.number);
        }
    });
    assert!(found > 0, "nothing was found in {mutated} mutated files");
}
