//! Answers of the kernel, read as far as they can be.
//!
//! Whoever is root in a namespace names its interfaces as it likes: in bytes that are no text, and
//! in more of them than a message has room for by convention. An answer that cannot be read is as
//! good as none, and none is to keep the host waiting: what of one cannot be read is left out.

use std::io;
use std::task::{Context, Poll, ready};

use bytes::BufMut;
use rtnetlink::packet_core::{
    DecodeError, NetlinkDeserializable, NetlinkHeader, NetlinkMessage, NetlinkPayload,
    NetlinkSerializable,
};
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::sys::{AsyncSocket, Socket, SocketAddr, TokioSocket};

/// A message, of which a part may have been left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Readable(pub(super) RouteNetlinkMessage);

impl Readable {
    /// A request with these flags.
    pub(super) fn request(message: RouteNetlinkMessage, flags: u16) -> NetlinkMessage<Self> {
        let mut header = NetlinkHeader::default();
        header.flags = flags;
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

/// A socket that reads whole messages: other names of an interface alone may be 64 KiB of one,
/// which is all that the framing has room for.
pub(super) struct Roomy(TokioSocket);

/// An attribute of the greatest length, and half as much again for all others. Less than what the
/// C library would map for each reading.
const ROOM: usize = 96 * 1024;

impl AsyncSocket for Roomy {
    fn socket_ref(&self) -> &Socket {
        self.0.socket_ref()
    }

    fn socket_mut(&mut self) -> &mut Socket {
        self.0.socket_mut()
    }

    fn new(protocol: isize) -> io::Result<Self> {
        TokioSocket::new(protocol).map(Self)
    }

    fn poll_send(&self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.0.poll_send(cx, buf)
    }

    fn poll_send_to(
        &self,
        cx: &mut Context<'_>,
        buf: &[u8],
        addr: &SocketAddr,
    ) -> Poll<io::Result<usize>> {
        self.0.poll_send_to(cx, buf, addr)
    }

    fn poll_recv<B: BufMut>(&self, cx: &mut Context<'_>, buf: &mut B) -> Poll<io::Result<()>> {
        self.poll_recv_from(cx, buf).map_ok(drop)
    }

    fn poll_recv_from<B: BufMut>(
        &self,
        cx: &mut Context<'_>,
        buf: &mut B,
    ) -> Poll<io::Result<SocketAddr>> {
        let mut message = Vec::with_capacity(ROOM);
        let from = ready!(self.0.poll_recv_from(cx, &mut message))?;
        // The framing's buffer grows as it is written to, beyond its own 64 KiB.
        buf.put_slice(&message);
        Poll::Ready(Ok(from))
    }

    fn poll_recv_from_full(&self, cx: &mut Context<'_>) -> Poll<io::Result<(Vec<u8>, SocketAddr)>> {
        self.0.poll_recv_from_full(cx)
    }
}
