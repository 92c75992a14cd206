//! The real executable, as its users see it.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

#[cfg(target_os = "linux")]
mod clocks;
mod collect;
mod configuration;
#[cfg(target_os = "linux")]
mod disk;
#[cfg(target_os = "linux")]
mod faults;
#[cfg(target_os = "linux")]
mod kills;
#[cfg(target_os = "linux")]
mod outcome;
#[cfg(target_os = "linux")]
mod race;
#[cfg(unix)]
mod signals;
mod spool;
mod support;
