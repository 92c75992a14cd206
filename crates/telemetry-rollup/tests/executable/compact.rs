//! Compaction through the program: what is merged, that nothing is lost, and that Gold stays.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use chrono::{DateTime, NaiveDate, TimeDelta, Timelike, Utc};
use telemetry_repository::{Lake, keys, rows_from_frame};
use telemetry_schema::HostMetricsSample;

use crate::support::{World, inode, sample};

const DATE: &str = "2026-03-10";
/// So many files arrive during compactions at most.
const MOST_LATE: u32 = 600;

/// Every stored row of a date, sorted by all its values.
fn rows(lake: &Lake, date: &str) -> Vec<HostMetricsSample> {
    let store = lake.host_metrics().store().clone();
    let columns: Vec<&str> = store.dataset().columns.iter().map(|column| column.name).collect();
    let files = store.files_on(date.parse().unwrap()).unwrap();
    let mut rows: Vec<HostMetricsSample> = files
        .iter()
        .flat_map(|file| rows_from_frame::<HostMetricsSample>(&store.read(file, &columns).unwrap()).unwrap())
        .collect();
    rows.sort_by_cached_key(|row| format!("{row:?}"));
    rows
}

fn files(lake: &Lake, date: &str) -> Vec<PathBuf> {
    let store = lake.host_metrics().store().clone();
    store.files_on(date.parse().unwrap()).unwrap().into_iter().map(|file| file.path).collect()
}

fn name(path: &std::path::Path) -> &str {
    path.file_name().unwrap().to_str().unwrap()
}

/// A date with gaps, several hosts, exact duplicates and conflicting ones, in 49 files.
fn faulty_date(world: &World) {
    for hour in 0..24 {
        world.append("pi", &format!("{DATE}T{hour:02}:00:03Z"), 300);
        world.append("nas", &format!("{DATE}T{hour:02}:30:01Z"), 30);
    }
    world.append("pi", &format!("{DATE}T12:00:03Z"), 300);
    let at: DateTime<Utc> = format!("{DATE}T13:00:03Z").parse().unwrap();
    let conflicting: Vec<HostMetricsSample> = (0..20)
        .map(|n| {
            let mut row = sample("pi", at + TimeDelta::seconds(10 * n));
            row.net_rx_bytes = row.net_rx_bytes.map(|bytes| bytes + n % 3);
            row.cpu_pct = None;
            row
        })
        .collect();
    world.lake().host_metrics().append(&conflicting).unwrap();
}

#[test]
fn a_closed_date_becomes_one_file_with_every_row_and_the_same_rollup() {
    let world = World::new();
    faulty_date(&world);
    world.append("pi", "2026-03-09T23:59:03Z", 5);
    world.append("pi", "2026-03-11T00:00:03Z", 5);
    world.build(&[]);
    let (before, gold) = (rows(&world.lake(), DATE), world.content_hashes());
    let neighbours: Vec<u64> = ["2026-03-09", "2026-03-11"]
        .iter()
        .flat_map(|date| files(&world.lake(), date))
        .map(|f| inode(&f))
        .collect();
    let plan = world.run(&["plan", "--print", "json", "--from", DATE, "--to", DATE]);
    let line: serde_json::Value = serde_json::from_str(&plan.stdout).unwrap();
    assert_eq!(line["compact"], 50, "{line}");

    world.build(&["compact"]);
    let merged = files(&world.lake(), DATE);
    assert_eq!(merged.len(), 1, "{merged:?}");
    assert!(name(&merged[0]).starts_with("@all__20260310T000003Z__"), "{merged:?}");
    assert_eq!(rows(&world.lake(), DATE), before);
    assert_eq!(before.len(), 24 * 330 + 300 + 20);
    let lake = world.lake();
    let store = lake.host_metrics().store().clone();
    let footer = store.footer(&store.files_on(DATE.parse().unwrap()).unwrap()[0]).unwrap();
    assert!(footer.get(keys::COLUMNS).unwrap().contains("net_rx_bytes"));
    assert_eq!(footer.get(keys::CONTENT_HASH).unwrap().len(), 64);
    let after: Vec<u64> = ["2026-03-09", "2026-03-11"]
        .iter()
        .flat_map(|date| files(&world.lake(), date))
        .map(|f| inode(&f))
        .collect();
    assert_eq!(after, neighbours, "other dates were touched");

    world.build(&[]);
    assert_eq!(world.content_hashes(), gold);
    world.build(&["--force"]);
    assert_eq!(world.content_hashes(), gold);
    let identity = inode(&merged[0]);
    world.build(&["compact"]);
    assert_eq!(inode(&files(&world.lake(), DATE)[0]), identity, "compacted again without need");
}

