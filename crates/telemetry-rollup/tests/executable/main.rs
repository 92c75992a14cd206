//! The real executable, as its users see it.
#![allow(clippy::unwrap_used)]

mod rollup;
mod support;
