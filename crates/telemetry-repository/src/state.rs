//! Small texts that programs keep between runs: `LAKE/.state/<host>/<name>.json`.
//!
//! Each has one writer, the holder of the host's lock. They are replaced atomically but not synced:
//! whoever keeps something here must be able to do without it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};

use crate::error::{IoContext as _, RepositoryError};
use crate::filesystem::{create_anew, write_all_at};
use crate::lake::Lake;
use crate::lock::make_directories;

/// The text last saved, or `None` if there is none or it is no JSON any more.
pub(crate) fn load(directory: &Path, name: &str) -> Option<String> {
    let (path, text) = left_out(read(directory, name))?;
    left_out(parse::<IgnoredAny>(&path, &text).map(|_| Some(text)))
}

/// What was last saved, or `None` if there is nothing or it is something else.
pub(crate) fn load_as<T: DeserializeOwned>(directory: &Path, name: &str) -> Option<T> {
    left_out(try_load_as(directory, name))
}

/// As [`load_as`], but something else is an error, and so is what cannot be read now: it may be whole
/// all the same.
pub(crate) fn try_load_as<T: DeserializeOwned>(
    directory: &Path,
    name: &str,
) -> Result<Option<T>, RepositoryError> {
    let found = read(directory, name)?;
    found.map(|(path, text)| parse(&path, &text)).transpose()
}

fn left_out<T>(result: Result<Option<T>, RepositoryError>) -> Option<T> {
    result.inspect_err(|error| tracing::warn!(%error, "state is left out")).unwrap_or_default()
}

fn read(directory: &Path, name: &str) -> Result<Option<(PathBuf, String)>, RepositoryError> {
    let path = directory.join(format!("{name}.json"));
    match fs::read(&path) {
        // What is no text is no JSON either.
        Ok(bytes) => Ok(Some((path, String::from_utf8_lossy(&bytes).into_owned()))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(RepositoryError::io("read", &path, error)),
    }
}

fn parse<'a, T: Deserialize<'a>>(path: &Path, text: &'a str) -> Result<T, RepositoryError> {
    serde_json::from_str(text).map_err(|error| RepositoryError::damaged(path, error.to_string()))
}

/// Replaces the text.
pub(crate) fn save(lake: &Lake, directory: &Path, name: &str, text: &str) -> Result<(), RepositoryError> {
    let path = directory.join(format!("{name}.json"));
    let new = directory.join(format!("{name}.json.new"));
    match fs::write(&new, text) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            make_directories(lake.system().as_ref(), lake.root(), directory)?;
            fs::write(&new, text).at("write", &new)?;
        }
        result => result.at("write", &new)?,
    }
    fs::rename(&new, &path).at("replace", &path)
}

/// Replaces a text such that it survives a power cut as soon as this returns.
pub(crate) fn save_durably(lake: &Lake, path: &Path, text: &str) -> Result<(), RepositoryError> {
    let system = lake.system().as_ref();
    let directory = path.parent().unwrap_or(path);
    make_directories(system, lake.root(), directory)?;
    let new = path.with_extension("new");
    let file = create_anew(system, &new)?;
    write_all_at(system, &file, text.as_bytes(), 0).at("write", &new)?;
    system.sync_file(&file).at("sync", &new)?;
    drop(file);
    system.rename(&new, path).at("replace", path)?;
    system.sync_directory(directory).at("sync", directory)
}
