//! A file system that remembers what was done to it and when that became durable, so that the lake can
//! be looked at as any power cut would leave it.
//!
//! Two things are lost: content of files that was not synced, and entries of directories that were not
//! synced. Which of them, nobody knows: all, none of the entries, or any.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::filesystem::{Entry, FileSystem, OperatingSystem, Space};

/// Number of a file or directory: that of the file system if it was there before, else one that is
/// not used again when the file is gone.
type Inode = u64;

/// Above those of file systems.
const FIRST_NEW: Inode = 1 << 63;

/// One step of what was done.
#[derive(Debug, Clone)]
enum Step {
    /// Entries that came (with a file or directory) or went, together, by the number of their directory.
    Entries(Vec<(Inode, String, Option<Inode>)>),
    /// An empty directory, of which it is not yet said where.
    Directory(Inode),
    Write(Inode, u64, Vec<u8>),
    SyncFile(Inode),
    SyncDirectory(Inode),
}

/// What there was before anything was done, and what was done.
#[derive(Debug)]
pub(crate) struct Recorder {
    root: PathBuf,
    /// Operations that there are not; one that syncs then does nothing.
    lacks: &'static [&'static str],
    before: Tree,
    steps: Mutex<Vec<Step>>,
    /// The numbers of files and directories that were created, by those of the file system.
    created: Mutex<BTreeMap<u64, Inode>>,
}

#[derive(Debug, Clone, Default)]
struct Tree {
    root: Inode,
    directories: BTreeMap<Inode, BTreeMap<String, Inode>>,
    files: BTreeMap<Inode, Vec<u8>>,
}

/// What becomes of what was not durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Loss {
    /// All of it is lost.
    All,
    /// Entries are kept, content is lost: names of empty files.
    Content,
    /// Any of it, by this seed.
    Any(u64),
}

impl Recorder {
    /// Below that directory, which exists.
    pub(crate) fn new(root: &Path, lacks: &'static [&'static str]) -> Self {
        let mut before = Tree { root: number_of(root).unwrap_or(0), ..Tree::default() };
        before.read(root);
        let root = root.to_owned();
        Self { root, lacks, before, steps: Mutex::default(), created: Mutex::default() }
    }

    /// The number of steps so far.
    pub(crate) fn count(&self) -> usize {
        self.steps.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Writes to `to` what a power cut after so many steps leaves.
    pub(crate) fn image(&self, steps: usize, loss: Loss, to: &Path) {
        let all = self.steps.lock().unwrap_or_else(PoisonError::into_inner);
        let done = &all[..steps];
        let mut random = fastrand::Rng::with_seed(match loss {
            Loss::Any(seed) => seed,
            _ => 0,
        });
        let mut tree = self.before.clone();
        for (number, step) in done.iter().enumerate() {
            let later = &done[number..];
            let survives = match (step, loss) {
                _ if is_durable(step, later) => true,
                (Step::Entries(_), Loss::Content) => true,
                (_, Loss::All | Loss::Content) => false,
                (_, Loss::Any(_)) => random.bool(),
            };
            tree.apply(step, survives);
        }
        tree.write(tree.root, to);
    }

    fn record(&self, step: Step) {
        self.steps.lock().unwrap_or_else(PoisonError::into_inner).push(step);
    }

    fn inode(&self, path: &Path) -> io::Result<Inode> {
        Ok(self.known(number_of(path)?))
    }

    fn inode_of(&self, file: &File) -> io::Result<Inode> {
        Ok(self.known(file.metadata()?.ino()))
    }

    fn known(&self, number: u64) -> Inode {
        *self.created.lock().unwrap_or_else(PoisonError::into_inner).get(&number).unwrap_or(&number)
    }

    fn new_inode(&self, path: &Path) -> io::Result<Inode> {
        let new = FIRST_NEW + self.count() as u64;
        self.created.lock().unwrap_or_else(PoisonError::into_inner).insert(number_of(path)?, new);
        Ok(new)
    }

    fn entry(&self, path: &Path, what: Option<Inode>) -> io::Result<(Inode, String, Option<Inode>)> {
        let (parent, name) = (path.parent().unwrap_or(&self.root), path.file_name().unwrap_or_default());
        Ok((self.inode(parent)?, name.to_string_lossy().into_owned(), what))
    }

    fn call<T>(&self, name: &'static str, run: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        if self.lacks.contains(&name) { Err(io::ErrorKind::Unsupported.into()) } else { run() }
    }

    fn synced(&self, name: &'static str, step: Step) -> io::Result<()> {
        if !self.lacks.contains(&name) {
            self.record(step);
        }
        Ok(())
    }

    /// Renames by this call, and remembers it.
    fn renamed(&self, from: &Path, to: &Path, rename: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        let what = self.inode(from)?;
        rename()?;
        self.record(Step::Entries(vec![self.entry(to, Some(what))?, self.entry(from, None)?]));
        Ok(())
    }
}

