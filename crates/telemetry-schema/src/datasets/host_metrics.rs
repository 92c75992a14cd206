//! Silver: what a host measured at one instant.

use chrono::{DateTime, Utc};

use crate::Rule::{Any, AtLeast, HexWord, HostId, Measured, Within};

crate::table::measured_dataset! {
    /// One row per sample per host, append-only.
    HostMetricsSample, HOST_METRICS = "ops_host_metrics", Silver, version 1;

    readings
    /// What one provider could read, or several merged: a group that was not read is `None`.
    HostMetricsReadings {
        /// Processor use and clock.
        cpu: CpuReading,
        /// Main memory and swap.
        memory: MemoryReading,
        /// Space on the file system at `disk_mount`.
        disk: DiskReading,
        /// Traffic counters.
        network: NetworkReading,
        /// The processor's temperature.
        temperature: TemperatureReading,
        /// The Raspberry Pi firmware's throttle word.
        throttle: ThrottleReading,
        /// The calling process.
        process: ProcessReading,
        /// Which boot this is, and how old.
        boot: BootReading,
        /// How many threads want to run.
        load: LoadReading,
        /// What is read from the Linux kernel alone.
        kernel: KernelReading,
    }

    /// The real instant of the sample, rounded to the millisecond.
    as_of: DateTime<Utc>, Key, Label, None, Measured, stamped;
    /// Stable identifier of the host; the host name unless configured.
    host_id: String, Key, Label, None, HostId, stamped;
    /// Operating system: `linux`, `windows`.
    os: String, Required, Label, None, Any, stamped;
    /// Processor architecture: `aarch64`, `x86_64`.
    arch: String, Required, Label, None, Any, stamped;

    /// Busy share of all cores since the previous reading.
    cpu_pct: f64, Required, Gauge, Percent, Within(0.0, 100.0), cpu;
    /// Logical processors that are online.
    cpu_count_logical: i32, Required, Gauge, Count, AtLeast(1), cpu;
    /// Main memory.
    ram_total_mb: i64, Required, Gauge, Mebibytes, AtLeast(0), memory;
    /// `ram_total_mb - ram_available_mb`, never below 0.
    ram_used_mb: i64, Required, Gauge, Mebibytes, AtLeast(0), memory;
    /// Memory that programs can still get without swapping.
    ram_available_mb: i64, Required, Gauge, Mebibytes, AtLeast(0), memory;
    /// Swap space; 0 where there is none.
    swap_total_mb: i64, Required, Gauge, Mebibytes, AtLeast(0), memory;
    /// Swap space in use; 0 where there is none.
    swap_used_mb: i64, Required, Gauge, Mebibytes, AtLeast(0), memory;
    /// Size of the file system at `disk_mount`.
    disk_root_total_gb: f64, Required, Gauge, Gibibytes, AtLeast(0), disk;
    /// Space at `disk_mount` that an unprivileged user can still fill.
    disk_root_free_gb: f64, Required, Gauge, Gibibytes, AtLeast(0), disk;
    /// Bytes received since boot: by one interface, or by all physical ones.
    net_rx_bytes: i64, Required, Counter, Bytes, AtLeast(0), network;
    /// Bytes sent since boot: by one interface, or by all physical ones.
    net_tx_bytes: i64, Required, Counter, Bytes, AtLeast(0), network;

    /// Temperature of the processor, by its own sensor.
    cpu_temp_c: f64, Optional, Gauge, Celsius, Within(0.0, 120.0), temperature;
    /// Raspberry Pi: the firmware's throttle word, as `0x50005`.
    throttle_flags: String, Optional, Label, None, HexWord, throttle;
    /// Highest current clock over the frequency policies.
    cpu_freq_mhz: f64, Optional, Gauge, Megahertz, AtLeast(0), cpu;
    /// Resident memory of the calling process.
    process_rss_mb: i64, Optional, Gauge, Mebibytes, AtLeast(0), process;
    /// Processor use of the calling process since the previous reading, of all cores.
    process_cpu_pct: f64, Optional, Gauge, Percent, Within(0.0, 100.0), process;
    /// Correlation identifier given by the caller.
    run_id: String, Optional, Label, None, Any, stamped;
    /// The kernel's identifier of this boot; null where there is none (Windows).
    boot_id: String, Optional, Label, None, Any, boot;
    /// Time since boot, suspension included.
    uptime_seconds: f64, Optional, Gauge, Seconds, AtLeast(0), boot;
    /// The schedule that the collector was told.
    sample_interval_seconds: i32, Optional, Gauge, Seconds, AtLeast(1), stamped;
    /// The window over which `cpu_pct` was measured.
    cpu_interval_seconds: f64, Optional, Gauge, Seconds, AtLeast(0), cpu;
    /// Load average over 1 minute; null on Windows.
    load_avg_1m: f64, Optional, Gauge, None, AtLeast(0), load;
    /// Load average over 5 minutes; null on Windows.
    load_avg_5m: f64, Optional, Gauge, None, AtLeast(0), load;
    /// Load average over 15 minutes; null on Windows.
    load_avg_15m: f64, Optional, Gauge, None, AtLeast(0), load;
    /// Processes.
    process_count: i64, Optional, Gauge, Count, AtLeast(0), kernel;
    /// Established TCP connections, IPv4 and IPv6; on Linux with those that only wait for a program of this host to close them.
    active_connections: i64, Optional, Gauge, Count, AtLeast(0), kernel;
    /// Bytes read since boot from whole physical disks.
    disk_read_bytes: i64, Optional, Counter, Bytes, AtLeast(0), kernel;
    /// Bytes written since boot to whole physical disks.
    disk_write_bytes: i64, Optional, Counter, Bytes, AtLeast(0), kernel;
    /// Which sensor `cpu_temp_c` is, as `hwmon:cpu_thermal/temp1`.
    cpu_temp_source: String, Optional, Label, None, Any, temperature;
    /// The interfaces whose counters were summed, sorted, comma-separated.
    net_interfaces: String, Optional, Label, None, Any, network;
    /// Whether the system calls its clock synchronised.
    clock_synced: bool, Optional, Label, None, Any, kernel;
    /// Samples lost since the previous stored one because the spool was full; null without a spool.
    dropped_samples: i64, Optional, Gauge, Count, AtLeast(0), stamped;
}