#[test]
fn a_day_of_minutes_becomes_one_small_file() {
    let world = World::new();
    for minute in 0..1_440 {
        world.append("pi", &format!("{DATE}T{:02}:{:02}:03Z", minute / 60, minute % 60), 6);
    }
    world.build(&["compact"]);
    let merged = files(&world.lake(), DATE);
    let [file] = merged.as_slice() else { panic!("{merged:?}") };
    assert!(name(file).starts_with("pi__20260310T000003Z__20260310T235953Z__r8640__p1of1-"), "{merged:?}");
    let bytes = file.metadata().unwrap().len();
    assert!(bytes <= 290 * 1024, "{bytes} bytes");
}

#[test]
fn late_samples_are_merged_again() {
    let world = World::new();
    world.append("pi", &format!("{DATE}T12:00:03Z"), 6);
    world.append("pi", &format!("{DATE}T12:01:03Z"), 6);
    world.build(&["compact"]);
    world.append("pi", &format!("{DATE}T11:00:03Z"), 6);
    assert_eq!(files(&world.lake(), DATE).len(), 2);
    world.build(&["compact"]);
    assert_eq!((files(&world.lake(), DATE).len(), rows(&world.lake(), DATE).len()), (1, 18));
}

#[test]
fn closed_hours_of_an_open_date_are_merged_by_host() {
    let world = World::new();
    // Two hours that closed yesterday, and minutes that are not over.
    let noon = (Utc::now() - TimeDelta::days(1))
        .with_hour(12)
        .unwrap()
        .with_minute(0)
        .unwrap()
        .with_second(3)
        .unwrap();
    let date = noon.date_naive().to_string();
    for minute in 0..120 {
        for host in ["pi", "nas"] {
            world.append(host, &(noon + TimeDelta::minutes(minute)).to_rfc3339(), 6);
        }
    }
    let alone = world.append("pi", &(noon + TimeDelta::hours(3)).to_rfc3339(), 6);
    let recent: Vec<PathBuf> = [2, 1]
        .iter()
        .map(|minutes| world.append("pi", &(Utc::now() - TimeDelta::minutes(*minutes)).to_rfc3339(), 1))
        .collect();
    let (before, identity) = (rows(&world.lake(), &date), inode(&alone));
    world.build(&[]);
    let gold = world.content_hashes();
    world.build(&["compact"]);
    let merged = files(&world.lake(), &date);
    assert_eq!(merged.iter().filter(|path| name(path).contains("__p1of1-")).count(), 4, "{merged:?}");
    assert_eq!(merged.iter().filter(|path| name(path).starts_with("nas__")).count(), 2, "{merged:?}");
    assert_eq!(rows(&world.lake(), &date), before);
    assert_eq!(inode(&alone), identity, "a file that is not merged keeps its name and content");
    assert!(recent.iter().all(|path| path.exists()), "{recent:?}");
    world.build(&[]);
    let noon_date: NaiveDate = date.parse().unwrap();
    assert_eq!(world.content_hashes().get(&noon_date), gold.get(&noon_date));
}

