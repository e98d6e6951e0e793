//! Requests to the kernel's routing netlink (rtnetlink(7)), each with an answer that is certain.
//!
//! A netlink socket belongs to the network namespace in which it was opened, whoever uses it
//! later. So sockets into other namespaces are opened by a short-lived thread that enters the
//! namespace, and our own process stays where it is.
//!
//! Nothing is taken on trust: a change counts as done when its own acknowledgement has come, and a
//! listing as whole when its end mark has come and the kernel has not flagged it as interrupted
//! (`NLM_F_DUMP_INTR`: something changed meanwhile, and entries may be missing); then it is made
//! again. In the namespace of a container whoever is root there can have each one interrupted:
//! after some the last is taken as it is, and what is missing in it is that container's own harm.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rtnetlink::packet_core::{
    NLM_F_ACK, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload,
    NlasIterator,
};
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::sys::protocols::NETLINK_ROUTE;
use rtnetlink::sys::{Socket, SocketAddr};
use rustix::io::Errno;
use rustix::net::sockopt::{Timeout, set_socket_timeout};

use super::answers::{ROOM, Readable};
use super::namespaces;

/// How often a listing is made again because something changed meanwhile.
const LISTINGS_MOST: usize = 16;
/// How many changes are sent before the first answer is read: all answers have room in the socket.
const CHANGES_MOST: usize = 32;
/// How long an answer may take. The kernel answers at once, unless something else holds its lock.
const ANSWER_TIME: Duration = Duration::from_secs(60);
/// `NLMSGERR_ATTR_MSG` of linux/netlink.h: what the kernel says of an error, in words.
const ERROR_MESSAGE: u16 = 1;
/// Length of `struct nlmsghdr`, which an acknowledgement repeats.
const HEADER_LENGTH: usize = 16;

/// Why the kernel did not do or tell something.
#[derive(Debug, thiserror::Error)]
pub enum NetlinkError {
    /// No socket.
    #[error("cannot open a netlink socket: {0}")]
    Open(std::io::Error),
    /// No network namespace to open one in.
    #[error("cannot enter a network namespace: {0}")]
    Enter(std::io::Error),
    /// The kernel refused a request.
    #[error("the kernel refused to {request}: {}", words.clone().unwrap_or(errno.to_string()))]
    Refused {
        /// What was asked for.
        request: String,
        /// The error.
        errno: Errno,
        /// What the kernel says of it.
        words: Option<String>,
    },
    /// No answer came.
    #[error(
        "no answer from the kernel when asked to {request}; whether it was done is not known: \
         run again"
    )]
    NoAnswer {
        /// What was asked for.
        request: String,
    },
    /// A listing changed each time it was made.
    #[error(
        "cannot {request}: it changed during each of {LISTINGS_MOST} readings; something on this \
         host changes its network all the time"
    )]
    Restless {
        /// What was asked for.
        request: String,
    },
}

impl NetlinkError {
    /// Whether the socket was to be in a namespace of another kind (setns(2)).
    pub(super) fn is_of_another_kind(&self) -> bool {
        let invalid = Some(Errno::INVAL.raw_os_error());
        matches!(self, Self::Enter(cause) if cause.raw_os_error() == invalid)
    }

    /// The error number of a refused request.
    pub fn errno(&self) -> Option<Errno> {
        match self {
            Self::Refused { errno, .. } => Some(*errno),
            _ => None,
        }
    }
}

/// One change, and the words for it.
pub(super) struct Change {
    request: String,
    message: RouteNetlinkMessage,
    flags: u16,
}

impl Change {
    /// A change in words that follow "refused to", and the flags of its message beside
    /// `NLM_F_REQUEST` and `NLM_F_ACK`.
    pub(super) fn new(request: String, message: RouteNetlinkMessage, flags: u16) -> Self {
        Self {
            request,
            message,
            flags,
        }
    }
}

/// A socket in one network namespace. Requests are made one after the other, whichever threads make
/// them; an answer to none that is waited for is left from one that ended early.
pub(super) struct Netlink {
    socket: Socket,
    /// The number of the last request. Who holds it is alone with the socket.
    sequence: Mutex<u32>,
    /// Whether it is in the namespace of a container.
    inside: bool,
}

