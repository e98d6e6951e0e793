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
//! it should be, and refuse to touch what is not ours. What cannot be done inside is told, and the
//! rest is done ([`Made`]): whoever is root there keeps the host from nothing.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::os::fd::AsFd;

use rustix::io::Errno;
use state::target::host::{
    Attach, GATEWAY_MAC, GATEWAY_V4, GATEWAY_V6, INSIDE_NAME, INTERFACE_GROUP, Network, alias,
    namespace_numbers,
};
use state::words::address::Family;
use state::words::names::FullName;

use super::inside::Inside;
use super::links::{self, Link, Pair, Setting, set};
use super::netlink::{Change, Netlink, NetlinkError};
use super::ownership::NotOurs;
use super::pairs::{are_pair, ends_of, half_of, is_interface_of, is_marked, other_end};
use super::{Host, HostError, NamespaceError};
use super::{addresses, namespaces, resolver, routes, sysctls};

/// The two ends of a container's veth pair, each as its own namespace lists it.
pub(super) struct Ends {
    pub(super) host: Link,
    pub(super) inside: Link,
}

/// A network, as far as it was made.
#[derive(Debug)]
#[must_use]
pub struct Made {
    /// Index of the host-side interface.
    pub ifindex: u32,
    /// What could not be done inside, where somebody else may be root; the rest was done.
    pub refused: Option<HostError>,
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

/// The host's interfaces before networks were made: what a container has nothing of there is not
/// looked for again.
pub struct Before {
    names: BTreeSet<String>,
    aliases: BTreeSet<String>,
    numbers: BTreeSet<i32>,
}

impl Before {
    /// Whether no interface has a container's name or mark, and none leads into its namespace.
    fn has_nothing_of(&self, container: &FullName, network: &Network) -> bool {
        let mut numbers = namespace_numbers(container).into_iter();
        !self.names.contains(&network.interface)
            && !self.aliases.contains(&alias(container, &network.attach))
            && !numbers.any(|number| self.numbers.contains(&number))
    }
}

impl Host {
    /// The host's interfaces as they are now.
    pub fn before(&self) -> Result<Before, HostError> {
        let links = links::list(&self.netlink)?;
        Ok(Before {
            numbers: links
                .iter()
                .filter_map(|link| link.peer_namespace)
                .collect(),
            aliases: links.iter().filter_map(|link| link.alias.clone()).collect(),
            names: links.into_iter().map(|link| link.name).collect(),
        })
    }

    /// Makes or completes a container's network as far as that can be while it is closed. A new
    /// interface is down; whether an existing one is up stays as it is.
    pub fn ensure_network(
        &self,
        container: &FullName,
        network: &Network,
    ) -> Result<Made, HostError> {
        self.ensure(container, network, false)
    }

    /// The same, of which nothing has been made since the host's interfaces were these.
    pub fn make_network(
        &self,
        container: &FullName,
        network: &Network,
        before: &Before,
    ) -> Result<Made, HostError> {
        self.ensure(
            container,
            network,
            before.has_nothing_of(container, network),
        )
    }

    /// `is_new`: no interface of its is on the host, and none leads into its namespace.
    fn ensure(
        &self,
        container: &FullName,
        network: &Network,
        is_new: bool,
    ) -> Result<Made, HostError> {
        let (mut inside, is_new) = match &network.attach {
            Attach::Managed => self.ensure_namespace(container, &network.namespace, is_new)?,
            Attach::Namespace(path) => (self.open_theirs(path)?, false),
            // Where one is not there, its container is missing, and nothing of it is planned.
            Attach::Interface { name, .. } => return Err(vanished(name)),
        };
        let found = match is_new {
            true => None,
            false => self.ends(container, network, &inside)?,
        };
        let ends = match found {
            Some(ends) => ends,
            None => {
                if !is_new {
                    self.remove_half(network, &inside)?;
                    inside.links = links::list(&inside.netlink)?;
                }
                self.create_pair(network, &inside)?;
                inside.links = links::list(&inside.netlink)?;
                self.ends(container, network, &inside)?
                    .ok_or_else(|| vanished(&network.interface))?
            }
        };
        match self.mend_host_end(container, network, &ends.host) {
            Err(HostError::Netlink(e)) if e.errno() == Some(Errno::NODEV) => {
                return Err(vanished(&network.interface));
            }
            result => result?,
        }
        if network.resolv_conf {
            resolver::write(&network.namespace)?;
        }
        Ok(Made {
            ifindex: ends.host.index,
            refused: self.ensure_inside(network, &inside, &ends.inside).err(),
        })
    }

