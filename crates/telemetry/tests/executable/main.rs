//! The real executable, as its users see it.
#![allow(clippy::unwrap_used)]

mod doctor;
mod support;
