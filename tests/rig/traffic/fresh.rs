//! The rounds of an exchange that never uses a port twice: each datagram is a new flow.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::unix::net::UnixStream;

use super::datagrams;
use super::exchange::{Round, Rounds};

/// New flows, each echoed before the next begins.
pub(super) struct Echoed(SocketAddr);

/// New flows that nobody waits for: the service counts what reaches it.
pub(super) struct Unanswered(SocketAddr);

pub(super) fn echoed(to: SocketAddr) -> io::Result<(SocketAddr, Echoed)> {
    datagrams::connect(to).map(|(own, _)| (own, Echoed(to)))
}

pub(super) fn unanswered(to: SocketAddr) -> io::Result<(SocketAddr, Unanswered)> {
    datagrams::connect(to).map(|(own, _)| (own, Unanswered(to)))
}

fn socket(to: SocketAddr) -> Result<UdpSocket, String> {
    datagrams::connect(to)
        .map(|(_, socket)| socket)
        .map_err(|e| format!("socket: {e}"))
}

impl Rounds for Echoed {
    fn round(&mut self, number: u64, stopped: &UnixStream) -> Result<Round, String> {
        socket(self.0)?.round(number, stopped)
    }
}

impl Rounds for Unanswered {
    fn round(&mut self, number: u64, _: &UnixStream) -> Result<Round, String> {
        let sent = socket(self.0)?.send(&number.to_be_bytes());
        sent.map(|_| Round::Whole).map_err(|e| format!("send: {e}"))
    }
}
