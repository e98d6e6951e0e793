//! One container's network: its namespace, veth pair, addresses, routes and neighbours.
//!
//! It is made in two steps, so that no packet passes before a program stands on its interface:
//!
//! - [`Host::ensure_network`] makes everything that can be made while the host-side interface is
//!   down. A pair with one end down carries nothing, whatever happens inside the namespace.
//! - [`Host::open_network`] brings both ends up and adds what needs that: routes and neighbours.
//!   It is called once the container's programs are attached.
//!
//! What goes is in [`super::removal`].
//!
//! Both complete what an earlier run left half-done, mend what drifted, change nothing that is as
//! it should be, and refuse to touch what is not ours.

use std::net::IpAddr;
use std::os::fd::{AsFd, OwnedFd};

use rustix::io::Errno;
use state::target::host::{
    Attach, GATEWAY_MAC, GATEWAY_V4, GATEWAY_V6, INSIDE_NAME, INTERFACE_GROUP, Network, alias,
    from_alias,
};
use state::words::address::Family;
use state::words::names::FullName;

use super::links::{self, Link, Pair, Setting, set};
use super::netlink::{Change, Netlink, NetlinkError};
use super::ownership::NotOurs;
use super::{Host, HostError, NamespaceError, addresses, namespaces, resolver, routes, sysctls};

/// A namespace of ours, and a socket in it.
pub(super) struct Inside {
    pub(super) descriptor: OwnedFd,
    pub(super) netlink: Netlink,
    pub(super) links: Vec<Link>,
}

/// The two ends of a container's veth pair, each as its own namespace lists it.
pub(super) struct Ends {
    pub(super) host: Link,
    pub(super) inside: Link,
}

/// The gateway of a family's default route inside.
pub(super) fn gateway(family: Family) -> IpAddr {
    match family {
        Family::V4 => GATEWAY_V4.into(),
        Family::V6 => GATEWAY_V6.into(),
    }
}

/// The families in which a network has addresses.
pub(super) fn families(network: &Network) -> impl Iterator<Item = Family> + '_ {
    Family::ALL
        .into_iter()
        .filter(|family| network.addresses.iter().any(|a| Family::of(*a) == *family))
}

/// Whether a host-side interface is this container's: its alias says so, or it has none yet and
/// has our group beside the name that only this container's has.
pub(super) fn is_interface_of(link: &Link, container: &FullName) -> bool {
    match &link.alias {
        Some(text) => from_alias(text).is_some_and(|(name, _)| name == *container),
        None => link.group == INTERFACE_GROUP,
    }
}

impl Host {
    /// Makes or completes a container's network as far as that can be while it is closed, and
    /// gives the index of its host-side interface. A new interface is down; whether an existing
    /// one is up stays as it is.
    pub fn ensure_network(
        &self,
        container: &FullName,
        network: &Network,
    ) -> Result<u32, HostError> {
        let mut inside = match &network.attach {
            Attach::Managed => self.ensure_namespace(container, &network.namespace)?,
            Attach::Namespace(path) => self.open_theirs(path)?,
            Attach::Interface { name, .. } => {
                let found = links::find(&self.netlink, name)?;
                return found.map(|link| link.index).ok_or_else(|| vanished(name));
            }
        };
        let ends = match self.ends(container, network, &inside)? {
            Some(ends) => ends,
            None => {
                self.remove_half(network, &inside)?;
                inside.links = links::list(&inside.netlink)?;
                self.create_pair(network, &inside)?;
                inside.links = links::list(&inside.netlink)?;
                self.ends(container, network, &inside)?
                    .ok_or_else(|| vanished(&network.interface))?
            }
        };
        self.mend_host_end(container, network, &ends.host)?;
        mend_inside_end(network, &inside.netlink, &ends.inside)?;
        if network.attach != Attach::Managed {
            let quiet = namespaces::quiet(inside.descriptor.as_fd(), INSIDE_NAME);
            quiet.map_err(|cause| NamespaceError::Quiet {
                name: network.namespace_in_words().to_owned(),
                cause,
            })?;
        }
        ensure_addresses(network, &inside.netlink, ends.inside.index)?;
        if network.resolv_conf {
            resolver::write(&network.namespace)?;
        }
        Ok(ends.host.index)
    }

