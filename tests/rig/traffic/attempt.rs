//! Attempts: one side's try to reach a service, and what became of it.

use std::fmt;
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::PollFlags;
use nix::sys::socket::{
    MsgFlags, SockFlag, SockProtocol, SockType, bind, connect, getsockopt, recv, send, socket,
    sockopt,
};

use super::service::{raw_sctp, without_ip_header};
use super::{Protocol, SILENCE, family, kernel_address, ready};
use crate::netns::Netns;
use crate::packet::upper::{SCTP_ABORT, SCTP_INIT, SCTP_INIT_ACK, Upper};
use crate::wait;

/// What became of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The echo came.
    Echoed,
    /// Connected, but no echo came.
    Mute,
    /// Nobody listens there: reset, or port unreachable.
    Refused,
    /// Nothing came.
    TimedOut,
    /// No route, or a router said so.
    Unreachable,
    /// The connection was reset or closed before the echo.
    Cut,
    /// Anything else, with the kernel's error number.
    Failed(i32),
}

impl Outcome {
    fn of(error: Errno) -> Self {
        match error {
            Errno::ECONNREFUSED => Self::Refused,
            Errno::ETIMEDOUT => Self::TimedOut,
            Errno::EHOSTUNREACH | Errno::ENETUNREACH => Self::Unreachable,
            Errno::ECONNRESET | Errno::EPIPE => Self::Cut,
            other => Self::Failed(other as i32),
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Echoed => f.write_str("echoed"),
            Self::Mute => f.write_str("mute"),
            Self::Refused => f.write_str("refused"),
            Self::TimedOut => f.write_str("silence"),
            Self::Unreachable => f.write_str("unreachable"),
            Self::Cut => f.write_str("cut"),
            Self::Failed(number) => write!(f, "{}", Errno::from_raw(*number)),
        }
    }
}

/// An attempt to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt {
    protocol: Protocol,
    to: SocketAddr,
    source: Option<SocketAddr>,
    limit: Duration,
}

impl Attempt {
    /// An attempt at a service's port (ICMP has none: 0), with all the time it may need.
    pub const fn new(protocol: Protocol, to: IpAddr, port: u16) -> Self {
        Self {
            protocol,
            to: SocketAddr::new(to, port),
            source: None,
            limit: wait::LIMIT,
        }
    }

    /// How long the answer is waited for.
    #[must_use]
    pub const fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Sends from this address and port (0: any) instead of what the route prefers.
    #[must_use]
    pub const fn source(mut self, source: SocketAddr) -> Self {
        self.source = Some(source);
        self
    }

    /// Makes it, in a namespace.
    pub fn from(self, net: &Netns) -> Outcome {
        attempt_all(net, &[self])[0]
    }
}

/// Makes many at once, on one thread in a namespace.
pub fn attempt_all(net: &Netns, attempts: &[Attempt]) -> Vec<Outcome> {
    net.run(|| {
        let mut running: Vec<Running> = attempts.iter().map(Running::begin).collect();
        while let Some(deadline) = running.iter().filter_map(Running::next_deadline).min() {
            step(&mut running, deadline);
        }
        running.iter().map(Running::outcome).collect()
    })
}

/// Waits for the first socket or deadline, and goes on with what has come.
fn step(running: &mut [Running], deadline: Instant) {
    let waiting: Vec<usize> = running
        .iter()
        .enumerate()
        .filter(|(_, r)| r.socket().is_some())
        .map(|(i, _)| i)
        .collect();
    let waited = waiting.iter().filter_map(|&index| running[index].socket());
    let is_ready = ready(&waited.collect::<Vec<_>>(), deadline);
    for (index, is_ready) in waiting.into_iter().zip(is_ready) {
        if is_ready {
            running[index].go_on();
        }
        running[index].look_at_the_clock();
    }
}

struct Running {
    state: State,
    /// What is to come back.
    nonce: [u8; 16],
    deadline: Instant,
}

enum State {
    Connecting(OwnedFd),
    Echoing(TcpStream, Vec<u8>),
    /// A datagram is out, and is sent again from time to time.
    Asking {
        socket: OwnedFd,
        question: Vec<u8>,
        answer: Answer,
        again: Instant,
    },
    Done(Outcome),
}

#[derive(Clone, Copy)]
enum Answer {
    /// The nonce itself.
    Datagram,
    /// An ICMP echo reply with the nonce, from a raw socket of this family's kind.
    Echo(IpAddr),
    /// An INIT ACK with our tag.
    InitAck { from: IpAddr, ports: (u16, u16) },
}

