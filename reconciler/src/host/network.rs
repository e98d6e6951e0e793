//! One container's network: its namespace, veth pair, addresses, routes and neighbours.
//!
//! It is made in two steps, so that no packet passes before a program stands on its interface:
//!
//! - [`Host::ensure_network`] makes everything that can be made while the host-side interface is
//!   down. A pair with one end down carries nothing, whatever happens inside the namespace.
//! - [`Host::open_network`] brings both ends up and adds what needs that: routes and neighbours.
//!   It is called once the container's programs are attached.
//!
//! Both complete what an earlier run left half-done, mend what drifted, change nothing that is as
//! it should be, and refuse to touch what is not ours.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::os::fd::{AsFd, OwnedFd};

use rustix::io::Errno;
use state::live::Process;
use state::target::host::{
    GATEWAY_MAC, GATEWAY_V4, GATEWAY_V6, INSIDE_NAME, INTERFACE_GROUP, Network, alias,
    interface_name,
};
use state::words::address::Family;
use state::words::names::FullName;

use super::links::{self, Link, Pair, Setting, set};
use super::netlink::{Change, Netlink, NetlinkError};
use super::ownership::NotOurs;
use super::{Host, HostError, addresses, namespaces, processes, resolver, routes, sysctls};

/// A namespace of ours, and a socket in it.
pub(super) struct Inside {
    pub(super) descriptor: OwnedFd,
    pub(super) netlink: Netlink,
    pub(super) links: Vec<Link>,
}

