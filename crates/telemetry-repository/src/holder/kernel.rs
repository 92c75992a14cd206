//! `/proc/locks` says which process has a lock, and `/proc/<pid>` what that is.

use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use chrono::{DateTime, TimeDelta, Utc};

use super::Holder;

/// Steps of time in `/proc/<pid>/stat` a second, on every machine that Rust is built for.
const TICKS_PER_SECOND: i64 = 100;

/// Nothing: the kernel knows.
#[derive(Debug)]
pub(crate) struct Announcement;

impl Announcement {
    pub(crate) fn new(_lock: &Path, _holder: &Holder) -> Self {
        Self
    }
}

/// The process that has the exclusive lock of a file; `None` if nobody has it, or nobody whom this
/// process can see (as from within a container).
pub(crate) fn holder_of(lock: &Path) -> Option<Holder> {
    let file = fs::metadata(lock).ok()?;
    let locks = fs::read_to_string("/proc/locks").ok()?;
    let on_inode = locks.lines().filter_map(parse).filter(|held| held.inode == file.ino());
    let mut of_file = on_inode.filter(|held| held.is_on_device_of(&file) || is_open_in(held.pid, &file));
    let pid = of_file.next()?.pid;
    Some(Holder { pid, since: began(pid)?, command: command(pid)? })
}

#[derive(Debug, PartialEq)]
struct Held {
    pid: u32,
    device: (u32, u32),
    inode: u64,
}

impl Held {
    fn is_on_device_of(&self, file: &Metadata) -> bool {
        self.device == (rustix::fs::major(file.dev()), rustix::fs::minor(file.dev()))
    }
}

/// `3: FLOCK  ADVISORY  WRITE 4711 b3:02:4242 0 EOF`: an exclusive lock that is held, not waited for.
fn parse(line: &str) -> Option<Held> {
    let mut words = line.split_whitespace().skip(1);
    let (_type, _kind, mode, pid) = (words.next()?, words.next()?, words.next()?, words.next()?);
    let mut place = words.next()?.split(':');
    let mut hexadecimal = || u32::from_str_radix(place.next()?, 16).ok();
    let device = (hexadecimal()?, hexadecimal()?);
    (mode == "WRITE").then_some(())?;
    Some(Held { pid: pid.parse().ok()?, device, inode: place.next()?.parse().ok()? })
}

/// Where file systems tell files another device than the kernel itself (btrfs, overlays).
fn is_open_in(pid: u32, file: &Metadata) -> bool {
    let Ok(descriptors) = fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
    let mut open = descriptors.flatten().filter_map(|entry| fs::metadata(entry.path()).ok());
    open.any(|open| (open.dev(), open.ino()) == (file.dev(), file.ino()))
}

fn command(pid: u32) -> Option<String> {
    let arguments = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let text = String::from_utf8_lossy(&arguments);
    Some(text.trim_end_matches('\0').replace('\0', " "))
}

fn began(pid: u32) -> Option<DateTime<Utc>> {
    let machine = fs::read_to_string("/proc/stat").ok()?;
    let booted = machine.lines().find_map(|line| line.strip_prefix("btime "))?;
    let booted = DateTime::from_timestamp(booted.trim().parse().ok()?, 0)?;
    let process = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    Some(booted + TimeDelta::seconds(start_ticks(&process)? / TICKS_PER_SECOND))
}

/// The 22nd word; the second one is the program's name in brackets, with whatever the name holds.
fn start_ticks(stat: &str) -> Option<i64> {
    let (_, behind_name) = stat.rsplit_once(')')?;
    behind_name.split_whitespace().nth(19)?.parse().ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn exclusive_locks_that_are_held_are_read() {
        let held = |inode| Some(Held { pid: 4711, device: (0xb3, 2), inode });
        for (line, expected) in [
            ("3: FLOCK  ADVISORY  WRITE 4711 b3:02:4242 0 EOF", held(4242)),
            ("12: POSIX  ADVISORY  WRITE 4711 b3:02:7 128 128", held(7)),
            ("3: -> FLOCK  ADVISORY  WRITE 4711 b3:02:4242 0 EOF", None),
            ("3: FLOCK  ADVISORY  READ 4711 b3:02:4242 0 EOF", None),
            ("3: OFDLCK ADVISORY  WRITE -1 b3:02:4242 0 EOF", None),
            ("3: FLOCK  ADVISORY  WRITE 4711 4242 0 EOF", None),
            ("", None),
        ] {
            assert_eq!(parse(line), expected, "{line}");
        }
    }

    #[test]
    fn a_name_with_brackets_and_blanks_hides_no_word() {
        let words: Vec<String> = (3..=52).map(|word| word.to_string()).collect();
        assert_eq!(start_ticks(&format!("7 (a) b (c) {}", words.join(" "))), Some(22));
        assert_eq!(start_ticks("7 (a) S 1"), None);
    }

    #[test]
    fn the_kernel_knows_who_holds_a_lock() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x.lock");
        let file = fs::File::create(&path).unwrap();
        assert_eq!(holder_of(&path), None);
        file.lock_shared().unwrap();
        assert_eq!(holder_of(&path), None, "somebody who only looks is no holder");
        file.lock().unwrap();
        let holder = holder_of(&path).unwrap();
        assert_eq!(holder.pid, std::process::id());
        let program = std::env::current_exe().unwrap();
        let program = program.file_stem().unwrap().to_str().unwrap();
        assert!(holder.command.contains(program), "{}", holder.command);
        let age = Utc::now() - holder.since;
        assert!((TimeDelta::seconds(-2)..TimeDelta::hours(1)).contains(&age), "{}", holder.since);
        let metadata = file.metadata().unwrap();
        assert!(is_open_in(holder.pid, &metadata));
        assert!(!is_open_in(1, &metadata) || holder.pid == 1);
    }
}
