//! Gold: what the alert rules say of a host, as events.
//!
//! `reason`, `rule_hash` and what else explains an event stand in `context_json`: nobody joins on them.
//! `revision` is a column, since every question about the present needs it to pick the valid row.

use chrono::{DateTime, Utc};

use crate::Rule::{Any, AtLeast, HostId, Instant};
use crate::Source::Alert;

crate::table::dataset! {
    /// One row per alert that began to fire or was resolved, append-only. The row of an alert that is valid is the one of the highest `revision`, then the latest `as_of`, then `resolved`.
    HostAlert, HOST_ALERTS = "ops_host_alerts", Gold, version 1;

    /// When it happened: the end of the bucket that decided.
    as_of: DateTime<Utc>, Key, Label, None, Instant, Alert;
    /// The host.
    host_id: String, Key, Label, None, HostId, Alert;
    /// Identifier of the rule, as `cpu-hot`.
    alert_type: String, Required, Label, None, Any, Alert;
    /// `info`, `warning` or `critical`.
    severity: String, Required, Label, None, Any, Alert;
    /// What, where, how bad, since when, and the first thing to do.
    message: String, Required, Label, None, Any, Alert;
    /// A JSON object: `reason` of the event, `rule_hash`, and what the rule looked at.
    context_json: String, Required, Label, None, Any, Alert;
    /// Identifier of the event: a hash of `alert_id`, `state`, `as_of`, and of `revision` unless 0.
    event_id: String, Key, Label, None, Any, Alert;
    /// Identifier of the alert: a hash of the rule, the host and `starts_at`.
    alert_id: String, Required, Label, None, Any, Alert;
    /// `firing` or `resolved`.
    state: String, Required, Label, None, Any, Alert;
    /// When the condition began to hold: the end of the first bucket with it.
    starts_at: DateTime<Utc>, Required, Label, None, Instant, Alert;
    /// When it was over; null while firing.
    ends_at: DateTime<Utc>, Optional, Label, None, Instant, Alert;
    /// The Gold column that the rule looks at; null where it looks at none.
    rule_column: String, Optional, Label, None, Any, Alert;
    /// What the rule compared, in the unit of the column (a share of 1 where it divides by another, seconds of silence where it has none); null where the event has no value.
    value: f64, Optional, Gauge, None, Any, Alert;
    /// What it was compared with.
    threshold: f64, Optional, Gauge, None, Any, Alert;
    /// The time of the run.
    evaluated_at: DateTime<Utc>, Required, Label, None, Instant, Alert;
    /// 0; higher where a later evaluation of the same time came to another result.
    revision: i32, Required, Gauge, Count, AtLeast(0), Alert;
}
