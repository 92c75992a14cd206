//! The journal: a ring of segments in one file that was written with zeros beforehand, so that an
//! append changes no metadata that a power cut could tear, and needs no room.
//!
//! An append that fails leaves the journal as it was, and its repetition overwrites what it left.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::dating::Announcement;
use super::frame::{FRAME_HEADER_BYTES, Frame, Kind, frame_bytes};
use super::recovery::{self, Contents};
use super::segment::{HEADER_BYTES, Header, SEGMENT_BYTES, fingerprint};
use crate::error::{IoContext as _, RepositoryError};
use crate::filesystem::{FileSystem, create_anew, write_all_at};

/// The longest payload.
pub(super) const MOST_PAYLOAD_BYTES: usize =
    SEGMENT_BYTES - HEADER_BYTES - RESERVED_BYTES - FRAME_HEADER_BYTES;

/// In each segment, rows leave so much to the words about publishing: a full ring could otherwise not
/// say that it is about to be emptied without overwriting what it is about.
const RESERVED_BYTES: usize = 512;

/// What a disk writes at least; the memory of a card has larger units, which are multiples of it.
pub(super) const BLOCK_BYTES: usize = 4096;

/// A frame to be written.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) kind: Kind,
    pub(super) rows: u32,
    /// Overwritten rows that these rows tell of.
    pub(super) reports: u64,
    pub(super) payload: Vec<u8>,
}

/// An open journal; the caller sees to it that there is one.
#[derive(Debug)]
pub(super) struct Journal {
    system: Arc<dyn FileSystem>,
    path: PathBuf,
    file: File,
    columns: Vec<String>,
    state: State,
    /// Whether an append has failed, so that frames may lie behind the end that only the next append,
    /// at the very same place, makes unreadable.
    has_failed: bool,
}

/// Where the journal is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct State {
    /// For each segment the sequence number of its first frame, if it has been used.
    pub(super) first: Vec<Option<u64>>,
    /// The segment that is written to.
    pub(super) current: usize,
    /// Its number.
    pub(super) id: u64,
    /// Where in it the next frame begins.
    pub(super) position: usize,
    /// The next frame's sequence number.
    pub(super) next: u64,
    /// As in a frame.
    pub(super) released: u64,
    /// As in a frame.
    pub(super) dropped: u64,
    /// Frames before this one may have been published although they are not released.
    pub(super) unsure: u64,
}

impl State {
    /// Number of segments that begin with a frame that is not released.
    pub(super) fn used_segments(&self) -> usize {
        self.first.iter().flatten().filter(|first| **first >= self.released).count()
    }
}

impl Journal {
    /// Writes the zeros: `path` has its final name only once all of them are durable.
    pub(super) fn create(
        system: &Arc<dyn FileSystem>,
        path: &Path,
        segments: usize,
    ) -> Result<(), RepositoryError> {
        let new = path.with_extension("new");
        let file = create_anew(system.as_ref(), &new)?;
        let written = (0..segments)
            .try_for_each(|index| write_all_at(system.as_ref(), &file, &[0; SEGMENT_BYTES], offset(index, 0)))
            .and_then(|()| system.sync_file(&file));
        drop(file);
        if let Err(error) = written {
            if let Err(error) = system.remove_file(&new) {
                tracing::debug!(path = %new.display(), %error, "unfinished journal stays behind");
            }
            return Err(RepositoryError::io("write", &new, error));
        }
        system.rename(&new, path).at("replace", path)?;
        let directory = path.parent().unwrap_or(path);
        system.sync_directory(directory).at("sync", directory)
    }

