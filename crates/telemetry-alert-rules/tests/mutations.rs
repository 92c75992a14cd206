//! Rule files that are nearly right: an error that says what is wrong, or rules that any buckets can be
//! evaluated by.
#![allow(clippy::unwrap_used)]

#[allow(dead_code, reason = "another test switches rules off")]
mod support;

use std::collections::BTreeMap;

use support::{Bucket, evaluate, restart};
use telemetry_alert_rules::{AlertState, BUILT_IN, RuleSet, Settings};
use telemetry_trials::mutation;
use toml::Table;

const BUCKET_US: i64 = 300_000_000;
const START_US: i64 = 1_795_262_400_000_000;
const SETTINGS: Settings = Settings { bucket_us: BUCKET_US, sample_interval_us: 10_000_000 };

const WORDS: [&str; 20] = [
    "[[alert]]",
    "id = \"hot\"",
    "kind = \"threshold\"",
    "kind = \"absent\"",
    "kind = \"forecast\"",
    "kind = \"change\"",
    "column = \"cpu_pct_avg\"",
    "op = \"==\"",
    "fire = 1",
    "clear = 2",
    "for = \"1s\"",
    "window = \"1000000d\"",
    "within = \"9999999999h\"",
    "expire_after = \"0s\"",
    "keep_firing_for = \"10m\"",
    "min_coverage = 2.0",
    "hosts = [\"*\"]",
    "and = []",
    "{ column = \"ram_used_mb_avg\", op = \">\", fire = 2 }",
    "enabled = false",
];

/// Two hosts for a day, with gaps.
fn buckets(rules: &RuleSet, random: &mut mutation::Rng) -> Vec<Bucket> {
    let mut buckets = Vec::new();
    for host in ["pi", "nas"] {
        for n in 0..288 {
            let mut value = |most: f64| (random.u8(..8) > 0).then(|| most * random.f64());
            let columns: BTreeMap<String, Option<f64>> =
                rules.columns().iter().map(|name| ((*name).to_owned(), value(120.0))).collect();
            let coverage = value(1.0);
            if random.u8(..10) > 0 {
                let end_us = START_US + BUCKET_US * n;
                let (host, last_sample_us) = (host.to_owned(), end_us - 10_000_000);
                buckets.push(Bucket { host, end_us, last_sample_us, coverage, columns });
            }
        }
    }
    buckets
}

fn read(text: &[u8]) -> Option<Result<RuleSet, String>> {
    let table: Table = std::str::from_utf8(text).ok()?.parse().ok()?;
    let tables: Vec<Table> = table.get("alert")?.clone().try_into().ok()?;
    Some(RuleSet::read(&[tables], SETTINGS).map_err(|error| error.to_string()))
}

#[test]
fn mutated_rules_are_rules_or_errors() {
    let (mut usable, mut refused) = (0, 0);
    mutation::each("rule files", 400, |mutator| {
        let text = mutator.text(BUILT_IN.as_bytes(), &WORDS);
        match read(&text) {
            Some(Ok(rules)) => {
                usable += 1;
                let mut state = AlertState::before(START_US);
                let buckets = buckets(&rules, &mut mutator.random);
                let horizon_us = START_US + 288 * BUCKET_US;
                let events = evaluate(&rules, &mut state, &buckets, horizon_us);
                assert_eq!(restart(&state), state);
                assert!(events.len() < 100_000);
                let again = evaluate(&rules, &mut state, &[], horizon_us);
                assert!(again.is_empty(), "{again:?}");
            }
            Some(Err(error)) => {
                refused += 1;
                assert!(!error.is_empty());
            }
            None => {}
        }
    });
    assert!(usable > 0 && refused > 0, "{usable} usable, {refused} refused");
}
