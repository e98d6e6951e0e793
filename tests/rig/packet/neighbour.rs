//! ARP (RFC 826) and neighbour discovery (RFC 4861), as frames.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::upper::Upper;
use super::{ARP, Ends, Packet, frame};

/// Ask or answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Who has the target address?
    Request = 1,
    /// The sender has the sender's address.
    Reply = 2,
}

/// An ARP packet's four fields, and the link addresses around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arp {
    /// Source and destination MAC of the frame.
    pub link: ([u8; 6], [u8; 6]),
    /// Ask or answer.
    pub operation: Operation,
    /// Who says so.
    pub sender: ([u8; 6], Ipv4Addr),
    /// Who is asked for, or told.
    pub target: ([u8; 6], Ipv4Addr),
}

impl Arp {
    /// A question to everybody.
    pub const fn question(sender: ([u8; 6], Ipv4Addr), target: Ipv4Addr) -> Self {
        let target = ([0; 6], target);
        Self {
            link: (sender.0, [0xff; 6]),
            operation: Operation::Request,
            sender,
            target,
        }
    }

    /// The frame.
    pub fn frame(&self) -> Vec<u8> {
        let mut bytes = vec![0, 1, 8, 0, 6, 4, 0, self.operation as u8];
        for (mac, address) in [self.sender, self.target] {
            bytes.extend(mac);
            bytes.extend(address.octets());
        }
        frame(self.link.0, self.link.1, ARP, &bytes)
    }
}

/// A neighbour solicitation from `sender` for the target, to its solicited-node group.
pub fn solicitation(sender: ([u8; 6], Ipv6Addr), target: Ipv6Addr) -> Vec<u8> {
    let [.., a, b, c] = target.octets();
    let group = Ipv6Addr::from([0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, a, b, c]);
    let ends = Ends {
        source_mac: sender.0,
        destination_mac: [0x33, 0x33, 0xff, a, b, c],
        source: IpAddr::V6(sender.1),
        destination: IpAddr::V6(group),
    };
    let option = [&[1, 1][..], &sender.0].concat();
    message(ends, 135, [0; 4], target, &option)
}

/// A neighbour advertisement: solicited, overriding.
pub fn advertisement(ends: Ends, target: Ipv6Addr, mac: [u8; 6]) -> Vec<u8> {
    let option = [&[2, 1][..], &mac].concat();
    message(ends, 136, [0x60, 0, 0, 0], target, &option)
}

fn message(ends: Ends, kind: u8, rest: [u8; 4], target: Ipv6Addr, option: &[u8]) -> Vec<u8> {
    let content = [&target.octets(), option].concat();
    let upper = Upper::icmp((0, 0), (kind, 0), rest, &content);
    Packet::new(ends, upper).hops(255).frame()
}
