//! Alert rules over what was built: once, again, late, changed, and as they are shown.

use std::fs;
use std::path::PathBuf;

use chrono::{DateTime, Days, NaiveDate, TimeDelta, Utc};
use serde_json::Value;
use telemetry_repository::Selection;
use telemetry_schema::{HostAlert, HostMetricsSample};

use crate::support::{Ended, World, inode, sample};

/// A date that a run looks back to, with every bucket final.
fn date() -> NaiveDate {
    Utc::now().date_naive() - Days::new(2)
}

fn at(hour: i64, minute: i64) -> DateTime<Utc> {
    date().and_time(chrono::NaiveTime::MIN).and_utc() + TimeDelta::minutes(60 * hour + minute)
}

impl World {
    /// A sample each 10 s for some minutes, with the CPU at that temperature.
    fn at_degrees(&self, host: &str, from: DateTime<Utc>, minutes: i64, celsius: f64) {
        let row = |n: i64| HostMetricsSample {
            cpu_temp_c: Some(celsius),
            ..sample(host, from + TimeDelta::seconds(10 * n))
        };
        let rows: Vec<HostMetricsSample> = (0..6 * minutes).map(row).collect();
        self.lake().host_metrics().append(&rows).unwrap();
    }

    /// A machine that is hot from 10:20 to 10:50 and sends until 13:00.
    fn a_hot_half_hour(&self) {
        self.at_degrees("pi", at(10, 0), 20, 50.0);
        self.at_degrees("pi", at(10, 20), 30, 85.0);
        self.at_degrees("pi", at(10, 50), 130, 50.0);
    }

    fn configured(&self, text: &str) -> PathBuf {
        let path = self.path().with_file_name("telemetry.toml");
        fs::write(&path, text).unwrap();
        path
    }

    fn build_with(&self, configuration: &str) {
        let path = self.configured(configuration);
        self.build(&["--config", path.to_str().unwrap()]);
    }

    fn rows(&self) -> Vec<HostAlert> {
        let alerts = self.lake().host_alerts();
        let files = alerts.store().files(&Selection::all()).unwrap();
        let mut rows: Vec<HostAlert> = files.iter().flat_map(|file| alerts.read(file).unwrap()).collect();
        rows.sort_by_key(|row| (row.evaluated_at, row.as_of, row.event_id.clone()));
        rows
    }

    /// Rule, state, minute and reason of each event.
    fn events(&self) -> Vec<(String, String, String, String)> {
        let text = |text: &Option<String>| text.clone().unwrap();
        let event = |row: &HostAlert| {
            let context: Value = serde_json::from_str(&text(&row.context_json)).unwrap();
            let reason = context["reason"].as_str().unwrap().to_owned();
            (text(&row.alert_type), text(&row.state), row.as_of.format("%H:%M").to_string(), reason)
        };
        self.rows().iter().map(event).collect()
    }

    fn files_of_alerts(&self) -> Vec<PathBuf> {
        let files = self.lake().host_alerts().store().files(&Selection::all()).unwrap();
        files.into_iter().map(|file| file.path).collect()
    }

    fn lose_the_state(&self) {
        fs::remove_file(self.path().join(".state/@lake/alerts.json")).unwrap();
    }
}

fn owned(events: &[(&str, &str, &str, &str)]) -> Vec<(String, String, String, String)> {
    events.iter().map(|(a, b, c, d)| ((*a).into(), (*b).into(), (*c).into(), (*d).into())).collect()
}

/// The samples are two days old, and silence is looked for up to the present: both are left out.
const QUIET: &str = r#"
[[alert]]
id = "host-silent"
enabled = false
[[alert]]
id = "cpu-hot"
fire = 80
expire_after = "7d"
"#;

/// What a hot half hour makes: over 80 °C from the bucket that ends at 10:25 on, for 10 minutes; cool
/// from 10:55 on, kept for 15 minutes; then the host falls silent for more than 7 days less a moment.
const HOT: [(&str, &str, &str, &str); 3] = [
    ("cpu-hot", "firing", "10:35", "fired"),
    ("cpu-hot", "resolved", "11:10", "cleared"),
    ("host-silent", "firing", "13:15", "fired"),
];

