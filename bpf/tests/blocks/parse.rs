//! A frame as a receiver reads it, for [`crate::model`]: RFC 791, 8200, 9293, 768, 9260, 792, 4443.
//! `None` wherever it cannot be read, or is not let through whoever sends it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What a frame holds.
#[derive(Clone, Debug)]
pub(crate) enum Form {
    /// ARP or neighbour discovery.
    Link,
    Ip(Parsed),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Whole,
    First,
    Later,
}

#[derive(Clone, Debug)]
pub(crate) enum Upper {
    Plain,
    /// An ICMP error, and the packet it is about where that can be read.
    Error(Option<Box<Parsed>>),
}

/// An IP packet.
#[derive(Clone, Debug)]
pub(crate) struct Parsed {
    pub(crate) from: IpAddr,
    pub(crate) to: IpAddr,
    pub(crate) protocol: u8,
    /// Of an echo: its identifier, at its initiator's place.
    pub(crate) ports: (u16, u16),
    /// A message that the initiator of its flow alone sends.
    pub(crate) opens: bool,
    /// One that begins a flow, whoever sends it.
    pub(crate) anyone: bool,
    /// Flags, sequence number, acknowledgement.
    pub(crate) tcp: (u8, u32, u32),
    pub(crate) identification: u32,
    pub(crate) upper: Upper,
    part: Part,
}

/// What stands in place of the other port of an echo.
const ECHO: u16 = 8;

impl Parsed {
    pub(crate) fn is_first(&self) -> bool {
        self.part == Part::First
    }

    pub(crate) fn is_later(&self) -> bool {
        self.part == Part::Later
    }

    pub(crate) fn key(&self) -> (IpAddr, IpAddr, u8, (u16, u16)) {
        (self.from, self.to, self.protocol, self.ports)
    }

