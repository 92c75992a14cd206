//! What other programs and the kernel say.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::process;

const MEBIBYTE: f64 = 1_048_576.0;
const GIBIBYTE: f64 = 1_073_741_824.0;

/// Busy share of all cores over that time by sar, which calls waiting for disks idle, as we do.
pub(super) fn busy_percent(seconds: u32) -> Result<f64> {
    let seconds = seconds.to_string();
    let text = process::output(Command::new("sar").env("LC_ALL", "C").args(["-u", &seconds, "1"]))?;
    busy_in(&text).with_context(|| format!("sar printed no average: {text}"))
}

fn busy_in(text: &str) -> Option<f64> {
    let head: Vec<&str> = text.lines().find(|line| line.contains("%idle"))?.split_whitespace().collect();
    let average: Vec<&str> =
        text.lines().find(|line| line.starts_with("Average:"))?.split_whitespace().collect();
    // Counted from the right: the head begins with a time, which may be two words.
    let value = |name: &str| {
        let from_right = head.iter().rev().position(|word| *word == name)?;
        average.iter().rev().nth(from_right)?.parse::<f64>().ok()
    };
    Some(100.0 - value("%idle")? - value("%iowait")?)
}

/// Memory by free, in MiB.
pub(super) struct Memory {
    pub(super) total_mb: f64,
    pub(super) used_mb: f64,
    pub(super) available_mb: f64,
    pub(super) swap_total_mb: f64,
    pub(super) swap_used_mb: f64,
}

pub(super) fn memory() -> Result<Memory> {
    let text = process::output(Command::new("free").env("LC_ALL", "C").arg("--bytes"))?;
    memory_in(&text).with_context(|| format!("free printed something unknown: {text}"))
}

fn memory_in(text: &str) -> Option<Memory> {
    let row = |name: &str| -> Option<Vec<f64>> {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().map(|word| word.parse::<f64>().ok().map(|bytes| bytes / MEBIBYTE)).collect()
    };
    let (memory, swap) = (row("Mem:")?, row("Swap:")?);
    let (total_mb, available_mb) = (*memory.first()?, *memory.last()?);
    Some(Memory {
        total_mb,
        // Older versions of free leave caches out in another way; the difference is the contract's.
        used_mb: total_mb - available_mb,
        available_mb,
        swap_total_mb: *swap.first()?,
        swap_used_mb: *swap.get(1)?,
    })
}

/// The root file system by df, in GiB.
pub(super) struct Disk {
    pub(super) total_gb: f64,
    pub(super) free_gb: f64,
}

pub(super) fn root_disk() -> Result<Disk> {
    let arguments = ["--block-size=1", "--output=size,avail", "/"];
    let text = process::output(Command::new("df").env("LC_ALL", "C").args(arguments))?;
    disk_in(&text).with_context(|| format!("df printed something unknown: {text}"))
}

fn disk_in(text: &str) -> Option<Disk> {
    let mut words = text.lines().nth(1)?.split_whitespace().map(|word| word.parse::<f64>().ok());
    Some(Disk { total_gb: words.next()?? / GIBIBYTE, free_gb: words.next()?? / GIBIBYTE })
}

const INTERFACES: &str = "/sys/class/net";

/// Interfaces that stand for a device.
pub(super) fn physical_interfaces() -> Result<BTreeSet<String>> {
    let mut found = BTreeSet::new();
    for entry in std::fs::read_dir(INTERFACES).with_context(|| format!("cannot list {INTERFACES}"))? {
        let entry = entry.with_context(|| format!("cannot list {INTERFACES}"))?;
        if entry.path().join("device").exists() {
            found.insert(entry.file_name().to_string_lossy().into_owned());
        }
    }
    Ok(found)
}

/// Bytes since boot.
#[derive(Clone, Copy)]
pub(super) struct Traffic {
    pub(super) received: u64,
    pub(super) sent: u64,
}

/// The kernel's counters of these interfaces, summed.
pub(super) fn traffic(interfaces: &BTreeSet<String>) -> Result<Traffic> {
    let mut sum = Traffic { received: 0, sent: 0 };
    for interface in interfaces {
        sum.received += counter(interface, "rx_bytes")?;
        sum.sent += counter(interface, "tx_bytes")?;
    }
    Ok(sum)
}

pub(super) fn counter(interface: &str, name: &str) -> Result<u64> {
    let path = Path::new(INTERFACES).join(interface).join("statistics").join(name);
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    text.trim().parse().with_context(|| format!("{} holds no number: {text}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sar_is_read_whatever_its_clock_looks_like() {
        for head in ["12:00:00", "12:00:00 PM"] {
            let text = format!(
                "Linux 6.1 (pi) \t11/21/26 \t_aarch64_\t(4 CPU)\n\n\
                 {head}        CPU     %user     %nice   %system   %iowait    %steal     %idle\n\
                 {head}        all     25.00      0.00      5.00      2.00      1.00     67.00\n\
                 Average:        all     25.00      0.00      5.00      2.00      1.00     67.00\n"
            );
            assert_eq!(busy_in(&text), Some(31.0));
        }
        assert_eq!(busy_in("nothing"), None);
    }

    #[test]
    fn free_and_df_are_read() {
        let text = "               total        used        free      shared  buff/cache   available\n\
                    Mem:     4194304000   104857600   104857600           0           0  3145728000\n\
                    Swap:     104857600     1048576   103809024\n";
        let memory = memory_in(text).expect("these are all lines");
        assert_eq!((memory.total_mb, memory.used_mb, memory.available_mb), (4000.0, 1000.0, 3000.0));
        assert_eq!((memory.swap_total_mb, memory.swap_used_mb), (100.0, 1.0));
        let disk =
            disk_in("   1B-blocks        Avail\n 10737418240   1073741824\n").expect("these are both values");
        assert_eq!((disk.total_gb, disk.free_gb), (10.0, 1.0));
        assert!(memory_in("").is_none() && disk_in("").is_none());
    }
}
