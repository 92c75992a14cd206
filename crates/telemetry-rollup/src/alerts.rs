//! Evaluating the alert rules over what was built, and keeping where they stand.
//!
//! What has not been evaluated is known by names: the state holds the name of each date's file in Gold
//! as it was read, for the days that a run looks back. A run with nothing new opens no file.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};
use telemetry_alert_rules::{
    Alert, AlertState, Event, LOOK_BACK_US, Period, RuleSet, alerts, evaluate, revised,
};
use telemetry_app::Exit;
use telemetry_repository::{ALERT_STATE, DataFile, DatasetStore, Lake, RepositoryError};
use telemetry_rollup_engine::GRACE_US;
use telemetry_schema::HostAlert;

use crate::silver::start_of;
use crate::ticks::{GoldFiles, Ticks, date_of, gold_files};

/// What the rules of a lake work on.
pub(crate) struct Alerts<'a> {
    pub(crate) lake: &'a Lake,
    pub(crate) gold: &'a DatasetStore,
    pub(crate) rules: &'a RuleSet,
    pub(crate) now: DateTime<Utc>,
    /// A file could not be read and was left out.
    is_incomplete: Cell<bool>,
}

/// What is kept between runs. A cache: the rows and Gold give it back.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Kept {
    state: AlertState,
    /// Name of the file of each date as it was evaluated. Files of another interval have other names.
    gold: BTreeMap<NaiveDate, String>,
}

impl<'a> Alerts<'a> {
    pub(crate) fn new(
        lake: &'a Lake,
        gold: &'a DatasetStore,
        rules: &'a RuleSet,
        now: DateTime<Utc>,
    ) -> Self {
        Self { lake, gold, rules, now, is_incomplete: Cell::new(false) }
    }

    /// How a run ends, as far as alerts are concerned.
    pub(crate) fn exit(&self) -> Exit {
        if self.is_incomplete.get() { Exit::Incomplete } else { Exit::Done }
    }

    /// Evaluates what is new, and appends what happened.
    pub(crate) fn evaluate(&self) -> anyhow::Result<()> {
        let period = self.period();
        let kept = self.load()?;
        // A run after a long pause goes on from where the last one stood.
        let since_us =
            kept.as_ref().map_or(period.from_us, |kept| kept.state.horizon_us().min(period.from_us));
        let files = gold_files(self.gold, since_us - self.rules.lookback_us())?;
        let Some(kept) = kept else { return self.begin(period, &files) };
        let changed: BTreeSet<NaiveDate> = files
            .iter()
            .filter(|(date, file)| kept.gold.get(*date) != Some(&name_of(file)))
            .map(|(date, _)| *date)
            .collect();
        if changed.is_empty() && period.horizon_us <= kept.state.horizon_us() {
            return Ok(());
        }
        let ticks = self.new_ticks(&changed, &files, &kept.state, period)?;
        let (events, state) = evaluate(self.rules, kept.state, period, ticks.hosts())?;
        self.append_new(events)?;
        self.save(state, &files)
    }

    /// Evaluates without knowing where the rules stood: for the first time, or as the state was lost.
    /// The rows say what fired, the buckets before what was pending.
    fn begin(&self, period: Period, files: &GoldFiles) -> anyhow::Result<()> {
        let known = alerts(self.events(|_| true)?);
        let (mut events, state) = self.replay(&known, period)?;
        // Samples that came late may end an alert elsewhere now, which is for a re-evaluation to say.
        let ended: BTreeSet<&str> =
            known.iter().filter(|alert| !alert.is_open()).map(|alert| alert.alert_id.as_str()).collect();
        events.retain(|event| !ended.contains(event.alert_id().as_str()));
        self.append_new(events)?;
        self.save(state, files)
    }

    /// Evaluates everything from a date on again, and appends where the result differs.
    pub(crate) fn reevaluate(&self, from: NaiveDate) -> anyhow::Result<()> {
        let from_us = start_of(from).timestamp_micros();
        let period = Period { from_us, ..self.period() };
        let known = alerts(self.events(|_| true)?);
        let (events, state) = self.replay(&known, period)?;
        let changes = revised(&known, events, from_us, period.evaluated_at_us);
        self.append(&changes)?;
        let since_us = period.horizon_us - LOOK_BACK_US - self.rules.lookback_us();
        self.save(state, &gold_files(self.gold, since_us)?)
    }

    /// What would have happened from one date to another (exclusive) if there had been no alert before.
    pub(crate) fn rehearse(&self, from_us: i64, to_us: i64) -> anyhow::Result<Vec<Event>> {
        let horizon_us = to_us.min(self.period().horizon_us);
        let period = Period { from_us, horizon_us, ..self.period() };
        let files = gold_files(self.gold, from_us.saturating_sub(self.rules.lookback_us()))?;
        let dates = files.keys().copied().filter(|date| *date <= date_of(horizon_us)).collect();
        let ticks = self.ticks(&files, &dates)?;
        Ok(evaluate(self.rules, AlertState::before(from_us), period, ticks.hosts())?.0)
    }

