//! The real executable, as its users see it.
#![allow(clippy::unwrap_used)]

mod compact;
mod expire;
mod rollup;
mod sql;
mod support;
