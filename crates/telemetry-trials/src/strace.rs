//! Programs under strace, which makes their calls slow, so that kills find them, has them fail, and
//! tells what they did.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// The calls by which files come, change and go. Those with a question mark are not on every machine.
pub const PUBLISHING: &str = "?mkdir,mkdirat,write,pwrite64,fsync,fdatasync,?rename,?renameat,renameat2,\
                              ?link,linkat,?unlink,unlinkat,?rmdir";
/// All calls that concern files, but for those whose outcome nobody looks at.
const OF_FILES: &str = "?open,openat,?mkdir,mkdirat,read,pread64,write,pwrite64,ftruncate,fsync,fdatasync,\
                        ?rename,?renameat,renameat2,?link,linkat,?unlink,unlinkat,?rmdir,getdents64,statx,\
                        ?stat,?newfstatat,fstat,statfs,fstatfs,flock,lseek";

/// How a program is run.
#[derive(Debug, Clone)]
pub struct Tracer {
    log: PathBuf,
    options: Vec<String>,
}

impl Tracer {
    /// Each of the publishing calls takes that long. `log` is for strace.
    pub fn slow(log: &Path, delay: Duration) -> Self {
        let mut tracer = Self { log: log.to_owned(), options: Vec::new() };
        tracer.option("trace", &format!("{PUBLISHING},openat"));
        tracer.option("inject", &format!("{PUBLISHING}:delay_enter={}", delay.as_micros()));
        tracer
    }

    /// As [`Tracer::slow`], on a file system that cannot exchange two names.
    pub fn slow_without_exchange(log: &Path, delay: Duration) -> Self {
        let mut tracer = Self::slow(log, delay);
        tracer.option("inject", &format!("renameat2:error=EINVAL:delay_enter={}", delay.as_micros()));
        tracer
    }

    /// Calls of files are counted; see [`Trace::faults`].
    pub fn counting(log: &Path) -> Self {
        let mut tracer = Self { log: log.to_owned(), options: vec!["--seccomp-bpf".to_owned()] };
        tracer.option("trace", OF_FILES);
        tracer
    }

    /// In each thread, this call fails with an error like `EIO`.
    pub fn failing(log: &Path, call: &Call, error: &str) -> Self {
        let mut tracer = Self::counting(log);
        tracer.option("inject", &format!("{}:error={error}:when={}", call.name, call.number));
        tracer
    }

    fn option(&mut self, name: &str, value: &str) {
        self.options.extend(["-e".to_owned(), format!("{name}={value}")]);
    }

    /// strace, to which the program and its arguments are to be added.
    pub fn command(&self) -> Command {
        let mut strace = Command::new("strace");
        strace.args(["-f", "-y", "-o"]).arg(&self.log).args(&self.options);
        strace
    }

    /// As [`Tracer::command`], on one processor: a program that divides its work by their number
    /// then does all of it in one order.
    pub fn command_on_one_processor(&self) -> Command {
        let strace = self.command();
        let mut taskset = Command::new("taskset");
        taskset.args(["--cpu-list", &first_processor()]).arg(strace.get_program()).args(strace.get_args());
        taskset
    }

    /// What was done with the lake so far.
    pub fn trace(&self, lake: &Path) -> Trace {
        Trace::read(&self.log, lake)
    }

    /// Kills the program a while after so many steps; strace ends with it. `run` is what
    /// [`Tracer::command`] became. Returns what was done until then.
    ///
    /// # Panics
    /// If `run` cannot be waited for.
    pub fn kill(&self, run: &mut Child, lake: &Path, steps: usize, after: Duration) -> Trace {
        while self.trace(lake).steps.len() < steps && is_running(run) {
            std::thread::sleep(Duration::from_micros(500));
        }
        std::thread::sleep(after);
        if let (Some(process), true) = (self.trace(lake).process(), is_running(run)) {
            // It may end by itself at this very moment.
            let _ = Command::new("kill").args(["-KILL", process]).stderr(Stdio::null()).status();
        }
        run.wait().expect("a child that was started can be waited for");
        self.trace(lake)
    }
}

/// Starts what [`Tracer::command`] became.
///
/// # Panics
/// If there is no strace.
pub fn start(command: &mut Command) -> Child {
    command.spawn().expect("strace starts; on Debian, install it with: apt-get install strace")
}

fn is_running(run: &mut Child) -> bool {
    run.try_wait().expect("a child that was started can be waited for").is_none()
}

/// Of those that this process may use.
fn first_processor() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    list.unwrap_or("0").trim().split([',', '-']).next().unwrap_or("0").to_owned()
}

/// A call of a thread.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// As `openat`.
    pub name: String,
    /// The how manieth of this name, from 1.
    pub number: usize,
    /// See [`Step::label`].
    pub label: String,
}

/// A call that concerns the lake, as strace shows it.
#[derive(Debug)]
pub struct Step {
    thread: String,
    call: String,
    has_returned: bool,
    was_failed: bool,
}

impl Step {
    /// The call and where in the lake it went, as `renameat2 .staging gold`.
    pub fn label(&self, lake: &str) -> String {
        let places = self.call.split(lake).skip(1).filter_map(|path| path.strip_prefix('/'));
        let places = places.filter_map(|path| path.split(['/', '"', '>']).next());
        std::iter::once(name_of(&self.call)).chain(places).collect::<Vec<_>>().join(" ")
    }

    /// Whether it creates a file that is yet to get its place.
    pub fn stages(&self) -> bool {
        let creates = self.call.contains("O_EXCL") || self.call.starts_with("mkdir");
        creates && self.call.contains("/.staging/")
    }

