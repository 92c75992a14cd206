//! Events that are valid, taken back and told anew; and what Alertmanager is sent.
#![allow(clippy::unwrap_used)]

use chrono::DateTime;
use telemetry_alert_rules::alertmanager::PostableAlert;
use telemetry_alert_rules::{Event, EventState, Reason, alerts, revised};
use telemetry_schema::{HostAlert, Row, Value};

const MINUTE_US: i64 = 60_000_000;

/// An event of an alert that began at minute `starts`.
fn event(host: &str, starts: i64, state: EventState, at: i64) -> Event {
    let values = vec![Value::Null; HostAlert::DATASET.columns.len()];
    let mut values: Vec<Value<'_>> = values;
    values[0] = Value::TimestampUs(at * MINUTE_US);
    values[1] = Value::String(host.to_owned().into());
    values[6] = Value::String("".into());
    let mut row = HostAlert::from_values(&values).unwrap();
    row.alert_type = Some("cpu-hot".into());
    row.severity = Some("warning".into());
    row.message = Some("hot".into());
    row.context_json = Some(r#"{"reason":"fired","rule_hash":"00"}"#.into());
    row.state = Some(state.as_str().into());
    row.starts_at = DateTime::from_timestamp_micros(starts * MINUTE_US);
    row.ends_at = (state == EventState::Resolved).then_some(row.as_of);
    row.value = Some(81.5);
    row.threshold = Some(80.0);
    row.rule_column = Some("cpu_temp_c_max".into());
    row.evaluated_at = Some(row.as_of);
    row.revision = Some(0);
    Event::from_row(&row).unwrap()
}

fn firing(starts: i64, at: i64) -> Event {
    event("pi", starts, EventState::Firing, at)
}

fn resolved(starts: i64, at: i64) -> Event {
    event("pi", starts, EventState::Resolved, at)
}

/// What each alert of the events is, as (start, fired, end) in minutes.
fn story(events: &[Event]) -> Vec<(i64, i64, Option<i64>)> {
    let minutes = |us: i64| us / MINUTE_US;
    let of = |alert: telemetry_alert_rules::Alert| {
        (minutes(alert.starts_at_us), minutes(alert.fired_at_us), alert.ends_at_us.map(minutes))
    };
    alerts(events.iter().cloned()).into_iter().map(of).collect()
}

/// The rows after a later evaluation of everything after the minute `from`, and how many were added.
#[track_caller]
fn check(known: &[Event], from: i64, found: &[Event], expected: &[(i64, i64, Option<i64>)], added: usize) {
    let from_us = from * MINUTE_US;
    let changes = revised(&alerts(known.iter().cloned()), found.to_vec(), from_us, 99);
    assert_eq!(changes.len(), added, "{changes:#?}");
    let all: Vec<Event> = known.iter().chain(&changes).cloned().collect();
    assert_eq!(story(&all), expected);
    assert!(revised(&alerts(all), found.to_vec(), from_us, 99).is_empty(), "a second time adds rows");
}

#[test]
fn the_last_event_of_the_highest_revision_counts() {
    assert_eq!(story(&[resolved(10, 30), firing(10, 20), firing(10, 20)]), [(10, 20, Some(30))]);
    assert_eq!(story(&[firing(10, 20)]), [(10, 20, None)]);
    let again = Event { revision: 1, ..firing(10, 20) };
    assert_eq!(story(&[firing(10, 20), resolved(10, 30), again]), [(10, 20, None)]);
    // Its rule was removed in the very bucket in which it fired.
    assert_eq!(story(&[resolved(10, 10), firing(10, 10)]), [(10, 10, Some(10))]);
    assert_eq!(story(&[resolved(10, 30)]), [(10, 10, Some(30))], "its first row has expired");
}

#[test]
fn a_later_evaluation_adds_only_what_differs() {
    let known = [firing(10, 20), resolved(10, 30)];
    check(&known, 0, &known, &[(10, 20, Some(30))], 0);
    check(&known, 40, &[], &[(10, 20, Some(30))], 0);
    check(&known, 0, &[firing(10, 20), resolved(10, 35)], &[(10, 20, Some(35))], 2);
    check(&known, 0, &[firing(10, 20)], &[(10, 20, None)], 1);
    check(&known, 0, &[firing(10, 25), resolved(10, 30)], &[(10, 25, Some(30))], 2);
    check(&known, 0, &[], &[(10, 20, Some(20))], 1);
    check(&known, 0, &[firing(15, 25)], &[(10, 20, Some(20)), (15, 25, None)], 2);
}

#[test]
fn an_alert_that_fired_before_the_range_keeps_its_beginning() {
    check(&[firing(10, 20)], 25, &[resolved(10, 30)], &[(10, 20, Some(30))], 2);
    check(&[firing(10, 20), resolved(10, 30)], 25, &[resolved(10, 30)], &[(10, 20, Some(30))], 0);
    check(&[firing(10, 20), resolved(10, 30)], 25, &[], &[(10, 20, None)], 1);
}

#[test]
fn what_was_withdrawn_can_come_back() {
    let known = [firing(10, 20)];
    let withdrawn = revised(&alerts(known.clone()), Vec::new(), 0, 99);
    assert_eq!(withdrawn[0].context.reason, Reason::Reevaluated);
    let all: Vec<Event> = known.iter().chain(&withdrawn).cloned().collect();
    check(&all, 0, &known, &[(10, 20, None)], 1);
}

#[test]
fn alertmanager_is_sent_its_own_shape() {
    let until = DateTime::from_timestamp(3_600, 0).unwrap();
    let sent = |event: &Event| serde_json::to_value(PostableAlert::new(event, until, None)).unwrap();
    assert_eq!(
        sent(&firing(10, 20)),
        serde_json::json!({
            "labels": { "alertname": "cpu-hot", "host": "pi", "severity": "warning" },
            "annotations": { "summary": "hot", "description": "cpu_temp_c_max: value 81.5, threshold 80" },
            "startsAt": "1970-01-01T00:10:00Z",
            "endsAt": "1970-01-01T01:00:00Z",
        })
    );
    assert_eq!(sent(&resolved(10, 30))["endsAt"], "1970-01-01T00:30:00Z");
    let linked = PostableAlert::new(&firing(10, 20), until, Some("http://grafana".into()));
    assert_eq!(serde_json::to_value(linked).unwrap()["generatorURL"], "http://grafana");
}
