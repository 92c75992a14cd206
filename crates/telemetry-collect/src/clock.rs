//! The clock of this machine, for samples that wait until it is right.

use chrono::Utc;
use telemetry_provider::{BootClock, ProviderSettings};
use telemetry_repository::ClockReading;

/// What it shows now.
pub(crate) fn reading(settings: &ProviderSettings) -> ClockReading {
    // As for a sample, the time comes first.
    let now = Utc::now();
    let BootClock { boot_id, uptime_seconds, clock_synced } = BootClock::read(settings);
    ClockReading { now, boot_id, uptime_seconds, clock_synced }
}
