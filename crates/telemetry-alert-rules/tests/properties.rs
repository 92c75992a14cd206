//! What holds for any buckets: the number of runs does not matter, a run again adds nothing, late
//! buckets take nothing back, and a state that is lost comes back from the events.
#![allow(clippy::unwrap_used)]

mod support;

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use support::{Bucket, evaluate, evaluate_period, restart, without_built_in};
use telemetry_alert_rules::{AlertState, Event, EventState, Period, RuleSet, Settings, alerts, revised};

const BUCKET_US: i64 = 300_000_000;
const START_US: i64 = 1_795_262_400_000_000;
const RULES: &str = r#"
[[alert]]
id = "hot"
kind = "threshold"
column = "cpu_temp_c_max"
op = ">"
fire = 5
clear = 3
for = "7m"
keep_firing_for = "10m"
expire_after = "40m"
[[alert]]
id = "hot-at-once"
kind = "threshold"
column = "cpu_temp_c_max"
op = ">="
fire = 6
expire_after = "22m"
and = [{ column = "ram_used_mb_avg", op = ">", fire = 2 }]
[[alert]]
id = "filling"
kind = "forecast"
column = "ram_used_mb_avg"
window = "1h"
reaches = 9
within = "3h"
expire_after = "30m"
[[alert]]
id = "climbs"
kind = "change"
column = "ram_used_mb_avg"
over = "15m"
op = ">"
fire = 3
keep_firing_for = "5m"
expire_after = "1h"
[[alert]]
id = "silent"
kind = "absent"
after = "12m"
known_for = "50m"
for = "5m"
hosts = ["pi"]
"#;

fn rules() -> RuleSet {
    let document: toml::Table = RULES.parse().unwrap();
    let own: Vec<toml::Table> = document["alert"].clone().try_into().unwrap();
    let settings = Settings { bucket_us: BUCKET_US, sample_interval_us: 10_000_000 };
    RuleSet::read(&[without_built_in(), own], settings).unwrap()
}

/// Three hours and more of two hosts, with holes, nulls and buckets of low coverage.
fn buckets() -> impl Strategy<Value = Vec<Bucket>> {
    let value = || prop_oneof![1 => Just(None), 8 => (0..10i32).prop_map(|value| Some(f64::from(value)))];
    let bucket = (prop_oneof![1 => Just(0.2), 9 => Just(0.9)], value(), value());
    let slot = prop_oneof![1 => Just(None), 4 => bucket.prop_map(Some)];
    prop::collection::vec((slot.clone(), slot), 20..60).prop_map(|slots| {
        let mut buckets = Vec::new();
        for (number, slots) in slots.into_iter().enumerate() {
            for (host, slot) in [("nas", slots.0), ("pi", slots.1)] {
                let Some((coverage, temperature, memory)) = slot else { continue };
                let end_us = START_US + BUCKET_US * (number as i64 + 1);
                buckets.push(Bucket {
                    host: host.to_owned(),
                    end_us,
                    last_sample_us: end_us - 7_000_000,
                    coverage: Some(coverage),
                    columns: BTreeMap::from([
                        ("cpu_temp_c_max".to_owned(), temperature),
                        ("ram_used_mb_avg".to_owned(), memory),
                    ]),
                });
            }
        }
        buckets
    })
}

fn until(buckets: &[Bucket], horizon_us: i64) -> Vec<Bucket> {
    buckets.iter().filter(|bucket| bucket.end_us <= horizon_us).cloned().collect()
}

fn in_order(mut events: Vec<Event>) -> Vec<Event> {
    events.sort_by_key(|event| (event.as_of_us, event.event_id()));
    events
}

const HORIZON_US: i64 = START_US + 70 * BUCKET_US;

