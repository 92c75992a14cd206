//! Where samples go: at once to Silver, or by way of the spool.

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use telemetry_app::{CollectSection, Durability, Exit, remedy, with_lake_hint};
use telemetry_provider::ProviderSettings;
use telemetry_repository::{Appended, Lake, Spool, awaits_clock};
use telemetry_schema::{FIRST_MEASURED_US, HostId, HostMetricsSample};

use crate::{CPU_STATE, clock};

/// The store of one host's samples.
pub(crate) struct Store {
    lake: Lake,
    host_id: HostId,
    settings: CollectSection,
    provider: ProviderSettings,
    /// Where samples wait; `None` if each run publishes its own, and their clock is right.
    spool: Option<Spool>,
    /// Whether something was lost, damaged, or is late.
    pub(crate) is_incomplete: bool,
    /// Whether it was said that samples wait for the clock.
    is_clock_told: bool,
}

impl Store {
    /// Opens the spool, if samples are to wait. A spool that an earlier configuration filled, or samples
    /// of a clock that was not right, is emptied otherwise.
    pub(crate) fn open(
        lake: Lake,
        host_id: HostId,
        settings: CollectSection,
        provider: ProviderSettings,
    ) -> anyhow::Result<Self> {
        let waits = settings.publish_interval_minutes > 0;
        let spool = if waits { lake.open_spool(&host_id).map(Some) } else { lake.find_spool(&host_id) };
        let spool = spool.map_err(with_lake_hint)?;
        let is_incomplete = spool.as_ref().is_some_and(report_damage);
        let mut store =
            Self { lake, host_id, settings, provider, spool, is_incomplete, is_clock_told: false };
        if !waits {
            store.publish_or_keep();
        }
        Ok(store)
    }

    /// Whether samples wait although their clock is right.
    fn waits(&self) -> bool {
        self.settings.publish_interval_minutes > 0
    }

    /// What the last run left behind of its reading of the processor.
    pub(crate) fn baseline(&self) -> anyhow::Result<Option<String>> {
        let spool = self.spool.as_ref().filter(|_| self.waits());
        let note = spool.and_then(|spool| spool.note().map(str::to_owned));
        Ok(match note {
            Some(note) => Some(note),
            None => self.lake.load_state(&self.host_id, CPU_STATE)?,
        })
    }

    /// Whether each sample is to be stored by itself.
    pub(crate) fn wants_each_sample(&self) -> bool {
        self.waits() && self.settings.durability == Durability::Sample
    }

    /// Whether samples are to be stored every minute although the run has an end.
    pub(crate) fn wants_each_minute(&self) -> bool {
        self.waits()
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
        if self.spool.is_none() && samples.iter().any(awaits_clock) {
            self.spool = Some(self.lake.open_spool(&self.host_id).map_err(with_lake_hint)?);
        }
        let waits = self.waits();
        if !waits {
            // First, so that the file system's journal takes it together with the samples.
            self.keep(baseline);
        }
        let appended = match &mut self.spool {
            Some(spool) => {
                let is_durable = !waits || self.settings.durability != Durability::Publish;
                let note = baseline.filter(|_| waits);
                let appended = spool.append(samples, note, is_durable).map_err(with_lake_hint)?;
                let dropped = spool.dropped();
                if dropped > 0 {
                    tracing::error!(dropped, "spool is full, the oldest samples were overwritten");
                    self.is_incomplete = true;
                }
                appended
            }
            None => self.lake.host_metrics().append(samples).map_err(with_lake_hint)?,
        };
        let awaits = samples.iter().rev().find(|sample| awaits_clock(sample)).map(|sample| sample.as_of);
        if let Some((shown, spool)) = awaits.zip(self.spool.as_ref())
            && !std::mem::replace(&mut self.is_clock_told, true)
        {
            self.is_incomplete |= report_held(spool.waiting().samples, shown);
        }
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

    /// What mends an error of the lake.
    pub(crate) fn help(&self, error: &anyhow::Error) -> Option<String> {
        remedy(error.downcast_ref()?, self.lake.root())
    }

    /// Publishes what waits in the spool if it is due at `now`, or would be before the next sample.
    /// What cannot be published is kept.
    pub(crate) fn publish_if_due(&mut self, now: DateTime<Utc>, next_sample: TimeDelta) {
        let Some(waiting) = self.spool.as_ref().map(Spool::waiting) else { return };
        if waiting.is_due(now + next_sample, self.settings.publish_interval_minutes) {
            self.publish_or_keep();
        }
    }

    fn publish_or_keep(&mut self) {
        let Some(spool) = &mut self.spool else { return };
        spool.set_clock(clock::reading(&self.provider));
        match spool.publish() {
            Ok(appended) => {
                report(&appended);
                self.is_incomplete |= appended.undated.is_some();
            }
            Err(error) => {
                let help = remedy(&error, self.lake.root());
                let error = format!("{:#}", with_lake_hint(error));
                let waiting = spool.waiting().samples;
                tracing::error!(error, help, waiting, "samples cannot be published, they wait in the spool");
                self.is_incomplete = true;
            }
        }
        if !self.waits() {
            self.spool = self.spool.take().filter(|spool| spool.waiting().samples > 0);
        }
    }
}

/// `--publish`: publishes what waits in the spool of a host.
pub(crate) fn publish_waiting(
    lake: &Lake,
    host_id: &HostId,
    provider: &ProviderSettings,
) -> anyhow::Result<Exit> {
    let Some(mut spool) = lake.find_spool(host_id).map_err(with_lake_hint)? else { return Ok(Exit::Done) };
    let is_damaged = report_damage(&spool);
    let clock = clock::reading(provider);
    spool.set_clock(clock.clone());
    let appended = spool.publish().map_err(with_lake_hint)?;
    report(&appended);
    let is_late = appended.held > 0 && report_held(appended.held, clock.now);
    if appended.held > 0 && !is_late {
        // They are what was asked for.
        tracing::warn!(samples = appended.held, "clock is not synchronised, samples stay in the spool");
    }
    let is_incomplete = is_damaged || is_late || appended.undated.is_some();
    Ok(if is_incomplete { Exit::Incomplete } else { Exit::Done })
}

/// Returns whether somebody has to set the clock.
fn report_held(held: usize, now: DateTime<Utc>) -> bool {
    let is_unset = now.timestamp_micros() < FIRST_MEASURED_US;
    let clock = now.to_rfc3339_opts(SecondsFormat::Secs, true);
    if is_unset {
        tracing::warn!(held, clock, "clock is not set, samples wait in the spool until it is (timedatectl)");
    } else {
        tracing::info!(held, clock, "samples wait for a synchronised clock, an hour after the boot at most");
    }
    is_unset
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
    if let Some(path) = &appended.undated {
        let path = path.display().to_string();
        tracing::error!(path, "samples of a boot whose clock was never set cannot be dated, set aside");
    }
    for file in &appended.files {
        tracing::info!(path = %file.display(), rows = appended.rows, "samples published");
    }
}
