//! Copies of what is damaged but has to stay in its place: `LAKE/.quarantine`.

use std::io;
use std::path::{Path, PathBuf};

use crate::error::{IoContext as _, RepositoryError};
use crate::filesystem::write_all_at;
use crate::lake::Lake;
use crate::layout::{QUARANTINE, STATE, STATE_OF_LAKE};
use crate::lock::make_directories;

impl Lake {
    /// Copies a damaged `.state/@lake/<name>.json` to the quarantine, durably, so that it can be
    /// replaced; the same content is the same copy. Returns where that is.
    pub fn quarantine_rollup_state(&self, name: &str) -> Result<PathBuf, RepositoryError> {
        let path = self.rollup_state_path(name);
        let bytes = std::fs::read(&path).at("read", &path)?;
        let directory = self.root().join(QUARANTINE).join(STATE).join(STATE_OF_LAKE);
        make_directories(self.system().as_ref(), self.root(), &directory)?;
        let copy = directory.join(format!("{name}-{:08x}.json", crc32c::crc32c(&bytes)));
        self.write_aside(&copy, &bytes)?;
        Ok(copy)
    }

    /// Writes a file of the quarantine durably; false if it was there. The name stands for the content: a
    /// piece of it is what a process left that was killed, and is written anew.
    pub(crate) fn write_aside(&self, path: &Path, bytes: &[u8]) -> Result<bool, RepositoryError> {
        let system = self.system().as_ref();
        let directory = path.parent().unwrap_or(path);
        let copy = match system.create_new(path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let there = std::fs::read(path).at("read", path)?;
                let is_piece = there.len() < bytes.len() && bytes.starts_with(&there);
                if !is_piece {
                    return Ok(false);
                }
                system.remove_file(path).at("remove", path)?;
                system.create_new(path).at("create", path)?
            }
            result => result.at("create", path)?,
        };
        let written = write_all_at(system, &copy, bytes, 0).and_then(|()| system.sync_file(&copy));
        if let Err(error) = written.and_then(|()| system.sync_directory(directory)) {
            drop(copy);
            let _ = system.remove_file(path);
            return Err(RepositoryError::io("write", path, error));
        }
        Ok(true)
    }
}
