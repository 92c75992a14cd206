//! Processor time: the kernel's counters, and the busy share between two readings of them.

use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

/// The oldest reading of an earlier run that a window may begin with, in seconds.
#[cfg(any(target_os = "linux", test))]
const MAX_BASELINE_AGE_SECONDS: f64 = 15.0 * 60.0;
/// Idle time may fall by a little when the kernel corrects its books; beyond this it is a new count
/// (three seconds of the 100 ticks per second that Linux shows to programs).
const IDLE_JITTER_TICKS: u64 = 300;

/// The aggregate `cpu` line of `/proc/stat`, in clock ticks since boot.
///
/// The line's `guest` fields are left out on purpose: guest time is already part of `user` and
/// `nice`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CpuCounters {
    /// Programs.
    pub user: u64,
    /// Programs with lowered priority.
    pub nice: u64,
    /// The kernel.
    pub system: u64,
    /// Nothing to do.
    pub idle: u64,
    /// Nothing to do but wait for a disk.
    pub iowait: u64,
    /// Hardware interrupts.
    pub irq: u64,
    /// Deferred interrupt work.
    pub softirq: u64,
    /// Time that the hypervisor gave to others.
    pub steal: u64,
}

impl CpuCounters {
    /// Busy share of all cores since `previous`, in per cent. Waiting for a disk is not busy and
    /// stolen time is: 100 - %idle - %iowait of `sar`.
    ///
    /// `None` where no time passed or the counters began anew.
    pub fn busy_pct_since(&self, previous: &Self) -> Option<f64> {
        if self.total() < previous.total() || previous.idle.saturating_sub(self.idle) > IDLE_JITTER_TICKS {
            return None;
        }
        // Field by field: one counter that stepped back must not eat the growth of another.
        let busy = self
            .busy_fields()
            .iter()
            .zip(previous.busy_fields())
            .map(|(now, before)| now.saturating_sub(before))
            .fold(0, u64::saturating_add);
        let idle = self
            .idle
            .saturating_sub(previous.idle)
            .saturating_add(self.iowait.saturating_sub(previous.iowait));
        let total = busy.saturating_add(idle);
        (total > 0).then(|| 100.0 * busy as f64 / total as f64)
    }

    fn busy_fields(&self) -> [u64; 6] {
        [self.user, self.nice, self.system, self.irq, self.softirq, self.steal]
    }

    fn total(&self) -> u64 {
        self.busy_fields().into_iter().chain([self.idle, self.iowait]).fold(0, u64::saturating_add)
    }
}

/// A reading of the processor's counters that the next run can measure from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CpuBaseline {
    /// The counters.
    pub counters: CpuCounters,
    /// The kernel's identifier of the boot in which they were read.
    pub boot_id: String,
    /// Seconds since boot at the reading, suspension included.
    pub uptime_seconds: f64,
}

#[cfg(any(target_os = "linux", test))]
impl CpuBaseline {
    /// Seconds from this reading to one now; `None` if it cannot begin a window: another boot, the
    /// future, or too long ago.
    pub(crate) fn age_at(&self, boot_id: &str, uptime_seconds: f64) -> Option<f64> {
        let age = uptime_seconds - self.uptime_seconds;
        let valid =
            !boot_id.is_empty() && self.boot_id == boot_id && age > 0.0 && age <= MAX_BASELINE_AGE_SECONDS;
        valid.then_some(age)
    }
}

/// Where the provider that reads the counters leaves its latest reading for the sampler, which is
/// on another thread.
#[derive(Debug, Clone, Default)]
pub(crate) struct BaselineSlot(Arc<Mutex<Option<CpuBaseline>>>);

impl BaselineSlot {
    pub(crate) fn new(baseline: Option<CpuBaseline>) -> Self {
        Self(Arc::new(Mutex::new(baseline)))
    }

    pub(crate) fn get(&self) -> Option<CpuBaseline> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    #[cfg(target_os = "linux")]
    pub(crate) fn set(&self, baseline: CpuBaseline) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(baseline);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counters(fields: [u64; 8]) -> CpuCounters {
        let [user, nice, system, idle, iowait, irq, softirq, steal] = fields;
        CpuCounters { user, nice, system, idle, iowait, irq, softirq, steal }
    }

    #[test]
    fn busy_is_everything_but_idle_and_iowait() {
        let zero = counters([0; 8]);
        let check = |previous: CpuCounters, now: [u64; 8], expected: Option<f64>| {
            assert_eq!(counters(now).busy_pct_since(&previous), expected, "{now:?}");
        };
        check(zero, [0; 8], None);
        check(zero, [25, 0, 0, 75, 0, 0, 0, 0], Some(25.0));
        check(zero, [0, 0, 0, 50, 50, 0, 0, 0], Some(0.0));
        check(zero, [10, 10, 10, 40, 0, 10, 10, 10], Some(60.0));
        check(zero, [u64::MAX; 8], Some(100.0));
        let before = counters([100, 0, 100, 1000, 100, 0, 0, 50]);
        // Stolen time and iowait that step back count as no growth.
        check(before, [150, 0, 100, 1050, 90, 0, 0, 50], Some(50.0));
        check(before, [150, 0, 100, 1050, 100, 0, 0, 40], Some(50.0));
        check(before, [110, 0, 100, 999, 110, 0, 0, 50], Some(50.0));
        // The whole count began anew, or the idle count alone did.
        check(before, [1, 0, 1, 10, 1, 0, 0, 0], None);
        check(before, [2000, 0, 100, 600, 100, 0, 0, 50], None);
    }

    #[test]
    fn a_baseline_serves_in_its_boot_for_fifteen_minutes() {
        let baseline =
            CpuBaseline { counters: counters([0; 8]), boot_id: "a".into(), uptime_seconds: 1000.0 };
        assert_eq!(baseline.age_at("a", 1060.0), Some(60.0));
        assert_eq!(baseline.age_at("a", 1900.0), Some(900.0));
        for (boot_id, uptime) in
            [("b", 1060.0), ("", 1060.0), ("a", 1000.0), ("a", 10.0), ("a", 1900.1), ("a", f64::NAN)]
        {
            assert_eq!(baseline.age_at(boot_id, uptime), None, "{boot_id} {uptime}");
        }
        let no_boot = CpuBaseline { boot_id: String::new(), ..baseline };
        assert_eq!(no_boot.age_at("", 1060.0), None);
    }
}
