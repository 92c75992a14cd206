//! Where samples go: at once to Silver, or by way of the spool.

use chrono::{DateTime, TimeDelta, Utc};
use telemetry_app::{CollectSection, Durability, Exit, with_lake_hint};
use telemetry_repository::{Appended, Lake, Spool};
use telemetry_schema::{HostId, HostMetricsSample};

use crate::CPU_STATE;
use crate::schedule::is_interval_over;

/// The store of one host's samples.
pub(crate) struct Store {
    lake: Lake,
    host_id: HostId,
    settings: CollectSection,
    /// Where samples wait; `None` if each run publishes its own.
    spool: Option<Spool>,
    /// Whether something was lost, damaged, or is late.
    pub(crate) is_incomplete: bool,
}

impl Store {
    /// Opens the spool, if samples are to wait. A spool that an earlier configuration filled is emptied
    /// otherwise.
    pub(crate) fn open(lake: Lake, host_id: HostId, settings: CollectSection) -> anyhow::Result<Self> {
        let waits = settings.publish_interval_minutes > 0;
        let spool = if waits { lake.open_spool(&host_id).map(Some) } else { lake.find_spool(&host_id) };
        let spool = spool.map_err(with_lake_hint)?;
        let is_incomplete = spool.as_ref().is_some_and(report_damage);
        let mut store = Self { lake, host_id, settings, spool, is_incomplete };
        if !waits {
            store.publish_or_keep();
            store.spool = None;
        }
        Ok(store)
    }

    /// What the last run left behind of its reading of the processor.
    pub(crate) fn baseline(&self) -> anyhow::Result<Option<String>> {
        let note = self.spool.as_ref().and_then(|spool| spool.note().map(str::to_owned));
        Ok(match note {
            Some(note) => Some(note),
            None => self.lake.load_state(&self.host_id, CPU_STATE)?,
        })
    }

    /// Whether each sample is to be stored by itself.
    pub(crate) fn wants_each_sample(&self) -> bool {
        self.spool.is_some() && self.settings.durability == Durability::Sample
    }

    /// Whether samples are to be stored every minute although the run has an end.
    pub(crate) fn wants_each_minute(&self) -> bool {
        self.spool.is_some()
    }

    /// Stores samples such that a run may end: in Silver, or in the spool. `baseline` is for the next
    /// run; losing it costs that run a second.
    pub(crate) fn store(
        &mut self,
        samples: &mut [HostMetricsSample],
        baseline: Option<&str>,
    ) -> anyhow::Result<()> {
        if samples.is_empty() {
            return Ok(());
        }
        let appended = match &mut self.spool {
            Some(spool) => {
                let is_durable = self.settings.durability != Durability::Publish;
                let appended = spool.append(samples, baseline, is_durable).map_err(with_lake_hint)?;
                let dropped = spool.dropped();
                if dropped > 0 {
                    tracing::error!(dropped, "spool is full, the oldest samples were overwritten");
                    self.is_incomplete = true;
                }
                appended
            }
            None => {
                let appended = self.lake.host_metrics().append(samples).map_err(with_lake_hint)?;
                self.keep(baseline);
                appended
            }
        };
        self.is_incomplete |= !appended.refused.is_empty();
        report(&appended);
        Ok(())
    }

    fn keep(&self, baseline: Option<&str>) {
        let Some(baseline) = baseline else { return };
        if let Err(error) = self.lake.save_state(&self.host_id, CPU_STATE, baseline) {
            let error = format!("{:#}", anyhow::Error::new(error));
            tracing::warn!(error, "reading cannot be kept for the next run");
        }
    }

    /// Publishes what waits in the spool if it is due at `now`, or would be before the next sample.
    /// What cannot be published is kept.
    pub(crate) fn publish_if_due(&mut self, now: DateTime<Utc>, next_sample: TimeDelta) {
        let Some(waiting) = self.spool.as_ref().map(Spool::waiting) else { return };
        let minutes = self.settings.publish_interval_minutes;
        let is_over = |oldest| is_interval_over(oldest, now + next_sample, minutes);
        if waiting.samples > 0 && (waiting.is_urgent || waiting.oldest.is_none_or(is_over)) {
            self.publish_or_keep();
        }
    }

    fn publish_or_keep(&mut self) {
        let Some(spool) = &mut self.spool else { return };
        match spool.publish() {
            Ok(appended) => report(&appended),
            Err(error) => {
                let error = format!("{:#}", with_lake_hint(error));
                let waiting = spool.waiting().samples;
                tracing::error!(error, waiting, "samples cannot be published, they wait in the spool");
                self.is_incomplete = true;
            }
        }
    }
}

/// `--publish`: publishes what waits in the spool of a host.
pub(crate) fn publish_waiting(lake: &Lake, host_id: &HostId) -> anyhow::Result<Exit> {
    let Some(mut spool) = lake.find_spool(host_id).map_err(with_lake_hint)? else { return Ok(Exit::Done) };
    let is_incomplete = report_damage(&spool);
    report(&spool.publish().map_err(with_lake_hint)?);
    Ok(if is_incomplete { Exit::Incomplete } else { Exit::Done })
}

/// Returns whether there was any.
fn report_damage(spool: &Spool) -> bool {
    for damage in spool.damage() {
        let path = damage.path.display().to_string();
        tracing::error!(path, lost_frames = damage.lost_frames, "spool is damaged, the rest of it is kept");
    }
    !spool.damage().is_empty()
}

fn report(appended: &Appended) {
    for refused in &appended.refused {
        let as_of = refused.as_of.to_rfc3339();
        tracing::error!(host_id = refused.host_id, as_of, reason = %refused.violation, "sample refused");
    }
    for nulled in &appended.nulled {
        let as_of = nulled.as_of.to_rfc3339();
        tracing::warn!(host_id = nulled.host_id, as_of, reason = %nulled.violation, "value stored as null");
    }
    for file in &appended.files {
        tracing::info!(path = %file.display(), rows = appended.rows, "samples published");
    }
}
