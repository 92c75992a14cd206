//! Alerts in the shape that Prometheus' Alertmanager takes at `POST /api/v2/alerts`.

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::event::{Event, EventState};
use crate::message::date_time;

/// One alert; the body is a list of them.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PostableAlert {
    /// What identifies the alert.
    pub labels: Labels,
    /// What people read.
    pub annotations: Annotations,
    /// When the condition began to hold.
    pub starts_at: DateTime<Utc>,
    /// When it was over; in the future while it fires.
    pub ends_at: DateTime<Utc>,
    /// Where to look.
    #[serde(rename = "generatorURL", skip_serializing_if = "Option::is_none")]
    pub generator_url: Option<String>,
}

/// The labels, by which Alertmanager knows an alert again and routes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Labels {
    /// The rule.
    pub alertname: String,
    /// The host.
    pub host: String,
    /// `info`, `warning` or `critical`.
    pub severity: &'static str,
}

/// The annotations.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Annotations {
    /// The message.
    pub summary: String,
    /// Value, threshold and column.
    pub description: String,
}

impl PostableAlert {
    /// The alert of an event. Alertmanager takes an alert that fires for over at `valid_until` unless it
    /// is told again.
    pub fn new(event: &Event, valid_until: DateTime<Utc>, generator_url: Option<String>) -> Self {
        let ends_at = match event.state {
            EventState::Firing => valid_until,
            EventState::Resolved => date_time(event.ends_at_us.unwrap_or(event.as_of_us)),
        };
        let number =
            |value: Option<f64>| value.map_or_else(|| "unknown".to_owned(), |value| value.to_string());
        let description = format!(
            "{}: value {}, threshold {}",
            event.rule_column.as_deref().unwrap_or("seconds without samples"),
            number(event.value),
            number(event.threshold),
        );
        Self {
            labels: Labels {
                alertname: event.rule_id.clone(),
                host: event.host_id.clone(),
                severity: event.severity.as_str(),
            },
            annotations: Annotations { summary: event.message.clone(), description },
            starts_at: date_time(event.starts_at_us),
            ends_at,
            generator_url,
        }
    }
}
