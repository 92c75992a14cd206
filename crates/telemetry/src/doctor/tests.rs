//! Each table is of changes to a healthy host, and of what the page then says.

#![allow(clippy::unwrap_used)]

use std::path::PathBuf;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use telemetry_alert_rules::AlertState;
use telemetry_provider::{Device, Inspection, Mount, PiInspection, Sensor, Throttle};
use telemetry_repository::{
    Holder, LockState, Probe, Quarantined, RepositoryError, Space, SpoolLook, Waiting,
};
use telemetry_schema::HostId;

use super::examine;
use super::facts::{Configuration, Facts, LakeFacts, ProgramFacts, Run, SampleFacts, SchemaFacts};
use super::finding::Level::{Note, Ok as Good, Problem, Warning};
use super::finding::{Finding, Level};

/// What the commands of this system begin with.
const SCHEDULE: &str = if cfg!(windows) { "schtasks" } else { "systemctl list-timers" };
const SYNCHRONISE: &str = if cfg!(windows) { "w32tm" } else { "timedatectl" };
const CLOCK: &str = if cfg!(windows) { "w32tm" } else { "chronyc" };
const OWNER: &str = if cfg!(windows) { "icacls" } else { "chown" };
const SYSTEM_LOG: &str = if cfg!(windows) { "wevtutil" } else { "dmesg" };
const QUARANTINE: &str =
    if cfg!(windows) { "tree /f /lake/.quarantine" } else { "find /lake/.quarantine -type f" };
const RUNS: &str =
    if cfg!(windows) { "schtasks /query" } else { "journalctl --since '2026-11-22 11:20:50 UTC'" };

