//! Processor use, memory, and which boot this is.

use telemetry_schema::host_metrics::{BootReading, CpuReading, HostMetricsReadings, MemoryReading};
use tracing::debug;

use super::Tree;
use crate::cpu_time::BaselineSlot;
use crate::portable::mebibytes;
use crate::{CpuBaseline, CpuCounters, SystemMetricsProvider};

/// Reads `/proc/stat`, `/proc/meminfo`, `/proc/uptime` and the boot id.
#[derive(Debug)]
pub struct ProcessorProvider {
    tree: Tree,
    baseline: BaselineSlot,
    previous: Option<CpuTimes>,
}

#[derive(Debug, Clone, PartialEq)]
struct Reading {
    cpu_times: Option<CpuTimes>,
    cpu_count: Option<i32>,
    memory: Option<MemoryReading>,
    boot_id: Option<String>,
    uptime_seconds: Option<f64>,
}

/// Counters and when they were read.
#[derive(Debug, Clone, Copy, PartialEq)]
struct CpuTimes {
    counters: CpuCounters,
    uptime_seconds: Option<f64>,
}

impl ProcessorProvider {
    /// Reads below a tree, without a reading of an earlier run.
    pub fn new(tree: Tree) -> Self {
        Self::with_baseline(tree, BaselineSlot::default())
    }

    /// The slot may hold a reading of an earlier run, which begins the first window if it is valid,
    /// and receives every reading of this one.
    pub(crate) fn with_baseline(tree: Tree, baseline: BaselineSlot) -> Self {
        Self { tree, baseline, previous: None }
    }

    fn read(&self) -> Reading {
        let stat = self.tree.read("proc/stat");
        let uptime_seconds = uptime_seconds(&self.tree);
        let counters = stat.as_deref().and_then(parse_counters);
        Reading {
            cpu_times: counters.map(|counters| CpuTimes { counters, uptime_seconds }),
            cpu_count: stat.as_deref().and_then(count_online),
            memory: self.tree.read("proc/meminfo").as_deref().and_then(memory),
            boot_id: boot_id(&self.tree),
            uptime_seconds,
        }
    }

    /// The reading before `reading`: of this process, else of the earlier run.
    fn previous(&self, reading: &Reading) -> Option<CpuTimes> {
        if self.previous.is_some() {
            return self.previous;
        }
        let baseline = self.baseline.get()?;
        baseline.age_at(reading.boot_id.as_deref()?, reading.uptime_seconds?)?;
        Some(CpuTimes { counters: baseline.counters, uptime_seconds: Some(baseline.uptime_seconds) })
    }

    fn keep(&mut self, reading: &Reading) {
        self.previous = reading.cpu_times.or(self.previous);
        if let (Some(times), Some(boot_id)) = (reading.cpu_times, &reading.boot_id)
            && let Some(uptime_seconds) = times.uptime_seconds
        {
            let boot_id = boot_id.clone();
            self.baseline.set(CpuBaseline { counters: times.counters, boot_id, uptime_seconds });
        }
    }
}

impl SystemMetricsProvider for ProcessorProvider {
    fn name(&self) -> &'static str {
        "linux-processor"
    }

    fn collect(&mut self) -> HostMetricsReadings {
        let reading = self.read();
        let previous = self.previous(&reading);
        self.keep(&reading);
        columns(previous.as_ref(), reading)
    }

    fn prime(&mut self) {
        let reading = self.read();
        self.keep(&reading);
    }
}

fn columns(previous: Option<&CpuTimes>, reading: Reading) -> HostMetricsReadings {
    let (cpu_pct, cpu_interval_seconds) = match (previous, &reading.cpu_times) {
        (Some(previous), Some(now)) => cpu_use(previous, now),
        _ => (None, None),
    };
    let cpu = CpuReading {
        cpu_pct,
        cpu_count_logical: reading.cpu_count,
        // Frequency has a provider of its own, since some drivers are slow.
        cpu_freq_mhz: None,
        cpu_interval_seconds,
    };
    let boot = BootReading { boot_id: reading.boot_id, uptime_seconds: reading.uptime_seconds };
    HostMetricsReadings {
        cpu: Some(cpu),
        memory: reading.memory,
        boot: Some(boot),
        ..HostMetricsReadings::default()
    }
}

/// The busy share and the window that it covers. The window includes suspension, the share does not:
/// the counters stand still then.
fn cpu_use(previous: &CpuTimes, now: &CpuTimes) -> (Option<f64>, Option<f64>) {
    let pct = now.counters.busy_pct_since(&previous.counters);
    if pct.is_none() {
        debug!(?previous, ?now, "the processor's counters did not grow, no share of this window");
        return (None, None);
    }
    let window = now.uptime_seconds.zip(previous.uptime_seconds).map(|(now, before)| now - before);
    (pct, window.filter(|seconds| *seconds >= 0.0))
}

