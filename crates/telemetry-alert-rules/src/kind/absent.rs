//! `absent`: a host from which nothing has come for some time.
//!
//! There is no bucket of a silent host, so the machine walks the grid of buckets up to the horizon.

use telemetry_schema::MICROS_PER_SECOND;

use super::{Columns, KindOfRule, Subject, Walk};
use crate::comparison::Quantity;
use crate::error::RuleError;
use crate::event::Reason;
use crate::keys::Keys;
use crate::machine::{Machine, Reading};
use crate::rule::Rule;
use crate::rule_set::Settings;
use crate::span::Span;
use crate::ticks::HostTicks;

#[derive(Debug, Clone)]
pub(crate) struct Absent {
    after: Span,
    /// A host that has been silent for longer is one that was given up.
    known_for: Span,
    bucket_us: i64,
}

impl KindOfRule for Absent {
    fn read(keys: &mut Keys, _: &mut Columns, settings: Settings) -> Result<Self, RuleError> {
        let after = keys.required_span("after", Span { us: MICROS_PER_SECOND })?;
        let known_for = keys.required_span("known_for", Span { us: after.us + MICROS_PER_SECOND })?;
        Ok(Self { after, known_for, bucket_us: settings.bucket_us })
    }

    fn subject(&self) -> Subject {
        let threshold = seconds(self.after.us);
        Subject { column: None, quantity: Quantity::Span, threshold, clear: threshold }
    }

    fn lookback_us(&self) -> i64 {
        0
    }

    fn memory_us(&self) -> i64 {
        self.known_for.us
    }

    fn walk(&self, _: &Rule, ticks: &HostTicks<'_>, walk: Walk, machine: &mut Machine<'_>) {
        let (mut next, mut last_sample_us) = (walk.first, walk.last_sample_us);
        let mut at_us = walk.grid_done_us - walk.grid_done_us.rem_euclid(self.bucket_us) + self.bucket_us;
        while at_us <= walk.horizon_us {
            while next < walk.end && ticks.ends_us[next] <= at_us {
                last_sample_us = last_sample_us.max(ticks.last_samples_us[next]);
                next += 1;
            }
            let silent_us = at_us.saturating_sub(last_sample_us);
            if silent_us >= self.known_for.us {
                machine.close(Reason::Forgotten, at_us);
            } else {
                let is_absent = silent_us >= self.after.us;
                let reading = Reading::new(seconds(silent_us), is_absent, !is_absent);
                machine.step(at_us, Some(Reading { last_sample_us: Some(last_sample_us), ..reading }));
            }
            at_us += self.bucket_us;
        }
    }
}

fn seconds(us: i64) -> f64 {
    us as f64 / MICROS_PER_SECOND as f64
}
