//! Where samples come from: files, a row group at a time, read only when their host's turn has come.

use std::cmp::Ordering;
use std::ops::Range;
use std::rc::Rc;

use polars::prelude::DataFrame;

use crate::batch::{Batch, Constants, NULL_TEXT, Texts};
use crate::plan::Plan;
use crate::{EngineError, PassError};

/// The samples of one file.
pub struct Source<'a, E> {
    frames: Box<dyn Iterator<Item = Result<DataFrame, E>> + 'a>,
    order: Order,
    host: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    /// Hosts in byte order, each host's rows in time order.
    ByHostAndTime,
    Unknown,
}

impl<'a, E> Source<'a, E> {
    /// Frames in the order in which this project writes them: by (`host_id`, `as_of`). One is read
    /// when the one before is used up. Where `host` is given, all rows are of that host, and nothing
    /// is read before its turn.
    pub fn sorted(frames: impl Iterator<Item = Result<DataFrame, E>> + 'a, host: Option<String>) -> Self {
        Self { frames: Box::new(frames), order: Order::ByHostAndTime, host }
    }

    /// Frames in any order, as foreign files may be: all are read and sorted first.
    pub fn unsorted(frames: impl Iterator<Item = Result<DataFrame, E>> + 'a) -> Self {
        Self { frames: Box::new(frames), order: Order::Unknown, host: None }
    }
}

/// A piece of a batch in which one host's rows lie in time order.
#[derive(Clone)]
pub(crate) struct Run {
    pub(crate) batch: Rc<Batch>,
    pub(crate) rows: Range<usize>,
    pub(crate) first_us: i64,
    pub(crate) last_us: i64,
    pub(crate) has_duplicates: bool,
}

/// A source that is being read.
pub(crate) struct Cursor<'a, E> {
    number: usize,
    source: Source<'a, E>,
    batch: Option<Rc<Batch>>,
    constants: Constants,
    row: usize,
    last_host: u32,
    pub(crate) unusable_rows: u64,
}

impl<'a, E> Cursor<'a, E> {
    pub(crate) fn open(
        number: usize,
        source: Source<'a, E>,
        plan: &Plan,
        texts: &mut Texts,
    ) -> Result<Self, PassError<E>> {
        let (batch, constants) = (None, Constants::default());
        let mut cursor =
            Self { number, source, batch, constants, row: 0, last_host: NULL_TEXT, unusable_rows: 0 };
        if cursor.source.order == Order::Unknown {
            cursor.sort(plan, texts)?;
        }
        Ok(cursor)
    }

    fn sort(&mut self, plan: &Plan, texts: &mut Texts) -> Result<(), PassError<E>> {
        let mut batches = Vec::new();
        while let Some(batch) = self.read(plan, texts)? {
            batches.push(batch);
        }
        let mut rows: Vec<(u32, i64, usize, usize)> = Vec::new();
        for (at, batch) in batches.iter().enumerate() {
            let (hosts, times) = (batch.texts(plan.host_id), batch.ints(plan.as_of));
            rows.extend((0..batch.rows).map(|row| (hosts[row], times[row], at, row)));
        }
        rows.sort_by(|a, b| texts.get(a.0).cmp(&texts.get(b.0)).then(a.1.cmp(&b.1)));
        let rows: Vec<(usize, usize)> = rows.into_iter().map(|(_, _, batch, row)| (batch, row)).collect();
        self.batch = (!rows.is_empty()).then(|| Rc::new(Batch::gather(&batches, &rows)));
        Ok(())
    }

    fn read(&mut self, plan: &Plan, texts: &mut Texts) -> Result<Option<Batch>, PassError<E>> {
        for frame in self.source.frames.by_ref() {
            let frame = frame.map_err(PassError::Source)?;
            let (batch, unusable_rows) = Batch::read(&frame, plan, texts, &mut self.constants)?;
            self.unusable_rows += unusable_rows;
            if batch.rows > 0 {
                return Ok(Some(batch));
            }
        }
        Ok(None)
    }