    fn ensure_inside(
        &self,
        network: &Network,
        inside: &Inside,
        end: &Link,
    ) -> Result<(), HostError> {
        self.mend_inside_end(network, inside, end)?;
        ensure_ipv6(network, inside)?;
        Ok(ensure_addresses(network, &inside.netlink, end.index)?)
    }

    /// Opens a container's network: both ends up, routes and neighbours on both sides. `on`: the
    /// interface that its programs stand on, for no other one is opened.
    pub fn open_network(
        &self,
        container: &FullName,
        network: &Network,
        on: u32,
    ) -> Result<Made, HostError> {
        let vanished = || vanished(&network.interface);
        let inside = self.inside_of(container, network)?.ok_or_else(vanished)?;
        let ends = self
            .ends(container, network, &inside)?
            .filter(|ends| ends.host.index == on)
            .ok_or_else(vanished)?;
        for family in families(network) {
            for (path, value) in sysctls::of_interface(&network.interface, family) {
                sysctls::write(&path, value)?;
            }
        }
        let name = network.interface.as_str();
        let index = ends.host.index;
        self.netlink.change(set(index, name, Setting::Up(true)))?;
        let refused = open_inside(network, &inside.netlink, ends.inside.index).err();
        for address in &network.addresses {
            let neighbour = routes::neighbour(index, name, *address, network.mac);
            self.netlink.change(neighbour)?;
            match self.netlink.change(routes::to(index, name, *address)) {
                // Its metric is the interface's index: it is the very same route.
                Err(e) if e.errno() == Some(Errno::EXIST) => {}
                result => result?,
            }
        }
        Ok(Made {
            ifindex: index,
            refused: refused.map(HostError::from),
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
        let named = links::find(&self.netlink, &network.interface)?;
        // Looked at, a pair has given its other end's namespace a number.
        let number = links::number_of(&self.netlink, inside.descriptor.as_fd())?;
        if let Some(host) = named.filter(|link| is_interface_of(link, container))
            && let Some(inside) = other_end(&host, &inside.links, number)
        {
            let inside = inside.clone();
            return Ok(Some(Ends { host, inside }));
        }
        let links = links::list(&self.netlink)?;
        let managed = network.attach == Attach::Managed;
        if let Some(found) = ends_of(container, managed, &links, (&inside.links, number)) {
            let (host, inside) = (found.0.clone(), found.1.clone());
            return Ok(Some(Ends { host, inside }));
        }
        match links.iter().find(|link| link.name == network.interface) {
            Some(link) if is_interface_of(link, container) => {
                links::delete(&self.netlink, link.index, &link.name)?;
            }
            Some(link) if !is_marked(link) => return Err(not_ours(&link.name).into()),
            // Another container's of ours, or none.
            _ => {}
        }
        Ok(None)
    }

    /// Removes the inside end of a pair of ours whose host-side end is in another namespace now.
    fn remove_half(&self, network: &Network, inside: &Inside) -> Result<(), NetlinkError> {
        let links = links::list(&self.netlink)?;
        let number = links::number_of(&self.netlink, inside.descriptor.as_fd())?;
        match half_of(network.mac, &links, (&inside.links, number)) {
            Some(half) => links::delete(&inside.netlink, half.index, &half.name),
            None => Ok(()),
        }
    }

    fn create_pair(&self, network: &Network, inside: &Inside) -> Result<(), HostError> {
        if network.attach != Attach::Managed {
            self.make_way_inside(network, inside)?;
        }
        self.make_way(&network.interface)?;
        let pair = Pair {
            name: &network.interface,
            group: INTERFACE_GROUP,
            mac: GATEWAY_MAC,
            namespace: inside.descriptor.as_fd(),
            // Its own it gets where it is mended: here somebody else's in its way would be an
            // error of the pair, and not of what is inside alone.
            inside_name: ANY_OF_OURS,
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
    ) -> Result<(), HostError> {
        let mark = alias(container, &network.attach);
        if found.name != network.interface {
            self.make_way(&network.interface)?;
            rename(&self.netlink, found, &network.interface)?;
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
        Ok(apply(&self.netlink, network, found, settings)?)
    }

    /// Takes the name of a container's interface from another of ours, which gets its own back when
    /// its container's network is mended.
    fn make_way(&self, name: &str) -> Result<(), HostError> {
        match links::find(&self.netlink, name)? {
            Some(other) if is_marked(&other) => Ok(rename(&self.netlink, &other, ANY_OF_OURS)?),
            Some(_) => Err(not_ours(name).into()),
            None => Ok(()),
        }
    }

    fn mend_inside_end(
        &self,
        network: &Network,
        inside: &Inside,
        found: &Link,
    ) -> Result<(), HostError> {
        if found.name != INSIDE_NAME {
            self.make_way_inside(network, inside)?;
            rename(&inside.netlink, found, INSIDE_NAME)?;
        }
        let mac = (found.mac != Some(network.mac)).then_some(Setting::Mac(network.mac));
        let settings = mac.into_iter().collect();
        Ok(apply(&inside.netlink, network, found, settings)?)
    }

    /// Frees the name of ours inside. In a namespace of ours whoever is root may give it to another
    /// interface, and is not to keep the host from its commits by that. In one of others a pair of
    /// ours may have it whose container is to be elsewhere now, and gets a new one there.
    fn make_way_inside(&self, network: &Network, inside: &Inside) -> Result<(), HostError> {
        // The kernel looks it up among second names, too (`altname`), and allows none twice.
        let Some(other) = links::find(&inside.netlink, INSIDE_NAME)? else {
            return Ok(());
        };
        if network.attach == Attach::Managed {
            let change = links::without_name(&other, INSIDE_NAME);
            match other.name == INSIDE_NAME {
                true => rename(&inside.netlink, &other, ANY_OF_THEIRS)?,
                false => inside.netlink.change(change)?,
            }
            return Ok(());
        }
        let number = links::number_of(&self.netlink, inside.descriptor.as_fd())?;
        let links = links::list(&self.netlink)?;
        let mut ours = links.iter().filter(|link| is_marked(link));
        match ours.find(|link| are_pair(link, &other, number)) {
            Some(link) => Ok(links::delete(&self.netlink, link.index, &link.name)?),
            None => Err(NotOurs::Inside {
                namespace: network.namespace_in_words().to_owned(),
                interface: INSIDE_NAME.to_owned(),
            }
            .into()),
        }
    }
}

/// A name that an interface of ours has until it gets its own; the kernel puts a number in.
const ANY_OF_OURS: &str = "pl-%d";
/// The same for an interface that has the name of ours inside a namespace of ours.
const ANY_OF_THEIRS: &str = "not-eth0-%d";

/// Gives an interface another name. Before 6.2 one that is up keeps its own.
fn rename(netlink: &Netlink, found: &Link, name: &str) -> Result<(), NetlinkError> {
    let named = || set(found.index, &found.name, Setting::Name(name));
    match netlink.change(named()) {
        Err(e) if e.errno() == Some(Errno::BUSY) => {
            let up = |up| set(found.index, &found.name, Setting::Up(up));
            netlink.changes(vec![up(false), named(), up(true)])
        }
        result => result,
    }
}

fn open_inside(network: &Network, netlink: &Netlink, eth: u32) -> Result<(), NetlinkError> {
    let mut changes = vec![set(eth, INSIDE_NAME, Setting::Up(true))];
    for family in families(network) {
        let (name, gateway) = (INSIDE_NAME, gateway(family));
        changes.push(routes::neighbour(eth, name, gateway, GATEWAY_MAC));
        let managed = network.attach == Attach::Managed;
        if managed || !leads_out(netlink, family, eth)? {
            changes.push(routes::default(eth, name, gateway, managed));
        }
    }
    netlink.changes(changes)
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

/// In a namespace of ours interfaces begin as they should, but whoever is root inside may switch
/// IPv6 off. An interface that had an MTU too small for IPv6 begins with it anew.
fn ensure_ipv6(network: &Network, inside: &Inside) -> Result<(), NamespaceError> {
    let namespace = inside.descriptor.as_fd();
    let loopbacks = inside.links.iter().filter(|link| link.loopback);
    let done = match network.attach {
        Attach::Managed if families(network).any(|family| family == Family::V6) => loopbacks
            .map(|link| link.name.as_str())
            .chain([INSIDE_NAME])
            .try_for_each(|name| namespaces::switch_on(namespace, name)),
        Attach::Managed => Ok(()),
        _ => namespaces::quiet(namespace, INSIDE_NAME),
    };
    done.map_err(|cause| NamespaceError::Quiet {
        name: network.namespace_in_words().to_owned(),
        cause,
    })
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
