//! What of a host is not BPF: network namespaces, interfaces, addresses, routes, neighbours,
//! sysctls, and the bpffs.
//!
//! A [`Host`] reads what is there and carries out single steps of a plan; it decides nothing. Each
//! step is idempotent: what is as it should be is not written, what an earlier run left half-done
//! is completed, and what is not ours ([`ownership`]) is refused with a [`NotOurs`].
//!
//! ```text
//! ensure_network -> (programs are attached) -> open_network ...
//! ... remove_interface -> remove_namespace
//! ```

pub mod ownership;
pub(crate) mod threads;
mod answers;
mod netlink;
pub mod mounts;
pub mod namespaces;
mod links;
mod addresses;
mod routes;
mod qdiscs;
pub mod sysctls;
pub mod resolver;
mod processes;
mod pairs;
mod inside;
mod network;
mod removal;
pub mod attachments;
mod chains;
mod listing;
mod faults;
mod live;
pub mod anchors;
pub mod events;
pub mod trial;
pub mod mount;

pub use live::HostReading;
pub use mount::MountError;
pub use namespaces::NamespaceError;
pub use netlink::NetlinkError;
pub use network::{Before, Made};
pub use ownership::NotOurs;
pub use resolver::ResolverError;
pub use sysctls::SysctlError;

use mounts::Mounts;
use netlink::Netlink;

/// Why a step on the host failed.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// Something of others stands in the way.
    #[error(transparent)]
    NotOurs(NotOurs),
    /// The kernel refused a request, or did not answer it.
    #[error(transparent)]
    Netlink(#[from] NetlinkError),
    /// A network namespace.
    #[error(transparent)]
    Namespace(NamespaceError),
    /// A sysctl.
    #[error(transparent)]
    Sysctl(#[from] SysctlError),
    /// A `resolv.conf`.
    #[error(transparent)]
    Resolver(ResolverError),
    /// The processes of the host cannot be listed.
    #[error("cannot list the processes in network namespaces: {0}")]
    Processes(std::io::Error),
    /// An interface of ours went away while it was worked on.
    #[error("interface {interface} went away while it was set up; run again")]
    Vanished {
        /// Its name.
        interface: String,
    },
}

impl HostError {
    /// Whether what was worked on is not there any more.
    pub fn is_gone(&self) -> bool {
        match self {
            Self::Vanished { .. } => true,
            Self::Sysctl(error) => error.is_gone(),
            _ => false,
        }
    }
}

impl From<NotOurs> for HostError {
    fn from(error: NotOurs) -> Self {
        Self::NotOurs(error)
    }
}

impl From<NamespaceError> for HostError {
    fn from(error: NamespaceError) -> Self {
        match error {
            NamespaceError::NotOurs(error) => Self::NotOurs(error),
            error => Self::Namespace(error),
        }
    }
}

impl From<ResolverError> for HostError {
    fn from(error: ResolverError) -> Self {
        match error {
            ResolverError::NotOurs(error) => Self::NotOurs(error),
            error => Self::Resolver(error),
        }
    }
}

/// The host in whose network namespace we were started.
pub struct Host {
    netlink: Netlink,
    mounts: Mounts,
}

impl Host {
    /// Opens a netlink socket in the network namespace of the calling thread, which is the host
    /// from then on.
    pub fn open() -> Result<Self, HostError> {
        Ok(Self {
            netlink: Netlink::here()?,
            mounts: Mounts::default(),
        })
    }

    /// The same host, where other mounts than our own count.
    #[must_use]
    pub fn by_mounts_of(mut self, mounts: Mounts) -> Self {
        self.mounts = mounts;
        self
    }

    /// Sets a sysctl of the host and reads it back.
    pub fn set_sysctl(&self, path: &str, value: &str) -> Result<(), HostError> {
        Ok(sysctls::write(path, value)?)
    }

    /// Whether the host has an interface of this index.
    pub fn has(&self, index: u32) -> Result<bool, HostError> {
        Ok(links::at(&self.netlink, index)?.is_some())
    }
}
