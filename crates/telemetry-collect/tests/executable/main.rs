//! The real executable, as its users see it.
#![allow(clippy::unwrap_used)]

#[cfg(target_os = "linux")]
mod clocks;
mod collect;
mod configuration;
mod spool;
mod support;