/// The aggregate line. Kernels before 2.6.33 had fewer fields, which count as zero.
fn parse_counters(stat: &str) -> Option<CpuCounters> {
    let line = stat.lines().find_map(|line| line.strip_prefix("cpu "))?;
    let mut fields = line.split_ascii_whitespace();
    let mut required = || fields.next()?.parse::<u64>().ok();
    let (user, nice, system, idle) = (required()?, required()?, required()?, required()?);
    let mut optional = || match fields.next() {
        Some(field) => field.parse::<u64>().ok(),
        None => Some(0),
    };
    let (iowait, irq, softirq, steal) = (optional()?, optional()?, optional()?, optional()?);
    Some(CpuCounters { user, nice, system, idle, iowait, irq, softirq, steal })
}

/// The `cpuN` lines: the kernel lists processors that are online.
fn count_online(stat: &str) -> Option<i32> {
    let online = stat.lines().filter(|line| {
        line.strip_prefix("cpu").is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
    });
    i32::try_from(online.count()).ok().filter(|count| *count > 0)
}

/// Processors that are online, from a file that is cheaper than `/proc/stat`.
pub(crate) fn online_cpus(tree: &Tree) -> Option<usize> {
    parse_cpu_list(&tree.read_once("sys/devices/system/cpu/online")?)
}

/// The size of a list such as `0-3,6`.
fn parse_cpu_list(list: &str) -> Option<usize> {
    let mut count = 0usize;
    for range in list.split(',') {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last): (u32, u32) = (first.parse().ok()?, last.parse().ok()?);
        count = count.checked_add(last.checked_sub(first)? as usize + 1)?;
    }
    Some(count)
}

pub(crate) fn boot_id(tree: &Tree) -> Option<String> {
    tree.read_once("proc/sys/kernel/random/boot_id").filter(|id| !id.is_empty())
}

/// Seconds since boot, suspension included.
pub(crate) fn uptime_seconds(tree: &Tree) -> Option<f64> {
    let text = tree.read_once("proc/uptime")?;
    let seconds: f64 = text.split_ascii_whitespace().next()?.parse().ok()?;
    (seconds.is_finite() && seconds >= 0.0).then_some(seconds)
}

fn memory(meminfo: &str) -> Option<MemoryReading> {
    let fields = MemInfo::parse(meminfo);
    let total = fields.total?;
    let total_mb = mebibytes(total);
    // Some containers report more available than there is.
    let available_mb = fields.available().map(|available| mebibytes(available.min(total)));
    // A kernel without swap has no such lines.
    let swap_total = fields.swap_total.unwrap_or(0);
    let swap_free = if fields.swap_total.is_some() { fields.swap_free } else { Some(0) };
    Some(MemoryReading {
        ram_total_mb: Some(total_mb),
        ram_used_mb: available_mb.map(|available| (total_mb - available).max(0)),
        ram_available_mb: available_mb,
        swap_total_mb: Some(mebibytes(swap_total)),
        swap_used_mb: swap_free.map(|free| mebibytes(swap_total.saturating_sub(free))),
    })
}

/// The lines of `/proc/meminfo` that matter, in bytes.
#[derive(Debug, Default)]
struct MemInfo {
    total: Option<u64>,
    free: Option<u64>,
    available: Option<u64>,
    cached: Option<u64>,
    reclaimable: Option<u64>,
    shared: Option<u64>,
    swap_total: Option<u64>,
    swap_free: Option<u64>,
}

impl MemInfo {
    fn parse(meminfo: &str) -> Self {
        let mut fields = Self::default();
        for line in meminfo.lines() {
            let Some((key, value)) = line.split_once(':') else { continue };
            let field = match key {
                "MemTotal" => &mut fields.total,
                "MemFree" => &mut fields.free,
                "MemAvailable" => &mut fields.available,
                "Cached" => &mut fields.cached,
                "SReclaimable" => &mut fields.reclaimable,
                "Shmem" => &mut fields.shared,
                "SwapTotal" => &mut fields.swap_total,
                "SwapFree" => &mut fields.swap_free,
                _ => continue,
            };
            // The unit is 1024 bytes, although the file calls it kB.
            let kibibytes = value.split_ascii_whitespace().next().and_then(|value| value.parse::<u64>().ok());
            *field = kibibytes.and_then(|value| value.checked_mul(1024));
        }
        fields
    }

    /// Kernels before 3.14 have no such line, and some report zero: then it is estimated.
    fn available(&self) -> Option<u64> {
        self.available.filter(|bytes| *bytes > 0).or_else(|| {
            let estimate =
                self.free?.saturating_add(self.cached?).saturating_add(self.reclaimable.unwrap_or(0));
            Some(estimate.saturating_sub(self.shared.unwrap_or(0)))
        })
    }
}

#[cfg(test)]
mod tests;
