//! Events: what the rows of `ops_host_alerts` are made from, and read back into.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use telemetry_schema::HostAlert;
use telemetry_schema::host_alerts::names;
use thiserror::Error;

use crate::message::date_time;

/// An alert began to fire, or is resolved.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// The end of the bucket that decided, microseconds since 1970, as all instants here.
    pub as_of_us: i64,
    /// The host.
    pub host_id: String,
    /// The rule.
    pub rule_id: String,
    /// How urgent the alert is.
    pub severity: Severity,
    /// What people read.
    pub message: String,
    /// Why, and what the rule looked at.
    pub context: Context,
    /// What happened.
    pub state: EventState,
    /// When the condition began to hold.
    pub starts_at_us: i64,
    /// When it was over; none while firing.
    pub ends_at_us: Option<i64>,
    /// The column that the rule looks at.
    pub rule_column: Option<String>,
    /// What was compared.
    pub value: Option<f64>,
    /// With what.
    pub threshold: Option<f64>,
    /// The time of the run.
    pub evaluated_at_us: i64,
    /// 0; higher where a later evaluation of the same time came to another result.
    pub revision: i32,
}

/// How urgent an alert is, least first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// To be known.
    Info,
    /// To be looked at.
    Warning,
    /// To be acted on.
    Critical,
}

impl Severity {
    /// The word in the rows.
    pub fn as_str(self) -> &'static str {
        match self {
            Severity::Info => "info",
            Severity::Warning => "warning",
            Severity::Critical => "critical",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [Self::Info, Self::Warning, Self::Critical].into_iter().find(|severity| severity.as_str() == text)
    }
}

/// What an event says of its alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum EventState {
    /// It fires from now on.
    Firing,
    /// It is over.
    Resolved,
}

impl EventState {
    /// The word in the rows.
    pub fn as_str(self) -> &'static str {
        match self {
            EventState::Firing => "firing",
            EventState::Resolved => "resolved",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [Self::Firing, Self::Resolved].into_iter().find(|state| state.as_str() == text)
    }
}

/// Why there is an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The condition has held for long enough.
    Fired,
    /// The condition has been over for long enough.
    Cleared,
    /// Nothing usable was known for `expire_after`.
    NoData,
    /// The host has been silent for `known_for`.
    Forgotten,
    /// The rule is another one now; it is evaluated afresh.
    RuleChanged,
    /// The rule is gone, or no longer concerns the host.
    RuleRemoved,
    /// A later evaluation of the same time does not find the alert, or finds another end.
    Reevaluated,
}

impl Reason {
    /// The reason for people.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Reason::Fired => "the condition holds",
            Reason::Cleared => "the condition is over",
            Reason::NoData => "nothing is known of it any more",
            Reason::Forgotten => "the host has been silent for so long that it is given up",
            Reason::RuleChanged => "its rule has changed",
            Reason::RuleRemoved => "its rule is gone or no longer concerns the host",
            Reason::Reevaluated => "a later evaluation does not find it",
        }
    }
}

/// The JSON object in `context_json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Context {
    /// Why there is an event.
    pub reason: Reason,
    /// Tells rules of one identifier apart: 16 hexadecimal digits.
    pub rule_hash: String,
    /// Coverage of the bucket that decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coverage: Option<f64>,
    /// What the value has to come back to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clear: Option<f64>,
    /// Hours until the limit is reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forecast_hours: Option<f64>,
    /// The host's last sample.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_sample: Option<String>,
}

impl Context {
    pub(crate) fn new(reason: Reason, rule_hash: String) -> Self {
        Self { reason, rule_hash, coverage: None, clear: None, forecast_hours: None, last_sample: None }
    }
}

/// A row that no version of this program writes.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("alert row {event_id}: {column} holds no value that an alert can have")]
pub struct EventError {
    /// The row.
    pub event_id: String,
    /// The column.
    pub column: &'static str,
}

impl Event {
    /// Identifies the alert: of the rule, the host and `starts_at`, in hexadecimal.
    pub fn alert_id(&self) -> String {
        identifier(
            "alert",
            &[self.rule_id.as_bytes(), self.host_id.as_bytes(), &self.starts_at_us.to_le_bytes()],
        )
    }

    /// Identifies the event: of the alert, the state, the instant, and the revision unless that is 0.
    pub fn event_id(&self) -> String {
        let (alert_id, as_of) = (self.alert_id(), self.as_of_us.to_le_bytes());
        let fields = [alert_id.as_bytes(), self.state.as_str().as_bytes(), &as_of];
        match self.revision {
            0 => identifier("event", &fields),
            revision => identifier("event", &[&fields[..], &[&revision.to_le_bytes()]].concat()),
        }
    }

    /// The row of the dataset.
    pub fn to_row(&self) -> HostAlert {
        HostAlert {
            as_of: date_time(self.as_of_us),
            host_id: self.host_id.clone(),
            alert_type: Some(self.rule_id.clone()),
            severity: Some(self.severity.as_str().to_owned()),
            message: Some(self.message.clone()),
            context_json: Some(
                serde_json::to_string(&self.context).expect("texts and numbers are always JSON"),
            ),
            event_id: self.event_id(),
            alert_id: Some(self.alert_id()),
            state: Some(self.state.as_str().to_owned()),
            starts_at: Some(date_time(self.starts_at_us)),
            ends_at: self.ends_at_us.map(date_time),
            rule_column: self.rule_column.clone(),
            value: self.value,
            threshold: self.threshold,
            evaluated_at: Some(date_time(self.evaluated_at_us)),
            revision: Some(self.revision),
        }
    }

