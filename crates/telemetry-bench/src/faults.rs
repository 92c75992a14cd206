//! What happens to hosts, clocks, sensors and files.

use std::collections::BTreeMap;

use telemetry_schema::{HOST_METRICS, HostMetricsSample, Presence, Row, Value};

use crate::machine::{Kind, Machine};
use crate::random::Random;

const SECOND_US: i64 = 1_000_000;
/// Something happens once in so many samples.
const SAMPLES_PER_FAULT: u64 = 12;
/// A counter of 32 bits begins again here.
const WRAP: i64 = 1 << 32;

/// One thing that can happen between two samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// Another boot, after less or more time than a span may cover.
    Reboot,
    /// Network counters begin again within one boot.
    CounterReset,
    /// A 32-bit counter wraps.
    Wrap,
    /// No samples for a while, shorter or longer than a span may cover.
    Gap,
    /// The clock is set forward.
    ClockForward,
    /// The clock is set back, so that instants come twice.
    ClockBack,
    /// The row twice in one file.
    ExactDuplicate,
    /// The row again, with other values.
    ConflictingDuplicate,
    /// Rows that have been delivered come again in another file, later.
    Redelivery,
    /// Rows come in a later file only.
    Late,
    /// A column is null for a while.
    Null,
    /// The throttle word of a Raspberry Pi changes.
    Throttle,
    /// Other interfaces are counted.
    Interfaces,
    /// The clock is not synchronised, or is so again.
    ClockUnsynced,
    /// The collector is told another schedule, or none.
    Schedule,
    /// A row of another machine with the same identifier.
    Twin,
    /// A value at the edge of what is possible.
    Extreme,
}

impl Fault {
    /// Every fault.
    pub const ALL: [Fault; 17] = [
        Fault::Reboot,
        Fault::CounterReset,
        Fault::Wrap,
        Fault::Gap,
        Fault::ClockForward,
        Fault::ClockBack,
        Fault::ExactDuplicate,
        Fault::ConflictingDuplicate,
        Fault::Redelivery,
        Fault::Late,
        Fault::Null,
        Fault::Throttle,
        Fault::Interfaces,
        Fault::ClockUnsynced,
        Fault::Schedule,
        Fault::Twin,
        Fault::Extreme,
    ];
}

/// What a host with faults is in the middle of.
#[derive(Debug, Clone)]
pub(crate) struct Faults {
    random: Random,
    skew_us: i64,
    silent_until_us: i64,
    wraps_next: bool,
    /// Columns that are null, each for so many more samples.
    nulls: BTreeMap<usize, u32>,
    /// Samples that are still to come late.
    late: u32,
    extreme: bool,
    copies: Vec<Fault>,
    twin: Machine,
}

/// A row and how it is delivered.
pub(crate) struct Taken {
    pub(crate) row: HostMetricsSample,
    pub(crate) is_late: bool,
}

impl Faults {
    pub(crate) fn new(twin: Machine, random: Random) -> Self {
        Self {
            random,
            skew_us: 0,
            silent_until_us: i64::MIN,
            wraps_next: false,
            nulls: BTreeMap::new(),
            late: 0,
            extreme: false,
            copies: Vec::new(),
            twin,
        }
    }

    /// What is stored of the sample due at `at_us`.
    pub(crate) fn sample(&mut self, machine: &mut Machine, at_us: i64) -> Vec<Taken> {
        if self.random.once_in(SAMPLES_PER_FAULT) {
            let fault = self.random.pick(&Fault::ALL);
            self.begin(fault, machine, at_us);
        }
        if at_us < self.silent_until_us {
            return Vec::new();
        }
        let mut row = machine.sample(at_us, self.skew_us);
        if self.wraps_next {
            // The next reading has wrapped: everything above 32 bits is gone.
            self.wraps_next = false;
            machine.network = machine.network.map(|counter| counter.rem_euclid(WRAP) / 1_000);
        }
        self.spoil(&mut row);
        let is_late = self.late > 0;
        self.late = self.late.saturating_sub(1);
        let copies = std::mem::take(&mut self.copies);
        let mut taken: Vec<Taken> =
            copies.into_iter().filter_map(|fault| self.copy(fault, &row, at_us)).collect();
        taken.insert(self.random.below(taken.len() as u64 + 1) as usize, Taken { row, is_late });
        taken
    }