    /// Whether this makes names durable: of a date, of a dataset or of the state.
    fn makes_durable(&self, lake: &str) -> bool {
        let is_in = |place: &str| self.call.contains(&format!("<{lake}/{place}/"));
        self.has_returned
            && self.call.starts_with("fsync(")
            && ["silver", "gold", ".state"].map(is_in) != [false; 3]
    }
}

fn name_of(call: &str) -> &str {
    call.split('(').next().unwrap_or_default()
}

/// What a run did.
#[derive(Debug)]
pub struct Trace {
    lake: String,
    /// Calls that concern the lake, in order.
    pub steps: Vec<Step>,
    /// Those of the first thread.
    pub calls: Vec<Call>,
    /// Whether the program did not end by itself.
    pub was_killed: bool,
}

impl Trace {
    fn read(log: &Path, lake: &Path) -> Self {
        // Something else than text may stand in a file that is read.
        let text = String::from_utf8_lossy(&std::fs::read(log).unwrap_or_default()).into_owned();
        let lake = lake.display().to_string();
        let (mut steps, mut calls, mut counts) = (Vec::<Step>::new(), Vec::new(), BTreeMap::new());
        let first = text.split(' ').next().unwrap_or_default();
        for (thread, call) in text.lines().filter_map(|line| line.split_once(' ')) {
            let call = call.trim_start();
            if let Some(name) = call.strip_prefix("<... ").and_then(|rest| rest.split(' ').next()) {
                let interrupted = steps.iter_mut().rfind(|step| step.thread == thread);
                let step = interrupted.filter(|step| step.call.starts_with(name));
                step.into_iter().for_each(|step| {
                    step.has_returned = !call.contains("= ?");
                    step.was_failed = call.ends_with("(INJECTED)");
                });
                continue;
            }
            let name = name_of(call);
            let count: &mut usize = counts.entry((thread, name)).or_default();
            *count += 1;
            if call.contains(&lake) {
                let has_returned = call.contains(") = ") && !call.contains("= ?");
                let was_failed = call.ends_with("(INJECTED)");
                let step =
                    Step { thread: thread.to_owned(), call: call.to_owned(), has_returned, was_failed };
                if thread == first {
                    calls.push(Call { name: name.to_owned(), number: *count, label: step.label(&lake) });
                }
                steps.push(step);
            }
        }
        Self { lake, steps, calls, was_killed: text.contains("+++ killed by SIGKILL +++") }
    }

    /// What can fail in the first thread: so many of its calls of the lake, each with one of these
    /// errors; calls of as many labels as can be.
    pub fn faults<'a>(&'a self, errors: &[&'a str], wanted: usize) -> Vec<(&'a Call, &'a str)> {
        let mut random = fastrand::Rng::with_seed(23);
        let mut faults: Vec<_> =
            self.calls.iter().flat_map(|call| errors.iter().map(move |error| (call, *error))).collect();
        random.shuffle(&mut faults);
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        faults.sort_by_cached_key(|(call, _)| {
            let count = counts.entry(&call.label).or_default();
            *count += 1;
            *count
        });
        faults.truncate(wanted);
        faults
    }

    /// The call of the lake that was made to fail.
    pub fn failed(&self) -> Option<String> {
        let failed = self.steps.iter().find(|step| step.was_failed);
        failed.map(|step| step.label(&self.lake))
    }

    /// The process that strace watches.
    pub fn process(&self) -> Option<&str> {
        self.steps.first().map(|step| step.thread.as_str())
    }

    /// For each step whether anything is in staging, when it is over, that is not durable in its place.
    pub fn publishing(&self) -> Vec<bool> {
        let mut publishing = BTreeSet::new();
        let after = |step: &Step| {
            if step.stages() {
                publishing.insert(step.thread.clone());
            } else if step.makes_durable(&self.lake) {
                publishing.remove(&step.thread);
            }
            !publishing.is_empty()
        };
        self.steps.iter().map(after).collect()
    }

    /// Whether anything was in staging at the end.
    pub fn is_publishing(&self) -> bool {
        self.publishing().last().is_some_and(|is_publishing| *is_publishing)
    }

    /// The call that was not allowed to end, or after which the program was killed.
    pub fn end(&self) -> String {
        let last = self.steps.iter().rfind(|step| !step.has_returned);
        match (last, self.steps.last()) {
            (Some(step), _) => step.label(&self.lake),
            (None, Some(step)) => format!("after {}", step.label(&self.lake)),
            (None, None) => "before the first".to_owned(),
        }
    }
}

/// How the runs of one test were killed.
#[derive(Debug, Default)]
pub struct Kills {
    /// By the call that they were in.
    pub by_call: BTreeMap<String, usize>,
    /// All of them.
    pub all: usize,
    /// Between the creation of something in staging and the sync of the directory that it goes to.
    pub publishing: usize,
}

impl Kills {
    /// Counts a run, if it was killed before it ended.
    pub fn add(&mut self, trace: &Trace) {
        if trace.was_killed {
            self.all += 1;
            self.publishing += usize::from(trace.is_publishing());
            *self.by_call.entry(trace.end()).or_default() += 1;
        }
    }

    /// At least a third of the kills must come within a publication.
    ///
    /// # Panics
    /// If fewer do.
    #[track_caller]
    pub fn check_share(&self) {
        assert!(self.publishing * 3 >= self.all, "{self:#?}");
    }
}
