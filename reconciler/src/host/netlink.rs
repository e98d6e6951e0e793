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

use std::os::fd::BorrowedFd;
use std::rc::Rc;
use std::time::Duration;

use futures_util::StreamExt;
use rtnetlink::packet_core::{
    NLM_F_ACK, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload,
    NlasIterator,
};
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::proto::{self, ConnectionHandle};
use rtnetlink::sys::protocols::NETLINK_ROUTE;
use rtnetlink::sys::{AsyncSocket, SocketAddr};
use rustix::io::Errno;
use tokio::runtime::Runtime;

use super::answers::{Readable, Roomy};
use super::namespaces;

/// How often a listing is made again because something changed meanwhile.
const LISTINGS_MOST: usize = 16;
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

/// A socket in one network namespace. It works as long as the runtime is driven, which each call
/// does until its answer has come.
pub(super) struct Netlink {
    runtime: Rc<Runtime>,
    handle: ConnectionHandle<Readable>,
    task: tokio::task::JoinHandle<()>,
    /// Whether it is in the namespace of a container.
    inside: bool,
}

impl Drop for Netlink {
    /// Closes the socket, as soon as the runtime is driven again.
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Netlink {
    /// A socket in the network namespace of the calling thread.
    pub(super) fn here(runtime: &Rc<Runtime>) -> Result<Self, NetlinkError> {
        let connected = connect(runtime).map_err(NetlinkError::Open)?;
        Ok(Self::spawn(runtime, connected, false))
    }

    /// A socket in another network namespace.
    pub(super) fn inside(
        runtime: &Rc<Runtime>,
        namespace: BorrowedFd<'_>,
    ) -> Result<Self, NetlinkError> {
        let on: &Runtime = runtime;
        let entered = namespaces::inside(namespace, || connect(on));
        let connected = entered
            .map_err(NetlinkError::Enter)?
            .map_err(NetlinkError::Open)?;
        Ok(Self::spawn(runtime, connected, true))
    }

    fn spawn(runtime: &Rc<Runtime>, (connection, handle): Connected, inside: bool) -> Self {
        Self {
            runtime: Rc::clone(runtime),
            handle,
            task: runtime.spawn(connection),
            inside,
        }
    }

    /// Makes one change.
    pub(super) fn change(&self, change: Change) -> Result<(), NetlinkError> {
        self.changes(vec![change])
    }

    /// Makes changes in order. All are sent before the first answer is awaited; the first error is
    /// returned, and whether those after it were made is not known.
    pub(super) fn changes(&self, changes: Vec<Change>) -> Result<(), NetlinkError> {
        let mut pending = Vec::new();
        for change in changes {
            let flags = NLM_F_REQUEST | NLM_F_ACK | change.flags;
            let request = Readable::request(change.message, flags);
            match self.handle.request(request, kernel()) {
                Ok(answers) => pending.push((change.request, answers)),
                Err(_) => {
                    return Err(NetlinkError::NoAnswer {
                        request: change.request,
                    });
                }
            }
        }
        self.runtime.block_on(async {
            for (request, mut answers) in pending {
                let answer = tokio::time::timeout(ANSWER_TIME, answers.next()).await;
                acknowledged(request, answer.ok().flatten())?;
            }
            Ok(())
        })
    }

    /// Asks for one thing; `None` where the kernel says that there is no such device.
    pub(super) fn get(
        &self,
        request: &str,
        message: RouteNetlinkMessage,
    ) -> Result<Option<RouteNetlinkMessage>, NetlinkError> {
        let no_answer = || NetlinkError::NoAnswer {
            request: request.to_owned(),
        };
        let message = Readable::request(message, NLM_F_REQUEST);
        let answers = self.handle.request(message, kernel());
        let mut answers = answers.map_err(|_| no_answer())?;
        let answer = async { tokio::time::timeout(ANSWER_TIME, answers.next()).await };
        let answer = self.runtime.block_on(answer).ok().flatten();
        match answer.ok_or_else(no_answer)?.payload {
            NetlinkPayload::InnerMessage(message) => Ok(Some(message.0)),
            payload => match refused(request.to_owned(), &payload) {
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
            let listing = self.list_once(request, message.clone());
            let (found, whole) = self.runtime.block_on(listing)?;
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
    async fn list_once(
        &self,
        request: &str,
        message: RouteNetlinkMessage,
    ) -> Result<(Vec<RouteNetlinkMessage>, bool), NetlinkError> {
        let no_answer = || NetlinkError::NoAnswer {
            request: request.to_owned(),
        };
        let message = Readable::request(message, NLM_F_REQUEST | NLM_F_DUMP);
        let answers = self.handle.request(message, kernel());
        let mut answers = answers.map_err(|_| no_answer())?;
        let mut found = Vec::new();
        let mut whole = true;
        loop {
            let answer = tokio::time::timeout(ANSWER_TIME, answers.next()).await;
            let answer = answer.ok().flatten().ok_or_else(no_answer)?;
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
                payload => return Err(refused(request.to_owned(), &payload)),
            }
        }
    }
}

type Connected = (
    proto::Connection<Readable, Roomy>,
    ConnectionHandle<Readable>,
);

/// The kernel's address on a netlink socket (netlink(7)).
fn kernel() -> SocketAddr {
    SocketAddr::new(0, 0)
}

/// Opens a socket in the network namespace of this thread.
fn connect(runtime: &Runtime) -> std::io::Result<Connected> {
    let _context = runtime.enter();
    let (mut connection, handle, _unsolicited) =
        proto::new_connection_with_socket::<_, Roomy>(NETLINK_ROUTE)?;
    connection.set_forward_ack(true);
    connection.set_forward_done(true);
    let socket = connection.socket_mut().socket_mut();
    socket.set_ext_ack(true)?;
    socket.set_cap_ack(true)?;
    Ok((connection, handle))
}

fn acknowledged(
    request: String,
    answer: Option<NetlinkMessage<Readable>>,
) -> Result<(), NetlinkError> {
    match answer.map(|message| message.payload) {
        Some(NetlinkPayload::Error(error)) if error.code.is_none() => Ok(()),
        Some(payload) => Err(refused(request, &payload)),
        None => Err(NetlinkError::NoAnswer { request }),
    }
}

fn refused(request: String, payload: &NetlinkPayload<Readable>) -> NetlinkError {
    let NetlinkPayload::Error(error) = payload else {
        return NetlinkError::NoAnswer { request };
    };
    let Some(code) = error.code else {
        return NetlinkError::NoAnswer { request };
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
        request,
        errno: Errno::from_raw_os_error(code.get().saturating_neg()),
        words,
    }
}

/// A runtime for netlink sockets: one thread, driven only while an answer is awaited.
pub(super) fn runtime() -> Result<Rc<Runtime>, NetlinkError> {
    tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()
        .map(Rc::new)
        .map_err(NetlinkError::Open)
}
