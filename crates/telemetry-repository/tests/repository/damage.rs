use std::fs;
use std::path::{Path, PathBuf};

use polars::prelude::{IntoColumn as _, NamedFrom as _, ParquetWriter, Series};
use telemetry_repository::{DataFile, DatasetStore, Lake, RepositoryError, Selection, frame_from_rows};
use telemetry_schema::HOST_METRICS;

use crate::samples::{instant, sample, samples, temporary_lake};

fn read(store: &DatasetStore, file: &DataFile) -> Result<usize, RepositoryError> {
    let columns: Vec<_> = HOST_METRICS.columns.iter().map(|column| column.name).collect();
    store.footer(file)?;
    store.read(file, &columns).map(|frame| frame.height())
}

fn published(root: &Path, rows: usize) -> (DatasetStore, DataFile) {
    let lake = Lake::new(root);
    lake.host_metrics().append(&samples("pi", instant("2026-11-21T12:00:00Z"), rows)).unwrap();
    let store = lake.host_metrics().store().clone();
    let file = store.files(&Selection::all()).unwrap().remove(0);
    (store, file)
}

/// Reads the file with this content; anything but rows or [`RepositoryError::Damaged`] fails.
fn is_damaged(store: &DatasetStore, file: &DataFile, content: &[u8]) -> bool {
    fs::write(&file.path, content).unwrap();
    match read(store, file) {
        Ok(_) => false,
        Err(RepositoryError::Damaged { path, reason }) => {
            assert!(path == file.path && !reason.is_empty());
            true
        }
        Err(error) => panic!("{error:?}"),
    }
}

#[test]
fn truncated_empty_and_foreign_files_are_damaged() {
    let (_keep, root) = temporary_lake();
    let (store, file) = published(&root, 6);
    let whole = fs::read(&file.path).unwrap();
    assert!(!is_damaged(&store, &file, &whole));
    for length in (0..whole.len()).step_by(61) {
        assert!(is_damaged(&store, &file, &whole[..length]), "{length} bytes");
    }
    for content in
        [&b"PAR1"[..], b"PAR1PAR1", b"PAR1\0\0\0\0PAR1", b"PAR1\xff\xff\xff\xffPAR1", &[0; 4096], b"text"]
    {
        assert!(is_damaged(&store, &file, content), "{content:?}");
    }
    fs::remove_file(&file.path).unwrap();
    assert!(read(&store, &file).unwrap_err().is_not_found());
}

fn write(path: &Path, mut frame: polars::prelude::DataFrame) {
    ParquetWriter::new(fs::File::create(path).unwrap()).finish(&mut frame).unwrap();
}

#[test]
fn columns_of_another_type_are_damage() {
    let (_keep, root) = temporary_lake();
    let (store, file) = published(&root, 6);
    let frame = frame_from_rows(&[sample("pi", instant("2026-11-21T12:00:00Z"))]);
    let with = |series: Series| {
        let mut frame = frame.clone();
        frame.with_column(series.into_column()).unwrap();
        frame
    };
    for (wrong, column) in [
        (Series::new("cpu_pct".into(), [1_i64]), "cpu_pct"),
        (Series::new("cpu_count_logical".into(), [4_i64]), "cpu_count_logical"),
        (Series::new("as_of".into(), [4_i64]), "as_of"),
        (Series::new("host_id".into(), [None::<&str>]), "host_id"),
    ] {
        write(&file.path, with(wrong));
        let error = read(&store, &file).unwrap_err().to_string();
        assert!(error.contains(column), "{error}");
        assert_eq!(store.read(&file, &["net_rx_bytes"]).unwrap().height(), 1, "other columns are good");
    }
    write(&file.path, frame.drop("as_of").unwrap());
    assert!(matches!(read(&store, &file), Err(RepositoryError::Damaged { .. })));
    write(&file.path, frame);
    assert_eq!(read(&store, &file).unwrap(), 1, "a file without our footer is read");
}

#[test]
fn damaged_files_are_set_aside() {
    let (_keep, root) = temporary_lake();
    let (store, file) = published(&root, 6);
    let moved = store.quarantine(&file).unwrap();
    let name = file.path.file_name().unwrap();
    let expected: PathBuf = root.join(".quarantine/ops_host_metrics/date=2026-11-21").join(name);
    assert_eq!(moved, expected);
    assert!(moved.exists() && !file.path.exists());
    fs::write(&file.path, "").unwrap();
    let second = store.quarantine(&file).unwrap();
    assert!(second != moved && second.exists() && moved.exists());
}

#[test]
fn no_changed_value_passes_verification() {
    let (_keep, root) = temporary_lake();
    let (store, file) = published(&root, 40);
    let whole = fs::read(&file.path).unwrap();
    let columns: Vec<_> = HOST_METRICS.columns.iter().map(|column| column.name).collect();
    let rows = store.read(&file, &columns).unwrap();
    store.verify(&file).unwrap();
    let (mut random, mut found) = (fastrand::Rng::with_seed(11), 0);
    for _ in 0..1500 {
        let mut content = whole.clone();
        let at = random.usize(..content.len());
        content[at] ^= 1 << random.u8(..8);
        fs::write(&file.path, &content).unwrap();
        match store.verify(&file) {
            Ok(()) => assert!(store.read(&file, &columns).unwrap().equals_missing(&rows), "byte {at}"),
            Err(RepositoryError::Damaged { .. }) => found += 1,
            Err(error) => panic!("{error:?}"),
        }
    }
    assert!(found > 400, "{found}");
}

#[test]
fn a_file_is_verified_against_its_name_and_its_directory() {
    let (_keep, root) = temporary_lake();
    let (store, file) = published(&root, 6);
    let name = file.path.file_name().unwrap().to_str().unwrap().to_owned();
    let renamed = |new: String, date: &str| {
        let directory = file.path.parent().unwrap().with_file_name(format!("date={date}"));
        fs::create_dir_all(&directory).unwrap();
        let path = directory.join(new);
        fs::copy(&file.path, &path).unwrap();
        let files = store.files_on(date.parse().unwrap()).unwrap();
        let copy = files.into_iter().find(|other| other.path == path).unwrap();
        store.verify(&copy).unwrap_err().to_string()
    };
    for (new, date, expected) in [
        (name.replace("__r6__", "__r7__"), "2026-11-21", "its name says 7"),
        (name.replacen("pi__", "other__", 1), "2026-11-21", "rows of pi"),
        (name.replace("120051Z", "120041Z"), "2026-11-21", "other times"),
        ("foreign.parquet".to_owned(), "2026-11-22", "other dates"),
    ] {
        let error = renamed(new.clone(), date);
        assert!(error.contains(expected), "{new}: {error}");
    }
}
