//! What is in a spool, for those who only look: without its lock, and without touching it.

use std::fs::File;
use std::io;
use std::path::PathBuf;

use telemetry_schema::{HOST_METRICS, HostId};

use super::recovery::{self, Contents};
use super::segment::SEGMENT_BYTES;
use super::{LEAST_SEGMENTS, MOST_SEGMENTS, Waiting};
use crate::error::{IoContext as _, RepositoryError};
use crate::lake::Lake;
use crate::layout::SPOOL;

/// The owner may write at the same instant: what looks damaged is looked at again.
const ATTEMPTS: usize = 2;

/// A spool as it is found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpoolLook {
    /// The file.
    pub path: PathBuf,
    /// Its size in bytes.
    pub bytes: u64,
    /// What waits for publication.
    pub waiting: Waiting,
    /// The part of the room that is taken, in percent.
    pub used_percent: u32,
    /// Samples that were overwritten because the spool was full, and that no sample has told of yet.
    pub dropped: u64,
    /// Number of frames that are lost; each had one sample at least.
    pub lost_frames: u64,
}

impl Lake {
    /// Whether any host has a spool in this lake.
    ///
    /// # Errors
    /// What stands in the way of looking.
    pub fn has_spools(&self) -> Result<bool, RepositoryError> {
        let spools = self.root().join(SPOOL);
        spools.try_exists().at("look up", &spools)
    }

    /// Looks into the spool of a host, if there is one.
    ///
    /// # Errors
    /// [`RepositoryError::Damaged`] if it is too short to be one, and what stands in the way of reading it.
    pub fn look_into_spool(&self, host: &HostId) -> Result<Option<SpoolLook>, RepositoryError> {
        let path = self.spool_path(host);
        let file = match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            result => result.at("open", &path)?,
        };
        let bytes = file.metadata().at("look up", &path)?.len();
        let segments = usize::try_from(bytes).unwrap_or(usize::MAX) / SEGMENT_BYTES;
        let segments = segments.min(MOST_SEGMENTS);
        if segments < LEAST_SEGMENTS {
            return Err(RepositoryError::damaged(&path, format!("a spool of {bytes} bytes is too short")));
        }
        let columns: Vec<_> = HOST_METRICS.columns.iter().map(|column| column.name.to_owned()).collect();
        let mut attempts = 0;
        loop {
            attempts += 1;
            let system = self.system().as_ref();
            let (state, Contents { frames, lost, .. }) =
                recovery::read(system, &file, segments, &columns).at("read", &path)?;
            let lost_frames = lost.iter().map(|lost| lost.end - lost.start).sum();
            if lost_frames > 0 && attempts < ATTEMPTS {
                continue;
            }
            let waiting = Waiting::of_journal(&frames, &state, lost_frames);
            let used_percent = (100 * state.used_segments() / segments) as u32;
            let dropped = state.dropped;
            return Ok(Some(SpoolLook { path, bytes, waiting, used_percent, dropped, lost_frames }));
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::fs;

    use chrono::DateTime;
    use telemetry_schema::{HostMetricsSample, Row as _, Value, host_metrics::names};

    use super::*;

    fn sample(second: i64) -> HostMetricsSample {
        let cell = |name| match name {
            names::as_of => Value::TimestampUs((1_795_305_590 + second) * 1_000_000),
            names::host_id => Value::String("pi".into()),
            _ => Value::Null,
        };
        let cells: Vec<_> = HOST_METRICS.columns.iter().map(|column| cell(column.name)).collect();
        HostMetricsSample::from_values(&cells).unwrap()
    }

    #[test]
    fn a_look_tells_what_waits_and_changes_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let lake = Lake::new(directory.path().join("lake"));
        let host = HostId::parse("pi").unwrap();
        assert_eq!(lake.look_into_spool(&host).unwrap(), None);
        assert!(!lake.has_spools().unwrap());
        let mut spool = lake.open_spool(&host).unwrap();
        assert!(lake.has_spools().unwrap());
        for second in 0..3 {
            spool.append(&mut [sample(second)], None, true).unwrap();
        }
        let look = || {
            let path = lake.spool_path(&host);
            let before = fs::metadata(&path).unwrap().modified().unwrap();
            let look = lake.look_into_spool(&host).unwrap().unwrap();
            assert_eq!(fs::metadata(path).unwrap().modified().unwrap(), before);
            look
        };
        let waits = look();
        assert_eq!(waits.waiting, spool.waiting());
        assert_eq!((waits.waiting.samples, waits.lost_frames, waits.dropped), (3, 0, 0));
        assert_eq!(waits.waiting.oldest, DateTime::from_timestamp(1_795_305_590, 0));
        assert_eq!((waits.bytes, waits.used_percent), ((MOST_SEGMENTS * SEGMENT_BYTES) as u64, 0));
        spool.publish().unwrap();
        assert_eq!(look().waiting, Waiting::default());
    }

    #[test]
    fn damage_is_told_and_left_to_the_owner() {
        let directory = tempfile::tempdir().unwrap();
        let lake = Lake::new(directory.path().join("lake"));
        let host = HostId::parse("pi").unwrap();
        let mut spool = lake.open_spool(&host).unwrap();
        for second in 0..3 {
            spool.append(&mut [sample(second)], None, true).unwrap();
        }
        let path = lake.spool_path(&host);
        let mut bytes = fs::read(&path).unwrap();
        let first = bytes.windows(4).position(|window| window == b"TMf1").unwrap();
        bytes[first + 70] ^= 1;
        fs::write(&path, &bytes).unwrap();
        let look = lake.look_into_spool(&host).unwrap().unwrap();
        assert_eq!((look.lost_frames, look.waiting.samples, look.waiting.is_urgent), (1, 2, true));
        assert!(!lake.root().join(crate::layout::QUARANTINE).exists());
        fs::write(&path, &bytes[..SEGMENT_BYTES]).unwrap();
        assert!(matches!(lake.look_into_spool(&host), Err(RepositoryError::Damaged { .. })));
    }
}
