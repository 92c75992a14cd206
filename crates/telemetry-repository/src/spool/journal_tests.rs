#![allow(clippy::unwrap_used)]
//! The journal against a model, on a disk that forgets what was not synced.

use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, Mutex};

use proptest::prelude::*;
use telemetry_trials::mutation;

use super::journal::BLOCK_BYTES;
use super::*;
use crate::faults::{Change, Faulty};
use crate::filesystem::{FileSystem, OperatingSystem};
use crate::spool::dating::Announcement;
use crate::spool::recovery::Contents;

/// The smallest ring goes round soonest.
const SEGMENTS: usize = LEAST_SEGMENTS;

fn columns() -> Vec<String> {
    ["as_of", "count"].map(str::to_owned).to_vec()
}

fn entry(number: u64, bytes: usize) -> Entry {
    let mut payload = number.to_le_bytes().to_vec();
    payload.resize(bytes.max(8), 0xa5);
    Entry { kind: Kind::Rows, rows: 1, reports: 0, payload }
}

/// The numbers of the entries that a journal holds.
fn numbers(contents: &Contents) -> Vec<u64> {
    let rows = contents.frames.iter().filter(|frame| frame.kind == Kind::Rows);
    rows.map(|frame| frame::u64_at(&frame.payload, 0).unwrap()).collect()
}

fn open(system: &Arc<dyn FileSystem>, path: &Path) -> (Journal, Contents) {
    Journal::open(system, path, columns()).unwrap()
}

#[derive(Debug, Clone)]
enum Step {
    Append { lengths: Vec<usize>, is_durable: bool },
    Publish { is_completed: bool },
    Reopen,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let append = (prop::collection::vec(8..9_000_usize, 1..4), any::<bool>())
        .prop_map(|(lengths, is_durable)| Step::Append { lengths, is_durable });
    let publish = any::<bool>().prop_map(|is_completed| Step::Publish { is_completed });
    prop::collection::vec(prop_oneof![6 => append, 2 => publish, 1 => Just(Step::Reopen)], 1..40)
}

/// What must be in the journal after the writes up to some call, and what may be.
#[derive(Debug, Clone, Default)]
struct Expected {
    /// First entry that is not released.
    released: u64,
    /// Entries from here on were not acknowledged as durable.
    durable: u64,
    /// Entries from here on were not written.
    written: u64,
    /// Entries before this one were about to be published.
    announced: u64,
}

/// Runs the steps; returns what was expected after each call of the file system that changed something.
fn run(steps: &[Step], system: &Arc<Faulty>, path: &Path) -> Vec<(usize, Expected)> {
    let shared = Arc::clone(system) as Arc<dyn FileSystem>;
    let (mut journal, _) = open(&shared, path);
    let mut now = Expected::default();
    let mut history = vec![(0, now.clone())];
    for step in steps {
        match step {
            Step::Append { lengths, is_durable } => {
                let entries: Vec<_> =
                    lengths.iter().zip(now.written..).map(|(bytes, number)| entry(number, *bytes)).collect();
                if journal.is_half_full() {
                    // Another test has the ring go round before it is published.
                    continue;
                }
                journal.append(&entries, *is_durable).unwrap();
                now.written += entries.len() as u64;
                now.durable = if *is_durable { now.written } else { now.durable };
            }
            Step::Publish { is_completed } => {
                let up_to = journal.state().next;
                journal.begin_publishing(&Announcement { up_to, ..Announcement::default() }).unwrap();
                now.durable = now.written;
                now.announced = now.written;
                history.push((count(system), now.clone()));
                if *is_completed {
                    journal.release(up_to).unwrap();
                    now.released = now.written;
                }
            }
            Step::Reopen => {
                let before = journal.state().clone();
                drop(journal);
                let (again, contents) = open(&shared, path);
                assert_eq!((again.state(), contents.lost.len()), (&before, 0));
                journal = again;
            }
        }
        assert_eq!(journal.state().dropped, 0);
        history.push((count(system), now.clone()));
    }
    history
}

