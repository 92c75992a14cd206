//! The files of an archive, in its layout.
//!
//! On Linux that of a prefix: unpacked over `/usr/local`, programs, man pages, completions and units are
//! where they are looked for. The Debian package moves the same files to `/usr`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::Platform;
use crate::{process, tree};

/// What goes in.
pub(super) struct Stage<'a> {
    pub(super) platform: Platform,
    pub(super) programs: &'a [PathBuf],
    /// Has `man/` and `completions/`.
    pub(super) manual: &'a Path,
    /// The licences of all dependencies.
    pub(super) third_party: &'a str,
}

/// Every key of the configuration, for those who look for one.
const DEFAULTS: &str = "crates/telemetry-app/default.toml";
const CONFIGURATION: &str = "packaging/telemetry.toml";
const UNITS: &str = "docs/examples/systemd";
const DOCUMENTS: [&str; 4] = ["packaging/README.md", "docs/changelog.md", "LICENSE-MIT", "LICENSE-APACHE"];

impl Stage<'_> {
    /// Writes all files below the directory.
    pub(super) fn write(&self, to: &Path) -> Result<()> {
        if self.platform == Platform::Windows { self.write_flat(to) } else { self.write_prefix(to) }
    }

    fn write_prefix(&self, to: &Path) -> Result<()> {
        for program in self.programs {
            let copy = copy_into(program, &to.join("bin"), 0o755)?;
            // Those of the profile `dist` have no symbols to strip; the tests pack others.
            if Platform::of_this_machine()? == self.platform {
                process::output(Command::new("strip").arg(&copy))?;
            }
        }
        copy_all(&tree::root().join(UNITS), &to.join("lib/systemd/system"), |name| Some(name.to_owned()))?;
        let share = to.join("share");
        let pages = self.manual.join("man");
        for section in ["1", "5"] {
            let in_section = |name: &str| name.ends_with(&format!(".{section}")).then(|| name.to_owned());
            copy_all(&pages, &share.join("man").join(format!("man{section}")), in_section)?;
        }
        let completions = self.manual.join("completions");
        // Each shell looks for names of its own kind.
        let bash = |name: &str| name.strip_suffix(".bash").map(str::to_owned);
        copy_all(&completions, &share.join("bash-completion/completions"), bash)?;
        let fish = |name: &str| name.ends_with(".fish").then(|| name.to_owned());
        copy_all(&completions, &share.join("fish/vendor_completions.d"), fish)?;
        let zsh = |name: &str| (name.starts_with('_') && !name.contains('.')).then(|| name.to_owned());
        copy_all(&completions, &share.join("zsh/site-functions"), zsh)?;
        let documents = share.join("doc/telemetry");
        copy_into(&tree::root().join(CONFIGURATION), &documents, 0o644)?;
        self.write_documents(&documents)
    }

    fn write_flat(&self, to: &Path) -> Result<()> {
        for program in self.programs {
            copy_into(program, to, 0o755)?;
        }
        let power_shell = |name: &str| name.ends_with(".ps1").then(|| name.to_owned());
        copy_all(&self.manual.join("completions"), &to.join("completions"), power_shell)?;
        self.write_documents(to)
    }

    fn write_documents(&self, to: &Path) -> Result<()> {
        for document in DOCUMENTS.iter().chain([&DEFAULTS]) {
            copy_into(&tree::root().join(document), to, 0o644)?;
        }
        let path = to.join("THIRD-PARTY.txt");
        fs::write(&path, self.third_party).with_context(|| format!("cannot write {}", path.display()))
    }
}

/// Copies the files of one directory into another, by the names that they get there. None is a mistake.
fn copy_all(from: &Path, to: &Path, renamed: impl Fn(&str) -> Option<String>) -> Result<()> {
    let mut copied = 0;
    for entry in fs::read_dir(from).with_context(|| format!("cannot list {}", from.display()))? {
        let entry = entry.with_context(|| format!("cannot list {}", from.display()))?;
        if let Some(name) = entry.file_name().to_str().and_then(&renamed) {
            let copy = copy_into(&entry.path(), to, 0o644)?;
            fs::rename(&copy, to.join(&name)).with_context(|| format!("cannot rename {}", copy.display()))?;
            copied += 1;
        }
    }
    anyhow::ensure!(copied > 0, "{} has nothing for {}", from.display(), to.display());
    Ok(())
}

/// Copies a file under its name; returns the copy.
fn copy_into(file: &Path, directory: &Path, mode: u32) -> Result<PathBuf> {
    fs::create_dir_all(directory).with_context(|| format!("cannot make {}", directory.display()))?;
    let copy = directory.join(file.file_name().context("a file has a name")?);
    fs::copy(file, &copy).with_context(|| format!("cannot copy {}", file.display()))?;
    fs::set_permissions(&copy, fs::Permissions::from_mode(mode))
        .with_context(|| format!("cannot set the mode of {}", copy.display()))?;
    Ok(copy)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(file: &str) -> Vec<String> {
        let text = fs::read_to_string(tree::root().join(file)).expect("a file of the tree");
        let names = text
            .lines()
            .filter_map(|line| Some(line.trim_start_matches('#').split_once(" = ")?.0.to_owned()));
        names.filter(|name| name.chars().all(|letter| letter.is_ascii_lowercase() || letter == '_')).collect()
    }

    /// The programs read the file in the trial of the package, but not the lines that are comments.
    #[test]
    fn the_configuration_has_keys_that_exist() {
        let known = keys(DEFAULTS);
        let ours = keys(CONFIGURATION);
        assert!(ours.len() > 2 && ours.contains(&"lake".to_owned()), "{ours:?}");
        for key in ours {
            assert!(known.contains(&key), "{key} of {CONFIGURATION} is not in {DEFAULTS}");
        }
    }
}
