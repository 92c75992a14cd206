//! Many providers as one: deadlines, hangs and panics are handled here and nowhere else.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use telemetry_schema::host_metrics::HostMetricsReadings;
use tracing::{debug, warn};

use crate::SystemMetricsProvider;

/// Enough for file reading and a library call; the default of 2 MiB per thread would count as
/// memory of this program in many tools.
const STACK_BYTES: usize = 512 * 1024;

/// Asks its providers at the same time, each on a thread of its own, and merges what comes back by
/// the deadline.
///
/// Readings are merged in the order of the list: for each value the last provider that has it wins.
/// A provider that does not answer in time is left behind and skipped until it comes back; its late
/// answer is dropped. One that panics counts as having read nothing.
pub struct CompositeProvider {
    workers: Vec<Worker>,
    answers: Receiver<Answer>,
    deadline: Duration,
    round: u64,
}

struct Worker {
    name: &'static str,
    /// `None` if the thread could not be started.
    requests: Option<Sender<Request>>,
    /// Asked, and has not answered yet.
    busy: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Task {
    Prime,
    Collect,
}

struct Request {
    task: Task,
    round: u64,
}

struct Answer {
    worker: usize,
    round: u64,
    readings: HostMetricsReadings,
}

impl CompositeProvider {
    /// Starts one thread per provider. `deadline` is how long a collection waits at most.
    pub fn new(providers: Vec<Box<dyn SystemMetricsProvider>>, deadline: Duration) -> Self {
        let (answer, answers) = mpsc::channel();
        let workers = providers
            .into_iter()
            .enumerate()
            .map(|(index, provider)| start(index, provider, answer.clone()))
            .collect();
        Self { workers, answers, deadline, round: 0 }
    }

    /// The names of the providers, in the order in which their readings are merged.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.workers.iter().map(|worker| worker.name)
    }

    /// Reads everything once. Takes at most the deadline.
    pub fn collect(&mut self) -> HostMetricsReadings {
        let mut merged = HostMetricsReadings::default();
        for readings in self.ask(Task::Collect).into_iter().flatten() {
            merged.merge(readings);
        }
        merged
    }

    /// Takes the first reading of values that are differences. Takes at most the deadline.
    pub fn prime(&mut self) {
        self.ask(Task::Prime);
    }

    /// One round: the answers that came in time, by provider.
    fn ask(&mut self, task: Task) -> Vec<Option<HostMetricsReadings>> {
        let until = Instant::now() + self.deadline;
        self.round += 1;
        let round = self.round;
        while let Ok(late) = self.answers.try_recv() {
            self.welcome_back(&late);
        }
        let mut results: Vec<Option<HostMetricsReadings>> = self.workers.iter().map(|_| None).collect();
        let mut open = self.workers.iter_mut().filter_map(|worker| worker.send(task, round)).count();
        while open > 0 {
            match self.answers.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(answer) if answer.round == round => {
                    self.workers[answer.worker].busy = false;
                    results[answer.worker] = Some(answer.readings);
                    open -= 1;
                }
                Ok(late) => self.welcome_back(&late),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => break,
            }
        }
        if open > 0 {
            self.report_missing(&results);
        }
        results
    }

    /// A provider that was stuck has answered an earlier round: it can be asked in the next one.
    fn welcome_back(&mut self, late: &Answer) {
        let worker = &mut self.workers[late.worker];
        worker.busy = false;
        debug!(provider = worker.name, round = late.round, "late answer of a provider dropped");
    }

    fn report_missing(&self, results: &[Option<HostMetricsReadings>]) {
        let deadline_ms = self.deadline.as_millis();
        for (worker, _) in self.workers.iter().zip(results).filter(|(w, result)| w.busy && result.is_none()) {
            warn!(
                provider = worker.name,
                deadline_ms, "provider has not answered by the deadline, going on without it"
            );
        }
    }
}

impl Worker {
    /// Asks the provider unless it is still busy with an earlier round; `Some` if it was asked.
    fn send(&mut self, task: Task, round: u64) -> Option<()> {
        if self.busy {
            debug!(provider = self.name, "provider is still stuck, skipped");
            return None;
        }
        self.requests.as_ref()?.send(Request { task, round }).ok()?;
        self.busy = true;
        Some(())
    }
}

fn start(worker: usize, provider: Box<dyn SystemMetricsProvider>, answers: Sender<Answer>) -> Worker {
    let name = provider.name();
    let (requests, inbox) = mpsc::channel();
    let thread = thread::Builder::new().name(name.to_owned()).stack_size(STACK_BYTES);
    // The handle is dropped on purpose: a thread that hangs cannot be joined, and one that does not
    // ends with its channel.
    let requests = match thread.spawn(move || serve(worker, provider, &inbox, &answers)) {
        Ok(_) => Some(requests),
        Err(error) => {
            warn!(provider = name, %error, "cannot start the thread of a provider, going on without it");
            None
        }
    };
    Worker { name, requests, busy: false }
}

fn serve(
    worker: usize,
    mut provider: Box<dyn SystemMetricsProvider>,
    inbox: &Receiver<Request>,
    answers: &Sender<Answer>,
) {
    for Request { task, round } in inbox {
        // A provider that panicked is asked again like one that failed: what it keeps between
        // readings is at worst an old reading.
        let outcome = catch_unwind(AssertUnwindSafe(|| match task {
            Task::Collect => provider.collect(),
            Task::Prime => {
                provider.prime();
                HostMetricsReadings::default()
            }
        }));
        let readings = outcome.unwrap_or_else(|panic| {
            warn!(
                provider = provider.name(),
                panic = panic_text(&*panic),
                "provider panicked, going on without it"
            );
            HostMetricsReadings::default()
        });
        if answers.send(Answer { worker, round, readings }).is_err() {
            return;
        }
    }
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}

#[cfg(test)]
mod tests;
