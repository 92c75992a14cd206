//! The Debian package, by Debian's own tools from `packaging/debian` and the staged files.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::Release;
use crate::{debian, process, tree};

const MAINTAINER: &str = "The telemetry maintainers <maintainers@telemetry.example>";

/// How hard to compress.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Compression {
    Best,
    /// For a package that is tried here and goes nowhere.
    Fast,
}

/// Builds the package of this version of the programs in the output directory. Returns its path.
pub(super) fn build(
    staged: &Path,
    architecture: &str,
    version: &str,
    release: &Release,
    compression: Compression,
    output: &Path,
) -> Result<PathBuf> {
    debian::require_package("debhelper", "Debian packages are built by it")?;
    let work = tempfile::tempdir().context("cannot make a directory to build the package in")?;
    let source = work.path().join("telemetry");
    let copy = |from: &Path, to: &Path| process::run(Command::new("cp").arg("-r").arg(from).arg(to));
    fs::create_dir(&source).with_context(|| format!("cannot make {}", source.display()))?;
    let packaging = tree::root().join("packaging");
    copy(&packaging.join("debian"), &source)?;
    copy(&packaging.join("telemetry.toml"), &source)?;
    copy(staged, &source.join("stage"))?;
    // That of the packaging, which changes with the version.
    let version = format!("{version}-1");
    let changelog = source.join("debian/changelog");
    fs::write(&changelog, changelog_of(&version, &release.date)).context("cannot write the changelog")?;

    let mut command = Command::new("dpkg-buildpackage");
    // The programs are built already: nothing of a toolchain for that architecture is needed but what reads
    // the libraries they want.
    command.args(["--build=binary", "--no-sign", "--no-check-builddeps", "--host-arch", architecture]);
    command.env("SOURCE_DATE_EPOCH", &release.epoch).env("DEB_BUILD_OPTIONS", "noautodbgsym nocheck");
    if compression == Compression::Fast {
        command.env("DPKG_DEB_COMPRESSOR_TYPE", "gzip").env("DPKG_DEB_COMPRESSOR_LEVEL", "1");
    }
    process::run(command.current_dir(&source))?;
    let name = format!("telemetry_{version}_{architecture}.deb");
    let package = output.join(&name);
    fs::copy(work.path().join(&name), &package).with_context(|| format!("cannot copy {name}"))?;
    let depends = process::output(Command::new("dpkg-deb").arg("--field").arg(&package).arg("Depends"))?;
    ensure!(only_essentials(&depends), "the package would pull in more than the C library: {depends}");
    Ok(package)
}

/// What every Debian has.
fn only_essentials(depends: &str) -> bool {
    let mut names = depends.trim().split(", ").filter_map(|dependency| dependency.split(' ').next());
    names.all(|name| ["adduser", "libc6", "libgcc-s1"].contains(&name))
}

/// Debian reads the version from it; what has changed stands in docs/changelog.md,
/// which the package has too.
fn changelog_of(version: &str, date: &str) -> String {
    format!(
        "telemetry ({version}) stable; urgency=medium\n\n  * /usr/share/doc/telemetry/changelog.gz says what \
         has changed.\n\n -- {MAINTAINER}  {date}\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_package_pulls_in_is_seen() {
        assert!(only_essentials("adduser, libc6 (>= 2.34), libgcc-s1 (>= 4.2)\n"));
        for more in ["systemd", "libc6:arm64 (>= 2.36)", "libgcc-s1-arm64-cross (>= 4.2)"] {
            assert!(!only_essentials(&format!("adduser, {more}")), "{more}");
        }
    }
}
