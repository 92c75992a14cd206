//! Who holds a lock: asked of the kernel where it tells (Linux), since a file that each run writes would
//! be most of what a run of cron writes to the disk; written in a file beside the lock elsewhere.

#[cfg(any(not(target_os = "linux"), test))]
#[cfg_attr(target_os = "linux", allow(dead_code, reason = "only its tests run there"))]
mod beside;
#[cfg(target_os = "linux")]
mod kernel;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};

#[cfg(not(target_os = "linux"))]
pub(crate) use beside::{Announcement, holder_of};
#[cfg(target_os = "linux")]
pub(crate) use kernel::{Announcement, holder_of};

/// Who holds a lock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Process id.
    pub pid: u32,
    /// When it took the lock; on Linux, when the process began.
    pub since: DateTime<Utc>,
    /// The program and its arguments.
    pub command: String,
}

impl Holder {
    pub(crate) fn describe(holder: Option<&Self>) -> String {
        match holder {
            Some(Self { pid, since, command }) => {
                let since = since.to_rfc3339_opts(SecondsFormat::Secs, true);
                format!("process {pid} since {since} ({command})")
            }
            None => "another process".to_owned(),
        }
    }
}