/// After a power cut in the call with that number.
fn check(image: &[u8], history: &[(usize, Expected)], call: usize, may_have_holes: bool) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(JOURNAL);
    std::fs::write(&path, image).unwrap();
    let system: Arc<dyn FileSystem> = Arc::new(OperatingSystem);
    let (mut journal, contents) = open(&system, &path);
    let before = &history.iter().rev().find(|(count, _)| *count <= call).unwrap().1;
    let after = history.iter().find(|(count, _)| *count > call).map_or(before, |(_, after)| after);
    let found = numbers(&contents);
    assert!(found.is_sorted_by(|one, other| one < other), "{found:?}");
    let must: Vec<u64> = (after.released..before.durable).collect();
    assert!(must.iter().all(|number| found.contains(number)), "{must:?} but {found:?}, call {call}");
    assert!(found.iter().all(|number| (before.released..after.written).contains(number)), "{found:?}");
    if !may_have_holes {
        assert_eq!((contents.lost.len(), contents.damaged.len()), (0, 0), "{found:?}, call {call}");
    }
    if before.announced > before.released && after.released == before.released {
        assert!(
            journal.state().unsure > journal.state().released,
            "the word that rows are published is gone"
        );
    }
    // It goes on from there.
    journal.append(&[entry(1 << 40, 100)], true).unwrap();
    let (_, contents) = open(&system, &path);
    assert_eq!(numbers(&contents), [found, vec![1 << 40]].concat());
}

fn journal(directory: &Path) -> PathBuf {
    let path = directory.join(JOURNAL);
    let plain: Arc<dyn FileSystem> = Arc::new(OperatingSystem);
    Journal::create(&plain, &path, SEGMENTS).unwrap();
    path
}

/// Number of changes so far.
fn count(system: &Faulty) -> usize {
    system.changes.as_ref().unwrap().lock().unwrap().len()
}

/// The file after a power cut in the change of that number, of which a part arrived. Of what was not
/// synced before it those sectors arrived that survive.
fn image(system: &Faulty, call: usize, survives: impl Fn(u64) -> bool, part: f64) -> Vec<u8> {
    const SECTOR: usize = 512;
    let changes = system.changes.as_ref().unwrap().lock().unwrap();
    let synced = changes[..call].iter().rposition(|change| matches!(change, Change::Sync)).unwrap_or(0);
    let mut image = vec![0; SEGMENTS * SEGMENT_BYTES];
    for (index, change) in changes.iter().take(call + 1).enumerate() {
        let Change::Write(offset, bytes) = change else { continue };
        let bytes = if index == call { &bytes[..(bytes.len() as f64 * part) as usize] } else { bytes };
        for (at, byte) in (*offset as usize..).zip(bytes) {
            if index < synced || survives((at / SECTOR) as u64) {
                image[at] = *byte;
            }
        }
    }
    image
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn a_power_cut_loses_nothing_that_was_durable(steps in steps(), seed: u64) {
        let directory = tempfile::tempdir().unwrap();
        let path = journal(directory.path());
        let system = Arc::new(Faulty { changes: Some(Mutex::default()), ..Faulty::default() });
        let history = run(&steps, &system, &path);
        let mut random = fastrand::Rng::with_seed(seed);
        for _ in 0..12 {
            let call = random.usize(0..=count(&system));
            let part = random.f64();
            // All that was written before the cut arrived ...
            check(&image(&system, call, |_| true, part), &history, call, false);
            // ... or any sectors of what was not synced.
            let any = random.u64(..);
            let survives = |sector: u64| any.rotate_left((sector % 64) as u32) & 1 == 0;
            check(&image(&system, call, survives, part), &history, call, true);
        }
    }
}

