//! How rules are read: what is merged, and what a mistake says.
#![allow(clippy::unwrap_used)]

use telemetry_alert_rules::{BUILT_IN, RuleSet, Settings, Severity};
use telemetry_schema::HOST_METRICS_ROLLUP;
use toml::Table;

const SETTINGS: Settings = Settings { bucket_us: 300_000_000, sample_interval_us: 10_000_000 };

fn tables(text: &str) -> Vec<Table> {
    let document: Table = text.parse().unwrap();
    document["alert"].clone().try_into().unwrap()
}

fn error(text: &str) -> String {
    RuleSet::read(&[tables(text)], SETTINGS).unwrap_err().to_string()
}

/// A threshold rule with one key replaced or added.
fn with(line: &str) -> String {
    let key = line.split(" = ").next().unwrap();
    let lines =
        ["id = \"hot\"", "kind = \"threshold\"", "column = \"cpu_temp_c_max\"", "op = \">\"", "fire = 80"];
    let kept: Vec<&str> = lines.into_iter().filter(|known| known.split(" = ").next() != Some(key)).collect();
    format!("[[alert]]\n{}\n{line}\n", kept.join("\n"))
}

#[test]
fn the_built_in_rules_read_columns_that_exist() {
    let rules = RuleSet::read(&[], SETTINGS).unwrap();
    let ids: Vec<&str> = rules.rules().iter().map(|rule| rule.id()).collect();
    assert_eq!(
        ids,
        [
            "cpu-hot",
            "under-voltage",
            "throttled",
            "throttled-briefly",
            "disk-nearly-full",
            "disk-full-24h",
            "memory-low",
            "swap-busy",
            "cpu-saturated",
            "host-silent",
            "clock-unsynchronised"
        ]
    );
    for name in rules.columns() {
        assert!(HOST_METRICS_ROLLUP.column(name).is_some(), "{name}");
    }
    assert_eq!(tables(BUILT_IN).len(), ids.len());
    assert_eq!(rules.lookback_us(), 6 * 3_600_000_000);
}

#[test]
fn the_built_in_rules_fit_any_bucket_and_schedule() {
    for (minutes, seconds) in [(1, 1), (60, 10), (1_440, 10), (5, 1_800), (1_440, 86_400)] {
        let settings = Settings { bucket_us: minutes * 60_000_000, sample_interval_us: seconds * 1_000_000 };
        let rules = RuleSet::read(&[], settings).unwrap();
        assert!(rules.lookback_us() >= 12 * settings.bucket_us, "{minutes} min, {seconds} s");
    }
}

#[test]
fn a_table_with_a_known_id_changes_single_keys() {
    let files = [
        tables(
            "[[alert]]\nid = \"cpu-hot\"\nfire = 70\nclear = 60\n[[alert]]\nid = \"swap-busy\"\nenabled = false\n",
        ),
        tables(
            "[[alert]]\nid = \"cpu-hot\"\nseverity = \"info\"\n[[alert]]\nid = \"mine\"\nkind = \"absent\"\nafter = \"1h\"\nknown_for = \"1d\"\n",
        ),
    ];
    let rules = RuleSet::read(&files, SETTINGS).unwrap();
    let find = |id: &str| rules.rules().iter().find(|rule| rule.id() == id);
    assert_eq!(
        find("cpu-hot").map(|rule| (rule.severity(), rule.column())),
        Some((Severity::Info, Some("cpu_temp_c_max")))
    );
    assert!(find("swap-busy").is_none());
    assert_eq!(find("mine").map(|rule| (rule.severity(), rule.column())), Some((Severity::Warning, None)));
    assert_eq!(rules.rules().len(), 11);
}

#[test]
fn a_known_id_of_another_kind_is_another_rule() {
    let text = "[[alert]]\nid = \"cpu-hot\"\nkind = \"absent\"\nafter = \"1h\"\nknown_for = \"1d\"\n";
    let rules = RuleSet::read(&[tables(text)], SETTINGS).unwrap();
    assert_eq!(rules.rules().iter().find(|rule| rule.id() == "cpu-hot").unwrap().column(), None);
}

