//! Small files are read by other threads while the pass works on those before them.
//!
//! A date in files of a minute costs mostly the opening of 1,440 files, and a pass alone would use one
//! core. Large files are read by the pass itself, a row group at a time.

use std::num::NonZero;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use telemetry_repository::{DataFile, DatasetStore, RepositoryError, RowGroups};
use telemetry_rollup_engine::DataFrame;
use telemetry_schema::host_metrics_rollup::silver_columns;

/// Larger files are not worth a place in memory ahead of their turn.
const MOST_BYTES: u64 = 256 * 1024;
/// Files that are read and not yet asked for.
const MOST_AHEAD: usize = 64;
/// Fewer files are read before a thread has begun.
const FEWEST_FILES: usize = 8;

type Frames = Result<Vec<DataFrame>, RepositoryError>;

/// The files of a pass, some of them read before their turn.
pub(crate) struct ReadAhead<'a> {
    store: &'a DatasetStore,
    files: &'a [&'a DataFile],
    columns: Vec<&'static str>,
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    files: Vec<Progress>,
    /// All files before this one have been begun.
    next: usize,
    ahead: usize,
    is_over: bool,
}

impl State {
    /// The next file to be read ahead; `None` if there is none, or too many wait for their turn.
    fn begin_next(&mut self) -> Option<usize> {
        while self.ahead < MOST_AHEAD && self.next < self.files.len() {
            let file = self.next;
            self.next += 1;
            if matches!(self.files[file], Progress::Waiting) {
                self.files[file] = Progress::Begun;
                self.ahead += 1;
                return Some(file);
            }
        }
        None
    }
}

enum Progress {
    Waiting,
    /// Another thread reads it now.
    Begun,
    Read(Frames),
    /// The pass has it, or reads it itself.
    Taken,
}

/// Cores that nobody uses while so many threads work.
pub(crate) fn spare_cores(threads: usize) -> usize {
    std::thread::available_parallelism().map_or(1, NonZero::get).saturating_sub(threads)
}

impl<'a> ReadAhead<'a> {
    pub(crate) fn new(store: &'a DatasetStore, files: &'a [&'a DataFile]) -> Self {
        let progress = |file: &&DataFile| {
            if file.size <= MOST_BYTES { Progress::Waiting } else { Progress::Taken }
        };
        let state = State { files: files.iter().map(progress).collect(), next: 0, ahead: 0, is_over: false };
        Self { store, files, columns: silver_columns(), state: Mutex::new(state), changed: Condvar::new() }
    }

    /// Runs a pass over the files with so many threads that read for it.
    pub(crate) fn run<T>(&self, threads: usize, pass: impl FnOnce() -> T) -> T {
        let threads = if self.files.len() < FEWEST_FILES { 0 } else { threads };
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| self.work());
            }
            let _over = Over(self);
            pass()
        })
    }

    /// The file's frames, read when they are asked for if nobody has read them before.
    pub(crate) fn frames(&self, file: usize) -> impl Iterator<Item = Result<DataFrame, RepositoryError>> {
        let mut reading = Reading::Waiting;
        std::iter::from_fn(move || reading.next(self, file))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'s>(&self, state: MutexGuard<'s, State>) -> MutexGuard<'s, State> {
        self.changed.wait(state).unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) {
        let mut state = self.state();
        while !state.is_over && state.next < self.files.len() {
            state = match state.begin_next() {
                Some(file) => self.read(state, file),
                None => self.wait(state),
            };
        }
    }

    /// What has been read before its turn; `None` if nobody has begun to. While another thread reads
    /// the file, this one reads the next.
    fn take(&self, file: usize) -> Option<Frames> {
        let mut state = self.state();
        while matches!(state.files[file], Progress::Begun) {
            state = match state.begin_next() {
                Some(next) => self.read(state, next),
                None => self.wait(state),
            };
        }
        let Progress::Read(frames) = std::mem::replace(&mut state.files[file], Progress::Taken) else {
            return None;
        };
        state.ahead -= 1;
        if state.ahead == MOST_AHEAD / 2 {
            self.changed.notify_all();
        }
        Some(frames)
    }

    fn read<'s>(&'s self, state: MutexGuard<'s, State>, file: usize) -> MutexGuard<'s, State> {
        drop(state);
        let frames = self.open(file).and_then(Iterator::collect);
        let mut state = self.state();
        state.files[file] = Progress::Read(frames);
        self.changed.notify_all();
        state
    }

    fn open(&self, file: usize) -> Result<RowGroups, RepositoryError> {
        Ok(self.store.read_row_groups(self.files[file], &self.columns)?.skip_constants())
    }
}

/// Sends the reading threads home, also if the pass gives up.
struct Over<'a, 'b>(&'a ReadAhead<'b>);

impl Drop for Over<'_, '_> {
    fn drop(&mut self) {
        self.0.state().is_over = true;
        self.0.changed.notify_all();
    }
}

/// A file that is opened when its first row group is asked for, and closed after its last: a date can
/// have more files than a process may hold open.
enum Reading {
    Waiting,
    Open(Box<RowGroups>),
    Ahead(std::vec::IntoIter<DataFrame>),
    Done,
}

impl Reading {
    fn next(&mut self, ahead: &ReadAhead<'_>, file: usize) -> Option<Result<DataFrame, RepositoryError>> {
        if let Reading::Waiting = self {
            let begun = match ahead.take(file) {
                Some(frames) => frames.map(|frames| Reading::Ahead(frames.into_iter())),
                None => ahead.open(file).map(|groups| Reading::Open(Box::new(groups))),
            };
            match begun {
                Ok(begun) => *self = begun,
                Err(error) => {
                    *self = Reading::Done;
                    return Some(Err(error));
                }
            }
        }
        let next = match self {
            Reading::Open(groups) => groups.next(),
            Reading::Ahead(frames) => frames.next().map(Ok),
            Reading::Waiting | Reading::Done => None,
        };
        if next.is_none() {
            *self = Reading::Done;
        }
        next
    }
}
