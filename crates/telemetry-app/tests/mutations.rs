//! Configuration files that are nearly right: a configuration or an error that names the file.
#![allow(clippy::unwrap_used)]

use std::error::Error;

use telemetry_app::{CommonFlags, ConfigError, DEFAULT_TOML, Loaded};
use telemetry_trials::mutation;

/// Every key, and rules over the built-in ones.
const RULES: &str = r#"
[[alert]]
id = "disk-full-24h"
reaches = 1
within = "12h"
[[alert]]
id = "hot-bench"
kind = "threshold"
column = "cpu_temp_c_max"
op = ">="
fire = 70.5
clear = 60
for = "10m"
hosts = ["bench-*", "pi"]
and = [{ column = "cpu_pct_avg", op = "<", fire = 20 }]
"#;

const WORDS: [&str; 18] = [
    "true",
    "false",
    "[collect]",
    "[[alert]]",
    "[alert]",
    "[log]",
    "level = \"debug\"",
    "lake = \"/lake\"",
    "\"5m\"",
    "\"999999999999d\"",
    "publish_interval_minutes = ",
    "rollup_interval_minutes = ",
    "silver_days = \"forever\"",
    "host_id = ",
    "kind = \"forecast\"",
    "2026-11-21T00:00:00Z",
    "'''",
    "#",
];

fn load(path: &std::path::Path) -> Result<Loaded, ConfigError> {
    CommonFlags { config: Some(path.to_owned()), ..CommonFlags::default() }.load()
}

/// The default file with its comments taken off where they hide a key.
fn every_key() -> String {
    let line = |line: &str| {
        let hidden = line.strip_prefix("# ").filter(|line| line.contains(" = "));
        format!("{}\n", hidden.unwrap_or(line))
    };
    DEFAULT_TOML.lines().map(line).collect::<String>() + RULES
}

#[test]
fn mutated_files_are_configurations_or_errors() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("telemetry.toml");
    let originals = [DEFAULT_TOML.to_owned() + RULES, every_key(), RULES.to_owned()];
    std::fs::write(&path, &originals[0]).unwrap();
    load(&path).unwrap();
    let (mut loaded, mut refused) = (0, 0);
    mutation::each("configuration files", 600, |mutator| {
        let original = &originals[mutator.number % originals.len()];
        std::fs::write(&path, mutator.text(original.as_bytes(), &WORDS)).unwrap();
        match load(&path) {
            Ok(configuration) => {
                loaded += 1;
                configuration.alert_rules().unwrap();
                let _ = configuration.config.rollup();
                let _ = configuration.host_id();
                assert!(!configuration.to_toml().is_empty());
            }
            Err(error) => {
                refused += 1;
                assert!(error.to_string().contains("telemetry.toml"), "{error}");
                let mut source = error.source();
                while let Some(error) = source {
                    assert!(!error.to_string().is_empty());
                    source = error.source();
                }
            }
        }
    });
    assert!(loaded > 0 && refused > loaded / 4, "{loaded} loaded, {refused} refused");
}
