//! What mends a lake on Windows. No part of it asks the system, so that it is tested on every other too.

use std::path::Path;

use telemetry_repository::RepositoryError;

use crate::remedy::{SYSTEM_LOG, quoted};

/// For a lake that cannot be where it is to be.
const ANOTHER_LAKE: &str = "start it with --lake DIR, and a directory of your own; \
                            setx TELEMETRY_LAKE DIR says so for all programs that start from then on";

/// What to do about an error of the lake in that directory; `None` where there is nothing to say that the
/// error does not say. What is in a directory that is not the lake's own keeps its rights.
pub fn windows_remedy(error: &RepositoryError, lake: &Path, has_own_directory: bool) -> Option<String> {
    let lake_word = quoted(lake);
    Some(match error {
        RepositoryError::Permission { .. } if has_own_directory => format!(
            "close what has a file of it open; if nothing has, as an administrator: {}",
            grant_rights(lake)
        ),
        RepositoryError::Permission { .. }
        | RepositoryError::ReadOnly { .. }
        | RepositoryError::NotADirectory { .. } => ANOTHER_LAKE.to_owned(),
        RepositoryError::NoSpace { .. } => format!(
            "remove what fills its volume, or what the lake no longer needs: \
             telemetry-rollup expire --lake {lake_word}"
        ),
        RepositoryError::MissingParent { path } => format!("connect its drive, or mkdir {}", quoted(path)),
        RepositoryError::Io { .. } => SYSTEM_LOG.to_owned(),
        _ => return None,
    })
}

/// The command that lets this user change all of a directory. Whoever types it may be another one.
pub fn grant_rights(directory: &Path) -> String {
    let user = std::env::var("USERNAME").unwrap_or_else(|_| "USER".to_owned());
    format!("icacls {} /grant \"{user}:(OI)(CI)M\" /t", quoted(directory))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rights_are_granted_in_what_is_a_lake_only() {
        let lake = Path::new("/my lake");
        let error = RepositoryError::Permission { path: lake.join(".state") };
        let granted = windows_remedy(&error, lake, true).expect("there is something to do");
        assert!(granted.contains(&format!("icacls {} /grant \"", quoted(lake))), "{granted}");
        assert_eq!(windows_remedy(&error, lake, false).as_deref(), Some(ANOTHER_LAKE));
    }

    #[test]
    fn nothing_is_said_that_only_unix_has() {
        let path = || "/lake".into();
        let errors = [
            RepositoryError::Permission { path: path() },
            RepositoryError::ReadOnly { path: path() },
            RepositoryError::NotADirectory { path: path() },
            RepositoryError::NoSpace { path: path() },
            RepositoryError::MissingParent { path: path() },
        ];
        for error in errors {
            let remedy = windows_remedy(&error, Path::new("/lake"), true).expect("there is something to do");
            assert!(
                !["sudo", "df ", "export", "--parents"].iter().any(|word| remedy.contains(word)),
                "{remedy}"
            );
        }
    }
}