#[test]
fn a_run_appends_what_happened_once() {
    let world = World::new();
    world.a_hot_half_hour();
    world.build(&[]);
    assert_eq!(world.events(), owned(&HOT));
    let row = &world.rows()[0];
    assert_eq!((row.host_id.as_str(), row.severity.as_deref()), ("pi", Some("warning")));
    assert_eq!(
        (row.value, row.threshold, row.rule_column.as_deref()),
        (Some(85.0), Some(80.0), Some("cpu_temp_c_max"))
    );
    assert_eq!((row.starts_at, row.ends_at, row.revision), (Some(at(10, 25)), None, Some(0)));
    let message = row.message.as_deref().unwrap();
    assert!(message.starts_with("CPU of pi at 85 °C, above 80 °C since 10:25 UTC: check fan"), "{message}");

    let files = world.files_of_alerts();
    world.build(&[]);
    world.build(&["--force"]);
    world.lose_the_state();
    world.build(&[]);
    assert_eq!(world.files_of_alerts(), files);
}

#[test]
fn a_busy_cpu_is_told_and_resolved() {
    let world = World::new();
    let busy = |from: DateTime<Utc>, minutes: i64, percent: f64| {
        let row = |n: i64| HostMetricsSample {
            cpu_pct: Some(percent),
            ..sample("pi", from + TimeDelta::seconds(10 * n))
        };
        let rows: Vec<HostMetricsSample> = (0..6 * minutes).map(row).collect();
        world.lake().host_metrics().append(&rows).unwrap();
    };
    busy(at(10, 0), 20, 30.0);
    busy(at(10, 20), 40, 99.0);
    busy(at(11, 0), 60, 30.0);
    world.build_with(QUIET);
    // Above 95 % from the bucket that ends at 10:25 on, for 30 minutes; below 85 % from 11:05 on, for 10.
    let expected =
        [("cpu-saturated", "firing", "10:55", "fired"), ("cpu-saturated", "resolved", "11:15", "cleared")];
    assert_eq!(world.events(), owned(&expected));
}

#[test]
fn switched_off_nothing_is_evaluated_but_what_is_known_is_shown() {
    let world = World::new();
    world.a_hot_half_hour();
    let off = world.run(&["--enabled", "false"]);
    assert_eq!(off.code, 0);
    assert_eq!(world.rows(), []);
    world.build(&[]);
    let shown = world.run(&["alerts", "--enabled", "false"]);
    assert!(shown.stdout.contains("host-silent"), "{shown:?}");
}

#[test]
fn a_damaged_rollup_is_named_and_costs_its_own_buckets() {
    let world = World::new();
    world.a_hot_half_hour();
    world.build_with(QUIET);
    let events = world.events();
    world.lose_the_state();
    for file in world.gold(5).files_on(date()).unwrap() {
        fs::write(&file.path, "damaged").unwrap();
    }
    let got = world.run(&[]);
    assert_eq!(got.code, 3, "{got:?}");
    assert!(got.stderr.contains("rollups left out of the alert rules"), "{}", got.stderr);
    assert_eq!(world.events(), events);
}

#[test]
fn a_run_with_nothing_new_opens_no_file() {
    let world = World::new();
    world.a_hot_half_hour();
    world.build(&[]);
    // A run that opened one of these would fail.
    let gold = world.gold(5).files_on(date()).unwrap();
    for file in gold.iter().map(|file| &file.path).chain(&world.files_of_alerts()) {
        fs::write(file, "damaged").unwrap();
    }
    let state = world.path().join(".state/@lake/alerts.json");
    let kept = || (inode(&state), fs::read(&state).unwrap());
    let before = kept();
    world.build(&[]);
    let after = kept();
    assert!(before.0 == after.0 || before.1 != after.1, "the same state was written again");
}

