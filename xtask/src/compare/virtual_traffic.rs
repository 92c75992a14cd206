//! Traffic that never leaves the machine: through a bridge and a veth pair into a network namespace.

use std::net::UdpSocket;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::peers;
use crate::process;

const NAMESPACE: &str = "xtask-compare";
const BRIDGE: &str = "xtaskbr0";
const OUTER: &str = "xtaskve0";
const INNER: &str = "xtaskve1";
/// From the network that is reserved for measurements between devices (RFC 2544).
const OUTER_ADDRESS: &str = "198.18.77.1";
const INNER_ADDRESS: &str = "198.18.77.2";

const PACKETS: usize = 40_000;
const PACKET_BYTES: usize = 1_400;

/// A bridge here with one end of a veth pair; the other end is in a namespace. Removed when dropped.
pub(super) struct Link;

impl Link {
    pub(super) fn new() -> Result<Self> {
        // What an earlier run may have left.
        drop(Self);
        let link = Self;
        let outer = format!("{OUTER_ADDRESS}/24");
        let inner = format!("{INNER_ADDRESS}/24");
        for arguments in [
            vec!["netns", "add", NAMESPACE],
            vec!["link", "add", OUTER, "type", "veth", "peer", "name", INNER, "netns", NAMESPACE],
            vec!["link", "add", BRIDGE, "type", "bridge"],
            vec!["link", "set", OUTER, "master", BRIDGE, "up"],
            vec!["addr", "add", &outer, "dev", BRIDGE],
            vec!["link", "set", BRIDGE, "up"],
            vec!["-n", NAMESPACE, "addr", "add", &inner, "dev", INNER],
            vec!["-n", NAMESPACE, "link", "set", INNER, "up"],
        ] {
            process::output(Command::new("ip").args(&arguments)).context(
                "virtual interfaces cannot be made; that needs root: run this as root, or with --without-virtual-traffic",
            )?;
        }
        Ok(link)
    }

    /// Sends, and returns how many bytes the kernel counted on the veth interface.
    pub(super) fn send(&self) -> Result<u64> {
        let before = peers::counter(OUTER, "tx_bytes")?;
        let socket = UdpSocket::bind((OUTER_ADDRESS, 0)).context("cannot open a socket on the bridge")?;
        let packet = [0; PACKET_BYTES];
        let wanted = (PACKETS * PACKET_BYTES) as u64;
        let mut sent = 0;
        // The first packets are lost until the bridge forwards: count what the kernel says went out.
        for _ in 0..10 {
            for _ in 0..PACKETS {
                // Nobody listens: an answer that says so is expected.
                let _ = socket.send_to(&packet, (INNER_ADDRESS, 9));
            }
            sent = peers::counter(OUTER, "tx_bytes")? - before;
            if sent >= wanted {
                break;
            }
        }
        ensure!(sent >= wanted, "only {sent} bytes of {wanted} went through the veth pair");
        Ok(sent)
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        for arguments in [["link", "del", BRIDGE], ["link", "del", OUTER], ["netns", "del", NAMESPACE]] {
            // Failing means that it was not there.
            let _ = process::output(Command::new("ip").args(arguments));
        }
    }
}