    fn begin(&mut self, fault: Fault, machine: &mut Machine, at_us: i64) {
        let random = &mut self.random;
        match fault {
            Fault::Reboot => {
                let down_seconds = random.pick(&[5, 20, 60, 250, 290, 310, 900]);
                machine.boot(at_us + random.between(1, down_seconds) * SECOND_US);
                self.silent_until_us = self.silent_until_us.max(at_us + down_seconds * SECOND_US);
            }
            Fault::CounterReset => {
                let slots: &[usize] = random.pick(&[&[0, 1], &[0], &[1]]);
                for slot in slots {
                    machine.network[*slot] = random.between(0, 5_000);
                }
            }
            Fault::Wrap => {
                machine.network = machine.network.map(|_| WRAP - 1 - random.between(60_000, 90_000));
                self.wraps_next = true;
            }
            Fault::Gap => {
                let seconds = random.pick(&[15, 100, 240, 290, 305, 700, 1_800]);
                self.silent_until_us = self.silent_until_us.max(at_us + seconds * SECOND_US);
            }
            Fault::ClockForward => {
                self.skew_us += random.pick(&[1_500_000, 2_500_000, 30_000_000, 400_000_000])
            }
            Fault::ClockBack => self.skew_us -= random.pick(&[1_500_000, 2_500_000, 30_000_000, 400_000_000]),
            Fault::ExactDuplicate | Fault::ConflictingDuplicate | Fault::Redelivery | Fault::Twin => {
                self.copies.push(fault);
            }
            Fault::Late => self.late = random.between(1, 60) as u32,
            Fault::Null => {
                let column = random.below(HOST_METRICS.columns.len() as u64) as usize;
                if HOST_METRICS.columns[column].presence != Presence::Key {
                    self.nulls.insert(column, random.pick(&[1, 1, 3, 40]));
                }
            }
            Fault::Throttle => {
                let now = random.pick(&[0, 0x1, 0x2, 0x4, 0x8, 0x5, 0xF]);
                // A sticky bit stays until the next boot.
                machine.throttle = machine.throttle & 0xF_0000 | now << 16 | now;
            }
            Fault::Interfaces => {
                machine.interfaces = random.pick(&["eth0", "eth0,wlan0", "wlan0", ""]).to_owned();
            }
            Fault::ClockUnsynced => machine.is_clock_synced = !machine.is_clock_synced,
            Fault::Schedule => {
                machine.told_interval_seconds = random.pick(&[None, Some(1), Some(10), Some(60), Some(400)]);
            }
            Fault::Extreme => self.extreme = true,
        }
    }

    /// Nulls and extremes.
    fn spoil(&mut self, row: &mut HostMetricsSample) {
        for column in self.nulls.keys() {
            row.set(*column, &Value::Null);
        }
        self.nulls.retain(|_, left| {
            *left -= 1;
            *left > 0
        });
        if std::mem::take(&mut self.extreme) {
            row.cpu_pct = Some(self.random.pick(&[0.0, 100.0]));
            row.cpu_temp_c = row.cpu_temp_c.and(Some(self.random.pick(&[0.0, 120.0])));
            row.disk_root_free_gb = Some(0.0);
            row.net_interfaces = Some(String::new());
        }
    }

    fn copy(&mut self, fault: Fault, row: &HostMetricsSample, at_us: i64) -> Option<Taken> {
        let mut copy = row.clone();
        match fault {
            Fault::ExactDuplicate => Some(Taken { row: copy, is_late: false }),
            Fault::Redelivery => Some(Taken { row: copy, is_late: true }),
            Fault::ConflictingDuplicate => {
                self.contradict(&mut copy);
                Some(Taken { row: copy, is_late: self.random.once_in(2) })
            }
            Fault::Twin => {
                let between_us = self.random.between(0, 3) * SECOND_US;
                let row = self.twin.sample(at_us + between_us, self.skew_us);
                Some(Taken { row, is_late: false })
            }
            _ => None,
        }
    }

    /// Changes one to three of the values by which de-duplication decides.
    fn contradict(&mut self, row: &mut HostMetricsSample) {
        for _ in 0..self.random.between(1, 3) {
            match self.random.below(8) {
                0 => row.uptime_seconds = None,
                1 => row.net_rx_bytes = row.net_rx_bytes.map(|bytes| bytes / 2),
                2 => row.net_tx_bytes = None,
                3 => row.cpu_pct = Some(self.random.between(0, 10_000) as f64 / 100.0),
                4 => row.ram_used_mb = row.ram_used_mb.map(|mb| mb / 2),
                5 => row.boot_id = Some("another".to_owned()),
                6 => row.disk_write_bytes = None,
                _ => row.net_interfaces = Some("usb0".to_owned()),
            }
        }
    }
}

/// The kind of a host of a faulty fleet; all three are among the first three hosts.
pub(crate) fn kind(index: u32) -> Kind {
    match index % 3 {
        0 => Kind::RaspberryPi,
        1 => Kind::Windows,
        _ => Kind::Server,
    }
}
