//! Whether samples come as they should.

use chrono::{SecondsFormat, TimeDelta};

use super::facts::{Facts, SampleFacts};
use super::finding::{Finding, look_at_schedule, span};
use super::rhythm::{Gap, Rhythm};

const SAMPLES: &str = "samples";
const GAPS: &str = "gaps";
const SCHEDULE: &str = "schedule";
/// A clock that two machines disagree about.
const TOLERANCE: TimeDelta = TimeDelta::minutes(2);
const LOOK_AT_CLOCK: &str =
    if cfg!(windows) { "w32tm /query /status" } else { "date --utc; timedatectl status" };
/// Fewer samples than this share are no accident.
const LEAST_COVERAGE: f64 = 0.8;

/// Last sample, gaps of the last day, and whether the schedule is the configured one.
pub(super) fn findings(facts: &Facts, samples: &SampleFacts) -> Vec<Finding> {
    let rhythm = rhythm(facts, samples);
    let mut findings = vec![last(facts, samples, &rhythm)];
    if !samples.runs.is_empty() {
        findings.push(gaps(facts, &rhythm));
    }
    findings.extend(schedule(facts, &rhythm));
    findings
}

/// Whether the next run should have published by now.
pub(super) fn is_overdue(facts: &Facts, samples: &SampleFacts) -> bool {
    let overdue = rhythm(facts, samples).overdue;
    samples.last.is_none_or(|last| facts.now - last > overdue)
}

fn rhythm(facts: &Facts, samples: &SampleFacts) -> Rhythm {
    let configuration = &facts.configuration;
    let interval = TimeDelta::seconds(configuration.sample_interval_seconds.into());
    let waits = TimeDelta::minutes(configuration.publish_interval_minutes.into());
    Rhythm::of(&samples.runs, interval, waits)
}

fn last(facts: &Facts, samples: &SampleFacts, rhythm: &Rhythm) -> Finding {
    let host = &facts.host;
    let look = look_at_schedule(&facts.command("telemetry-collect -v"));
    let Some(last) = samples.last else {
        let others: Vec<&str> = samples.other_hosts.iter().map(String::as_str).take(5).collect();
        if others.is_empty() {
            return Finding::warning(SAMPLES, format!("no samples of {host} yet"), look);
        }
        let text = format!("no samples of {host}, but of {}", others.join(", "));
        return Finding::warning(
            SAMPLES,
            text,
            format!("is this the right host_id? `{}`", facts.command("telemetry doctor --print-config")),
        );
    };
    let age = facts.now - last;
    let at = last.to_rfc3339_opts(SecondsFormat::Secs, true);
    if age < -TOLERANCE {
        let text = format!("the last sample of {host} is {} ahead of the clock ({at})", span(age));
        return Finding::problem(SAMPLES, text, LOOK_AT_CLOCK);
    }
    let text = format!("the last sample of {host} is {} old ({at})", span(age.max(TimeDelta::zero())));
    if age > rhythm.overdue { Finding::problem(SAMPLES, text, look) } else { Finding::ok(SAMPLES, text) }
}

fn gaps(facts: &Facts, rhythm: &Rhythm) -> Finding {
    let Some(longest) = rhythm.gaps.first() else {
        return Finding::ok(GAPS, "no gaps in the last day");
    };
    let booted = facts.machine.as_ref().and_then(|machine| machine.uptime_seconds);
    let booted = booted.map(|seconds| facts.now - TimeDelta::milliseconds((seconds * 1000.0) as i64));
    let is_restart = |gap: &Gap| booted.is_some_and(|booted| gap.from < booted && booted < gap.to);
    let all = rhythm.gaps.iter().fold(TimeDelta::zero(), |sum, gap| sum + gap.length());
    let [from, to] = [longest.from, longest.to].map(|at| at.to_rfc3339_opts(SecondsFormat::Secs, true));
    let mut text = match rhythm.gaps.len() {
        1 => format!("one gap in the last day: {} from {from} to {to}", span(all)),
        number => format!(
            "{number} gaps in the last day, {} in all; the longest, {}, from {from} to {to}",
            span(all),
            span(longest.length())
        ),
    };
    let restarts = rhythm.gaps.iter().filter(|gap| is_restart(gap)).count();
    if restarts > 0 {
        text.push_str(if rhythm.gaps.len() == 1 {
            ", in which the machine started"
        } else {
            "; in one of them the machine started"
        });
    }
    if restarts == rhythm.gaps.len() {
        return Finding::note(GAPS, text);
    }
    Finding::warning(GAPS, text, look_at_runs(longest))
}

/// What the scheduler knows of the runs that are missing.
fn look_at_runs(gap: &Gap) -> String {
    if cfg!(windows) {
        return "schtasks /query /tn telemetry-collect /v /fo list".to_owned();
    }
    format!("journalctl --since '{}' -u telemetry-collect -u cron", gap.from.format("%F %T UTC"))
}

fn schedule(facts: &Facts, rhythm: &Rhythm) -> Option<Finding> {
    let coverage = rhythm.coverage.filter(|coverage| *coverage < LEAST_COVERAGE)?;
    let configured = facts.configuration.sample_interval_seconds;
    let seconds = (f64::from(configured) / coverage).round();
    let text = format!(
        "a sample about every {seconds} s, where sample_interval_seconds = {configured}: coverage is {:.0} %",
        coverage * 100.0
    );
    let remedy = format!(
        "make both the same: sample_interval_seconds = {seconds}, or `telemetry-collect --samples N --interval {configured}s`"
    );
    Some(Finding::warning(SCHEDULE, text, remedy))
}
