//! The calling process: resident memory and processor use.

use std::path::Path;

use telemetry_schema::host_metrics::{HostMetricsReadings, ProcessReading};

use crate::SystemMetricsProvider;
use crate::portable::mebibytes;

#[cfg(target_os = "linux")]
use linux::Source;
#[cfg(not(target_os = "linux"))]
use other::Source;

/// Measures the process that it runs in. Child processes do not count.
///
/// The first reading covers the time since the process began, each other one the time since the
/// reading before.
#[derive(Debug)]
pub struct ProcessProvider {
    source: Source,
    previous: Option<Reading>,
}

/// One reading of the process. All seconds are counted from one fixed instant, or from none.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
struct Reading {
    /// Processor time that the process has used.
    cpu_seconds: Option<f64>,
    /// How long the process has existed.
    age_seconds: Option<f64>,
    /// Logical processors that are online.
    cpu_count: Option<usize>,
    rss_bytes: Option<u64>,
}

impl ProcessProvider {
    /// Measures the calling process; `root` stands for `/` where the system has files to read.
    pub fn new(root: &Path) -> Self {
        Self { source: Source::new(root), previous: None }
    }
}

impl SystemMetricsProvider for ProcessProvider {
    fn name(&self) -> &'static str {
        "process"
    }

    fn collect(&mut self) -> HostMetricsReadings {
        let reading = self.source.read();
        let columns = columns(self.previous.as_ref(), &reading);
        self.previous = Some(reading);
        HostMetricsReadings { process: Some(columns), ..HostMetricsReadings::default() }
    }
}

fn columns(previous: Option<&Reading>, reading: &Reading) -> ProcessReading {
    ProcessReading {
        process_rss_mb: reading.rss_bytes.map(mebibytes),
        process_cpu_pct: cpu_pct(previous, reading),
    }
}

/// Share of all cores, so 100 is the whole machine.
fn cpu_pct(previous: Option<&Reading>, reading: &Reading) -> Option<f64> {
    let before = previous.copied().unwrap_or(Reading {
        cpu_seconds: Some(0.0),
        age_seconds: Some(0.0),
        cpu_count: None,
        rss_bytes: None,
    });
    let used = reading.cpu_seconds? - before.cpu_seconds?;
    let elapsed = reading.age_seconds? - before.age_seconds?;
    let capacity = elapsed * reading.cpu_count.filter(|count| *count > 0)? as f64;
    // Both clocks tick apart from each other, so a busy process can come out at a little over 100.
    (capacity > 0.0 && used >= 0.0).then(|| (100.0 * used / capacity).min(100.0))
}

#[cfg(target_os = "linux")]
mod linux {
    use std::path::Path;

    use rustix::param::{clock_ticks_per_second, page_size};
    use rustix::time::{ClockId, clock_gettime};

    use super::Reading;
    use crate::linux::{Tree, online_cpus, uptime_seconds};

    #[derive(Debug)]
    pub(super) struct Source {
        tree: Tree,
    }

    impl Source {
        pub(super) fn new(root: &Path) -> Self {
            Self { tree: Tree::new(root) }
        }

        /// Processor time comes from its clock, in nanoseconds; `stat` has it in ticks of 10 ms.
        pub(super) fn read(&mut self) -> Reading {
            let stat = self.tree.read("proc/self/stat");
            let (start_ticks, rss_pages) = stat.as_deref().and_then(parse_stat).unzip();
            let cpu = clock_gettime(ClockId::ProcessCPUTime);
            let started = start_ticks.map(|ticks| ticks as f64 / clock_ticks_per_second() as f64);
            let age = uptime_seconds(&self.tree).zip(started).map(|(uptime, started)| uptime - started);
            Reading {
                cpu_seconds: Some(cpu.tv_sec as f64 + cpu.tv_nsec as f64 / 1e9),
                age_seconds: age,
                cpu_count: online_cpus(&self.tree),
                rss_bytes: rss_pages.map(|pages| pages.saturating_mul(page_size() as u64)),
            }
        }
    }

