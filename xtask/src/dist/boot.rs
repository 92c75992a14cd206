//! The Debian package in a Debian 12 that has booted, in a container: what dpkg does to units that run, and
//! whether the programs work in the sandbox of their units.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::trial::{LAKE, SERVICES, SWITCHED_OFF, TIMERS};
use crate::{debian, process};

/// Tenths of the exposure, of 10, that a service may have.
const MOST_EXPOSURE: &str = "--threshold=30";
/// After so long a collector has a sample that it has not published.
const SAMPLE: Duration = Duration::from_secs(12);
const MOST_BOOT: Duration = Duration::from_secs(120);

/// Installs the first package, lets its services work, and upgrades and removes it meanwhile.
pub(super) fn run(root: &Path, first: &Path, second: &Path) -> Result<()> {
    let host = Host::boot(root)?;
    for (package, name) in [(first, "first.deb"), (second, "second.deb")] {
        fs::copy(package, root.join("opt").join(name)).context("cannot copy the package")?;
    }
    host.run(&["dpkg", "--install", "/opt/first.deb"])?;
    for timer in TIMERS {
        ensure!(host.state(timer)? == "active", "the installation did not start {timer}");
    }
    check_units(&host)?;
    for service in SERVICES {
        host.run(&["systemctl", "start", service])?;
        let status = host.property(service, "ExecMainStatus")?;
        // 3 would be values that the sandbox keeps from the collector.
        ensure!(status == "0", "{service} ended with code {status} in its sandbox: {}", host.journal()?);
    }
    let journal = host.journal()?;
    let of_manager = journal.lines().find(|line| line.contains("systemd[") && line.contains(".service"));
    ensure!(of_manager.is_none(), "a run that went well is in the journal: {of_manager:?}");
    check_sandbox(&host)?;
    check_upgrade(&host)?;
    check_removal(&host)
}

/// By Debian's own systemd-analyze.
fn check_units(host: &Host) -> Result<()> {
    let listing = host.run(&["systemctl", "list-unit-files", "--plain", "--no-legend", "telemetry-*"])?;
    let units: Vec<&str> = listing.lines().filter_map(|line| line.split_whitespace().next()).collect();
    ensure!(units.len() == SERVICES.len() + TIMERS.len() + 1, "the package has the units {units:?}");
    // The man pages are there, but not who shows them.
    host.run(&[&["systemd-analyze", "verify", "--man=no"], &units[..]].concat())?;
    for service in units.iter().filter(|unit| unit.ends_with(".service")) {
        let security = ["systemd-analyze", "security", "--offline=true", "--no-pager", MOST_EXPOSURE];
        let path = format!("/lib/systemd/system/{service}");
        let report = host.run(&[&security[..], &[&path]].concat())?;
        println!("{}", report.lines().last().unwrap_or_default());
    }
    Ok(())
}

/// The directives are known to this kernel and manager: what a service runs can write the lake, and nothing
/// else.
fn check_sandbox(host: &Host) -> Result<()> {
    let drop_in = "run/systemd/system/telemetry-collect.service.d";
    let command = "touch %S/telemetry/x && rm %S/telemetry/x && grep -q \" / ro,\" /proc/self/mountinfo && \
                   grep -q \"^CapBnd:.0000000000000000\" /proc/self/status && \
                   grep -q \"^NoNewPrivs:.1\" /proc/self/status && grep -q \"^Seccomp:.2\" /proc/self/status";
    host.write(
        &format!("{drop_in}/try.conf"),
        &format!("[Service]\nExecStart=\nExecStart=/bin/sh -c '{command}'\n"),
    )?;
    host.run(&["systemctl", "daemon-reload"])?;
    // One that its timer has started is not what is asked.
    host.run(&["systemctl", "restart", "telemetry-collect.service"])
        .context("the sandbox is too tight, or open")?;
    host.run(&["rm", "-r", &format!("/{drop_in}")])?;
    host.run(&["systemctl", "daemon-reload"]).map(drop)
}

