//! Space on one file system.

use std::path::{Path, PathBuf};

use fs4::FsStats;
use telemetry_schema::host_metrics::{DiskReading, HostMetricsReadings};
use tracing::debug;

use crate::SystemMetricsProvider;

const GIBIBYTE: f64 = (1u64 << 30) as f64;

/// Reads the space of the file system that holds a path, by `statvfs` and the like: no list of
/// mounts is made, so that another file system that hangs is not touched.
#[derive(Debug)]
pub struct DiskProvider {
    path: PathBuf,
}

impl DiskProvider {
    /// Measures the file system that holds `path`.
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }
}

impl SystemMetricsProvider for DiskProvider {
    fn name(&self) -> &'static str {
        "portable-disk"
    }

    fn collect(&mut self) -> HostMetricsReadings {
        // Windows would answer for the drive of a path where nothing is.
        let is_there = if cfg!(windows) { self.path.metadata().map(|_| ()) } else { Ok(()) };
        let disk = is_there
            .and_then(|()| fs4::statvfs(&self.path))
            .inspect_err(
                |error| debug!(path = %self.path.display(), %error, "cannot read the space of a file system"),
            )
            .ok()
            .map(|stats: FsStats| reading(stats.total_space(), stats.available_space()));
        HostMetricsReadings { disk, ..HostMetricsReadings::default() }
    }
}

/// Blocks are counted in `f_frsize`, and free is `f_bavail`: what an unprivileged user can still
/// use, as `df` has it.
fn reading(total_bytes: u64, available_bytes: u64) -> DiskReading {
    DiskReading {
        disk_root_total_gb: Some(total_bytes as f64 / GIBIBYTE),
        disk_root_free_gb: Some(available_bytes as f64 / GIBIBYTE),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_become_gibibytes() {
        let expected = DiskReading { disk_root_total_gb: Some(1.5), disk_root_free_gb: Some(0.25) };
        assert_eq!(reading(3 << 29, 1 << 28), expected);
    }

    #[test]
    fn a_path_that_does_not_exist_is_not_measured() {
        let mut provider = DiskProvider::new(Path::new("/no/such/path"));
        assert_eq!(provider.collect(), HostMetricsReadings::default());
    }
}
