//! What an evaluation leaves to the next.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::history::Alert;
use crate::machine::{Firing, Phase, RuleState};

/// The state of all rules on all hosts. A cache: what it holds can be had again from the event rows
/// and the buckets since ([`AlertState::align`]).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AlertState {
    /// The instant up to which everything was evaluated, microseconds since 1970.
    pub(crate) horizon_us: i64,
    pub(crate) hosts: BTreeMap<String, HostState>,
}

/// One host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct HostState {
    /// End of the last bucket that was evaluated.
    pub(crate) done_us: i64,
    pub(crate) last_sample_us: i64,
    /// Rules with something to remember.
    pub(crate) rules: BTreeMap<String, RuleState>,
}

impl HostState {
    /// Whether any alert of the host fires.
    pub(crate) fn is_open(&self) -> bool {
        self.rules.values().any(|state| matches!(state.phase, Phase::Firing(_)))
    }
}

impl Default for AlertState {
    fn default() -> Self {
        Self::before(i64::MIN)
    }
}

impl AlertState {
    /// Nothing is known, and nothing up to the instant is to be evaluated.
    pub fn before(instant_us: i64) -> Self {
        Self { horizon_us: instant_us, hosts: BTreeMap::new() }
    }

    /// The instant up to which everything was evaluated.
    pub fn horizon_us(&self) -> i64 {
        self.horizon_us
    }

    /// End of the last bucket of the host that was evaluated.
    pub fn done_us(&self, host_id: &str) -> Option<i64> {
        self.hosts.get(host_id).map(|host| host.done_us)
    }

    /// What fires, as (rule, host).
    pub fn firing(&self) -> impl Iterator<Item = (&str, &str)> {
        let is_firing = |state: &RuleState| matches!(state.phase, Phase::Firing(_));
        self.hosts.iter().flat_map(move |(host_id, host)| {
            let firing = host.rules.iter().filter(move |(_, state)| is_firing(state));
            firing.map(move |(rule_id, _)| (rule_id.as_str(), host_id.as_str()))
        })
    }

    /// Makes the state one that follows from the event rows: fires exactly what fired at its horizon.
    /// What is pending, and since when alerts recover, stays as it was evaluated.
    pub fn align(&mut self, alerts: &[Alert]) {
        let at_us = self.horizon_us;
        for (host_id, host) in &mut self.hosts {
            for (rule_id, state) in &mut host.rules {
                let is_known = |alert: &&Alert| alert.host_id == *host_id && alert.rule_id == *rule_id;
                let known = alerts.iter().filter(is_known).find(|alert| alert.is_open_at(at_us));
                if known.is_none() && matches!(state.phase, Phase::Firing(_)) {
                    state.phase = Phase::Inactive;
                }
            }
        }
        for alert in alerts.iter().filter(|alert| alert.is_open_at(at_us)) {
            let host = self.hosts.entry(alert.host_id.clone()).or_insert_with(|| HostState {
                done_us: at_us,
                last_sample_us: alert.fired_at_us,
                rules: BTreeMap::new(),
            });
            let before = host.rules.remove(&alert.rule_id);
            let (recovers_us, known_us) = match &before {
                Some(RuleState { phase: Phase::Firing(firing), known_us, .. }) => {
                    (firing.recovers_us, *known_us)
                }
                _ => (None, alert.fired_at_us),
            };
            let firing = Firing {
                starts_us: alert.starts_at_us,
                severity: alert.last.severity,
                rule_column: alert.last.rule_column.clone(),
                threshold: alert.last.threshold,
                recovers_us,
            };
            let state = RuleState {
                hash: alert.last.context.rule_hash.clone(),
                phase: Phase::Firing(firing),
                known_us,
            };
            host.rules.insert(alert.rule_id.clone(), state);
        }
    }
}
