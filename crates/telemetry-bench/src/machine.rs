//! One host that nothing happens to: TSBS-like walks and counters.

use chrono::DateTime;
use telemetry_schema::{HostMetricsSample, round_to_units};

use crate::random::Random;

const MS_US: i64 = 1_000;
const SECOND_US: i64 = 1_000_000;
const DAY_SECONDS: i64 = 86_400;
/// Size of the disk, as in TSBS.
const DISK_GB: f64 = 1_024.0;
/// What the clock of a Raspberry Pi's sensor can tell apart.
const PI_SENSOR_C: f64 = 0.487;

/// What a host can measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Server,
    RaspberryPi,
    /// No boot id, load averages or temperature, and no counters of the kernel.
    Windows,
}

/// A host and its levels.
#[derive(Debug, Clone)]
pub(crate) struct Machine {
    pub(crate) host_id: String,
    pub(crate) kind: Kind,
    pub(crate) random: Random,
    interval_seconds: u32,
    boot_id: String,
    boot_us: i64,
    cpu_pct: f64,
    cores: i32,
    ram_total_mb: i64,
    ram_used_mb: f64,
    disk_free_mb: f64,
    load: [f64; 3],
    processes: i64,
    connections: i64,
    temperature_c: f64,
    /// Received and sent bytes.
    pub(crate) network: [i64; 2],
    /// Read and written bytes.
    storage: [i64; 2],
    pub(crate) interfaces: String,
    /// The firmware's throttle word, on a Raspberry Pi.
    pub(crate) throttle: u32,
    pub(crate) is_clock_synced: bool,
    /// The schedule as it is written on the rows.
    pub(crate) told_interval_seconds: Option<i32>,
}

impl Machine {
    /// A host that has been running for some days at `start_us`.
    pub(crate) fn new(
        host_id: String,
        kind: Kind,
        interval_seconds: u32,
        start_us: i64,
        mut random: Random,
    ) -> Self {
        let ram_total_mb = random.pick(&[8_192, 12_288, 16_384]);
        let uptime_us = random.between(3_600, 30 * DAY_SECONDS) * SECOND_US + random.between(0, 99) * 10_000;
        let mut machine = Self {
            host_id,
            kind,
            interval_seconds,
            boot_id: String::new(),
            boot_us: 0,
            cpu_pct: random.between(0, 100) as f64,
            cores: random.pick(&[2, 4, 8, 16]),
            ram_total_mb,
            ram_used_mb: random.between(ram_total_mb / 8, ram_total_mb / 2) as f64,
            disk_free_mb: DISK_GB * 1024.0 / 2.0,
            load: [0.5; 3],
            processes: random.between(90, 400),
            connections: random.between(0, 200),
            temperature_c: random.between(35, 55) as f64,
            network: [0; 2],
            storage: [0; 2],
            interfaces: "eth0".to_owned(),
            throttle: 0,
            is_clock_synced: true,
            told_interval_seconds: i32::try_from(interval_seconds).ok(),
            random,
        };
        machine.boot(start_us - uptime_us);
        machine.network = [0, 1].map(|_| machine.random.between(0, 1 << 34));
        machine.storage = [0, 1].map(|_| machine.random.between(0, 1 << 25) * 4_096);
        machine
    }

    /// Begins again at that instant: another boot id, counters at zero.
    pub(crate) fn boot(&mut self, at_us: i64) {
        let (high, low) = (self.random.next(), self.random.next());
        let node = low & 0xFFFF_FFFF_FFFF;
        self.boot_id = format!(
            "{:08x}-{:04x}-4{:03x}-a{:03x}-{node:012x}",
            high >> 32,
            high >> 16 & 0xFFFF,
            high & 0xFFF,
            low >> 52
        );
        self.boot_us = at_us;
        (self.network, self.storage) = ([0; 2], [0; 2]);
        self.throttle = 0;
    }

