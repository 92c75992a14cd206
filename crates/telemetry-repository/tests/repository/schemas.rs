//! Files of an older and of a newer schema, written once and never again: `fixtures/lake`.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use polars::prelude::{DataFrame, IntoColumn as _, KeyValueMetadata, NamedFrom as _, ParquetWriter, Series};
use telemetry_repository::{DataFile, Lake, Selection, frame_from_rows, rows_from_frame};
use telemetry_schema::{HOST_METRICS, HostMetricsSample};
use tracing::span;

use crate::samples::{instant, samples, temporary_lake};

const OLDER: &str = "older-schema";
const NEWER: &str = "newer-schema";
const DIRECTORY: &str = "silver/ops_host_metrics/date=2026-11-20";
const OLDER_FILE: &str = "pi__20261120T120000Z__20261120T120051Z__r6__0000000older.parquet";
const NEWER_FILE: &str = "pi__20261120T130000Z__20261120T130051Z__r6__0000000newer.parquet";

fn fixture(case: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/lake").join(case).join(DIRECTORY)
}

fn mixed_lake() -> (tempfile::TempDir, Lake) {
    let (keep, root) = temporary_lake();
    fs::create_dir_all(root.join(DIRECTORY)).unwrap();
    for (case, file) in [(OLDER, OLDER_FILE), (NEWER, NEWER_FILE)] {
        fs::copy(fixture(case).join(file), root.join(DIRECTORY).join(file)).unwrap();
    }
    let lake = Lake::new(root);
    lake.host_metrics().append(&samples("pi", instant("2026-11-20T14:00:00Z"), 6)).unwrap();
    (keep, lake)
}

#[test]
fn files_of_all_schemas_are_read_together() {
    let (_keep, lake) = mixed_lake();
    let store = lake.host_metrics().store().clone();
    let columns: Vec<_> = HOST_METRICS.columns.iter().map(|column| column.name).collect();
    let files = store.files(&Selection::all()).unwrap();
    let read = |file: &DataFile| rows_from_frame(&store.read(file, &columns).unwrap()).unwrap();
    let rows: Vec<HostMetricsSample> = files.iter().flat_map(read).collect();
    let mut expected = samples("pi", instant("2026-11-20T12:00:00Z"), 6);
    expected.iter_mut().for_each(|sample| sample.clock_synced = None);
    expected.extend(samples("pi", instant("2026-11-20T13:00:00Z"), 6));
    expected.extend(samples("pi", instant("2026-11-20T14:00:00Z"), 6));
    assert_eq!(rows, expected);
    assert_eq!(store.footer(&files[0]).unwrap().schema_version(), Some(0));
    assert_eq!(store.footer(&files[1]).unwrap().schema_version(), Some(2));
}

#[test]
fn only_newer_files_are_warned_of() {
    let (_keep, lake) = mixed_lake();
    let store = lake.host_metrics().store().clone();
    let warnings = Warnings::default();
    tracing::subscriber::with_default(warnings.clone(), || {
        for file in store.files(&Selection::all()).unwrap() {
            store.read(&file, &["cpu_pct"]).unwrap();
        }
    });
    let warnings = warnings.0.lock().unwrap();
    let [warning] = warnings.as_slice() else { panic!("{warnings:?}") };
    assert!(warning.contains(NEWER_FILE) && warning.contains("newer schema"), "{warning}");
}

/// Collects events at or above warnings, as text.
#[derive(Clone, Default)]
struct Warnings(Arc<Mutex<Vec<String>>>);

impl tracing::Subscriber for Warnings {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        *metadata.level() <= tracing::Level::WARN
    }
    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }
    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn event(&self, event: &tracing::Event<'_>) {
        self.0.lock().unwrap().push(format!("{event:?}"));
    }
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

/// Wrote the two files; kept to show how. It refuses to write them again.
#[test]
#[ignore = "the golden files exist and are never regenerated"]
fn write_the_golden_files() {
    let older =
        frame_from_rows(&samples("pi", instant("2026-11-20T12:00:00Z"), 6)).drop("clock_synced").unwrap();
    write(OLDER, OLDER_FILE, 0, older);
    let mut newer = frame_from_rows(&samples("pi", instant("2026-11-20T13:00:00Z"), 6));
    let added = Series::new("gpu_temp_c".into(), [48.2, 48.3, 48.2, 48.9, 49.0, 49.1]);
    newer.with_column(added.into_column()).unwrap();
    write(NEWER, NEWER_FILE, 2, newer);
}

fn write(case: &str, file: &str, schema_version: u32, mut frame: DataFrame) {
    fs::create_dir_all(fixture(case)).unwrap();
    let times = frame.column("as_of").unwrap().datetime().unwrap().physical().clone();
    let (min, max) = (times.iter().flatten().min().unwrap(), times.iter().flatten().max().unwrap());
    let pairs = [
        ("telemetry.dataset", HOST_METRICS.name.to_owned()),
        ("telemetry.schema_version", schema_version.to_string()),
        ("telemetry.writer", "telemetry-repository 0.1.0".to_owned()),
        ("telemetry.rows", frame.height().to_string()),
        ("telemetry.time_min_us", min.to_string()),
        ("telemetry.time_max_us", max.to_string()),
    ];
    let pairs = pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
    ParquetWriter::new(fs::File::create_new(fixture(case).join(file)).unwrap())
        .with_key_value_metadata(Some(KeyValueMetadata::from_static(pairs)))
        .finish(&mut frame)
        .unwrap();
}
