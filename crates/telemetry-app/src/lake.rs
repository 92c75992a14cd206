//! The lake that the configuration names, and this host's place in it.

use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use telemetry_provider::Mount;
use telemetry_repository::{Holder, Lake, RepositoryError};
use telemetry_schema::HostId;

use crate::layers::{ConfigError, Loaded, Origin};

const HINT: &str = "choose another lake with --lake DIR, TELEMETRY_LAKE or the key `lake`";

impl Loaded {
    /// The configured lake. The directories above the default lake are ours to make; those above a
    /// lake that the user named must exist, since a missing one may be an unmounted disk. Where nothing
    /// of a lake is there yet, what `/etc/fstab` wants mounted there must be.
    pub fn open_lake(&self) -> anyhow::Result<Lake> {
        let lake = Lake::new(&self.config.lake);
        if let Some(path) = missing_mount(lake.root()) {
            return Err(with_lake_hint(RepositoryError::NotMounted { path }));
        }
        if self.origin("lake") == Origin::Default {
            lake.make_parents().map_err(with_lake_hint)?;
        }
        Ok(lake)
    }

    /// The configured identifier of this host, else one made from the host name.
    pub fn host_id(&self) -> Result<HostId, ConfigError> {
        let bad = |problem: String| ConfigError::BadValue {
            origin: self.origin("host_id"),
            key: "host_id".to_owned(),
            problem,
        };
        if let Some(id) = &self.config.host_id {
            return HostId::parse(id).map_err(|error| bad(error.to_string()));
        }
        let name = gethostname::gethostname().to_string_lossy().into_owned();
        let (id, changed) = HostId::from_host_name(&name)
            .ok_or_else(|| bad(format!("the host name {name:?} cannot serve, so it must be configured")))?;
        if changed {
            tracing::warn!(host_name = name, host_id = id.as_str(), "host name is no valid host_id, mended");
        }
        Ok(id)
    }
}

/// Where a file system is missing below which a lake is to be made. A lake that is there is used, whatever
/// file system it is on.
pub fn missing_mount(lake: &Path) -> Option<PathBuf> {
    let is_there = std::fs::read_dir(lake).is_ok_and(|mut entries| entries.next().is_some());
    if is_there {
        return None;
    }
    let above = lake.ancestors().find_map(|path| Some((path, path.canonicalize().ok()?)));
    let (above, canonical) = above?;
    Mount::missing(&canonical.join(lake.strip_prefix(above).ok()?))
}

/// Adds what to do to an error that another place for the lake would cure.
pub fn with_lake_hint(error: RepositoryError) -> anyhow::Error {
    let curable = matches!(
        error,
        RepositoryError::Permission { .. }
            | RepositoryError::ReadOnly { .. }
            | RepositoryError::MissingParent { .. }
            | RepositoryError::NotMounted { .. }
            | RepositoryError::NotADirectory { .. }
    );
    let error = anyhow::Error::new(error);
    if curable { error.context(format!("cannot use the lake ({HINT})")) } else { error }
}

/// This process, for those who find a lock taken.
pub fn holder(since: DateTime<Utc>) -> Holder {
    let command: Vec<String> = std::env::args().collect();
    Holder { pid: std::process::id(), since, command: command.join(" ") }
}