#[test]
fn a_full_ring_overwrites_the_oldest_and_counts_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = journal(directory.path());
    let system: Arc<dyn FileSystem> = Arc::new(OperatingSystem);
    let (mut journal, _) = open(&system, &path);
    let mut last = 0;
    for number in 0..100 {
        journal.append(&[entry(number, 6_000)], true).unwrap();
        let (again, contents) = open(&system, &path);
        let kept = numbers(&contents);
        assert_eq!(again.state(), journal.state());
        assert_eq!(again.state().dropped + kept.len() as u64, number + 1, "{kept:?}");
        assert_eq!(kept.last(), Some(&number));
        assert!(contents.lost.is_empty() && again.state().dropped >= last);
        last = again.state().dropped;
    }
    assert!(last > 50, "{last}");
    let told = Entry { reports: last, ..entry(100, 8) };
    journal.append(&[told], true).unwrap();
    let (again, _) = open(&system, &path);
    assert!(again.state().dropped < 12, "{} dropped were told of", again.state().dropped);
    for number in 101..140 {
        journal.append(&[entry(number, 6_000)], true).unwrap();
    }
    let kept = numbers(&open(&system, &path).1).len() as u64;
    assert_eq!(journal.state().dropped + kept, 140, "who told of others was overwritten itself");
}

#[test]
fn an_append_that_fails_anywhere_can_be_repeated() {
    let lengths = [9_000, 9_000, 9_000, 9_000, 9_000, 9_000, 9_000];
    let count = {
        let directory = tempfile::tempdir().unwrap();
        let path = journal(directory.path());
        let system = Arc::new(Faulty::default());
        let (mut journal, _) = open(&(Arc::clone(&system) as Arc<dyn FileSystem>), &path);
        let before = system.log().len();
        journal.append(&lengths.map(|bytes| entry(1, bytes)), true).unwrap();
        before..system.log().len()
    };
    assert!(count.len() >= 9, "{count:?}");
    for call in count {
        let directory = tempfile::tempdir().unwrap();
        let path = journal(directory.path());
        let system: Arc<dyn FileSystem> = Arc::new(Faulty::failing_at(call + 1, std::io::ErrorKind::Other));
        let (mut journal, _) = open(&system, &path);
        let entries: Vec<_> = (0..7).map(|number| entry(number, 9_000)).collect();
        journal.append(&entries, true).unwrap_err();
        assert!(numbers(&journal.contents().unwrap()).is_empty());
        journal.append(&entries, true).unwrap();
        assert_eq!(numbers(&journal.contents().unwrap()), (0..7).collect::<Vec<_>>());
        let plain: Arc<dyn FileSystem> = Arc::new(OperatingSystem);
        assert_eq!(numbers(&open(&plain, &path).1), (0..7).collect::<Vec<_>>());
    }
}

#[test]
fn what_fits_a_block_is_written_into_one() {
    let directory = tempfile::tempdir().unwrap();
    let path = journal(directory.path());
    let system = Arc::new(Faulty { changes: Some(Mutex::default()), ..Faulty::default() });
    let (mut journal, _) = open(&(Arc::clone(&system) as Arc<dyn FileSystem>), &path);
    let mut random = fastrand::Rng::with_seed(3);
    for number in 0..60 {
        let entries = [entry(2 * number, random.usize(8..3_000)), entry(2 * number + 1, 200)];
        journal.append(&entries, true).unwrap();
        let changes = std::mem::take(&mut *system.changes.as_ref().unwrap().lock().unwrap());
        let frames = changes.iter().filter_map(|change| match change {
            Change::Write(offset, bytes) if !offset.is_multiple_of(SEGMENT_BYTES as u64) => {
                Some((*offset, bytes))
            }
            _ => None,
        });
        let blocks: Vec<u64> = frames
            .flat_map(|(offset, bytes)| [offset, offset + bytes.len() as u64 - 1])
            .map(|byte| byte / BLOCK_BYTES as u64)
            .collect();
        assert!(blocks.len() == 4 && blocks.iter().all(|block| *block == blocks[0]), "{blocks:?}");
    }
}