#[test]
fn a_run_that_was_killed_before_it_kept_its_state_adds_nothing_twice() {
    let world = World::new();
    world.at_degrees("pi", at(10, 0), 20, 50.0);
    world.build(&[]);
    let state = world.path().join(".state/@lake/alerts.json");
    let before = fs::read(&state).unwrap();
    world.at_degrees("pi", at(10, 20), 30, 85.0);
    world.build(&[]);
    let events = world.events();
    fs::write(&state, before).unwrap();
    world.build(&[]);
    assert_eq!(world.events(), events);
}

#[test]
fn days_that_come_one_by_one_give_the_same_events() {
    let at_once = World::new();
    at_once.a_hot_half_hour();
    at_once.build(&[]);
    let one_by_one = World::new();
    for (from, minutes, celsius) in [(at(10, 0), 20, 50.0), (at(10, 20), 30, 85.0), (at(10, 50), 130, 50.0)] {
        one_by_one.at_degrees("pi", from, minutes, celsius);
        one_by_one.build_with(QUIET);
    }
    assert_eq!(one_by_one.events(), owned(&HOT[..2]));
}

#[test]
fn late_samples_take_nothing_back_until_they_are_evaluated_again() {
    let world = World::new();
    world.a_hot_half_hour();
    world.build_with(QUIET);
    // Hot samples of a bucket that had recovered, and of one long before.
    world.at_degrees("pi", at(10, 57), 2, 90.0);
    world.at_degrees("pi", at(9, 0), 30, 90.0);
    world.build_with(QUIET);
    assert_eq!(world.events(), owned(&HOT[..2]));

    let path = world.configured(QUIET);
    let from = date().to_string();
    let again = ["--config", path.to_str().unwrap(), "--reevaluate", "--from", &from];
    world.build(&again);
    let mut added = world.events();
    assert_eq!(added.drain(..2).collect::<Vec<_>>(), owned(&HOT[..2]), "rows are never taken back");
    let expected = [
        ("cpu-hot", "firing", "09:15", "fired"),
        ("cpu-hot", "resolved", "10:20", "cleared"),
        ("cpu-hot", "firing", "10:35", "reevaluated"),
        ("cpu-hot", "resolved", "11:20", "reevaluated"),
    ];
    assert_eq!(added, owned(&expected));
    world.build(&again);
    assert_eq!(world.rows().len(), 6, "the same evaluation adds nothing");
    let shown = world.run(&["alerts", "--history", "--format", "json"]);
    assert_eq!(shown.stdout.lines().count(), 2, "{}", shown.stdout);
}

#[test]
fn a_rule_that_changes_or_goes_ends_what_it_began() {
    let world = World::new();
    world.at_degrees("pi", at(10, 0), 30, 85.0);
    world.build_with(QUIET);
    world.at_degrees("pi", at(10, 30), 30, 85.0);
    world.build_with(&QUIET.replace("fire = 80", "fire = 84"));
    world.at_degrees("pi", at(11, 0), 30, 85.0);
    world.build_with(&format!("{QUIET}enabled = false\n"));
    let expected = [
        ("cpu-hot", "firing", "10:15", "fired"),
        ("cpu-hot", "resolved", "10:30", "rule_changed"),
        ("cpu-hot", "firing", "10:45", "fired"),
        ("cpu-hot", "resolved", "11:00", "rule_removed"),
    ];
    assert_eq!(world.events(), owned(&expected));
}

#[test]
fn a_lost_state_is_found_in_the_rows() {
    let world = World::new();
    world.at_degrees("pi", at(10, 0), 50, 85.0);
    world.build_with(QUIET);
    world.lose_the_state();
    world.at_degrees("pi", at(10, 50), 130, 50.0);
    world.build_with(QUIET);
    let expected = [("cpu-hot", "firing", "10:15", "fired"), ("cpu-hot", "resolved", "11:10", "cleared")];
    assert_eq!(world.events(), owned(&expected));
}

