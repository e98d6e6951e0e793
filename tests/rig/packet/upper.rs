//! What an IP packet carries: TCP, UDP, SCTP, ICMP, or any bytes.

use std::net::IpAddr;

use super::internet_checksum;

/// TCP's FIN.
pub const FIN: u16 = 0x01;
/// TCP's SYN.
pub const SYN: u16 = 0x02;
/// TCP's RST.
pub const RST: u16 = 0x04;
/// TCP's PSH.
pub const PSH: u16 = 0x08;
/// TCP's ACK.
pub const ACK: u16 = 0x10;
/// TCP's ECE (RFC 3168).
pub const ECE: u16 = 0x40;
/// TCP's CWR (RFC 3168).
pub const CWR: u16 = 0x80;

/// SCTP's INIT chunk (RFC 9260, section 3.2).
pub const SCTP_INIT: u8 = 1;
/// SCTP's INIT ACK chunk.
pub const SCTP_INIT_ACK: u8 = 2;
/// SCTP's ABORT chunk.
pub const SCTP_ABORT: u8 = 6;

/// Source and destination port.
pub type Ports = (u16, u16);

/// The upper part of a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upper {
    kind: Kind,
    /// Everything with its checksum zero.
    bytes: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Tcp,
    Udp,
    Sctp,
    /// The first byte is IPv4's type; IPv6's is the second number.
    Icmp(u8),
    Other(u8),
}

impl Upper {
    /// A TCP segment (RFC 9293, section 3.1), with a window of 64 KiB and no options.
    pub fn tcp(ports: Ports, flags: u16, sequence: u32, acknowledges: u32, data: &[u8]) -> Self {
        let mut bytes = ports_bytes(ports);
        bytes.extend(sequence.to_be_bytes());
        bytes.extend(acknowledges.to_be_bytes());
        bytes.extend(((5 << 12) | flags).to_be_bytes());
        bytes.extend([0xff, 0xff, 0, 0, 0, 0]);
        bytes.extend(data);
        Self {
            kind: Kind::Tcp,
            bytes,
        }
    }

    /// A UDP datagram (RFC 768).
    ///
    /// # Panics
    /// Where the data does not fit one.
    pub fn udp(ports: Ports, data: &[u8]) -> Self {
        let mut bytes = ports_bytes(ports);
        let length = u16::try_from(8 + data.len()).expect("a datagram is at most 64 KiB");
        bytes.extend(length.to_be_bytes());
        bytes.extend([0, 0]);
        bytes.extend(data);
        Self {
            kind: Kind::Udp,
            bytes,
        }
    }

    /// An SCTP packet of one chunk (RFC 9260, section 3): its type and what follows its header.
    ///
    /// # Panics
    /// Where the content does not fit one.
    pub fn sctp(ports: Ports, tag: u32, chunk: u8, content: &[u8]) -> Self {
        let mut bytes = ports_bytes(ports);
        bytes.extend(tag.to_be_bytes());
        bytes.extend([0; 4]);
        let length = u16::try_from(4 + content.len()).expect("a chunk is at most 64 KiB");
        bytes.extend([chunk, 0]);
        bytes.extend(length.to_be_bytes());
        bytes.extend(content);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        Self {
            kind: Kind::Sctp,
            bytes,
        }
    }

    /// An SCTP INIT, or the INIT ACK that answers it: the sender's own tag, a window, one stream
    /// each way, its first sequence number.
    pub fn sctp_init(ports: Ports, tag: u32, chunk: u8, own_tag: u32) -> Self {
        let mut content = own_tag.to_be_bytes().to_vec();
        content.extend(0x10000_u32.to_be_bytes());
        content.extend([0, 1, 0, 1]);
        content.extend(1_u32.to_be_bytes());
        Self::sctp(ports, tag, chunk, &content)
    }

    /// An echo request (RFC 792, RFC 4443).
    pub fn echo_request(id: u16, sequence: u16, data: &[u8]) -> Self {
        Self::echo(8, 128, id, sequence, data)
    }

    /// An echo reply.
    pub fn echo_reply(id: u16, sequence: u16, data: &[u8]) -> Self {
        Self::echo(0, 129, id, sequence, data)
    }

    fn echo(v4: u8, v6: u8, id: u16, sequence: u16, data: &[u8]) -> Self {
        let rest = [id.to_be_bytes(), sequence.to_be_bytes()].concat();
        let rest = rest.try_into().expect("two times two bytes");
        Self::icmp((v4, 0), (v6, 0), rest, data)
    }

