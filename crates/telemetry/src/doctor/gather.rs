//! Gathering facts. Whatever may hang (a dead mount, a sensor) is asked on a thread of its own and left
//! behind at the deadline.

use std::fs;
use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use serde::Deserialize;
use telemetry_alert_rules::AlertState;
use telemetry_app::{CommonFlags, Loaded, Origin, missing_mount, quoted};
use telemetry_provider::{Inspection, Mount, ProviderSettings};
use telemetry_repository::{ALERT_STATE, DataFile, DatasetStore, Lake, LockState, RepositoryError};
use telemetry_schema::host_metrics_rollup::dataset_name;
use telemetry_schema::{HOST_METRICS_ROLLUP, HostId};

use super::facts::{Configuration, Facts, LakeFacts, ProgramFacts, Run, SampleFacts, SchemaFacts};

/// The time in which gaps are looked for.
const WINDOW: TimeDelta = TimeDelta::days(1);
/// How many dates one looks back for a last sample.
const MOST_DATES: usize = 32;

/// The part of that state that is of interest here.
#[derive(Deserialize)]
struct KeptAlerts {
    state: AlertState,
}

pub(super) fn facts(
    loaded: &Loaded,
    common: &CommonFlags,
    deadline: Duration,
    now: DateTime<Utc>,
) -> anyhow::Result<Facts> {
    let config = &loaded.config;
    let host = loaded.host_id()?;
    let lake = Lake::new(&config.lake);
    let is_default = loaded.origin("lake") == Origin::Default;
    let gold = lake.store(&HOST_METRICS_ROLLUP, dataset_name(config.rollup_interval_minutes));
    let settings = ProviderSettings { config: config.providers(), ..ProviderSettings::default() };
    let root = lake.root().to_owned();

    let until = Instant::now() + deadline;
    let of_machine = asked("machine", move || Inspection::of(&settings));
    let of_lake = {
        let host = host.clone();
        asked("lake", move || (true_mount(&lake), lake_facts((&lake, is_default), &gold, &host, now)))
    };
    let rest = || until.saturating_duration_since(Instant::now());
    let (lake, machine) = (of_lake.recv_timeout(rest()).ok(), of_machine.recv_timeout(rest()).ok());
    let settings = loaded.settings().into_iter().map(|(setting, origin)| (setting, origin.to_string()));
    let configuration = Configuration {
        is_enabled: config.enabled,
        sample_interval_seconds: config.sample_interval_seconds,
        publish_interval_minutes: config.collect.publish_interval_minutes,
        is_default_lake: is_default,
        flags: flags(common),
        settings: settings.collect(),
    };
    let (mount, lake) = lake.unzip();
    let mount = mount.flatten().or_else(|| Mount::of(&root));
    Ok(Facts { now, host, configuration, root, mount, deadline, lake, machine })
}

/// The flags that say which lake and host, as one would type them again.
fn flags(common: &CommonFlags) -> String {
    let absolute = |path: &str| quoted(std::path::absolute(path).unwrap_or_else(|_| path.into()));
    let config = common.config.as_ref().map(|path| path.to_string_lossy());
    [
        ("--config", config.map(|path| absolute(&path))),
        ("--lake", common.lake.as_deref().map(absolute)),
        ("--host-id", common.host_id.as_ref().map(quoted)),
    ]
    .into_iter()
    .filter_map(|(flag, value)| Some(format!(" {flag} {}", value?)))
    .collect()
}

/// The file system of the lake behind all links, or of the directory that will hold it.
fn true_mount(lake: &Lake) -> Option<Mount> {
    Mount::of(&lake.root().ancestors().find_map(|path| fs::canonicalize(path).ok())?)
}

/// Asks on another thread, which is not joined: it may never end.
fn asked<T: Send + 'static>(name: &str, ask: impl FnOnce() -> T + Send + 'static) -> mpsc::Receiver<T> {
    let (answer, receiver) = mpsc::channel();
    let asking = move || {
        // Nobody waits any more after the deadline.
        let _ = answer.send(ask());
    };
    // Without a thread the sender is dropped, which reads as no answer.
    let _ = thread::Builder::new().name(name.to_owned()).spawn(asking);
    receiver
}

/// Takes what could be read, and notes what could not.
#[derive(Default)]
struct Unreadable(Vec<String>);

impl Unreadable {
    fn note<T>(&mut self, result: Result<T, RepositoryError>) -> Option<T> {
        result.inspect_err(|error| self.0.push(chain(error))).ok()
    }
}

