//! Which interfaces are summed: the decision that the network providers share.

use telemetry_schema::host_metrics::NetworkReading;
use tracing::debug;

/// One interface and its counters since boot, in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Interface {
    pub(crate) name: String,
    pub(crate) rx_bytes: u64,
    pub(crate) tx_bytes: u64,
    pub(crate) physical: bool,
}

/// The configured interface alone, or the sum of the physical ones: packets of a bridge, bond, VLAN,
/// tunnel or container pass through a physical interface too and would be counted again.
///
/// `None` if the configured interface does not exist. A machine without physical interfaces (a
/// container) has moved nothing through them: zero, and an empty list.
pub(crate) fn sum(interfaces: &[Interface], configured: Option<&str>) -> Option<NetworkReading> {
    let mut summed: Vec<&Interface> = interfaces
        .iter()
        .filter(|interface| match configured {
            Some(name) => interface.name == name,
            None => interface.physical,
        })
        .collect();
    if let (Some(interface), true) = (configured, summed.is_empty()) {
        debug!(interface, "configured network interface does not exist");
        return None;
    }
    summed.sort_by(|a, b| a.name.cmp(&b.name));
    let names: Vec<&str> = summed.iter().map(|interface| interface.name.as_str()).collect();
    Some(NetworkReading {
        net_rx_bytes: Some(total(summed.iter().map(|interface| interface.rx_bytes))),
        net_tx_bytes: Some(total(summed.iter().map(|interface| interface.tx_bytes))),
        net_interfaces: Some(names.join(",")),
    })
}

fn total(bytes: impl Iterator<Item = u64>) -> i64 {
    i64::try_from(bytes.fold(0, u64::saturating_add)).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(rx: i64, tx: i64, names: &str) -> Option<NetworkReading> {
        Some(NetworkReading {
            net_rx_bytes: Some(rx),
            net_tx_bytes: Some(tx),
            net_interfaces: Some(names.to_owned()),
        })
    }

    #[test]
    fn physical_interfaces_or_the_configured_one_are_summed() {
        let interface = |name: &str, bytes, physical| Interface {
            name: name.into(),
            rx_bytes: bytes,
            tx_bytes: bytes + 1,
            physical,
        };
        let all =
            [interface("wlan0", 10, true), interface("docker0", 500, false), interface("eth0", 7, true)];
        assert_eq!(sum(&all, None), reading(17, 19, "eth0,wlan0"));
        assert_eq!(sum(&all, Some("docker0")), reading(500, 501, "docker0"));
        assert_eq!(sum(&all, Some("eth1")), None);
        assert_eq!(sum(&all[1..2], None), reading(0, 0, ""));
        assert_eq!(sum(&[], None), reading(0, 0, ""));
        let huge = [interface("a", u64::MAX - 1, true), interface("b", u64::MAX - 1, true)];
        assert_eq!(sum(&huge, None), reading(i64::MAX, i64::MAX, "a,b"));
    }
}
