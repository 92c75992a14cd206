//! The repository through its public interface, in temporary directories.
#![allow(clippy::unwrap_used, missing_docs)]

mod alerts;
mod append;
mod constants;
mod damage;
mod locks;
mod mutations;
mod replace;
mod samples;
mod schemas;
mod views;