#[test]
fn a_damaged_file_is_set_aside_and_the_others_are_merged() {
    let world = World::new();
    faulty_date(&world);
    let before = rows(&world.lake(), DATE);
    let damaged = world.append("pi", &format!("{DATE}T00:10:03Z"), 30);
    let mut bytes = std::fs::read(&damaged).unwrap();
    let middle = bytes.len() / 3;
    bytes[middle..middle + 64].fill(0xff);
    std::fs::write(&damaged, bytes).unwrap();
    let got = world.run(&["compact"]);
    assert_eq!(got.code, 3, "{}", got.stderr);
    assert!(got.stderr.contains(name(&damaged)) && got.stderr.contains(".quarantine"), "{}", got.stderr);
    assert_eq!(files(&world.lake(), DATE).len(), 1);
    assert_eq!(rows(&world.lake(), DATE), before);
    world.build(&["compact"]);
}

#[test]
fn files_that_arrive_during_compaction_survive() {
    let world = World::new();
    faulty_date(&world);
    let (before, done) = (rows(&world.lake(), DATE).len(), AtomicBool::new(false));
    let late = std::thread::scope(|scope| {
        let collector = scope.spawn(|| {
            let mut late = 0;
            // Not without end: under emulation, compaction would not keep up with what arrives.
            while late < 20 || (late < MOST_LATE && !done.load(Ordering::Relaxed)) {
                world.append(
                    "laptop",
                    &format!("{DATE}T{:02}:{:02}:{:02}Z", late / 3600, late / 60 % 60, late % 60),
                    1,
                );
                late += 1;
                std::thread::sleep(Duration::from_millis(2));
            }
            late
        });
        for _ in 0..5 {
            world.build(&["compact"]);
        }
        done.store(true, Ordering::Relaxed);
        collector.join().unwrap()
    });
    let stored = rows(&world.lake(), DATE);
    assert_eq!(stored.len(), before + late as usize);
    assert_eq!(stored.iter().filter(|row| row.host_id == "laptop").count(), late as usize);
    world.build(&["compact"]);
    assert_eq!((files(&world.lake(), DATE).len(), rows(&world.lake(), DATE)), (1, stored));
}

#[test]
fn compaction_and_rollup_exclude_each_other() {
    let world = World::new();
    faulty_date(&world);
    let holder =
        telemetry_repository::Holder { pid: 4711, since: Utc::now(), command: "another rollup".into() };
    let lock = world.lake().lock_rollup(&holder).unwrap();
    for verb in ["compact", "expire"] {
        assert_eq!(world.run(&[verb]).code, 75);
    }
    drop(lock);
    let off = world.run(&["compact", "--enabled", "false"]);
    assert_eq!((off.code, files(&world.lake(), DATE).len()), (0, 50), "{}", off.stderr);
}

#[test]
fn hosts_that_are_off_at_night_keep_their_growth_since_boot() {
    let world = World::new();
    for (date, boot) in [("2026-03-09", "one"), (DATE, "two")] {
        let booted: DateTime<Utc> = format!("{date}T08:00:00Z").parse().unwrap();
        for host in ["pi", "nas"] {
            let mut rows = Vec::new();
            for n in 1..61 {
                let mut row = sample(host, booted + TimeDelta::seconds(10 * n));
                row.boot_id = Some(boot.into());
                row.uptime_seconds = Some((10 * n) as f64);
                row.net_rx_bytes = Some(12_500 * n);
                rows.push(row);
            }
            world.lake().host_metrics().append(&rows).unwrap();
        }
    }
    world.build(&[]);
    let gold = world.content_hashes();
    assert_eq!(world.rollups(DATE)[0].net_rx_covered_seconds, Some(300.0));
    world.build(&["compact"]);
    world.build(&[]);
    assert_eq!(world.content_hashes(), gold);
    // By the hour, too: a late sample has the hours around it built again.
    world.append("pi", &format!("{DATE}T07:30:03Z"), 1);
    world.build(&[]);
    let by_the_hour = world.content_hashes();
    world.build(&["--force"]);
    assert_eq!(world.content_hashes(), by_the_hour);
}