/// A run that is at work stays; what is switched off stays off; a collector that runs all the time is
/// started anew.
fn check_upgrade(host: &Host) -> Result<()> {
    host.run(&["systemctl", "disable", "--now", SWITCHED_OFF, "telemetry-collect.timer"])?;
    host.run(&["systemctl", "enable", "--now", "telemetry-watch.service"])?;
    let watch = host.property("telemetry-watch.service", "MainPID")?;
    host.write(
        "run/systemd/system/telemetry-rollup.service.d/try.conf",
        "[Service]\nExecStartPost=/bin/sleep 600\n",
    )?;
    host.run(&["systemctl", "daemon-reload"])?;
    host.run(&["systemctl", "start", "--no-block", "telemetry-rollup.service"])?;
    host.run(&["dpkg", "--install", "/opt/second.deb"])?;
    ensure!(host.state("telemetry-rollup.service")? == "activating", "the upgrade ended a run");
    ensure!(host.state(SWITCHED_OFF)? == "inactive", "the upgrade started what was switched off");
    ensure!(host.state("telemetry-collect.timer")? == "inactive", "the upgrade started a second collector");
    ensure!(host.state("telemetry-rollup.timer")? == "active", "the upgrade stopped a timer");
    ensure!(host.state("telemetry-watch.service")? == "active", "the upgrade stopped the collector");
    let restarted = host.property("telemetry-watch.service", "MainPID")?;
    ensure!(restarted != watch, "the collector is still that of the version before");
    Ok(())
}

/// Everything is stopped, and the collector stores what it has.
fn check_removal(host: &Host) -> Result<()> {
    let count = || -> Result<usize> {
        let files = host.run(&["find", &format!("/{LAKE}"), "-path", "*/silver/*", "-name", "*.parquet"])?;
        Ok(files.lines().count())
    };
    thread::sleep(SAMPLE);
    let before = count()?;
    host.run(&["dpkg", "--remove", "telemetry"])?;
    ensure!(count()? > before, "the collector that was stopped left no samples");
    let left = host.run(&[
        "systemctl",
        "list-units",
        "--plain",
        "--no-legend",
        "--state=active,activating",
        "telemetry-*",
    ])?;
    ensure!(left.is_empty(), "still at work after the removal: {left}");
    host.run(&["dpkg", "--purge", "telemetry"]).map(drop)
}

/// A container whose first process is systemd.
struct Host {
    container: Child,
    /// Its systemd, as this machine sees it.
    leader: String,
}

impl Host {
    fn boot(root: &Path) -> Result<Self> {
        debian::require_package("systemd-container", "the package is tried in a Debian that boots")?;
        let mut command = Command::new("systemd-nspawn");
        // Not registered: a container that makes the packages may have no systemd of its own.
        command.args(["--quiet", "--boot", "--register=no", "--keep-unit", "--console=pipe", "--directory"]);
        let container = command.arg(root).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let container = container.spawn().context("cannot start systemd-nspawn")?;
        let mut host = Self { container, leader: String::new() };
        let begun = Instant::now();
        while begun.elapsed() < MOST_BOOT {
            host.leader = host.find_leader();
            // `degraded` is a unit that a container cannot have.
            let state = host.output(&["systemctl", "is-system-running"]);
            if !host.leader.is_empty() && ["running", "degraded"].contains(&state.trim()) {
                return Ok(host);
            }
            thread::sleep(Duration::from_millis(200));
        }
        bail!("the Debian in {} did not boot in {MOST_BOOT:?}", root.display())
    }

    fn find_leader(&self) -> String {
        let id = self.container.id();
        let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap_or_default();
        children.split_whitespace().next().unwrap_or_default().to_owned()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("nsenter");
        command.args([
            "--all",
            "--target",
            &self.leader,
            "/usr/bin/env",
            "--ignore-environment",
            "LC_ALL=C.UTF-8",
        ]);
        command
            .args(["PATH=/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND=noninteractive"])
            .args(arguments);
        command
    }

    fn run(&self, arguments: &[&str]) -> Result<String> {
        process::output(&mut self.command(arguments)).context("in the Debian that has booted")
    }

    /// Of a command that may fail.
    fn output(&self, arguments: &[&str]) -> String {
        let output = self.command(arguments).stdin(Stdio::null()).output();
        output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default()
    }

    fn state(&self, unit: &str) -> Result<String> {
        self.property(unit, "ActiveState")
    }

    fn property(&self, unit: &str, name: &str) -> Result<String> {
        let value = self.run(&["systemctl", "show", "--value", "--property", name, unit])?;
        Ok(value.trim().to_owned())
    }

    fn journal(&self) -> Result<String> {
        self.run(&["journalctl", "--no-pager", "--unit", "telemetry-*"])
    }

    fn write(&self, path: &str, text: &str) -> Result<()> {
        // Its /run is not below its root here.
        let script = format!("mkdir -p \"$(dirname /{path})\" && printf '%b' \"$1\" > /{path}");
        self.run(&["/bin/sh", "-euc", &script, "sh", &text.replace('\n', "\\n")]).map(drop)
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.output(&["systemctl", "poweroff"]);
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(30) && matches!(self.container.try_wait(), Ok(None)) {
            thread::sleep(Duration::from_millis(200));
        }
        // Nothing can be done about one that does not end.
        drop(self.container.kill());
        drop(self.container.wait());
    }
}