#[test]
fn damaged_events_are_named_and_left_out() {
    let world = World::new();
    world.a_hot_half_hour();
    world.build_with(QUIET);
    fs::write(&world.files_of_alerts()[0], "damaged").unwrap();
    let got = world.run(&["alerts", "--history"]);
    assert_eq!((got.code, got.stdout.as_str()), (3, "no alerts\n"));
    assert!(got.stderr.contains("alert events left out"), "{}", got.stderr);
}

#[test]
fn a_run_after_a_long_pause_goes_on_from_where_it_stood() {
    let world = World::new();
    let long_ago = at(10, 0) - TimeDelta::days(20);
    world.at_degrees("pi", long_ago, 20, 50.0);
    world.build_with(QUIET);
    // As if that run had been 20 days ago.
    let state = world.path().join(".state/@lake/alerts.json");
    let mut kept: Value = serde_json::from_str(&fs::read_to_string(&state).unwrap()).unwrap();
    let done_us = (long_ago + TimeDelta::minutes(20)).timestamp_micros();
    kept["state"]["horizon_us"] = done_us.into();
    kept["state"]["hosts"]["pi"] =
        serde_json::json!({ "done_us": done_us, "last_sample_us": done_us, "rules": {} });
    fs::write(&state, kept.to_string()).unwrap();
    world.at_degrees("pi", long_ago + TimeDelta::minutes(20), 30, 85.0);
    world.at_degrees("pi", long_ago + TimeDelta::minutes(50), 60, 50.0);
    world.build_with(QUIET);
    assert_eq!(world.events(), owned(&HOT[..2]));
}

#[test]
fn a_lost_state_does_not_end_twice_what_has_ended() {
    let world = World::new();
    world.at_degrees("pi", at(10, 0), 50, 85.0);
    world.build(&[]);
    let events = world.events();
    assert!(events.contains(&owned(&[("cpu-hot", "resolved", "10:50", "no_data")])[0]), "{events:?}");
    world.lose_the_state();
    // It would have ended by these, had they not come too late.
    world.at_degrees("pi", at(10, 50), 30, 50.0);
    world.build(&[]);
    let of_cpu = world.events().into_iter().filter(|event| event.0 == "cpu-hot").collect::<Vec<_>>();
    assert_eq!(of_cpu, events.into_iter().filter(|event| event.0 == "cpu-hot").collect::<Vec<_>>());
}

#[test]
fn what_fired_before_a_re_evaluation_is_what_the_rows_say() {
    let world = World::new();
    world.at_degrees("pi", at(22, 0), 180, 85.0);
    world.at_degrees("pi", at(25, 0), 60, 50.0);
    world.build_with(QUIET);
    // Late, and hot: the alert would have begun earlier.
    world.at_degrees("pi", at(21, 0), 60, 85.0);
    world.build_with(QUIET);
    let rows = world.rows();
    assert_eq!(rows.len(), 2);
    let path = world.configured(QUIET);
    let from = (date() + Days::new(1)).to_string();
    world.build(&["--config", path.to_str().unwrap(), "--reevaluate", "--from", &from]);
    assert_eq!(world.rows(), rows);
}

#[test]
fn rules_look_back_over_midnight() {
    let world = World::new();
    let rule = format!(
        "{QUIET}[[alert]]\nid = \"filling\"\nkind = \"forecast\"\ncolumn = \"disk_root_free_gb_min\"\nwindow = \"1h\"\n\
         reaches = 0\nwithin = \"24h\"\nexpire_after = \"7d\"\n"
    );
    let filling = |from: DateTime<Utc>, minutes: i64, free_gb: f64| {
        let row = |n: i64| HostMetricsSample {
            disk_root_free_gb: Some(free_gb - 0.01 * n as f64),
            ..sample("pi", from + TimeDelta::seconds(10 * n))
        };
        let rows: Vec<HostMetricsSample> = (0..6 * minutes).map(row).collect();
        world.lake().host_metrics().append(&rows).unwrap();
    };
    filling(at(23, 10), 50, 9.0);
    world.build_with(&rule);
    assert_eq!(world.events(), [], "ten points are too few");
    // The first sample of a date changes the rollup of the date before, a further one does not.
    filling(at(24, 0), 5, 6.0);
    world.build_with(&rule);
    assert_eq!(world.events(), [], "eleven points are too few");
    filling(at(24, 5), 5, 5.7);
    world.build_with(&rule);
    assert_eq!(world.events(), owned(&[("filling", "firing", "00:10", "fired")]));
}

