use std::fs;
use std::process::Command;

use chrono::TimeDelta;
use telemetry_repository::{Holder, Lake, RepositoryError};
use telemetry_schema::HostId;

use crate::samples::{instant, samples, temporary_lake, tree};

/// This process, as Linux would say it of itself.
fn holder() -> Holder {
    let command = std::env::args().collect::<Vec<_>>().join(" ");
    Holder { pid: std::process::id(), since: instant("2026-11-21T12:00:00Z"), command }
}

#[test]
fn the_second_collector_is_told_who_is_first() {
    let (_keep, root) = temporary_lake();
    let (pi, nas) = (HostId::parse("pi").unwrap(), HostId::parse("nas").unwrap());
    let first = Lake::new(&root).lock_collector(&pi, &holder()).unwrap();
    let _other_host = Lake::new(&root).lock_collector(&nas, &holder()).unwrap();
    let error = Lake::new(&root).lock_collector(&pi, &holder()).unwrap_err();
    let said = error.to_string();
    assert!(said.starts_with(&format!("the collector of pi is locked by process {} since", holder().pid)));
    assert!(said.ends_with(&format!("({})", holder().command)), "{said}");
    let RepositoryError::Locked { holder: Some(named), .. } = error else { panic!("{error:?}") };
    assert_eq!((named.pid, &named.command), (holder().pid, &holder().command));
    drop(first);
    Lake::new(&root).lock_collector(&pi, &holder()).unwrap();
}

/// Each change of a directory costs an SD card more than a minute of samples does.
#[cfg(target_os = "linux")]
#[test]
fn a_lock_that_was_taken_before_changes_no_directory() {
    use std::os::unix::fs::MetadataExt as _;

    let (_keep, root) = temporary_lake();
    let lake = Lake::new(&root);
    let look = || {
        let paths = tree(&root).into_iter().map(|path| root.join(path));
        let changed = |path: &std::path::PathBuf| {
            let metadata = fs::metadata(path).unwrap();
            (metadata.mtime_nsec(), metadata.ctime_nsec())
        };
        paths.map(|path| (changed(&path), path)).collect::<Vec<_>>()
    };
    drop(lake.lock_rollup(&holder()).unwrap());
    let before = look();
    let lock = lake.lock_rollup(&holder()).unwrap();
    assert_eq!(look(), before);
    drop(lock);
    assert_eq!(look(), before);
}

#[test]
fn one_of_many_gets_the_lock() {
    let (_keep, root) = temporary_lake();
    let barrier = std::sync::Barrier::new(8);
    let locks: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|_| {
                let (lake, barrier) = (Lake::new(&root), &barrier);
                scope.spawn(move || {
                    barrier.wait();
                    lake.lock_rollup(&holder())
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

#[test]
fn state_of_the_lake_that_cannot_be_read_is_an_error_and_not_forgotten() {
    let (_keep, root) = temporary_lake();
    let lake = Lake::new(&root);
    let load = || lake.load_rollup_state::<Vec<u32>>("expired");
    assert_eq!(load().unwrap(), None);
    lake.save_rollup_state("expired", "[1]").unwrap();
    assert_eq!(load().unwrap(), Some(vec![1]));
    let path = root.join(".state/@lake/expired.json");
    for (damage, copies) in [("[1", 1), ("", 2), ("[1", 2)] {
        fs::write(&path, damage).unwrap();
        let error = load().unwrap_err();
        assert!(
            matches!(&error, RepositoryError::Damaged { path: damaged, .. } if *damaged == path),
            "{error}"
        );
        let copy = lake.quarantine_rollup_state("expired").unwrap();
        assert_eq!(fs::read_to_string(&copy).unwrap(), damage);
        assert_eq!(fs::read_dir(copy.parent().unwrap()).unwrap().count(), copies);
        assert!(path.exists(), "until it is replaced");
        if !damage.is_empty() {
            fs::write(&copy, &damage[..1]).unwrap();
            lake.quarantine_rollup_state("expired").unwrap();
            assert_eq!(fs::read_to_string(&copy).unwrap(), damage, "a piece that was left by a kill");
        }
    }
    // For a user whose rights are not looked at, too.
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    let error = load().unwrap_err().to_string();
    assert!(error.contains("expired.json"), "{error}");
}

/// The other half of the next test: dies in the middle of its work, with its locks.
#[test]
fn dies_when_told_to() {
    let Some(root) = std::env::var_os("TELEMETRY_TEST_DIES_IN") else { return };
    let lake = Lake::new(root);
    let _lock = lake.lock_rollup(&holder()).unwrap();
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
    assert_eq!(tree(&root.join(".staging")), [""; 0], "what is published has no session any more");
    let staging = |name: &str| root.join(".staging").join(name);
    fs::write(staging("0123456789ab.lock"), "").unwrap();
    fs::write(staging("0123456789ab__1"), "half a file").unwrap();
    fs::create_dir(staging("0123456789ab__2__date=2026-11-21")).unwrap();

    // A living session is left alone.
    let alive = fs::File::create(staging("ba9876543210.lock")).unwrap();
    alive.lock().unwrap();
    fs::write(staging("ba9876543210__1"), "half a file").unwrap();
    let now = chrono::Utc::now();
    let lake = Lake::new(&root);
    let cleaned = lake.clean_staging(now).unwrap();
    assert_eq!((cleaned.orphans, cleaned.trashed), (2, 0));
    assert_eq!(tree(&root.join(".staging")), ["ba9876543210.lock", "ba9876543210__1"]);
    let cleaned = lake.clean_staging(now + TimeDelta::minutes(61)).unwrap();
    assert_eq!((cleaned.orphans, cleaned.trashed), (0, 1));
    assert_eq!(tree(&root.join(".trash")), [""; 0]);
    let _free = lake.lock_rollup(&holder()).unwrap();
}
