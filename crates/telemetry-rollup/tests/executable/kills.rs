//! Runs that are killed, at any step: the next one completes what they began.
//!
//! strace makes the calls of publishing slow, so that kills find them, and tells in which of them the
//! program was.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use chrono::{NaiveDate, TimeDelta, Utc};
use telemetry_repository::{DatasetStore, Selection, rows_from_frame};
use telemetry_schema::{HostMetricsRollup, HostMetricsSample, Row};

use crate::support::World;

/// In each of the four tests.
const KILLS: usize = 20;
/// What each slow call takes.
const DELAY: Duration = Duration::from_millis(4);
/// The calls of publishing; those with a question mark are not on every machine.
const SLOW: &str =
    "?mkdir,mkdirat,write,fsync,?rename,?renameat,renameat2,?link,linkat,?unlink,unlinkat,?rmdir";

/// The rows of each date, by dataset, sorted.
type Rows = BTreeMap<(&'static str, NaiveDate), Vec<String>>;

fn rows(world: &World) -> Rows {
    let mut rows = stored::<HostMetricsSample>(world.lake().host_metrics().store());
    rows.extend(stored::<HostMetricsRollup>(&world.gold(5)));
    rows
}

fn stored<R: Row + Debug>(store: &DatasetStore) -> Rows {
    let columns: Vec<&str> = R::DATASET.columns.iter().map(|column| column.name).collect();
    let mut dates = Rows::new();
    for file in store.files(&Selection::all()).unwrap() {
        let rows: Vec<R> = rows_from_frame(&store.read(&file, &columns).unwrap()).unwrap();
        let date = dates.entry((R::DATASET.name, file.date)).or_default();
        date.extend(rows.iter().map(|row| format!("{row:?}")));
    }
    dates.values_mut().for_each(|rows| rows.sort_unstable());
    dates
}

/// A call that concerns the lake, as strace shows it.
struct Step {
    thread: String,
    call: String,
    has_returned: bool,
}

impl Step {
    /// The call and where in the lake it went, as `renameat2 .staging gold`.
    fn label(&self, lake: &str) -> String {
        let call = self.call.split('(').next().unwrap_or_default();
        let places = self.call.split(lake).skip(1).filter_map(|path| path.strip_prefix('/'));
        let places = places.filter_map(|path| path.split(['/', '"', '>']).next());
        std::iter::once(call).chain(places).collect::<Vec<_>>().join(" ")
    }

    fn stages(&self) -> bool {
        self.call.contains("/.staging/") && (self.call.contains("O_EXCL") || self.call.starts_with("mkdir"))
    }

    /// Whether this makes names durable: of a date, of a dataset or of the state.
    fn makes_durable(&self, lake: &str) -> bool {
        let is_in = |place: &str| self.call.contains(&format!("<{lake}/{place}/"));
        self.has_returned
            && self.call.starts_with("fsync(")
            && ["silver", "gold", ".state"].map(is_in) != [false; 3]
    }
}

/// What a run did with the lake.
struct Trace {
    lake: String,
    steps: Vec<Step>,
    was_killed: bool,
}

impl Trace {
    fn read(log: &Path, lake: &Path) -> Self {
        let (text, lake) = (std::fs::read_to_string(log).unwrap_or_default(), lake.display().to_string());
        let mut steps: Vec<Step> = Vec::new();
        for (thread, call) in text.lines().filter_map(|line| line.split_once(' ')) {
            let call = call.trim_start();
            if let Some(name) = call.strip_prefix("<... ").and_then(|rest| rest.split(' ').next()) {
                let interrupted = steps.iter_mut().rfind(|step| step.thread == thread);
                let step = interrupted.filter(|step| step.call.starts_with(name));
                step.into_iter().for_each(|step| step.has_returned = !call.contains("= ?"));
            } else if call.contains(&lake) {
                let has_returned = call.contains(") = ") && !call.contains("= ?");
                steps.push(Step { thread: thread.to_owned(), call: call.to_owned(), has_returned });
            }
        }
        Self { lake, steps, was_killed: text.contains("+++ killed by SIGKILL +++") }
    }

    /// The process that strace watches.
    fn process(&self) -> Option<&str> {
        self.steps.first().map(|step| step.thread.as_str())
    }

    /// Whether anything is in staging that is not durable in its place.
    fn is_publishing(&self) -> bool {
        let mut publishing = BTreeSet::new();
        for step in &self.steps {
            if step.stages() {
                publishing.insert(&step.thread);
            } else if step.makes_durable(&self.lake) {
                publishing.remove(&step.thread);
            }
        }
        !publishing.is_empty()
    }

    /// The call that was not allowed to end, or after which the program was killed.
    fn end(&self) -> String {
        let last = self.steps.iter().rfind(|step| !step.has_returned);
        match (last, self.steps.last()) {
            (Some(step), _) => step.label(&self.lake),
            (None, Some(step)) => format!("after {}", step.label(&self.lake)),
            (None, None) => "before the first".to_owned(),
        }
    }
}

/// Runs with slow calls; a run that is to be killed is killed a part of a delay after so many steps.
fn run_slowly(world: &World, arguments: &[&str], has_exchange: bool, kill_at: Option<(usize, f64)>) -> Trace {
    let log = world.path().with_extension("trace");
    let slow = format!("inject={SLOW}:delay_enter={}", DELAY.as_micros());
    let mut strace = Command::new("strace");
    strace.args(["-f", "-y", "-o"]).arg(&log).args(["-e", &format!("trace={SLOW},openat"), "-e", &slow]);
    if !has_exchange {
        strace.args(["-e", &format!("inject=renameat2:error=EINVAL:delay_enter={}", DELAY.as_micros())]);
    }
    let mut command = world.command_under(strace, arguments);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut run = command.spawn().expect("strace starts; on Debian, install it with: apt-get install strace");
    let trace = || Trace::read(&log, &world.path());
    if let Some((steps, part)) = kill_at {
        while trace().steps.len() < steps && run.try_wait().unwrap().is_none() {
            std::thread::sleep(DELAY / 8);
        }
        std::thread::sleep(DELAY.mul_f64(part));
        let process = trace().process().map(str::to_owned);
        if let (Some(process), None) = (process, run.try_wait().unwrap()) {
            // It may end by itself at this very moment.
            let _ = Command::new("kill").args(["-KILL", &process]).stderr(Stdio::null()).status().unwrap();
        }
    }
    run.wait().unwrap();
    trace()
}

/// A reader sees each date as it was or as it will be; without the exchange, at least all of it.
fn check_seen(seen: &Rows, (before, after): (&Rows, &Rows), has_exchange: bool, end: &str) {
    for date in before.keys().chain(after.keys()).chain(seen.keys()) {
        let is = |expected: &Rows| {
            let [seen, expected] = [seen, expected].map(|rows| rows.get(date).map_or(&[][..], Vec::as_slice));
            seen == expected || !has_exchange && expected.iter().all(|row| seen.binary_search(row).is_ok())
        };
        assert!(is(before) || is(after), "{date:?} is neither old nor new after {end}");
    }
}

/// Lets the run be completed by the next.
fn complete(world: &World, arguments: &[&str]) {
    world.build(arguments);
    world.build(&[]);
}

/// How the runs of one test were killed.
#[derive(Debug, Default)]
struct Kills {
    by_call: BTreeMap<String, usize>,
    all: usize,
    /// Between the creation of something in staging and the sync of the directory that it goes to.
    publishing: usize,
}

impl Kills {
    /// Kills runs of the verb on copies of a lake, and checks what readers see and what the next run
    /// makes of it.
    fn make(prepared: &World, arguments: &[&str]) -> Self {
        let (before, undisturbed) = (rows(prepared), prepared.copy());
        let steps = run_slowly(&undisturbed, arguments, true, None).steps;
        let staging = steps.iter().position(Step::stages).unwrap_or(0);
        complete(&undisturbed, arguments);
        let (after, mut kills) = (rows(&undisturbed), Self::default());
        for round in 0..2 * KILLS {
            // A third of them at any step, the others once something is published.
            let first = if round.is_multiple_of(3) { 0 } else { staging };
            let step = first + (steps.len() - first) * (2 * kills.all + 1) / (2 * KILLS);
            let (world, has_exchange) = (prepared.copy(), round % 4 != 1);
            let moment = (step, (round % 5) as f64 / 5.0);
            let trace = run_slowly(&world, arguments, has_exchange, Some(moment));
            let end = trace.end();
            check_seen(&rows(&world), (&before, &after), has_exchange, &end);
            complete(&world, arguments);
            assert!(rows(&world) == after, "another result after {end}");
            let staging = std::fs::read_dir(world.path().join(".staging")).unwrap();
            assert_eq!(staging.count(), 0, "left in staging after {end}");
            if trace.was_killed {
                kills.all += 1;
                kills.publishing += usize::from(trace.is_publishing());
                *kills.by_call.entry(end).or_default() += 1;
            }
            if kills.all == KILLS {
                println!("{arguments:?} {kills:#?}");
                return kills;
            }
        }
        panic!("runs end before they are killed: {kills:?}");
    }

    #[track_caller]
    fn check_share(&self) {
        assert!(self.publishing * 3 >= self.all, "{self:?}");
    }
}

/// Three dates of two hosts.
fn world() -> World {
    let world = World::new();
    for day in 9..12 {
        world.append("pi", &format!("2026-03-{day:02}T23:50:03Z"), 59);
        world.append("pi", &format!("2026-03-{day:02}T00:00:03Z"), 60);
        world.append("nas", &format!("2026-03-{day:02}T12:00:03Z"), 90);
    }
    world
}

#[test]
fn a_killed_rollup_is_completed_by_the_next() {
    Kills::make(&world(), &[]).check_share();
}

#[test]
fn a_killed_rollup_of_late_samples_is_completed_by_the_next() {
    let world = world();
    world.build(&[]);
    world.append("pi", "2026-03-09T12:00:03Z", 30);
    world.append("nas", "2026-03-10T12:10:03Z", 30);
    world.append("pi", "2026-03-10T23:59:53Z", 1);
    Kills::make(&world, &[]).check_share();
}

#[test]
fn a_killed_compaction_is_completed_by_the_next() {
    let world = world();
    world.build(&[]);
    Kills::make(&world, &["compact"]).check_share();
}

#[test]
fn a_killed_expiry_is_completed_by_the_next() {
    let world = World::new();
    for ago in 89..94 {
        let date = Utc::now().date_naive() - TimeDelta::days(ago);
        world.append("pi", &format!("{date}T00:00:03Z"), 60);
        world.append("pi", &format!("{date}T23:50:03Z"), 60);
    }
    world.build(&[]);
    // It takes away only, so nothing is staged.
    Kills::make(&world, &["expire"]);
}
