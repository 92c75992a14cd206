//! `sql`: what is printed for other engines.

use crate::support::World;

#[test]
fn the_rollup_is_printed_for_each_engine_as_configured() {
    let world = World::new();
    let minutes = ["--rollup-interval-minutes", "15"];
    for (engine, its_own) in [
        (None, "read_parquet"),
        (Some("duckdb"), "read_parquet"),
        (Some("datafusion"), "arrow_cast"),
        (Some("spark"), "USING parquet"),
    ] {
        let chosen: Vec<&str> = engine.into_iter().flat_map(|engine| ["--engine", engine]).collect();
        let got = world.run(&[&["sql", "--rollup"][..], &chosen, &minutes].concat());
        assert_eq!((got.code, got.stderr.as_str()), (0, ""));
        assert!(got.stdout.starts_with("-- ops_host_metrics_15m_rollup\n"), "{}", got.stdout);
        assert!(got.stdout.contains(its_own), "{}", got.stdout);
        let lake = world.path().display().to_string().replace('\\', "/");
        assert!(got.stdout.contains(&lake), "{}", got.stdout);
        assert!(got.stdout.contains(" 900000000 /* bucket_us */"), "{}", got.stdout);
    }
    assert!(!world.path().exists(), "printing wrote something");
}

#[test]
fn an_engine_without_a_rollup_or_an_unknown_one_is_wrong_usage() {
    let world = World::new();
    for arguments in [&["sql", "--engine", "spark"][..], &["sql", "--rollup", "--engine", "oracle"]] {
        let got = world.run(arguments);
        assert_eq!((got.code, got.stdout.as_str()), (2, ""), "{arguments:?}");
    }
}
