//! The Debian package in a fresh Debian 12 that has nothing but the essential packages: installed, run,
//! upgraded, removed and purged.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use super::boot;
use crate::{debian, process};

const SUITE: &str = "bookworm";
pub(super) const LAKE: &str = "var/lib/telemetry";
const OWNER: &str = "telemetry telemetry 755";
/// Newer than any that is tried.
const NEWER: &str = "9999";
const CONFIGURATION: &str = "etc/telemetry/telemetry.toml";
/// Where a timer that is enabled has a link.
const WANTED: &str = "etc/systemd/system/timers.target.wants";
/// The one that is switched off before the upgrade, which must respect it.
pub(super) const SWITCHED_OFF: &str = "telemetry-expire.timer";
pub(super) const TIMERS: [&str; 4] =
    ["telemetry-collect.timer", "telemetry-rollup.timer", "telemetry-compact.timer", SWITCHED_OFF];
/// In the order in which the timers start them.
pub(super) const SERVICES: [&str; 4] = [
    "telemetry-collect.service",
    "telemetry-rollup.service",
    "telemetry-compact.service",
    "telemetry-expire.service",
];
/// Takes a package, and a newer one with the same files, through their life.
pub(super) fn run(first: &Path) -> Result<()> {
    debian::require("debootstrap", "the package is tried in a Debian that it makes")?;
    debian::require("lintian", "the package is judged by it")?;
    process::run(
        Command::new("lintian").args(["--fail-on", "error", "--allow-root", "--show-overrides"]).arg(first),
    )?;
    let work = tempfile::tempdir().context("cannot make a directory to try the package in")?;
    let second = newer(first, work.path())?;

    let system = System { root: work.path().join("minimal") };
    copy_of_debian(&system.root, "debian-12", &[])?;
    let before = system.files()?;
    system.install(first)?;
    check_installed(&system)?;
    check_commands(&system)?;
    check_upgrade(&system, &second)?;
    check_removal(&system, &before)?;
    system.install(first)?;
    ensure!(system.owner(LAKE)? == OWNER, "the reinstallation left the lake to {}", system.owner(LAKE)?);

    let booted = work.path().join("booted");
    copy_of_debian(&booted, "debian-12-systemd", &["dbus", "systemd-sysv"])?;
    boot::run(&booted, first, &second)?;
    println!("the package was installed, run, upgraded, removed, purged and installed again");
    Ok(())
}

/// The package with another version.
fn newer(package: &Path, work: &Path) -> Result<PathBuf> {
    let files = work.join("files");
    process::run(Command::new("dpkg-deb").arg("--raw-extract").arg(package).arg(&files))?;
    let control = files.join("DEBIAN/control");
    let text = fs::read_to_string(&control).context("the package has no control file")?;
    let version =
        text.lines().find(|line| line.starts_with("Version: ")).context("the package has no version")?;
    fs::write(&control, text.replacen(version, &format!("Version: {NEWER}"), 1))
        .context("cannot write the control file")?;
    let package = work.join("newer.deb");
    process::run(Command::new("dpkg-deb").args(["-Znone", "--build"]).arg(&files).arg(&package))?;
    fs::remove_dir_all(&files).context("cannot remove the files of the package")?;
    Ok(package)
}

/// A copy of a Debian that is made once: the essential packages, and these.
fn copy_of_debian(root: &Path, name: &str, packages: &[&str]) -> Result<()> {
    let base = process::target_directory()?.join("test-setup").join(name);
    if !base.join("made").exists() {
        super::remake(&base)?;
        let mut command = Command::new("debootstrap");
        if !packages.is_empty() {
            command.arg(format!("--include={}", packages.join(",")));
        }
        process::run(command.args(["--variant=minbase", SUITE]).arg(&base))?;
        fs::write(base.join("made"), "").context("cannot mark the system as made")?;
    }
    process::run(Command::new("cp").args(["--archive", "--reflink=auto"]).arg(&base).arg(root))
}

/// A Debian in a directory.
struct System {
    root: PathBuf,
}

impl System {
    /// A command in it, with the processes and devices of this machine. Mounts are its own: they end with it.
    fn command(&self, script: &str) -> Command {
        let mut command = Command::new("unshare");
        let mount = "mount --rbind /proc \"$0/proc\" && mount --rbind /sys \"$0/sys\" && mount --rbind /dev \"$0/dev\" \
                     && exec chroot \"$0\" /bin/sh -euc \"$1\"";
        command.args(["--mount", "/bin/sh", "-c", mount]).arg(&self.root).arg(script);
        command.env_clear().env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
        command.env("DEBIAN_FRONTEND", "noninteractive").env("LC_ALL", "C.UTF-8");
        command
    }

    fn run(&self, script: &str) -> Result<String> {
        process::output(&mut self.command(script)).with_context(|| format!("in the fresh Debian: {script}"))
    }

    /// By dpkg, which fetches nothing: what the package depends on is there or it fails.
    fn install(&self, package: &Path) -> Result<String> {
        fs::copy(package, self.root.join("tmp/telemetry.deb")).context("cannot copy the package")?;
        self.run("dpkg --install /tmp/telemetry.deb; rm /tmp/telemetry.deb")
    }

    fn has(&self, path: &str) -> bool {
        self.root.join(path).symlink_metadata().is_ok()
    }

    /// `user group mode`.
    fn owner(&self, path: &str) -> Result<String> {
        Ok(self.run(&format!("stat --format '%U %G %a' /{path}"))?.trim().to_owned())
    }

    fn is_enabled(&self, timer: &str) -> bool {
        self.has(&format!("{WANTED}/{timer}"))
    }

