//! The processor's clock.

use telemetry_schema::host_metrics::{CpuReading, HostMetricsReadings};

use super::Tree;
use crate::SystemMetricsProvider;

const POLICIES: &str = "sys/devices/system/cpu/cpufreq";

/// Reads `scaling_cur_freq` of every frequency policy: one file per group of cores that share a
/// clock, not one per core, since each can be slow. On a Raspberry Pi it is the frequency that was
/// asked for; the firmware may run slower while it throttles.
#[derive(Debug)]
pub struct FrequencyProvider {
    tree: Tree,
}

impl FrequencyProvider {
    /// Reads below a tree.
    pub fn new(tree: Tree) -> Self {
        Self { tree }
    }

    /// The frequency of each policy, in kilohertz.
    fn read(&self) -> Vec<u64> {
        let policies = self.tree.entries(POLICIES).filter(|name| name.starts_with("policy"));
        policies
            .filter_map(|policy| {
                self.tree.read_once(&format!("{POLICIES}/{policy}/scaling_cur_freq"))?.parse().ok()
            })
            .collect()
    }
}

impl SystemMetricsProvider for FrequencyProvider {
    fn name(&self) -> &'static str {
        "linux-frequency"
    }

    fn collect(&mut self) -> HostMetricsReadings {
        let cpu = CpuReading {
            cpu_pct: None,
            cpu_count_logical: None,
            cpu_freq_mhz: highest_mhz(&self.read()),
            cpu_interval_seconds: None,
        };
        HostMetricsReadings { cpu: Some(cpu), ..HostMetricsReadings::default() }
    }
}

fn highest_mhz(kilohertz: &[u64]) -> Option<f64> {
    kilohertz.iter().max().filter(|highest| **highest > 0).map(|highest| *highest as f64 / 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fastest_policy_counts() {
        assert_eq!(highest_mhz(&[600_000, 1_800_500]), Some(1800.5));
        assert_eq!(highest_mhz(&[0]), None);
        assert_eq!(highest_mhz(&[]), None);
    }
}
