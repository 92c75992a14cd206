//! Processor, memory, load and uptime by sysinfo.

use std::time::{Duration, Instant};

use sysinfo::{CpuRefreshKind, MINIMUM_CPU_UPDATE_INTERVAL, MemoryRefreshKind, System};
use telemetry_schema::host_metrics::{
    BootReading, CpuReading, HostMetricsReadings, LoadReading, MemoryReading,
};
use tracing::debug;

use super::mebibytes;
use crate::SystemMetricsProvider;

/// Reads processor use and clock, memory, load averages and uptime.
///
/// Processor use is the share since the previous reading, so the first one has none.
#[derive(Debug, Default)]
pub struct ProcessorProvider {
    system: Option<System>,
    refreshed: Option<Instant>,
}

/// What sysinfo said, as plain values.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Reading {
    cpu_usage_pct: f32,
    cpu_count: usize,
    cpu_frequency_mhz: u64,
    total_memory: u64,
    available_memory: u64,
    total_swap: u64,
    used_swap: u64,
    uptime_seconds: Option<u64>,
    load_average: Option<[f64; 3]>,
}

impl ProcessorProvider {
    /// A provider that has read nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The reading, and the time that its processor use covers: `None` for the first one, and for
    /// one so soon after the last that sysinfo does not count anew.
    fn read(&mut self) -> Option<(Reading, Option<Duration>)> {
        let system = match self.system.take() {
            Some(system) => system,
            None => System::new().inspect_err(|error| debug!(%error, "cannot read the system")).ok()?,
        };
        let system = self.system.insert(system);
        let elapsed = self.refreshed.map(|refreshed| refreshed.elapsed());
        let too_soon = elapsed.is_some_and(|elapsed| elapsed < MINIMUM_CPU_UPDATE_INTERVAL);
        if !too_soon {
            system.refresh_cpu_specifics(CpuRefreshKind::nothing().with_usage().with_frequency());
            self.refreshed = Some(Instant::now());
        }
        system.refresh_memory_specifics(MemoryRefreshKind::nothing().with_ram().with_swap());
        let reading = Reading {
            cpu_usage_pct: system.global_cpu_usage(),
            cpu_count: system.cpus().len(),
            cpu_frequency_mhz: system.cpus().iter().map(|cpu| cpu.frequency()).max().unwrap_or(0),
            total_memory: system.total_memory(),
            available_memory: system.available_memory(),
            total_swap: system.total_swap(),
            used_swap: system.used_swap(),
            uptime_seconds: System::uptime().ok(),
            load_average: System::load_average().ok().map(|load| [load.one, load.five, load.fifteen]),
        };
        Some((reading, elapsed.filter(|_| !too_soon)))
    }
}

impl SystemMetricsProvider for ProcessorProvider {
    fn name(&self) -> &'static str {
        "portable-processor"
    }

    fn collect(&mut self) -> HostMetricsReadings {
        self.read().map_or_else(HostMetricsReadings::default, |(reading, elapsed)| columns(&reading, elapsed))
    }

    fn prime(&mut self) {
        self.read();
    }
}

/// sysinfo answers zero for what it could not read: no machine has zero processors or memory, and
/// zero megahertz means that the clock is unknown. Swap may be zero.
fn columns(reading: &Reading, elapsed: Option<Duration>) -> HostMetricsReadings {
    let known_memory = reading.total_memory > 0;
    let total_mb = mebibytes(reading.total_memory);
    let available_mb = mebibytes(reading.available_memory.min(reading.total_memory));
    let cpu = CpuReading {
        cpu_pct: elapsed.map(|_| f64::from(reading.cpu_usage_pct).clamp(0.0, 100.0)),
        cpu_count_logical: i32::try_from(reading.cpu_count).ok().filter(|count| *count > 0),
        cpu_freq_mhz: Some(reading.cpu_frequency_mhz as f64).filter(|mhz| *mhz > 0.0),
        cpu_interval_seconds: elapsed.map(|elapsed| elapsed.as_secs_f64()),
    };
    let memory = MemoryReading {
        ram_total_mb: known_memory.then_some(total_mb),
        ram_used_mb: known_memory.then_some(total_mb - available_mb),
        ram_available_mb: known_memory.then_some(available_mb),
        swap_total_mb: known_memory.then_some(mebibytes(reading.total_swap)),
        swap_used_mb: known_memory.then_some(mebibytes(reading.used_swap)),
    };
    let load = LoadReading {
        load_avg_1m: reading.load_average.map(|load| load[0]),
        load_avg_5m: reading.load_average.map(|load| load[1]),
        load_avg_15m: reading.load_average.map(|load| load[2]),
    };
    let boot =
        BootReading { boot_id: None, uptime_seconds: reading.uptime_seconds.map(|seconds| seconds as f64) };
    HostMetricsReadings {
        cpu: Some(cpu),
        memory: Some(memory),
        boot: Some(boot),
        load: Some(load),
        ..HostMetricsReadings::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const READING: Reading = Reading {
        cpu_usage_pct: 25.0,
        cpu_count: 4,
        cpu_frequency_mhz: 1500,
        total_memory: (8 << 20) - 1,
        available_memory: 3 << 20,
        total_swap: 2 << 20,
        used_swap: 1 << 20,
        uptime_seconds: Some(60),
        load_average: Some([0.1, 0.2, 0.3]),
    };

    #[test]
    fn processor_use_needs_a_window() {
        let pct = |elapsed| columns(&READING, elapsed).cpu.map(|cpu| (cpu.cpu_pct, cpu.cpu_interval_seconds));
        assert_eq!(pct(None), Some((None, None)));
        assert_eq!(pct(Some(Duration::from_secs(10))), Some((Some(25.0), Some(10.0))));
    }

    #[test]
    fn memory_is_floored_before_it_is_subtracted() {
        let memory = columns(&READING, None).memory;
        let expected = MemoryReading {
            ram_total_mb: Some(7),
            ram_used_mb: Some(4),
            ram_available_mb: Some(3),
            swap_total_mb: Some(2),
            swap_used_mb: Some(1),
        };
        assert_eq!(memory, Some(expected));
        // More available than there is, as some containers report.
        let odd = Reading { available_memory: 100 << 20, ..READING };
        assert_eq!(columns(&odd, None).memory.and_then(|memory| memory.ram_used_mb), Some(0));
    }

    #[test]
    fn what_sysinfo_could_not_read_is_null() {
        let nothing = Reading {
            cpu_usage_pct: 0.0,
            cpu_count: 0,
            cpu_frequency_mhz: 0,
            total_memory: 0,
            available_memory: 0,
            total_swap: 0,
            used_swap: 0,
            uptime_seconds: None,
            load_average: None,
        };
        let readings = columns(&nothing, None);
        assert_eq!(readings.cpu.and_then(|cpu| cpu.cpu_count_logical), None);
        assert_eq!(readings.memory.and_then(|memory| memory.swap_total_mb), None);
        assert_eq!(readings.boot.and_then(|boot| boot.uptime_seconds), None);
        assert_eq!(readings.load.and_then(|load| load.load_avg_1m), None);
    }
}
