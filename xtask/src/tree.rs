//! The files of the repository, as git sees them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// The directory of the workspace.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."))
}

/// What is committed or about to be: everything that git does not ignore.
pub(crate) struct Tree {
    root: PathBuf,
    files: BTreeSet<String>,
}

impl Tree {
    /// Lists the files below the directory of the workspace.
    pub(crate) fn open() -> Result<Self> {
        let listing = Command::new("git")
            .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
            .current_dir(root())
            .output()
            .context("cannot start git, which lists the files to check")?;
        ensure!(
            listing.status.success(),
            "git ls-files: {}",
            String::from_utf8_lossy(&listing.stderr).trim()
        );
        let files = String::from_utf8(listing.stdout).context("a file name is not UTF-8")?;
        let files = files.split_terminator('\0').filter(|file| root().join(file).is_file());
        Ok(Self { root: root().to_owned(), files: files.map(str::to_owned).collect() })
    }

    /// Paths relative to the root, sorted.
    pub(crate) fn files(&self) -> impl Iterator<Item = &str> {
        self.files.iter().map(String::as_str)
    }

    /// Those whose name ends that way.
    pub(crate) fn ending(&self, end: &str) -> impl Iterator<Item = &str> {
        self.files().filter(move |file| file.ends_with(end))
    }

    /// Whether there is such a file, or a directory with files in it.
    pub(crate) fn contains(&self, path: &str) -> bool {
        let directory = format!("{}/", path.trim_end_matches('/'));
        path.is_empty()
            || self.files.contains(path)
            || self.files.range(directory.clone()..).next().is_some_and(|file| file.starts_with(&directory))
    }

    /// Size in bytes.
    pub(crate) fn size(&self, file: &str) -> Result<u64> {
        let metadata = self.root.join(file).metadata().with_context(|| format!("cannot read {file}"))?;
        Ok(metadata.len())
    }

    /// The text of a file; `None` if it is not UTF-8.
    pub(crate) fn text(&self, file: &str) -> Result<Option<String>> {
        let bytes = std::fs::read(self.root.join(file)).with_context(|| format!("cannot read {file}"))?;
        Ok(String::from_utf8(bytes).ok())
    }
}
