//! `.tar.gz` and `.zip`, the same bytes each time.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};

use super::{Platform, Release};
use crate::process;

/// Packs a directory under its own name. Returns the archive.
pub(super) fn write(platform: Platform, staged: &Path, output: &Path, release: &Release) -> Result<PathBuf> {
    let name = staged.file_name().and_then(OsStr::to_str).context("a staged directory has a name")?;
    let parent = staged.parent().context("a staged directory has a parent")?;
    let ending = if platform == Platform::Windows { "zip" } else { "tar.gz" };
    let archive = output.join(format!("{name}.{ending}"));
    let mut command = if platform == Platform::Windows {
        let epoch: u64 = release.epoch.parse().context("a commit has a time")?;
        let mut files = Vec::new();
        list(staged, SystemTime::UNIX_EPOCH + Duration::from_secs(epoch), &mut files)?;
        files.sort();
        let mut zip = Command::new("zip");
        // Without extra fields and in UTC: nothing of this machine.
        zip.env("TZ", "UTC").args(["-q", "-X"]).arg(&archive);
        zip.args(files.iter().filter_map(|file| file.strip_prefix(parent).ok()));
        zip
    } else {
        let mut tar = Command::new("tar");
        let mtime = format!("--mtime=@{}", release.epoch);
        tar.args(["--sort=name", "--owner=0", "--group=0", "--numeric-owner", "--mode=u=rwX,go=rX"]);
        tar.args([mtime.as_str(), "-czf"]).arg(&archive).arg(name);
        tar
    };
    process::run(command.current_dir(parent))?;
    Ok(archive)
}

/// The files below a directory, which get this time.
fn list(directory: &Path, time: SystemTime, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(directory).with_context(|| format!("cannot list {}", directory.display()))? {
        let path = entry.with_context(|| format!("cannot list {}", directory.display()))?.path();
        if path.is_dir() {
            list(&path, time, files)?;
        } else {
            File::options()
                .append(true)
                .open(&path)
                .and_then(|file| file.set_modified(time))
                .with_context(|| format!("cannot set the time of {}", path.display()))?;
            files.push(path);
        }
    }
    Ok(())
}
