//! `endurance`: collectors that run for long, and whether what they take of the machine stays the same.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::{cost, process, tree};

/// What the design allows after the first minute.
const MOST_GROWTH_KB: u64 = 1024;
/// Of one core, at the usual interval.
const MOST_CPU_PERCENT: f64 = 0.5;
const USUAL_INTERVAL_SECONDS: u32 = 10;

/// Seconds between samples, and minutes between publications.
const COLLECTORS: [(u32, u32); 4] =
    [(1, 0), (1, 60), (USUAL_INTERVAL_SECONDS, 0), (USUAL_INTERVAL_SECONDS, 60)];

/// How often the collectors are looked at.
const PERIOD: Duration = Duration::from_secs(2);
const MINUTE: Duration = Duration::from_secs(60);
/// A clock tick, the unit of CPU time in /proc.
const TICK_MS: f64 = 10.0;
const PAGE_KB: u64 = 4;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// How long the collectors run
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(3..))]
    minutes: u32,
    /// Watch an unoptimized collector, which is built already when the tests are
    #[arg(long)]
    dev: bool,
    /// A collector that is built already
    #[arg(long, hide = true)]
    program: Option<PathBuf>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    if !cfg!(target_os = "linux") {
        bail!("the collectors are watched in /proc: this runs on Linux only");
    }
    let program = match &arguments.program {
        Some(program) => program.clone(),
        None => build(arguments.dev)?,
    };
    let directory = tempfile::tempdir().context("cannot make a directory for the lakes")?;
    let mut collectors = COLLECTORS
        .map(|settings| Collector::start(&program, directory.path(), settings))
        .into_iter()
        .collect::<Result<Vec<_>>>()?;
    watch(&mut collectors, MINUTE * arguments.minutes)?;
    let reports: Vec<Report> = collectors.iter().map(Collector::report).collect::<Result<_>>()?;
    for collector in &mut collectors {
        collector.stop()?;
    }
    println!("{}, {} minutes\n", cost::machine(), arguments.minutes);
    println!("{}", Report::HEADER);
    let mut is_within = true;
    for report in &reports {
        println!("{}", report.line());
        for complaint in report.complaints() {
            println!("  {complaint}");
            is_within = false;
        }
    }
    if is_within { Ok(()) } else { bail!("a collector does not stay as it was") }
}

fn build(is_dev: bool) -> Result<PathBuf> {
    let profile: &[&str] = if is_dev { &[] } else { &["--release"] };
    process::run(process::cargo(&["build", "--locked", "-p", "telemetry-collect"]).args(profile))?;
    let directory = process::target_directory()?.join(if is_dev { "debug" } else { "release" });
    Ok(directory.join("telemetry-collect"))
}

fn watch(collectors: &mut [Collector], duration: Duration) -> Result<()> {
    let begun = Instant::now();
    while begun.elapsed() < duration {
        std::thread::sleep(PERIOD);
        for collector in &mut *collectors {
            collector.look(begun.elapsed())?;
        }
    }
    Ok(())
}

/// A running collector; killed when this is dropped.
struct Collector {
    process: Child,
    interval_seconds: u32,
    publish_interval_minutes: u32,
    lake: PathBuf,
    log: PathBuf,
    looks: Vec<Look>,
}

/// What /proc said of it once.
#[derive(Debug, Clone, Copy)]
struct Look {
    at: Duration,
    /// Memory of its own, which is what leaks: pages of files come and go as the kernel likes.
    own_kb: u64,
    resident_kb: u64,
    descriptors: usize,
    threads: usize,
    cpu_ms: f64,
    /// Files that it has published.
    files: usize,
}