#[test]
fn another_interval_goes_on_from_where_the_rules_stood() {
    let world = World::new();
    world.at_degrees("pi", at(10, 0), 60, 85.0);
    world.build_with(QUIET);
    world.at_degrees("pi", at(11, 0), 60, 50.0);
    world.build_with(&format!("rollup_interval_minutes = 15\n{QUIET}"));
    let expected = [("cpu-hot", "firing", "10:15", "fired"), ("cpu-hot", "resolved", "11:30", "cleared")];
    assert_eq!(world.events(), owned(&expected));
}

#[test]
fn what_is_older_than_a_week_is_evaluated_on_demand() {
    let world = World::new();
    let long_ago = at(10, 0) - TimeDelta::days(30);
    world.at_degrees("pi", long_ago, 60, 85.0);
    world.build(&[]);
    assert_eq!(world.events(), []);
    world.build(&["--reevaluate", "--from", &long_ago.date_naive().to_string()]);
    let rules: Vec<(String, String)> =
        world.events().into_iter().map(|(rule, state, ..)| (rule, state)).collect();
    let pair = |rule: &str, state: &str| (rule.to_owned(), state.to_owned());
    assert_eq!(
        rules,
        [
            pair("cpu-hot", "firing"),
            pair("host-silent", "firing"),
            pair("cpu-hot", "resolved"),
            pair("host-silent", "resolved")
        ]
    );
}

