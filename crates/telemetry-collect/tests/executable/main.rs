//! The real executable, as its users see it.
#![allow(clippy::unwrap_used)]

mod collect;
mod configuration;
mod spool;
mod support;
