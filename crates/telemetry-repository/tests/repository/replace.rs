use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use chrono::{NaiveDate, TimeDelta};
use polars::prelude::DataFrame;
use telemetry_repository::{
    ContentHasher, DatasetStore, Lake, RepositoryError, RollupFileName, Selection, data_type,
    frame_from_rows, keys,
};
use telemetry_schema::{HOST_METRICS, HOST_METRICS_ROLLUP};

use crate::samples::{samples, temporary_lake, tree};

fn rollup(root: &Path) -> DatasetStore {
    Lake::new(root).store(&HOST_METRICS_ROLLUP, HOST_METRICS_ROLLUP.name.to_owned())
}

fn name(date: NaiveDate, generation: u64) -> RollupFileName {
    RollupFileName { date, generation, digest: 0xabc, is_final: true }
}

fn day(text: &str) -> NaiveDate {
    text.parse().unwrap()
}

/// Buckets of one host; the columns that do not matter here are left out.
fn buckets(date: NaiveDate, count: usize) -> DataFrame {
    let first = date.and_hms_opt(0, 0, 0).unwrap().and_utc();
    let mut samples = samples("pi", first, count);
    for (index, sample) in samples.iter_mut().enumerate() {
        sample.as_of = first + TimeDelta::minutes(5 * index as i64);
    }
    let mut frame = frame_from_rows(&samples).select(["as_of", "host_id", "net_rx_bytes"]).unwrap();
    frame.rename("as_of", "bucket_start".into()).unwrap();
    frame
}

#[test]
fn a_date_is_replaced_as_a_whole_and_others_are_not_touched() {
    let (_keep, root) = temporary_lake();
    let store = rollup(&root);
    let (one, two) = (day("2026-11-20"), day("2026-11-21"));
    for date in [one, two] {
        let extra = [("telemetry.hour_digests".to_owned(), "00ff".to_owned())];
        let replaced = store.replace_date(date, &buckets(date, 288), &name(date, 1), &extra).unwrap();
        assert_eq!((replaced.rows, replaced.path.exists()), (288, true));
    }
    let untouched = identity(&store.files_on(one).unwrap()[0].path);
    store.replace_date(two, &buckets(two, 100), &name(two, 2), &[]).unwrap();
    assert_eq!(identity(&store.files_on(one).unwrap()[0].path), untouched);

    let files = store.files_on(two).unwrap();
    assert_eq!(files.len(), 1);
    assert_eq!(files[0].name.rollup(), Some(&name(two, 2)));
    assert_eq!(store.read(&files[0], &["host_id"]).unwrap().height(), 100);
    let footer = store.footer(&store.files_on(one).unwrap()[0]).unwrap();
    assert_eq!(footer.get("telemetry.hour_digests"), Some("00ff"));
    assert!(footer.get(keys::COLUMNS).unwrap().starts_with("[{\"name\":\"bucket_start\",\"unit\":\"\""));

    // The old date waits in the trash, then goes.
    let trashed: Vec<_> =
        tree(&root.join(".trash")).into_iter().filter(|path| path.ends_with(".parquet")).collect();
    assert_eq!(trashed.len(), 1);
    let now = chrono::Utc::now();
    assert_eq!(Lake::new(&root).clean_staging(now).unwrap().trashed, 0);
    assert_eq!(Lake::new(&root).clean_staging(now + TimeDelta::hours(2)).unwrap().trashed, 1);
    drop(store);
    assert_eq!(tree(&root.join(".staging")), [""; 0]);
}

#[cfg(unix)]
fn identity(path: &Path) -> (u64, std::time::SystemTime) {
    let metadata = fs::metadata(path).unwrap();
    (std::os::unix::fs::MetadataExt::ino(&metadata), metadata.modified().unwrap())
}

#[cfg(not(unix))]
fn identity(path: &Path) -> (u64, std::time::SystemTime) {
    let metadata = fs::metadata(path).unwrap();
    (metadata.len(), metadata.modified().unwrap())
}

/// As DuckDB opens its files on Windows: others may read them, and no more.
#[cfg(windows)]
#[test]
fn a_date_that_a_reader_has_open_stays_as_it_is_until_it_is_closed() {
    use std::os::windows::fs::OpenOptionsExt as _;
    const FILE_SHARE_READ: u32 = 1;

    let (_keep, root) = temporary_lake();
    let store = rollup(&root);
    let date = day("2026-11-21");
    let replace = |generation| store.replace_date(date, &buckets(date, 12), &name(date, generation), &[]);
    let generations = || -> Vec<_> {
        let files = store.files_on(date).unwrap();
        files.iter().map(|file| file.name.rollup().unwrap().generation).collect()
    };
    let old = replace(1).unwrap().path;
    let reader = fs::OpenOptions::new().read(true).share_mode(FILE_SHARE_READ).open(&old).unwrap();
    let error = replace(2).unwrap_err();
    assert!(error.to_string().contains("move to the trash"), "{error}");
    assert_eq!(generations(), [1]);
    // One that closes it while the next run waits for that.
    let closing = std::thread::spawn(move || {
        std::thread::sleep(std::time::Duration::from_millis(150));
        drop(reader);
    });
    replace(2).unwrap();
    closing.join().unwrap();
    assert_eq!(generations(), [2]);
}