    /// Evaluates a period from what the rows say of its beginning; where there are none, nothing was
    /// known then.
    fn replay(&self, known: &[Alert], period: Period) -> anyhow::Result<(Vec<Event>, AlertState)> {
        let memory_us = if known.is_empty() { 0 } else { self.rules.memory_us() };
        let begin_us = period.from_us - memory_us;
        let files = gold_files(self.gold, begin_us - self.rules.lookback_us())?;
        let ticks = self.ticks(&files, &files.keys().copied().collect())?;
        let mut state = AlertState::before(begin_us);
        state.align(known);
        let warm_up = Period { from_us: begin_us, horizon_us: period.from_us, ..period };
        let (_, mut state) = evaluate(self.rules, state, warm_up, ticks.hosts())?;
        state.align(known);
        Ok(evaluate(self.rules, state, period, ticks.hosts())?)
    }

    /// The buckets of the changed dates, and of those before that the rules look back to.
    fn new_ticks(
        &self,
        changed: &BTreeSet<NaiveDate>,
        files: &GoldFiles,
        state: &AlertState,
        period: Period,
    ) -> anyhow::Result<Ticks> {
        let ticks = self.ticks(files, changed)?;
        let done_us = |host: &str| state.done_us(host).unwrap_or(period.from_us);
        let Some(first_us) = ticks.first_new_us(done_us) else { return Ok(ticks) };
        let begin = date_of(first_us - self.rules.lookback_us());
        let last = changed.last().copied().unwrap_or(begin);
        let between = files.keys().copied().filter(|date| (begin..=last).contains(date));
        let dates: BTreeSet<NaiveDate> = between.chain(changed.iter().copied()).collect();
        if dates == *changed { Ok(ticks) } else { self.ticks(files, &dates) }
    }

    /// The final buckets of these dates. A damaged file is left out: the next build replaces it.
    fn ticks(&self, files: &GoldFiles, dates: &BTreeSet<NaiveDate>) -> anyhow::Result<Ticks> {
        let mut ticks = Ticks::new(self.rules);
        for (_, file) in files.iter().filter(|(date, _)| dates.contains(date)) {
            match ticks.read(self.gold, file) {
                Err(error @ RepositoryError::Damaged { .. }) => {
                    tracing::error!(%error, "rollups left out of the alert rules");
                    self.is_incomplete.set(true);
                }
                result => result?,
            }
        }
        Ok(ticks)
    }

    /// What a run evaluates now.
    fn period(&self) -> Period {
        Period::of_run(self.rules, self.now.timestamp_micros(), GRACE_US)
    }

    /// The events in the rows of some dates.
    pub(crate) fn events(&self, wants: impl Fn(NaiveDate) -> bool) -> anyhow::Result<Vec<Event>> {
        let repository = self.lake.host_alerts();
        let mut events = Vec::new();
        for date in repository.store().dates()?.into_iter().filter(|date| wants(*date)) {
            for file in repository.store().files_on(date)? {
                match repository.read(&file) {
                    Ok(rows) => {
                        for row in rows {
                            events.push(Event::from_row(&row)?);
                        }
                    }
                    // Expired since it was listed.
                    Err(error) if error.is_not_found() => {}
                    Err(error @ RepositoryError::Damaged { .. }) => {
                        tracing::error!(%error, "alert events left out");
                        self.is_incomplete.set(true);
                    }
                    Err(error) => return Err(error.into()),
                }
            }
        }
        Ok(events)
    }

    /// Appends events that the rows do not have yet: a run that was killed may have appended some.
    fn append_new(&self, mut events: Vec<Event>) -> anyhow::Result<()> {
        if !events.is_empty() {
            let dates: BTreeSet<NaiveDate> = events.iter().map(|event| date_of(event.as_of_us)).collect();
            let known: BTreeSet<String> =
                self.events(|date| dates.contains(&date))?.iter().map(Event::event_id).collect();
            events.retain(|event| !known.contains(&event.event_id()));
        }
        self.append(&events)
    }

    fn append(&self, events: &[Event]) -> anyhow::Result<()> {
        let rows: Vec<HostAlert> = events.iter().map(Event::to_row).collect();
        self.lake.host_alerts().append(&rows)?;
        for event in events {
            tracing::info!(
                rule = event.rule_id,
                host = event.host_id,
                state = event.state.as_str(),
                event.message,
                "alert"
            );
        }
        Ok(())
    }

    fn load(&self) -> Result<Option<Kept>, RepositoryError> {
        match self.lake.load_rollup_state(ALERT_STATE) {
            Err(error @ RepositoryError::Damaged { .. }) => {
                tracing::warn!(%error, "state of the alert rules is damaged, evaluated again");
                Ok(None)
            }
            result => result,
        }
    }

    fn save(&self, state: AlertState, files: &GoldFiles) -> anyhow::Result<()> {
        let gold = files.iter().map(|(date, file)| (*date, name_of(file))).collect();
        let kept = Kept { state, gold };
        let text = serde_json::to_string(&kept)?;
        Ok(self.lake.save_rollup_state(ALERT_STATE, &text)?)
    }
}

fn name_of(file: &DataFile) -> String {
    file.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
