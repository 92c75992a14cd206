//! `compare`: what the collector says of this machine beside what the system's own tools say.

mod peers;
mod report;
mod virtual_traffic;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, bail};
use serde_json::Value;
use telemetry_schema::host_metrics::names;

use crate::{debian, process};
use report::Report;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// How long each load is measured
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(5..))]
    seconds: u32,
    /// Leave out the check that traffic between virtual interfaces is not counted, which needs root
    #[arg(long)]
    without_virtual_traffic: bool,
}

/// Largest allowed difference of processor use, in points.
const CPU_POINTS: f64 = 3.0;
/// Above this a machine that should be idle is not.
const QUIET_PERCENT: f64 = 25.0;
/// Largest allowed difference of memory, as a part of the other's value.
const MEMORY_PART: f64 = 0.01;
/// Space is stored in thousandths of a GiB.
const DISK_GB: f64 = 0.001;

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    if !cfg!(target_os = "linux") {
        bail!("the comparison reads sar, free, df and /sys: it runs on Linux only");
    }
    require_tools()?;
    let collector = Collector::build()?;
    let mut report = Report::default();
    for cores in 0..=2 {
        processor(&collector, &mut report, cores, arguments.seconds)?;
    }
    memory(&collector, &mut report)?;
    disk(&collector, &mut report)?;
    network(&collector, &mut report)?;
    if !arguments.without_virtual_traffic {
        virtual_traffic(&collector, &mut report)?;
    }
    println!("{report}");
    report.verdict()
}

fn require_tools() -> Result<()> {
    let is_missing = |program: &str| process::output(Command::new(program).arg("-V")).is_err();
    let mut packages = Vec::new();
    for (program, package) in [("sar", "sysstat"), ("free", "procps"), ("ip", "iproute2")] {
        if is_missing(program) {
            packages.push(package);
        }
    }
    if !packages.is_empty() {
        debian::install(&packages, "the comparison needs the system's own tools")?;
    }
    Ok(())
}

/// Our collector with a lake of its own.
struct Collector {
    program: PathBuf,
    lake: PathBuf,
}

impl Collector {
    fn build() -> Result<Self> {
        process::build_programs()?;
        let target = process::target_directory()?;
        let lake = target.join("compare-lake");
        if lake.exists() {
            std::fs::remove_dir_all(&lake).with_context(|| format!("cannot remove {}", lake.display()))?;
        }
        Ok(Self { program: target.join("debug").join("telemetry-collect"), lake })
    }

    /// Takes one sample.
    fn sample(&self) -> Result<Sample> {
        let mut command = Command::new(&self.program);
        command.args(["--print", "json", "--lake"]).arg(&self.lake);
        let text = process::output(&mut command)?;
        let value: Value =
            serde_json::from_str(&text).with_context(|| format!("the collector printed no JSON: {text}"))?;
        let row = value.as_array().and_then(|rows| rows.last()).unwrap_or(&value).clone();
        Ok(Sample { row })
    }
}

/// One sample as the collector printed it.
struct Sample {
    row: Value,
}

impl Sample {
    fn number(&self, column: &str) -> Result<f64> {
        self.row[column].as_f64().with_context(|| format!("the sample has no {column}: {}", self.row))
    }

    fn interfaces(&self) -> BTreeSet<String> {
        let list = self.row[names::net_interfaces].as_str().unwrap_or_default();
        list.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect()
    }
}