/// Whether a later sync covers the step. A rename happens in both directories or in none.
fn is_durable(step: &Step, later: &[Step]) -> bool {
    later.iter().any(|other| match (step, other) {
        (Step::Entries(entries), Step::SyncDirectory(directory)) => {
            entries.iter().any(|(changed, ..)| changed == directory)
        }
        (Step::Write(file, ..), Step::SyncFile(synced)) => file == synced,
        (Step::Directory(_) | Step::SyncFile(_) | Step::SyncDirectory(_), _) => true,
        _ => false,
    })
}

fn number_of(path: &Path) -> io::Result<u64> {
    Ok(fs::symlink_metadata(path)?.ino())
}

impl Tree {
    fn read(&mut self, directory: &Path) {
        let Ok(number) = number_of(directory) else { return };
        let mut names = BTreeMap::new();
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            let path = entry.path();
            let Ok(number) = number_of(&path) else { continue };
            names.insert(entry.file_name().to_string_lossy().into_owned(), number);
            if path.is_dir() {
                self.read(&path);
            } else {
                self.files.insert(number, fs::read(&path).unwrap_or_default());
            }
        }
        self.directories.insert(number, names);
    }

    fn apply(&mut self, step: &Step, survives: bool) {
        match step {
            Step::Entries(entries) if survives => {
                for (directory, name, what) in entries {
                    let names = self.directories.entry(*directory).or_default();
                    match what {
                        Some(what) => drop(names.insert(name.clone(), *what)),
                        None => drop(names.remove(name)),
                    }
                }
            }
            Step::Directory(number) => drop(self.directories.insert(*number, BTreeMap::new())),
            Step::Write(file, offset, bytes) if survives => {
                let content = self.files.entry(*file).or_default();
                let end = *offset as usize + bytes.len();
                content.resize(content.len().max(end), 0);
                content[*offset as usize..end].copy_from_slice(bytes);
            }
            _ => {}
        }
    }

    fn write(&self, directory: Inode, to: &Path) {
        fs::create_dir_all(to).expect("an image can be written");
        for (name, what) in self.directories.get(&directory).into_iter().flatten() {
            let path = to.join(name);
            if self.directories.contains_key(what) {
                self.write(*what, &path);
            } else {
                let content = self.files.get(what).map_or(&[][..], Vec::as_slice);
                fs::write(path, content).expect("an image can be written");
            }
        }
    }
}

