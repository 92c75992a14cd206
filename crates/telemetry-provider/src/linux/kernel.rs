//! What only the kernel knows: load, processes, connections, disk traffic, clock synchronisation.

use telemetry_schema::host_metrics::{HostMetricsReadings, KernelReading, LoadReading};

use super::Tree;
use crate::SystemMetricsProvider;

/// The kernel counts disk traffic in sectors of this size, whatever the disk uses.
const SECTOR_BYTES: u64 = 512;

/// Reads a few files of `/proc` and asks `/sys/block` which disks are hardware.
#[derive(Debug)]
pub struct KernelProvider {
    tree: Tree,
}

#[derive(Debug, Clone, PartialEq)]
struct Reading {
    load: Option<[f64; 3]>,
    process_count: Option<i64>,
    established: Option<i64>,
    disks: Vec<Disk>,
    clock_synced: Option<bool>,
}

/// One disk and its traffic since boot.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Disk {
    name: String,
    read_sectors: u64,
    written_sectors: u64,
}

impl KernelProvider {
    /// Reads below a tree.
    pub fn new(tree: Tree) -> Self {
        Self { tree }
    }

    fn read(&self) -> Reading {
        Reading {
            load: self.tree.read_once("proc/loadavg").as_deref().and_then(parse_load),
            process_count: self.count_processes(),
            established: self.tree.read("proc/net/snmp").as_deref().and_then(parse_established),
            disks: self.physical_disks(),
            clock_synced: self.clock_synced(),
        }
    }

    /// The directories of `/proc` that are named by a number. `/proc/loadavg` has threads instead.
    fn count_processes(&self) -> Option<i64> {
        let processes =
            self.tree.entries("proc").filter(|name| name.bytes().all(|byte| byte.is_ascii_digit()));
        i64::try_from(processes.count()).ok().filter(|count| *count > 0)
    }

    /// Whole disks with hardware behind them. Partitions are not in `/sys/block`; loop, RAM and
    /// compressed memory disks, device mapper and RAID are there without a `device`, and what they
    /// move is counted by the disks below them.
    fn physical_disks(&self) -> Vec<Disk> {
        let mut disks = self.tree.read("proc/diskstats").as_deref().map(parse_disks).unwrap_or_default();
        disks.retain(|disk| {
            // The one character that a file name cannot have.
            let name = disk.name.replace('/', "!");
            !is_nvme_path(&name) && self.tree.exists(&format!("sys/block/{name}/device"))
        });
        disks
    }

    /// systemd's time service leaves a file once it has synchronised the clock, in a directory that
    /// lives as long as the service. No other service says so in a file, and the kernel's own flag
    /// cannot be read without unsafe code: unknown then.
    pub(crate) fn clock_synced(&self) -> Option<bool> {
        if self.tree.exists("run/systemd/timesync/synchronized") {
            Some(true)
        } else {
            self.tree.exists("run/systemd/timesync").then_some(false)
        }
    }
}

impl SystemMetricsProvider for KernelProvider {
    fn name(&self) -> &'static str {
        "linux-kernel"
    }

    fn collect(&mut self) -> HostMetricsReadings {
        columns(&self.read())
    }
}

fn columns(reading: &Reading) -> HostMetricsReadings {
    let total = |sectors: fn(&Disk) -> u64| {
        let sectors = reading.disks.iter().map(sectors).fold(0, u64::saturating_add);
        let bytes = i64::try_from(sectors.saturating_mul(SECTOR_BYTES)).unwrap_or(i64::MAX);
        (!reading.disks.is_empty()).then_some(bytes)
    };
    let load = LoadReading {
        load_avg_1m: reading.load.map(|load| load[0]),
        load_avg_5m: reading.load.map(|load| load[1]),
        load_avg_15m: reading.load.map(|load| load[2]),
    };
    let kernel = KernelReading {
        process_count: reading.process_count,
        active_connections: reading.established,
        disk_read_bytes: total(|disk| disk.read_sectors),
        disk_write_bytes: total(|disk| disk.written_sectors),
        clock_synced: reading.clock_synced,
    };
    HostMetricsReadings { load: Some(load), kernel: Some(kernel), ..HostMetricsReadings::default() }
}

fn parse_load(loadavg: &str) -> Option<[f64; 3]> {
    let mut fields = loadavg.split_ascii_whitespace();
    let mut next = || fields.next()?.parse::<f64>().ok().filter(|load| load.is_finite() && *load >= 0.0);
    Some([next()?, next()?, next()?])
}

/// `CurrEstab` of the `Tcp` lines, found by its heading: the kernel's own count of established
/// connections, v4 and v6 together.
///
/// It includes connections that the other side has closed and the program here has not (CLOSE-WAIT),
/// by the definition of the counter in RFC 4022. To leave these out, all connections would have to
/// be listed (`/proc/net/tcp` and `tcp6`): that walks the kernel's whole hash table, which took
/// 11 ms on a machine with 24 GB and not one connection, and more with each of them.
fn parse_established(snmp: &str) -> Option<i64> {
    let mut lines = snmp.lines().filter_map(|line| line.strip_prefix("Tcp:"));
    let position = lines.next()?.split_ascii_whitespace().position(|name| name == "CurrEstab")?;
    let count: i64 = lines.next()?.split_ascii_whitespace().nth(position)?.parse().ok()?;
    (count >= 0).then_some(count)
}

/// Fields 3 (name), 6 (sectors read) and 10 (sectors written) of each line.
fn parse_disks(diskstats: &str) -> Vec<Disk> {
    diskstats
        .lines()
        .filter_map(|line| {
            let mut fields = line.split_ascii_whitespace();
            Some(Disk {
                name: fields.nth(2)?.to_owned(),
                read_sectors: fields.nth(2)?.parse().ok()?,
                written_sectors: fields.nth(3)?.parse().ok()?,
            })
        })
        .collect()
}

/// `nvme0c1n1`: one of several paths to `nvme0n1`, which counts all of them.
fn is_nvme_path(name: &str) -> bool {
    name.strip_prefix("nvme").is_some_and(|rest| rest.contains('c'))
}

#[cfg(test)]
mod tests;
