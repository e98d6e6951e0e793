//! Packets, byte by byte: right in every field until a test says otherwise.
//!
//! A packet is a value ([`Packet`]: ends, what stands between, an upper part) and is written once,
//! at the end, so that lengths, next-header numbers and checksums fit each other; what is to be
//! wrong is said by name ([`Packet::broken`], [`Packet::ethertype`], …) or done to the bytes
//! afterwards. What the kernel makes of them is the second opinion: the rig's own tests send each
//! kind to a socket.

pub mod upper;
pub mod neighbour;
pub mod seen;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use upper::Upper;

/// EtherType of IPv4.
pub const IPV4: u16 = 0x0800;
/// EtherType of IPv6.
pub const IPV6: u16 = 0x86dd;
/// EtherType of ARP.
pub const ARP: u16 = 0x0806;

/// IPv6 hop-by-hop options.
pub const HOP_BY_HOP: u8 = 0;
/// IPv6 routing header.
pub const ROUTING: u8 = 43;
/// IPv6 fragment header.
pub const FRAGMENT: u8 = 44;
/// IPv6 destination options.
pub const DESTINATION_OPTIONS: u8 = 60;

/// Who sends to whom, on the link and above it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ends {
    /// MAC of the sender.
    pub source_mac: [u8; 6],
    /// MAC of the next hop.
    pub destination_mac: [u8; 6],
    /// Address of the sender.
    pub source: IpAddr,
    /// Address of the receiver, of the same family.
    pub destination: IpAddr,
}

impl Ends {
    /// The way back.
    #[must_use]
    pub const fn back(self) -> Self {
        Self {
            source_mac: self.destination_mac,
            destination_mac: self.source_mac,
            source: self.destination,
            destination: self.source,
        }
    }
}

/// Which part of a datagram a packet is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// The datagram's number.
    pub identification: u32,
    /// Where its bytes begin in the datagram; a multiple of 8.
    pub offset: u16,
    /// Whether parts follow.
    pub more: bool,
}

/// A packet before it is written.
#[derive(Clone, Debug)]
pub struct Packet {
    ends: Ends,
    upper: Upper,
    hops: u8,
    /// IPv4 options, padded to four bytes when written.
    options: Vec<u8>,
    /// IPv6 extension headers in order: number, and what follows its first two bytes.
    extensions: Vec<(u8, Vec<u8>)>,
    ethertype: Option<u16>,
    broken: bool,
}

impl Packet {
    /// A packet with nothing unusual in it.
    pub fn new(ends: Ends, upper: Upper) -> Self {
        Self {
            ends,
            upper,
            hops: 64,
            options: Vec::new(),
            extensions: Vec::new(),
            ethertype: None,
            broken: false,
        }
    }

    /// Sets the time to live, or the hop limit.
    #[must_use]
    pub const fn hops(mut self, hops: u8) -> Self {
        self.hops = hops;
        self
    }

    /// Sets the IPv4 options; an IPv6 packet has none.
    #[must_use]
    pub fn options(mut self, options: &[u8]) -> Self {
        self.options = options.to_vec();
        self
    }

    /// Adds an IPv6 extension header: its number, and what follows its first two bytes (padded to
    /// eight when written); an IPv4 packet has none.
    #[must_use]
    pub fn extension(mut self, number: u8, content: &[u8]) -> Self {
        self.extensions.push((number, content.to_vec()));
        self
    }

    /// Sets the EtherType, whatever the packet is.
    #[must_use]
    pub const fn ethertype(mut self, ethertype: u16) -> Self {
        self.ethertype = Some(ethertype);
        self
    }

    /// Makes the upper part's checksum wrong.
    #[must_use]
    pub const fn broken(mut self) -> Self {
        self.broken = true;
        self
    }

    /// The frame.
    ///
    /// # Panics
    /// Where the ends are of different families, or the packet is longer than its length field
    /// says.
    pub fn frame(&self) -> Vec<u8> {
        self.framed(self.datagram(&self.upper_bytes(), None))
    }

    /// The packet without its Ethernet header.
    ///
    /// # Panics
    /// As [`Self::frame`].
    pub fn bytes(&self) -> Vec<u8> {
        self.datagram(&self.upper_bytes(), None)
    }

