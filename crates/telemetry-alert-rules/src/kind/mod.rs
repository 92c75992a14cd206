//! The kinds of rules: one file each, and one line in the list below.

mod absent;
mod change;
mod forecast;
mod threshold;

use telemetry_schema::Column;

pub(crate) use forecast::LEAST_POINTS;

use crate::comparison::{Comparison, Operand, Quantity};
use crate::error::RuleError;
use crate::keys::Keys;
use crate::machine::{Machine, Reading};
use crate::rule::Rule;
use crate::rule_set::Settings;
use crate::ticks::HostTicks;

/// What a kind of rule is.
pub(crate) trait KindOfRule: Sized {
    /// Takes the kind's own keys.
    fn read(keys: &mut Keys, columns: &mut Columns, settings: Settings) -> Result<Self, RuleError>;
    /// What is looked at, for people and for the event row.
    fn subject(&self) -> Subject;
    /// How far before a bucket it looks, in microseconds.
    fn lookback_us(&self) -> i64;
    /// For how long a host without samples matters, in microseconds.
    fn memory_us(&self) -> i64 {
        0
    }
    /// Walks the machine over the instants from the first new bucket to the horizon.
    fn walk(&self, rule: &Rule, ticks: &HostTicks<'_>, walk: Walk, machine: &mut Machine<'_>);
}

/// What a rule looks at.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Subject {
    pub(crate) column: Option<&'static Column>,
    pub(crate) quantity: Quantity,
    /// What the value is compared with: to fire, and to clear.
    pub(crate) threshold: f64,
    pub(crate) clear: f64,
}

impl Subject {
    /// Of a rule that compares a column, or what is made of it.
    fn compared(operand: &Operand, comparison: &Comparison) -> Self {
        Self {
            column: Some(operand.column),
            quantity: operand.quantity(),
            threshold: comparison.fire,
            clear: comparison.clear,
        }
    }
}

/// Which instants are new to a host's rules.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Walk {
    /// Position of the first new bucket.
    pub(crate) first: usize,
    /// Position after the last bucket that ends at the horizon or before.
    pub(crate) end: usize,
    /// The last instant of the grid that is done.
    pub(crate) grid_done_us: i64,
    /// The instant up to which everything is known, a multiple of the bucket.
    pub(crate) horizon_us: i64,
    /// The last sample known before the first new bucket.
    pub(crate) last_sample_us: i64,
}

/// The columns that the rules look at, each once.
#[derive(Debug, Clone, Default)]
pub(crate) struct Columns(pub(crate) Vec<&'static str>);

impl Columns {
    /// The column's position in [`HostTicks`].
    pub(crate) fn index(&mut self, column: &'static Column) -> usize {
        let known = self.0.iter().position(|name| *name == column.name);
        known.unwrap_or_else(|| {
            self.0.push(column.name);
            self.0.len() - 1
        })
    }
}

macro_rules! kinds {
    ($( $name:literal => $Kind:ident in $module:ident, )+) => {
        /// One rule's kind, with its keys.
        #[derive(Debug, Clone)]
        pub(crate) enum Kind {
            $( $Kind($module::$Kind), )+
        }

        impl Kind {
            pub(crate) const NAMES: &[&str] = &[ $( $name ),+ ];

            /// `None` if there is no kind of that name.
            pub(crate) fn read(
                name: &str,
                keys: &mut Keys,
                columns: &mut Columns,
                settings: Settings,
            ) -> Option<Result<Self, RuleError>> {
                match name {
                    $( $name => Some($module::$Kind::read(keys, columns, settings).map(Self::$Kind)), )+
                    _ => None,
                }
            }

            pub(crate) fn subject(&self) -> Subject {
                match self { $( Self::$Kind(kind) => kind.subject(), )+ }
            }

            pub(crate) fn lookback_us(&self) -> i64 {
                match self { $( Self::$Kind(kind) => kind.lookback_us(), )+ }
            }

            pub(crate) fn memory_us(&self) -> i64 {
                match self { $( Self::$Kind(kind) => kind.memory_us(), )+ }
            }

            pub(crate) fn walk(&self, rule: &Rule, ticks: &HostTicks<'_>, walk: Walk, machine: &mut Machine<'_>) {
                match self { $( Self::$Kind(kind) => kind.walk(rule, ticks, walk, machine), )+ }
            }
        }
    };
}

kinds! {
    "threshold" => Threshold in threshold,
    "absent" => Absent in absent,
    "forecast" => Forecast in forecast,
    "change" => Change in change,
}

/// Walks the new buckets, for kinds that read each of them: applies `min_coverage` and the guards.
fn walk_ticks(
    rule: &Rule,
    ticks: &HostTicks<'_>,
    walk: Walk,
    machine: &mut Machine<'_>,
    mut reading: impl FnMut(usize) -> Option<Reading>,
) {
    for index in walk.first..walk.end {
        let reading = rule.is_covered(ticks, index).then(|| {
            let guard = rule.guards_hold(ticks, index);
            // What cannot begin needs no look at the rest, which can be a whole window.
            if guard == Some(false) && !machine.is_open() {
                return Some(Reading::CALM);
            }
            let reading = reading(index)?;
            match guard {
                Some(true) => Some(reading),
                Some(false) => Some(Reading { fires: false, clears: true, ..reading }),
                None => Some(reading).filter(|reading| !reading.fires),
            }
        });
        let coverage = ticks.coverage[index];
        machine.step(ticks.ends_us[index], reading.flatten().map(|reading| Reading { coverage, ..reading }));
    }
    machine.expire(walk.horizon_us);
}
