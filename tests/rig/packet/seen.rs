//! A frame as a test reads it: only as far as it is regular.

use std::net::IpAddr;

use super::{IPV4, IPV6};

/// What stands in a captured frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Source MAC.
    pub source_mac: [u8; 6],
    /// Destination MAC.
    pub destination_mac: [u8; 6],
    /// EtherType.
    pub ethertype: u16,
    /// The packet, where it is IPv4 without options or IPv6 without extension headers.
    pub ip: Option<SeenIp>,
}

/// What stands in an IP packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenIp {
    /// Source address.
    pub source: IpAddr,
    /// Destination address.
    pub destination: IpAddr,
    /// Time to live, or hop limit.
    pub hops: u8,
    /// Protocol number.
    pub protocol: u8,
    /// The upper part.
    pub upper: Vec<u8>,
}

impl Seen {
    /// Reads a frame; `None` where it is shorter than its Ethernet header.
    pub fn read(frame: &[u8]) -> Option<Self> {
        let (destination_mac, rest) = frame.split_first_chunk()?;
        let (source_mac, rest) = rest.split_first_chunk()?;
        let (ethertype, packet) = rest.split_first_chunk()?;
        let ethertype = u16::from_be_bytes(*ethertype);
        Some(Self {
            source_mac: *source_mac,
            destination_mac: *destination_mac,
            ethertype,
            ip: SeenIp::read(ethertype, packet),
        })
    }
}

impl SeenIp {
    fn read(ethertype: u16, packet: &[u8]) -> Option<Self> {
        match ethertype {
            IPV4 => Self::v4(packet),
            IPV6 => Self::v6(packet),
            _ => None,
        }
    }

    /// A packet may be followed by padding: its length field counts.
    fn v4(packet: &[u8]) -> Option<Self> {
        let (header, _) = packet.split_first_chunk::<20>()?;
        let length = usize::from(u16::from_be_bytes([header[2], header[3]]));
        let address = |at: usize| <[u8; 4]>::try_from(&header[at..at + 4]).ok();
        Some(Self {
            source: address(12)?.into(),
            destination: address(16)?.into(),
            hops: header[8],
            protocol: header[9],
            upper: packet.get(20..length)?.to_vec(),
        })
    }

    fn v6(packet: &[u8]) -> Option<Self> {
        let (header, rest) = packet.split_first_chunk::<40>()?;
        let length = usize::from(u16::from_be_bytes([header[4], header[5]]));
        let address = |at: usize| <[u8; 16]>::try_from(&header[at..at + 16]).ok();
        Some(Self {
            source: address(8)?.into(),
            destination: address(24)?.into(),
            hops: header[7],
            protocol: header[6],
            upper: rest.get(..length)?.to_vec(),
        })
    }

    /// Source and destination port, of a protocol that has them.
    pub fn ports(&self) -> Option<(u16, u16)> {
        let has_ports = [6, 17, 132].contains(&self.protocol);
        let (bytes, _) = self.upper.split_first_chunk::<4>().filter(|_| has_ports)?;
        let port = |at: usize| u16::from_be_bytes([bytes[at], bytes[at + 1]]);
        Some((port(0), port(2)))
    }

    /// TCP's flags.
    pub fn tcp_flags(&self) -> Option<u16> {
        let bytes = self.upper.get(12..14).filter(|_| self.protocol == 6)?;
        Some(u16::from_be_bytes([bytes[0], bytes[1]]) & 0x1ff)
    }
}
