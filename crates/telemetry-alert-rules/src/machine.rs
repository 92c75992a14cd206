//! The state machine of one rule on one host.

use serde::{Deserialize, Serialize};

use crate::event::{Context, Event, EventState, Reason, Severity};
use crate::message;
use crate::rule::Rule;
use crate::span;

/// Buckets that may be missing in a row before a condition counts as interrupted.
pub(crate) const MOST_MISSING: i64 = 2;

/// What a rule makes of one instant.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Reading {
    pub(crate) value: f64,
    pub(crate) fires: bool,
    pub(crate) clears: bool,
    pub(crate) coverage: Option<f64>,
    pub(crate) forecast_hours: Option<f64>,
    pub(crate) last_sample_us: Option<i64>,
}

impl Reading {
    /// Nothing fires, and what the value is does not matter.
    pub(crate) const CALM: Self = Self {
        value: 0.0,
        fires: false,
        clears: true,
        coverage: None,
        forecast_hours: None,
        last_sample_us: None,
    };

    pub(crate) fn new(value: f64, fires: bool, clears: bool) -> Self {
        Self { value, fires, clears, ..Self::CALM }
    }
}

/// An alert that fires, with what its last event will need although the rule may be gone by then.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Firing {
    pub(crate) starts_us: i64,
    pub(crate) severity: Severity,
    pub(crate) rule_column: Option<String>,
    pub(crate) threshold: Option<f64>,
    /// Since when it recovers, if it does.
    pub(crate) recovers_us: Option<i64>,
}

/// Where the machine is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Phase {
    Inactive,
    Pending { starts_us: i64 },
    Firing(Firing),
}

/// What is kept of a rule on a host between runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct RuleState {
    /// Of the rule as it was, see [`Rule::hash`].
    pub(crate) hash: String,
    pub(crate) phase: Phase,
    /// The last instant at which anything was known; nothing is evaluated up to it.
    pub(crate) known_us: i64,
}

/// Who and when, for the events.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scene<'a> {
    pub(crate) host_id: &'a str,
    pub(crate) bucket_us: i64,
    pub(crate) evaluated_at_us: i64,
}

/// The machine at work.
pub(crate) struct Machine<'a> {
    rule: &'a Rule,
    scene: Scene<'a>,
    phase: Phase,
    known_us: i64,
    events: &'a mut Vec<Event>,
}

impl<'a> Machine<'a> {
    pub(crate) fn new(
        rule: &'a Rule,
        scene: Scene<'a>,
        state: Option<RuleState>,
        events: &'a mut Vec<Event>,
    ) -> Self {
        let (phase, known_us) =
            state.map_or((Phase::Inactive, i64::MIN), |state| (state.phase, state.known_us));
        Self { rule, scene, phase, known_us, events }
    }

    /// What to keep; nothing if a machine that begins anew would do the same after `done_us`.
    pub(crate) fn into_state(self, done_us: i64) -> Option<RuleState> {
        let is_idle = self.phase == Phase::Inactive && self.known_us <= done_us;
        (!is_idle).then(|| RuleState {
            hash: self.rule.hash.clone(),
            phase: self.phase,
            known_us: self.known_us,
        })
    }

    pub(crate) fn is_open(&self) -> bool {
        matches!(self.phase, Phase::Firing(_))
    }

    /// The next instant; without a reading it keeps what is.
    pub(crate) fn step(&mut self, at_us: i64, reading: Option<Reading>) {
        // Nearly every instant of nearly every rule.
        let is_calm = matches!(self.phase, Phase::Inactive) && !reading.is_some_and(|reading| reading.fires);
        if !is_calm && at_us > self.known_us {
            self.turn(at_us, reading);
        }
    }

    fn turn(&mut self, at_us: i64, reading: Option<Reading>) {
        let Some(reading) = reading else { return self.expire(at_us) };
        self.expire(at_us - 1);
        self.interrupt(at_us);
        match &mut self.phase {
            Phase::Inactive if !reading.fires => {}
            Phase::Inactive => self.begin(at_us, reading),
            Phase::Pending { .. } if !reading.fires => self.phase = Phase::Inactive,
            Phase::Pending { starts_us } => {
                let starts_us = *starts_us;
                self.fire_when_due(starts_us, at_us, reading);
            }
            Phase::Firing(firing) if reading.fires => firing.recovers_us = None,
            Phase::Firing(firing) => {
                if reading.clears {
                    firing.recovers_us.get_or_insert(at_us);
                }
                let is_over = firing
                    .recovers_us
                    .is_some_and(|since_us| at_us - since_us >= self.rule.keep_firing_for.us);
                if is_over {
                    self.resolve(Reason::Cleared, at_us, Some(reading));
                }
            }
        }
        self.known_us = if self.phase == Phase::Inactive { i64::MIN } else { at_us };
    }

    fn begin(&mut self, at_us: i64, reading: Reading) {
        self.phase = Phase::Pending { starts_us: at_us };
        self.fire_when_due(at_us, at_us, reading);
    }

