//! `threshold`: a column, or its share of another, beyond a limit.

use super::{Columns, KindOfRule, Subject, Walk, walk_ticks};
use crate::comparison::{Comparison, Operand};
use crate::error::RuleError;
use crate::keys::Keys;
use crate::machine::Machine;
use crate::rule::Rule;
use crate::rule_set::Settings;
use crate::ticks::HostTicks;

#[derive(Debug, Clone)]
pub(crate) struct Threshold {
    operand: Operand,
    comparison: Comparison,
}

impl KindOfRule for Threshold {
    fn read(keys: &mut Keys, columns: &mut Columns, _: Settings) -> Result<Self, RuleError> {
        Ok(Self { operand: Operand::read(keys, columns)?, comparison: Comparison::read(keys)? })
    }

    fn subject(&self) -> Subject {
        Subject::compared(&self.operand, &self.comparison)
    }

    fn lookback_us(&self) -> i64 {
        0
    }

    fn walk(&self, rule: &Rule, ticks: &HostTicks<'_>, walk: Walk, machine: &mut Machine<'_>) {
        walk_ticks(rule, ticks, walk, machine, |index| {
            let value = self.operand.value(ticks, index)?;
            Some(self.comparison.reading(value))
        });
    }
}