    /// Fields 22 (start, in ticks since boot) and 24 (resident pages). The second field is the
    /// program's name in parentheses, which may itself contain spaces and parentheses.
    pub(super) fn parse_stat(text: &str) -> Option<(u64, u64)> {
        let mut fields = text.rsplit_once(')')?.1.split_ascii_whitespace();
        let start = fields.nth(22 - 3)?.parse().ok()?;
        let rss = fields.nth(24 - 22 - 1)?.parse().ok()?;
        Some((start, rss))
    }
}

#[cfg(not(target_os = "linux"))]
mod other {
    use std::path::Path;
    use std::time::Instant;

    use sysinfo::{Pid, ProcessRefreshKind, ProcessesToUpdate, System};
    use tracing::debug;

    use super::Reading;

    #[derive(Debug)]
    pub(super) struct Source {
        system: Option<System>,
        made: Instant,
        /// What the process had behind it when `made` was taken: its age in whole seconds.
        age_at_start: Option<f64>,
    }

    impl Source {
        pub(super) fn new(_root: &Path) -> Self {
            Self { system: None, made: Instant::now(), age_at_start: None }
        }

        /// sysinfo knows the start of the process to the second only. That is taken once, and time
        /// from then on is counted exactly.
        pub(super) fn read(&mut self) -> Reading {
            self.try_read().unwrap_or_default()
        }

        fn try_read(&mut self) -> Option<Reading> {
            let system = match self.system.take() {
                Some(system) => system,
                None => System::new().inspect_err(|error| debug!(%error, "cannot read the system")).ok()?,
            };
            let system = self.system.insert(system);
            let pid = Pid::from_u32(std::process::id());
            let kind = ProcessRefreshKind::nothing().with_memory().with_cpu();
            system.refresh_processes_specifics(ProcessesToUpdate::Some(&[pid]), true, kind);
            let process = system.process(pid)?;
            let since_made = self.made.elapsed().as_secs_f64();
            let at_start =
                *self.age_at_start.get_or_insert_with(|| (process.run_time() as f64 - since_made).max(0.0));
            Some(Reading {
                cpu_seconds: Some(process.accumulated_cpu_time() as f64 / 1000.0),
                age_seconds: Some(at_start + since_made),
                cpu_count: std::thread::available_parallelism().ok().map(usize::from),
                rss_bytes: Some(process.memory()),
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(cpu: f64, age: f64) -> Reading {
        Reading {
            cpu_seconds: Some(cpu),
            age_seconds: Some(age),
            cpu_count: Some(4),
            rss_bytes: Some(5 << 20),
        }
    }

    #[test]
    fn the_first_window_begins_with_the_process() {
        assert_eq!(cpu_pct(None, &reading(1.0, 2.0)), Some(12.5));
        assert_eq!(cpu_pct(Some(&reading(1.0, 2.0)), &reading(3.0, 3.0)), Some(50.0));
        assert_eq!(cpu_pct(Some(&reading(1.0, 2.0)), &reading(9.0, 3.0)), Some(100.0));
    }

    #[test]
    fn without_a_window_there_is_no_share() {
        assert_eq!(cpu_pct(None, &reading(1.0, 0.0)), None);
        assert_eq!(cpu_pct(Some(&reading(1.0, 2.0)), &reading(1.0, 2.0)), None);
        assert_eq!(cpu_pct(Some(&reading(1.0, 2.0)), &reading(0.5, 3.0)), None);
        assert_eq!(cpu_pct(None, &Reading::default()), None);
        assert_eq!(columns(None, &reading(1.0, 0.0)).process_rss_mb, Some(5));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn names_with_parentheses_do_not_shift_the_fields() {
        let stat = "7 (a) (b c) S 1 7 7 0 -1 4194304 1 0 0 0 12 3 0 0 20 0 1 0 4711 1000000 250 1844";
        assert_eq!(linux::parse_stat(stat), Some((4711, 250)));
        assert_eq!(linux::parse_stat("7 (a) S 1"), None);
        assert_eq!(linux::parse_stat(""), None);
    }
}
