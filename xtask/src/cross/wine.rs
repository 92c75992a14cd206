//! Programs for Windows, run by Wine: that of Debian 13 in a folder of its own, as older ones lack calls
//! that Rust's standard library makes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::{Build, Target};
use crate::test::{Setup, Suites};
use crate::{debian, process, tree};

const SUITE: &str = "trixie";
const PACKAGE: &str = "wine64";
const SCRIPT: &str = include_str!("wine-run.sh");
/// The programs beside those of this machine.
const PROGRAMS: &str = "xtask/real-parts/windows_programs.py";
/// The processor is read by performance counters, and Wine has none.
const COUNTERS: &str = include_str!("pdh.c");
const NOT_RUN: &str = "Compiled for Windows, but not run: reading the performance counters, for which there is \
                       a stand-in under Wine, so the use of the processor in these tests is no measurement.";
/// These are left out by `cfg`, where nobody would notice.
const NOT_COMPILED: &str = "Not compiled for Windows, as only Unix has what they try: tests of faults, kills \
                            and races under strace, of mounted file systems, of signals, of syncs of \
                            directories that a power cut forgets, and of recorded /proc and /sys.";

/// clippy and the tests of the crates, and the same rollup by this machine's build and by that for Windows.
pub(super) fn test(build: &Build, setup: &Setup, suites: &mut Suites) -> Result<()> {
    build.check()?;
    let wine = Wine::set_up()?;
    let mut tests = build.cargo("test");
    tests.args(["--workspace", "--exclude", "xtask", "--no-fail-fast"]);
    suites.cargo(tests.env(build.target.variable("RUNNER"), wine.runner()))?;
    process::build_programs()?;
    let mut programs = setup.pytest(&[PROGRAMS]);
    programs.env("XTASK_TEST_WINE", wine.runner());
    programs.env("XTASK_TEST_NATIVE_BIN_DIR", wine.target.join("debug"));
    suites.pytest(&mut programs)?;
    println!("{NOT_RUN}\n{NOT_COMPILED}");
    Ok(())
}

/// A Debian with Wine in a folder.
struct Wine {
    folder: PathBuf,
    script: PathBuf,
    /// Where cargo builds.
    target: PathBuf,
}

impl Wine {
    fn set_up() -> Result<Self> {
        let target = process::target_directory()?;
        let directory = target.join("cross");
        let wine = Self { folder: directory.join("wine"), script: directory.join("wine-run.sh"), target };
        fs::create_dir_all(&directory).with_context(|| format!("cannot make {}", directory.display()))?;
        fs::write(&wine.script, SCRIPT).with_context(|| format!("cannot write {}", wine.script.display()))?;
        let is_complete = wine.folder.join("is-complete");
        if !is_complete.exists() {
            wine.install()?;
            fs::write(&is_complete, "").with_context(|| format!("cannot write {}", is_complete.display()))?;
        }
        Ok(wine)
    }

    /// Takes some minutes, and 2 GB.
    fn install(&self) -> Result<()> {
        debian::require("debootstrap", "Wine is installed in a folder of its own")?;
        let folder = &self.folder;
        if folder.exists() {
            fs::remove_dir_all(folder).with_context(|| format!("cannot remove {}", folder.display()))?;
        }
        let include = format!("--include={PACKAGE}");
        let mut debootstrap = Command::new("debootstrap");
        process::run(debootstrap.args(["--variant=minbase", &include, SUITE]).arg(folder))?;
        let packages = folder.join("var/cache/apt/archives");
        fs::remove_dir_all(&packages).with_context(|| format!("cannot remove {}", packages.display()))?;
        // Makes what stands for drive C.
        process::run(self.command().args(["wineboot", "--init"]))?;
        self.install_counters()
    }

    /// Compiles what stands in for the performance counters, and puts it in their place.
    fn install_counters(&self) -> Result<()> {
        let system = self.folder.join("var/wine/drive_c/windows/system32");
        if !system.is_dir() {
            bail!("Wine made no {}", system.display());
        }
        let source = self.folder.join("pdh.c");
        fs::write(&source, COUNTERS).with_context(|| format!("cannot write {}", source.display()))?;
        let mut compiler = Command::new(Target::Windows.compiler().0);
        process::run(compiler.arg("-shared").arg("-o").arg(system.join("pdh.dll")).arg(source))
    }

    fn command(&self) -> Command {
        let mut command = Command::new("sh");
        command.args([&self.script, &self.folder]).arg(tree::root()).arg(&self.target);
        command
    }

    /// A command line to which that of a program for Windows is added, as cargo wants it.
    fn runner(&self) -> String {
        let paths = [&self.script, &self.folder, tree::root(), &self.target].map(Path::display);
        paths.iter().fold("sh".to_owned(), |line, path| format!("{line} {path}"))
    }
}
