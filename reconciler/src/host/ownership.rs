//! What is ours on a host, and how it is told.
//!
//! Everything that Plumbline makes outside of bpffs carries a mark that the kernel (or the file)
//! holds itself, so no list of ours has to be kept or believed:
//!
//! | what | mark |
//! |---|---|
//! | network namespace | the number that the host has for it, before it has a name |
//! | host-side interface | its group from the moment it exists, and its alias |
//! | its other end, where it was moved away | name and MAC address, which is the container's |
//! | address, route, neighbour | the protocol number [`ROUTE_PROTOCOL`] |
//! | `resolv.conf` of a namespace | its first line |
//!
//! An alias can be changed by whoever is root, on the host or in the namespace: that of a
//! namespace's `lo` says whose it is to people, and decides nothing. Its number is the host's
//! alone, and a namespace is ours as well where a pair leads into it whose host-side alias says
//! so. Which container of ours a pair is, tells the namespace that it
//! leads into (`super::pairs`).
//!
//! Anything without its mark is somebody else's: it is never changed or removed, and where it has
//! what a container is to have, that is a [`NotOurs`].

use std::path::PathBuf;

use state::target::host::ROUTE_PROTOCOL;

/// The first line of a `resolv.conf` that we wrote.
pub(super) const RESOLV_CONF_MARK: &str = "# Written by plumbline from the host's; do not edit.\n";

/// Something of others stands where something of ours is to be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotOurs {
    /// A network namespace.
    #[error(
        "network namespace {name} exists and is not ours; delete it (`ip netns delete {name}`) or \
         name the container otherwise"
    )]
    Namespace {
        /// Its name.
        name: String,
    },
    /// Something below `/run/netns` that is no network namespace.
    #[error("{} exists and is no network namespace; remove it", path.display())]
    NamespaceFile {
        /// Where.
        path: PathBuf,
    },
    /// An interface of the host.
    #[error("interface {name} exists and is not ours; rename or delete it")]
    Interface {
        /// Its name.
        name: String,
    },
    /// An interface inside a namespace of ours.
    #[error(
        "interface {interface} in network namespace {namespace} is not ours; delete it \
         (`ip -n {namespace} link delete {interface}`)"
    )]
    Inside {
        /// The namespace.
        namespace: String,
        /// The interface.
        interface: String,
    },
    /// A route of the host.
    #[error("the host has a route of others to {destination}; remove it or use another address")]
    Route {
        /// Where to.
        destination: std::net::IpAddr,
    },
    /// A file.
    #[error(
        "{} exists and was not written by us; remove it, or set `dns: leave` in plumbline.yaml",
        path.display()
    )]
    File {
        /// Where.
        path: PathBuf,
    },
}

/// Whether a route, address or neighbour with this protocol number is ours.
pub(super) fn is_ours(protocol: u8) -> bool {
    protocol == ROUTE_PROTOCOL
}
