//! Which files of a dataset a reader needs, by directory and file names alone.

use std::path::PathBuf;

use chrono::{Days, NaiveDate, NaiveTime};
use telemetry_schema::HostId;

use crate::layout::FileName;

/// A published file, as its directory entry describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataFile {
    /// Where it is.
    pub path: PathBuf,
    /// The UTC date of all its rows.
    pub date: NaiveDate,
    /// Size in bytes.
    pub size: u64,
    /// What its name says.
    pub name: FileName,
}

/// Hosts and times of interest. A file is left out only if its name or directory excludes it, so
/// rows of a selected file still have to be filtered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// These hosts; all if `None`.
    pub hosts: Option<Vec<HostId>>,
    /// Microseconds since 1970, inclusive.
    pub from_us: Option<i64>,
    /// Microseconds since 1970, exclusive.
    pub to_us: Option<i64>,
}

impl Selection {
    /// Everything.
    pub fn all() -> Self {
        Self::default()
    }

    /// All hosts from one instant (inclusive) to another (exclusive), microseconds since 1970.
    pub fn between(from_us: i64, to_us: i64) -> Self {
        Self { hosts: None, from_us: Some(from_us), to_us: Some(to_us) }
    }

    /// All hosts on one UTC date.
    pub fn on(date: NaiveDate) -> Self {
        let (from_us, last_us) = date_range_us(date);
        Self::between(from_us, last_us.saturating_add(1))
    }

    pub(crate) fn wants_date(&self, date: NaiveDate) -> bool {
        self.wants_times(date_range_us(date))
    }

    pub(crate) fn wants_file(&self, name: &FileName) -> bool {
        let Some(name) = name.sample() else { return true };
        let times = (name.first.timestamp_micros(), name.last.timestamp_micros());
        self.wants_times(times) && self.wants_host(name.host.as_ref())
    }

    fn wants_host(&self, host: Option<&HostId>) -> bool {
        match (&self.hosts, host) {
            (Some(hosts), Some(host)) => hosts.contains(host),
            (None, _) | (_, None) => true,
        }
    }

    /// Whether any instant of the range, both ends inclusive, is selected.
    fn wants_times(&self, (first_us, last_us): (i64, i64)) -> bool {
        self.from_us.is_none_or(|from_us| last_us >= from_us)
            && self.to_us.is_none_or(|to_us| first_us < to_us)
    }
}

/// First and last microsecond of a UTC date.
pub(crate) fn date_range_us(date: NaiveDate) -> (i64, i64) {
    let start = |date: NaiveDate| date.and_time(NaiveTime::MIN).and_utc().timestamp_micros();
    let next = date.checked_add_days(Days::new(1)).map_or(i64::MAX, start);
    (start(date), next.saturating_sub(1))
}
