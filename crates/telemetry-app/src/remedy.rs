//! The command that mends what is wrong with a lake.

use std::path::Path;

use telemetry_provider::Mount;
use telemetry_repository::{Lake, RepositoryError};

use crate::windows_remedy::windows_remedy;

/// The command that shows what the system said lately, of disks for one.
pub const SYSTEM_LOG: &str = if cfg!(windows) {
    "wevtutil query-events System /count:20 /reversedirection:true /format:text"
} else {
    "sudo dmesg --level err,warn | tail"
};
/// For a lake that cannot be where it is to be.
const ANOTHER_LAKE: &str = "start it with --lake DIR, and a directory of your own; \
                            export TELEMETRY_LAKE=DIR says so for all programs";

/// What to do about an error of the lake in that directory, as commands to type; `None` where there is
/// nothing to say that the error does not say.
pub fn remedy(error: &RepositoryError, lake: &Path) -> Option<String> {
    let lake = std::path::absolute(lake).unwrap_or_else(|_| lake.to_owned());
    if cfg!(windows) {
        return windows_remedy(error, &lake, Lake::new(&lake).has_own_directory());
    }
    let lake_word = quoted(&lake);
    let point = || {
        let there = lake.ancestors().find_map(|path| path.canonicalize().ok());
        there.as_deref().and_then(Mount::of).map_or_else(|| lake_word.clone(), |mount| quoted(mount.point))
    };
    Some(match error {
        RepositoryError::Permission { .. } if Lake::new(&lake).has_own_directory() => {
            format!("sudo chown --recursive {}:{} {lake_word}", user_id(), group_id())
        }
        // Whose owner had better not change; or there is something else in its place.
        RepositoryError::Permission { .. } if lake.exists() => ANOTHER_LAKE.to_owned(),
        RepositoryError::NotADirectory { .. } => ANOTHER_LAKE.to_owned(),
        RepositoryError::Permission { .. } => {
            let (user, group) = (user_id(), group_id());
            format!("sudo install --directory --owner {user} --group {group} {lake_word}; or {ANOTHER_LAKE}")
        }
        RepositoryError::ReadOnly { .. } => {
            format!("sudo dmesg | grep -i remount; sudo mount -o remount,rw {}", point())
        }
        RepositoryError::NoSpace { .. } => format!(
            "df --human-readable {}; then remove what fills it, or what the lake no longer needs: \
             telemetry-rollup expire --lake {lake_word}",
            point()
        ),
        RepositoryError::NoInode { .. } => format!(
            "df --inodes {}; then remove files, and make one of many in the lake: \
             telemetry-rollup compact --lake {lake_word}",
            point()
        ),
        RepositoryError::MissingParent { path } => {
            format!("mount its file system, or mkdir --parents {}", quoted(path))
        }
        RepositoryError::NotMounted { path } => format!("sudo mount {}", quoted(path)),
        RepositoryError::Io { .. } => SYSTEM_LOG.to_owned(),
        _ => return None,
    })
}

/// A path as one word of a shell; on Windows of both that it has, and no path there has a double quote.
pub fn quoted(text: impl AsRef<Path>) -> String {
    let text = text.as_ref().display().to_string();
    let others = if cfg!(windows) { r"\/._-+=:" } else { "/._-+=@,:" };
    let is_plain = |c: char| c.is_ascii_alphanumeric() || others.contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        text
    } else if cfg!(windows) {
        format!("\"{text}\"")
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

/// Whoever types the command may be another user.
#[cfg(unix)]
fn user_id() -> String {
    rustix::process::geteuid().as_raw().to_string()
}

#[cfg(unix)]
fn group_id() -> String {
    rustix::process::getegid().as_raw().to_string()
}

#[cfg(not(unix))]
fn user_id() -> String {
    "USER".to_owned()
}

#[cfg(not(unix))]
fn group_id() -> String {
    "GROUP".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_a_lake_gets_another_owner() {
        let directory = tempfile::tempdir().expect("a temporary directory can be made");
        let remedy = || {
            let error = RepositoryError::Permission { path: directory.path().join(".state") };
            remedy(&error, directory.path())
        };
        let command = if cfg!(windows) { "icacls" } else { "chown" };
        let advises_it = |remedy: Option<String>| remedy.is_some_and(|text| text.contains(command));
        assert!(advises_it(remedy()));
        std::fs::create_dir(directory.path().join("silver")).expect("it can be made");
        assert!(advises_it(remedy()));
        std::fs::create_dir(directory.path().join("passwd")).expect("it can be made");
        let another = remedy().expect("there is something to do");
        assert!(another.contains("--lake DIR") && !another.contains(command), "{another}");
    }

    #[test]
    fn a_shell_reads_a_path_as_one_word() {
        let cases = if cfg!(windows) {
            [(r"C:\ProgramData\telemetry", r"C:\ProgramData\telemetry"), (r"D:\a b", r#""D:\a b""#)]
        } else {
            [("/my lake", "'/my lake'"), ("it's", r"'it'\''s'")]
        };
        for (path, word) in cases.into_iter().chain([("/var/lib/telemetry", "/var/lib/telemetry")]) {
            assert_eq!(quoted(path), word);
        }
    }
}