    fn fire_when_due(&mut self, starts_us: i64, at_us: i64, reading: Reading) {
        if at_us - starts_us < self.rule.hold_for.us {
            return;
        }
        let subject = self.rule.kind.subject();
        let firing = Firing {
            starts_us,
            severity: self.rule.severity,
            rule_column: subject.column.map(|column| column.name.to_owned()),
            threshold: Some(subject.threshold),
            recovers_us: None,
        };
        let message = message::firing(self.rule, self.scene.host_id, starts_us, at_us, &reading);
        let event = self.event(&firing, EventState::Firing, Reason::Fired, at_us, Some(reading), message);
        self.events.push(event);
        self.phase = Phase::Firing(firing);
    }

    /// A Pending does not survive a hole: nobody saw the condition hold.
    fn interrupt(&mut self, at_us: i64) {
        if matches!(self.phase, Phase::Pending { .. })
            && at_us - self.known_us > (MOST_MISSING + 1) * self.scene.bucket_us
        {
            self.phase = Phase::Inactive;
        }
    }

    /// Resolves an alert of which nothing was known for too long, by that instant.
    pub(crate) fn expire(&mut self, by_us: i64) {
        if !self.is_open() {
            return;
        }
        let bucket_us = self.scene.bucket_us;
        let end_us = self.known_us.saturating_add(self.rule.expire_after.us);
        let on_grid_us = end_us + (-end_us).rem_euclid(bucket_us);
        if on_grid_us <= by_us {
            self.close(Reason::NoData, on_grid_us);
        }
    }

    /// Ends whatever there is at that instant; nothing is evaluated up to it any more.
    pub(crate) fn close(&mut self, reason: Reason, at_us: i64) {
        match self.phase {
            Phase::Inactive => return,
            Phase::Pending { .. } => self.phase = Phase::Inactive,
            Phase::Firing(_) => self.resolve(reason, at_us, None),
        }
        self.known_us = at_us;
    }

    fn resolve(&mut self, reason: Reason, at_us: i64, reading: Option<Reading>) {
        if let Phase::Firing(firing) = std::mem::replace(&mut self.phase, Phase::Inactive) {
            let now = reading.map(|reading| message::value(self.rule.kind.subject().quantity, reading.value));
            let closing = Closing { rule_id: &self.rule.id, scene: self.scene, reason, at_us };
            let message = closing.message(&firing, now.as_deref());
            let event = self.event(&firing, EventState::Resolved, reason, at_us, reading, message);
            self.events.push(event);
        }
    }

    fn event(
        &self,
        firing: &Firing,
        state: EventState,
        reason: Reason,
        at_us: i64,
        reading: Option<Reading>,
        message: String,
    ) -> Event {
        let subject = self.rule.kind.subject();
        let context = Context {
            coverage: reading.and_then(|reading| reading.coverage),
            clear: Some(subject.clear),
            forecast_hours: reading.and_then(|reading| reading.forecast_hours),
            last_sample: reading.and_then(|reading| reading.last_sample_us).map(message::instant),
            ..Context::new(reason, self.rule.hash.clone())
        };
        let closing = Closing { rule_id: &self.rule.id, scene: self.scene, reason, at_us };
        let value = reading.map(|reading| reading.value);
        Event {
            state,
            ends_at_us: (state == EventState::Resolved).then_some(at_us),
            value,
            message,
            context,
            ..closing.event(firing)
        }
    }
}

/// The end of an alert whose rule may be gone.
pub(crate) struct Closing<'a> {
    pub(crate) rule_id: &'a str,
    pub(crate) scene: Scene<'a>,
    pub(crate) reason: Reason,
    pub(crate) at_us: i64,
}

impl Closing<'_> {
    /// The event of a state that a rule which has changed or gone left behind; none if nothing fired.
    pub(crate) fn of(&self, state: RuleState) -> Option<Event> {
        let Phase::Firing(firing) = state.phase else { return None };
        let message = self.message(&firing, None);
        Some(Event { message, context: Context::new(self.reason, state.hash), ..self.event(&firing) })
    }

    fn event(&self, firing: &Firing) -> Event {
        Event {
            as_of_us: self.at_us,
            host_id: self.scene.host_id.to_owned(),
            rule_id: self.rule_id.to_owned(),
            severity: firing.severity,
            message: String::new(),
            context: Context::new(self.reason, String::new()),
            state: EventState::Resolved,
            starts_at_us: firing.starts_us,
            ends_at_us: Some(self.at_us),
            rule_column: firing.rule_column.clone(),
            value: None,
            threshold: firing.threshold,
            evaluated_at_us: self.scene.evaluated_at_us,
            revision: 0,
        }
    }

    fn message(&self, firing: &Firing, now: Option<&str>) -> String {
        let (rule, host, since) =
            (self.rule_id, self.scene.host_id, message::clock(firing.starts_us, self.at_us));
        let lasted = span::text(self.at_us - firing.starts_us);
        let now = now.map_or_else(String::new, |now| format!(" (now {now})"));
        match self.reason {
            Reason::Fired | Reason::Cleared => {
                format!("{rule} on {host} is over after {lasted}, it began {since}{now}")
            }
            reason => {
                format!("{rule} on {host} is closed after {lasted}, it began {since}: {}", reason.words())
            }
        }
    }
}
