//! Finding out what a journal holds: whole frames in the order of their numbers. A torn end is what a
//! power cut leaves and no damage; a number that is missing before a later one is.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::sync::Arc;

use super::frame::{Frame, Kind, frames, u64_at};
use super::journal::{State, offset};
use super::segment::{HEADER_BYTES, Header, SEGMENT_BYTES, fingerprint};
use crate::filesystem::{FileSystem, read_all_at};

/// What is in a journal besides what is released.
#[derive(Debug, Default)]
pub(super) struct Contents {
    /// By sequence number.
    pub(super) frames: Vec<Stored>,
    /// Sequence numbers of frames that are no longer whole.
    pub(super) lost: Vec<Range<u64>>,
    /// Segments in which something is not what it should be.
    pub(super) damaged: Vec<usize>,
}

/// A frame that was read.
#[derive(Debug, Clone)]
pub(super) struct Stored {
    pub(super) kind: Kind,
    pub(super) sequence: u64,
    pub(super) rows: u32,
    pub(super) reports: u64,
    /// Names of the columns; `None` if nobody knows them any more.
    pub(super) columns: Option<Arc<[String]>>,
    pub(super) payload: Vec<u8>,
}

/// A segment that was read whole.
struct Scanned {
    index: usize,
    last: Option<Last>,
    /// Whether something is in it, but no whole frame.
    is_destroyed: bool,
    frames: Vec<(u32, Stored)>,
}

/// The last whole frame of a segment.
#[derive(Clone, Copy)]
struct Last {
    index: usize,
    sequence: u64,
    released: u64,
    dropped: u64,
    /// Where it ends.
    end: usize,
}

/// Reads the journal in a file of so many segments; `columns` are those of this version.
pub(super) fn read(
    system: &dyn FileSystem,
    file: &File,
    segments: usize,
    columns: &[String],
) -> io::Result<(State, Contents)> {
    let mut headers = Vec::with_capacity(segments);
    let mut unreadable = Vec::new();
    for index in 0..segments {
        let mut block = vec![0; HEADER_BYTES];
        read_all_at(system, file, &mut block, offset(index, 0))?;
        headers.push(Header::decode(&block));
        if headers[index].is_none() && block.iter().any(|byte| *byte != 0) {
            unreadable.push(index);
        }
    }
    let firsts: Vec<Option<u64>> =
        headers.iter().map(|header| header.as_ref().map(|header| header.first)).collect();
    let newest = (0..segments).filter(|index| firsts[*index].is_some()).max_by_key(|index| firsts[*index]);
    let scan = |index: usize| scan(system, file, index, headers[index].as_ref());

    // The newest segment knows best what is released; one without a header may be newer still.
    let mut scanned =
        newest.iter().chain(&unreadable).map(|index| scan(*index)).collect::<io::Result<Vec<_>>>()?;
    let known = headers.iter().flatten().map(|header| header.released);
    let told = scanned.iter().filter_map(|scanned| Some(scanned.last?.released));
    let released = known.chain(told).max().unwrap_or(0);
    for index in (0..segments).filter(|index| Some(*index) != newest) {
        let Some(first) = firsts[index] else { continue };
        let end = firsts.iter().flatten().filter(|later| **later > first).min();
        if end.is_some_and(|end| *end > released) {
            scanned.push(scan(index)?);
        }
    }
    Ok(assemble(Found { headers, unreadable, scanned, newest, released }, columns))
}

struct Found {
    headers: Vec<Option<Header>>,
    unreadable: Vec<usize>,
    scanned: Vec<Scanned>,
    newest: Option<usize>,
    released: u64,
}