#[test]
fn the_content_hash_can_be_computed_again_from_the_file() {
    let (_keep, root) = temporary_lake();
    let store = rollup(&root);
    let date = day("2026-11-21");
    let replaced = store.replace_date(date, &buckets(date, 288), &name(date, 1), &[]).unwrap();
    let file = &store.files_on(date).unwrap()[0];
    assert_eq!(store.footer(file).unwrap().get(keys::CONTENT_HASH), Some(replaced.content_hash.as_str()));
    let columns = ["host_id", "net_rx_bytes", "bucket_start"];
    let frame = store.read(file, &columns).unwrap();
    let hash = |parts: &[DataFrame]| {
        let mut hasher = ContentHasher::new(&HOST_METRICS_ROLLUP, |column| columns.contains(&column));
        parts.iter().for_each(|part| hasher.update(part).unwrap());
        hasher.finish()
    };
    assert_eq!(hash(std::slice::from_ref(&frame)), replaced.content_hash);
    assert_eq!(hash(&[frame.slice(0, 7), frame.slice(7, 1000)]), replaced.content_hash);
    assert_ne!(hash(&[frame.slice(0, 7)]), replaced.content_hash);
    assert_ne!(hash(&[frame.slice(7, 1000), frame.slice(0, 7)]), replaced.content_hash);
}

#[test]
fn frames_that_do_not_fit_are_refused_and_nothing_is_left() {
    let (_keep, root) = temporary_lake();
    let store = rollup(&root);
    let date = day("2026-11-21");
    let good = buckets(date, 12);
    let mut wrong_type = good.clone();
    wrong_type
        .apply("net_rx_bytes", |column| column.cast(&polars::prelude::DataType::Float64).unwrap())
        .unwrap();
    let mut unknown = good.clone();
    unknown.rename("net_rx_bytes", "nonsense".into()).unwrap();
    let other_date = buckets(day("2026-11-20"), 12);
    let unsorted = good.slice(6, 6).vstack(&good.slice(0, 6)).unwrap();
    let no_host = good.drop("host_id").unwrap();
    for bad in [&wrong_type, &unknown, &other_date, &unsorted, &no_host, &good.drop("bucket_start").unwrap()]
    {
        let error = store.replace_date(date, bad, &name(date, 1), &[]).unwrap_err();
        assert!(matches!(error, RepositoryError::InvalidFrame { .. }), "{error:?}");
    }
    assert!(store.dates().unwrap().is_empty());
    store.replace_date(date, &good, &name(date, 5), &[]).unwrap();
    let error = store.replace_date(date, &good, &name(date, 5), &[]).unwrap_err();
    assert!(matches!(error, RepositoryError::Conflict { .. }), "{error:?}");
    store.replace_date(date, &good.slice(0, 0), &name(date, 6), &[]).unwrap();
    let file = &store.files(&Selection::all()).unwrap()[0];
    assert_eq!(store.footer(file).unwrap().rows, 0);
    assert_eq!(store.read(file, &["bucket_start", "coverage"]).unwrap().shape(), (0, 2));
    drop(store);
    assert_eq!(tree(&root.join(".staging")), [""; 0]);
}

#[test]
fn readers_see_the_old_or_the_new_rows() {
    let (_keep, root) = temporary_lake();
    let store = rollup(&root);
    let date = day("2026-11-21");
    store.replace_date(date, &buckets(date, 1), &name(date, 1), &[]).unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for generation in 2..60 {
                store
                    .replace_date(date, &buckets(date, generation as usize), &name(date, generation), &[])
                    .unwrap();
            }
            done.store(true, Ordering::Relaxed);
        });
        while !done.load(Ordering::Relaxed) {
            let files = store.files_on(date).unwrap();
            // Between listing a directory and looking at its entries it may have been exchanged.
            let [file] = files.as_slice() else { continue };
            match store.read(file, &["host_id"]) {
                Ok(frame) => assert_eq!(frame.height() as u64, file.name.rollup().unwrap().generation),
                Err(error) => assert!(error.is_not_found(), "{error:?}"),
            }
        }
    });
    assert_eq!(store.files_on(date).unwrap()[0].name.rollup().unwrap().generation, 59);
}

#[test]
fn a_scan_looks_again_for_what_was_replaced_meanwhile() {
    let (_keep, root) = temporary_lake();
    let store = rollup(&root);
    let date = day("2026-11-21");
    let replace = |generation: u64| {
        store.replace_date(date, &buckets(date, generation as usize), &name(date, generation), &[]).unwrap()
    };
    replace(1);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            (2..60).for_each(|generation| drop(replace(generation)));
            done.store(true, Ordering::Relaxed);
        });
        let mut last = 1;
        while !done.load(Ordering::Relaxed) {
            let frames = store.scan(&Selection::all(), &["host_id"]).unwrap();
            let rows: Vec<usize> = frames.iter().map(DataFrame::height).collect();
            // Windows has no exchange: the old file may still be there.
            assert!(rows.len() == 1 || cfg!(windows) && rows.len() == 2, "{rows:?}");
            let newest = rows.into_iter().max().unwrap();
            assert!(newest >= last, "{newest} rows, {last} before");
            last = newest;
        }
    });
    let frames = store.scan(&Selection::on(date), &["host_id"]).unwrap();
    assert_eq!(frames.iter().map(DataFrame::height).collect::<Vec<_>>(), [59]);
    assert!(store.scan(&Selection::on(day("2026-11-20")), &["host_id"]).unwrap().is_empty());
}

#[test]
fn every_type_of_a_dataset_has_a_polars_type() {
    for column in HOST_METRICS.columns.iter().chain(HOST_METRICS_ROLLUP.columns) {
        assert!(!data_type(column.ty).is_null());
    }
}