    /// Opens a container's network: both ends up, routes and neighbours on both sides.
    pub fn open_network(&self, container: &FullName, network: &Network) -> Result<(), HostError> {
        let vanished = || vanished(&network.interface);
        let inside = self.inside_of(container, network)?.ok_or_else(vanished)?;
        let ends = self
            .ends(container, network, &inside)?
            .ok_or_else(vanished)?;
        for family in families(network) {
            for (path, value) in sysctls::of_interface(&network.interface, family) {
                sysctls::write(&path, value)?;
            }
        }
        let name = network.interface.as_str();
        let index = ends.host.index;
        self.netlink.change(set(index, name, Setting::Up(true)))?;
        let mut changes = vec![set(ends.inside.index, INSIDE_NAME, Setting::Up(true))];
        for family in families(network) {
            let gateway = gateway(family);
            let (eth, name) = (ends.inside.index, INSIDE_NAME);
            changes.push(routes::neighbour(eth, name, gateway, GATEWAY_MAC));
            let managed = network.attach == Attach::Managed;
            if managed || !leads_out(&inside.netlink, family, eth)? {
                changes.push(routes::default(eth, name, gateway, managed));
            }
        }
        inside.netlink.changes(changes)?;
        for address in &network.addresses {
            let neighbour = routes::neighbour(index, name, *address, network.mac);
            self.netlink.change(neighbour)?;
            match self.netlink.change(routes::to(index, name, *address)) {
                // Its metric is the interface's index: it is the very same route.
                Err(e) if e.errno() == Some(Errno::EXIST) => {}
                result => result?,
            }
        }
        Ok(())
    }

    /// The namespace of a network that was made, if it is there.
    pub(super) fn inside_of(
        &self,
        container: &FullName,
        network: &Network,
    ) -> Result<Option<Inside>, HostError> {
        match &network.attach {
            Attach::Managed => self.open_namespace(container, &network.namespace),
            Attach::Namespace(path) => self.open_theirs(path).map(Some),
            Attach::Interface { .. } => Ok(None),
        }
    }

    /// Somebody else's namespace.
    pub(super) fn open_theirs(&self, path: &str) -> Result<Inside, HostError> {
        let opened = namespaces::open_theirs(path);
        let descriptor = opened.map_err(NamespaceError::Theirs)?;
        Ok(self.look_inside(descriptor)?)
    }

    pub(super) fn look_inside(&self, descriptor: OwnedFd) -> Result<Inside, NetlinkError> {
        let netlink = Netlink::inside(&self.runtime, descriptor.as_fd())?;
        let links = links::list(&netlink)?;
        Ok(Inside {
            descriptor,
            netlink,
            links,
        })
    }

    /// The namespace of a name, if there is one and it is this container's.
    pub(super) fn open_namespace(
        &self,
        container: &FullName,
        name: &str,
    ) -> Result<Option<Inside>, HostError> {
        let Some(descriptor) = namespaces::open(name)? else {
            return Ok(None);
        };
        let inside = self.look_inside(descriptor)?;
        let mark = alias(container, &Attach::Managed);
        let marked = |link: &Link| link.loopback && link.alias.as_deref() == Some(mark.as_str());
        if !inside.links.iter().any(marked) {
            let name = name.to_owned();
            return Err(NotOurs::Namespace { name }.into());
        }
        Ok(Some(inside))
    }

    fn ensure_namespace(&self, container: &FullName, name: &str) -> Result<Inside, HostError> {
        let inside = match self.open_namespace(container, name)? {
            Some(inside) => inside,
            None => self.create_namespace(container, name)?,
        };
        for lo in inside.links.iter().filter(|l| l.loopback && !l.up) {
            let up = set(lo.index, &lo.name, Setting::Up(true));
            inside.netlink.change(up)?;
        }
        Ok(inside)
    }