impl Netlink {
    /// A socket in the network namespace of the calling thread.
    pub(super) fn here() -> Result<Self, NetlinkError> {
        Self::open(false).map_err(NetlinkError::Open)
    }

    /// A socket in another network namespace.
    pub(super) fn inside(namespace: BorrowedFd<'_>) -> Result<Self, NetlinkError> {
        namespaces::inside(namespace, || Self::open(true))
            .map_err(NetlinkError::Enter)?
            .map_err(NetlinkError::Open)
    }

    /// Opens a socket in the network namespace of this thread.
    fn open(inside: bool) -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.bind_auto()?;
        socket.connect(&kernel())?;
        socket.set_ext_ack(true)?;
        socket.set_cap_ack(true)?;
        set_socket_timeout(socket.as_fd(), Timeout::Recv, Some(ANSWER_TIME))?;
        Ok(Self {
            socket,
            sequence: Mutex::new(0),
            inside,
        })
    }

    /// Makes one change.
    pub(super) fn change(&self, change: Change) -> Result<(), NetlinkError> {
        self.changes(vec![change])
    }

    /// Makes changes in order. Several are sent before the first answer is awaited; the first error
    /// is returned, and whether those after it were made is not known.
    pub(super) fn changes(&self, changes: Vec<Change>) -> Result<(), NetlinkError> {
        let mut asking = self.asking();
        let mut changes = changes.into_iter().peekable();
        while changes.peek().is_some() {
            let mut pending = Vec::new();
            for change in changes.by_ref().take(CHANGES_MOST) {
                let flags = NLM_F_REQUEST | NLM_F_ACK | change.flags;
                let sequence = asking.send(&change.request, change.message, flags)?;
                pending.push((sequence, change.request));
            }
            for (sequence, request) in pending {
                acknowledged(&request, &asking.next(sequence, &request)?)?;
            }
        }
        Ok(())
    }

    /// Asks for one thing; `None` where the kernel says that there is no such device.
    pub(super) fn get(
        &self,
        request: &str,
        message: RouteNetlinkMessage,
    ) -> Result<Option<RouteNetlinkMessage>, NetlinkError> {
        let mut asking = self.asking();
        let sequence = asking.send(request, message, NLM_F_REQUEST)?;
        match asking.next(sequence, request)?.payload {
            NetlinkPayload::InnerMessage(message) => Ok(Some(message.0)),
            payload => match refused(request, &payload) {
                e if e.errno() == Some(Errno::NODEV) => Ok(None),
                e => Err(e),
            },
        }
    }

    /// Lists what matches `message`, whole and consistent, unless whoever is root in a namespace of
    /// a container keeps that from being had.
    pub(super) fn list(
        &self,
        request: &str,
        message: &RouteNetlinkMessage,
    ) -> Result<Vec<RouteNetlinkMessage>, NetlinkError> {
        let mut last = None;
        for _ in 0..LISTINGS_MOST {
            let (found, whole) = self.list_once(request, message.clone())?;
            if whole {
                return Ok(found);
            }
            last = Some(found);
        }
        let restless = || NetlinkError::Restless {
            request: request.to_owned(),
        };
        last.filter(|_| self.inside).ok_or_else(restless)
    }

    /// One listing, and whether nothing interrupted it.
    fn list_once(
        &self,
        request: &str,
        message: RouteNetlinkMessage,
    ) -> Result<(Vec<RouteNetlinkMessage>, bool), NetlinkError> {
        let mut asking = self.asking();
        let sequence = asking.send(request, message, NLM_F_REQUEST | NLM_F_DUMP)?;
        let mut found = Vec::new();
        let mut whole = true;
        loop {
            let answer = asking.next(sequence, request)?;
            whole &= answer.header.flags & NLM_F_DUMP_INTR == 0;
            match answer.payload {
                NetlinkPayload::InnerMessage(message) => found.push(message.0),
                NetlinkPayload::Done(done) if done.code == 0 || self.inside => {
                    return Ok((found, whole));
                }
                NetlinkPayload::Done(done) => {
                    return Err(NetlinkError::Refused {
                        request: request.to_owned(),
                        errno: Errno::from_raw_os_error(done.code.saturating_neg()),
                        words: None,
                    });
                }
                payload => return Err(refused(request, &payload)),
            }
        }
    }

    fn asking(&self) -> Asking<'_> {
        Asking {
            socket: &self.socket,
            // Whoever broke off has left a number that was used.
            sequence: self.sequence.lock().unwrap_or_else(PoisonError::into_inner),
            read: VecDeque::new(),
        }
    }
}

