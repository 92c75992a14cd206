//! `change`: a column now, less what it was some time ago, beyond a limit.

use super::{Columns, KindOfRule, Subject, Walk, walk_ticks};
use crate::comparison::{Comparison, Operand};
use crate::error::RuleError;
use crate::keys::Keys;
use crate::machine::{MOST_MISSING, Machine};
use crate::rule::Rule;
use crate::rule_set::Settings;
use crate::span::Span;
use crate::ticks::HostTicks;

#[derive(Debug, Clone)]
pub(crate) struct Change {
    operand: Operand,
    comparison: Comparison,
    over: Span,
    /// How much older than `over` the earlier bucket may be where that one is missing.
    tolerance_us: i64,
}

impl KindOfRule for Change {
    fn read(keys: &mut Keys, columns: &mut Columns, settings: Settings) -> Result<Self, RuleError> {
        Ok(Self {
            operand: Operand::read(keys, columns)?,
            comparison: Comparison::read(keys)?,
            over: keys.required_span("over", Span { us: settings.bucket_us })?,
            tolerance_us: MOST_MISSING * settings.bucket_us,
        })
    }

    fn subject(&self) -> Subject {
        Subject::compared(&self.operand, &self.comparison)
    }

    fn lookback_us(&self) -> i64 {
        self.over.us + self.tolerance_us
    }

    fn walk(&self, rule: &Rule, ticks: &HostTicks<'_>, walk: Walk, machine: &mut Machine<'_>) {
        walk_ticks(rule, ticks, walk, machine, |index| {
            let value = self.operand.value(ticks, index)? - self.earlier(rule, ticks, index)?;
            Some(self.comparison.reading(value))
        });
    }
}

impl Change {
    /// The value `over` ago: of the bucket that ended then, else of the last one within tolerance.
    fn earlier(&self, rule: &Rule, ticks: &HostTicks<'_>, index: usize) -> Option<f64> {
        let then_us = ticks.ends_us[index] - self.over.us;
        let usable = |index: &usize| rule.is_covered(ticks, *index);
        let candidates = ticks.after(then_us - self.tolerance_us - 1)..ticks.after(then_us);
        candidates.rev().filter(usable).find_map(|index| self.operand.value(ticks, index))
    }
}
