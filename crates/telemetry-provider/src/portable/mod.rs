//! Providers that work on every system: processor and memory, network, and disk are separate, so
//! that one that hangs costs only its own columns.

mod disk;
mod network;
mod processor;

pub use disk::DiskProvider;
pub use network::NetworkProvider;
pub use processor::ProcessorProvider;

/// Bytes in the unit of the `mb` columns.
const MEBIBYTE: u64 = 1 << 20;

/// Whole mebibytes, as the `mb` columns have them.
pub(crate) fn mebibytes(bytes: u64) -> i64 {
    i64::try_from(bytes / MEBIBYTE).unwrap_or(i64::MAX)
}