    /// The event of a row.
    ///
    /// # Errors
    /// [`EventError`] names the column that a row of ours would not have so.
    pub fn from_row(row: &HostAlert) -> Result<Self, EventError> {
        let wrong = |column: &'static str| move || EventError { event_id: row.event_id.clone(), column };
        let text = |cell: &Option<String>, column| cell.clone().ok_or_else(wrong(column));
        let instant = |cell: Option<DateTime<Utc>>, column| {
            cell.map(|at| at.timestamp_micros()).ok_or_else(wrong(column))
        };
        let context = text(&row.context_json, names::context_json)?;
        Ok(Self {
            as_of_us: row.as_of.timestamp_micros(),
            host_id: row.host_id.clone(),
            rule_id: text(&row.alert_type, names::alert_type)?,
            severity: row.severity.as_deref().and_then(Severity::parse).ok_or_else(wrong(names::severity))?,
            message: text(&row.message, names::message)?,
            context: serde_json::from_str(&context).map_err(|_| wrong(names::context_json)())?,
            state: row.state.as_deref().and_then(EventState::parse).ok_or_else(wrong(names::state))?,
            starts_at_us: instant(row.starts_at, names::starts_at)?,
            ends_at_us: row.ends_at.map(|at| at.timestamp_micros()),
            rule_column: row.rule_column.clone(),
            value: row.value,
            threshold: row.threshold,
            evaluated_at_us: instant(row.evaluated_at, names::evaluated_at)?,
            revision: row.revision.ok_or_else(wrong(names::revision))?,
        })
    }
}

/// BLAKE3 over length-prefixed fields, its first 16 bytes in hexadecimal.
fn identifier(what: &str, fields: &[&[u8]]) -> String {
    digest(what, fields).to_hex()[..32].to_owned()
}

pub(crate) fn digest(what: &str, fields: &[&[u8]]) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new();
    for field in [what.as_bytes()].iter().chain(fields) {
        hasher.update(&(field.len() as u64).to_le_bytes());
        hasher.update(field);
    }
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn event() -> Event {
        Event {
            as_of_us: 1_795_262_400_000_000,
            host_id: "pi".into(),
            rule_id: "cpu-hot".into(),
            severity: Severity::Warning,
            message: "CPU of pi at 81 °C".into(),
            context: Context {
                coverage: Some(0.5),
                ..Context::new(Reason::Fired, "0123456789abcdef".into())
            },
            state: EventState::Firing,
            starts_at_us: 1_795_261_800_000_000,
            ends_at_us: None,
            rule_column: Some("cpu_temp_c_max".into()),
            value: Some(81.0),
            threshold: Some(80.0),
            evaluated_at_us: 1_795_263_000_000_000,
            revision: 0,
        }
    }

    /// Rows of all versions are compared by these: they must never change.
    #[test]
    fn identifiers_are_those_of_the_contract() {
        let mut event = event();
        assert_eq!(event.alert_id(), "cbb36c1db2dcb1ffe349483481bb52af");
        assert_eq!(event.event_id(), "ee604b168178b772ee00b4bccfa8287d");
        event.revision = 1;
        assert_eq!(event.event_id(), "40175add275e7679a78b470ad2dac0f5");
    }

    #[test]
    fn identifiers_depend_on_what_they_are_about_and_on_nothing_else() {
        let ids = |change: fn(&mut Event)| {
            let mut event = event();
            change(&mut event);
            (event.alert_id(), event.event_id())
        };
        let same = ids(|_| {});
        assert_eq!(ids(|event| event.evaluated_at_us += 1), same);
        assert_eq!(ids(|event| event.message.clear()), same);
        for change in [
            (|event| event.host_id = "nas".into()) as fn(&mut Event),
            |event| event.rule_id = "cpu-warm".into(),
            |event| event.starts_at_us += 1,
            |event| (event.rule_id, event.host_id) = ("cpu-ho".into(), "tpi".into()),
        ] {
            assert!(ids(change).0 != same.0 && ids(change).1 != same.1);
        }
        for change in [
            (|event| event.as_of_us += 1) as fn(&mut Event),
            |event| event.state = EventState::Resolved,
            |event| event.revision = 2,
        ] {
            assert!(ids(change).0 == same.0 && ids(change).1 != same.1);
        }
    }

    #[test]
    fn rows_are_read_as_they_were_written() {
        let event = event();
        let row = event.to_row();
        assert_eq!(Event::from_row(&row).unwrap(), event);
        let mut foreign = row.clone();
        foreign.state = Some("pending".into());
        assert_eq!(Event::from_row(&foreign).unwrap_err().column, names::state);
        let foreign = HostAlert { context_json: Some("{}".into()), ..row };
        assert!(Event::from_row(&foreign).unwrap_err().to_string().contains("context_json holds no value"));
    }
}
