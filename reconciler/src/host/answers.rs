//! Answers of the kernel, read as far as they can be.
//!
//! Whoever is root in a namespace names its interfaces as it likes: in bytes that are no text, and
//! in more of them than a message has room for by convention. An answer that cannot be read is as
//! good as none, and none is to keep the host waiting: what of one cannot be read is left out.

use rtnetlink::packet_core::{
    DecodeError, NetlinkDeserializable, NetlinkHeader, NetlinkMessage, NetlinkPayload,
    NetlinkSerializable,
};
use rtnetlink::packet_route::RouteNetlinkMessage;

/// A message, of which a part may have been left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Readable(pub(super) RouteNetlinkMessage);

impl Readable {
    /// A request with these flags and this number.
    pub(super) fn request(
        message: RouteNetlinkMessage,
        flags: u16,
        sequence: u32,
    ) -> NetlinkMessage<Self> {
        let mut header = NetlinkHeader::default();
        header.flags = flags;
        header.sequence_number = sequence;
        let mut message = NetlinkMessage::new(header, NetlinkPayload::InnerMessage(Self(message)));
        message.finalize();
        message
    }
}

impl NetlinkSerializable for Readable {
    fn message_type(&self) -> u16 {
        self.0.message_type()
    }

    fn buffer_len(&self) -> usize {
        NetlinkSerializable::buffer_len(&self.0)
    }

    fn serialize(&self, buffer: &mut [u8]) {
        self.0.serialize(buffer);
    }
}

impl NetlinkDeserializable for Readable {
    type Error = DecodeError;

    fn deserialize(header: &NetlinkHeader, payload: &[u8]) -> Result<Self, DecodeError> {
        let read = |payload: &[u8]| RouteNetlinkMessage::deserialize(header, payload);
        let whole = read(payload).or_else(|error| {
            let Some((fixed, mut rest)) =
                fixed_part(header.message_type).and_then(|length| payload.split_at_checked(length))
            else {
                return Err(error);
            };
            let mut readable = fixed.to_vec();
            while let Some((attribute, others)) = first_attribute(rest) {
                if read(&[fixed, attribute].concat()).is_ok() {
                    readable.extend_from_slice(attribute);
                }
                rest = others;
            }
            read(&readable)
        });
        whole.map(Self)
    }
}

/// Length of what a message of a type begins with, before its attributes: `struct ifinfomsg`,
/// `ifaddrmsg`, `rtmsg`, `ndmsg` and `tcmsg` of rtnetlink(7), and `rtgenmsg`, padded, before the
/// number of a namespace. Types come in fours.
fn fixed_part(message_type: u16) -> Option<usize> {
    match message_type & !3 {
        16 => Some(16),
        20 => Some(8),
        24 | 28 => Some(12),
        36 => Some(20),
        88 => Some(4),
        _ => None,
    }
}

/// An attribute with its padding, and those after it (netlink(7), `struct nlattr`).
fn first_attribute(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let length = usize::from(u16::from_ne_bytes(*bytes.first_chunk()?));
    if length < 4 || length > bytes.len() {
        return None;
    }
    Some(bytes.split_at(length.next_multiple_of(4).min(bytes.len())))
}

/// Room for a whole answer: other names of an interface alone may be an attribute of the greatest
/// length, 64 KiB, and half as much again is for all others. Less than what the C library would map
/// for each reading.
pub(super) const ROOM: usize = 96 * 1024;
