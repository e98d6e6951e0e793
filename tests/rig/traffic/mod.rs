//! Real sockets inside a namespace: services that echo, attempts to reach one, exchanges that go
//! on.
//!
//! Everything here runs on few threads that wait for sockets ([`nix::poll`]) and never pause.
//!
//! A denied packet is dropped without a word, so a denial shows as silence, and silence proves
//! little by itself: an attempt that is to be denied waits [`SILENCE`], with as many probes in it
//! as the protocol allows, and [`crate::probe`] asks the drop counters for as many drops as it saw
//! silences. An attempt that is to be allowed has all the time it may need.

pub mod service;
pub mod attempt;
pub mod exchange;
mod stream;
mod datagrams;
mod fresh;

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{AddressFamily, SockaddrStorage};

pub use attempt::{Attempt, Outcome, attempt_all};
pub use exchange::Exchange;
pub use service::{Listen, Service};

/// How long an answer of another namespace on this machine is waited for where none is expected:
/// hundreds of times what it takes. The kernel repeats a SYN after a second, an attempt everything
/// else after a third of this.
pub const SILENCE: Duration = Duration::from_millis(300);

/// What an attempt is made with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// A connection, and an echo over it.
    Tcp,
    /// A datagram, and its echo.
    Udp,
    /// An INIT, and the INIT ACK (crafted on raw sockets: no kernel here needs to have SCTP).
    Sctp,
    /// An echo request, and its reply by the other stack.
    Icmp,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
            Self::Icmp => "icmp",
        })
    }
}

/// Opens a TCP connection to a [`service`] and has it echo.
pub fn tcp_connects(from: &crate::netns::Netns, to: IpAddr, port: u16) -> Outcome {
    Attempt::new(Protocol::Tcp, to, port)
        .limit(SILENCE)
        .from(from)
}

/// Waits until one of the sockets is ready or the deadline has come; gives those that are.
fn ready(waited: &[(BorrowedFd<'_>, PollFlags)], deadline: Instant) -> Vec<bool> {
    let left = deadline.saturating_duration_since(Instant::now());
    // The kernel counts in milliseconds: never wake up just before the deadline, again and again.
    let left = left + Duration::from_millis(1);
    let left = PollTimeout::try_from(left).expect("limits are short");
    let mut polled: Vec<PollFd<'_>> = waited
        .iter()
        .map(|(socket, flags)| PollFd::new(*socket, *flags))
        .collect();
    match poll(&mut polled, left) {
        Ok(_) | Err(Errno::EINTR) => {}
        Err(e) => panic!("poll of {} sockets: {e}", waited.len()),
    }
    polled
        .iter()
        .map(|socket| socket.any().unwrap_or(false))
        .collect()
}

/// The family of an address, as sockets name it.
const fn family(address: IpAddr) -> AddressFamily {
    match address {
        IpAddr::V4(_) => AddressFamily::Inet,
        IpAddr::V6(_) => AddressFamily::Inet6,
    }
}

/// An address as the kernel takes it.
fn kernel_address(address: SocketAddr) -> SockaddrStorage {
    SockaddrStorage::from(address)
}

/// An address as the kernel gave it.
fn std_address(address: &SockaddrStorage) -> Option<SocketAddr> {
    let v4 = address
        .as_sockaddr_in()
        .map(|a| SocketAddr::V4((*a).into()));
    v4.or_else(|| {
        address
            .as_sockaddr_in6()
            .map(|a| SocketAddr::V6((*a).into()))
    })
}
