//! Every folder of `fixtures/alerts` is a case: `rules.toml` (`rules.2.toml` from run 2 on, and so on),
//! the buckets in `ticks.csv`, and the events that must come of them in `expected.csv`.
//!
//! A line of `ticks.csv` is a bucket that arrives with a run; one with the host `-` only says how far a
//! run looks. Each run goes on from the state of the last, written and read as JSON. Cases of one run
//! are also evaluated bucket by bucket, and every case once more at its end, which must add nothing.
#![allow(clippy::unwrap_used)]

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use chrono::DateTime;
use support::{Bucket, evaluate, restart};
use telemetry_alert_rules::{AlertState, Event, RuleSet, Settings};

const MINUTE_US: i64 = 60_000_000;
const DAY: &str = "2026-11-";
/// The day of times without one.
const TODAY: &str = "21";

struct Line {
    run: u32,
    /// `None` for the end of a run's time.
    bucket: Option<Bucket>,
    end_us: i64,
}

#[test]
fn cases_give_the_expected_events() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/alerts");
    let mut cases: Vec<PathBuf> = folders(&directory).iter().flat_map(|kind| folders(kind)).collect();
    cases.sort();
    assert!(cases.len() >= 20, "only {} cases in {}", cases.len(), directory.display());
    let failures: Vec<String> = cases.iter().filter_map(|case| check(case).err()).collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

fn folders(directory: &Path) -> Vec<PathBuf> {
    fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()).collect()
}

fn check(case: &Path) -> Result<(), String> {
    let lines = ticks(case);
    let runs: BTreeSet<u32> = lines.iter().map(|line| line.run).collect();
    let (mut state, mut events) = (AlertState::default(), Vec::new());
    for run in &runs {
        let (rules, buckets, horizon_us) = (rules(case, *run), arrived(&lines, *run), horizon(&lines, *run));
        let found = evaluate(&rules, &mut state, &buckets, horizon_us);
        events.extend(found);
        state = restart(&state);
    }
    let last = *runs.last().unwrap();
    let again = evaluate(&rules(case, last), &mut state, &arrived(&lines, last), horizon(&lines, last));
    if !again.is_empty() {
        return Err(format!("{}: the last run again gives\n{}", case.display(), text(&again)));
    }
    if runs.len() == 1 {
        let one_by_one = one_by_one(&rules(case, last), &lines);
        if one_by_one != events {
            return Err(format!("{}: bucket by bucket gives\n{}", case.display(), text(&one_by_one)));
        }
    }
    let expected = fs::read_to_string(case.join("expected.csv")).unwrap_or_default();
    let got = text(&events);
    if got == expected {
        return Ok(());
    }
    if std::env::var_os("UPDATE_EXPECTED").is_some() {
        fs::write(case.join("expected.csv"), &got).unwrap();
    }
    Err(format!("{}: expected\n{expected}but got\n{got}", case.display()))
}

/// Evaluates after each instant of the grid, as if the program had been started anew.
fn one_by_one(rules: &RuleSet, lines: &[Line]) -> Vec<Event> {
    let (mut state, mut events) = (AlertState::default(), Vec::new());
    let ends = lines.iter().filter(|line| line.bucket.is_some()).map(|line| line.end_us);
    let (mut horizon_us, last_us) = (ends.min().unwrap(), horizon(lines, u32::MAX));
    while horizon_us <= last_us {
        let arrived: Vec<Bucket> =
            arrived(lines, u32::MAX).into_iter().filter(|bucket| bucket.end_us <= horizon_us).collect();
        events.extend(evaluate(rules, &mut state, &arrived, horizon_us));
        state = restart(&state);
        horizon_us += rules.bucket_us();
    }
    events
}

fn arrived(lines: &[Line], run: u32) -> Vec<Bucket> {
    lines.iter().filter(|line| line.run <= run).filter_map(|line| line.bucket.clone()).collect()
}