#[test]
fn mistakes_name_rule_key_and_what_is_allowed() {
    let cases = [
        ("fier = 80", "alert hot: unknown key `fier`, did you mean `fire`?"),
        ("colour = 1", "alert hot: unknown key `colour`, did you mean `column`?"),
        ("window = \"6h\"", "alert hot: unknown key `window`"),
        (
            "column = \"cpu_temp_c\"",
            "alert hot: `column` names no column of the rollup: cpu_temp_c, did you mean `cpu_temp_c_max`?",
        ),
        (
            "column = \"is_final\"",
            "alert hot: bad value for `column`: expected a column of the rollup that holds numbers, got is_final, a boolean",
        ),
        (
            "column = \"host_id\"",
            "alert hot: bad value for `column`: expected a column of the rollup that holds numbers, got host_id, a string",
        ),
        ("of = \"xyz\"", "alert hot: `of` names no column of the rollup: xyz"),
        ("op = \"=\"", "alert hot: bad value for `op`: expected \">\", \">=\", \"<\" or \"<=\", got \"=\""),
        ("fire = \"hot\"", "alert hot: bad value for `fire`: expected a number, got \"hot\""),
        ("fire = nan", "alert hot: bad value for `fire`: expected a number, got NaN"),
        (
            "clear = 80.5",
            "alert hot: bad value for `clear`: expected a number on the safe side of `fire`, at most 80, got 80.5",
        ),
        (
            "for = \"ten minutes\"",
            "alert hot: bad value for `for`: expected a length of time in whole seconds, up to 366d, as \"10m\", \"24h\" or \"7d\", got \"ten minutes\"",
        ),
        ("expire_after = \"1m\"", "alert hot: bad value for `expire_after`: expected at least 5m, got 1m"),
        (
            "min_coverage = 1.5",
            "alert hot: bad value for `min_coverage`: expected a number from 0 to 1, got 1.5",
        ),
        (
            "severity = \"bad\"",
            "alert hot: bad value for `severity`: expected info, warning or critical, got \"bad\"",
        ),
        (
            "hosts = []",
            "alert hot: bad value for `hosts`: expected a list of globs over host_id, as [\"*\", \"!attic-*\"], got []",
        ),
        (
            "message = \"{hostname} is hot\"",
            "alert hot: bad value for `message`: expected a text with closed braces and the placeholders host, value, threshold, since, hours, got {hostname} is hot",
        ),
        ("enabled = \"no\"", "alert hot: bad value for `enabled`: expected true or false, got \"no\""),
        (
            "kind = \"treshold\"",
            "alert hot: bad value for `kind`: expected threshold, absent, forecast, change, got treshold",
        ),
        (
            "id = \"Hot!\"",
            "alert number 1: bad value for `id`: expected 1 to 40 characters a-z, 0-9 and -, got Hot!",
        ),
        (
            "and = [{ column = \"cpu_pct_max\", op = \">\", fire = 1, clear = 0 }]",
            "alert hot, `and` 1: unknown key `clear`",
        ),
        (
            "and = { column = \"cpu_pct_max\" }",
            "alert hot: bad value for `and`: expected a list of tables with the keys column, of, op and fire, got { column = \"cpu_pct_max\" }",
        ),
    ];
    for (line, message) in cases {
        assert_eq!(error(&with(line)), message, "{line}");
    }
}

#[test]
fn a_rule_has_a_name_of_its_own() {
    assert_eq!(
        error("[[alert]]\nkind = \"absent\"\n"),
        "alert number 1: key `id` is missing, expected 1 to 40 characters a-z, 0-9 and -"
    );
    assert_eq!(
        error("[[alert]]\nid = \"a\"\nkind = \"absent\"\n[[alert]]\nid = \"a\"\n"),
        "alert a stands twice in one file, expected one table for each id"
    );
}

#[test]
fn the_limits_of_each_kind_are_checked() {
    let short = "[[alert]]\nid = \"a\"\nkind = \"forecast\"\ncolumn = \"cpu_pct_avg\"\nwindow = \"55m\"\nreaches = 0\nwithin = \"1h\"\n";
    assert_eq!(error(short), "alert a: bad value for `window`: expected at least 1h, got 55m");
    let absent = "[[alert]]\nid = \"a\"\nkind = \"absent\"\nafter = \"1h\"\nknown_for = \"1h\"\n";
    assert_eq!(error(absent), "alert a: bad value for `known_for`: expected at least 1h 1s, got 1h");
    let change = "[[alert]]\nid = \"a\"\nkind = \"change\"\ncolumn = \"cpu_pct_avg\"\nop = \">\"\nfire = 1\nover = \"1m\"\n";
    assert_eq!(error(change), "alert a: bad value for `over`: expected at least 5m, got 1m");
    let below = "[[alert]]\nid = \"a\"\nkind = \"threshold\"\ncolumn = \"cpu_pct_avg\"\nop = \"<\"\nfire = 5\nclear = 4\n";
    assert_eq!(
        error(below),
        "alert a: bad value for `clear`: expected a number on the safe side of `fire`, at least 5, got 4"
    );
    assert_eq!(
        error(&with("enabled = false\nfor = 5")),
        "alert hot: bad value for `for`: expected a length of time in whole seconds, up to 366d, as \"10m\", \"24h\" or \"7d\", got 5"
    );
}

#[test]
fn the_page_of_alerts_says_what_is_built_in_and_its_examples_can_be_used() {
    let page = include_str!("../../../docs/alerts.md");
    for rule in RuleSet::read(&[], SETTINGS).unwrap().rules() {
        let line = format!("| `{}` | {} |", rule.id(), rule.severity().as_str());
        assert!(page.contains(&line), "{line}");
    }
    let examples: Vec<&str> =
        page.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert!(!examples.is_empty());
    for example in examples {
        RuleSet::read(&[tables(example)], SETTINGS).unwrap();
    }
}