impl FileSystem for Recorder {
    fn space(&self, path: &Path) -> io::Result<Option<Space>> {
        OperatingSystem.space(path)
    }
    fn create_directory(&self, path: &Path) -> io::Result<()> {
        OperatingSystem.create_directory(path)?;
        let what = self.new_inode(path)?;
        self.record(Step::Directory(what));
        self.record(Step::Entries(vec![self.entry(path, Some(what))?]));
        Ok(())
    }
    fn create_new(&self, path: &Path) -> io::Result<File> {
        let file = OperatingSystem.create_new(path)?;
        let what = self.new_inode(path)?;
        self.record(Step::Entries(vec![self.entry(path, Some(what))?]));
        Ok(file)
    }
    fn open_file(&self, path: &Path) -> io::Result<File> {
        OperatingSystem.open_file(path)
    }
    fn open_lock(&self, path: &Path) -> io::Result<File> {
        // A lock says nothing once its holder is gone.
        OperatingSystem.open_lock(path)
    }
    fn write(&self, file: &File, bytes: &[u8]) -> io::Result<usize> {
        let before = file.metadata()?.len();
        let count = OperatingSystem.write(file, bytes)?;
        self.record(Step::Write(self.inode_of(file)?, before, bytes[..count].to_vec()));
        Ok(count)
    }
    fn read_at(&self, file: &File, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        OperatingSystem.read_at(file, bytes, offset)
    }
    fn write_at(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let count = OperatingSystem.write_at(file, bytes, offset)?;
        self.record(Step::Write(self.inode_of(file)?, offset, bytes[..count].to_vec()));
        Ok(count)
    }
    fn sync_data(&self, file: &File) -> io::Result<()> {
        self.synced("sync_data", Step::SyncFile(self.inode_of(file)?))
    }
    fn sync_file(&self, file: &File) -> io::Result<()> {
        self.synced("sync_file", Step::SyncFile(self.inode_of(file)?))
    }
    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        self.synced("sync_directory", Step::SyncDirectory(self.inode(path)?))
    }
    fn rename_no_replace(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.call("rename_no_replace", || {
            self.renamed(from, to, || OperatingSystem.rename_no_replace(from, to))
        })
    }
    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.call("link", || {
            OperatingSystem.link(from, to)?;
            self.record(Step::Entries(vec![self.entry(to, Some(self.inode(to)?))?]));
            Ok(())
        })
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.renamed(from, to, || OperatingSystem.rename(from, to))
    }
    fn exchange(&self, one: &Path, other: &Path) -> io::Result<()> {
        self.call("exchange", || {
            let whats = (self.inode(one)?, self.inode(other)?);
            OperatingSystem.exchange(one, other)?;
            let entries = vec![self.entry(other, Some(whats.0))?, self.entry(one, Some(whats.1))?];
            self.record(Step::Entries(entries));
            Ok(())
        })
    }
    fn remove_file(&self, path: &Path) -> io::Result<()> {
        OperatingSystem.remove_file(path)?;
        self.record(Step::Entries(vec![self.entry(path, None)?]));
        Ok(())
    }
    fn remove_directory_all(&self, path: &Path) -> io::Result<()> {
        OperatingSystem.remove_directory_all(path)?;
        self.record(Step::Entries(vec![self.entry(path, None)?]));
        Ok(())
    }
    fn list(&self, path: &Path) -> io::Result<Vec<Entry>> {
        OperatingSystem.list(path)
    }
}

/// What is checked of each image: its lake, how many acknowledgements were given before the power cut,
/// and a description.
pub(crate) type Check<'a> = &'a dyn Fn(&Path, usize, &str);

/// Cuts the power after every step, in three ways each. `acknowledged` are the numbers of
/// steps after which something was said to be durable.
pub(crate) fn cut_everywhere(recorder: &Recorder, acknowledged: &[usize], check: Check<'_>) {
    let count = recorder.count();
    assert!(count > 5 && acknowledged.iter().collect::<BTreeSet<_>>().len() == acknowledged.len());
    for steps in 0..=count {
        let given = acknowledged.iter().filter(|after| **after <= steps).count();
        for loss in [Loss::All, Loss::Content, Loss::Any(steps as u64)] {
            let image = tempfile::tempdir().expect("a directory for an image");
            recorder.image(steps, loss, image.path());
            let what = format!("{loss:?} after {steps} of {count} steps");
            check(&image.path().join("lake"), given, &what);
        }
    }
}
