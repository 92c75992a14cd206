//! A loop device with a file system of its own, and what the kernel has counted of it.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::process;

const SECTOR_BYTES: u64 = 512;
/// As a card's: with blocks of 4 KiB and a journal of the usual size. The file is sparse.
const SIZE: &str = "4G";

/// What has reached a device.
#[derive(Debug, Clone, Copy)]
pub(super) struct Written {
    pub(super) bytes: u64,
    pub(super) flushes: u64,
}

/// A mounted device; unmounted when this is dropped.
pub(super) struct Device {
    pub(super) mount: PathBuf,
    name: String,
}

impl Device {
    /// Makes a file system in `<directory>/image` and mounts it on `<directory>/mount`.
    pub(super) fn mount(directory: &Path, options: &str) -> Result<Self> {
        let (image, mount) = (directory.join("image"), directory.join("mount"));
        std::fs::create_dir_all(&mount).with_context(|| format!("cannot make {}", mount.display()))?;
        process::output(Command::new("truncate").args(["-s", SIZE]).arg(&image))?;
        // What mkfs leaves for later would be written while others are counted.
        let mut make = Command::new("mkfs.ext4");
        make.args(["-q", "-b", "4096", "-E", "lazy_itable_init=0,lazy_journal_init=0"]);
        process::output(make.arg(&image))?;
        let options = format!("loop,{options}");
        process::output(Command::new("mount").args(["-o", &options]).arg(&image).arg(&mount))?;
        let mut device = Self { mount, name: String::new() };
        let mut find = Command::new("findmnt");
        let source = process::output(find.args(["--noheadings", "--output", "SOURCE"]).arg(&device.mount))?;
        device.name = source.trim().trim_start_matches("/dev/").to_owned();
        Ok(device)
    }

    /// The seventh number of the kernel's statistics are sectors written, the sixteenth flushes.
    pub(super) fn written(&self) -> Result<Written> {
        let path = format!("/sys/block/{}/stat", self.name);
        let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
        let number = |index: usize| -> Result<u64> {
            let word = text.split_whitespace().nth(index);
            let word = word.with_context(|| format!("{path} has no number {index}: {text}"))?;
            word.parse().with_context(|| format!("{path}: {word}"))
        };
        Ok(Written { bytes: number(6)? * SECTOR_BYTES, flushes: number(15)? })
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        if let Err(error) = process::output(Command::new("umount").arg(&self.mount)) {
            eprintln!("{error:#}");
        }
    }
}

/// Unmounts and removes what an earlier run left, if it was killed.
pub(super) fn clear(directory: &Path) -> Result<()> {
    let mounts = std::fs::read_to_string("/proc/self/mounts").context("cannot read the mounts")?;
    for point in mounts.lines().filter_map(|line| line.split(' ').nth(1)) {
        if Path::new(point).starts_with(directory) {
            process::output(Command::new("umount").arg(point))?;
        }
    }
    match std::fs::remove_dir_all(directory) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", directory.display()))
        }
        _ => Ok(()),
    }
}