impl Collector {
    fn start(program: &Path, directory: &Path, (seconds, minutes): (u32, u32)) -> Result<Self> {
        let home = directory.join(format!("{seconds}s-{minutes}min"));
        std::fs::create_dir(&home).with_context(|| format!("cannot make {}", home.display()))?;
        let (lake, log) = (home.join("lake"), home.join("log"));
        let errors = std::fs::File::create(&log).with_context(|| format!("cannot make {}", log.display()))?;
        let mut command = Command::new(program);
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("TELEMETRY_")) {
            command.env_remove(name);
        }
        command
            .args(["--watch", "--interval", &format!("{seconds}s"), "--lake"])
            .arg(&lake)
            .env("HOME", &home)
            .env("XDG_CONFIG_HOME", &home)
            .env("TELEMETRY__COLLECT__PUBLISH_INTERVAL_MINUTES", minutes.to_string())
            .current_dir(tree::root())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(errors);
        let process = command.spawn().with_context(|| format!("cannot start {}", program.display()))?;
        let (interval_seconds, publish_interval_minutes) = (seconds, minutes);
        Ok(Self { process, interval_seconds, publish_interval_minutes, lake, log, looks: Vec::new() })
    }

    fn look(&mut self, at: Duration) -> Result<()> {
        if let Some(status) = self.process.try_wait().context("cannot wait for a collector")? {
            bail!("a collector ended with {status}: {}", self.said());
        }
        let directory = PathBuf::from(format!("/proc/{}", self.process.id()));
        let read = |name: &str| {
            let path = directory.join(name);
            std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
        };
        let entries = |name: &str| -> Result<usize> {
            let path = directory.join(name);
            Ok(std::fs::read_dir(&path).with_context(|| format!("cannot list {}", path.display()))?.count())
        };
        let memory = numbers(&read("statm")?);
        let stat = read("stat")?;
        let [_, resident, shared, ..] = memory[..] else { bail!("statm says {memory:?}") };
        // The name of the program, in parentheses, may hold anything; user and system time are the
        // 12th and 13th field after it.
        let after_name: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let times = numbers(&after_name.get(11..13).unwrap_or_default().join(" "));
        let [user, system] = times[..] else { bail!("stat says {stat}") };
        self.looks.push(Look {
            at,
            own_kb: resident.saturating_sub(shared) * PAGE_KB,
            resident_kb: resident * PAGE_KB,
            descriptors: entries("fd")?,
            threads: entries("task")?,
            cpu_ms: (user + system) as f64 * TICK_MS,
            files: parquet_files(&self.lake),
        });
        Ok(())
    }

    fn said(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Ends it as a service manager does.
    fn stop(&mut self) -> Result<()> {
        let pid = self.process.id().to_string();
        process::run(Command::new("kill").arg(pid))?;
        let status = self.process.wait().context("cannot wait for a collector")?;
        let said = self.said();
        if status.success() && said.is_empty() {
            return Ok(());
        }
        bail!("a collector that was told to end did so with {status}, after it had said: {said}")
    }

    fn report(&self) -> Result<Report> {
        let (Some(first), Some(last)) = (self.looks.first(), self.looks.last()) else {
            bail!("no collector was looked at");
        };
        let wall_ms = (last.at - first.at).as_secs_f64() * 1000.0;
        let phases = phases(&self.looks);
        let settled = phases.last().and_then(|phase| phase.first()).copied().unwrap_or(*first);
        let fewest = |part: &[Look], count: fn(&Look) -> usize| part.iter().map(count).min().unwrap_or(0);
        // Of the first and of the last minute: between them some are open while a file is published.
        let settled_part: Vec<Look> = within(&self.looks, settled.at, settled.at + MINUTE);
        let last_part: Vec<Look> = within(&self.looks, last.at - MINUTE, last.at);
        Ok(Report {
            interval_seconds: self.interval_seconds,
            publish_interval_minutes: self.publish_interval_minutes,
            memory_kb: (settled.own_kb, last.own_kb),
            resident_kb: last.resident_kb,
            growth_kb: phases.iter().map(|phase| growth_kb(phase)).max().unwrap_or(0),
            descriptors: [&settled_part, &last_part].map(|part| fewest(part, |look| look.descriptors)),
            threads: [&settled_part, &last_part].map(|part| fewest(part, |look| look.threads)),
            cpu_percent: 100.0 * (last.cpu_ms - first.cpu_ms) / wall_ms,
            files: last.files,
        })
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        // One that has ended needs neither.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn numbers(text: &str) -> Vec<u64> {
    text.split_whitespace().filter_map(|word| word.parse().ok()).collect()
}

fn within(looks: &[Look], from: Duration, to: Duration) -> Vec<Look> {
    looks.iter().filter(|look| (from..=to).contains(&look.at)).copied().collect()
}

/// Number of Parquet files below a directory.
fn parquet_files(directory: &Path) -> usize {
    let Ok(entries) = std::fs::read_dir(directory) else { return 0 };
    entries
        .flatten()
        .map(|entry| match entry.file_type() {
            Ok(kind) if kind.is_dir() && entry.file_name() != ".staging" => parquet_files(&entry.path()),
            _ => usize::from(entry.path().extension().is_some_and(|extension| extension == "parquet")),
        })
        .sum()
}

/// The parts of a run in which memory must stay as it is: each begins when the collector has done for
/// a minute all that it does in it. The first publication brings in the Parquet library.
fn phases(looks: &[Look]) -> Vec<Vec<Look>> {
    let first_file = looks.iter().find(|look| look.files > 0).map_or(Duration::MAX, |look| look.at);
    let before = looks.iter().filter(|look| look.at >= MINUTE && look.at < first_file);
    let after = looks.iter().filter(|look| look.at >= first_file.saturating_add(MINUTE));
    let parts = [before.copied().collect::<Vec<_>>(), after.copied().collect()];
    parts.into_iter().filter(|part| !part.is_empty()).collect()
}

/// How far the median of a minute rises above that of the first.
fn growth_kb(phase: &[Look]) -> u64 {
    let Some(begin) = phase.first().map(|look| look.at) else { return 0 };
    let mut minutes: Vec<Vec<u64>> = Vec::new();
    for look in phase {
        let minute = ((look.at - begin).as_secs() / MINUTE.as_secs()) as usize;
        minutes.resize_with(minutes.len().max(minute + 1), Vec::new);
        minutes[minute].push(look.own_kb);
    }
    let medians: Vec<u64> = minutes
        .iter_mut()
        .filter_map(|minute| {
            minute.sort_unstable();
            minute.get(minute.len() / 2).copied()
        })
        .collect();
    medians.iter().max().zip(medians.first()).map_or(0, |(most, first)| most - first)
}

struct Report {
    interval_seconds: u32,
    publish_interval_minutes: u32,
    memory_kb: (u64, u64),
    resident_kb: u64,
    growth_kb: u64,
    descriptors: [usize; 2],
    threads: [usize; 2],
    cpu_percent: f64,
    files: usize,
}

impl Report {
    const HEADER: &str =
        "interval publish   own memory, KiB    growth  resident  descriptors  threads    CPU  files";

    fn line(&self) -> String {
        let Self { interval_seconds, publish_interval_minutes, growth_kb, cpu_percent, files, .. } = self;
        format!(
            "{interval_seconds:>6} s {publish_interval_minutes:>3} min {:>8} -> {:>6} {growth_kb:>9} {:>9} {:>6} -> {:>2} {:>4} -> {:>1} {cpu_percent:>5.2}% {files:>6}",
            self.memory_kb.0,
            self.memory_kb.1,
            self.resident_kb,
            self.descriptors[0],
            self.descriptors[1],
            self.threads[0],
            self.threads[1],
        )
    }

    fn complaints(&self) -> Vec<String> {
        let mut complaints = Vec::new();
        if self.growth_kb > MOST_GROWTH_KB {
            complaints.push(format!("memory grew by {} KiB, at most {MOST_GROWTH_KB}", self.growth_kb));
        }
        if self.descriptors[1] > self.descriptors[0] {
            complaints.push("descriptors are left open".to_owned());
        }
        if self.threads[1] > self.threads[0] {
            complaints.push("threads are left behind".to_owned());
        }
        if self.interval_seconds == USUAL_INTERVAL_SECONDS && self.cpu_percent > MOST_CPU_PERCENT {
            complaints.push(format!("more than {MOST_CPU_PERCENT} % of a core"));
        }
        complaints
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A look every ten seconds; the memory at each, and from which one on there is a file.
    fn looks(own_kb: &[u64], first_file: usize) -> Vec<Look> {
        let look = |(n, own_kb): (usize, &u64)| Look {
            at: Duration::from_secs(10 * n as u64),
            own_kb: *own_kb,
            resident_kb: 0,
            descriptors: 4,
            threads: 8,
            cpu_ms: 0.0,
            files: usize::from(n >= first_file),
        };
        own_kb.iter().enumerate().map(look).collect()
    }

    fn growths(looks: &[Look]) -> Vec<u64> {
        phases(looks).iter().map(|phase| growth_kb(phase)).collect()
    }

    #[test]
    fn what_grows_after_the_first_minute_is_found() {
        let flat: Vec<u64> = [vec![100; 5], vec![4_000; 60]].concat();
        assert_eq!(growths(&looks(&flat, usize::MAX)), [0]);
        let leak: Vec<u64> = (0..65).map(|n| 4_000 + 40 * n).collect();
        assert!(growths(&looks(&leak, usize::MAX))[0] > MOST_GROWTH_KB);
        let peak: Vec<u64> = (0..65).map(|n| if n == 30 { 9_000 } else { 4_000 }).collect();
        assert_eq!(growths(&looks(&peak, usize::MAX)), [0], "one publication is no growth");
    }

    #[test]
    fn the_first_publication_may_take_memory_and_no_later_one() {
        let once: Vec<u64> = (0..65).map(|n| if n < 30 { 4_000 } else { 13_000 }).collect();
        assert_eq!(growths(&looks(&once, 30)), [0, 0]);
        let again: Vec<u64> = (0..65).map(|n| if n < 45 { 4_000 } else { 13_000 }).collect();
        assert_eq!(growths(&looks(&again, 30)), [0, 9_000]);
    }
}
