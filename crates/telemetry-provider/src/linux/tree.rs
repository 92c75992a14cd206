//! Reading small files below a root.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use tracing::debug;

/// Far above any file that is read here; a bound all the same, since a damaged tree must not fill
/// the memory.
const MAX_BYTES: u64 = 4 << 20;
/// A sensor's value, a name or a label.
const MAX_LINE_BYTES: usize = 256;

/// The file tree that stands for `/`. Paths are given without a leading slash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tree {
    root: PathBuf,
}

impl Tree {
    /// A tree below `root`.
    pub fn new(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    /// The text of a file; bytes that are not UTF-8 are replaced. `None`, with a debug line, if it
    /// cannot be read.
    pub(crate) fn read(&self, path: &str) -> Option<String> {
        self.note(path, self.try_read(path))
    }

    /// As [`Tree::read`], but with one `read` that does not wait, and without surrounding white
    /// space: some drivers block while a sensor is busy, and answer EAGAIN this way.
    pub(crate) fn read_once(&self, path: &str) -> Option<String> {
        self.note(path, self.try_read_once(path))
    }

    /// As [`Tree::read_once`], but a missing file is nothing to speak of.
    pub(crate) fn read_optional(&self, path: &str) -> Option<String> {
        match self.try_read_once(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            result => self.note(path, result),
        }
    }

    /// Where a file of the tree is.
    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    /// Whether there is anything at the path, be it a link to nowhere.
    pub(crate) fn exists(&self, path: &str) -> bool {
        fs::symlink_metadata(self.root.join(path)).is_ok()
    }

    /// The last component of what a link points to.
    pub(crate) fn link_name(&self, path: &str) -> Option<String> {
        let target = fs::read_link(self.root.join(path)).ok()?;
        Some(target.file_name()?.to_string_lossy().into_owned())
    }

    /// The names in a directory, sorted; empty if there is no such directory.
    pub(crate) fn names(&self, path: &str) -> Vec<String> {
        let mut names: Vec<String> = self.entries(path).collect();
        names.sort_unstable();
        names
    }

    /// The names in a directory, as they come.
    pub(crate) fn entries(&self, path: &str) -> impl Iterator<Item = String> {
        let entries = match fs::read_dir(self.root.join(path)) {
            Ok(entries) => Some(entries),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                debug!(path, %error, "cannot list a directory");
                None
            }
        };
        entries.into_iter().flatten().flatten().map(|entry| entry.file_name().to_string_lossy().into_owned())
    }

    fn try_read(&self, path: &str) -> io::Result<String> {
        let mut bytes = Vec::with_capacity(4096);
        File::open(self.root.join(path))?.take(MAX_BYTES).read_to_end(&mut bytes)?;
        Ok(text(bytes))
    }

    fn try_read_once(&self, path: &str) -> io::Result<String> {
        // The flag's bits are those of the C library's constant, which is an int.
        let flags = OFlags::NONBLOCK.bits().cast_signed();
        let mut file = OpenOptions::new().read(true).custom_flags(flags).open(self.root.join(path))?;
        let mut buffer = [0; MAX_LINE_BYTES];
        let length = file.read(&mut buffer)?;
        // The device tree ends its texts with a zero byte.
        let end = |c: char| c.is_whitespace() || c == '\0';
        Ok(String::from_utf8_lossy(&buffer[..length]).trim_matches(end).to_owned())
    }

    fn note(&self, path: &str, result: io::Result<String>) -> Option<String> {
        result.inspect_err(|error| debug!(path, %error, "cannot read a file")).ok()
    }
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}
