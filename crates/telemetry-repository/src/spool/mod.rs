//! The spool of a host: where samples are durable before they are published.
//!
//! `LAKE/.spool/<host>/journal` is a ring of segments, written with zeros beforehand. Samples are
//! appended as frames with a checksum and a running number. Publishing first says durably what it is
//! about to publish, then publishes, then says that it has: where the last word is missing, the rows
//! are compared with those of the dataset before any is published again.

mod cells;
mod dating;
mod frame;
mod journal;
#[cfg(test)]
mod journal_tests;
mod look;
mod recovery;
mod segment;
mod settle;
#[cfg(test)]
mod tests;
mod waiting;

use std::path::{Path, PathBuf};

use telemetry_schema::{HOST_METRICS, HostId, HostMetricsSample};

use self::dating::accept_undated;
pub use self::dating::{ClockReading, awaits_clock};
use self::frame::Kind;
use self::journal::{Entry, Journal, MOST_PAYLOAD_BYTES};
pub use self::look::SpoolLook;
use self::recovery::Stored;
use self::segment::SEGMENT_BYTES;
pub use self::waiting::Waiting;
use crate::error::{IoContext as _, RepositoryError};
use crate::filesystem::Space;
use crate::host_metrics::Appended;
use crate::lake::Lake;
use crate::layout::SPOOL;
use crate::lock::make_directories;

const JOURNAL: &str = "journal";
/// 7.5 MiB: more than a day of samples every ten seconds, however they are written.
const MOST_SEGMENTS: usize = 120;
/// One that is written, one that waits and one that is next.
const LEAST_SEGMENTS: usize = 3;
/// Of the free space, the spool takes this part at most.
const SPACE_DIVISOR: u64 = 3;
/// Rows are collected into frames of about this size.
const FRAME_BYTES: usize = 16 * 1024;

/// The spool of one host, open for its one collector: hold the collector's lock.
#[derive(Debug)]
pub struct Spool {
    lake: Lake,
    journal: Journal,
    waiting: Waiting,
    note: Option<String>,
    damage: Vec<SpoolDamage>,
    clock: Option<ClockReading>,
}

/// What could not be read back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpoolDamage {
    /// The copy that was set aside, or the spool itself where there was no room for one.
    pub path: PathBuf,
    /// Number of frames that are lost; each had one sample at least.
    pub lost_frames: u64,
}

impl Lake {
    /// Opens the spool of a host, making it where there is none: at most 7.5 MiB, and a third of the
    /// free space. Damage is set aside, and what is whole is kept.
    ///
    /// # Errors
    /// [`RepositoryError::NoSpace`] if there is no room for a new one.
    pub fn open_spool(&self, host: &HostId) -> Result<Spool, RepositoryError> {
        let path = self.spool_path(host);
        if !path.try_exists().at("look up", &path)? {
            self.create_spool(&path)?;
        }
        match Spool::open(self, &path) {
            Err(RepositoryError::Damaged { path, reason }) => {
                let aside = self.set_spool_aside(&path)?;
                tracing::error!(path = %aside.display(), reason, "damaged spool set aside");
                self.create_spool(&path)?;
                Spool::open(self, &path)
            }
            result => result,
        }
    }

    /// The spool of a host, if there is one.
    ///
    /// # Errors
    /// As [`Lake::open_spool`].
    pub fn find_spool(&self, host: &HostId) -> Result<Option<Spool>, RepositoryError> {
        let path = self.spool_path(host);
        let exists = path.try_exists().at("look up", &path)?;
        if exists { self.open_spool(host).map(Some) } else { Ok(None) }
    }

    fn spool_path(&self, host: &HostId) -> PathBuf {
        self.root().join(SPOOL).join(host.as_str()).join(JOURNAL)
    }

    fn create_spool(&self, path: &Path) -> Result<(), RepositoryError> {
        let directory = path.parent().unwrap_or(path);
        make_directories(self.system().as_ref(), self.root(), directory)?;
        let space = self.system().space(directory).at("ask for the free space of", directory)?;
        let room = |Space { free_bytes, .. }| free_bytes / SPACE_DIVISOR / SEGMENT_BYTES as u64;
        let segments = space.map_or(MOST_SEGMENTS, |space| room(space).min(MOST_SEGMENTS as u64) as usize);
        if segments < LEAST_SEGMENTS {
            return Err(RepositoryError::NoSpace { path: path.to_owned() });
        }
        Journal::create(self.system(), path, segments)
    }
}

