use super::*;
use crate::{LogLevel, TelemetryConfig};

fn load(environment: &[(&str, &str)], flags: &[(&str, &'static str, &str)]) -> Result<Loaded, ConfigError> {
    let mut layers = Layers::new();
    apply(&mut layers, environment, flags)?;
    layers.finish()
}

fn apply(
    layers: &mut Layers,
    environment: &[(&str, &str)],
    flags: &[(&str, &'static str, &str)],
) -> Result<(), ConfigError> {
    for (name, text) in environment {
        let key = name.strip_prefix(ENVIRONMENT_PREFIX).unwrap();
        layers.add_text(KeyPath::from_environment(key), text, Origin::Environment((*name).to_owned()))?;
    }
    for (flag, key, text) in flags {
        layers.add_text(KeyPath::top(key), text, Origin::Flag((*flag).to_owned()))?;
    }
    Ok(())
}

#[track_caller]
fn refused(environment: &[(&str, &str)], flags: &[(&str, &'static str, &str)]) -> String {
    load(environment, flags).unwrap_err().to_string()
}

#[test]
fn the_default_file_says_the_defaults() {
    let file: Table = toml::from_str(DEFAULT_TOML).unwrap();
    let read = TelemetryConfig::deserialize(Value::Table(file)).unwrap();
    assert_eq!(read, TelemetryConfig::default());
    let sorted = |mut keys: Vec<KeyPath>| {
        keys.sort();
        keys
    };
    let serialized = Table::try_from(TelemetryConfig {
        host_id: Some("x".into()),
        network_interface: Some("x".into()),
        ..TelemetryConfig::default()
    });
    assert_eq!(
        sorted(leaves(&reference())),
        sorted(leaves(&serialized.unwrap())),
        "a key lacks its lines in default.toml"
    );
}

#[test]
fn what_is_said_is_listed_with_its_origin() {
    let loaded = load(&[("TELEMETRY__LOG__LEVEL", "debug")], &[("--host-id", "host_id", "pi")]).unwrap();
    let expected = [
        ("host_id = \"pi\"".to_owned(), Origin::Flag("--host-id".to_owned())),
        ("log.level = \"debug\"".to_owned(), Origin::Environment("TELEMETRY__LOG__LEVEL".to_owned())),
    ];
    assert_eq!(loaded.settings(), expected);
}

#[test]
fn later_layers_win_key_by_key() {
    let loaded = load(
        &[
            ("TELEMETRY_HOST_ID", "from-environment"),
            ("TELEMETRY_ENABLED", "false"),
            ("TELEMETRY__LOG__LEVEL", "debug"),
        ],
        &[("--host-id", "host_id", "123")],
    )
    .unwrap();
    assert_eq!(loaded.config.host_id.as_deref(), Some("123"));
    assert!(!loaded.config.enabled);
    assert_eq!(loaded.config.log.level, LogLevel::Debug);
    let text = loaded.to_toml();
    assert!(text.contains("host_id = \"123\""), "{text}");
    assert!(
        text.lines()
            .any(|line| line.starts_with("enabled = false")
                && line.ends_with("# environment TELEMETRY_ENABLED"))
    );
    assert!(
        text.lines()
            .any(|line| line.starts_with("sample_interval_seconds = 10") && line.ends_with("# default"))
    );
    assert!(text.contains("# network_interface is not set"));
    toml::from_str::<Table>(&text).unwrap();
}

#[test]
fn a_file_is_read_with_its_sections() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("telemetry.toml");
    std::fs::write(&path, "host_id = \"pi\"\n[provider]\ndeadline_ms = 5\n").unwrap();
    let mut layers = Layers::new();
    layers.add_file(&path).unwrap();
    assert_eq!(layers.config.host_id.as_deref(), Some("pi"));
    assert_eq!(layers.config.provider.deadline_ms, 5);
}

#[test]
fn files_are_refused_with_their_name() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("telemetry.toml");
    let name = path.display();
    let cases = [
        (
            "sampel_interval_seconds = 5",
            format!("{name}: unknown key `sampel_interval_seconds`, did you mean `sample_interval_seconds`?"),
        ),
        ("[provder]\ndeadline_ms = 5", format!("{name}: unknown key `provder`")),
        ("[log]\nlevle = \"info\"", format!("{name}: unknown key `log.levle`, did you mean `log.level`?")),
        ("[[alarms]]\nid = 1", format!("{name}: unknown key `alarms`")),
        (
            "enabled = \"yes\"",
            format!(
                "{name}: bad value for `enabled`: invalid type: string \"yes\", expected a boolean, got \"yes\""
            ),
        ),
        (
            "sample_interval_seconds = -1",
            format!(
                "{name}: bad value for `sample_interval_seconds`: invalid value: integer `-1`, expected a whole number, got -1"
            ),
        ),
        ("log = 3", format!("{name}: bad value for `log`")),
        ("host_id = ", format!("{name} is not valid TOML")),
    ];
    for (text, message) in cases {
        std::fs::write(&path, text).unwrap();
        let error = Layers::new().add_file(&path).unwrap_err().to_string();
        assert!(error.starts_with(&message), "{error}\ninstead of\n{message}");
    }
    let missing = directory.path().join("nowhere.toml");
    let error = Layers::new().add_file(&missing).unwrap_err().to_string();
    assert_eq!(error, format!("cannot read the configuration file {}", missing.display()));
}

#[test]
fn values_that_cannot_be_are_refused_with_what_is_allowed() {
    let flag = |key: &'static str, text| refused(&[], &[("--flag", key, text)]);
    assert!(flag("sample_interval_seconds", "0").contains("expected seconds from 1 to 86400, got 0"));
    assert!(flag("rollup_interval_minutes", "7").contains("7 minutes does not divide a day"));
    assert!(flag("rollup_interval_minutes", "five").contains("expected a whole number"));
    assert!(flag("host_id", "../x").contains("[A-Za-z0-9][A-Za-z0-9._-]{0,62}"));
    assert!(flag("host_id", "").contains("[A-Za-z0-9]"));
    let too_long = "a".repeat(300);
    assert!(refused(&[], &[("--host-id", "host_id", &too_long)]).contains("[A-Za-z0-9]"));
    assert!(flag("network_interface", "").contains("expected the name of an interface"));
    assert!(flag("lake", "").contains("expected a directory"));
    assert!(
        refused(&[("TELEMETRY_HOSTID", "pi")], &[]).contains("unknown key `hostid`, did you mean `host_id`?")
    );
    assert!(refused(&[("TELEMETRY__LOG__LEVEL", "loud")], &[]).contains("expected one of"));
}

#[test]
fn only_flags_are_wrong_usage() {
    assert!(load(&[], &[("--host-id", "host_id", "")]).unwrap_err().is_usage());
    assert!(!load(&[("TELEMETRY_HOST_ID", "")], &[]).unwrap_err().is_usage());
}

/// Files one after the other.
fn load_files(texts: &[&str]) -> Result<Loaded, ConfigError> {
    let directory = tempfile::tempdir().unwrap();
    let mut layers = Layers::new();
    for (number, text) in texts.iter().enumerate() {
        let path = directory.path().join(format!("{number}.toml"));
        std::fs::write(&path, text).unwrap();
        layers.add_file(&path)?;
    }
    layers.finish()
}

/// The chain of errors, without the directory of the files.
#[track_caller]
fn refused_files(texts: &[&str]) -> String {
    let error = anyhow::Error::new(load_files(texts).unwrap_err());
    let text = format!("{error:#}");
    text.rsplit_once(std::path::MAIN_SEPARATOR).map_or(text.clone(), |(_, from_name)| from_name.to_owned())
}

#[test]
fn alert_rules_of_later_files_win_key_by_key() {
    let first = "[[alert]]\nid = \"cpu-hot\"\nfire = 70\nclear = 60\n[[alert]]\nid = \"throttled\"\nenabled = false\n";
    let second = "[[alert]]\nid = \"cpu-hot\"\nseverity = \"critical\"\n";
    let loaded = load_files(&[first, second]).unwrap();
    let rules = loaded.alert_rules().unwrap();
    let hot = rules.rules().iter().find(|rule| rule.id() == "cpu-hot").unwrap();
    assert_eq!(hot.severity().as_str(), "critical");
    assert!(rules.rules().iter().all(|rule| rule.id() != "throttled"));
    let text = loaded.to_toml();
    let alert = text.split("[[alert]]").nth(1).unwrap();
    assert!(alert.contains("0.toml\n") && alert.contains("fire = 70\n"), "{text}");
    assert_eq!(text.matches("[[alert]]").count(), 3, "{text}");
    text.parse::<Table>().unwrap();
}

#[test]
fn a_bad_alert_rule_names_file_rule_and_key() {
    let good = "[[alert]]\nid = \"cpu-hot\"\nfire = 85\nclear = 82\n";
    assert_eq!(
        refused_files(&[good, "[[alert]]\nid = \"cpu-hot\"\nclear = 90\n"]),
        "1.toml: bad alert rule: alert cpu-hot: bad value for `clear`: expected a number on the safe side of `fire`, at most 85, got 90"
    );
    assert_eq!(
        refused_files(&["[[alert]]\nid = \"x\"\nkind = \"treshold\"\n", good]),
        "0.toml: bad alert rule: alert x: bad value for `kind`: expected threshold, absent, forecast, change, got treshold"
    );
    let one_bracket = refused_files(&["[alert]\nid = \"cpu-hot\"\n"]);
    assert_eq!(
        one_bracket,
        "0.toml: bad value for `alert`: expected tables with two brackets, `[[alert]]`, got table"
    );
    let misspelt = refused_files(&["[[alerts]]\nid = \"cpu-hot\"\n"]);
    assert_eq!(misspelt, "0.toml: unknown key `alerts`, did you mean `alert`?");
}

#[test]
fn rules_fit_the_interval_of_the_rollup() {
    let rule = "[[alert]]\nid = \"x\"\nkind = \"change\"\ncolumn = \"cpu_pct_avg\"\nop = \">\"\nfire = 1\nover = \"10m\"\n";
    assert!(load_files(&[rule]).is_ok());
    let hourly = format!("rollup_interval_minutes = 60\n{rule}");
    assert!(refused_files(&[&hourly]).ends_with("bad value for `over`: expected at least 1h, got 10m"));
}

#[test]
fn the_alert_rules_of_the_default_file_can_be_used() {
    let example: String = DEFAULT_TOML
        .lines()
        .filter_map(|line| line.strip_prefix("#     "))
        .flat_map(|line| [line, "\n"])
        .collect();
    let loaded = load_files(&[&example]).unwrap();
    assert_eq!(example.matches("[[alert]]").count(), 3);
    let built_in = load_files(&[]).unwrap().alert_rules().unwrap().rules().len();
    assert_eq!(loaded.alert_rules().unwrap().rules().len(), built_in, "one less and one more");
}
