use std::fs;
use std::process::Command;

use chrono::TimeDelta;
use telemetry_repository::{Holder, Lake, RepositoryError};
use telemetry_schema::HostId;

use crate::samples::{instant, samples, temporary_lake, tree};

fn holder(pid: u32, command: &str) -> Holder {
    Holder { pid, since: instant("2026-11-21T12:00:00Z"), command: command.to_owned() }
}

#[test]
fn the_second_collector_is_told_who_is_first() {
    let (_keep, root) = temporary_lake();
    let (pi, nas) = (HostId::parse("pi").unwrap(), HostId::parse("nas").unwrap());
    let first = Lake::new(&root).lock_collector(&pi, &holder(7, "telemetry-collect --watch")).unwrap();
    let _other_host = Lake::new(&root).lock_collector(&nas, &holder(8, "telemetry-collect")).unwrap();
    let error = Lake::new(&root).lock_collector(&pi, &holder(9, "telemetry-collect")).unwrap_err();
    let expected =
        "the collector of pi is locked by process 7 since 2026-11-21T12:00:00Z (telemetry-collect --watch)";
    assert_eq!(error.to_string(), expected);
    let RepositoryError::Locked { holder: Some(named), .. } = error else { panic!("{error:?}") };
    assert_eq!(named, holder(7, "telemetry-collect --watch"));
    drop(first);
    Lake::new(&root).lock_collector(&pi, &holder(9, "telemetry-collect")).unwrap();
}

#[test]
fn a_holder_that_cannot_be_found_out_is_another_process() {
    let (_keep, root) = temporary_lake();
    let lake = Lake::new(&root);
    let _first = lake.lock_rollup(&holder(7, "telemetry-rollup")).unwrap();
    let path = root.join(".state/@lake/rollup.holder.json");
    fs::write(&path, "{").unwrap();
    let error = lake.lock_rollup(&holder(8, "telemetry-rollup")).unwrap_err();
    assert_eq!(error.to_string(), "the rollup is locked by another process");
}

#[test]
fn one_of_many_gets_the_lock() {
    let (_keep, root) = temporary_lake();
    let barrier = std::sync::Barrier::new(8);
    let locks: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|pid| {
                let (lake, barrier) = (Lake::new(&root), &barrier);
                scope.spawn(move || {
                    barrier.wait();
                    lake.lock_rollup(&holder(pid, "telemetry-rollup"))
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(locks.iter().filter(|lock| lock.is_ok()).count(), 1);
}

#[test]
fn state_is_kept_and_damage_is_forgotten() {
    let (_keep, root) = temporary_lake();
    let (lake, pi) = (Lake::new(&root), HostId::parse("pi").unwrap());
    assert_eq!(lake.load_state(&pi, "cpu").unwrap(), None);
    assert!(!root.exists());
    for text in ["{\"busy\":1}", "{\"busy\":2}"] {
        lake.save_state(&pi, "cpu", text).unwrap();
        assert_eq!(lake.load_state(&pi, "cpu").unwrap().as_deref(), Some(text));
    }
    assert_eq!(tree(&root.join(".state")), ["pi/", "pi/cpu.json"]);
    for damage in [&b""[..], b"{\"busy\":", b"\xff\xfe"] {
        fs::write(root.join(".state/pi/cpu.json"), damage).unwrap();
        assert_eq!(lake.load_state(&pi, "cpu").unwrap(), None);
    }
}

/// The other half of the next test: dies in the middle of its work, with its locks.
#[test]
fn dies_when_told_to() {
    let Some(root) = std::env::var_os("TELEMETRY_TEST_DIES_IN") else { return };
    let lake = Lake::new(root);
    let _lock = lake.lock_rollup(&holder(std::process::id(), "dies")).unwrap();
    lake.host_metrics().append(&samples("pi", instant("2026-11-21T12:00:00Z"), 6)).unwrap();
    std::process::abort();
}

#[test]
fn what_a_dead_process_leaves_is_taken_over() {
    let (_keep, root) = temporary_lake();
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "locks::dies_when_told_to"])
        .env("TELEMETRY_TEST_DIES_IN", &root)
        .output()
        .unwrap()
        .status;
    assert!(!status.success());
    let left = tree(&root.join(".staging"));
    let [lock] = left.as_slice() else { panic!("{left:?}") };
    let session = lock.strip_suffix(".lock").unwrap();
    fs::write(root.join(format!(".staging/{session}__1")), "half a file").unwrap();
    fs::create_dir(root.join(format!(".staging/{session}__2__date=2026-11-21"))).unwrap();

    // A living session is left alone.
    let alive = Lake::new(&root);
    alive.host_metrics().append(&samples("pi", instant("2026-11-21T12:01:00Z"), 6)).unwrap();
    let now = chrono::Utc::now();
    let lake = Lake::new(&root);
    let cleaned = lake.clean_staging(now).unwrap();
    assert_eq!((cleaned.orphans, cleaned.trashed), (2, 0));
    let left = tree(&root.join(".staging"));
    assert!(left.len() == 1 && !left[0].starts_with(session), "{left:?}");
    let cleaned = lake.clean_staging(now + TimeDelta::minutes(61)).unwrap();
    assert_eq!((cleaned.orphans, cleaned.trashed), (0, 1));
    assert_eq!(tree(&root.join(".trash")), [""; 0]);
    let _free = lake.lock_rollup(&holder(1, "next")).unwrap();
}