    fn create_namespace(&self, container: &FullName, name: &str) -> Result<Inside, HostError> {
        let descriptor = namespaces::create(name)?;
        let netlink = Netlink::inside(&self.runtime, descriptor.as_fd())?;
        for lo in links::list(&netlink)?.iter().filter(|l| l.loopback) {
            let mark = alias(container, &Attach::Managed);
            netlink.change(set(lo.index, &lo.name, Setting::Alias(&mark)))?;
            netlink.change(set(lo.index, &lo.name, Setting::Up(true)))?;
        }
        namespaces::bind(name, descriptor.as_fd())?;
        let links = links::list(&netlink)?;
        Ok(Inside {
            descriptor,
            netlink,
            links,
        })
    }

    /// Both ends of the pair, where it is whole. A host-side end of ours whose other end is not in
    /// the namespace is of no use to anybody: it is removed.
    pub(super) fn ends(
        &self,
        container: &FullName,
        network: &Network,
        inside: &Inside,
    ) -> Result<Option<Ends>, HostError> {
        let found = match links::find(&self.netlink, &network.interface)? {
            None => self.renamed(container, network, inside)?,
            found => found,
        };
        let Some(host) = found else {
            return Ok(None);
        };
        if !is_interface_of(&host, container) {
            return Err(not_ours(&network.interface).into());
        }
        match other_end(&host, &inside.links, network) {
            Some(other) => Ok(Some(Ends {
                inside: other.clone(),
                host,
            })),
            None => {
                links::delete(&self.netlink, host.index, &host.name)?;
                Ok(None)
            }
        }
    }

    /// The host-side end of a pair of ours to which somebody has given another name.
    fn renamed(
        &self,
        container: &FullName,
        network: &Network,
        inside: &Inside,
    ) -> Result<Option<Link>, NetlinkError> {
        let mark = alias(container, &network.attach);
        let mut links = links::list(&self.netlink)?.into_iter();
        Ok(links.find(|link| {
            link.alias.as_deref() == Some(mark.as_str())
                && other_end(link, &inside.links, network).is_some()
        }))
    }

    /// Removes the inside end of a pair of ours whose host-side end is in another namespace now:
    /// known by its name and its MAC address, which is made from the container's.
    fn remove_half(&self, network: &Network, inside: &Inside) -> Result<(), NetlinkError> {
        let links = links::list(&self.netlink)?;
        let half = inside.links.iter().find(|half| {
            let ours = half.veth && half.name == INSIDE_NAME && half.mac == Some(network.mac);
            let half = std::slice::from_ref(*half);
            ours && links
                .iter()
                .all(|link| other_end(link, half, network).is_none())
        });
        match half {
            Some(half) => links::delete(&inside.netlink, half.index, &half.name),
            None => Ok(()),
        }
    }

    fn create_pair(&self, network: &Network, inside: &Inside) -> Result<(), HostError> {
        if inside.links.iter().any(|link| link.name == INSIDE_NAME) {
            let namespace = network.namespace_in_words().to_owned();
            let interface = INSIDE_NAME.to_owned();
            return Err(NotOurs::Inside {
                namespace,
                interface,
            }
            .into());
        }
        let pair = Pair {
            name: &network.interface,
            group: INTERFACE_GROUP,
            mac: GATEWAY_MAC,
            namespace: inside.descriptor.as_fd(),
            inside_name: INSIDE_NAME,
            inside_mac: network.mac,
            mtu: network.mtu,
        };
        match links::create(&self.netlink, &pair) {
            Err(e) if e.errno() == Some(Errno::EXIST) => Err(not_ours(&network.interface).into()),
            result => Ok(result?),
        }
    }

    fn mend_host_end(
        &self,
        container: &FullName,
        network: &Network,
        found: &Link,
    ) -> Result<(), NetlinkError> {
        let mark = alias(container, &network.attach);
        if found.name != network.interface {
            self.name_again(network, found)?;
        }
        let mut settings = Vec::new();
        if found.alias.as_deref() != Some(mark.as_str()) {
            settings.push(Setting::Alias(&mark));
        }
        if found.group != INTERFACE_GROUP {
            settings.push(Setting::Group(INTERFACE_GROUP));
        }
        if found.mac != Some(GATEWAY_MAC) {
            settings.push(Setting::Mac(GATEWAY_MAC));
        }
        if found.controller.is_some() {
            settings.push(Setting::NoController);
        }
        settings.extend(found.xdp.iter().copied().map(Setting::WithoutXdp));
        apply(&self.netlink, network, found, settings)
    }

