//! What waits in the spool of this host, if nobody else publishes it: a collector that was stopped leaves
//! samples there, and Gold would lack them for as long as it does not run.

use std::thread;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use telemetry_app::{Exit, Loaded, holder, with_lake_hint};
use telemetry_repository::{Lake, RepositoryError, Waiting};
use telemetry_schema::HostId;

/// A collector that runs publishes what is due with its next run, which is cron's next minute.
const LATENESS: TimeDelta = TimeDelta::minutes(3);
/// A collector that the same minute of cron begins must find its lock free.
const PRECEDENCE: Duration = Duration::from_secs(1);

/// Publishes what should have been published before `now`, by the interval of the configuration; what
/// cannot be published stays where it is, and the rollup goes on without it.
pub(crate) fn publish_overdue(loaded: &Loaded, lake: &Lake, now: DateTime<Utc>) -> anyhow::Result<Exit> {
    let minutes = loaded.config.collect.publish_interval_minutes;
    let published = match lake.has_spools() {
        Ok(true) => publish_if_overdue(lake, &loaded.host_id()?, now, minutes),
        // Who builds the lake of other hosts needs no name of its own.
        Ok(false) => Ok(Exit::Done),
        Err(error) => Err(error),
    };
    Ok(published.unwrap_or_else(|error| {
        let error = format!("{:#}", with_lake_hint(error));
        tracing::error!(error, "samples cannot be published, they wait in the spool");
        Exit::Incomplete
    }))
}

fn publish_if_overdue(
    lake: &Lake,
    host: &HostId,
    now: DateTime<Utc>,
    interval_minutes: u32,
) -> Result<Exit, RepositoryError> {
    match lake.look_into_spool(host)? {
        Some(look) if is_overdue(&look.waiting, now, interval_minutes) => {
            thread::sleep(PRECEDENCE);
            publish(lake, host, now)
        }
        _ => Ok(Exit::Done),
    }
}

/// Samples of the future are the collector's to judge, which knows the clock of this machine.
fn is_overdue(waiting: &Waiting, now: DateTime<Utc>, interval_minutes: u32) -> bool {
    let at = now - LATENESS;
    waiting.oldest.is_none_or(|oldest| oldest < at) && waiting.is_due(at, interval_minutes)
}

fn publish(lake: &Lake, host: &HostId, now: DateTime<Utc>) -> Result<Exit, RepositoryError> {
    let _lock = match lake.lock_collector(host, &holder(now)) {
        // It publishes by itself.
        Err(RepositoryError::Locked { .. }) => return Ok(Exit::Done),
        result => result?,
    };
    let Some(mut spool) = lake.find_spool(host)? else { return Ok(Exit::Done) };
    let mut exit = Exit::Done;
    for damage in spool.damage() {
        let path = damage.path.display().to_string();
        tracing::error!(path, lost_frames = damage.lost_frames, "spool is damaged, the rest of it is kept");
        exit = Exit::Incomplete;
    }
    let published = spool.publish()?;
    for file in &published.files {
        tracing::info!(path = %file.display(), rows = published.rows, "samples published");
    }
    Ok(exit)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_collector_has_time_to_publish_by_itself() {
        let overdue = |oldest: &str, now: &str, minutes| {
            let at = |text: &str| format!("2026-11-21T{text}Z").parse::<DateTime<Utc>>().unwrap();
            let waiting = Waiting { samples: 1, oldest: Some(at(oldest)), is_urgent: false };
            is_overdue(&waiting, at(now), minutes)
        };
        assert!(!overdue("12:10:00", "13:02:59", 60));
        assert!(overdue("12:10:00", "13:03:00", 60));
        assert!(!overdue("13:01:00", "13:02:00", 60), "they are of this hour");
        assert!(!overdue("13:10:00", "12:30:00", 60), "the clock was set back");
        assert!(!overdue("12:00:00", "12:07:59", 5));
        assert!(overdue("12:00:00", "12:08:00", 5));
        assert!(!overdue("12:00:00", "12:02:00", 0));
        assert!(overdue("12:00:00", "12:03:01", 0), "nothing is to wait");
    }
}
