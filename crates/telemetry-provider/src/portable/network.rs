//! Traffic counters by sysinfo.

use std::ffi::OsStr;

use sysinfo::Networks;
use telemetry_schema::host_metrics::HostMetricsReadings;
use tracing::debug;

use crate::SystemMetricsProvider;
use crate::interfaces::{self, Interface};

/// Reads the counters of all interfaces that sysinfo lists.
///
/// On Windows it lists what is connected and has a hardware address: network cards, and the virtual
/// switches of Hyper-V and WSL, whose traffic passes a card too. Elsewhere an interface without a
/// hardware address (loopback, tunnels) is not physical; the Linux provider knows better.
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
            physical: !data.mac_address().is_unspecified() && !is_virtual_switch(name),
        });
        Some(interfaces.collect())
    }
}

/// Windows calls a virtual switch `vEthernet (WSL)` in every language.
fn is_virtual_switch(name: &OsStr) -> bool {
    cfg!(windows) && name.as_encoded_bytes().starts_with(b"vEthernet (")
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
