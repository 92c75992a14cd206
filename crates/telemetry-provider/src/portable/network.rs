//! Traffic counters by sysinfo.

use sysinfo::Networks;
use telemetry_schema::host_metrics::HostMetricsReadings;
use tracing::debug;

use crate::SystemMetricsProvider;
use crate::interfaces::{self, Interface};

/// Reads the counters of all interfaces that sysinfo lists.
///
/// On Windows it lists connected hardware only, so all of them count as physical. Elsewhere an
/// interface without a hardware address (loopback, tunnels) is not physical; the Linux provider
/// knows better.
#[derive(Debug)]
pub struct NetworkProvider {
    networks: Option<Networks>,
    configured: Option<String>,
}

impl NetworkProvider {
    /// Counts the traffic of the configured interface, or of all physical ones.
    pub fn new(configured: Option<String>) -> Self {
        Self { networks: None, configured }
    }

    fn read(&mut self) -> Option<Vec<Interface>> {
        let networks = match self.networks.take() {
            Some(networks) => networks,
            None => Networks::new()
                .inspect_err(|error| debug!(%error, "cannot read the network interfaces"))
                .ok()?,
        };
        let networks = self.networks.insert(networks);
        // Interfaces that are gone must not be counted on.
        networks.refresh(true);
        let interfaces = networks.iter().map(|(name, data)| Interface {
            name: name.to_string_lossy().into_owned(),
            rx_bytes: data.total_received(),
            tx_bytes: data.total_transmitted(),
            physical: cfg!(windows) || !data.mac_address().is_unspecified(),
        });
        Some(interfaces.collect())
    }
}

impl SystemMetricsProvider for NetworkProvider {
    fn name(&self) -> &'static str {
        "portable-network"
    }

    fn collect(&mut self) -> HostMetricsReadings {
        let network =
            self.read().and_then(|interfaces| interfaces::sum(&interfaces, self.configured.as_deref()));
        HostMetricsReadings { network, ..HostMetricsReadings::default() }
    }
}
