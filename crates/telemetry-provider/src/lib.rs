//! Reads the machine: the only crate that does.
//!
//! A [`SystemMetricsProvider`] reads what it can and leaves the rest out. The
//! [`CompositeProvider`] merges several of them and is the one place for deadlines, hangs and
//! panics, so that each provider stays simple. The [`Sampler`] turns the merged readings into a
//! stamped row of the dataset.
//!
//! - *portable* (`portable-*`): sysinfo and `statvfs`, on every system.
//! - *Linux* (`linux-*`): `/proc`, `/sys` and `/run` below a root path, so that recorded trees test
//!   every decision.
//! - *Raspberry Pi*: the firmware's throttle word.
//! - *process*: the calling process.
//!
//! Each provider has a reading, which touches the machine, and a pure function from readings to
//! columns. A reading that fails is `None` plus a debug line, never zero.

mod clock;
mod composite;
mod config;
mod cpu_time;
mod inspection;
mod interfaces;
#[cfg(target_os = "linux")]
pub mod linux;
pub mod portable;
mod process;
mod provider;
#[cfg(target_os = "linux")]
mod raspberry_pi;
mod sampler;

pub use clock::BootClock;
pub use composite::CompositeProvider;
pub use config::{ProviderConfig, ProviderSection, ProviderSettings, RaspberryPiSection};
pub use cpu_time::{CpuBaseline, CpuCounters};
pub use inspection::{Device, Inspection, Mount, PiInspection, Sensor, Throttle};
pub use process::ProcessProvider;
pub use provider::SystemMetricsProvider;
#[cfg(target_os = "linux")]
pub use raspberry_pi::RaspberryPiProvider;
pub use sampler::{Sampler, Stamp, compose};