/// Processor use over the time between two runs, as in cron: the first run leaves its counters behind.
fn processor(collector: &Collector, report: &mut Report, cores: usize, seconds: u32) -> Result<()> {
    let stop = AtomicBool::new(false);
    let (sample, theirs) = std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    std::hint::spin_loop()
                }
            });
        }
        let measured = (|| {
            collector.sample()?;
            let theirs = peers::busy_percent(seconds)?;
            Ok((collector.sample()?, theirs))
        })();
        stop.store(true, Ordering::Relaxed);
        measured
    })
    .map_err(|error: anyhow::Error| error.context(format!("with {cores} busy cores")))?;
    if cores == 0 && theirs > QUIET_PERCENT {
        eprintln!("note: other programs keep {theirs:.0} % of this machine busy, so the loads differ little");
    }
    let window = sample.number(names::cpu_interval_seconds)?;
    report.within(
        format!("{} over {window:.0} s, busy cores added: {cores}, sar", names::cpu_pct),
        sample.number(names::cpu_pct)?,
        (theirs, theirs),
        CPU_POINTS,
    );
    Ok(())
}

/// What the others say is read before and after our sample; ours may lie between the two.
fn memory(collector: &Collector, report: &mut Report) -> Result<()> {
    let before = peers::memory()?;
    let sample = collector.sample()?;
    let after = peers::memory()?;
    for (column, before, after) in [
        (names::ram_total_mb, before.total_mb, after.total_mb),
        (names::ram_used_mb, before.used_mb, after.used_mb),
        (names::ram_available_mb, before.available_mb, after.available_mb),
        (names::swap_total_mb, before.swap_total_mb, after.swap_total_mb),
        (names::swap_used_mb, before.swap_used_mb, after.swap_used_mb),
    ] {
        let allowed = before.max(after) * MEMORY_PART;
        // Ours are whole MiB.
        report.within(format!("{column}, free"), sample.number(column)?, (before, after), allowed.max(1.0));
    }
    Ok(())
}

fn disk(collector: &Collector, report: &mut Report) -> Result<()> {
    let before = peers::root_disk()?;
    let sample = collector.sample()?;
    let after = peers::root_disk()?;
    for (column, before, after) in [
        (names::disk_root_total_gb, before.total_gb, after.total_gb),
        (names::disk_root_free_gb, before.free_gb, after.free_gb),
    ] {
        report.within(format!("{column}, df"), sample.number(column)?, (before, after), DISK_GB);
    }
    Ok(())
}

fn network(collector: &Collector, report: &mut Report) -> Result<()> {
    let physical = peers::physical_interfaces()?;
    let before = peers::traffic(&physical)?;
    let sample = collector.sample()?;
    let after = peers::traffic(&physical)?;
    report.same(
        format!("{}, /sys/class/net/*/device", names::net_interfaces),
        &sample.interfaces(),
        &physical,
    );
    traffic_lines(report, &sample, before, after, "kernel")
}

fn virtual_traffic(collector: &Collector, report: &mut Report) -> Result<()> {
    let physical = peers::physical_interfaces()?;
    let before = peers::traffic(&physical)?;
    let ours_before = collector.sample()?;
    let link = virtual_traffic::Link::new()?;
    let sent = link.send()?;
    let sample = collector.sample()?;
    let after = peers::traffic(&physical)?;
    drop(link);
    let what = format!("kernel, {} MB through a bridge and a veth pair", sent / 1_000_000);
    traffic_lines(report, &sample, before, after, &what)?;
    let growth = sample.number(names::net_tx_bytes)? - ours_before.number(names::net_tx_bytes)?;
    report.below(format!("growth of {} meanwhile", names::net_tx_bytes), growth, sent as f64 / 2.0);
    report.same("interfaces meanwhile".to_owned(), &sample.interfaces(), &physical);
    Ok(())
}

fn traffic_lines(
    report: &mut Report,
    sample: &Sample,
    before: peers::Traffic,
    after: peers::Traffic,
    what: &str,
) -> Result<()> {
    for (column, before, after) in [
        (names::net_rx_bytes, before.received, after.received),
        (names::net_tx_bytes, before.sent, after.sent),
    ] {
        report.within(
            format!("{column}, {what}"),
            sample.number(column)?,
            (before as f64, after as f64),
            0.0,
        );
    }
    Ok(())
}
