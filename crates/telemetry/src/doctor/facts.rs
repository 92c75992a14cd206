//! What the checks decide from.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use chrono::{DateTime, Utc};
use telemetry_alert_rules::AlertState;
use telemetry_provider::{Inspection, Mount};
use telemetry_repository::{LockState, Probe, Quarantined, RepositoryError, Space, SpoolLook};
use telemetry_schema::HostId;

/// Everything that is known of this host.
#[derive(Debug)]
pub(crate) struct Facts {
    pub(crate) now: DateTime<Utc>,
    pub(crate) host: HostId,
    pub(crate) configuration: Configuration,
    /// The lake's directory, absolute.
    pub(crate) root: PathBuf,
    /// Its file system.
    pub(crate) mount: Option<Mount>,
    /// How long lake and machine had to answer.
    pub(crate) deadline: Duration,
    /// `None` if it has not answered in time.
    pub(crate) lake: Option<LakeFacts>,
    /// `None` if it has not answered in time.
    pub(crate) machine: Option<Inspection>,
}

impl Facts {
    /// A command of ours, on the same lake.
    pub(crate) fn command(&self, command: &str) -> String {
        format!("{command}{}", self.configuration.flags)
    }
}

/// What is configured.
#[derive(Debug, Clone)]
pub(crate) struct Configuration {
    pub(crate) is_enabled: bool,
    pub(crate) sample_interval_seconds: u32,
    /// Minutes that samples may wait in the spool.
    pub(crate) publish_interval_minutes: u32,
    /// The lake's parents are made by the collector.
    pub(crate) is_default_lake: bool,
    /// The flags that other programs need to work on the same lake: ` --lake /mnt/lake`.
    pub(crate) flags: String,
    /// What is not left at its default, with its origin.
    pub(crate) settings: Vec<(String, String)>,
}

/// A lake, as this user finds it.
#[derive(Debug)]
pub(crate) struct LakeFacts {
    pub(crate) probe: Result<Probe, RepositoryError>,
    /// Nothing else is in its directory.
    pub(crate) has_own_directory: bool,
    /// What this user may not write to.
    pub(crate) not_writable: Vec<PathBuf>,
    /// The user of the lake, if this is the superuser and the lake somebody else's.
    pub(crate) other_owner: Option<u32>,
    pub(crate) space: Option<Space>,
    /// `None` if they cannot be listed.
    pub(crate) orphans: Option<usize>,
    /// `None` if it cannot be listed.
    pub(crate) quarantined: Option<Quarantined>,
    pub(crate) collector: LockState,
    pub(crate) rollup: LockState,
    /// The spool of this host, if it has one.
    pub(crate) spool: Option<SpoolLook>,
    /// `None` if they cannot be listed.
    pub(crate) samples: Option<SampleFacts>,
    pub(crate) programs: ProgramFacts,
    pub(crate) schemas: Vec<SchemaFacts>,
    /// What could not be looked at, and why.
    pub(crate) unreadable: Vec<String>,
}

/// What the names of Silver files say.
#[derive(Debug, Clone, Default)]
pub(crate) struct SampleFacts {
    /// The files of this host with samples of the last day, in time order.
    pub(crate) runs: Vec<Run>,
    /// This host's last sample.
    pub(crate) last: Option<DateTime<Utc>>,
    /// Other hosts in the lake, as far as one looks back.
    pub(crate) other_hosts: BTreeSet<String>,
    /// The last sample of any host.
    pub(crate) last_of_any: Option<DateTime<Utc>>,
    /// The first sample of any host on the last dates.
    pub(crate) first_of_any: Option<DateTime<Utc>>,
}

/// One file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) first: DateTime<Utc>,
    pub(crate) last: DateTime<Utc>,
    pub(crate) rows: u64,
    /// Made from files of several runs.
    pub(crate) is_merged: bool,
}

/// What the rollup has left.
#[derive(Debug, Clone, Default)]
pub(crate) struct ProgramFacts {
    /// When the newest file of Gold was written.
    pub(crate) built: Option<DateTime<Utc>>,
    /// How far the alert rules have come, and what fires.
    pub(crate) alerts: Option<AlertState>,
}

/// The schema of the newest file of a dataset.
#[derive(Debug, Clone)]
pub(crate) struct SchemaFacts {
    pub(crate) dataset: String,
    /// The version that this program knows.
    pub(crate) known: u32,
    /// The version in the file, `None` in a foreign one; or why it cannot be read.
    pub(crate) found: Result<Option<u32>, String>,
}
