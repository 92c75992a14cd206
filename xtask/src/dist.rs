//! `dist`: what is handed out. An archive for each platform, a Debian package for those of Linux, the
//! licences of all that is in them, and the checksums.

mod archive;
mod boot;
mod debian_package;
mod licences;
mod stage;
mod trial;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use clap::ValueEnum;

use crate::generate::PROGRAMS;
use crate::{debian, process, tree};
use debian_package::Compression;
use stage::Stage;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// For this platform; may be repeated [default: this machine's]
    #[arg(long, value_enum)]
    target: Vec<Platform>,
    /// The cargo profile of the programs
    #[arg(long, default_value = "dist")]
    profile: String,
    /// Take programs that are built already. Those of other platforms are always taken: see `cross`
    #[arg(long)]
    no_build: bool,
    /// Then install, run, upgrade, remove and purge this machine's package in Debians made for it, as root
    #[arg(long)]
    test: bool,
    /// Pack nothing, and test this package
    #[arg(long, value_name = "FILE", requires = "test", conflicts_with_all = ["target", "profile"])]
    package: Option<PathBuf>,
}

/// What programs run on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Platform {
    /// Linux on a 64-bit Intel or AMD processor
    #[value(name = "x86-64")]
    LinuxX86,
    /// Linux on a 64-bit ARM processor: Raspberry Pi 3 to 5
    #[value(name = "aarch64")]
    LinuxArm,
    /// Windows on a 64-bit Intel or AMD processor
    Windows,
}

impl Platform {
    fn of_this_machine() -> Result<Self> {
        match (std::env::consts::OS, std::env::consts::ARCH) {
            ("linux", "x86_64") => Ok(Self::LinuxX86),
            ("linux", "aarch64") => Ok(Self::LinuxArm),
            (system, processor) => bail!("packages are made on Linux, not on {system} {processor}"),
        }
    }

    const fn triple(self) -> &'static str {
        match self {
            Self::LinuxX86 => "x86_64-unknown-linux-gnu",
            Self::LinuxArm => "aarch64-unknown-linux-gnu",
            Self::Windows => "x86_64-pc-windows-gnu",
        }
    }

    /// Debian's name of the architecture.
    const fn debian(self) -> Option<&'static str> {
        match self {
            Self::LinuxX86 => Some("amd64"),
            Self::LinuxArm => Some("arm64"),
            Self::Windows => None,
        }
    }

    fn file_of(self, program: &str) -> String {
        if self == Self::Windows { format!("{program}.exe") } else { program.to_owned() }
    }
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    if let Some(package) = &arguments.package {
        return trial::run(package);
    }
    let here = Platform::of_this_machine()?;
    let platforms = if arguments.target.is_empty() { &[here][..] } else { &arguments.target };
    ensure!(
        !arguments.test || platforms.contains(&here),
        "--test tries the package of this machine, which is none of --target"
    );
    debian::require("zip", "archives for Windows are made by it")?;
    let release = Release::of_tree()?;
    let output = process::target_directory()?.join("packages");
    remake(&output)?;
    let work = tempfile::tempdir().context("cannot make a directory to pack in")?;
    licences::check()?;
    build(arguments, platforms.contains(&here))?;
    let manual = write_manual(work.path())?;

    let compression = if arguments.profile == "dist" { Compression::Best } else { Compression::Fast };

    let mut made = Vec::new();
    for platform in platforms {
        let programs = programs(*platform, here, &arguments.profile)?;
        let third_party = licences::report(platform.triple())?;
        let stage =
            Stage { platform: *platform, programs: &programs, manual: &manual, third_party: &third_party };
        let staged = work.path().join(format!("telemetry-{}-{}", release.version, platform.triple()));
        stage.write(&staged)?;
        made.push(archive::write(*platform, &staged, &output, &release)?);
        let Some(architecture) = platform.debian() else { continue };
        let version = &release.version;
        let package = debian_package::build(&staged, architecture, version, &release, compression, &output)?;
        if arguments.test && *platform == here {
            trial::run(&package)?;
        }
        made.push(package);
    }
    sum_up(&output, &made)
}

