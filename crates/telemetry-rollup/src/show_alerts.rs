//! Alerts on standard output: as a table, as rows, or for Alertmanager.

use chrono::{DateTime, NaiveDate, SecondsFormat, TimeDelta, Utc};
use telemetry_alert_rules::alertmanager::PostableAlert;
use telemetry_alert_rules::{Alert, Event, RuleSet, Severity, alerts};
use telemetry_app::{Exit, new_table, print_json, print_text};
use telemetry_schema::host_alerts::names;

use crate::alerts::Alerts;
use crate::args::{AlertFlags, AlertFormat, DateRange, SeverityFlag};
use crate::silver::start_of;

/// Alertmanager is told of what ended no longer ago than this, so that it need not wait.
const ENDED_LATELY: TimeDelta = TimeDelta::hours(1);
/// An alert counts as over in Alertmanager if it is not told again for so many buckets.
const VALID_BUCKETS: i64 = 4;
/// `--since` of a caller who has seen no event yet.
const NO_EVENT: &str = "none";

/// Shows what fires, or what the flags ask for.
pub(crate) fn alerts_of(job: &Alerts<'_>, flags: &AlertFlags, range: &DateRange) -> anyhow::Result<Exit> {
    let events = job.events(|_| true)?;
    let all = alerts(events.iter().cloned());
    let shown: Vec<Event> = match (&flags.since, flags.history) {
        (Some(since), _) => events_since(events, since)?,
        (None, true) => valid(all.iter().filter(|alert| is_within(alert, range))),
        (None, false) if flags.format == AlertFormat::Alertmanager => {
            let lately_us = (job.now - ENDED_LATELY).timestamp_micros();
            valid(all.iter().filter(|alert| alert.is_open() || alert.last.evaluated_at_us >= lately_us))
        }
        (None, false) => valid(all.iter().filter(|alert| alert.is_open())),
    };
    print(&shown, job.rules, job.now, flags.format)?;
    let is_alarming = |alert: &Alert| {
        alert.is_open() && flags.fail_on.is_some_and(|least| alert.last.severity >= severity(least))
    };
    Ok(if all.iter().any(is_alarming) { Exit::Alert } else { job.exit() })
}

/// Shows what the rules would have found from the first date of the range (a week ago) on.
pub(crate) fn rehearsal(job: &Alerts<'_>, range: &DateRange, format: AlertFormat) -> anyhow::Result<()> {
    let from = range.from.unwrap_or((job.now - TimeDelta::days(7)).date_naive());
    let to_us =
        range.to.and_then(|date| date.succ_opt()).map_or(i64::MAX, |date| start_of(date).timestamp_micros());
    let events = job.rehearse(start_of(from).timestamp_micros(), to_us)?;
    if format == AlertFormat::Table {
        let number = job.rules.rules().len();
        print_text(&format!("{number} rules are in order. What they would have found since {from}:\n\n"))?;
    }
    print(&valid(alerts(events).iter()), job.rules, job.now, format)
}

/// The event of each alert that is valid.
fn valid<'a>(alerts: impl Iterator<Item = &'a Alert>) -> Vec<Event> {
    alerts.map(|alert| alert.last.clone()).collect()
}

/// Whether an alert fires at any time of the range, both dates included.
fn is_within(alert: &Alert, range: &DateRange) -> bool {
    let start_us = |date: NaiveDate| start_of(date).timestamp_micros();
    let begins_in_time =
        range.to.and_then(|date| date.succ_opt()).is_none_or(|end| alert.starts_at_us < start_us(end));
    let ends_late_enough =
        range.from.is_none_or(|from| alert.ends_at_us.is_none_or(|end_us| end_us >= start_us(from)));
    begins_in_time && ends_late_enough
}

/// The events after one, in the order in which they were appended.
fn events_since(mut events: Vec<Event>, since: &str) -> anyhow::Result<Vec<Event>> {
    events.sort_by_cached_key(|event| (event.evaluated_at_us, event.as_of_us, event.event_id()));
    events.dedup_by_key(|event| event.event_id());
    if since == NO_EVENT {
        return Ok(events);
    }
    match events.iter().position(|event| event.event_id() == since) {
        Some(position) => Ok(events.split_off(position + 1)),
        None => anyhow::bail!(
            "there is no event {since} in the lake, expected an {} of `alerts --format json`, or `{NO_EVENT}`",
            names::event_id
        ),
    }
}

fn print(events: &[Event], rules: &RuleSet, now: DateTime<Utc>, format: AlertFormat) -> anyhow::Result<()> {
    match format {
        AlertFormat::Json => print_json(&events.iter().map(Event::to_row).collect::<Vec<_>>()),
        AlertFormat::Alertmanager => {
            let valid_until = now + TimeDelta::microseconds(VALID_BUCKETS * rules.bucket_us());
            let alerts: Vec<PostableAlert> =
                events.iter().map(|event| PostableAlert::new(event, valid_until, None)).collect();
            print_text(&format!("{}\n", serde_json::to_string_pretty(&alerts)?))
        }
        AlertFormat::Table if events.is_empty() => print_text("no alerts\n"),
        AlertFormat::Table => {
            let mut table = new_table(["severity", "host", "rule", "since", "until", "message"]);
            for event in events {
                let until = event.ends_at_us.map_or_else(|| "fires".to_owned(), time);
                table.add_row([
                    event.severity.as_str(),
                    &event.host_id,
                    &event.rule_id,
                    &time(event.starts_at_us),
                    &until,
                    &event.message,
                ]);
            }
            print_text(&format!("{}\n", table.trim_fmt()))
        }
    }
}

fn time(us: i64) -> String {
    DateTime::from_timestamp_micros(us)
        .map_or_else(|| us.to_string(), |at| at.to_rfc3339_opts(SecondsFormat::Secs, true))
}

fn severity(flag: SeverityFlag) -> Severity {
    match flag {
        SeverityFlag::Info => Severity::Info,
        SeverityFlag::Warning => Severity::Warning,
        SeverityFlag::Critical => Severity::Critical,
    }
}
