//! `cost`: what a run of the collector and a sample of a running one cost this machine.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use nix::sys::resource::{Usage, UsageWho, getrusage};
use nix::sys::time::TimeValLike;

use crate::process;

/// What the design allows.
const MOST_RUN_CPU_MS: f64 = 30.0;
const MOST_RUN_MEMORY_MB: f64 = 40.0;
const MOST_SAMPLE_CPU_MS: f64 = 2.0;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Measure unoptimized programs, which are built already when the tests are
    #[arg(long)]
    dev: bool,
    /// How many runs
    #[arg(long, default_value_t = 21, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
    /// Programs that are built already: their directory
    #[arg(long, hide = true)]
    built: Option<PathBuf>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    match &arguments.built {
        Some(directory) => measure(directory, arguments.runs),
        None => build_and_measure(arguments),
    }
}

/// The resource usage of children cannot tell the collector from cargo, so a process of its own, which
/// builds nothing, measures.
fn build_and_measure(arguments: &Arguments) -> Result<()> {
    let profile: &[&str] = if arguments.dev { &[] } else { &["--release"] };
    let build = |more: &[&str]| process::run(process::cargo(&["build", "--locked"]).args(profile).args(more));
    build(&["-p", "telemetry-collect"])?;
    build(&["-p", "telemetry-provider", "--example", "sample_cost"])?;
    let directory = process::target_directory()?.join(if arguments.dev { "debug" } else { "release" });
    let this = process::this_program()?;
    let mut measure = Command::new(this);
    measure.args(["cost", "--runs", &arguments.runs.to_string(), "--built"]).arg(directory);
    process::run(&mut measure)
}

fn measure(programs: &Path, runs: u32) -> Result<()> {
    let lake = tempfile::tempdir().context("cannot make a lake")?;
    // The first run has no reading to continue and makes the directories.
    collect(programs, lake.path())?;
    let mut cpu_ms: Vec<f64> = (0..runs).map(|_| collect(programs, lake.path())).collect::<Result<_>>()?;
    cpu_ms.sort_by(f64::total_cmp);
    let run_cpu_ms = cpu_ms[cpu_ms.len() / 2];
    let memory_mb = children()?.max_rss() as f64 / 1024.0;
    let example = programs.join("examples").join("sample_cost");
    // As in practice, caches are cold when the next sample is due.
    let report = process::output(Command::new(example).args(["50", "200"]))?;
    let sample_cpu_ms = field(&report, "cpu_ms_per_sample")?;

    println!("{}\n", machine());
    let mut is_within = true;
    for (what, value, most, unit) in [
        ("one run, CPU (median)", run_cpu_ms, MOST_RUN_CPU_MS, "ms"),
        ("one run, memory (peak)", memory_mb, MOST_RUN_MEMORY_MB, "MB"),
        ("one sample of a running process, CPU", sample_cpu_ms, MOST_SAMPLE_CPU_MS, "ms"),
    ] {
        println!("{what:<38} {value:>7.2} {unit}, at most {most}");
        is_within &= value <= most;
    }
    if !is_within {
        bail!("a cost is over its limit");
    }
    Ok(())
}

/// Milliseconds of CPU, user and system, of one run.
fn collect(programs: &Path, lake: &Path) -> Result<f64> {
    let before = cpu_ms(&children()?);
    let mut command = Command::new(programs.join("telemetry-collect"));
    command.arg("--lake").arg(lake.join("lake")).stdin(Stdio::null());
    let status = command.status().context("cannot start telemetry-collect")?;
    if !status.success() {
        bail!("`{}` ended with {status}", process::show(&command));
    }
    Ok(cpu_ms(&children()?) - before)
}

fn children() -> Result<Usage> {
    getrusage(UsageWho::RUSAGE_CHILDREN).context("cannot read the resource usage of children")
}

fn cpu_ms(usage: &Usage) -> f64 {
    (usage.user_time() + usage.system_time()).num_microseconds() as f64 / 1000.0
}

fn field(report: &str, name: &str) -> Result<f64> {
    let line = report
        .lines()
        .find_map(|line| line.strip_prefix(name))
        .with_context(|| format!("no {name} in {report}"))?;
    line.trim().parse().with_context(|| format!("{name} is no number: {line}"))
}

/// Processor, number of them, kernel.
pub(crate) fn machine() -> String {
    format!("{}, Linux {}", processor(), kernel())
}

/// As [`machine`], with no more of the kernel than its major version.
pub(crate) fn machine_kind() -> String {
    format!("{}, Linux {}", processor(), kernel().split('.').next().unwrap_or_default())
}

fn processor() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let model = model.map_or("unknown processor", |(_, name)| name);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    format!("{model}, {cores} logical processors")
}

fn kernel() -> String {
    std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned()
}
