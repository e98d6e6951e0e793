//! One interface's wire: frames put on it and taken from it as they are, past the stack above it.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::ifaddrs::getifaddrs;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrStorage, bind, recv, send,
    socket,
};

use crate::netns::Netns;
use crate::packet::seen::Seen;
use crate::wait::LIMIT;

/// A packet socket on one interface. It sees what comes in and what others send, not its own
/// frames.
#[derive(Debug)]
pub struct Wire {
    socket: OwnedFd,
    name: String,
}

impl Wire {
    /// Opens the interface of this name in a namespace. What is on the wire from now on is seen.
    ///
    /// # Panics
    /// Where there is no such interface.
    #[track_caller]
    pub fn open(net: &Netns, interface: &str) -> Self {
        let name = format!("{} in {}", interface, net.name());
        let socket = net.run(|| {
            let address = link_address(interface)?;
            let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
            let every = SockProtocol::EthAll;
            let socket = socket(AddressFamily::Packet, SockType::Raw, flags, every).ok()?;
            bind(socket.as_raw_fd(), &address).ok()?;
            // What came from other interfaces before it was bound is not this one's.
            while recv(socket.as_raw_fd(), &mut [0; 1], MsgFlags::empty()).is_ok() {}
            Some(socket)
        });
        let socket = socket.unwrap_or_else(|| panic!("{name}: no packet socket"));
        Self { socket, name }
    }

    /// Puts a frame on the wire, as the namespace's own stack would send it.
    ///
    /// # Panics
    /// Where the kernel refuses it: longer than the interface lets, or the interface is down.
    #[track_caller]
    pub fn send(&self, frame: &[u8]) {
        let sent = send(self.socket.as_raw_fd(), frame, MsgFlags::empty());
        let count = sent.unwrap_or_else(|e| panic!("{}: {} bytes: {e}", self.name, frame.len()));
        assert!(
            count == frame.len(),
            "{}: sent {count} of {}",
            self.name,
            frame.len()
        );
    }

    /// Waits for a frame that `wanted` gives a value for.
    ///
    /// # Panics
    /// Where none comes.
    #[track_caller]
    pub fn capture<T>(&self, what: &str, wanted: impl FnMut(&[u8]) -> Option<T>) -> T {
        let found = self.capture_within(LIMIT, wanted);
        found.unwrap_or_else(|| panic!("{}: waited {LIMIT:?} in vain for: {what}", self.name))
    }

    /// Waits for a frame that `wanted` gives a value for, until the limit.
    pub fn capture_within<T>(
        &self,
        limit: Duration,
        mut wanted: impl FnMut(&[u8]) -> Option<T>,
    ) -> Option<T> {
        let deadline = Instant::now() + limit;
        while self.is_readable(deadline) {
            if let Some(value) = self.next().and_then(|frame| wanted(&frame)) {
                return Some(value);
            }
        }
        None
    }

    /// Everything that has come and was not captured yet.
    pub fn drain(&self) -> Vec<Seen> {
        let frames = std::iter::from_fn(|| self.next());
        frames.filter_map(|frame| Seen::read(&frame)).collect()
    }

    fn next(&self) -> Option<Vec<u8>> {
        let mut bytes = vec![0; 1 << 16];
        let count = recv(self.socket.as_raw_fd(), &mut bytes, MsgFlags::empty()).ok()?;
        bytes.truncate(count);
        Some(bytes)
    }

    fn is_readable(&self, deadline: Instant) -> bool {
        let left = deadline.saturating_duration_since(Instant::now());
        let left = PollTimeout::try_from(left).expect("limits are short");
        let mut waited = [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)];
        // A signal may end the wait early: the capture's deadline still holds.
        poll(&mut waited, left).is_ok_and(|ready| ready > 0)
    }
}

/// The packet address of an interface of the calling thread's namespace.
fn link_address(interface: &str) -> Option<SockaddrStorage> {
    let mut all = getifaddrs().ok()?;
    all.find_map(|found| {
        let address = found.address.filter(|a| a.as_link_addr().is_some())?;
        (found.interface_name == interface).then_some(address)
    })
}
