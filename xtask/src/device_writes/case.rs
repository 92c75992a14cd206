//! What is measured, and its programs at work.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::SystemTime;

use anyhow::{Context, Result, bail};

use super::device::Device;
use crate::process;

/// A way to run the programs.
pub(super) struct Case {
    pub(super) what: &'static str,
    /// Options of the mount.
    pub(super) mount: &'static str,
    is_service: bool,
    publish_interval_minutes: u32,
    durability: &'static str,
    /// Minutes between two runs of the rollup.
    rollup_minutes: Option<u64>,
}

const CRON: Case = Case {
    what: "cron, published by each run (the default)",
    mount: "noatime",
    is_service: false,
    publish_interval_minutes: 0,
    durability: "minute",
    rollup_minutes: None,
};
const HOURLY: Case = Case { what: "cron, every 60 minutes", publish_interval_minutes: 60, ..CRON };
const SERVICE: Case = Case { what: "`--watch`, every minute (the default)", is_service: true, ..CRON };
const HOURLY_SERVICE: Case =
    Case { what: "`--watch`, every 60 minutes", publish_interval_minutes: 60, ..SERVICE };

pub(super) const CASES: [Case; 15] = [
    CRON,
    Case { what: "cron, every 5 minutes", publish_interval_minutes: 5, ..CRON },
    HOURLY,
    Case { mount: "noatime,commit=600", ..HOURLY },
    Case { mount: "noatime,commit=1800", ..HOURLY },
    Case { mount: "noatime,lazytime", ..HOURLY },
    Case { mount: "relatime", ..HOURLY },
    Case { what: "cron, every 60 minutes, `durability = \"publish\"`", durability: "publish", ..HOURLY },
    Case { what: "cron, every 60 minutes, `durability = \"sample\"`", durability: "sample", ..HOURLY },
    SERVICE,
    HOURLY_SERVICE,
    Case { mount: "noatime,commit=600", ..HOURLY_SERVICE },
    Case { what: "cron as by default, and the rollup every 5 minutes", rollup_minutes: Some(5), ..CRON },
    Case { what: "cron, every 60 minutes, and the rollup too", rollup_minutes: Some(60), ..HOURLY },
    Case {
        what: "cron, every 60 minutes, and the rollup too",
        rollup_minutes: Some(60),
        mount: "noatime,commit=600",
        ..HOURLY
    },
];

const SAMPLE_SECONDS: u64 = 10;

/// A case on its device.
pub(super) struct Running {
    pub(super) case: &'static Case,
    pub(super) device: Device,
    programs: PathBuf,
    home: PathBuf,
    /// The runs of this minute, or the service.
    children: Vec<Child>,
}

impl Drop for Running {
    fn drop(&mut self) {
        for child in &mut self.children {
            // Its device is about to be unmounted.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Running {
    /// Mounts the device, makes the lake and all its directories, and begins to take the samples that
    /// would wait in the spool if it had been there before.
    pub(super) fn start(case: &'static Case, programs: &Path, directory: &Path) -> Result<Self> {
        let device = Device::mount(directory, case.mount)?;
        let home = directory.join("home");
        std::fs::create_dir_all(&home).with_context(|| format!("cannot make {}", home.display()))?;
        let programs = programs.to_owned();
        let mut running = Self { case, device, programs, home, children: Vec::new() };
        for first in [&["--samples", "2", "--interval", "1s"][..], &["--publish"]] {
            check(&mut running.collect(first)?)?;
        }
        let interval_seconds = u64::from(case.publish_interval_minutes) * 60;
        let waiting = seconds().checked_rem(interval_seconds).unwrap_or_default() / SAMPLE_SECONDS;
        if waiting > 0 {
            running.children.push(running.collect(&[
                "--samples",
                &waiting.to_string(),
                "--interval",
                "1s",
            ])?);
        }
        Ok(running)
    }

    /// Waits until the samples are taken, and begins the service.
    pub(super) fn make_ready(&mut self) -> Result<()> {
        std::mem::take(&mut self.children).iter_mut().try_for_each(check)?;
        if self.case.is_service {
            self.children.push(self.collect(&["--watch"])?);
        }
        process::output(Command::new("sync").arg("--file-system").arg(&self.device.mount)).map(drop)
    }

    fn collect(&self, arguments: &[&str]) -> Result<Child> {
        let mut command = self.command("telemetry-collect");
        command.args(arguments).spawn().context("cannot start telemetry-collect")
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.programs.join(program));
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("TELEMETRY_")) {
            command.env_remove(name);
        }
        command
            .arg("--lake")
            .arg(self.device.mount.join("lake"))
            .env("HOME", &self.home)
            .env("XDG_CONFIG_HOME", &self.home)
            .env(
                "TELEMETRY__COLLECT__PUBLISH_INTERVAL_MINUTES",
                self.case.publish_interval_minutes.to_string(),
            )
            .env("TELEMETRY__COLLECT__DURABILITY", self.case.durability)
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        command
    }

    /// What cron begins at that minute.
    pub(super) fn begin_minute(&mut self) -> Result<()> {
        if self.case.is_service {
            return Ok(());
        }
        self.children.push(self.collect(&["--samples", "6", "--interval", "10s"])?);
        // A moment after the hour, when its samples are published.
        if self.case.rollup_minutes.is_some_and(|minutes| seconds() / 60 % minutes == 2 % minutes) {
            let rollup = self.command("telemetry-rollup").spawn();
            self.children.push(rollup.context("cannot start telemetry-rollup")?);
        }
        Ok(())
    }

    /// The runs of cron have ended by then.
    pub(super) fn end_minute(&mut self) -> Result<()> {
        if self.case.is_service {
            return Ok(());
        }
        std::mem::take(&mut self.children).iter_mut().try_for_each(check)
    }
}

/// Since 1970.
fn seconds() -> u64 {
    SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().as_secs()
}

/// Waits for the end. A machine without sensors ends with 3.
fn check(child: &mut Child) -> Result<()> {
    let status = child.wait().context("cannot wait for a program")?;
    if !matches!(status.code(), Some(0 | 3)) {
        bail!("a program ended with {status}");
    }
    Ok(())
}