    fn new(from: IpAddr, to: IpAddr, protocol: u8) -> Self {
        Self {
            from,
            to,
            protocol,
            ports: (0, 0),
            opens: false,
            anyone: false,
            tcp: (0, 0, 0),
            identification: 0,
            upper: Upper::Plain,
            part: Part::Whole,
        }
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn long(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

pub(crate) fn parse(frame: &[u8]) -> Option<Form> {
    let packet = frame.get(14..)?;
    match word(frame, 12)? {
        0x0800 => v4(packet),
        0x86dd => v6(packet),
        0x0806 => Some(Form::Link),
        _ => None,
    }
}

/// Header, options and what follows, cut where the packet ends.
fn v4_header(packet: &[u8]) -> Option<(Parsed, &[u8])> {
    let (version, words) = (*packet.first()? >> 4, usize::from(*packet.first()? & 15));
    let header = packet.get(..words * 4)?;
    if version != 4 || words < 5 {
        return None;
    }
    let address = |at| Some(IpAddr::V4(Ipv4Addr::from(long(header, at)?)));
    let mut parsed = Parsed::new(address(12)?, address(16)?, header[9]);
    let fragment = word(header, 6)?;
    parsed.identification = word(header, 4)?.into();
    parsed.part = match (fragment & 0x1fff, fragment & 0x2000) {
        (0, 0) => Part::Whole,
        (0, _) => Part::First,
        _ => Part::Later,
    };
    Some((parsed, &packet[words * 4..]))
}

fn v4(packet: &[u8]) -> Option<Form> {
    let (parsed, _) = v4_header(packet)?;
    let header = usize::from(packet[0] & 15) * 4;
    let upper = packet.get(header..usize::from(word(packet, 2)?))?;
    if is_source_routed(&packet[20..header]) {
        return None;
    }
    let offset = (word(packet, 6)? & 0x1fff) * 8;
    read_upper(parsed, upper, offset)
}

fn is_source_routed(mut options: &[u8]) -> bool {
    while let [kind, rest @ ..] = options {
        let length = match (*kind, rest) {
            (0, _) => return false,
            (1, _) => 1,
            (131 | 137, _) => return true,
            (_, [length, ..]) => usize::from(*length),
            // The last byte says that more would follow: what does is no option.
            (_, []) => return false,
        };
        if length < 2 && *kind != 1 {
            return true;
        }
        options = options.get(length..).unwrap_or_default();
    }
    false
}

fn v6_header(packet: &[u8]) -> Option<Parsed> {
    let header = packet.get(..40)?;
    if header[0] >> 4 != 6 {
        return None;
    }
    let address = |at: usize| {
        let bytes: [u8; 16] = header[at..at + 16].try_into().ok()?;
        Some(Ipv6Addr::from(bytes))
    };
    let ends = [address(8)?, address(24)?];
    Some(Parsed::new(ends[0].into(), ends[1].into(), header[6]))
}

fn v6(packet: &[u8]) -> Option<Form> {
    let parsed = v6_header(packet)?;
    let mapped = |address| matches!(address, IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some());
    if mapped(parsed.from) || mapped(parsed.to) {
        return None;
    }
    let payload = match usize::from(word(packet, 4)?) {
        0 if parsed.protocol == 0 => &packet[40..],
        length => packet.get(40..40 + length)?,
    };
    let (parsed, upper, offset) = chain(parsed, payload)?;
    read_upper(parsed, upper, offset)
}

/// Walks the extension headers: at most four, hop-by-hop options first, one fragment header. What
/// follows them, and where that lies in its datagram.
fn chain(mut parsed: Parsed, payload: &[u8]) -> Option<(Parsed, &[u8], u16)> {
    let (mut rest, mut fragmented) = (payload, false);
    for count in 0..=4 {
        match parsed.protocol {
            43 | 135 | 139 | 140 => return None,
            0 if count > 0 => return None,
            0 | 44 | 60 if count == 4 => return None,
            44 => {
                let (head, after) = rest.split_at_checked(8)?;
                let fragment = word(head, 2)?;
                parsed.protocol = head[0];
                if std::mem::replace(&mut fragmented, true) {
                    return None;
                }
                parsed.identification = long(head, 4)?;
                rest = after;
                if fragment & 0xfff8 != 0 {
                    parsed.part = Part::Later;
                    return Some((parsed, rest, fragment & 0xfff8));
                }
                if fragment & 1 != 0 {
                    parsed.part = Part::First;
                    let more = [0, 43, 44, 60, 135, 139, 140].contains(&parsed.protocol);
                    return (!more).then_some((parsed, rest, 0));
                }
            }
            0 | 60 => {
                parsed.protocol = *rest.first()?;
                let length = 8 + 8 * usize::from(*rest.get(1)?);
                rest = rest.get(length..)?;
            }
            _ => break,
        }
    }
    Some((parsed, rest, 0))
}

fn read_upper(mut parsed: Parsed, upper: &[u8], offset: u16) -> Option<Form> {
    if parsed.part == Part::Later {
        // No later fragment lies over a TCP header.
        let over = parsed.protocol == 6 && offset < 20;
        return (!over).then_some(Form::Ip(parsed));
    }
    let v6 = parsed.from.is_ipv6();
    match parsed.protocol {
        6 => {
            let header = usize::from(upper.get(..20)?[12] >> 4) * 4;
            upper.get(..header).filter(|header| header.len() >= 20)?;
            parsed.ports = (word(upper, 0)?, word(upper, 2)?);
            parsed.tcp = (upper[13], long(upper, 4)?, long(upper, 8)?);
            parsed.opens = upper[13] & 0x17 == 2;
        }
        17 => {
            parsed.ports = (word(upper.get(..8)?, 0)?, word(upper, 2)?);
            parsed.anyone = true;
        }
        132 => {
            parsed.ports = (word(upper.get(..16)?, 0)?, word(upper, 2)?);
            parsed.opens = upper[12] == 1;
        }
        1 | 58 if v6 != (parsed.protocol == 58) => return None,
        1 | 58 => return icmp(parsed, upper.get(..8)?[0], upper),
        _ => parsed.anyone = true,
    }
    Some(Form::Ip(parsed))
}

fn icmp(mut parsed: Parsed, kind: u8, message: &[u8]) -> Option<Form> {
    let v6 = parsed.protocol == 58;
    match kind {
        8 | 0 | 128 | 129 if v6 == (kind >= 128) => {
            echo(&mut parsed, kind, word(message, 4)?);
            parsed.opens = [8, 128].contains(&kind);
        }
        5 | 9 | 10 if !v6 => return None,
        130..=137 | 141..=143 | 148 | 149 | 151..=153 if v6 => return Some(Form::Link),
        kind if is_error(v6, kind) => {
            parsed.upper = Upper::Error(inner(v6, &message[8..]).map(Box::new));
        }
        _ => parsed.anyone = true,
    }
    Some(Form::Ip(parsed))
}

fn echo(parsed: &mut Parsed, kind: u8, id: u16) {
    let request = [8, 128].contains(&kind);
    parsed.ports = if request { (id, ECHO) } else { (ECHO, id) };
}

fn is_error(v6: bool, kind: u8) -> bool {
    if v6 {
        kind < 128
    } else {
        [3, 4, 5, 11, 12].contains(&kind)
    }
}

/// The packet that an error is about: of it eight bytes of its upper part at least, and its first
/// fragment where it is in parts.
fn inner(v6: bool, packet: &[u8]) -> Option<Parsed> {
    let (mut parsed, upper) = if v6 {
        let (parsed, upper, _) = chain(v6_header(packet)?, packet.get(40..)?)?;
        (parsed, upper)
    } else {
        v4_header(packet)?
    };
    let upper = upper.get(..8).filter(|_| !parsed.is_later())?;
    match parsed.protocol {
        6 | 17 | 132 => parsed.ports = (word(upper, 0)?, word(upper, 2)?),
        1 | 58 => {
            // Of the other family's number, too: such a packet has no flow.
            let six = parsed.protocol == 58;
            let echoes = if six { [128, 129] } else { [8, 0] };
            if is_error(six, upper[0]) {
                return None;
            }
            if echoes.contains(&upper[0]) {
                echo(&mut parsed, upper[0], word(upper, 4)?);
            }
        }
        _ => {}
    }
    Some(parsed)
}