    /// Gives the host-side end its name back. Before 6.2 an interface that is up keeps its own.
    fn name_again(&self, network: &Network, found: &Link) -> Result<(), NetlinkError> {
        let name = || set(found.index, &found.name, Setting::Name(&network.interface));
        match self.netlink.change(name()) {
            Err(e) if e.errno() == Some(Errno::BUSY) => {
                let down = set(found.index, &found.name, Setting::Up(false));
                self.netlink.changes(vec![down, name()])
            }
            result => result,
        }
    }
}

/// The other end of a pair among the interfaces of a namespace: each names the other's index. In a
/// namespace of others another pair may have the same two, so the MAC address counts as well: it
/// is the container's from the beginning.
pub(super) fn other_end<'a>(host: &Link, links: &'a [Link], network: &Network) -> Option<&'a Link> {
    let managed = network.attach == Attach::Managed;
    let mut veths = links.iter().filter(|link| link.veth);
    veths.find(|link| are_pair(host, link) && (managed || link.mac == Some(network.mac)))
}

/// Whether each of two interfaces, as its own namespace lists it, names the other's index.
pub(super) fn are_pair(host: &Link, inside: &Link) -> bool {
    host.veth && inside.veth && inside.peer == Some(host.index) && host.peer == Some(inside.index)
}

/// Whether an interface's default route is there: in a namespace of others it is never put in the
/// place of another.
fn leads_out(netlink: &Netlink, family: Family, index: u32) -> Result<bool, NetlinkError> {
    let found = routes::list(netlink)?;
    let gateway = Some(gateway(family));
    Ok(found.iter().any(|route| {
        route.family == family
            && route.destination.is_none()
            && route.gateway == gateway
            && route.out == Some(index)
    }))
}

fn vanished(interface: &str) -> HostError {
    HostError::Vanished {
        interface: interface.to_owned(),
    }
}

fn mend_inside_end(network: &Network, netlink: &Netlink, found: &Link) -> Result<(), NetlinkError> {
    let mut settings = Vec::new();
    if found.name != INSIDE_NAME {
        // An interface that is up keeps its name on some kernels.
        settings.extend([Setting::Up(false), Setting::Name(INSIDE_NAME)]);
    }
    if found.mac != Some(network.mac) {
        settings.push(Setting::Mac(network.mac));
    }
    apply(netlink, network, found, settings)
}

/// Makes these settings, and those that both ends share.
fn apply(
    netlink: &Netlink,
    network: &Network,
    found: &Link,
    mut settings: Vec<Setting<'_>>,
) -> Result<(), NetlinkError> {
    if found.mtu != network.mtu {
        settings.push(Setting::Mtu(network.mtu));
    }
    if found.generates_addresses {
        settings.push(Setting::NoGeneratedAddresses);
    }
    let changes: Vec<Change> = settings
        .into_iter()
        .map(|setting| set(found.index, &found.name, setting))
        .collect();
    netlink.changes(changes)
}

fn ensure_addresses(network: &Network, netlink: &Netlink, index: u32) -> Result<(), NetlinkError> {
    let found = addresses::list(netlink)?;
    for address in &network.addresses {
        let bits = Family::of(*address).bits();
        let same = found
            .iter()
            .filter(|f| f.index == index && f.address == *address);
        let mut right = false;
        for other in same {
            right |= other.ours && other.prefix == bits;
            if other.prefix != bits {
                // IPv6 has an address once: with another prefix it would stand in the way.
                netlink.change(addresses::delete(
                    index,
                    INSIDE_NAME,
                    *address,
                    other.prefix,
                ))?;
            }
        }
        if !right {
            netlink.change(addresses::add(index, INSIDE_NAME, *address))?;
        }
    }
    Ok(())
}

pub(super) fn not_ours(interface: &str) -> NotOurs {
    NotOurs::Interface {
        name: interface.to_owned(),
    }
}
