//! What the event rows say as a whole: which alerts there were, and which there are.

use std::collections::BTreeMap;

use crate::event::{Event, EventState, Reason};

/// An alert, as its valid events tell it. Instants are microseconds since 1970.
#[derive(Debug, Clone, PartialEq)]
pub struct Alert {
    /// Identifier.
    pub alert_id: String,
    /// The rule.
    pub rule_id: String,
    /// The host.
    pub host_id: String,
    /// When the condition began to hold.
    pub starts_at_us: i64,
    /// When it fired.
    pub fired_at_us: i64,
    /// When it was over; none while it fires.
    pub ends_at_us: Option<i64>,
    /// The event that counts: of the highest revision, the last.
    pub last: Event,
    firing: Option<Event>,
}

impl Alert {
    /// Whether the alert fires.
    pub fn is_open(&self) -> bool {
        self.ends_at_us.is_none()
    }

    /// Whether the alert fires after that instant has been evaluated.
    pub fn is_open_at(&self, instant_us: i64) -> bool {
        self.fired_at_us <= instant_us && self.ends_at_us.is_none_or(|end_us| end_us > instant_us)
    }

    /// An alert that a later evaluation did not find ends as it fires.
    fn is_withdrawn(&self) -> bool {
        self.ends_at_us == Some(self.fired_at_us) && self.last.context.reason == Reason::Reevaluated
    }
}

/// The alerts of these events, which may come in any order and more than once, by the time at which
/// they fired.
pub fn alerts(events: impl IntoIterator<Item = Event>) -> Vec<Alert> {
    let mut by_alert: BTreeMap<String, Vec<Event>> = BTreeMap::new();
    for event in events {
        by_alert.entry(event.alert_id()).or_default().push(event);
    }
    let mut alerts: Vec<Alert> =
        by_alert.into_iter().filter_map(|(alert_id, events)| alert(alert_id, events)).collect();
    alerts.sort_by(|a, b| {
        (a.fired_at_us, &a.host_id, &a.rule_id).cmp(&(b.fired_at_us, &b.host_id, &b.rule_id))
    });
    alerts
}

fn alert(alert_id: String, mut events: Vec<Event>) -> Option<Alert> {
    events.sort_by_key(|event| (event.revision, event.as_of_us, event.state));
    let firing = events.iter().rfind(|event| event.state == EventState::Firing).cloned();
    let last = events.pop()?;
    Some(Alert {
        alert_id,
        rule_id: last.rule_id.clone(),
        host_id: last.host_id.clone(),
        starts_at_us: last.starts_at_us,
        // Its first row may have expired.
        fired_at_us: firing.as_ref().map_or(last.starts_at_us, |firing| firing.as_of_us),
        ends_at_us: last.ends_at_us,
        last,
        firing,
    })
}

/// The events to append so that the rows say what a later evaluation of everything after `from_us` up
/// to the present has found. `found` are its events; nothing is appended for alerts that it finds as
/// they are known.
pub fn revised(known: &[Alert], found: Vec<Event>, from_us: i64, evaluated_at_us: i64) -> Vec<Event> {
    let mut found_by_alert: BTreeMap<String, Vec<Event>> = BTreeMap::new();
    for event in found {
        found_by_alert.entry(event.alert_id()).or_default().push(event);
    }
    let mut events = Vec::new();
    for alert in known {
        let found = found_by_alert.remove(&alert.alert_id).unwrap_or_default();
        let is_concerned = alert.fired_at_us > from_us || alert.is_open_at(from_us);
        if is_concerned {
            events.extend(revise(alert, found, from_us, evaluated_at_us));
        }
    }
    events.extend(found_by_alert.into_values().flatten());
    events.sort_by_cached_key(|event| {
        (event.as_of_us, event.host_id.clone(), event.rule_id.clone(), event.state)
    });
    events
}

fn revise(alert: &Alert, found: Vec<Event>, from_us: i64, evaluated_at_us: i64) -> Vec<Event> {
    let found_firing = found.iter().find(|event| event.state == EventState::Firing);
    let found_end_us = found.iter().find_map(|event| event.ends_at_us);
    let fired_at_us = match found_firing {
        Some(event) => Some(event.as_of_us),
        None if alert.is_open_at(from_us) => Some(alert.fired_at_us),
        None => None,
    };
    let revision = alert.last.revision + 1;
    let Some(fired_at_us) = fired_at_us else {
        if alert.is_withdrawn() {
            return Vec::new();
        }
        let mut context = alert.last.context.clone();
        context.reason = Reason::Reevaluated;
        let message =
            format!("{} on {} is withdrawn: {}", alert.rule_id, alert.host_id, Reason::Reevaluated.words());
        return vec![Event {
            as_of_us: alert.fired_at_us,
            state: EventState::Resolved,
            ends_at_us: Some(alert.fired_at_us),
            message,
            context,
            evaluated_at_us,
            revision,
            ..alert.last.clone()
        }];
    };
    let is_as_known =
        !alert.is_withdrawn() && (fired_at_us, found_end_us) == (alert.fired_at_us, alert.ends_at_us);
    if is_as_known {
        return Vec::new();
    }
    let restated =
        found.iter().all(|event| event.state != EventState::Firing).then(|| alert.firing.clone()).flatten();
    let all = restated.into_iter().chain(found);
    all.map(|event| {
        let mut context = event.context.clone();
        context.reason = Reason::Reevaluated;
        Event { context, revision, evaluated_at_us, ..event }
    })
    .collect()
}
