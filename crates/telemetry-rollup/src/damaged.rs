//! Damaged files go to quarantine, named; the rest goes on without them.

use telemetry_repository::{DataFile, DatasetStore, RepositoryError};

/// Sets aside the file that the error says is damaged.
///
/// # Errors
/// The error itself if it says something else, or names none of these files.
pub(crate) fn set_aside<'a>(
    store: &DatasetStore,
    files: impl IntoIterator<Item = &'a DataFile>,
    error: RepositoryError,
) -> Result<(), RepositoryError> {
    let RepositoryError::Damaged { path: damaged, .. } = &error else { return Err(error) };
    let Some(file) = files.into_iter().find(|file| file.path == *damaged) else { return Err(error) };
    match store.quarantine(file) {
        Ok(path) => {
            let quarantine = path.display().to_string();
            tracing::error!(%error, quarantine, "damaged file set aside");
            Ok(())
        }
        Err(gone) if gone.is_not_found() => Ok(()),
        Err(error) => Err(error),
    }
}
