//! The real executable, as its users see it.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod alerts;
mod compact;
mod expire;
#[cfg(target_os = "linux")]
mod faults;
#[cfg(target_os = "linux")]
mod kills;
#[cfg(unix)]
mod mutations;
#[cfg(target_os = "linux")]
mod outcome;
mod rollup;
mod sql;
mod support;
mod verify;