    /// Opens a journal and finds its end. New rows have these columns.
    pub(super) fn open(
        system: &Arc<dyn FileSystem>,
        path: &Path,
        columns: Vec<String>,
    ) -> Result<(Self, Contents), RepositoryError> {
        let file = system.open_file(path).at("open", path)?;
        let size = file.metadata().at("look up", path)?.len();
        let segments = usize::try_from(size).unwrap_or(usize::MAX) / SEGMENT_BYTES;
        if segments < super::LEAST_SEGMENTS {
            return Err(RepositoryError::damaged(path, format!("a spool of {size} bytes is too short")));
        }
        let (state, contents) =
            recovery::read(system.as_ref(), &file, segments.min(super::MOST_SEGMENTS), &columns)
                .at("read", path)?;
        let system = Arc::clone(system);
        let journal = Self { system, path: path.to_owned(), file, columns, state, has_failed: false };
        Ok((journal, contents))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn file(&self) -> &File {
        &self.file
    }

    pub(super) fn state(&self) -> &State {
        &self.state
    }

    /// What is not released.
    pub(super) fn contents(&self) -> Result<Contents, RepositoryError> {
        let segments = self.state.first.len();
        let (_, mut contents) = recovery::read(self.system.as_ref(), &self.file, segments, &self.columns)
            .at("read", &self.path)?;
        // What a failed append left.
        contents.frames.retain(|frame| (self.state.released..self.state.next).contains(&frame.sequence));
        Ok(contents)
    }

    /// Whether more than half of the segments hold frames that are not released.
    pub(super) fn is_half_full(&self) -> bool {
        2 * self.state.used_segments() > self.state.first.len()
    }

    /// Writes frames, and makes them and all before them durable if wanted.
    pub(super) fn append(&mut self, entries: &[Entry], is_durable: bool) -> Result<(), RepositoryError> {
        let before = self.state.clone();
        self.go_to_free_block(entries);
        let written = entries
            .iter()
            .try_for_each(|entry| self.write(entry))
            .and_then(|()| if is_durable { self.sync() } else { Ok(()) });
        if written.is_err() {
            self.state = before;
            self.has_failed = true;
        }
        written
    }

    /// What fits a block is not written across the border of two: a minute of samples then costs one
    /// block, and never two.
    fn go_to_free_block(&mut self, entries: &[Entry]) {
        let bytes: usize = entries.iter().map(|entry| frame_bytes(entry.payload.len())).sum();
        let free = BLOCK_BYTES - self.state.position % BLOCK_BYTES;
        if (free + 1..=BLOCK_BYTES).contains(&bytes) && !self.has_failed {
            self.state.position += free;
        }
    }

    /// Durably says what is about to be published, and as of when.
    pub(super) fn begin_publishing(&mut self, announcement: &Announcement) -> Result<(), RepositoryError> {
        let payload = announcement.encode();
        self.append(&[Entry { kind: Kind::Publishing, rows: 0, reports: 0, payload }], true)?;
        self.state.unsure = announcement.up_to;
        Ok(())
    }

    /// Durably says that they are published.
    pub(super) fn release(&mut self, up_to: u64) -> Result<(), RepositoryError> {
        let released = std::mem::replace(&mut self.state.released, up_to);
        let entry = Entry { kind: Kind::Released, rows: 0, reports: 0, payload: Vec::new() };
        let result = self.append(&[entry], true);
        if result.is_err() {
            self.state.released = released;
        }
        result
    }

    fn sync(&self) -> Result<(), RepositoryError> {
        self.system.sync_data(&self.file).at("sync", &self.path)
    }

    fn write(&mut self, entry: &Entry) -> Result<(), RepositoryError> {
        let reserved = if matches!(entry.kind, Kind::Rows | Kind::Note) { RESERVED_BYTES } else { 0 };
        if self.state.position + frame_bytes(entry.payload.len()) + reserved > SEGMENT_BYTES {
            self.begin_segment()?;
        }
        let bytes = Frame {
            kind: entry.kind,
            sequence: self.state.next,
            released: self.state.released,
            dropped: self.state.dropped.saturating_sub(entry.reports),
            rows: entry.rows,
            reports: entry.reports,
            columns: fingerprint(self.columns.iter().map(String::as_str)),
            segment: self.state.id,
            payload: &entry.payload,
        }
        .encode();
        self.write_at(&bytes, self.state.position)?;
        self.state.dropped = self.state.dropped.saturating_sub(entry.reports);
        self.state.position += bytes.len();
        self.state.next += 1;
        Ok(())
    }

    /// Goes on to the next segment of the ring; what it held is overwritten, published or not.
    fn begin_segment(&mut self) -> Result<(), RepositoryError> {
        let index = (self.state.current + 1) % self.state.first.len();
        let first = self.state.first[index];
        let later =
            self.state.first.iter().flatten().filter(|later| first.is_some_and(|first| **later > first));
        let end = later.min().copied().unwrap_or(self.state.next);
        if first.is_some() && end > self.state.released {
            let contents = self.contents()?;
            let lost = contents.frames.iter().filter(|frame| frame.sequence < end);
            self.state.dropped += lost.map(|frame| u64::from(frame.rows) + frame.reports).sum::<u64>();
            self.state.released = end;
        }
        self.state.current = index;
        self.state.id = fastrand::u64(..);
        self.state.position = HEADER_BYTES;
        self.state.first[index] = Some(self.state.next);
        let header = Header {
            id: self.state.id,
            first: self.state.next,
            released: self.state.released,
            dropped: self.state.dropped,
            columns: self.columns.clone(),
        };
        self.write_at(&header.encode(), 0)
    }

    fn write_at(&self, bytes: &[u8], position: usize) -> Result<(), RepositoryError> {
        let offset = offset(self.state.current, position);
        write_all_at(self.system.as_ref(), &self.file, bytes, offset).at("write", &self.path)
    }
}

/// Where a position of a segment is in the file.
pub(super) fn offset(segment: usize, position: usize) -> u64 {
    (segment * SEGMENT_BYTES + position) as u64
}
