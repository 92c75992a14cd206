//! Linux: what sysinfo gets wrong or lacks, from `/proc`, `/sys` and `/run` below a root path.
//!
//! Every provider here takes a [`Tree`], reads a few small files, and decides by pure functions.

mod frequency;
pub(crate) mod inspect;
mod kernel;
mod mounts;
mod network;
mod processor;
mod temperature;
mod tree;

use crate::CpuBaseline;

pub use frequency::FrequencyProvider;
pub use kernel::KernelProvider;
pub use network::NetworkProvider;
pub use processor::ProcessorProvider;
pub use temperature::TemperatureProvider;
pub use tree::Tree;

pub(crate) use mounts::{mount_of, not_mounted};
pub(crate) use processor::{boot_id, online_cpus, uptime_seconds};

/// Whether the firmware says that this is a Raspberry Pi of any model.
pub(crate) fn is_raspberry_pi(tree: &Tree) -> bool {
    tree.read_optional("proc/device-tree/model").is_some_and(|model| model.starts_with("Raspberry Pi"))
}

/// Seconds since the baseline was read; `None` if it cannot begin a window now.
pub(crate) fn baseline_age_seconds(tree: &Tree, baseline: &CpuBaseline) -> Option<f64> {
    baseline.age_at(&boot_id(tree)?, uptime_seconds(tree)?)
}
