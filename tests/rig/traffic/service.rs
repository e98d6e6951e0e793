//! Services: a thread in a namespace that accepts and echoes on any number of ports.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::poll::PollFlags;
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrStorage, recvfrom, sendto,
    socket,
};

use super::{Protocol, kernel_address, ready, std_address};
use crate::netns::Netns;
use crate::packet::upper::{SCTP_INIT, SCTP_INIT_ACK, Upper};

/// Where a service listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listen {
    /// TCP, UDP or SCTP; a stack answers ICMP by itself.
    pub protocol: Protocol,
    /// The address. UDP answers from the address that the route back prefers, so a namespace with
    /// several of one family needs one `Listen` for each.
    pub address: SocketAddr,
}

impl Listen {
    /// On every address of the namespace, IPv4 and IPv6.
    pub const fn everywhere(protocol: Protocol, port: u16) -> Self {
        let address = SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), port);
        Self { protocol, address }
    }

    /// On one address.
    pub const fn on(protocol: Protocol, address: IpAddr, port: u16) -> Self {
        Self {
            protocol,
            address: SocketAddr::new(address, port),
        }
    }
}

/// A running service. It ends, and its thread with it, when it is dropped.
#[derive(Debug)]
pub struct Service {
    served: Arc<Mutex<BTreeMap<(Protocol, u16), u64>>>,
    /// Hangs up on the thread.
    stop: Option<UnixStream>,
    thread: Option<JoinHandle<()>>,
}

