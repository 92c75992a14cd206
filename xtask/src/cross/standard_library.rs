//! The standard library of another machine: that of rustup, or built from Debian's sources of the very
//! same version.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::{debian, process, tree};

/// Debian's newer toolchains are there first.
const SUITES: [&str; 2] = ["trixie-backports", "sid"];
const KEYS: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
/// Tests need `test`; panics unwind.
const CRATES: &str = "-Zbuild-std=std,panic_unwind,proc_macro,test";

/// Where the standard library of a target comes from.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum StandardLibrary {
    /// It is part of the toolchain.
    Installed,
    /// Cargo builds it with the programs.
    FromSource,
}

impl StandardLibrary {
    /// Installs what is missing.
    pub(super) fn set_up(triple: &str, from_source: bool) -> Result<Self> {
        if !from_source {
            if is_installed(triple)? {
                return Ok(Self::Installed);
            }
            let added = process::run(
                Command::new("rustup").args(["target", "add", triple]).current_dir(tree::root()),
            );
            match added {
                Ok(()) => return Ok(Self::Installed),
                Err(error) => eprintln!("xtask: {error:#}; building the standard library from source"),
            }
        }
        require_source()?;
        Ok(Self::FromSource)
    }

    /// Tells cargo.
    pub(super) fn apply(&self, command: &mut Command) {
        if *self == Self::FromSource {
            // A flag of nightly toolchains, but the sources are those of this very one.
            command.arg(CRATES).env("RUSTC_BOOTSTRAP", "1");
        }
    }
}

fn rustc(arguments: &[&str]) -> Result<String> {
    let program = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    Ok(process::output(Command::new(program).args(arguments).current_dir(tree::root()))?.trim().to_owned())
}

fn is_installed(triple: &str) -> Result<bool> {
    let directory = PathBuf::from(rustc(&["--print", "target-libdir", "--target", triple])?);
    let Ok(entries) = fs::read_dir(directory) else { return Ok(false) };
    Ok(entries.flatten().any(|entry| entry.file_name().to_string_lossy().starts_with("libstd-")))
}

/// Puts the sources where rustup puts its component rust-src, unless they are there.
fn require_source() -> Result<()> {
    let place = PathBuf::from(rustc(&["--print", "sysroot"])?).join("lib/rustlib/src/rust");
    if place.join("library/Cargo.lock").exists() {
        return Ok(());
    }
    let version = rustc(&["--version"])?;
    let version = version.split_whitespace().nth(1).context("rustc does not say its version")?;
    let sources = fetch(version)?;
    let parent = place.parent().unwrap_or(&place);
    fs::create_dir_all(parent).with_context(|| format!("cannot make {}", parent.display()))?;
    process::run(
        Command::new("ln").args(["--symbolic", "--force", "--no-dereference"]).arg(sources).arg(place),
    )
}

/// Unpacks Debian's package rust-src of that version, which is not installed: it is of another suite
/// than the rest of this machine.
fn fetch(version: &str) -> Result<PathBuf> {
    let directory = process::target_directory()?.join("cross/rust-src");
    let sources = directory.join(format!("usr/src/rustc-{version}"));
    if sources.join("library/Cargo.lock").exists() {
        return Ok(sources);
    }
    for suite in SUITES {
        let apt = Apt::of_suite(suite, &directory.join("apt"))?;
        process::run(apt.command("apt-get").arg("update"))?;
        let known = process::output(apt.command("apt-cache").args(["madison", "rust-src"]))?;
        let Some(package) = package_version(&known, version) else { continue };
        let mut download = apt.command("apt-get");
        process::run(download.args(["download", &format!("rust-src={package}")]).current_dir(&directory))?;
        let package = newest_package(&directory)?;
        process::run(Command::new("dpkg-deb").arg("-x").arg(&package).arg(&directory))?;
        fs::remove_file(&package).with_context(|| format!("cannot remove {}", package.display()))?;
        return Ok(sources);
    }
    bail!(
        "Debian has no rust-src {version} in {}; install the target with rustup, where that can be done",
        SUITES.join(" or ")
    )
}

/// The first of `apt-cache madison` that packages this version.
fn package_version(madison: &str, version: &str) -> Option<String> {
    let versions = madison.lines().filter_map(|line| Some(line.split('|').nth(1)?.trim()));
    let is_wanted = |package: &&str| {
        let rest = package.strip_prefix(version);
        rest.is_some_and(|rest| rest.starts_with(['+', '-', '~']))
    };
    versions.into_iter().find(is_wanted).map(str::to_owned)
}

fn newest_package(directory: &Path) -> Result<PathBuf> {
    let entries = fs::read_dir(directory).with_context(|| format!("cannot list {}", directory.display()))?;
    let mut packages = entries.flatten().map(|entry| entry.path());
    let is_package = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "deb");
    packages.find(is_package).with_context(|| format!("apt-get left no package in {}", directory.display()))
}

/// apt with lists of its own, so that this machine's stay as they are.
struct Apt {
    options: Vec<String>,
}

impl Apt {
    fn of_suite(suite: &str, directory: &Path) -> Result<Self> {
        for part in ["lists/partial", "cache/archives/partial"] {
            let part = directory.join(part);
            fs::create_dir_all(&part).with_context(|| format!("cannot make {}", part.display()))?;
        }
        let archive = debian::archive()?;
        let list = directory.join("sources.list");
        fs::write(&list, format!("deb [signed-by={KEYS}] {archive} {suite} main\n"))
            .with_context(|| format!("cannot write {}", list.display()))?;
        let option = |name: &str, path: &Path| format!("{name}={}", path.display());
        Ok(Self {
            options: vec![
                option("Dir::Etc::sourcelist", &list),
                option("Dir::Etc::sourceparts", Path::new("/dev/null")),
                option("Dir::State::lists", &directory.join("lists")),
                option("Dir::Cache", &directory.join("cache")),
            ],
        })
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.args(self.options.iter().flat_map(|option| ["-o", option]));
        command
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_very_version_will_do() {
        let madison = "  rust-src | 1.96.1+dfsg1-2~bpo13+1 | trixie-backports/main amd64 Packages\n  \
                       rust-src | 1.95.10+dfsg1-2 | trixie-backports/main amd64 Packages\n  \
                       rust-src | 1.95.1+dfsg1-2 | trixie-backports/main amd64 Packages\n";
        let found = |version| package_version(madison, version);
        assert_eq!(found("1.95.1").as_deref(), Some("1.95.1+dfsg1-2"));
        assert_eq!(found("1.96.1").as_deref(), Some("1.96.1+dfsg1-2~bpo13+1"));
        assert_eq!(found("1.95.0"), None);
    }
}
