//! An evaluation: all rules over the new buckets of all hosts.

use std::collections::BTreeMap;

use telemetry_schema::{HostBuckets, MICROS_PER_DAY};

use crate::event::{Event, Reason};
use crate::kind::Walk;
use crate::machine::{Closing, Machine, RuleState, Scene};
use crate::rule_set::RuleSet;
use crate::state::{AlertState, HostState};
use crate::ticks::{HostTicks, TicksError};

/// How far back a run evaluates the buckets of a host that it does not know. What is older when it
/// comes is history, and evaluated only on demand.
pub const LOOK_BACK_US: i64 = 7 * MICROS_PER_DAY;

/// The time that an evaluation is about, in microseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Period {
    /// Buckets of unknown hosts count from here on (exclusive).
    pub from_us: i64,
    /// The instant up to which every bucket is final, a multiple of the bucket's width.
    pub horizon_us: i64,
    /// The time of the run, for `evaluated_at`; decides nothing.
    pub evaluated_at_us: i64,
}

impl Period {
    /// What a run evaluates: everything since the last, and [`LOOK_BACK_US`] of hosts that are new.
    pub fn until(horizon_us: i64, evaluated_at_us: i64) -> Self {
        Self { from_us: horizon_us - LOOK_BACK_US, horizon_us, evaluated_at_us }
    }

    /// What a run at that time evaluates, where a bucket is final `grace_us` (microseconds) after its
    /// end.
    pub fn of_run(rules: &RuleSet, now_us: i64, grace_us: i64) -> Self {
        let ended_us = now_us - grace_us;
        Self::until(ended_us - ended_us.rem_euclid(rules.bucket_us()), now_us)
    }
}

/// Evaluates all rules over the final buckets of these hosts, each of which is there once, going on from a
/// state; gives back what happened, in time order, and the state to go on from. Hosts that are not among
/// them count as silent.
///
/// Buckets have the columns of [`RuleSet::columns`], in that order. Those that were evaluated before may be
/// among them: rules that look back need those of [`RuleSet::lookback_us`] before the first new one.
///
/// # Errors
/// [`TicksError`] if the buckets of a host have lists of different lengths, or are not in time order.
pub fn evaluate<'h>(
    rules: &RuleSet,
    state: AlertState,
    period: Period,
    hosts: impl IntoIterator<Item = (&'h str, &'h HostBuckets)>,
) -> Result<(Vec<Event>, AlertState), TicksError> {
    let mut evaluation = Evaluation::new(rules, state, period);
    for (host_id, buckets) in hosts {
        evaluation.host(&HostTicks::new(host_id, buckets)?);
    }
    Ok(evaluation.finish())
}

/// An evaluation at work. Each host is given once, in any order.
struct Evaluation<'a> {
    rules: &'a RuleSet,
    period: Period,
    /// The horizon of the evaluation before.
    done_us: i64,
    /// Hosts that were not given yet.
    before: BTreeMap<String, HostState>,
    after: BTreeMap<String, HostState>,
    events: Vec<Event>,
}

impl<'a> Evaluation<'a> {
    fn new(rules: &'a RuleSet, state: AlertState, period: Period) -> Self {
        let done_us = state.horizon_us;
        let period = Period { horizon_us: period.horizon_us.max(done_us), ..period };
        Self { rules, period, done_us, before: state.hosts, after: BTreeMap::new(), events: Vec::new() }
    }

    /// Evaluates all rules on a host.
    fn host(&mut self, ticks: &HostTicks<'_>) {
        let known = self.before.remove(ticks.host_id);
        let done_us = known.as_ref().map_or(self.period.from_us.max(i64::MIN + 1), |host| host.done_us);
        let first = ticks.after(done_us);
        let end = ticks.after(self.period.horizon_us).max(first);
        if known.is_none() && first == end {
            return;
        }
        // Silence is counted from what was known of the host, or else from its first bucket.
        let (grid_done_us, last_sample_us, mut states) = match known {
            Some(host) => (self.done_us, host.last_sample_us, host.rules),
            None => (ticks.ends_us[first], ticks.last_samples_us[first], BTreeMap::new()),
        };
        let walk = Walk { first, end, grid_done_us, horizon_us: self.period.horizon_us, last_sample_us };
        let done_us = if first < end { ticks.ends_us[end - 1] } else { done_us };
        let mut kept = BTreeMap::new();
        for rule in self.rules.rules().iter().filter(|rule| rule.hosts.contains(ticks.host_id)) {
            let mut state = states.remove(&rule.id);
            if state.as_ref().is_some_and(|state| state.hash != rule.hash) {
                self.close(ticks.host_id, &rule.id, state.take(), Reason::RuleChanged);
            }
            let scene = self.scene(ticks.host_id);
            let mut machine = Machine::new(rule, scene, state, &mut self.events);
            rule.kind.walk(rule, ticks, walk, &mut machine);
            kept.extend(machine.into_state(done_us).map(|state| (rule.id.clone(), state)));
        }
        for (rule_id, state) in states {
            self.close(ticks.host_id, &rule_id, Some(state), Reason::RuleRemoved);
        }
        let last_samples = &ticks.last_samples_us[..end];
        let last_sample_us = last_samples.iter().copied().max().unwrap_or(last_sample_us).max(last_sample_us);
        self.after.insert(ticks.host_id.to_owned(), HostState { done_us, last_sample_us, rules: kept });
    }

    fn scene<'h>(&self, host_id: &'h str) -> Scene<'h> {
        Scene { host_id, bucket_us: self.rules.bucket_us(), evaluated_at_us: self.period.evaluated_at_us }
    }

    /// Ends what a rule that is not there any more has left.
    fn close(&mut self, host_id: &str, rule_id: &str, state: Option<RuleState>, reason: Reason) {
        let Some(state) = state else { return };
        let closing = Closing { rule_id, scene: self.scene(host_id), reason, at_us: state.known_us };
        self.events.extend(closing.of(state));
    }

    /// Evaluates the hosts that were not given, as there is nothing new of them, and gives back what
    /// happened, in time order, and the state to go on from.
    fn finish(mut self) -> (Vec<Event>, AlertState) {
        for host_id in self.before.keys().cloned().collect::<Vec<_>>() {
            self.host(&HostTicks::none(&host_id));
        }
        let Self { period: Period { horizon_us, .. }, mut after, mut events, .. } = self;
        let memory_us = LOOK_BACK_US.max(self.rules.memory_us());
        after.retain(|_, host| host.is_open() || horizon_us - host.last_sample_us < memory_us);
        let order =
            |event: &Event| (event.as_of_us, event.host_id.clone(), event.rule_id.clone(), event.state);
        events.sort_by_cached_key(order);
        (events, AlertState { horizon_us, hosts: after })
    }
}
