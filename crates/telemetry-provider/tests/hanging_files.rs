//! Files that do not answer: a named pipe without a writer blocks whoever opens it.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "test code")]

use std::fs;
use std::path::{Path, PathBuf};

use chrono::DateTime;
use rustix::fs::{CWD, FileType, Mode, mknodat};
use telemetry_provider::linux::{TemperatureProvider, Tree};
use telemetry_provider::{ProviderSettings, Sampler, Stamp, SystemMetricsProvider};
use telemetry_schema::{HostId, host_metrics::names, missing_required};

fn write(root: &Path, file: &str, text: &str) {
    let path = root.join(file);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn pipe(root: &Path, file: &str) {
    let path = root.join(file);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
}

#[test]
fn a_file_that_hangs_costs_only_the_columns_of_its_provider() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    write(root, "proc/stat", "cpu  1 2 3 4\ncpu0 1 2 3 4\n");
    write(root, "proc/uptime", "5.00 1.00\n");
    pipe(root, "proc/meminfo");
    write(root, "proc/loadavg", "0.1 0.2 0.3 1/2 3\n");
    write(root, "proc/net/dev", "lo: 1 0 0 0 0 0 0 0 1\n");
    let mut settings = ProviderSettings { root: root.to_owned(), ..ProviderSettings::default() };
    settings.config.provider.deadline_ms = 300;
    let stamp = Stamp { host_id: HostId::parse("here").unwrap(), run_id: None, sample_interval_seconds: 10 };
    let mut sampler = Sampler::new(&settings, stamp, None);
    // The second sample finds the provider still stuck and does not wait for it.
    for _ in 0..2 {
        let row = sampler.sample(DateTime::UNIX_EPOCH);
        assert_eq!((row.load_avg_1m, row.net_rx_bytes), (Some(0.1), Some(0)));
        assert!(row.disk_root_total_gb.is_some());
        let lost = [
            names::cpu_pct,
            names::cpu_count_logical,
            names::ram_total_mb,
            names::ram_used_mb,
            names::ram_available_mb,
            names::swap_total_mb,
            names::swap_used_mb,
        ];
        assert_eq!(missing_required(&row), lost);
    }
}

#[test]
fn a_sensor_that_would_block_is_not_waited_for() {
    let directory = tempfile::tempdir().unwrap();
    let chip = PathBuf::from("sys/class/hwmon/hwmon0");
    write(directory.path(), chip.join("name").to_str().unwrap(), "cpu_thermal\n");
    pipe(directory.path(), chip.join("temp1_input").to_str().unwrap());
    let temperature = TemperatureProvider::new(Tree::new(directory.path())).collect().temperature.unwrap();
    assert_eq!((temperature.cpu_temp_c, temperature.cpu_temp_source), (None, None));
}