    /// The host whose rows come next, as a text's position; `None` at the end.
    pub(crate) fn host(&mut self, plan: &Plan, texts: &mut Texts) -> Result<Option<u32>, PassError<E>> {
        if let Some(host) = self.source.host.take() {
            // Read only when this host's turn has come.
            let position = texts.intern(&host);
            self.source.host = (self.batch.is_none() && self.row == 0).then_some(host);
            if self.source.host.is_some() {
                return Ok(Some(position));
            }
        }
        self.load(plan, texts)?;
        Ok(self.batch.as_ref().map(|batch| batch.texts(plan.host_id)[self.row]))
    }

    /// Makes sure that there is a row to look at, unless this is the end.
    fn load(&mut self, plan: &Plan, texts: &mut Texts) -> Result<(), PassError<E>> {
        if self.batch.as_ref().is_none_or(|batch| self.row >= batch.rows) {
            self.batch = self.read(plan, texts)?.map(Rc::new);
            self.row = 0;
        }
        Ok(())
    }

    /// Takes all rows of that host off the front.
    pub(crate) fn take(
        &mut self,
        host: u32,
        runs: &mut Vec<Run>,
        plan: &Plan,
        texts: &mut Texts,
    ) -> Result<(), PassError<E>> {
        self.source.host = None;
        loop {
            self.load(plan, texts)?;
            let Some(batch) = self.batch.clone() else { return Ok(()) };
            let hosts = batch.texts(plan.host_id);
            let end = self.row + hosts[self.row..].iter().take_while(|next| **next == host).count();
            if end > self.row {
                split_into_runs(&batch, self.row..end, plan, runs);
                self.row = end;
            }
            if end < batch.rows {
                self.last_host = host;
                return self.check_order(hosts[end], texts);
            }
        }
    }

    fn check_order(&self, next_host: u32, texts: &Texts) -> Result<(), PassError<E>> {
        match texts.get(next_host).cmp(&texts.get(self.last_host)) {
            Ordering::Greater => Ok(()),
            Ordering::Less | Ordering::Equal => {
                Err(EngineError::Unsorted { source_number: self.number }.into())
            }
        }
    }
}

fn split_into_runs(batch: &Rc<Batch>, rows: Range<usize>, plan: &Plan, runs: &mut Vec<Run>) {
    let times = batch.ints(plan.as_of);
    let mut start = rows.start;
    while start < rows.end {
        let (mut has_duplicates, mut end) = (false, start + 1);
        if is_ascending(&times[start..rows.end]) {
            end = rows.end;
        }
        while end < rows.end && times[end] >= times[end - 1] {
            has_duplicates |= times[end] == times[end - 1];
            end += 1;
        }
        runs.push(Run {
            batch: Rc::clone(batch),
            rows: start..end,
            first_us: times[start],
            last_us: times[end - 1],
            has_duplicates,
        });
        start = end;
    }
}

/// Whether each instant is later than the one before, and none before 1970, as it nearly always is.
/// Without a way out in the middle several are looked at at a time.
fn is_ascending(times: &[i64]) -> bool {
    let first = times.first().copied().unwrap_or(0);
    // Numbers without a sign have a difference that does not overflow.
    let signs = |signs, pair: &[i64]| signs | pair[1] | pair[1].wrapping_sub(pair[0]).wrapping_sub(1);
    times.windows(2).fold(first, signs) >= 0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn ascending_is_what_each_pair_is(times in proptest::collection::vec(
            prop_oneof![0..40_i64, any::<i64>(), Just(i64::MIN), Just(i64::MAX)], 0..6,
        ), is_sorted: bool) {
            let mut times = times;
            if is_sorted {
                times.sort_unstable();
            }
            let expected = times.first().is_none_or(|first| *first >= 0) && times.is_sorted_by(|a, b| a < b);
            prop_assert_eq!(is_ascending(&times), expected);
        }
    }
}
