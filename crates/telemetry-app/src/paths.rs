//! Where things are by default on this machine.

use std::path::PathBuf;

use etcetera::BaseStrategy;

const DIRECTORY: &str = "telemetry";
const CONFIG_FILE: &str = "telemetry.toml";

/// The lake that is used if none is named.
pub(crate) fn default_lake() -> PathBuf {
    if cfg!(windows) {
        return std::env::var_os("ProgramData")
            .map_or_else(|| r"C:\ProgramData".into(), PathBuf::from)
            .join(DIRECTORY);
    }
    let system = PathBuf::from("/var/lib").join(DIRECTORY);
    if is_superuser() {
        return system;
    }
    user_directories().map_or(system, |user| user.data_dir().join(DIRECTORY))
}

/// The configuration files that are read without being named, later wins.
pub(crate) fn config_files() -> Vec<PathBuf> {
    let system = if cfg!(windows) {
        std::env::var_os("ProgramData").map(|data| PathBuf::from(data).join(DIRECTORY))
    } else {
        Some(PathBuf::from("/etc").join(DIRECTORY))
    };
    let user =
        if is_superuser() { None } else { user_directories().map(|user| user.config_dir().join(DIRECTORY)) };
    system.into_iter().chain(user).map(|directory| directory.join(CONFIG_FILE)).collect()
}

fn user_directories() -> Option<impl BaseStrategy> {
    etcetera::choose_base_strategy().ok()
}

#[cfg(unix)]
fn is_superuser() -> bool {
    rustix::process::geteuid().is_root()
}

#[cfg(not(unix))]
fn is_superuser() -> bool {
    false
}