fn lake_facts(
    (lake, is_default): (&Lake, bool),
    gold: &DatasetStore,
    host: &HostId,
    now: DateTime<Utc>,
) -> LakeFacts {
    let mut unreadable = Unreadable::default();
    let silver = lake.host_metrics().store().clone();
    let samples = unreadable.note(recent(&silver));
    let rollups = unreadable.note(recent(gold)).unwrap_or_default();
    let alerts = unreadable.note(recent(lake.host_alerts().store())).unwrap_or_default();
    let newest = [
        (&silver, samples.as_ref().and_then(|files| files.last())),
        (gold, rollups.last()),
        (lake.host_alerts().store(), alerts.last()),
    ]
    .map(|(store, file)| file.map(|file| schema(store, file)));
    LakeFacts {
        has_own_directory: lake.has_own_directory(),
        probe: match missing_mount(lake.root()) {
            Some(path) => Err(RepositoryError::NotMounted { path }),
            None if is_default => lake.probe_parents().and_then(|()| lake.probe()),
            None => lake.probe(),
        },
        not_writable: lake.not_writable(host),
        other_owner: other_owner(lake.root()),
        space: unreadable.note(lake.space()).flatten(),
        orphans: unreadable.note(lake.orphans()),
        quarantined: unreadable.note(lake.quarantined()),
        collector: unreadable.note(lake.collector_lock(host)).unwrap_or(LockState::Free),
        rollup: unreadable.note(lake.rollup_lock()).unwrap_or(LockState::Free),
        spool: unreadable.note(lake.look_into_spool(host)).flatten(),
        samples: samples.map(|files| sample_facts(&files, host, now)),
        programs: ProgramFacts { built: rollups.iter().filter_map(written).max(), alerts: alert_state(lake) },
        schemas: newest.into_iter().flatten().collect(),
        unreadable: unreadable.0,
    }
}

/// The files of the last dates, by date and name.
fn recent(store: &DatasetStore) -> Result<Vec<DataFile>, RepositoryError> {
    let dates = store.dates()?;
    let mut files = Vec::new();
    for date in &dates[dates.len().saturating_sub(MOST_DATES)..] {
        files.extend(store.files_on(*date)?);
    }
    Ok(files)
}

fn sample_facts(files: &[DataFile], host: &HostId, now: DateTime<Utc>) -> SampleFacts {
    let mut facts = SampleFacts::default();
    for name in files.iter().filter_map(|file| file.name.sample()) {
        facts.last_of_any = facts.last_of_any.max(Some(name.last));
        facts.first_of_any = Some(facts.first_of_any.map_or(name.first, |first| first.min(name.first)));
        match &name.host {
            Some(other) if other != host => {
                facts.other_hosts.insert(other.to_string());
            }
            // Several hosts, perhaps this one among them.
            None => {}
            Some(_) => {
                facts.last = facts.last.max(Some(name.last));
                if name.last > now - WINDOW {
                    let (first, last, rows) = (name.first, name.last, name.rows);
                    facts.runs.push(Run { first, last, rows, is_merged: name.is_merged() });
                }
            }
        }
    }
    facts.runs.sort_unstable_by_key(|run| (run.first, run.last));
    facts
}

fn written(file: &DataFile) -> Option<DateTime<Utc>> {
    Some(fs::metadata(&file.path).ok()?.modified().ok()?.into())
}

fn schema(store: &DatasetStore, file: &DataFile) -> SchemaFacts {
    let found = store.footer(file).map(|footer| footer.schema_version()).map_err(|error| chain(&error));
    SchemaFacts { dataset: store.name().to_owned(), known: store.dataset().schema_version, found }
}

fn alert_state(lake: &Lake) -> Option<AlertState> {
    let kept: KeptAlerts = lake.load_rollup_state(ALERT_STATE).ok()??;
    Some(kept.state)
}

#[cfg(unix)]
fn other_owner(root: &Path) -> Option<u32> {
    use std::os::unix::fs::MetadataExt as _;
    let owner = fs::metadata(root).ok()?.uid();
    (rustix::process::geteuid().is_root() && owner != 0).then_some(owner)
}

#[cfg(not(unix))]
fn other_owner(_root: &Path) -> Option<u32> {
    None
}

/// An error with what led to it.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(&format!(": {error}"));
        source = error.source();
    }
    text
}