fn json(ended: &Ended) -> Vec<Value> {
    assert_eq!(ended.stderr, "", "{ended:?}");
    ended.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn alerts_are_shown_as_asked_for() {
    let world = World::new();
    assert_eq!(world.run(&["alerts"]).stdout, "no alerts\n");
    assert!(!world.path().exists(), "looking wrote something");
    world.a_hot_half_hour();
    world.build(&[]);

    let table = world.run(&["alerts"]);
    assert_eq!(table.stdout.lines().count(), 3, "{}", table.stdout);
    assert!(table.stdout.contains("host-silent") && !table.stdout.contains("cpu-hot"), "{}", table.stdout);
    let history = json(&world.run(&["alerts", "--history", "--format", "json"]));
    assert_eq!(
        history.iter().map(|row| row["alert_type"].as_str().unwrap()).collect::<Vec<_>>(),
        ["cpu-hot", "host-silent"]
    );
    assert_eq!(history[0]["state"], "resolved");
    let day_after = (date() + Days::new(1)).to_string();
    let of_range = |from: &str, to: &str| {
        json(&world.run(&["alerts", "--history", "--from", from, "--to", to, "--format", "json"])).len()
    };
    assert_eq!(of_range(&date().to_string(), &date().to_string()), 2);
    assert_eq!(of_range(&day_after, &day_after), 1, "what still fires is part of every later day");
    assert_eq!(of_range("2026-01-01", "2026-01-02"), 0);

    let all = json(&world.run(&["alerts", "--since", "none", "--format", "json"]));
    assert_eq!(all.len(), 3);
    let since = |index: usize| {
        world.run(&["alerts", "--since", all[index]["event_id"].as_str().unwrap(), "--format", "json"])
    };
    assert_eq!(json(&since(0)), all[1..]);
    assert_eq!(json(&since(2)), Vec::<Value>::new());
    let unknown = world.run(&["alerts", "--since", "0123"]);
    assert_eq!(unknown.code, 1);
    assert!(unknown.stderr.contains("there is no event 0123 in the lake"), "{}", unknown.stderr);
}

#[test]
fn the_exit_code_says_what_fires_if_it_is_asked_to() {
    let world = World::new();
    world.a_hot_half_hour();
    world.build_with("[[alert]]\nid = \"host-silent\"\nseverity = \"warning\"\n");
    for (flags, code) in [
        (&["alerts"][..], 0),
        (&["alerts", "--fail-on", "critical"], 0),
        (&["alerts", "--fail-on", "warning"], 4),
        (&["alerts", "--fail-on", "info", "--history"], 4),
        (&["alerts", "--fail-on", "fatal"], 2),
        (&["alerts", "--since", "none", "--history"], 2),
    ] {
        assert_eq!(world.run(flags).code, code, "{flags:?}");
    }
}

#[test]
fn alertmanager_is_told_what_fires_and_what_has_just_ended() {
    let world = World::new();
    world.a_hot_half_hour();
    world.build(&[]);
    let got = world.run(&["alerts", "--format", "alertmanager"]);
    let body: Vec<Value> = serde_json::from_str(&got.stdout).unwrap();
    let ends = |alert: &Value| alert["endsAt"].as_str().unwrap().parse::<DateTime<Utc>>().unwrap();
    let names: Vec<&str> = body.iter().map(|alert| alert["labels"]["alertname"].as_str().unwrap()).collect();
    assert_eq!(names, ["cpu-hot", "host-silent"]);
    assert_eq!(ends(&body[0]), at(11, 10));
    assert!(ends(&body[1]) > Utc::now());
}

#[test]
fn rules_are_checked_and_rehearsed_without_a_trace() {
    let world = World::new();
    world.a_hot_half_hour();
    world.build_with("[[alert]]\nid = \"cpu-hot\"\nenabled = false\n");
    let rows = world.rows().len();
    let path = world.configured("[[alert]]\nid = \"cpu-hot\"\nfor = \"0s\"\n");
    let check =
        |more: &[&str]| world.run(&[&["check-rules", "--config", path.to_str().unwrap()], more].concat());
    let table = check(&[]);
    assert_eq!((table.code, table.stderr.as_str()), (0, ""));
    assert!(
        table.stdout.starts_with("11 rules are in order. What they would have found since "),
        "{}",
        table.stdout
    );
    assert!(table.stdout.contains("cpu-hot"), "{}", table.stdout);
    let found = json(&check(&["--format", "json"]));
    let starts =
        date().and_hms_opt(10, 25, 0).unwrap().and_utc().to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
    assert!(
        found.iter().any(|row| row["alert_type"] == "cpu-hot" && row["starts_at"] == starts.as_str()),
        "{found:#?}"
    );
    let before = (date() - Days::new(1)).to_string();
    assert_eq!(json(&check(&["--from", &before, "--to", &before, "--format", "json"])), Vec::<Value>::new());
    assert_eq!(world.rows().len(), rows, "a rehearsal wrote rows");
}

#[test]
fn a_bad_rule_stops_every_verb_with_file_rule_and_key() {
    let world = World::new();
    let path = world.configured("[[alert]]\nid = \"cpu-hot\"\nfier = 70\n");
    for verb in ["build", "check-rules", "alerts"] {
        let got = world.run(&[verb, "--config", path.to_str().unwrap()]);
        assert_eq!(got.code, 78, "{verb}: {got:?}");
        let expected = format!(
            "{}: bad alert rule: alert cpu-hot: unknown key `fier`, did you mean `fire`?",
            path.display()
        );
        assert!(got.stderr.contains(&expected), "{}", got.stderr);
    }
}

#[test]
fn alerts_expire_by_their_own_days() {
    let world = World::new();
    world.a_hot_half_hour();
    world.build(&[]);
    let path = world.configured("[retention]\nalerts_days = 1\n");
    let got = world.run(&["expire", "--config", path.to_str().unwrap()]);
    assert_eq!((got.code, got.stderr.as_str()), (0, ""));
    assert_eq!(world.rows(), []);
}
