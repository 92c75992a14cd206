//! What every provider is.

use telemetry_schema::host_metrics::HostMetricsReadings;

/// Something that reads a part of the machine.
///
/// A provider may block and may panic: [`crate::CompositeProvider`] isolates it. It reports failure
/// by leaving values out and writing a debug line.
pub trait SystemMetricsProvider: Send {
    /// A name for logs and threads.
    fn name(&self) -> &'static str;

    /// Reads what it can, once. Values that are differences cover the time since the previous
    /// `collect` or `prime`.
    fn collect(&mut self) -> HostMetricsReadings;

    /// Takes the first reading of values that are differences. Providers without such values need
    /// not do anything, so that a single sample does not read the machine twice.
    fn prime(&mut self) {}
}
