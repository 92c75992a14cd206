//! Traffic counters from `/proc/net/dev`.

use telemetry_schema::host_metrics::HostMetricsReadings;
use tracing::debug;

use super::Tree;
use crate::SystemMetricsProvider;
use crate::interfaces::{self, Interface};

/// Reads the counters of all interfaces from one file, and asks `/sys/class/net` which of them are
/// hardware.
#[derive(Debug)]
pub struct NetworkProvider {
    tree: Tree,
    configured: Option<String>,
}

impl NetworkProvider {
    /// Counts the traffic of the configured interface, or of all physical ones.
    pub fn new(tree: Tree, configured: Option<String>) -> Self {
        Self { tree, configured }
    }

    fn read(&self) -> Option<Vec<Interface>> {
        let mut interfaces = parse(&self.tree.read("proc/net/dev")?);
        if interfaces.is_empty() {
            debug!("the list of network interfaces is not understood: there is at least a loopback");
            return None;
        }
        if self.configured.is_none() {
            for interface in &mut interfaces {
                interface.physical = self.is_physical(&interface.name);
            }
        }
        Some(interfaces)
    }

    /// Hardware (PCI, USB, virtio, ...) has a `device`; bridges, bonds, VLANs, tunnels, loopback and
    /// the like do not. Names say nothing. Two kinds have one although the interface below or above
    /// them counts the same packets:
    ///
    /// - the ports of a switch chip (type `dsa`), whose traffic passes the processor's own port;
    /// - a network card that runs under a synthetic one (accelerated networking in clouds), which is
    ///   its master. The master of a bonded card is no hardware, so that card counts.
    fn is_physical(&self, name: &str) -> bool {
        self.has_device(name) && !self.is_switch_port(name) && !self.has_physical_master(name)
    }

    fn is_switch_port(&self, name: &str) -> bool {
        self.tree
            .read_optional(&format!("sys/class/net/{name}/uevent"))
            .is_some_and(|uevent| uevent.lines().any(|line| line == "DEVTYPE=dsa"))
    }

    fn has_physical_master(&self, name: &str) -> bool {
        self.tree
            .link_name(&format!("sys/class/net/{name}/master"))
            .is_some_and(|master| self.has_device(&master))
    }

    fn has_device(&self, name: &str) -> bool {
        self.tree.exists(&format!("sys/class/net/{name}/device"))
    }
}

impl SystemMetricsProvider for NetworkProvider {
    fn name(&self) -> &'static str {
        "linux-network"
    }

    fn collect(&mut self) -> HostMetricsReadings {
        let network =
            self.read().and_then(|interfaces| interfaces::sum(&interfaces, self.configured.as_deref()));
        HostMetricsReadings { network, ..HostMetricsReadings::default() }
    }
}

/// Lines `name: rx_bytes packets errs drop fifo frame compressed multicast tx_bytes ...`; the space
/// behind the colon may be missing, and the two heading lines have no numbers.
fn parse(dev: &str) -> Vec<Interface> {
    dev.lines()
        .filter_map(|line| {
            let (name, counters) = line.rsplit_once(':')?;
            let mut counters = counters.split_ascii_whitespace();
            Some(Interface {
                name: name.trim().to_owned(),
                rx_bytes: counters.next()?.parse().ok()?,
                tx_bytes: counters.nth(7)?.parse().ok()?,
                physical: false,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "test code")]

    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn interfaces_that_repeat_the_packets_of_hardware_are_not_physical() {
        let directory = tempfile::tempdir().unwrap();
        let net = directory.path().join("sys/class/net");
        for name in ["eth0", "eth1", "lan1", "ens3"] {
            fs::create_dir_all(net.join(name).join("device")).unwrap();
        }
        fs::create_dir_all(net.join("bond0")).unwrap();
        // eth1 runs under the synthetic eth0; ens3 is one of a bond; lan1 is a port of a switch.
        symlink("../eth0", net.join("eth1/master")).unwrap();
        symlink("../bond0", net.join("ens3/master")).unwrap();
        fs::write(net.join("lan1/uevent"), "DEVTYPE=dsa\nINTERFACE=lan1\n").unwrap();
        fs::write(net.join("eth0/uevent"), "INTERFACE=eth0\n").unwrap();
        let provider = NetworkProvider::new(Tree::new(directory.path()), None);
        let physical =
            ["eth0", "eth1", "lan1", "ens3", "bond0", "none"].map(|name| provider.is_physical(name));
        assert_eq!(physical, [true, false, false, true, false, false]);
    }

    #[test]
    fn heading_lines_and_damaged_lines_are_left_out() {
        let dev = "Inter-|   Receive  |  Transmit\n face |bytes    packets|bytes\n\
            eth0:10 1 0 0 0 0 0 0 20 2 0 0 0 0 0 0\n  wlan0.1: 30 1 0 0 0 0 0 0 40 2 0 0 0 0 0 0\n\
            bad: 1 2 3\nworse: x 1 0 0 0 0 0 0 20 2 0 0\nlabel:0: 5 0 0 0 0 0 0 0 6\n";
        let found: Vec<_> =
            parse(dev).into_iter().map(|found| (found.name, found.rx_bytes, found.tx_bytes)).collect();
        assert_eq!(found, [("eth0".into(), 10, 20), ("wlan0.1".into(), 30, 40), ("label:0".into(), 5, 6)]);
    }
}
