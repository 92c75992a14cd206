//! The telemetry lake on disk: the only crate that knows its directory layout and Parquet.
//!
//! A [`Lake`] is a directory. Silver samples are appended through [`HostMetricsRepository`]; every
//! dataset is listed, read and, date by date, replaced through [`DatasetStore`]. Published files are
//! immutable and whole: they are built in a staging directory beside the datasets, synced, validated
//! and then renamed into place, so that a reader never meets half a file.
//!
//! The crate never reads the clock: where an age matters, the present is an argument.

mod columns;
mod compact;
#[cfg(test)]
mod compact_tests;
mod constants;
mod content_hash;
mod error;
mod excerpt;
mod expire;
#[cfg(test)]
mod faults;
mod filesystem;
mod final_buckets;
mod footer;
mod footer_shape;
mod frame;
mod holder;
mod host_alerts;
mod host_metrics;
mod inspect;
mod lake;
mod layout;
mod listing;
mod lock;
mod merge;
mod pages;
mod parquet;
mod part;
#[cfg(all(test, unix))]
mod power_cut;
#[cfg(all(test, unix))]
mod power_cut_tests;
mod publish;
mod quarantine;
mod replace;
mod scan;
mod spool;
mod staging;
mod state;
mod store;
mod swap;
mod verify;
mod views;

pub use columns::{flags, instants_us, numbers, texts};
pub use compact::{Compacted, is_compact};
pub use content_hash::ContentHasher;
pub use error::RepositoryError;
pub use filesystem::Space;
pub use final_buckets::FinalBuckets;
pub use footer::{Footer, keys};
pub use frame::{data_type, empty_frame, frame_from_rows, rows_from_frame};
pub use holder::Holder;
pub use host_alerts::{ALERT_STATE, HostAlertsRepository};
pub use host_metrics::{Appended, HostMetricsRepository, Nulled, Refused};
pub use inspect::{LockState, Probe, Quarantined};
pub use lake::Lake;
pub use layout::{FileName, FileNameError, RollupFileName, SampleFileName};
pub use listing::Listings;
pub use lock::Lock;
pub use parquet::RowGroups;
pub use scan::{DataFile, Selection};
pub use spool::{ClockReading, Spool, SpoolDamage, SpoolLook, Waiting, awaits_clock};
pub use staging::Cleaned;
pub use store::{DatasetStore, Replaced, Replacement};
pub use views::duckdb_glob;