    /// All that outlive a boot, but what dpkg keeps on everything.
    fn files(&self) -> Result<BTreeSet<String>> {
        let kept = ["./var/lib/dpkg/", "./var/cache/", "./var/log/", "./tmp/", "./run/"];
        let mut find = Command::new("find");
        find.args([".", "-xdev", "(", "-type", "f", "-o", "-type", "d", "-o", "-type", "l", ")"])
            .current_dir(&self.root);
        let listing = process::output(&mut find)?;
        let lines = listing.lines().filter(|path| !kept.iter().any(|kept| path.starts_with(kept)));
        Ok(lines.map(str::to_owned).collect())
    }
}

fn check_installed(system: &System) -> Result<()> {
    ensure!(system.owner(LAKE)? == OWNER, "the lake is {}", system.owner(LAKE)?);
    let conffiles = system.run("dpkg-query --show --showformat '${Conffiles}' telemetry")?;
    ensure!(conffiles.contains(CONFIGURATION), "{CONFIGURATION} is no conffile");
    for timer in TIMERS {
        ensure!(system.is_enabled(timer), "{timer} is not enabled");
    }
    ensure!(
        !system.has("etc/systemd/system/multi-user.target.wants/telemetry-watch.service"),
        "telemetry-watch.service is enabled, beside the timer"
    );
    for page in ["man1/telemetry.1.gz", "man1/telemetry-rollup-alerts.1.gz", "man5/telemetry.toml.5.gz"] {
        ensure!(system.has(&format!("usr/share/man/{page}")), "no man page {page}");
    }
    Ok(())
}

/// What the timers start in an hour, by hand, as cron would.
fn check_commands(system: &System) -> Result<()> {
    for service in SERVICES {
        let unit = fs::read_to_string(system.root.join("lib/systemd/system").join(service))
            .with_context(|| format!("no {service}"))?;
        let run = format!(
            "setpriv --reuid=telemetry --regid=telemetry --init-groups --reset-env {}",
            command_of(&unit)?
        );
        eprintln!("$ {run}");
        system.run(&run)?;
    }
    for rows in ["silver/ops_host_metrics", "gold/ops_host_metrics_5m_rollup"] {
        let files = system.run(&format!("find /{LAKE}/{rows} -name '*.parquet'"))?;
        ensure!(!files.is_empty(), "a timer cycle left no {rows}");
    }
    // Another user reads them, and finds the lake by the configuration.
    let rollups = system.run(
        "setpriv --reuid=nobody --regid=nogroup --clear-groups --reset-env telemetry-rollup plan >/dev/null; \
         setpriv --reuid=nobody --regid=nogroup --clear-groups --reset-env telemetry-rollup --print json plan",
    )?;
    ensure!(!rollups.is_empty(), "a user of this machine cannot read the lake");
    let others = system.run(&format!("find /{LAKE} ! -user telemetry -o -name '*.parquet' ! -perm -o=r"))?;
    ensure!(others.is_empty(), "of another owner, or not readable: {others}");
    Ok(())
}

fn command_of(unit: &str) -> Result<&str> {
    unit.lines().find_map(|line| line.strip_prefix("ExecStart=")).context("a service without ExecStart")
}

fn check_upgrade(system: &System, package: &Path) -> Result<()> {
    let data = system.run(&format!("cd /{LAKE} && find . -type f | sort"))?;
    let edit = "host_id = \"kitchen-pi\"";
    // As `systemctl disable` does.
    system.run(&format!("echo '{edit}' >> /{CONFIGURATION}; rm /{WANTED}/{SWITCHED_OFF}"))?;
    system.install(package)?;
    let installed = system.run("dpkg-query --show --showformat '${Version}' telemetry")?;
    ensure!(installed == NEWER, "{installed} is installed, not {NEWER}");
    let configuration = fs::read_to_string(system.root.join(CONFIGURATION)).context("no configuration")?;
    ensure!(configuration.ends_with(&format!("{edit}\n")), "the upgrade changed what the operator wrote");
    for timer in TIMERS {
        ensure!(system.is_enabled(timer) == (timer != SWITCHED_OFF), "the upgrade switched {timer}");
    }
    ensure!(system.run(&format!("cd /{LAKE} && find . -type f | sort"))? == data, "the upgrade changed data");
    Ok(())
}

fn check_removal(system: &System, before: &BTreeSet<String>) -> Result<()> {
    system.run("dpkg --remove telemetry")?;
    ensure!(!system.has("usr/bin/telemetry-collect"), "a program is still there after the removal");
    ensure!(system.has(CONFIGURATION), "the removal took the configuration");
    system.run("dpkg --purge telemetry")?;
    let data = format!("./{LAKE}");
    let after = system.files()?;
    ensure!(after.contains(&format!("{data}/silver")), "the purge took the data");
    let accounts = |path: &&String| {
        ["./etc/passwd-", "./etc/group-", "./etc/shadow-", "./etc/gshadow-"].contains(&path.as_str())
    };
    let left: Vec<&String> =
        after.difference(before).filter(|path| !path.starts_with(&data) && !accounts(path)).collect();
    if !left.is_empty() {
        bail!("the purge left {left:?}");
    }
    let lost: Vec<&String> = before.difference(&after).collect();
    ensure!(lost.is_empty(), "files of the system are gone: {lost:?}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree;

    #[test]
    fn the_services_of_the_timers_say_what_they_run() {
        for service in SERVICES {
            let path = tree::root().join("docs/examples/systemd").join(service);
            let unit = fs::read_to_string(path).expect("a unit of this name");
            let command = command_of(&unit).expect("a command");
            assert!(command.starts_with("telemetry-"), "{service}: {command}");
        }
        assert!(command_of("[Unit]\nDescription=ExecStart=x\n").is_err());
    }
}