    /// Any ICMP message: type and code in IPv4 and in IPv6, the second word, and what follows.
    ///
    /// # Panics
    /// Where the codes differ: no message that a test needs has two.
    pub fn icmp(v4: (u8, u8), v6: (u8, u8), rest: [u8; 4], data: &[u8]) -> Self {
        assert!(v4.1 == v6.1, "one code for both families");
        let mut bytes = vec![v4.0, v4.1, 0, 0];
        bytes.extend(rest);
        bytes.extend(data);
        Self {
            kind: Kind::Icmp(v6.0),
            bytes,
        }
    }

    /// Any protocol of any bytes; no checksum is written.
    pub fn other(protocol: u8, bytes: &[u8]) -> Self {
        Self {
            kind: Kind::Other(protocol),
            bytes: bytes.to_vec(),
        }
    }

    /// Its protocol number in a packet of IPv6, or of IPv4.
    pub const fn protocol(&self, v6: bool) -> u8 {
        match self.kind {
            Kind::Tcp => 6,
            Kind::Udp => 17,
            Kind::Sctp => 132,
            Kind::Icmp(_) => {
                if v6 {
                    58
                } else {
                    1
                }
            }
            Kind::Other(protocol) => protocol,
        }
    }

    /// Where the checksum stands, in bytes.
    pub(super) const fn checksum_at(&self) -> Option<usize> {
        match self.kind {
            Kind::Tcp => Some(16),
            Kind::Udp => Some(6),
            Kind::Sctp => Some(8),
            Kind::Icmp(_) => Some(2),
            Kind::Other(_) => None,
        }
    }

    /// Its bytes with their checksum, between these addresses.
    pub(crate) fn bytes(&self, source: IpAddr, destination: IpAddr) -> Vec<u8> {
        let mut bytes = self.bytes.clone();
        if let (Kind::Icmp(kind), IpAddr::V6(_)) = (self.kind, source) {
            bytes[0] = kind;
        }
        let Some(at) = self.checksum_at() else {
            return bytes;
        };
        if self.kind == Kind::Sctp {
            // RFC 9260, appendix A: the sum stands in the byte order of the sum, low byte first.
            let sum = crc32c(&bytes).to_le_bytes();
            bytes[at..at + 4].copy_from_slice(&sum);
            return bytes;
        }
        let before = self.pseudo_header(source, destination);
        let sum = match internet_checksum(&[&before, &bytes]) {
            // RFC 768: nothing says "no checksum" but zero.
            0 if self.kind == Kind::Udp => 0xffff,
            sum => sum,
        };
        bytes[at..at + 2].copy_from_slice(&sum.to_be_bytes());
        bytes
    }

    /// What the checksum covers before the upper part (RFC 9293, section 3.1; RFC 8200, 8.1).
    fn pseudo_header(&self, source: IpAddr, destination: IpAddr) -> Vec<u8> {
        let length = u32::try_from(self.bytes.len()).expect("at most 64 KiB");
        let addresses = match (source, destination) {
            (IpAddr::V4(_), _) if matches!(self.kind, Kind::Icmp(_)) => return Vec::new(),
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                [source.octets(), destination.octets()].concat()
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                [source.octets(), destination.octets()].concat()
            }
            (source, destination) => panic!("{source} and {destination} are no pair"),
        };
        let protocol = u32::from(self.protocol(source.is_ipv6()));
        [
            addresses,
            length.to_be_bytes().to_vec(),
            protocol.to_be_bytes().to_vec(),
        ]
        .concat()
    }
}

fn ports_bytes((source, destination): Ports) -> Vec<u8> {
    [source.to_be_bytes(), destination.to_be_bytes()].concat()
}

/// Castagnoli's CRC, bit by bit.
pub(crate) fn crc32c(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| (crc >> 1) ^ (0x82f6_3b78 * (crc & 1));
    let add = |crc: u32, byte: &u8| (0..8).fold(crc ^ u32::from(*byte), step);
    !bytes.iter().fold(!0, add)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_crc_is_castagnolis() {
        // RFC 3720, B.4: 32 bytes of zeroes give aa 36 91 8a on the wire.
        assert_eq!(crc32c(&[0; 32]).to_le_bytes(), [0xaa, 0x36, 0x91, 0x8a]);
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    }

    #[test]
    fn sums_with_the_pseudo_header_come_to_zero() {
        let pairs = [("10.44.0.1", "10.44.0.2"), ("fd44::1", "fd44::2")];
        for (source, destination) in pairs.map(|(a, b)| (a.parse().unwrap(), b.parse().unwrap())) {
            for upper in [
                Upper::tcp((1, 2), SYN, 3, 4, b"odd"),
                Upper::udp((1, 2), b"odd"),
                Upper::echo_request(1, 2, b"odd"),
            ] {
                let before = upper.pseudo_header(source, destination);
                let bytes = upper.bytes(source, destination);
                assert_eq!(internet_checksum(&[&before, &bytes]), 0, "{upper:?}");
            }
        }
    }
}
