//! The repository through its public interface, in temporary directories.
#![allow(clippy::unwrap_used, missing_docs)]

mod append;
mod samples;
