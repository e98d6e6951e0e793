//! What stands in the way and is not ours: found in the plan, before anything is touched.

use std::fmt;
use std::net::IpAddr;

use crate::live::Live;
use crate::target::Target;
use crate::words::names::FullName;

/// Something of others that has what a container is to have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Collision {
    /// A network namespace of that name exists.
    Namespace {
        /// Which container wants it.
        container: FullName,
        /// Its name.
        name: String,
    },
    /// An interface of that name exists.
    Interface {
        /// Which container wants it.
        container: FullName,
        /// Its name.
        name: String,
    },
    /// The host has the address itself.
    HostAddress {
        /// Which container wants it.
        container: FullName,
        /// The address.
        address: IpAddr,
    },
    /// A subnet of the host keeps the address for itself.
    SubnetAddress {
        /// Which container wants it.
        container: FullName,
        /// The address.
        address: IpAddr,
    },
    /// The host has a route to exactly that address.
    Route {
        /// Which container wants it.
        container: FullName,
        /// The address.
        address: IpAddr,
    },
    /// Somebody else's `resolv.conf` is there for its namespace.
    Resolver {
        /// Which container wants it.
        container: FullName,
        /// The namespace's name.
        name: String,
    },
}

impl fmt::Display for Collision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Namespace { container, name } => write!(
                f,
                "{container}: network namespace {name} exists and is not ours; delete it \
                 (ip netns delete {name}) or name the container otherwise"
            ),
            Self::Interface { container, name } => write!(
                f,
                "{container}: interface {name} exists and is not ours; rename or delete it"
            ),
            Self::HostAddress { container, address } => write!(
                f,
                "{container}: address {address} is the host's own; give the container another"
            ),
            Self::SubnetAddress { container, address } => write!(
                f,
                "{container}: address {address} is what a subnet of the host keeps for itself \
                 (broadcast, or IPv6 router anycast); give the container another"
            ),
            Self::Route { container, address } => write!(
                f,
                "{container}: the host has a route of others to {address}; remove it or give the \
                 container another address"
            ),
            Self::Resolver { container, name } => write!(
                f,
                "{container}: /etc/netns/{name}/resolv.conf exists and was not written by us; \
                 remove it, or set `dns: leave` in plumbline.yaml"
            ),
        }
    }
}

/// All of them, by container.
pub fn collisions(target: &Target, live: &Live) -> Vec<Collision> {
    let host = &live.host;
    let mut list = Vec::new();
    for (name, container) in &target.containers {
        let network = &container.network;
        let container = || name.clone();
        if host.foreign_namespaces.contains(&network.namespace) {
            list.push(Collision::Namespace {
                container: container(),
                name: network.namespace.clone(),
            });
        }
        if host.foreign_interfaces.contains(&network.interface) {
            list.push(Collision::Interface {
                container: container(),
                name: network.interface.clone(),
            });
        }
        if network.resolv_conf && host.foreign_resolvers.contains(&network.namespace) {
            list.push(Collision::Resolver {
                container: container(),
                name: network.namespace.clone(),
            });
        }
        for &address in &network.addresses {
            let container = container();
            if host.addresses.contains(&address) {
                list.push(Collision::HostAddress { container, address });
            } else if host.subnet_addresses.contains(&address) {
                list.push(Collision::SubnetAddress { container, address });
            } else if host.foreign_routes.contains(&address) {
                list.push(Collision::Route { container, address });
            }
        }
    }
    list
}
