//! Fleets into lakes, through the repository: every file is what a collector or a compaction would
//! have published.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};

use anyhow::{Context, Result};
use telemetry_repository::Lake;
use telemetry_schema::HostMetricsSample;

use crate::fleet::{Fleet, FleetOptions, HostDay};

/// Threads that publish: while one waits for the disk, another compresses.
const WRITERS: usize = 2;

/// Into which files the samples go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Layout {
    /// One file a date, of all hosts
    Day,
    /// One file a date and host
    HostDay,
    /// One file a host and minute, as collectors in cron make them
    Minute,
}

/// What has been written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Written {
    /// Number of files.
    pub files: usize,
    /// Number of rows.
    pub rows: usize,
}

/// Makes the fleet's samples and appends them to the lake. Late files come after the files of the
/// next date. Which thread publishes a file first is left to chance, the rows of each file are not.
///
/// # Errors
/// Those of the repository; also if it refuses a sample or makes a value null.
pub fn write(lake: &Lake, options: FleetOptions, layout: Layout) -> Result<Written> {
    let (sender, receiver) = sync_channel(files_in_memory(layout));
    let receiver = Arc::new(Mutex::new(receiver));
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..writers(layout))
            .map(|_| Arc::clone(&receiver))
            .map(|receiver| scope.spawn(move || publish_all(lake, &receiver)))
            .collect();
        // Sending fails once every writer has ended early, and then they say why.
        drop(receiver);
        let _ = make_all(options, layout, sender);
        let mut sum = Written::default();
        for writer in writers {
            let written = writer.join().ok().context("a writer panicked")??;
            sum.files += written.files;
            sum.rows += written.rows;
        }
        Ok(sum)
    })
}

/// A file of a date and hundreds of hosts takes a gigabyte until it is written.
fn writers(layout: Layout) -> usize {
    if layout == Layout::Day { 1 } else { WRITERS }
}

fn files_in_memory(layout: Layout) -> usize {
    if layout == Layout::Day { 0 } else { 64 }
}

type File = Vec<HostMetricsSample>;

fn make_all(
    options: FleetOptions,
    layout: Layout,
    sender: SyncSender<File>,
) -> Result<(), std::sync::mpsc::SendError<File>> {
    let mut late: Vec<File> = Vec::new();
    for (_, mut hosts) in Fleet::new(options) {
        let next_late = hosts.iter_mut().flat_map(|host| std::mem::take(&mut host.late)).collect();
        files(hosts, layout).into_iter().try_for_each(|file| sender.send(file))?;
        std::mem::replace(&mut late, next_late).into_iter().try_for_each(|file| sender.send(file))?;
    }
    late.into_iter().try_for_each(|file| sender.send(file))
}

fn files(hosts: Vec<HostDay>, layout: Layout) -> Vec<File> {
    let host_files = hosts.into_iter().map(|host| host.minutes.into_iter());
    match layout {
        Layout::Day => vec![host_files.flatten().flatten().collect()],
        Layout::HostDay => host_files.map(|minutes| minutes.flatten().collect()).collect(),
        Layout::Minute => host_files.flatten().collect(),
    }
}

fn publish_all(lake: &Lake, receiver: &Mutex<Receiver<File>>) -> Result<Written> {
    let silver = lake.host_metrics();
    let mut written = Written::default();
    loop {
        let received = receiver.lock().ok().context("a writer panicked")?.recv();
        let Ok(file) = received else { return Ok(written) };
        let appended = silver.append(&file)?;
        if let Some(refused) = appended.refused.first() {
            anyhow::bail!("a sample was refused: {}", refused.violation);
        }
        if let Some(nulled) = appended.nulled.first() {
            anyhow::bail!("a value was made null: {}", nulled.violation);
        }
        written.files += appended.files.len();
        written.rows += appended.rows;
    }
}
