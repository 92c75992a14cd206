//! `device-writes`: what reaches the disk, journal and directories included, by the kernel's own count of
//! a loop device for each case. All cases run side by side for whole hours, so that each has all its
//! publications, and no number is put together from parts. Whoever syncs the whole machine meanwhile
//! (`sync` without a file system) is measured too.

mod case;
mod device;

use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, bail};

use crate::{cost, performance, process};
use case::{CASES, Case, Running};
use device::Written;

/// The heading of the section of docs/performance.md.
pub(crate) const SECTION: &str = "What reaches the disk";
/// In the minute: when cron's run has ended, and the file system has committed what it left.
const QUIET_SECOND: u64 = 58;
const MINUTES_OF_DAY: f64 = 1440.0;
/// What the design allows for samples that wait an hour and are durable every minute.
const MOST_MIB: f64 = 10.0;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// How long to measure; only whole hours have all publications, and are written to the page
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=1440))]
    minutes: u32,
    /// Measure unoptimized programs, which write the same and are built already when the tests are
    #[arg(long)]
    dev: bool,
    /// Where the devices' images are [default: device-writes in the target directory]
    #[arg(long)]
    directory: Option<std::path::PathBuf>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    if !cfg!(target_os = "linux") {
        bail!("the kernel's count of loop devices is read: this runs on Linux only");
    }
    let target = process::target_directory()?;
    let directory = arguments.directory.clone().unwrap_or_else(|| target.join("device-writes"));
    device::clear(&directory)?;
    let programs = directory.join("programs");
    build(arguments.dev, &target, &programs)?;

    let mut running = Vec::new();
    for (number, case) in CASES.iter().enumerate() {
        running.push(Running::start(case, &programs, &directory.join(number.to_string()))?);
    }
    running.iter_mut().try_for_each(Running::make_ready)?;
    let first = minute_now() + 1;
    wait_until(first, QUIET_SECOND);
    let before = count(&running)?;
    for minute in 1..=arguments.minutes {
        let at = first + u64::from(minute);
        wait_until(at, 0);
        running.iter_mut().try_for_each(Running::begin_minute)?;
        wait_until(at, QUIET_SECOND);
        running.iter_mut().try_for_each(Running::end_minute)?;
        if minute_now() != at {
            bail!(
                "the runs of cron took longer than their minute: the machine is too busy (try nice -n -15)"
            );
        }
        if minute.is_multiple_of(5) {
            eprintln!("{minute} minutes:\n{}", table(&running, &before, &count(&running)?, minute));
        }
    }
    let table = table(&running, &before, &count(&running)?, arguments.minutes);
    drop(running);
    device::clear(&directory)?;
    println!("{table}");
    if arguments.minutes.is_multiple_of(60) {
        performance::save_section(SECTION, &section(&table, arguments.minutes))?;
    }
    Ok(())
}

/// The programs are copied, since somebody may build others meanwhile.
fn build(is_dev: bool, target: &Path, programs: &Path) -> Result<()> {
    let profile: &[&str] = if is_dev { &[] } else { &["--release"] };
    let packages = ["-p", "telemetry-collect", "-p", "telemetry-rollup", "--bins"];
    process::run(process::cargo(&["build", "--locked"]).args(packages).args(profile))?;
    std::fs::create_dir_all(programs).with_context(|| format!("cannot make {}", programs.display()))?;
    for program in ["telemetry-collect", "telemetry-rollup"] {
        let built = target.join(if is_dev { "debug" } else { "release" }).join(program);
        std::fs::copy(&built, programs.join(program))
            .with_context(|| format!("cannot copy {}", built.display()))?;
    }
    Ok(())
}

/// Since 1970.
fn minute_now() -> u64 {
    SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().as_secs() / 60
}

fn wait_until(minute: u64, second: u64) {
    let at = SystemTime::UNIX_EPOCH + Duration::from_secs(60 * minute + second);
    std::thread::sleep(at.duration_since(SystemTime::now()).unwrap_or_default());
}

fn count(running: &[Running]) -> Result<Vec<Written>> {
    running.iter().map(|case| case.device.written()).collect()
}

fn table(running: &[Running], before: &[Written], after: &[Written], minutes: u32) -> String {
    let mut table = String::from("| | mounted with | MiB a day | flushes a day |\n|---|---|---|---|\n");
    for ((case, before), after) in running.iter().zip(before).zip(after) {
        let a_day = MINUTES_OF_DAY / f64::from(minutes);
        let Case { what, mount, .. } = case.case;
        let mib = (after.bytes - before.bytes) as f64 / f64::from(1 << 20) * a_day;
        let flushes = (after.flushes - before.flushes) as f64 * a_day;
        // A String takes everything.
        let _ = writeln!(table, "| {what} | `{mount}` | {mib:.1} | {flushes:.0} |");
    }
    table
}

fn section(table: &str, minutes: u32) -> String {
    format!(
        "Written by `cargo xtask device-writes`, which counts the writes of loop devices of its own: ext4 with \
         4 KiB blocks, {minutes} minutes with all their publications, samples every ten seconds, times \
         {:.0} for a day. Machine: {}.\n\n{table}\nThe limit for samples that wait an hour and are durable \
         every minute is {MOST_MIB} MiB a day.\n",
        MINUTES_OF_DAY / f64::from(minutes),
        cost::machine_kind(),
    )
}
