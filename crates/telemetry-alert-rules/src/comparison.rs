//! What rules compare: a column, or its share of another, with a limit.

use serde::Deserialize;
use telemetry_schema::{Column, Rule as QualityRule, Unit};

use crate::error::RuleError;
use crate::keys::Keys;
use crate::kind::Columns;
use crate::machine::Reading;
use crate::ticks::HostTicks;

/// `>`, `>=`, `<`, `<=`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(crate) enum Operator {
    #[serde(rename = ">")]
    Above,
    #[serde(rename = ">=")]
    AtLeast,
    #[serde(rename = "<")]
    Below,
    #[serde(rename = "<=")]
    AtMost,
}

impl Operator {
    pub(crate) fn holds(self, value: f64, limit: f64) -> bool {
        match self {
            Operator::Above => value > limit,
            Operator::AtLeast => value >= limit,
            Operator::Below => value < limit,
            Operator::AtMost => value <= limit,
        }
    }

    fn read(keys: &mut Keys) -> Result<Self, RuleError> {
        keys.required("op", "\">\", \">=\", \"<\" or \"<=\"")
    }
}

/// The keys `op`, `fire` and `clear`: fires beyond one limit, clears only back at the other.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Comparison {
    op: Operator,
    pub(crate) fire: f64,
    pub(crate) clear: f64,
}

impl Comparison {
    pub(crate) fn read(keys: &mut Keys) -> Result<Self, RuleError> {
        let op = Operator::read(keys)?;
        let fire = keys.required_number("fire")?;
        let clear = keys.number("clear")?.unwrap_or(fire);
        let (is_safe, side) = match op {
            Operator::Above | Operator::AtLeast => (clear <= fire, "at most"),
            Operator::Below | Operator::AtMost => (clear >= fire, "at least"),
        };
        if !is_safe {
            return Err(keys.bad(
                "clear",
                format!("a number on the safe side of `fire`, {side} {fire}"),
                clear,
            ));
        }
        Ok(Self { op, fire, clear })
    }

    pub(crate) fn reading(&self, value: f64) -> Reading {
        Reading::new(value, self.fires(value), self.clears(value))
    }

    pub(crate) fn fires(&self, value: f64) -> bool {
        self.op.holds(value, self.fire)
    }

    pub(crate) fn clears(&self, value: f64) -> bool {
        !self.op.holds(value, self.clear)
    }
}

/// The keys `column` and `of`: a column, or its share of another one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Operand {
    pub(crate) column: &'static Column,
    index: usize,
    of: Option<usize>,
}

impl Operand {
    pub(crate) fn read(keys: &mut Keys, columns: &mut Columns) -> Result<Self, RuleError> {
        let column = keys.required_column("column")?;
        let of = keys.column("of")?;
        Ok(Self { column, index: columns.index(column), of: of.map(|of| columns.index(of)) })
    }

    /// `None` where a column is null, or the whole is zero.
    pub(crate) fn value(&self, ticks: &HostTicks<'_>, index: usize) -> Option<f64> {
        let value = ticks.value(self.index, index)?;
        match self.of {
            None => Some(value),
            Some(of) => ticks.value(of, index).filter(|whole| *whole != 0.0).map(|whole| value / whole),
        }
    }

    pub(crate) fn quantity(&self) -> Quantity {
        match self.of {
            Some(_) => Quantity::Share,
            None if self.column.rule == QualityRule::HexWord => Quantity::Bits,
            None => Quantity::Number(self.column.unit),
        }
    }
}

/// What a value is, so that people can read it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Quantity {
    /// A number with a unit.
    Number(Unit),
    /// A part of 1.
    Share,
    /// A word of flags.
    Bits,
    /// Seconds.
    Span,
}

/// One table of the key `and`: the rule fires only while this holds too.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Guard {
    operand: Operand,
    op: Operator,
    fire: f64,
}

impl Guard {
    pub(crate) fn read(mut keys: Keys, columns: &mut Columns) -> Result<Self, RuleError> {
        let operand = Operand::read(&mut keys, columns)?;
        let guard = Self { operand, op: Operator::read(&mut keys)?, fire: keys.required_number("fire")? };
        keys.finish()?;
        Ok(guard)
    }

    /// `None` where a column is null.
    pub(crate) fn holds(&self, ticks: &HostTicks<'_>, index: usize) -> Option<bool> {
        Some(self.op.holds(self.operand.value(ticks, index)?, self.fire))
    }
}