/// Who asks, and what the kernel has said so far.
struct Asking<'a> {
    socket: &'a Socket,
    sequence: MutexGuard<'a, u32>,
    read: VecDeque<NetlinkMessage<Readable>>,
}

impl Asking<'_> {
    /// Sends a request; its number.
    fn send(
        &mut self,
        request: &str,
        message: RouteNetlinkMessage,
        flags: u16,
    ) -> Result<u32, NetlinkError> {
        *self.sequence = self.sequence.wrapping_add(1);
        let message = Readable::request(message, flags, *self.sequence);
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        match self.socket.send(&bytes, 0) {
            Ok(sent) if sent == bytes.len() => Ok(*self.sequence),
            _ => Err(no_answer(request)),
        }
    }

    /// The next message to the request of this number.
    fn next(
        &mut self,
        sequence: u32,
        request: &str,
    ) -> Result<NetlinkMessage<Readable>, NetlinkError> {
        loop {
            match self.read.pop_front() {
                Some(message) if message.header.sequence_number == sequence => return Ok(message),
                Some(_) => continue,
                None => {}
            }
            let mut bytes = Vec::with_capacity(ROOM);
            match self.socket.recv(&mut bytes, 0) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(length) if length > 0 => self.take(&bytes),
                _ => return Err(no_answer(request)),
            }
        }
    }

    /// Takes the messages of a datagram (netlink(7), `struct nlmsghdr`).
    fn take(&mut self, mut bytes: &[u8]) {
        while let Some(length) = bytes.first_chunk().map(|first| u32::from_ne_bytes(*first)) {
            let length = usize::try_from(length).unwrap_or(usize::MAX);
            let Some((message, _)) = bytes.split_at_checked(length.max(HEADER_LENGTH)) else {
                return;
            };
            match NetlinkMessage::deserialize(message) {
                Ok(message) => self.read.push_back(message),
                // What cannot be read at all is as good as left out.
                Err(error) => tracing::debug!("an answer of the kernel was left out: {error}"),
            }
            let next = message.len().next_multiple_of(4);
            bytes = bytes.get(next..).unwrap_or_default();
        }
    }
}

/// The kernel's address on a netlink socket (netlink(7)).
fn kernel() -> SocketAddr {
    SocketAddr::new(0, 0)
}

fn no_answer(request: &str) -> NetlinkError {
    NetlinkError::NoAnswer {
        request: request.to_owned(),
    }
}

fn acknowledged(request: &str, answer: &NetlinkMessage<Readable>) -> Result<(), NetlinkError> {
    match &answer.payload {
        NetlinkPayload::Error(error) if error.code.is_none() => Ok(()),
        payload => Err(refused(request, payload)),
    }
}

fn refused(request: &str, payload: &NetlinkPayload<Readable>) -> NetlinkError {
    let NetlinkPayload::Error(error) = payload else {
        return no_answer(request);
    };
    let Some(code) = error.code else {
        return no_answer(request);
    };
    let said = error.header.get(HEADER_LENGTH..).unwrap_or_default();
    let words = NlasIterator::new(said)
        .filter_map(Result::ok)
        .find(|attribute| attribute.kind() == ERROR_MESSAGE)
        .map(|attribute| {
            let text = String::from_utf8_lossy(attribute.value());
            text.trim_end_matches('\0').to_owned()
        });
    NetlinkError::Refused {
        request: request.to_owned(),
        errno: Errno::from_raw_os_error(code.get().saturating_neg()),
        words,
    }
}
