//! The rounds of an exchange between two UDP ports.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use nix::poll::PollFlags;

use super::exchange::{Round, Rounds};
use super::ready;

/// How long an echo may take before its datagram counts as lost and is sent again: far longer than
/// another namespace takes on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(1);

pub(super) fn connect(to: SocketAddr) -> io::Result<(SocketAddr, UdpSocket)> {
    let any = match to {
        SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect(to)?;
    socket.set_nonblocking(true)?;
    Ok((socket.local_addr()?, socket))
}

impl Rounds for UdpSocket {
    /// An error is the answer to an earlier datagram (port unreachable): this one is sent again,
    /// like one that was lost.
    fn round(&mut self, number: u64, stopped: &UnixStream) -> Result<Round, String> {
        let question = number.to_be_bytes();
        self.send(&question).ok();
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            let read = PollFlags::POLLIN;
            if ready(&[(stopped.as_fd(), read), (self.as_fd(), read)], deadline)[0] {
                return Ok(Round::Stopped);
            }
            let mut bytes = [0; 64];
            // Late echoes of earlier numbers are passed over.
            while let Ok(count) = self.recv(&mut bytes) {
                if bytes[..count] == question {
                    return Ok(Round::Whole);
                }
            }
        }
        Ok(Round::Repeat)
    }
}
