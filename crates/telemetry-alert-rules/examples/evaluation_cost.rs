//! What an evaluation costs: `cargo run --release --example evaluation_cost`, 20 rules over one day of
//! 100 hosts.
#![allow(clippy::print_stdout, clippy::unwrap_used)]

use std::time::Instant;

use telemetry_alert_rules::{AlertState, BUILT_IN, Period, RuleSet, Settings, evaluate};
use telemetry_schema::HostBuckets;
use telemetry_schema::host_metrics_rollup::names;
use toml::Table;

const BUCKET_US: i64 = 300_000_000;
const BUCKETS: usize = 288;
const HOSTS: usize = 100;
const ROUNDS: usize = 21;

fn main() {
    let document: Table = BUILT_IN.parse().unwrap();
    let mut tables: Vec<Table> = document["alert"].clone().try_into().unwrap();
    // The built-in rules once more under other names, as far as 20.
    tables.truncate(9);
    for table in &mut tables {
        let id = format!("{}-2", table["id"].as_str().unwrap());
        table.insert("id".to_owned(), id.into());
    }
    let settings = Settings { bucket_us: BUCKET_US, sample_interval_us: 10_000_000 };
    let rules = RuleSet::read(&[tables], settings).unwrap();
    let ends: Vec<i64> = (1..=BUCKETS as i64).map(|number| number * BUCKET_US).collect();
    let columns: Vec<Vec<Option<f64>>> = rules
        .columns()
        .iter()
        .map(|name| (0..BUCKETS).map(|bucket| Some(value(name, bucket))).collect())
        .collect();
    let coverage = vec![Some(1.0); BUCKETS];
    let buckets = HostBuckets { last_samples_us: ends.clone(), ends_us: ends, coverage, columns };
    let hosts: Vec<String> = (0..HOSTS).map(|host| format!("host-{host:03}")).collect();
    let mut seconds: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let begin = Instant::now();
            let period = Period::until(BUCKETS as i64 * BUCKET_US, 0);
            let hosts = hosts.iter().map(|host| (host.as_str(), &buckets));
            let (events, _) = evaluate(&rules, AlertState::default(), period, hosts).unwrap();
            assert!(!events.is_empty());
            begin.elapsed().as_secs_f64()
        })
        .collect();
    seconds.sort_by(f64::total_cmp);
    let [rules, median_ms] = [rules.rules().len() as f64, 1_000.0 * seconds[ROUNDS / 2]];
    println!("{rules} rules, {HOSTS} hosts, {BUCKETS} buckets: median {median_ms:.2} ms of {ROUNDS} rounds");
}

/// A day with an hour of trouble, on a disk that fills slowly.
fn value(column: &str, bucket: usize) -> f64 {
    let (wave, is_trouble) = (((bucket * 37) % 23) as f64, (100..112).contains(&bucket));
    match column {
        names::disk_root_free_gb_min => 40.0 - 0.05 * bucket as f64,
        names::disk_root_total_gb_max => 100.0,
        names::ram_total_mb_max | names::swap_total_mb_max => 4_096.0,
        names::ram_available_mb_min => {
            if is_trouble {
                100.0
            } else {
                2_000.0 + wave
            }
        }
        names::swap_used_mb_max => 3_000.0,
        names::sample_count => 30.0,
        names::cpu_temp_c_max => {
            if is_trouble {
                85.0
            } else {
                50.0 + wave
            }
        }
        names::cpu_pct_avg => {
            if is_trouble {
                99.0
            } else {
                wave
            }
        }
        // Samples with trouble, and bits.
        _ => {
            if is_trouble {
                12.0
            } else {
                0.0
            }
        }
    }
}