fn assemble(found: Found, columns: &[String]) -> (State, Contents) {
    let Found { headers, unreadable, scanned, newest, released } = found;
    let names = known_names(&headers, columns);
    let newest = newest.and_then(|index| Some((index, headers[index].as_ref()?)));
    let last = scanned.iter().filter_map(|scanned| scanned.last).max_by_key(|last| last.sequence);
    // A frame in a segment that is older than the newest one says nothing of the end.
    let last = last.filter(|last| newest.is_none_or(|(_, header)| last.sequence >= header.first));
    let mut first: Vec<Option<u64>> = headers.iter().map(|header| Some(header.as_ref()?.first)).collect();
    // A header that cannot be read is by itself what a power cut leaves of a segment that was begun.
    let destroyed =
        scanned.iter().filter(|scanned| scanned.is_destroyed).map(|scanned| scanned.index).collect();
    let mut frames = BTreeMap::new();
    for Scanned { index, frames: found, .. } in scanned {
        let found = found.into_iter().filter(|(_, frame)| frame.sequence >= released);
        for (fingerprint, frame) in found {
            // Without its header, a segment is as old as its frames are.
            first[index] = first[index].or(Some(frame.sequence));
            frames.insert(frame.sequence, Stored { columns: names.get(&fingerprint).cloned(), ..frame });
        }
    }
    let begun = newest.map_or(0, |(_, header)| header.first);
    let (lost, next) = gaps(released, frames.keys().copied(), begun);
    let next = last.map_or(next, |last| next.max(last.sequence.saturating_add(1)));
    let damaged = damaged(&first, &lost, destroyed);
    let announced = frames.values().filter(|frame| frame.kind == Kind::Publishing);
    let announced = announced.filter_map(|frame| u64_at(&frame.payload, 0)).max().unwrap_or(0);
    let (current, position) = match (last, newest) {
        (Some(last), _) => (last.index, last.end),
        (None, Some((index, _))) => (index, HEADER_BYTES),
        (None, None) => (headers.len() - 1, SEGMENT_BYTES),
    };
    let is_ours = headers[current].as_ref().is_some_and(|header| header.columns == columns);
    let state = State {
        first,
        current,
        id: headers[current].as_ref().map_or(0, |header| header.id),
        position: if is_ours { position } else { SEGMENT_BYTES },
        next,
        released,
        dropped: last.map(|last| last.dropped).or(newest.map(|(_, header)| header.dropped)).unwrap_or(0),
        // Damage may have swallowed the word that something is published.
        unsure: if damaged.is_empty() && unreadable.is_empty() { announced.min(next) } else { next },
    };
    (state, Contents { frames: frames.into_values().collect(), lost, damaged })
}

fn known_names(headers: &[Option<Header>], columns: &[String]) -> BTreeMap<u32, Arc<[String]>> {
    let stored = headers.iter().flatten().map(|header| header.columns.as_slice());
    let lists = stored.chain([columns]);
    lists.map(|names| (fingerprint(names.iter().map(String::as_str)), Arc::from(names))).collect()
}

/// The numbers that are missing, and the one that comes next.
fn gaps(released: u64, frames: impl Iterator<Item = u64>, begun: u64) -> (Vec<Range<u64>>, u64) {
    let mut lost = Vec::new();
    let mut expected = released;
    let mut miss = |expected: &mut u64, until: u64| {
        if until > *expected {
            lost.push(*expected..until);
            *expected = until;
        }
    };
    for sequence in frames {
        miss(&mut expected, sequence);
        expected = sequence.saturating_add(1);
    }
    // A new segment is begun when the one before is complete.
    miss(&mut expected, begun);
    (lost, expected)
}

fn damaged(first: &[Option<u64>], lost: &[Range<u64>], destroyed: Vec<usize>) -> Vec<usize> {
    let mut damaged = destroyed;
    for (index, begin) in first.iter().enumerate() {
        let Some(begin) = begin else { continue };
        let end = first.iter().flatten().filter(|later| *later > begin).min().copied().unwrap_or(u64::MAX);
        if lost.iter().any(|lost| lost.start < end && lost.end > *begin) {
            damaged.push(index);
        }
    }
    damaged.sort_unstable();
    damaged.dedup();
    damaged
}

fn scan(system: &dyn FileSystem, file: &File, index: usize, header: Option<&Header>) -> io::Result<Scanned> {
    let mut bytes = vec![0; SEGMENT_BYTES];
    read_all_at(system, file, &mut bytes, offset(index, 0))?;
    let first = header.map_or(0, |header| header.first);
    let mut scanned = Scanned { index, last: None, is_destroyed: false, frames: Vec::new() };
    for (end, frame) in frames(&bytes, HEADER_BYTES, first, header.map(|header| header.id)) {
        let Frame { kind, sequence, released, dropped, rows, reports, columns, payload, .. } = frame;
        scanned.last = Some(Last { index, sequence, released, dropped, end });
        let payload = payload.to_vec();
        scanned.frames.push((columns, Stored { kind, sequence, rows, reports, columns: None, payload }));
    }
    scanned.is_destroyed =
        scanned.frames.is_empty() && header.is_none() && bytes[HEADER_BYTES..].iter().any(|byte| *byte != 0);
    Ok(scanned)
}