/// How often a question is repeated.
const AGAIN: Duration = SILENCE.checked_div(3).expect("not by zero");

impl Running {
    fn begin(attempt: &Attempt) -> Self {
        let nonce = nonce();
        let begun = match attempt.protocol {
            Protocol::Tcp => begin_tcp(attempt),
            Protocol::Udp => begin_udp(attempt, nonce),
            Protocol::Icmp => begin_icmp(attempt, nonce),
            Protocol::Sctp => begin_sctp(attempt, nonce),
        };
        let state = begun.unwrap_or_else(|error| State::Done(Outcome::of(error)));
        Self {
            state,
            nonce,
            deadline: Instant::now() + attempt.limit,
        }
    }

    const fn outcome(&self) -> Outcome {
        match self.state {
            State::Done(outcome) => outcome,
            _ => Outcome::TimedOut,
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        match &self.state {
            State::Done(_) => None,
            State::Asking { again, .. } => Some(self.deadline.min(*again)),
            _ => Some(self.deadline),
        }
    }

    fn socket(&self) -> Option<(BorrowedFd<'_>, PollFlags)> {
        match &self.state {
            State::Done(_) => None,
            State::Connecting(socket) => Some((socket.as_fd(), PollFlags::POLLOUT)),
            State::Echoing(stream, _) => Some((stream.as_fd(), PollFlags::POLLIN)),
            State::Asking { socket, .. } => Some((socket.as_fd(), PollFlags::POLLIN)),
        }
    }

    fn go_on(&mut self) {
        let state = std::mem::replace(&mut self.state, State::Done(Outcome::TimedOut));
        self.state = match state {
            State::Connecting(socket) => connected(socket, &self.nonce),
            State::Echoing(stream, got) => echoing(stream, got, &self.nonce),
            State::Asking {
                socket,
                question,
                answer,
                again,
            } => match answer.read(&socket, &self.nonce) {
                Some(outcome) => State::Done(outcome),
                None => State::Asking {
                    socket,
                    question,
                    answer,
                    again,
                },
            },
            State::Done(outcome) => State::Done(outcome),
        };
    }

    /// Ends it at its deadline, and asks again when it is time.
    fn look_at_the_clock(&mut self) {
        let now = Instant::now();
        if now >= self.deadline {
            let outcome = match self.state {
                State::Done(outcome) => outcome,
                State::Echoing(..) => Outcome::Mute,
                _ => Outcome::TimedOut,
            };
            self.state = State::Done(outcome);
        }
        if let State::Asking {
            socket,
            question,
            again,
            ..
        } = &mut self.state
            && now >= *again
        {
            // An error stands for the datagram before; the next read tells.
            send(socket.as_raw_fd(), question, MsgFlags::empty()).ok();
            *again = now + AGAIN;
        }
    }
}

/// Bytes that no other attempt of this process sends.
fn nonce() -> [u8; 16] {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let number = NEXT.fetch_add(1, Ordering::Relaxed).to_be_bytes();
    let process = u64::from(std::process::id()).to_be_bytes();
    let bytes = [process, number].concat();
    bytes.try_into().expect("two times eight bytes")
}

fn flags() -> SockFlag {
    SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK
}

/// Binds and connects, as the attempt says.
fn aim(socket: &OwnedFd, attempt: &Attempt) -> nix::Result<()> {
    if let Some(source) = attempt.source {
        bind(socket.as_raw_fd(), &kernel_address(source))?;
    }
    connect(socket.as_raw_fd(), &kernel_address(attempt.to))
}

fn begin_tcp(attempt: &Attempt) -> nix::Result<State> {
    let socket = socket(family(attempt.to.ip()), SockType::Stream, flags(), None)?;
    match aim(&socket, attempt) {
        Ok(()) | Err(Errno::EINPROGRESS) => Ok(State::Connecting(socket)),
        Err(error) => Err(error),
    }
}

fn connected(socket: OwnedFd, nonce: &[u8]) -> State {
    match getsockopt(&socket, sockopt::SocketError) {
        Ok(0) => {}
        Ok(error) => return State::Done(Outcome::of(Errno::from_raw(error))),
        Err(error) => return State::Done(Outcome::of(error)),
    }
    let mut stream = TcpStream::from(socket);
    match stream.write_all(nonce) {
        Ok(()) => State::Echoing(stream, Vec::new()),
        Err(_) => State::Done(Outcome::Cut),
    }
}

fn echoing(mut stream: TcpStream, mut got: Vec<u8>, nonce: &[u8]) -> State {
    let mut bytes = [0; 64];
    match stream.read(&mut bytes) {
        Ok(count @ 1..) => got.extend_from_slice(&bytes[..count]),
        Err(e) if e.kind() == ErrorKind::WouldBlock => {}
        _ => return State::Done(Outcome::Cut),
    }
    if got == nonce {
        State::Done(Outcome::Echoed)
    } else {
        State::Echoing(stream, got)
    }
}

fn ask(socket: OwnedFd, question: Vec<u8>, answer: Answer) -> nix::Result<State> {
    send(socket.as_raw_fd(), &question, MsgFlags::empty())?;
    Ok(State::Asking {
        socket,
        question,
        answer,
        again: Instant::now() + AGAIN,
    })
}

fn begin_udp(attempt: &Attempt, nonce: [u8; 16]) -> nix::Result<State> {
    let socket = socket(family(attempt.to.ip()), SockType::Datagram, flags(), None)?;
    aim(&socket, attempt)?;
    ask(socket, nonce.to_vec(), Answer::Datagram)
}

/// Raw sockets know no ports: an address with one is refused.
fn aim_raw(socket: &OwnedFd, attempt: &Attempt) -> nix::Result<()> {
    let to = SocketAddr::new(attempt.to.ip(), 0);
    let source = attempt.source.map(|source| SocketAddr::new(source.ip(), 0));
    aim(
        socket,
        &Attempt {
            to,
            source,
            ..*attempt
        },
    )
}

fn begin_icmp(attempt: &Attempt, nonce: [u8; 16]) -> nix::Result<State> {
    let to = attempt.to.ip();
    let protocol = match to {
        IpAddr::V4(_) => SockProtocol::Icmp,
        IpAddr::V6(_) => SockProtocol::IcmpV6,
    };
    let socket = socket(family(to), SockType::Raw, flags(), protocol)?;
    aim_raw(&socket, attempt)?;
    let id = u16::from_be_bytes([nonce[14], nonce[15]]);
    // ICMPv6's checksum needs the source, which the kernel chooses: it writes that one itself.
    let either = if to.is_ipv4() {
        to
    } else {
        IpAddr::from([0_u16; 8])
    };
    let question = Upper::echo_request(id, 1, &nonce).bytes(either, either);
    ask(socket, question, Answer::Echo(to))
}

fn begin_sctp(attempt: &Attempt, nonce: [u8; 16]) -> nix::Result<State> {
    let to = attempt.to.ip();
    let socket = raw_sctp(family(to))?;
    aim_raw(&socket, attempt)?;
    // Of the ports that a stack of its own would choose.
    let own = attempt.source.map_or(0, |source| source.port());
    let own = if own == 0 {
        0x8000 | u16::from_be_bytes([nonce[14], nonce[15]])
    } else {
        own
    };
    let ports = (own, attempt.to.port());
    let unspecified = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    let question = Upper::sctp_init(ports, 0, SCTP_INIT, tag(&nonce));
    ask(
        socket,
        question.bytes(unspecified, unspecified),
        Answer::InitAck { from: to, ports },
    )
}

fn tag(nonce: &[u8; 16]) -> u32 {
    u32::from_be_bytes([nonce[12], nonce[13], nonce[14], nonce[15]])
}

impl Answer {
    /// Reads what has come; `None` where it is not the answer.
    fn read(self, socket: &OwnedFd, nonce: &[u8; 16]) -> Option<Outcome> {
        let mut bytes = [0; 2048];
        let count = match recv(socket.as_raw_fd(), &mut bytes, MsgFlags::empty()) {
            Ok(count) => count,
            Err(Errno::EAGAIN) => return None,
            Err(error) => return Some(Outcome::of(error)),
        };
        let bytes = &bytes[..count];
        match self {
            Self::Datagram => (bytes == nonce).then_some(Outcome::Echoed),
            Self::Echo(from) => {
                let message = without_ip_header(family(from), bytes);
                let reply = if from.is_ipv4() { 0 } else { 129 };
                let is_reply = message.first() == Some(&reply) && message.get(8..) == Some(nonce);
                is_reply.then_some(Outcome::Echoed)
            }
            Self::InitAck { from, ports } => {
                let packet = without_ip_header(family(from), bytes).get(..16)?;
                let ours = [ports.1.to_be_bytes(), ports.0.to_be_bytes()].concat();
                let is_ours = packet[..4] == ours && packet[4..8] == tag(nonce).to_be_bytes();
                match packet[12] {
                    SCTP_INIT_ACK if is_ours => Some(Outcome::Echoed),
                    SCTP_ABORT if is_ours => Some(Outcome::Refused),
                    _ => None,
                }
            }
        }
    }
}
