//! Whether collector and rollup do their work, and what the alert rules say.

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use telemetry_repository::{Holder, LockState};

use super::facts::{Facts, LakeFacts};
use super::finding::{Finding, look_at_schedule, span};
use super::samples::is_overdue;

const COLLECTOR: &str = "collector";
const ROLLUP: &str = "rollup";
const ALERTS: &str = "alerts";
/// Samples older than this are in Gold, where a rollup is scheduled.
const ROLLUP_DELAY: TimeDelta = TimeDelta::minutes(30);
/// What was built longer ago than this has been evaluated.
const EVALUATION_DELAY: TimeDelta = TimeDelta::hours(1);
/// A rollup that works longer hangs, or builds years.
const LONG_ROLLUP: TimeDelta = TimeDelta::hours(1);

pub(super) fn findings(facts: &Facts, lake: &LakeFacts) -> Vec<Finding> {
    let mut findings = vec![collector(facts, lake)];
    findings.extend(rollup_lock(facts, lake));
    if facts.configuration.is_enabled {
        findings.extend(gold(facts, lake));
        findings.extend(evaluation(facts, lake));
    }
    findings.extend(firing(facts, lake));
    findings
}

fn collector(facts: &Facts, lake: &LakeFacts) -> Finding {
    match &lake.collector {
        LockState::Free => Finding::ok(COLLECTOR, "not at work now"),
        LockState::Held(Some(holder)) if is_silent(facts, lake, holder) => Finding::problem(
            COLLECTOR,
            format!("{} has the lock, but publishes nothing", named(holder)),
            format!("kill {}; the next run takes its place", holder.pid),
        ),
        LockState::Held(holder) => Finding::ok(COLLECTOR, at_work(holder.as_ref())),
    }
}

/// A holder that has just begun has nothing to show yet.
fn is_silent(facts: &Facts, lake: &LakeFacts, holder: &Holder) -> bool {
    const FIRST_MINUTES: TimeDelta = TimeDelta::minutes(10);
    facts.now - holder.since > FIRST_MINUTES
        && lake.samples.as_ref().is_some_and(|samples| is_overdue(facts, samples))
}

fn rollup_lock(facts: &Facts, lake: &LakeFacts) -> Option<Finding> {
    match &lake.rollup {
        LockState::Free => None,
        LockState::Held(Some(holder)) if facts.now - holder.since > LONG_ROLLUP => Some(Finding::warning(
            ROLLUP,
            format!("{} has been at work for {}", named(holder), span(facts.now - holder.since)),
            format!("ps -o pid,etime,time,stat,args -p {}; if it hangs: kill {}", holder.pid, holder.pid),
        )),
        LockState::Held(holder) => Some(Finding::ok(ROLLUP, at_work(holder.as_ref()))),
    }
}

fn at_work(holder: Option<&Holder>) -> String {
    let who = holder.map_or_else(|| "a process that cannot be seen from here".to_owned(), named);
    format!("{who} is at work")
}

fn named(holder: &Holder) -> String {
    let since = time(holder.since);
    format!("process {} since {since} ({})", holder.pid, holder.command)
}

fn gold(facts: &Facts, lake: &LakeFacts) -> Option<Finding> {
    let samples = lake.samples.as_ref()?;
    let look = look_at_schedule(&facts.command("telemetry-rollup -v"));
    let (first, last) = (samples.first_of_any?, samples.last_of_any?);
    match lake.programs.built {
        Some(built) => {
            let behind = last - built;
            let text = format!("Gold was last built {} ago ({})", span(facts.now - built), time(built));
            Some(if behind > ROLLUP_DELAY {
                Finding::warning(ROLLUP, format!("{text}, samples are newer by {}", span(behind)), look)
            } else {
                Finding::ok(ROLLUP, text)
            })
        }
        None if last - first > ROLLUP_DELAY || facts.now - last > ROLLUP_DELAY => Some(Finding::warning(
            ROLLUP,
            format!("Gold was never built, samples begin at {}", time(first)),
            look,
        )),
        None => Some(Finding::note(ROLLUP, "Gold is not built yet")),
    }
}

fn evaluation(facts: &Facts, lake: &LakeFacts) -> Option<Finding> {
    let built = lake.programs.built?;
    let reached = lake.programs.alerts.as_ref().map(telemetry_alert_rules::AlertState::horizon_us);
    match reached.and_then(DateTime::from_timestamp_micros) {
        Some(reached) if built - reached <= EVALUATION_DELAY => {
            let ago = span((facts.now - reached).max(TimeDelta::zero()));
            Some(Finding::ok(ALERTS, format!("rules are evaluated up to {ago} ago ({})", time(reached))))
        }
        Some(reached) => {
            let text = format!("rules are evaluated only up to {}", time(reached));
            Some(Finding::warning(ALERTS, text, facts.command("telemetry-rollup -v")))
        }
        None => {
            Some(Finding::warning(ALERTS, "rules were never evaluated", facts.command("telemetry-rollup -v")))
        }
    }
}

fn firing(facts: &Facts, lake: &LakeFacts) -> Option<Finding> {
    let state = lake.programs.alerts.as_ref()?;
    let here = |(rule, host): (&str, &str)| (host == facts.host.as_str()).then(|| rule.to_owned());
    let rules: Vec<String> = state.firing().filter_map(here).collect();
    let text = format!("{} on {}", rules.join(", "), facts.host);
    (!rules.is_empty())
        .then(|| Finding::warning(ALERTS, format!("fires: {text}"), facts.command("telemetry-rollup alerts")))
}

fn time(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}