impl Service {
    /// Starts one that listens at all of these; it does when this returns.
    ///
    /// # Panics
    /// Where a port is taken or an address is not the namespace's.
    #[track_caller]
    pub fn start(net: &Netns, listens: &[Listen]) -> Self {
        let (stop, stopped) = UnixStream::pair().expect("a pair of sockets");
        let served = Arc::default();
        let (opened, is_open) = channel();
        let listens = listens.to_vec();
        let counts = Arc::clone(&served);
        let thread = net.spawn(move || match Sockets::open(&listens) {
            Ok(sockets) => {
                opened.send(None).expect("the starter waits");
                sockets.serve(&stopped, &counts);
            }
            Err(refusal) => opened.send(Some(refusal)).expect("the starter waits"),
        });
        let refusal = is_open
            .recv()
            .unwrap_or_else(|_| Some("the thread panicked".to_owned()));
        assert!(
            refusal.is_none(),
            "service in {}: {}",
            net.name(),
            refusal.unwrap_or_default()
        );
        Self {
            served,
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    /// How many connections, datagrams or INITs have reached a port, whatever became of the echo.
    ///
    /// # Panics
    /// Where the service's thread has.
    pub fn served(&self, protocol: Protocol, port: u16) -> u64 {
        let served = self.served.lock().expect("the service runs");
        served.get(&(protocol, port)).copied().unwrap_or(0)
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.stop = None;
        let ended = self.thread.take().map(JoinHandle::join);
        if let Some(Err(panic)) = ended
            && !std::thread::panicking()
        {
            std::panic::resume_unwind(panic);
        }
    }
}

/// What has been sent to us on a connection and not yet been echoed.
struct Connection {
    stream: TcpStream,
    waiting: Vec<u8>,
}

#[derive(Default)]
struct Sockets {
    listeners: Vec<TcpListener>,
    datagrams: Vec<UdpSocket>,
    /// Raw sockets for SCTP, one a family, and the ports that answer.
    sctp: Vec<(OwnedFd, AddressFamily)>,
    sctp_ports: Vec<u16>,
    connections: Vec<Connection>,
}

type Counts = Mutex<BTreeMap<(Protocol, u16), u64>>;

fn count(counts: &Counts, protocol: Protocol, port: u16) {
    *counts
        .lock()
        .expect("no reader panics")
        .entry((protocol, port))
        .or_default() += 1;
}

impl Sockets {
    fn open(listens: &[Listen]) -> Result<Self, String> {
        let mut sockets = Self::default();
        for listen in listens {
            sockets
                .add(listen)
                .map_err(|e| format!("{listen:?}: {e}"))?;
        }
        if !sockets.sctp_ports.is_empty() {
            for family in [AddressFamily::Inet, AddressFamily::Inet6] {
                let socket = raw_sctp(family).map_err(|e| format!("raw socket for SCTP: {e}"))?;
                sockets.sctp.push((socket, family));
            }
        }
        Ok(sockets)
    }

    fn add(&mut self, listen: &Listen) -> std::io::Result<()> {
        match listen.protocol {
            Protocol::Tcp => {
                let listener = TcpListener::bind(listen.address)?;
                listener.set_nonblocking(true)?;
                self.listeners.push(listener);
            }
            Protocol::Udp => {
                let socket = UdpSocket::bind(listen.address)?;
                socket.set_nonblocking(true)?;
                self.datagrams.push(socket);
            }
            Protocol::Sctp => self.sctp_ports.push(listen.address.port()),
            Protocol::Icmp => return Err(std::io::Error::other("the stack answers ICMP")),
        }
        Ok(())
    }

    fn serve(mut self, stopped: &UnixStream, counts: &Counts) {
        loop {
            let is_ready = self.wait(stopped);
            let mut is_ready = is_ready.into_iter();
            if is_ready.next() == Some(true) {
                return;
            }
            let (listening, rest) = (self.listeners.len(), self.datagrams.len());
            let listening: Vec<bool> = is_ready.by_ref().take(listening).collect();
            let datagrams: Vec<bool> = is_ready.by_ref().take(rest).collect();
            let sctp: Vec<bool> = is_ready.by_ref().take(self.sctp.len()).collect();

            // Connections first: accepting adds some that nobody has waited for.
            self.connections
                .retain_mut(|c| !is_ready.next().unwrap_or(false) || c.echo());
            for (listener, _) in self
                .listeners
                .iter()
                .zip(listening)
                .filter(|(_, ready)| *ready)
            {
                self.connections.extend(accept(listener, counts));
            }
            for (socket, _) in self
                .datagrams
                .iter()
                .zip(datagrams)
                .filter(|(_, ready)| *ready)
            {
                echo_datagrams(socket, counts);
            }
            for ((socket, family), _) in self.sctp.iter().zip(sctp).filter(|(_, ready)| *ready) {
                answer_inits(socket, *family, &self.sctp_ports, counts);
            }
        }
    }

    /// Which of all sockets are ready: the stop first, then in the order of the fields.
    fn wait(&self, stopped: &UnixStream) -> Vec<bool> {
        let read = PollFlags::POLLIN;
        let mut waited = vec![(stopped.as_fd(), read)];
        waited.extend(self.listeners.iter().map(|s| (s.as_fd(), read)));
        waited.extend(self.datagrams.iter().map(|s| (s.as_fd(), read)));
        waited.extend(self.sctp.iter().map(|(s, _)| (s.as_fd(), read)));
        waited.extend(
            self.connections
                .iter()
                .map(|c| (c.stream.as_fd(), c.waits_for())),
        );
        ready(&waited, Instant::now() + Duration::from_secs(60))
    }
}

fn accept(listener: &TcpListener, counts: &Counts) -> Option<Connection> {
    // The client may have gone before it was accepted.
    let (stream, _) = listener.accept().ok()?;
    stream.set_nonblocking(true).ok()?;
    stream.set_nodelay(true).ok()?;
    count(counts, Protocol::Tcp, listener.local_addr().ok()?.port());
    Some(Connection {
        stream,
        waiting: Vec::new(),
    })
}

impl Connection {
    const fn waits_for(&self) -> PollFlags {
        if self.waiting.is_empty() {
            PollFlags::POLLIN
        } else {
            PollFlags::POLLOUT
        }
    }

    /// Echoes what it can; false when the connection has ended.
    fn echo(&mut self) -> bool {
        let done = if self.waiting.is_empty() {
            self.read()
        } else {
            Ok(())
        };
        let done = done.and_then(|()| self.write());
        done.is_ok()
    }

    fn read(&mut self) -> std::io::Result<()> {
        let mut bytes = [0; 1 << 16];
        match self.stream.read(&mut bytes) {
            Ok(0) => Err(ErrorKind::UnexpectedEof.into()),
            Ok(count) => {
                self.waiting.extend_from_slice(&bytes[..count]);
                Ok(())
            }
            Err(e) if e.kind() == ErrorKind::WouldBlock => Ok(()),
            Err(e) => Err(e),
        }
    }

    fn write(&mut self) -> std::io::Result<()> {
        while !self.waiting.is_empty() {
            match self.stream.write(&self.waiting) {
                Ok(count) => drop(self.waiting.drain(..count)),
                Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }
}

fn echo_datagrams(socket: &UdpSocket, counts: &Counts) {
    let port = socket.local_addr().map_or(0, |address| address.port());
    let mut bytes = [0; 1 << 16];
    // An error is of an earlier answer, whose receiver has gone.
    while let Ok((length, peer)) = socket.recv_from(&mut bytes) {
        count(counts, Protocol::Udp, port);
        socket.send_to(&bytes[..length], peer).ok();
    }
}

/// A raw socket that gets every SCTP packet of the namespace.
pub(super) fn raw_sctp(family: AddressFamily) -> nix::Result<OwnedFd> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    socket(family, SockType::Raw, flags, SockProtocol::Sctp)
}

/// The SCTP packet in what a raw socket gave: IPv4's gives the IP header, too.
pub(super) fn without_ip_header(family: AddressFamily, packet: &[u8]) -> &[u8] {
    let length = match packet.first() {
        Some(first) if family == AddressFamily::Inet => usize::from(first & 0xf) * 4,
        _ => 0,
    };
    packet.get(length..).unwrap_or_default()
}

fn answer_inits(socket: &OwnedFd, family: AddressFamily, ports: &[u16], counts: &Counts) {
    let mut bytes = [0; 2048];
    while let Ok((length, Some(peer))) = recvfrom::<SockaddrStorage>(socket.as_raw_fd(), &mut bytes)
    {
        let packet = without_ip_header(family, &bytes[..length]);
        let init = packet.get(..20).filter(|p| p[12] == SCTP_INIT);
        let Some((init, peer)) = init.zip(std_address(&peer)) else {
            continue;
        };
        let port = |at: usize| u16::from_be_bytes([init[at], init[at + 1]]);
        let tag = u32::from_be_bytes([init[16], init[17], init[18], init[19]]);
        if !ports.contains(&port(2)) {
            continue;
        }
        count(counts, Protocol::Sctp, port(2));
        let answer = Upper::sctp_init((port(2), port(0)), tag, SCTP_INIT_ACK, !tag);
        let unspecified = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        let answer = answer.bytes(unspecified, unspecified);
        let peer = kernel_address(SocketAddr::new(peer.ip(), 0));
        sendto(socket.as_raw_fd(), &answer, &peer, MsgFlags::empty()).ok();
    }
}