/// The two ends of a container's veth pair, each as its own namespace lists it.
struct Ends {
    host: Link,
    inside: Link,
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
        Some(text) => *text == alias(container),
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
        let mut inside = self.ensure_namespace(container, &network.namespace)?;
        let ends = match self.ends(container, network, &inside)? {
            Some(ends) => ends,
            None => {
                self.remove_half(network, &inside)?;
                inside.links = links::list(&inside.netlink)?;
                self.create_pair(network, &inside)?;
                inside.links = links::list(&inside.netlink)?;
                self.ends(container, network, &inside)?
                    .ok_or_else(|| HostError::Vanished {
                        interface: network.interface.clone(),
                    })?
            }
        };
        self.mend_host_end(container, network, &ends.host)?;
        mend_inside_end(network, &inside.netlink, &ends.inside)?;
        ensure_addresses(network, &inside.netlink, ends.inside.index)?;
        if network.resolv_conf {
            resolver::write(&network.namespace)?;
        }
        Ok(ends.host.index)
    }

    /// Opens a container's network: both ends up, routes and neighbours on both sides.
    pub fn open_network(&self, container: &FullName, network: &Network) -> Result<(), HostError> {
        let vanished = || HostError::Vanished {
            interface: network.interface.clone(),
        };
        let inside = self
            .open_namespace(container, &network.namespace)?
            .ok_or_else(vanished)?;
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
            changes.push(routes::default(eth, name, gateway));
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

    /// Takes from a container's network what is ours and is not in `network`: addresses inside,
    /// routes and neighbours on both sides, and its `resolv.conf`.
    pub fn trim_network(&self, container: &FullName, network: &Network) -> Result<(), HostError> {
        if !network.resolv_conf {
            resolver::remove(&network.namespace)?;
        }
        let Some(inside) = self.open_namespace(container, &network.namespace)? else {
            return Ok(());
        };
        let Some(ends) = self.ends(container, network, &inside)? else {
            return Ok(());
        };
        let wanted = |address: &IpAddr| network.addresses.contains(address);
        trim_routes(&self.netlink, ends.host.index, &network.interface, wanted)?;
        let eth = ends.inside.index;
        let gateways: Vec<_> = families(network).map(gateway).collect();
        trim_routes(&inside.netlink, eth, INSIDE_NAME, |gateway| {
            gateways.contains(gateway)
        })?;
        for found in addresses::list(&inside.netlink)? {
            if found.index == eth && found.ours && !wanted(&found.address) {
                let delete = addresses::delete(eth, INSIDE_NAME, found.address, found.prefix);
                inside.netlink.change(delete)?;
            }
        }
        Ok(())
    }

    /// Removes a container's interface, and with it the other end, its addresses and routes. From
    /// then on nothing reaches it. Returns whether there was one.
    pub fn remove_interface(
        &self,
        container: &FullName,
        interface: &str,
    ) -> Result<bool, HostError> {
        let found = match links::find(&self.netlink, interface)? {
            None => match self.open_namespace(container, &container.dotted())? {
                Some(inside) => self.renamed(container, &inside)?,
                None => None,
            },
            found => found,
        };
        let Some(link) = found else {
            return Ok(false);
        };
        if !is_interface_of(&link, container) {
            return Err(not_ours(interface).into());
        }
        links::delete(&self.netlink, link.index, interface)?;
        Ok(true)
    }

    /// Takes a container's namespace down: its name and its `resolv.conf`. Processes inside live
    /// on in it, without a network. Returns whether there was one; an empty file of its name, which
    /// a run that died leaves, goes too.
    pub fn remove_namespace(&self, container: &FullName) -> Result<bool, HostError> {
        let name = container.dotted();
        resolver::remove(&name)?;
        if self.open_namespace(container, &name)?.is_none() {
            namespaces::remove_empty(&name)?;
            return Ok(false);
        }
        namespaces::remove(&name)?;
        Ok(true)
    }

    /// Takes a container's network down, interface first, and gives the processes that still live
    /// in its namespace: they live on, without a network.
    pub fn remove_network(&self, container: &FullName) -> Result<Vec<Process>, HostError> {
        self.remove_interface(container, &interface_name(container))?;
        let inside = self.open_namespace(container, &container.dotted())?;
        self.remove_namespace(container)?;
        let Some(inside) = inside else {
            return Ok(Vec::new());
        };
        let id = namespaces::id(inside.descriptor.as_fd()).map_err(HostError::Processes)?;
        let found = processes::living_in(&BTreeMap::from([(id, 0)]));
        let found = found.map_err(HostError::Processes)?;
        Ok(found.into_iter().map(|(_, process)| process).collect())
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
        let netlink = Netlink::inside(&self.runtime, descriptor.as_fd())?;
        let links = links::list(&netlink)?;
        let mark = alias(container);
        let marked = |link: &Link| link.loopback && link.alias.as_deref() == Some(mark.as_str());
        if !links.iter().any(marked) {
            let name = name.to_owned();
            return Err(NotOurs::Namespace { name }.into());
        }
        Ok(Some(Inside {
            descriptor,
            netlink,
            links,
        }))
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
            let mark = alias(container);
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
    fn ends(
        &self,
        container: &FullName,
        network: &Network,
        inside: &Inside,
    ) -> Result<Option<Ends>, HostError> {
        let found = match links::find(&self.netlink, &network.interface)? {
            None => self.renamed(container, inside)?,
            found => found,
        };
        let Some(host) = found else {
            return Ok(None);
        };
        if !is_interface_of(&host, container) {
            return Err(not_ours(&network.interface).into());
        }
        match other_end(&host, &inside.links) {
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
    fn renamed(&self, container: &FullName, inside: &Inside) -> Result<Option<Link>, NetlinkError> {
        let mark = alias(container);
        let links = links::list(&self.netlink)?.into_iter();
        let mut ours = links.filter(|link| {
            link.alias.as_deref() == Some(mark.as_str()) && other_end(link, &inside.links).is_some()
        });
        Ok(ours.next())
    }

    /// Removes the inside end of a pair of ours whose host-side end is in another namespace now:
    /// known by its name and its MAC address, which is made from the container's.
    fn remove_half(&self, network: &Network, inside: &Inside) -> Result<(), NetlinkError> {
        let links = links::list(&self.netlink)?;
        let half = inside.links.iter().find(|half| {
            let ours = half.veth && half.name == INSIDE_NAME && half.mac == Some(network.mac);
            let half = std::slice::from_ref(*half);
            ours && links.iter().all(|link| other_end(link, half).is_none())
        });
        match half {
            Some(half) => links::delete(&inside.netlink, half.index, &half.name),
            None => Ok(()),
        }
    }

    fn create_pair(&self, network: &Network, inside: &Inside) -> Result<(), HostError> {
        if inside.links.iter().any(|link| link.name == INSIDE_NAME) {
            let namespace = network.namespace.clone();
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
        let mark = alias(container);
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

/// The other end of a pair among the interfaces of a namespace: each names the other's index.
pub(super) fn other_end<'a>(host: &Link, links: &'a [Link]) -> Option<&'a Link> {
    links
        .iter()
        .find(|link| link.veth && link.peer == Some(host.index) && host.peer == Some(link.index))
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

/// Removes routes and neighbours of ours on an interface, whose address or gateway is not wanted.
fn trim_routes(
    netlink: &Netlink,
    index: u32,
    interface: &str,
    wanted: impl Fn(&IpAddr) -> bool,
) -> Result<(), NetlinkError> {
    for route in routes::list(netlink)? {
        if !route.ours || route.out != Some(index) {
            continue;
        }
        match (route.destination, route.gateway) {
            (Some(address), _) if !wanted(&address) => {
                netlink.change(routes::delete_to(index, interface, address))?;
            }
            (None, Some(gateway)) if !wanted(&gateway) => {
                netlink.change(routes::delete_default(index, interface, gateway))?;
            }
            _ => {}
        }
    }
    for found in routes::neighbours(netlink)? {
        if found.ours && found.index == index && !wanted(&found.address) {
            netlink.change(routes::delete_neighbour(index, interface, found.address))?;
        }
    }
    Ok(())
}

fn not_ours(interface: &str) -> NotOurs {
    NotOurs::Interface {
        name: interface.to_owned(),
    }
}