/// What is expected: check, level, a part of the text, a part of the remedy.
type Expected = (&'static str, Level, &'static str, &'static str);
type Case = (fn(&mut Facts), Expected);

fn now() -> DateTime<Utc> {
    "2026-11-22T12:00:30Z".parse().unwrap()
}

/// A Pi that has sampled by cron for two hours, rolled up and evaluated.
fn healthy() -> Facts {
    let minute = |minutes: i64| now() - TimeDelta::seconds(30) - TimeDelta::minutes(minutes);
    let run = |minutes| Run {
        first: minute(minutes),
        last: minute(minutes) + TimeDelta::seconds(if minutes == 0 { 20 } else { 50 }),
        rows: if minutes == 0 { 3 } else { 6 },
        is_merged: false,
    };
    let runs: Vec<Run> = (0..120).rev().map(run).collect();
    let (first, last) = (runs.first().map(|run| run.first), runs.last().map(|run| run.last));
    let samples =
        SampleFacts { runs, last, last_of_any: last, first_of_any: first, ..SampleFacts::default() };
    let alerts = AlertState::before((now() - TimeDelta::minutes(12)).timestamp_micros());
    let built = Some(now() - TimeDelta::minutes(3));
    Facts {
        now: now(),
        host: HostId::parse("pi").unwrap(),
        configuration: Configuration {
            is_enabled: true,
            sample_interval_seconds: 10,
            publish_interval_minutes: 0,
            is_default_lake: false,
            flags: " --config /etc/t.toml".to_owned(),
            settings: vec![("lake = \"/lake\"".to_owned(), "/etc/telemetry/telemetry.toml".to_owned())],
        },
        root: PathBuf::from("/lake"),
        mount: Some(mount("ext4")),
        deadline: Duration::from_secs(10),
        lake: Some(LakeFacts {
            probe: Ok(Probe::Writable { exchanges: true }),
            has_own_directory: true,
            not_writable: Vec::new(),
            other_owner: None,
            space: Some(Space { free_bytes: 20 << 30, total_bytes: 32 << 30 }),
            orphans: Some(0),
            quarantined: Some(quarantined(0, 0)),
            collector: LockState::Free,
            rollup: LockState::Free,
            spool: None,
            samples: Some(samples),
            programs: ProgramFacts { built, alerts: Some(alerts) },
            schemas: vec![schema(Ok(Some(1)))],
            unreadable: Vec::new(),
        }),
        machine: Some(Inspection {
            sensors: vec![Sensor { source: "hwmon:cpu_thermal/temp1".to_owned(), celsius: Some(48.7) }],
            cpu_sensor: Some("hwmon:cpu_thermal/temp1".to_owned()),
            other_sensors: vec!["hwmon:rp1_adc".to_owned()],
            raspberry_pi: Some(pi(Throttle::Word(0), Device::Usable, true)),
            clock_synced: Some(true),
            uptime_seconds: Some(900_000.0),
            has_memory_cgroup: Some(true),
            has_pressure: Some(true),
        }),
    }
}

fn mount(kind: &str) -> Mount {
    Mount { point: PathBuf::from("/"), kind: kind.to_owned(), is_card: false, commit_seconds: None }
}

fn quarantined(files: u64, bytes: u64) -> Quarantined {
    Quarantined { directory: "/lake/.quarantine".into(), files, bytes }
}

fn schema(found: Result<Option<u32>, String>) -> SchemaFacts {
    SchemaFacts { dataset: "ops_host_metrics".to_owned(), known: 1, found }
}

fn pi(throttle: Throttle, device: Device, is_in_video_group: bool) -> PiInspection {
    PiInspection { model: "Raspberry Pi 4".to_owned(), throttle, device, is_in_video_group }
}

fn holder(minutes: i64) -> Holder {
    Holder {
        pid: 4711,
        since: now() - TimeDelta::minutes(minutes),
        command: "telemetry-x --watch".to_owned(),
    }
}

fn lake(facts: &mut Facts) -> &mut LakeFacts {
    facts.lake.as_mut().unwrap()
}

fn samples(facts: &mut Facts) -> &mut SampleFacts {
    lake(facts).samples.as_mut().unwrap()
}

fn machine(facts: &mut Facts) -> &mut Inspection {
    facts.machine.as_mut().unwrap()
}

fn path() -> PathBuf {
    PathBuf::from("/lake")
}

/// Each change must add the expected finding, and no other that is wrong.
#[track_caller]
fn check(cases: &[Case]) {
    for (number, (change, (name, level, text, remedy))) in cases.iter().enumerate() {
        let mut facts = healthy();
        change(&mut facts);
        let findings = examine(&facts);
        let is_expected = |finding: &&Finding| {
            finding.check == *name
                && finding.level == *level
                && finding.text.contains(text)
                && finding.remedy.as_deref().unwrap_or_default().contains(remedy)
        };
        let found = findings.iter().find(is_expected);
        assert!(
            found.is_some(),
            "case {number}: no {name} {level:?} {text:?} -> {remedy:?} in {findings:#?}"
        );
        let others = findings.iter().filter(|finding| finding.level.is_wrong() && Some(*finding) != found);
        assert_eq!(others.collect::<Vec<_>>(), Vec::<&Finding>::new(), "case {number}");
    }
}

#[test]
fn a_healthy_host_has_nothing_but_good_findings() {
    let findings = examine(&healthy());
    assert!(findings.iter().all(|finding| finding.level == Good), "{findings:#?}");
    let checks: Vec<&str> = findings.iter().map(|finding| finding.check).collect();
    let expected = [
        "configuration",
        "lake",
        "space",
        "staging",
        "quarantine",
        "schema",
        "samples",
        "gaps",
        "collector",
        "rollup",
        "alerts",
        "clock",
        "temperature",
        "power",
    ];
    assert_eq!(checks, expected);
}

#[test]
fn the_configuration_is_told_with_its_origins() {
    check(&[
        (|_| (), ("configuration", Good, "lake = \"/lake\" (/etc/telemetry/telemetry.toml); all other", "")),
        (|facts| facts.configuration.settings.clear(), ("configuration", Good, "host_id is pi", "")),
        (
            |facts| {
                facts.configuration.is_enabled = false;
                samples(facts).last = None;
                lake(facts).programs = ProgramFacts::default();
            },
            ("configuration", Note, "switched off", "enabled = true"),
        ),
    ]);
}

#[test]
fn a_directory_that_is_no_lake_keeps_its_owner() {
    let mut facts = healthy();
    lake(&mut facts).probe = Err(RepositoryError::Permission { path: path() });
    lake(&mut facts).has_own_directory = false;
    let findings = examine(&facts);
    let remedies: Vec<&str> = findings.iter().filter_map(|finding| finding.remedy.as_deref()).collect();
    assert!(!remedies.is_empty() && remedies.iter().all(|remedy| !remedy.contains(OWNER)), "{remedies:?}");
}

#[cfg(windows)]
#[test]
fn a_lake_that_cannot_be_written_has_its_remedy() {
    check(&[
        (
            |facts| lake(facts).probe = Err(RepositoryError::Permission { path: path() }),
            ("lake", Problem, "permission denied for /lake", "icacls /lake /grant"),
        ),
        (
            |facts| lake(facts).probe = Err(RepositoryError::NoSpace { path: path() }),
            ("lake", Problem, "no space left", "telemetry-rollup expire --lake /lake"),
        ),
        (
            |facts| lake(facts).not_writable = vec!["/lake/.state/pi".into()],
            ("lake", Problem, "/lake/.state/pi", "icacls /lake /grant"),
        ),
        (
            |facts| lake(facts).unreadable = vec!["cannot list /lake/silver".to_owned()],
            ("lake", Warning, "cannot list /lake/silver", "icacls /lake"),
        ),
        (|facts| facts.lake = None, ("lake", Problem, "has not answered", SYSTEM_LOG)),
    ]);
}

#[cfg(unix)]
#[test]
fn a_lake_that_cannot_be_written_has_its_remedy() {
    check(&[
        (
            |facts| lake(facts).probe = Err(RepositoryError::Permission { path: path() }),
            ("lake", Problem, "permission denied for /lake", "sudo chown --recursive"),
        ),
        (
            |facts| lake(facts).probe = Err(RepositoryError::Permission { path: "/".into() }),
            ("lake", Problem, "permission denied for /", "sudo install --directory --owner"),
        ),
        (
            |facts| lake(facts).probe = Err(RepositoryError::ReadOnly { path: path() }),
            ("lake", Problem, "read-only", "sudo mount -o remount,rw /"),
        ),
        (
            |facts| lake(facts).probe = Err(RepositoryError::NoSpace { path: path() }),
            ("lake", Problem, "no space left", "telemetry-rollup expire --config /etc/t.toml; "),
        ),
        (
            |facts| lake(facts).probe = Err(RepositoryError::MissingParent { path: "/mnt/my disk".into() }),
            ("lake", Problem, "does not exist", "mkdir --parents '/mnt/my disk'"),
        ),
        (
            |facts| lake(facts).probe = Err(RepositoryError::NotMounted { path: "/mnt/my disk".into() }),
            ("lake", Problem, "in /etc/fstab, but nothing is mounted there", "sudo mount '/mnt/my disk'"),
        ),
        (
            |facts| lake(facts).probe = Err(RepositoryError::NoInode { path: path() }),
            ("lake", Problem, "no inode left for /lake", "df --inodes /"),
        ),
        (
            |facts| lake(facts).probe = Err(RepositoryError::NotADirectory { path: path() }),
            ("lake", Problem, "not a directory", "--lake DIR"),
        ),
        (
            |facts| lake(facts).not_writable = vec!["/lake/.state/pi".into()],
            ("lake", Problem, "/lake/.state/pi", "sudo chown --recursive \"$(id -u):$(id -g)\" /lake"),
        ),
        (
            |facts| lake(facts).unreadable = vec!["cannot list /lake/silver".to_owned()],
            ("lake", Warning, "cannot list /lake/silver", "ls -ld /lake"),
        ),
        (
            |facts| {
                facts.lake = None;
                facts.mount = Some(Mount { point: "/mnt/nas".into(), ..mount("nfs4") });
            },
            ("lake", Problem, "/lake on nfs4 has not answered in 10s", "sudo umount --force --lazy /mnt/nas"),
        ),
        (|facts| facts.lake = None, ("lake", Problem, "has not answered", SYSTEM_LOG)),
    ]);
}

#[test]
fn a_lake_that_can_be_written_may_still_be_in_a_bad_place() {
    check(&[
        (
            |facts| lake(facts).probe = Ok(Probe::Writable { exchanges: false }),
            if cfg!(windows) { ("lake", Good, "can be written", "") } else { ("lake", Note, "in steps", "") },
        ),
        (
            |facts| facts.mount = Some(mount("tmpfs")),
            ("lake", Warning, "lost when the machine restarts", "--lake"),
        ),
        (|facts| facts.mount = Some(mount("cifs")), ("lake", Note, "network file system (cifs)", "")),
        (
            |facts| lake(facts).other_owner = Some(998),
            ("lake", Note, "user 998", "sudo -u '#998' telemetry doctor --lake /lake"),
        ),
        (
            |facts| {
                facts.configuration.is_default_lake = true;
                lake(facts).probe = Err(RepositoryError::MissingParent { path: "/var/lib".into() });
            },
            ("lake", Note, "the first run makes it", ""),
        ),
    ]);
}

#[test]
fn space_is_compared_with_the_reserve() {
    check(&[
        (
            |facts| lake(facts).space = Some(Space { free_bytes: 64 << 20, total_bytes: 32 << 30 }),
            ("space", Problem, "64.0 MiB free of 32.0 GiB: nothing is published", "telemetry-rollup expire"),
        ),
        (
            |facts| lake(facts).space = Some(Space { free_bytes: 200 << 20, total_bytes: 32 << 30 }),
            ("space", Warning, "200.0 MiB free", "telemetry-rollup expire"),
        ),
        (
            |facts| lake(facts).space = Some(Space { free_bytes: 300 << 20, total_bytes: 32 << 30 }),
            ("space", Good, "300.0 MiB free", ""),
        ),
    ]);
}

#[test]
fn what_lies_about_is_counted() {
    check(&[
        (|facts| lake(facts).orphans = Some(3), ("staging", Note, "3 unfinished files", "")),
        (
            |facts| lake(facts).quarantined = Some(quarantined(2, 2_048)),
            ("quarantine", Warning, "2 damaged files (2.0 KiB)", QUARANTINE),
        ),
        (
            |facts| lake(facts).schemas = vec![schema(Ok(Some(2)))],
            ("schema", Warning, "newer program", "install"),
        ),
        (|facts| lake(facts).schemas = vec![schema(Ok(Some(0)))], ("schema", Note, "older program", "")),
        (|facts| lake(facts).schemas = vec![schema(Ok(None))], ("schema", Note, "not written by us", "")),
        (
            |facts| lake(facts).schemas = vec![schema(Err("/lake/a.parquet is damaged".to_owned()))],
            ("schema", Problem, "is damaged", "telemetry-rollup verify --config /etc/t.toml"),
        ),
    ]);
}

#[test]
fn samples_are_missed() {
    check(&[
        (
            |facts| *samples(facts) = SampleFacts::default(),
            ("samples", Warning, "no samples of pi yet", "telemetry-collect -v --config /etc/t.toml`"),
        ),
        (
            |facts| {
                samples(facts).last = None;
                samples(facts).runs.clear();
                samples(facts).other_hosts = ["nas".to_owned()].into();
            },
            ("samples", Warning, "no samples of pi, but of nas", "--print-config"),
        ),
        (
            |facts| samples(facts).last = Some(now() - TimeDelta::minutes(5)),
            ("samples", Problem, "5m old (2026-11-22T11:55:30Z)", SCHEDULE),
        ),
        (|facts| samples(facts).last = Some(now() - TimeDelta::minutes(3)), ("samples", Good, "3m old", "")),
        (
            |facts| samples(facts).last = Some(now() + TimeDelta::hours(1)),
            ("samples", Problem, "1h ahead of the clock", SYNCHRONISE),
        ),
        (
            |facts| {
                samples(facts).runs.retain(|run| {
                    run.first < now() - TimeDelta::minutes(40) || run.first > now() - TimeDelta::minutes(9)
                })
            },
            ("gaps", Warning, "one gap in the last day: 31m 10s from 2026-11-22T11:20:50Z", RUNS),
        ),
        (
            |facts| {
                samples(facts).runs.retain(|run| {
                    run.first < now() - TimeDelta::minutes(40) || run.first > now() - TimeDelta::minutes(9)
                });
                machine(facts).uptime_seconds = Some(600.0);
            },
            ("gaps", Note, "in which the machine started", ""),
        ),
        (
            |facts| samples(facts).runs.iter_mut().for_each(|run| run.rows = 1),
            (
                "schedule",
                Warning,
                "sample_interval_seconds = 10: coverage is 17 %",
                "sample_interval_seconds = 60",
            ),
        ),
    ]);
}

/// A spool in which the last three samples wait.
fn spool(facts: &mut Facts) -> &mut SpoolLook {
    facts.configuration.publish_interval_minutes = 60;
    let oldest = Some(now() - TimeDelta::seconds(30));
    let waiting = Waiting { samples: 3, oldest, is_urgent: false };
    let path = PathBuf::from("/lake/.spool/pi/journal");
    let bytes = 15 << 19;
    lake(facts).spool = Some(SpoolLook { path, bytes, waiting, used_percent: 1, dropped: 0, lost_frames: 0 });
    lake(facts).spool.as_mut().unwrap()
}

#[test]
fn what_waits_in_the_spool_is_told() {
    let publish = "telemetry-collect --publish --config /etc/t.toml";
    check(&[
        (
            |facts| spool(facts).dropped = 0,
            ("spool", Good, "3 samples wait, the oldest for 30s (2026-11-22T12:00:00Z), 1 % of 7.5 MiB", ""),
        ),
        (|facts| spool(facts).waiting = Waiting::default(), ("spool", Good, "nothing waits", "")),
        (
            |facts| spool(facts).waiting.oldest = Some(now() - TimeDelta::minutes(90)),
            ("spool", Warning, "not published in time: 3 samples wait, the oldest for 1h 30m", publish),
        ),
        (|facts| spool(facts).used_percent = 51, ("spool", Warning, "little room is left", publish)),
        (|facts| spool(facts).dropped = 6, ("spool", Problem, "full: 6 samples were overwritten", publish)),
        (
            |facts| spool(facts).lost_frames = 2,
            ("spool", Warning, "journal is damaged, 2 of its frames are lost", "quarantine"),
        ),
    ]);
}

#[test]
fn what_spares_a_card_is_told() {
    let on_card = |facts: &mut Facts, commit_seconds| {
        facts.mount = Some(Mount { is_card: true, commit_seconds, ..mount("ext4") });
    };
    let cards = |minutes: u32, commit_seconds: Option<u32>| {
        let mut facts = healthy();
        on_card(&mut facts, commit_seconds);
        facts.configuration.publish_interval_minutes = minutes;
        let findings = examine(&facts);
        assert!(!findings.iter().any(|finding| finding.level.is_wrong()), "{findings:#?}");
        let of_card = findings.into_iter().find(|finding| finding.check == "card");
        of_card.map(|finding| finding.remedy.unwrap())
    };
    assert!(cards(0, None).unwrap().starts_with("publish_interval_minutes = 60"));
    assert!(cards(60, None).unwrap().contains("commit="));
    assert_eq!(cards(60, Some(600)), None);
    assert!(!examine(&healthy()).iter().any(|finding| finding.check == "card"));
}

#[test]
fn programs_that_hang_or_lag_are_told() {
    check(&[
        (
            |facts| lake(facts).collector = LockState::Held(Some(holder(600))),
            ("collector", Good, "process 4711 since", ""),
        ),
        (|facts| lake(facts).collector = LockState::Held(None), ("collector", Good, "cannot be seen", "")),
        (|facts| lake(facts).rollup = LockState::Held(Some(holder(5))), ("rollup", Good, "is at work", "")),
        (
            |facts| lake(facts).rollup = LockState::Held(Some(holder(61))),
            ("rollup", Warning, "at work for 1h 1m", "kill 4711"),
        ),
        (
            |facts| lake(facts).programs.built = Some(now() - TimeDelta::hours(2)),
            ("rollup", Warning, "2h ago", "telemetry-rollup -v --config /etc/t.toml"),
        ),
        (
            |facts| lake(facts).programs.built = None,
            ("rollup", Warning, "Gold was never built", "telemetry-rollup -v --config /etc/t.toml"),
        ),
        (
            |facts| {
                lake(facts).programs.built = None;
                samples(facts).first_of_any = Some(now() - TimeDelta::minutes(10));
            },
            ("rollup", Note, "not built yet", ""),
        ),
        (
            |facts| lake(facts).programs.alerts = None,
            ("alerts", Warning, "never evaluated", "telemetry-rollup -v --config /etc/t.toml"),
        ),
        (
            |facts| {
                let long_ago = now() - TimeDelta::hours(3);
                lake(facts).programs.alerts = Some(AlertState::before(long_ago.timestamp_micros()));
            },
            (
                "alerts",
                Warning,
                "only up to 2026-11-22T09:00:30Z",
                "telemetry-rollup -v --config /etc/t.toml",
            ),
        ),
    ]);
}

#[test]
fn a_collector_that_holds_the_lock_and_publishes_nothing_is_to_be_ended() {
    let mut facts = healthy();
    samples(&mut facts).last = Some(now() - TimeDelta::hours(1));
    lake(&mut facts).collector = LockState::Held(Some(holder(120)));
    let findings = examine(&facts);
    let collector = findings.iter().find(|finding| finding.check == "collector").unwrap();
    assert_eq!(collector.level, Problem);
    assert!(collector.remedy.as_deref().unwrap().starts_with("kill 4711"), "{collector:?}");
    lake(&mut facts).collector = LockState::Held(Some(holder(1)));
    let begun = examine(&facts);
    assert!(begun.iter().any(|finding| finding.check == "collector" && finding.level == Good), "{begun:#?}");
}

#[test]
fn the_machine_is_told() {
    check(&[
        (
            |facts| machine(facts).clock_synced = Some(false),
            ("clock", Problem, "not synchronised", SYNCHRONISE),
        ),
        (|facts| machine(facts).clock_synced = None, ("clock", Note, "synchronised", CLOCK)),
        (|_| (), ("temperature", Good, "cpu_thermal/temp1, 48.7 °C; not the processor's: hwmon:rp1_adc", "")),
        (
            |facts| {
                machine(facts).cpu_sensor = None;
                machine(facts).sensors.clear();
            },
            ("temperature", Note, "no sensor of the processor", ""),
        ),
        (
            |facts| machine(facts).cpu_sensor = None,
            ("temperature", Warning, "hwmon:cpu_thermal/temp1 cannot be read", "telemetry-collect -vv"),
        ),
        (
            |facts| machine(facts).has_memory_cgroup = Some(false),
            ("kernel", Note, "control groups", "cgroup_enable=memory"),
        ),
        (|facts| machine(facts).has_pressure = Some(false), ("kernel", Note, "PSI", "psi=1")),
        (|facts| facts.machine = None, ("temperature", Warning, "have not answered in 10s", SYSTEM_LOG)),
    ]);
}

#[test]
fn a_clock_that_is_not_set_is_told() {
    let facts = Facts { now: DateTime::UNIX_EPOCH, ..healthy() };
    let findings = examine(&facts);
    let clock = findings.iter().find(|finding| finding.check == "clock").unwrap();
    assert_eq!((clock.level, &clock.text[..26]), (Problem, "it is not set (1970-01-01)"));
    assert!(clock.remedy.as_deref().unwrap().contains(SYNCHRONISE), "{clock:?}");
}

#[test]
fn the_firmware_is_told() {
    fn missing(facts: &mut Facts, device: Device, is_in_video_group: bool) {
        let throttle = Throttle::Missing { reason: "no answer".to_owned(), remedy: "a reboot helps" };
        machine(facts).raspberry_pi = Some(pi(throttle, device, is_in_video_group));
    }
    fn word(facts: &mut Facts, word: u32) {
        machine(facts).raspberry_pi = Some(pi(Throttle::Word(word), Device::Usable, true));
    }
    check(&[
        (
            |facts| word(facts, 0x5_0005),
            ("power", Problem, "now: under-voltage, throttled (0x50005)", "power supply"),
        ),
        (|facts| word(facts, 0x8), ("power", Problem, "soft temperature limit", "heat sink")),
        (
            |facts| word(facts, 0x5_0000),
            ("power", Note, "since the start of the machine: under-voltage, throttled", "power supply"),
        ),
        (
            |facts| missing(facts, Device::Denied, false),
            ("power", Warning, "group video", "sudo usermod --append --groups video"),
        ),
        (
            |facts| missing(facts, Device::Denied, true),
            ("power", Warning, "no right to /dev/vcio", "ls -l /dev/vcio"),
        ),
        (
            |facts| missing(facts, Device::Absent, true),
            ("power", Warning, "no /dev/vcio", "--device /dev/vcio"),
        ),
        (|facts| missing(facts, Device::Usable, true), ("power", Warning, "no answer", "a reboot helps")),
        (
            |facts| machine(facts).raspberry_pi = Some(pi(Throttle::NotAsked, Device::Usable, true)),
            ("power", Note, "not asked", "raspberry_pi.enabled = true"),
        ),
    ]);
}
