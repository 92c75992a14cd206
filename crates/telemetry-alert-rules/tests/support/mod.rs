//! Buckets as rows, and evaluations over them.

use std::collections::{BTreeMap, BTreeSet};

use telemetry_alert_rules::{AlertState, BUILT_IN, Event, Period, RuleSet};
use telemetry_schema::HostBuckets;
use toml::Table;

/// One bucket of one host.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Bucket {
    pub(crate) host: String,
    pub(crate) end_us: i64,
    pub(crate) last_sample_us: i64,
    pub(crate) coverage: Option<f64>,
    pub(crate) columns: BTreeMap<String, Option<f64>>,
}

/// Evaluates buckets in any order up to the horizon; the state becomes the next.
pub(crate) fn evaluate(
    rules: &RuleSet,
    state: &mut AlertState,
    buckets: &[Bucket],
    horizon_us: i64,
) -> Vec<Event> {
    evaluate_period(rules, state, buckets, Period::until(horizon_us, horizon_us))
}

pub(crate) fn evaluate_period(
    rules: &RuleSet,
    state: &mut AlertState,
    buckets: &[Bucket],
    period: Period,
) -> Vec<Event> {
    let hosts: BTreeSet<&str> = buckets.iter().map(|bucket| bucket.host.as_str()).collect();
    let of_host = |host| {
        let mut own: Vec<&Bucket> = buckets.iter().filter(|bucket| bucket.host == host).collect();
        own.sort_by_key(|bucket| bucket.end_us);
        let value = |bucket: &Bucket, name: &str| bucket.columns.get(name).copied().flatten();
        HostBuckets {
            ends_us: own.iter().map(|bucket| bucket.end_us).collect(),
            coverage: own.iter().map(|bucket| bucket.coverage).collect(),
            last_samples_us: own.iter().map(|bucket| bucket.last_sample_us).collect(),
            columns: rules
                .columns()
                .iter()
                .map(|name| own.iter().map(|bucket| value(bucket, name)).collect())
                .collect(),
        }
    };
    let hosts: Vec<(&str, HostBuckets)> = hosts.into_iter().map(|host| (host, of_host(host))).collect();
    let hosts = hosts.iter().map(|(host, buckets)| (*host, buckets));
    let (mut events, next) = telemetry_alert_rules::evaluate(rules, state.clone(), period, hosts).unwrap();
    *state = next;
    // The time of the run is all that may differ.
    events.iter_mut().for_each(|event| event.evaluated_at_us = 0);
    events
}

/// The state as the next process finds it.
pub(crate) fn restart(state: &AlertState) -> AlertState {
    serde_json::from_str(&serde_json::to_string(state).unwrap()).unwrap()
}

/// Tables that switch every built-in rule off.
pub(crate) fn without_built_in() -> Vec<Table> {
    let document: Table = BUILT_IN.parse().unwrap();
    let tables: Vec<Table> = document["alert"].clone().try_into().unwrap();
    let off = |table: &Table| {
        let id = table["id"].clone();
        Table::from_iter([("id".to_owned(), id), ("enabled".to_owned(), false.into())])
    };
    tables.iter().map(off).collect()
}
