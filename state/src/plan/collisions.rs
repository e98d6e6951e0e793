//! What stands in the way and is not ours: found in the plan, before anything is touched.

use std::fmt;
use std::mem::discriminant;
use std::net::IpAddr;

use crate::live::{Live, LiveHost};
use crate::target::Target;
use crate::target::host::{Attach, Network};
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
    /// It is live and attached in another way.
    Attached {
        /// Which container.
        container: FullName,
    },
    /// It is live and attached to another interface of others, which is still there.
    Elsewhere {
        /// Which container.
        container: FullName,
        /// The interface's index.
        ifindex: u32,
    },
    /// Programs of another container are on the interface of others that it is attached to.
    Shared {
        /// Which container.
        container: FullName,
        /// The other one.
        with: FullName,
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
            Self::Attached { container } => write!(
                f,
                "{container}: it is attached in another way (spec.attach), and cannot be in both; \
                 apply its removal first, or give it another name"
            ),
            Self::Elsewhere { container, ifindex } => write!(
                f,
                "{container}: it is attached to another interface of others, of index {ifindex}, \
                 which is still there and would carry on unjudged; apply its removal first"
            ),
            Self::Shared { container, with } => write!(
                f,
                "{container}: programs of {with} are on the interface that it is attached to, and \
                 one container's alone can be; apply its removal first"
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
        names(host, name, &container.network, &mut list);
        let theirs = matches!(container.network.attach, Attach::Interface { .. });
        for address in container.constants.addresses() {
            let container = name.clone();
            if host.addresses.contains(&address) {
                list.push(Collision::HostAddress { container, address });
            } else if host.subnet_addresses.contains(&address) {
                list.push(Collision::SubnetAddress { container, address });
            } else if host.foreign_routes.contains(&address) && !theirs {
                list.push(Collision::Route { container, address });
            }
        }
        let before = live.containers.get(name).and_then(|c| c.network.as_ref());
        if let Some(before) = before
            && container.missing.is_none()
            && discriminant(&before.network.attach) != discriminant(&container.network.attach)
        {
            let container = name.clone();
            list.push(Collision::Attached { container });
        }
        if theirs && container.missing.is_none() {
            list.extend(elsewhere(live, name));
            list.extend(shared(live, name));
        }
    }
    list
}

/// Programs of a container on another interface than its own, where they judge or, while it is
/// missing, keep it closed. Only in one place at a time can they be, and until the store it is the
/// one that it has: that no packet is judged otherwise before, and none unjudged after, takes two
/// commits.
fn elsewhere(live: &Live, name: &FullName) -> Option<Collision> {
    let found = live.containers.get(name)?;
    let programs = found.programs?;
    // A run that died before its first store has left them there, and lets everything pass.
    if !live.is_live(name) && programs.constants.passes {
        return None;
    }
    let ifindex = programs.ifindex;
    let own = found.network.as_ref()?.ifindex;
    (own != Some(ifindex)).then(|| Collision::Elsewhere {
        container: name.clone(),
        ifindex,
    })
}

/// Programs of another container on the same interface, as where it has got another name, or what
/// is left of them: before them a container that live does not know would let all pass, and with
/// them goes the guard.
fn shared(live: &Live, name: &FullName) -> Option<Collision> {
    let own = live.containers.get(name)?.network.as_ref()?.ifindex?;
    let whole = live.attached().into_iter();
    let theirs = live.theirs().into_iter();
    let theirs = theirs.filter_map(|(other, ifindex)| Some((other, ifindex?)));
    let mut there = whole.chain(theirs);
    let (with, _) = there.find(|(other, ifindex)| other != name && *ifindex == own)?;
    let container = name.clone();
    Some(Collision::Shared { container, with })
}

/// What is to be made under a name that others have.
fn names(host: &LiveHost, name: &FullName, network: &Network, list: &mut Vec<Collision>) {
    let managed = network.attach == Attach::Managed;
    let made = !matches!(network.attach, Attach::Interface { .. });
    if managed && host.foreign_namespaces.contains(&network.namespace) {
        list.push(Collision::Namespace {
            container: name.clone(),
            name: network.namespace.clone(),
        });
    }
    if made && host.foreign_interfaces.contains_key(&network.interface) {
        list.push(Collision::Interface {
            container: name.clone(),
            name: network.interface.clone(),
        });
    }
    if network.resolv_conf && host.foreign_resolvers.contains(&network.namespace) {
        list.push(Collision::Resolver {
            container: name.clone(),
            name: network.namespace.clone(),
        });
    }
}