/// What is packed: its version, and when it was committed, so that packing twice gives the same bytes.
struct Release {
    version: String,
    epoch: String,
    /// As Debian's changelog wants it.
    date: String,
}

impl Release {
    fn of_tree() -> Result<Self> {
        let manifest =
            fs::read_to_string(tree::root().join("Cargo.toml")).context("cannot read Cargo.toml")?;
        let manifest: toml::Table = manifest.parse().context("Cargo.toml is not TOML")?;
        let version = manifest
            .get("workspace")
            .and_then(|workspace| workspace.get("package")?.get("version")?.as_str())
            .context("no workspace.package.version in Cargo.toml")?;
        let committed = |format: &str| -> Result<String> {
            let mut git = Command::new("git");
            git.args(["log", "-1", &format!("--format={format}")]).current_dir(tree::root());
            Ok(process::output(&mut git)?.trim().to_owned())
        };
        Ok(Self { version: version.to_owned(), epoch: committed("%ct")?, date: committed("%cD")? })
    }
}

/// The programs of this machine, if they are wanted, and what writes the manual.
fn build(arguments: &Arguments, wants_this_machine: bool) -> Result<()> {
    if arguments.no_build {
        return Ok(());
    }
    process::build_everything()?;
    if wants_this_machine && arguments.profile != "dev" {
        let packages = PROGRAMS.iter().flat_map(|program| ["-p", program]);
        let mut command = process::cargo(&["build", "--locked", "--profile", &arguments.profile]);
        process::run(command.args(packages))?;
    }
    Ok(())
}

/// Man pages and completions.
fn write_manual(work: &Path) -> Result<PathBuf> {
    let writer = process::target_directory()?.join("debug/examples/manual");
    let directory = work.join("manual");
    process::run(Command::new(writer).arg(&directory))?;
    Ok(directory)
}

/// The built programs of a platform.
fn programs(platform: Platform, here: Platform, profile: &str) -> Result<Vec<PathBuf>> {
    let target = process::target_directory()?;
    let target = if platform == here { target } else { target.join(platform.triple()) };
    let directory = target.join(if profile == "dev" { "debug" } else { profile });
    let programs: Vec<PathBuf> =
        PROGRAMS.iter().map(|program| directory.join(platform.file_of(program))).collect();
    if let Some(missing) = programs.iter().find(|program| !program.is_file()) {
        let how = if platform == here {
            "leave out --no-build".to_owned()
        } else {
            format!("cargo xtask cross --profile {profile}")
        };
        bail!("no {}: to build it, {how}", missing.display());
    }
    Ok(programs)
}

/// Shows what was made, and writes the checksums beside it.
fn sum_up(output: &Path, made: &[PathBuf]) -> Result<()> {
    let names: Vec<&str> = made.iter().filter_map(|file| file.file_name()?.to_str()).collect();
    let sums = process::output(Command::new("sha256sum").args(&names).current_dir(output))?;
    fs::write(output.join("SHA256SUMS"), &sums).context("cannot write SHA256SUMS")?;
    for (name, file) in names.iter().zip(made) {
        let size = file.metadata().with_context(|| format!("cannot read {name}"))?.len();
        println!("{name:<56} {:>6.1} MB", size as f64 / 1e6);
    }
    println!("in {}, with SHA256SUMS", output.strip_prefix(tree::root()).unwrap_or(output).display());
    Ok(())
}

/// An empty directory of that name.
fn remake(directory: &Path) -> Result<()> {
    if directory.exists() {
        fs::remove_dir_all(directory).with_context(|| format!("cannot empty {}", directory.display()))?;
    }
    fs::create_dir_all(directory).with_context(|| format!("cannot make {}", directory.display()))
}
