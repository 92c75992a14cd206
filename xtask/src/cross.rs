//! `cross`: the programs for the machines that they run on, built on this one, and the tests of them
//! that an emulation can run.

mod emulation;
mod standard_library;
mod wine;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use clap::ValueEnum;

use crate::test::{Setup, Suites};
use crate::{debian, process};
use standard_library::StandardLibrary;

/// What users get.
const PROGRAMS: [&str; 3] = ["telemetry-collect", "telemetry-rollup", "telemetry"];
/// No program may be larger.
const MOST_MEGABYTES: f64 = 45.0;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Only this one
    #[arg(long)]
    target: Option<Target>,
    /// `dist` is what users get: small, and slow to build
    #[arg(long, default_value = "dev")]
    profile: Profile,
    /// Build nothing: clippy for all that there is, tests too, with warnings denied
    #[arg(long, conflicts_with = "test")]
    check: bool,
    /// Also run what can be run here: aarch64 under qemu, Windows under Wine
    #[arg(long)]
    test: bool,
    /// Build the standard library too, as is done where rustup cannot fetch that of the target
    #[arg(long)]
    std_from_source: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Target {
    /// Linux on a 64-bit ARM processor: Raspberry Pi 3 to 5
    Aarch64,
    /// Windows on a 64-bit Intel or AMD processor
    Windows,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Profile {
    Dev,
    Dist,
}

impl Profile {
    fn name(self) -> &'static str {
        match self {
            Self::Dev => "dev",
            Self::Dist => "dist",
        }
    }

    /// Cargo's name of the directory.
    fn directory(self) -> &'static str {
        match self {
            Self::Dev => "debug",
            Self::Dist => "dist",
        }
    }
}

impl Target {
    fn triple(self) -> &'static str {
        match self {
            Self::Aarch64 => "aarch64-unknown-linux-gnu",
            Self::Windows => "x86_64-pc-windows-gnu",
        }
    }

    /// The C compiler, which also links, and its Debian packages.
    fn compiler(self) -> (&'static str, &'static [&'static str]) {
        match self {
            Self::Aarch64 => ("aarch64-linux-gnu-gcc", &["gcc-aarch64-linux-gnu", "libc6-dev-arm64-cross"]),
            Self::Windows => ("x86_64-w64-mingw32-gcc", &["gcc-mingw-w64-x86-64"]),
        }
    }

    fn file_name(self, program: &str) -> String {
        match self {
            Self::Aarch64 => program.to_owned(),
            Self::Windows => format!("{program}.exe"),
        }
    }

    /// The name of one of cargo's environment variables for this target.
    fn variable(self, name: &str) -> String {
        format!("CARGO_TARGET_{}_{name}", self.triple().replace('-', "_").to_uppercase())
    }
}

/// Whether everything compiles for Windows: what is written under `cfg(windows)` is built by nobody else
/// here.
pub(crate) fn check_windows() -> Result<()> {
    if !cfg!(target_os = "linux") {
        return Ok(());
    }
    Build::set_up(Target::Windows, Profile::Dev, false)?.check()
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    if !cfg!(target_os = "linux") {
        bail!("cross builds are made on Linux; here, `cargo build --release` builds for this machine");
    }
    let targets = arguments.target.map_or_else(|| Target::value_variants().to_vec(), |target| vec![target]);
    let mut suites = Suites::default();
    for target in targets {
        let build = Build::set_up(target, arguments.profile, arguments.std_from_source)?;
        if arguments.check {
            build.check()?;
            continue;
        }
        build.programs()?;
        build.report_sizes()?;
        if arguments.test {
            let setup = Setup::new(build.directory()?)?;
            match target {
                Target::Aarch64 => emulation::test(&build, &setup, &mut suites)?,
                Target::Windows => wine::test(&build, &setup, &mut suites)?,
            }
        }
    }
    if arguments.test { suites.verdict() } else { Ok(()) }
}

/// How this machine builds for another.
struct Build {
    target: Target,
    profile: Profile,
    standard_library: StandardLibrary,
}

impl Build {
    fn set_up(target: Target, profile: Profile, from_source: bool) -> Result<Self> {
        let (compiler, packages) = target.compiler();
        if process::output(Command::new(compiler).arg("--version")).is_err() {
            debian::install(packages, "programs of another machine are linked by its own compiler")?;
        }
        let standard_library = StandardLibrary::set_up(target.triple(), from_source)?;
        Ok(Self { target, profile, standard_library })
    }

    /// Cargo with a verb, for the target.
    fn cargo(&self, verb: &str) -> Command {
        let mut command = process::cargo(&[verb, "--locked", "--profile", self.profile.name()]);
        command.args(["--target", self.target.triple()]);
        command.env(self.target.variable("LINKER"), self.target.compiler().0);
        self.standard_library.apply(&mut command);
        command
    }

    /// clippy, but for `xtask`, which measures by calls that only Unix has.
    fn check(&self) -> Result<()> {
        let all = ["--workspace", "--exclude", "xtask", "--all-targets", "--", "-D", "warnings"];
        process::run(self.cargo("clippy").args(all))
    }

    fn programs(&self) -> Result<()> {
        let packages = PROGRAMS.iter().flat_map(|program| ["-p", program]);
        process::run(self.cargo("build").args(packages))
    }

    /// Where cargo puts the programs.
    fn directory(&self) -> Result<PathBuf> {
        Ok(process::target_directory()?.join(self.target.triple()).join(self.profile.directory()))
    }

    fn report_sizes(&self) -> Result<()> {
        let directory = self.directory()?;
        let mut largest: f64 = 0.0;
        for program in PROGRAMS {
            let path = directory.join(self.target.file_name(program));
            let megabytes = size(&path)? as f64 / 1e6;
            println!("{:<28} {:<18} {megabytes:>7.2} MB", self.target.triple(), program);
            largest = largest.max(megabytes);
        }
        if self.profile == Profile::Dist && largest > MOST_MEGABYTES {
            bail!("a program of {largest:.1} MB; at most {MOST_MEGABYTES} are allowed");
        }
        Ok(())
    }
}

fn size(path: &Path) -> Result<u64> {
    Ok(path.metadata().with_context(|| format!("cannot read {}", path.display()))?.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_spelled_as_cargo_reads_them() {
        assert_eq!(Target::Aarch64.variable("LINKER"), "CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER");
        assert_eq!(Target::Windows.variable("RUNNER"), "CARGO_TARGET_X86_64_PC_WINDOWS_GNU_RUNNER");
    }
}