    /// The next sample, taken at `at_us`, when the host's clock is off by `skew_us`.
    pub(crate) fn sample(&mut self, at_us: i64, skew_us: i64) -> HostMetricsSample {
        self.walk();
        let late_us = self.random.between(0, 4) * MS_US;
        // The kernel's uptime has hundredths.
        let uptime_seconds = ((at_us + late_us - self.boot_us) / 10_000) as f64 / 100.0;
        let window_ms = i64::from(self.interval_seconds) * 1_000 + self.random.between(-4, 4);
        let is_unix = self.kind != Kind::Windows;
        let is_pi = self.kind == Kind::RaspberryPi;
        let ram_used_mb = self.ram_used_mb as i64;
        let mut sample = HostMetricsSample {
            as_of: DateTime::from_timestamp_micros(at_us + late_us + skew_us).unwrap_or_default(),
            host_id: self.host_id.clone(),
            os: Some(if is_unix { "linux" } else { "windows" }.to_owned()),
            arch: Some(if is_pi { "aarch64" } else { "x86_64" }.to_owned()),
            cpu_pct: Some(self.cpu_pct),
            cpu_count_logical: Some(self.cores),
            ram_total_mb: Some(self.ram_total_mb),
            ram_used_mb: Some(ram_used_mb),
            ram_available_mb: Some(self.ram_total_mb - ram_used_mb),
            swap_total_mb: Some(2_048),
            swap_used_mb: Some((ram_used_mb - self.ram_total_mb * 3 / 4).max(0) / 8),
            disk_root_total_gb: Some(DISK_GB),
            disk_root_free_gb: Some(self.disk_free_mb / 1024.0),
            net_rx_bytes: Some(self.network[0]),
            net_tx_bytes: Some(self.network[1]),
            cpu_temp_c: is_unix.then_some((self.temperature_c / PI_SENSOR_C).round() * PI_SENSOR_C),
            throttle_flags: is_pi.then(|| format!("0x{:x}", self.throttle)),
            cpu_freq_mhz: is_unix.then_some(if self.cpu_pct > 60.0 { 2_400.0 } else { 1_500.0 }),
            process_rss_mb: None,
            process_cpu_pct: None,
            run_id: None,
            boot_id: is_unix.then(|| self.boot_id.clone()),
            uptime_seconds: Some(uptime_seconds),
            sample_interval_seconds: self.told_interval_seconds,
            cpu_interval_seconds: Some(window_ms as f64 / 1e3),
            load_avg_1m: self.load_average(0),
            load_avg_5m: self.load_average(1),
            load_avg_15m: self.load_average(2),
            process_count: is_unix.then_some(self.processes),
            active_connections: is_unix.then_some(self.connections),
            disk_read_bytes: is_unix.then_some(self.storage[0]),
            disk_write_bytes: is_unix.then_some(self.storage[1]),
            cpu_temp_source: is_unix.then(|| "hwmon:cpu_thermal/temp1".to_owned()),
            net_interfaces: Some(self.interfaces.clone()),
            clock_synced: is_unix.then_some(self.is_clock_synced),
            dropped_samples: None,
        };
        round_to_units(&mut sample);
        sample
    }

    fn load_average(&self, slot: usize) -> Option<f64> {
        (self.kind != Kind::Windows).then(|| (self.load[slot] * 100.0).round() / 100.0)
    }

    /// The steps of TSBS's devops: clamped walks with normal steps, counters that only grow.
    fn walk(&mut self) {
        let random = &mut self.random;
        self.cpu_pct = (self.cpu_pct + random.normal()).clamp(0.0, 100.0);
        let ram_total_mb = self.ram_total_mb as f64;
        self.ram_used_mb =
            (self.ram_used_mb + random.normal() * ram_total_mb / 64.0).clamp(0.0, ram_total_mb);
        self.disk_free_mb = (self.disk_free_mb + random.normal()).clamp(0.0, DISK_GB * 1024.0);
        self.temperature_c = (self.temperature_c + random.normal() / 4.0).clamp(30.0, 85.0);
        let running = self.cpu_pct / 100.0 * f64::from(self.cores);
        for (load, part) in self.load.iter_mut().zip([6.0, 30.0, 90.0]) {
            *load += (running - *load) / part;
        }
        for counter in &mut self.network {
            *counter += ((50.0 + random.normal()) * 1_000.0).max(0.0) as i64;
        }
        if random.once_in(3) {
            self.storage[1] += random.between(1, 64) * 4_096;
        }
        if random.once_in(10) {
            self.storage[0] += random.between(1, 16) * 4_096;
            self.processes = (self.processes + random.between(-2, 2)).max(60);
            self.connections = (self.connections + random.between(-3, 3)).max(0);
        }
    }
}
