//! Small texts that programs keep between runs: `LAKE/.state/<host>/<name>.json`.
//!
//! Each has one writer, the holder of the host's lock. They are replaced atomically but not synced:
//! whoever keeps something here must be able to do without it.

use std::fs;
use std::io;
use std::path::Path;

use serde::de::IgnoredAny;

use crate::error::{IoContext as _, RepositoryError};
use crate::lake::Lake;
use crate::lock::make_directories;

/// The text last saved, or `None` if there is none or it is no JSON any more.
pub(crate) fn load(directory: &Path, name: &str) -> Option<String> {
    let path = directory.join(format!("{name}.json"));
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "state cannot be read and is left out");
            return None;
        }
    };
    match serde_json::from_str::<IgnoredAny>(&text) {
        Ok(_) => Some(text),
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "state is damaged and is left out");
            None
        }
    }
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