#[test]
fn what_a_failed_append_left_is_overwritten_by_a_longer_one() {
    let directory = tempfile::tempdir().unwrap();
    let path = journal(directory.path());
    let plain: Arc<dyn FileSystem> = Arc::new(OperatingSystem);
    let (mut journal, _) = open(&plain, &path);
    journal.append(&[entry(0, 3_000)], true).unwrap();
    drop(journal);
    let calls = {
        let system = Arc::new(Faulty::default());
        open(&(Arc::clone(&system) as Arc<dyn FileSystem>), &path);
        system.log().len()
    };
    // The frame is written, and its sync fails.
    let system: Arc<dyn FileSystem> = Arc::new(Faulty::failing_at(calls + 2, std::io::ErrorKind::Other));
    let (mut journal, _) = open(&system, &path);
    journal.append(&[entry(1, 100)], true).unwrap_err();
    assert_eq!(numbers(&open(&plain, &path).1), [0, 1], "it was not written");
    journal.append(&[entry(1, 900), entry(2, 2_000)], true).unwrap();
    journal.append(&[entry(3, 3_000)], true).unwrap();
    let found = open(&plain, &path).1;
    assert_eq!(numbers(&found), [0, 1, 2, 3]);
    let lengths: Vec<_> = found.frames.iter().map(|frame| frame.payload.len()).collect();
    assert_eq!(lengths, [3_000, 900, 2_000, 3_000], "the frame of the failed append is still there");
}

#[test]
fn damage_costs_the_frames_that_it_hit() {
    let directory = tempfile::tempdir().unwrap();
    let path = journal(directory.path());
    let system: Arc<dyn FileSystem> = Arc::new(OperatingSystem);
    let (mut journal, _) = open(&system, &path);
    for number in 0..14 {
        journal.append(&[entry(number, 6_000)], true).unwrap();
    }
    let whole = std::fs::read(&path).unwrap();
    let find = |number: u64| {
        let of = |at: &usize| frame::u64_at(&whole, *at) == Some(number) && whole[at + 8] == 0xa5;
        (0..whole.len()).step_by(8).find(of).unwrap()
    };
    let read = |damaged: Range<usize>| {
        let mut bytes = whole.clone();
        bytes[damaged].iter_mut().for_each(|byte| *byte ^= 0x10);
        std::fs::write(&path, bytes).unwrap();
        let (journal, contents) = open(&system, &path);
        let lost: Vec<u64> = contents.lost.iter().cloned().flatten().collect();
        (numbers(&contents), lost, contents.damaged, journal.state().unsure)
    };
    let without = |lost: Range<u64>| (0..14).filter(|number| !lost.contains(number)).collect::<Vec<_>>();
    let at = find(4);
    assert_eq!(read(at..at + 1), (without(4..5), vec![4], vec![0], 14));
    assert_eq!(read(at - 64..at - 60), (without(4..5), vec![4], vec![0], 14), "its header");
    let last_of_segment = find(9);
    assert_eq!(read(last_of_segment..last_of_segment + 6_000).1, [9]);
    assert_eq!(read(0..1), (without(0..0), vec![], vec![], 14), "the header of a segment");
    assert_eq!(read(0..SEGMENT_BYTES).1, (0..10).collect::<Vec<_>>(), "a whole segment");
    let tail = find(13);
    assert_eq!(read(tail..tail + 1), (without(13..14), vec![], vec![], 0), "as if never written");
}

#[test]
fn mutated_journals_are_read_without_panic() {
    let directory = tempfile::tempdir().unwrap();
    let path = journal(directory.path());
    let system: Arc<dyn FileSystem> = Arc::new(OperatingSystem);
    let (mut whole, _) = open(&system, &path);
    for number in 0..60 {
        whole.append(&[entry(number, 3_000)], true).unwrap();
    }
    let bytes = std::fs::read(&path).unwrap();
    mutation::each("journals", 400, |mutator| {
        let mutated = mutator.bytes(&bytes);
        std::fs::write(&path, &mutated).unwrap();
        let Ok((mut journal, contents)) = Journal::open(&system, &path, columns()) else {
            assert!(mutated.len() < SEGMENTS * SEGMENT_BYTES);
            return;
        };
        let found = numbers(&contents);
        assert!(found.iter().all(|number| *number < 60), "invented {found:?}");
        assert!(found.is_sorted_by(|one, other| one < other), "twice in {found:?}");
        journal.append(&[entry(99, 50)], true).unwrap();
        let again = numbers(&open(&system, &path).1);
        assert_eq!(again.last(), Some(&99));
    });
}
