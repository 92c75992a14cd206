//! Files with any content: nothing panics, and what is read keeps the rules.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "test code")]

use std::fs;
use std::path::Path;

use proptest::prelude::*;
use telemetry_provider::linux::{self, Tree};
use telemetry_provider::{ProcessProvider, SystemMetricsProvider};
use telemetry_schema::host_metrics::HostMetricsReadings;

/// Every file that a provider reads, and a directory for each of its decisions.
const FILES: [&str; 17] = [
    "proc/stat",
    "proc/meminfo",
    "proc/uptime",
    "proc/loadavg",
    "proc/diskstats",
    "proc/net/dev",
    "proc/net/snmp",
    "proc/self/stat",
    "proc/sys/kernel/random/boot_id",
    "sys/devices/system/cpu/online",
    "sys/devices/system/cpu/cpufreq/policy0/scaling_cur_freq",
    "sys/class/hwmon/hwmon0/name",
    "sys/class/hwmon/hwmon1/temp1_input",
    "sys/class/hwmon/hwmon1/temp1_label",
    "sys/class/thermal/thermal_zone0/type",
    "sys/class/thermal/thermal_zone1/temp",
    "proc/7/comm",
];

/// Some text that is nearly right gets further into a parser than bytes do.
fn content() -> impl Strategy<Value = Vec<u8>> {
    let words = prop::sample::select(vec![
        "cpu",
        "cpu ",
        "cpu0",
        "MemTotal:",
        "MemAvailable:",
        "SwapTotal:",
        "kB",
        "eth0:",
        "Tcp:",
        "CurrEstab",
        "sda",
        "coretemp",
        "Package id 0",
        "cpu-thermal",
        "0",
        "1",
        "-1",
        "18446744073709551615",
        "1e400",
        "NaN",
        ")",
        "0-3",
        "4294967295-0",
        "0-4294967295",
        "\n",
        "\n",
        " ",
        " ",
    ]);
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..200),
        prop::collection::vec(words, 0..60).prop_map(|words| words.join(" ").into_bytes()),
        prop::collection::vec(any::<u64>(), 0..40)
            .prop_map(|numbers| format!("cpu  {numbers:?}").replace(['[', ',', ']'], " ").into_bytes()),
    ]
}

fn write(root: &Path, file: &str, bytes: &[u8]) {
    let path = root.join(file);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

fn collect_all(providers: &mut [Box<dyn SystemMetricsProvider>]) -> HostMetricsReadings {
    let mut merged = HostMetricsReadings::default();
    for provider in providers {
        merged.merge(provider.collect());
    }
    merged
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_content_is_survived(
        first in prop::collection::vec(content(), FILES.len()),
        second in prop::collection::vec(content(), FILES.len()),
    ) {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        let tree = Tree::new(root);
        write(root, "sys/class/hwmon/hwmon1/name", b"coretemp\n");
        write(root, "sys/class/thermal/thermal_zone1/type", b"cpu-thermal\n");
        write(root, "sys/class/net/eth0/device", b"");
        write(root, "sys/block/sda/device", b"");
        let mut providers: Vec<Box<dyn SystemMetricsProvider>> = vec![
            Box::new(linux::ProcessorProvider::new(tree.clone())),
            Box::new(linux::KernelProvider::new(tree.clone())),
            Box::new(linux::NetworkProvider::new(tree.clone(), None)),
            Box::new(linux::FrequencyProvider::new(tree.clone())),
            Box::new(linux::TemperatureProvider::new(tree)),
            Box::new(ProcessProvider::new(root)),
        ];
        for contents in [first, second] {
            for (file, bytes) in FILES.iter().zip(&contents) {
                write(root, file, bytes);
            }
            let readings = collect_all(&mut providers);
            let cpu = readings.cpu.unwrap();
            prop_assert!(cpu.cpu_pct.is_none_or(|pct| (0.0..=100.0).contains(&pct)), "{cpu:?}");
            prop_assert!(cpu.cpu_interval_seconds.is_none_or(|seconds| seconds >= 0.0), "{cpu:?}");
            prop_assert!(cpu.cpu_count_logical.is_none_or(|count| count > 0), "{cpu:?}");
            if let Some(memory) = readings.memory {
                prop_assert!(memory.ram_used_mb.is_none_or(|used| used >= 0), "{memory:?}");
                prop_assert!(memory.swap_used_mb.is_none_or(|used| used >= 0), "{memory:?}");
            }
            let temperature = readings.temperature.unwrap();
            prop_assert!(temperature.cpu_temp_c.is_none_or(|celsius| (0.0..=120.0).contains(&celsius)));
        }
    }
}