    /// The datagram in parts, as frames: cut at these offsets (multiples of 8) of the upper part.
    ///
    /// # Panics
    /// Where an offset is no multiple of 8 or beyond the end, and as [`Self::frame`].
    pub fn fragments(&self, identification: u32, cuts: &[usize]) -> Vec<Vec<u8>> {
        let upper = self.upper_bytes();
        let starts = [&[0], cuts].concat();
        let ends = [cuts, &[upper.len()]].concat();
        let parts = starts.iter().zip(ends).map(|(&start, end)| {
            assert!(start % 8 == 0, "a fragment begins at a multiple of 8");
            let offset = u16::try_from(start).expect("a datagram is at most 64 KiB");
            let part = Part {
                identification,
                offset,
                more: end < upper.len(),
            };
            self.framed(self.datagram(&upper[start..end], Some(part)))
        });
        parts.collect()
    }

    /// One part alone, with these bytes of the upper part.
    ///
    /// # Panics
    /// As [`Self::frame`].
    pub fn fragment(&self, part: Part, bytes: &[u8]) -> Vec<u8> {
        self.framed(self.datagram(bytes, Some(part)))
    }

    /// The upper part, checksum and all.
    ///
    /// # Panics
    /// Where the ends are of different families.
    pub fn upper_bytes(&self) -> Vec<u8> {
        let mut bytes = self.upper.bytes(self.ends.source, self.ends.destination);
        if let Some(at) = self.upper.checksum_at().filter(|_| self.broken) {
            // 0 and 0xffff are the same sum, so a bit in the middle.
            bytes[at] ^= 0x10;
        }
        bytes
    }

    fn framed(&self, packet: Vec<u8>) -> Vec<u8> {
        let own = if self.ends.source.is_ipv4() {
            IPV4
        } else {
            IPV6
        };
        let ethertype = self.ethertype.unwrap_or(own);
        frame(
            self.ends.source_mac,
            self.ends.destination_mac,
            ethertype,
            &packet,
        )
    }

    fn datagram(&self, upper: &[u8], part: Option<Part>) -> Vec<u8> {
        match (self.ends.source, self.ends.destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                self.v4(source, destination, upper, part)
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                self.v6(source, destination, upper, part)
            }
            (source, destination) => panic!("{source} and {destination} are no pair"),
        }
    }

    /// RFC 791, section 3.1.
    fn v4(&self, from: Ipv4Addr, to: Ipv4Addr, upper: &[u8], part: Option<Part>) -> Vec<u8> {
        let part = part.unwrap_or(Part {
            identification: 0,
            offset: 0,
            more: false,
        });
        let mut options = self.options.clone();
        options.resize(options.len().next_multiple_of(4), 0);
        let words = u8::try_from(5 + options.len() / 4).expect("at most 40 bytes of options");
        let length = u16::try_from(usize::from(words) * 4 + upper.len()).expect("a length");
        let [.., high, low] = part.identification.to_be_bytes();
        let flags = (u16::from(part.more) << 13) | (part.offset / 8);

        let mut header = vec![0x40 | words, 0];
        header.extend(length.to_be_bytes());
        header.extend([high, low]);
        header.extend(flags.to_be_bytes());
        header.extend([self.hops, self.upper.protocol(false), 0, 0]);
        header.extend(from.octets());
        header.extend(to.octets());
        header.extend(options);
        let sum = internet_checksum(&[&header]);
        header[10..12].copy_from_slice(&sum.to_be_bytes());
        header.extend(upper);
        header
    }

    /// RFC 8200, section 3, and 4 for what stands between.
    fn v6(&self, from: Ipv6Addr, to: Ipv6Addr, upper: &[u8], part: Option<Part>) -> Vec<u8> {
        let mut chain = self.extensions.clone();
        if let Some(part) = part {
            let mut content = (part.offset | u16::from(part.more)).to_be_bytes().to_vec();
            content.extend(part.identification.to_be_bytes());
            chain.push((FRAGMENT, content));
        }
        let after = chain.iter().skip(1).map(|(number, _)| *number);
        let after: Vec<u8> = after.chain([self.upper.protocol(true)]).collect();
        let first = chain
            .first()
            .map_or(self.upper.protocol(true), |(number, _)| *number);

        let mut payload = Vec::new();
        for ((number, content), next) in chain.iter().zip(after) {
            payload.extend(extension_header(*number, next, content));
        }
        payload.extend(upper);

        let length = u16::try_from(payload.len()).expect("a length");
        let mut packet = vec![0x60, 0, 0, 0];
        packet.extend(length.to_be_bytes());
        packet.extend([first, self.hops]);
        packet.extend(from.octets());
        packet.extend(to.octets());
        packet.extend(payload);
        packet
    }
}