impl Spool {
    fn open(lake: &Lake, path: &Path) -> Result<Self, RepositoryError> {
        let columns = HOST_METRICS.columns.iter().map(|column| column.name.to_owned()).collect();
        let (journal, contents) = Journal::open(lake.system(), path, columns)?;
        let mut spool = Self {
            lake: lake.clone(),
            journal,
            waiting: Waiting::default(),
            note: None,
            damage: Vec::new(),
            clock: None,
        };
        spool.set_damage_aside(&contents);
        let mut notes = contents.frames.iter().filter(|frame| frame.kind == Kind::Note);
        spool.note = notes.next_back().and_then(|frame| String::from_utf8(frame.payload.clone()).ok());
        let lost_frames = spool.damage.iter().map(|damage| damage.lost_frames).sum();
        spool.waiting = Waiting::of_journal(&contents.frames, spool.journal.state(), lost_frames);
        Ok(spool)
    }

    /// What waits for publication.
    pub fn waiting(&self) -> Waiting {
        Waiting { is_urgent: self.waiting.is_urgent || self.journal.is_half_full(), ..self.waiting }
    }

    /// Says what the clock of the machine shows now, for samples whose own was not right when they were
    /// taken ([`awaits_clock`]). Without it they wait, unless a later sample of the same boot tells.
    pub fn set_clock(&mut self, clock: ClockReading) {
        self.clock = Some(clock);
    }

    /// Samples that were overwritten because the spool was full, and that no sample has told of yet.
    pub fn dropped(&self) -> u64 {
        self.journal.state().dropped
    }

    /// What was found damaged when the spool was opened.
    pub fn damage(&self) -> &[SpoolDamage] {
        &self.damage
    }

    /// The text that was last stored with samples, if any of them still wait or were the last ones.
    pub fn note(&self) -> Option<&str> {
        self.note.as_deref()
    }

    /// Stores samples, by the rules of [`crate::HostMetricsRepository::append`] (but samples of a clock
    /// that is not set wait until it is), and a text for the next run. `dropped_samples` is filled in: the first sample tells how many were overwritten since the
    /// one before. If `is_durable`, they and all before them survive a power cut when this returns;
    /// else they survive the end of this process only.
    ///
    /// # Errors
    /// Nothing is stored then; the same samples can be given again.
    pub fn append(
        &mut self,
        samples: &mut [HostMetricsSample],
        note: Option<&str>,
        is_durable: bool,
    ) -> Result<Appended, RepositoryError> {
        let reports = self.journal.state().dropped;
        for (index, sample) in samples.iter_mut().enumerate() {
            sample.dropped_samples = Some(if index == 0 { reports.cast_signed() } else { 0 });
        }
        let mut appended = Appended::default();
        let accepted = accept_undated(samples, &mut appended);
        let mut entries = self.entries(&accepted, reports)?;
        let payload = note.map(|note| note.as_bytes().to_vec());
        entries.extend(payload.map(|payload| Entry { kind: Kind::Note, rows: 0, reports: 0, payload }));
        self.journal.append(&entries, is_durable)?;
        appended.rows = accepted.len();
        self.waiting.samples += accepted.len();
        self.waiting.oldest = self.waiting.oldest.or(accepted.first().map(|sample| sample.as_of));
        Ok(appended)
    }

    fn entries(
        &self,
        mut samples: &[HostMetricsSample],
        mut reports: u64,
    ) -> Result<Vec<Entry>, RepositoryError> {
        let mut entries = Vec::new();
        while !samples.is_empty() {
            let (payload, count) = cells::encode(samples, FRAME_BYTES);
            if payload.len() > MOST_PAYLOAD_BYTES {
                let bytes = payload.len();
                let reason = format!("a sample of {bytes} bytes; at most {MOST_PAYLOAD_BYTES} fit the spool");
                return Err(RepositoryError::InvalidFrame { dataset: HOST_METRICS.name.to_owned(), reason });
            }
            let reports = std::mem::take(&mut reports);
            entries.push(Entry { kind: Kind::Rows, rows: count as u32, reports, payload });
            samples = &samples[count..];
        }
        Ok(entries)
    }
}

/// The rows of a frame; what is wrong with it, in words.
fn decode(frame: &Stored) -> Result<Vec<HostMetricsSample>, String> {
    let columns = frame.columns.as_ref().ok_or("the names of its columns are lost")?;
    cells::decode(&frame.payload, columns)
}