fn horizon(lines: &[Line], run: u32) -> i64 {
    lines.iter().filter(|line| line.run <= run).map(|line| line.end_us).max().unwrap()
}

/// The rules of a run alone: the built-in ones are switched off unless `built_in = true`.
fn rules(case: &Path, run: u32) -> RuleSet {
    let numbered = (2..=run).rev().map(|run| case.join(format!("rules.{run}.toml")));
    let file = numbered.chain([case.join("rules.toml")]).find(|file| file.exists()).unwrap();
    let document: toml::Table = fs::read_to_string(&file).unwrap().parse().unwrap();
    let own: Vec<toml::Table> =
        document.get("alert").cloned().map_or_else(Vec::new, |tables| tables.try_into().unwrap());
    let minutes = document.get("bucket_minutes").map_or(5, |minutes| minutes.as_integer().unwrap());
    let settings = Settings { bucket_us: minutes * MINUTE_US, sample_interval_us: 10_000_000 };
    let keeps_built_in = document.get("built_in").is_some_and(|keeps| keeps.as_bool().unwrap());
    let files = if keeps_built_in { vec![own] } else { vec![support::without_built_in(), own] };
    RuleSet::read(&files, settings).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

fn ticks(case: &Path) -> Vec<Line> {
    let content = fs::read_to_string(case.join("ticks.csv")).unwrap();
    let mut lines = content.lines();
    let names: Vec<&str> = lines.next().unwrap().split(',').collect();
    lines.map(|line| tick(&names, line)).collect()
}

fn tick(names: &[&str], line: &str) -> Line {
    let cells: Vec<&str> = line.split(',').collect();
    assert_eq!(cells.len(), names.len(), "{line}");
    let cell = |name: &str| names.iter().position(|known| *known == name).map(|index| cells[index]);
    let end_us = instant(cell("end").unwrap());
    let known = ["run", "host", "end", "last_sample", "coverage"];
    let columns = names.iter().zip(&cells).filter(|(name, _)| !known.contains(name));
    let number = |text: &str| (!text.is_empty()).then(|| text.parse().unwrap());
    let host = cell("host").unwrap();
    let bucket = (host != "-").then(|| Bucket {
        host: host.to_owned(),
        end_us,
        last_sample_us: cell("last_sample").map_or(end_us - 7_000_000, instant),
        coverage: cell("coverage").map_or(Some(1.0), number),
        columns: columns.map(|(name, text)| ((*name).to_owned(), number(text))).collect(),
    });
    Line { run: cell("run").map_or(1, |run| run.parse().unwrap()), bucket, end_us }
}

/// `12:05`, or `22 12:05` for the 22nd.
fn instant(text: &str) -> i64 {
    let (day, time) = text.split_once(' ').unwrap_or((TODAY, text));
    let seconds = if time.len() == 5 { ":00Z" } else { "Z" };
    DateTime::parse_from_rfc3339(&format!("{DAY}{day}T{time}{seconds}")).unwrap().timestamp_micros()
}

fn text(events: &[Event]) -> String {
    let time = |us: i64| DateTime::from_timestamp_micros(us).unwrap().format("%d %H:%M").to_string();
    let mut text = "as_of,host,rule,state,severity,starts_at,ends_at,reason,value,message\n".to_owned();
    for event in events {
        let reason = serde_json::to_string(&event.context.reason).unwrap();
        let cells = [
            time(event.as_of_us),
            event.host_id.clone(),
            event.rule_id.clone(),
            event.state.as_str().to_owned(),
            event.severity.as_str().to_owned(),
            time(event.starts_at_us),
            event.ends_at_us.map_or_else(String::new, time),
            reason.trim_matches('"').to_owned(),
            event.value.map_or_else(String::new, |value| format!("{value:.3}")),
            event.message.clone(),
        ];
        text.push_str(&format!("{}\n", cells.join(",")));
    }
    text
}
