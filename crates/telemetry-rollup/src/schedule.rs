//! Builds the dates of a plan side by side.
//!
//! A worker computes a date on its own; a date is published as soon as the dates next to it that are
//! also built have been computed, since their ends join its own. So a few dates are in memory at
//! most, however long the range. Whoever is free writes what is ready, and one thread does nothing but
//! wait for the disk, so that the workers need not.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use chrono::NaiveDate;
use indicatif::ProgressBar;
use telemetry_rollup_engine::Ends;

use crate::build::{Builder, Computed, Neighbours, Staged};
use crate::plan::PlannedDate;
use crate::read_ahead::spare_cores;

/// More would hold more dates in memory than a small machine has for them.
const MOST_WORKERS: usize = 4;
/// Written dates that wait for the disk; if it is slower than that, the workers wait too.
const MOST_UNPUBLISHED: usize = 4;

struct Schedule<'a> {
    builder: &'a Builder<'a>,
    dates: &'a [&'a PlannedDate],
    /// Cores that no worker uses.
    spare_cores: usize,
    progress: &'a ProgressBar,
    state: Mutex<State<'a>>,
    computed: Condvar,
}

#[derive(Default)]
struct State<'a> {
    /// The next date to compute, as a position.
    next: usize,
    /// Dates that are being computed.
    computing: usize,
    /// Dates that can be written.
    ready: Vec<Ready<'a>>,
    computed: BTreeMap<NaiveDate, Computed>,
    /// The ends of every date that has been computed.
    ends: BTreeMap<NaiveDate, Ends>,
    is_incomplete: bool,
    error: Option<anyhow::Error>,
}

/// A date, and the dates next to it, have been computed.
struct Ready<'a> {
    planned: &'a PlannedDate,
    computed: Computed,
    neighbours: Neighbours,
}

/// What a worker does next.
enum Work<'s, 'a> {
    Compute(&'a PlannedDate, Computing<'s, 'a>),
    Stage(Box<Ready<'a>>),
}

/// Others may wait for what is being computed: its end is told in any case.
struct Computing<'s, 'a>(&'s Schedule<'a>);

impl Drop for Computing<'_, '_> {
    fn drop(&mut self) {
        self.0.state().computing -= 1;
        self.0.computed.notify_all();
    }
}

/// Builds all the dates, which are in order; false if anything was left out.
pub(crate) fn build(
    builder: &Builder<'_>,
    dates: &[&PlannedDate],
    progress: &ProgressBar,
) -> anyhow::Result<bool> {
    let workers = spare_cores(0).clamp(1, MOST_WORKERS).min(dates.len());
    let spare_cores = spare_cores(workers);
    let (state, computed) = (Mutex::default(), Condvar::new());
    let schedule = Schedule { builder, dates, spare_cores, progress, state, computed };
    let (sender, staged) = sync_channel(MOST_UNPUBLISHED);
    std::thread::scope(|scope| {
        scope.spawn(|| schedule.publish(staged));
        for _ in 1..workers {
            let sender = sender.clone();
            scope.spawn(|| schedule.work(sender));
        }
        schedule.work(sender);
    });
    let state = schedule.state.into_inner().unwrap_or_else(PoisonError::into_inner);
    match state.error {
        Some(error) => Err(error),
        None => Ok(!state.is_incomplete),
    }
}

impl<'a> Schedule<'a> {
    fn state(&self) -> MutexGuard<'_, State<'a>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self, staged: SyncSender<Staged>) {
        if let Err(error) = self.work_until_done(&staged) {
            self.state().error.get_or_insert(error);
        }
    }

    fn work_until_done(&self, staged: &SyncSender<Staged>) -> anyhow::Result<()> {
        while let Some(work) = self.next_work() {
            match work {
                Work::Compute(planned, _computing) => {
                    let computed = self.builder.compute(planned.date, self.spare_cores)?;
                    self.add(planned.date, computed);
                }
                Work::Stage(ready) => {
                    let Ready { planned, computed, neighbours } = *ready;
                    // The other side ends after all workers have ended.
                    staged.send(self.builder.stage(planned, computed, neighbours)?)?;
                }
            }
        }
        Ok(())
    }

    fn publish(&self, staged: Receiver<Staged>) {
        for staged in staged {
            let published = self.builder.publish(staged);
            let mut state = self.state();
            match published {
                Ok(is_complete) => state.is_incomplete |= !is_complete,
                Err(error) => {
                    state.error.get_or_insert(error);
                }
            }
            self.progress.inc(1);
        }
    }

    /// Writing comes first, since it gives memory back. While others compute there may be more to write.
    fn next_work(&self) -> Option<Work<'_, 'a>> {
        let mut state = self.state();
        loop {
            if state.error.is_some() {
                return None;
            }
            if let Some(ready) = state.ready.pop() {
                return Some(Work::Stage(Box::new(ready)));
            }
            if let Some(planned) = self.dates.get(state.next) {
                state.next += 1;
                state.computing += 1;
                return Some(Work::Compute(planned, Computing(self)));
            }
            if state.computing == 0 {
                return None;
            }
            state = self.computed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Notes a computed date, and the dates that can be written now.
    fn add(&self, date: NaiveDate, computed: Computed) {
        let mut state = self.state();
        state.ends.insert(date, computed.ends());
        state.computed.insert(date, computed);
        for date in [date.pred_opt(), Some(date), date.succ_opt()].into_iter().flatten() {
            let ready = self.take_ready(&mut state, date);
            state.ready.extend(ready);
        }
    }

    fn take_ready(&self, state: &mut State<'a>, date: NaiveDate) -> Option<Ready<'a>> {
        let planned = self.dates.iter().copied().find(|planned| planned.date == date)?;
        let is_built = |date: NaiveDate| self.dates.iter().any(|planned| planned.date == date);
        let (before, after) = (date.pred_opt(), date.succ_opt());
        let is_known = |date: Option<NaiveDate>| {
            date.is_none_or(|date| !is_built(date) || state.ends.contains_key(&date))
        };
        if !is_known(before) || !is_known(after) {
            return None;
        }
        let computed = state.computed.remove(&date)?;
        let ends = |date: Option<NaiveDate>| date.and_then(|date| state.ends.get(&date).cloned());
        let neighbours = Neighbours { before: ends(before), after: ends(after) };
        Some(Ready { planned, computed, neighbours })
    }
}