/// One header of a chain: the next one's number, its own length (a fragment header has none), its
/// content, padded.
fn extension_header(number: u8, next: u8, content: &[u8]) -> Vec<u8> {
    let padded = (2 + content.len()).next_multiple_of(8);
    let eights = u8::try_from(padded / 8 - 1).expect("a header is at most 2 KiB");
    let mut header = vec![next, if number == FRAGMENT { 0 } else { eights }];
    header.extend(content);
    header.resize(padded, 0);
    header
}

/// An Ethernet frame of any payload.
pub fn frame(source: [u8; 6], destination: [u8; 6], ethertype: u16, payload: &[u8]) -> Vec<u8> {
    [&destination[..], &source, &ethertype.to_be_bytes(), payload].concat()
}

/// RFC 1071 over the pieces as if they stood one after the other; all but the last are of even
/// length.
pub(crate) fn internet_checksum(pieces: &[&[u8]]) -> u16 {
    let pairs = pieces.iter().flat_map(|piece| piece.chunks(2));
    let words = pairs.map(|pair| u16::from_be_bytes([pair[0], *pair.get(1).unwrap_or(&0)]));
    let mut sum: u32 = words.map(u32::from).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).expect("folded to 16 bits")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends(source: &str, destination: &str) -> Ends {
        Ends {
            source_mac: [2, 0, 0, 0, 0, 1],
            destination_mac: [2, 0, 0, 0, 0, 2],
            source: source.parse().unwrap(),
            destination: destination.parse().unwrap(),
        }
    }

    #[test]
    fn a_checksum_is_that_of_the_rfc() {
        // RFC 1071, section 3: the sum of these is ddf2.
        let sum = internet_checksum(&[&[0x00, 0x01, 0xf2, 0x03], &[0xf4, 0xf5, 0xf6, 0xf7]]);
        assert_eq!(sum, !0xddf2);
    }

    #[test]
    fn a_header_with_its_checksum_sums_to_zero() {
        let packet = Packet::new(ends("10.44.0.1", "10.44.0.2"), Upper::udp((1, 2), b"xyz"));
        let bytes = packet.options(&[7, 3, 4]).bytes();
        assert_eq!(bytes[0], 0x46);
        assert_eq!(internet_checksum(&[&bytes[..24]]), 0);
        assert_eq!(u16::from_be_bytes([bytes[2], bytes[3]]), 24 + 8 + 3);
    }

    #[test]
    fn a_chain_of_headers_leads_to_the_upper_part() {
        let packet = Packet::new(ends("fd44::1", "fd44::2"), Upper::udp((1, 2), b""))
            .extension(HOP_BY_HOP, &[])
            .extension(DESTINATION_OPTIONS, &[0; 7]);
        let bytes = packet.bytes();
        assert_eq!(bytes[6], HOP_BY_HOP);
        assert_eq!(bytes[40..42], [DESTINATION_OPTIONS, 0]);
        assert_eq!(bytes[48..50], [17, 1]);
        assert_eq!(bytes.len(), 40 + 8 + 16 + 8);
    }

    #[test]
    fn fragments_hold_the_whole_datagram() {
        for (from, to, header) in [("10.44.0.1", "10.44.0.2", 20), ("fd44::1", "fd44::2", 48)] {
            let packet = Packet::new(ends(from, to), Upper::udp((1, 2), &[7; 30]));
            let frames = packet.fragments(9, &[8, 24]);
            let whole: Vec<u8> = frames
                .iter()
                .flat_map(|f| f[14 + header..].to_vec())
                .collect();
            assert_eq!(whole, packet.upper_bytes());
            assert_eq!(frames.len(), 3);
        }
    }
}