#[test]
fn what_the_events_do_not_know_does_not_fire() {
    let hot = Bucket {
        host: "pi".to_owned(),
        end_us: START_US,
        last_sample_us: START_US,
        coverage: Some(1.0),
        columns: [("cpu_temp_c_max", 9.0), ("ram_used_mb_avg", 9.0)]
            .map(|(name, value)| (name.to_owned(), Some(value)))
            .into(),
    };
    let mut state = AlertState::default();
    assert_eq!(evaluate(&rules(), &mut state, &[hot], START_US).len(), 1);
    assert_eq!(state.firing().collect::<Vec<_>>(), [("hot-at-once", "pi")]);
    state.align(&[]);
    assert_eq!(state.firing().count(), 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_number_of_runs_gives_the_same_events(buckets in buckets(), runs in prop::collection::btree_set(1..70i64, 0..70)) {
        let rules = rules();
        let (mut state, mut at_once) = (AlertState::default(), Vec::new());
        at_once.extend(evaluate(&rules, &mut state, &buckets, HORIZON_US));
        prop_assert!(evaluate(&rules, &mut restart(&state), &buckets, HORIZON_US).is_empty());

        let (mut state, mut by_runs) = (AlertState::default(), Vec::new());
        for run in runs.into_iter().chain([70]) {
            let horizon_us = START_US + run * BUCKET_US;
            by_runs.extend(evaluate(&rules, &mut state, &until(&buckets, horizon_us), horizon_us));
            state = restart(&state);
        }
        prop_assert_eq!(in_order(by_runs), in_order(at_once));
    }

    #[test]
    fn events_tell_one_story(buckets in buckets()) {
        let events = evaluate(&rules(), &mut AlertState::default(), &buckets, HORIZON_US);
        let ids: BTreeSet<String> = events.iter().map(Event::event_id).collect();
        prop_assert_eq!(ids.len(), events.len());
        let mut last: BTreeMap<(String, String), &Event> = BTreeMap::new();
        for event in &events {
            prop_assert!(event.starts_at_us <= event.as_of_us);
            let before = last.insert((event.rule_id.clone(), event.host_id.clone()), event);
            match event.state {
                EventState::Firing => prop_assert!(before.is_none_or(|before| before.state == EventState::Resolved)),
                EventState::Resolved => {
                    prop_assert_eq!(before.map(Event::alert_id), Some(event.alert_id()));
                    prop_assert_eq!(event.ends_at_us, Some(event.as_of_us));
                }
            }
        }
    }

    #[test]
    fn late_buckets_take_nothing_back(buckets in buckets(), late in prop::collection::vec(any::<bool>(), 120)) {
        let rules = rules();
        let is_late: Vec<bool> = buckets.iter().zip(late).map(|(_, late)| late).collect();
        let part = |wanted: bool| {
            let of = buckets.iter().zip(&is_late).filter(move |(_, late)| **late == wanted);
            of.map(|(bucket, _)| bucket.clone()).collect::<Vec<_>>()
        };
        let mut state = AlertState::default();
        let first = evaluate(&rules, &mut state, &part(false), HORIZON_US);
        let second = evaluate(&rules, &mut state, &buckets, HORIZON_US + BUCKET_US);
        let known: BTreeSet<String> = first.iter().map(Event::event_id).collect();
        prop_assert!(second.iter().all(|event| !known.contains(&event.event_id())));
        // Each alert of the first run is ended at most once.
        let all = first.iter().chain(&second).filter(|event| event.state == EventState::Resolved);
        let mut ended = BTreeSet::new();
        prop_assert!(all.map(Event::alert_id).all(|alert| ended.insert(alert)));
    }

    #[test]
    fn a_lost_state_comes_back_from_the_events(buckets in buckets(), lost_at in 20..70i64) {
        let rules = rules();
        let mut state = AlertState::default();
        let events = evaluate(&rules, &mut state, &buckets, HORIZON_US);

        let lost_us = START_US + lost_at * BUCKET_US;
        let from_us = lost_us - rules.memory_us();
        let mut found = AlertState::before(from_us);
        let known = alerts(events.clone());
        found.align(&known);
        let warm_up = Period { from_us, horizon_us: lost_us, evaluated_at_us: 0 };
        evaluate_period(&rules, &mut found, &until(&buckets, lost_us), warm_up);
        found.align(&known);
        let again = evaluate_period(&rules, &mut found, &buckets, Period { from_us, horizon_us: HORIZON_US, evaluated_at_us: 0 });
        let since: Vec<Event> = events.into_iter().filter(|event| event.as_of_us > lost_us).collect();
        prop_assert_eq!(in_order(again.clone()), in_order(since));
        prop_assert!(revised(&known, again, lost_us, 0).is_empty());
    }

    #[test]
    fn a_revision_tells_what_was_found(before in buckets(), after in buckets(), from in 0..60i64) {
        let rules = rules();
        let from_us = START_US + from * BUCKET_US;
        let known = evaluate(&rules, &mut AlertState::default(), &before, HORIZON_US);
        let mut state = AlertState::before(from_us);
        let known_alerts = alerts(known.clone());
        state.align(&known_alerts);
        let found = evaluate_period(&rules, &mut state, &after, Period { from_us, horizon_us: HORIZON_US, evaluated_at_us: 0 });
        let changes = revised(&known_alerts, found.clone(), from_us, 0);
        let all: Vec<Event> = known.iter().cloned().chain(changes).collect();
        let ids: BTreeSet<String> = all.iter().map(Event::event_id).collect();
        prop_assert_eq!(ids.len(), all.len(), "an identifier is used twice");
        prop_assert!(revised(&alerts(all.clone()), found.clone(), from_us, 0).is_empty(), "revised twice");

        // What is open in the rows is what the evaluation left open.
        let open_in_rows: BTreeSet<(String, String)> = alerts(all)
            .into_iter()
            .filter(|alert| alert.is_open_at(HORIZON_US))
            .map(|alert| (alert.rule_id, alert.host_id))
            .collect();
        prop_assert_eq!(open_in_rows, state.firing().map(|(rule, host)| (rule.to_owned(), host.to_owned())).collect());
    }
}
