//! What of a container's network goes: what it has too much, or all that is ours of it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::os::fd::AsFd;

use state::live::Process;
use state::target::host::{
    Attach, INSIDE_NAME, Network, container_mac, from_alias, interface_name,
};
use state::words::names::FullName;

use super::links::Link;
use super::netlink::{Netlink, NetlinkError};
use super::network::{families, gateway, not_ours};
use super::pairs::{ends_of, half_of, is_interface_of, is_marked, other_end};
use super::{Host, HostError, addresses, links, namespaces, processes, resolver, routes};

impl Host {
    /// Takes from a container's network what is ours and is not in `network`: addresses inside,
    /// routes and neighbours on both sides, and its `resolv.conf`. What could not be taken away
    /// inside, where somebody else may be root, is no error, and is given.
    pub fn trim_network(
        &self,
        container: &FullName,
        network: &Network,
    ) -> Result<Option<HostError>, HostError> {
        if !network.resolv_conf && network.attach == Attach::Managed {
            resolver::remove(&network.namespace)?;
        }
        let Some(inside) = self.inside_of(container, network)? else {
            return Ok(None);
        };
        let Some(ends) = self.ends(container, network, &inside)? else {
            return Ok(None);
        };
        let wanted = |address: &IpAddr| network.addresses.contains(address);
        trim_routes(&self.netlink, ends.host.index, &network.interface, wanted)?;
        let refused = trim_inside(&inside.netlink, ends.inside.index, network).err();
        Ok(refused.map(HostError::from))
    }

    /// Removes the interfaces of containers whose pairs are as they were made, all at the price of
    /// one grace period. Whose they were; nothing is done of the others.
    pub fn remove_interfaces(
        &self,
        containers: &[FullName],
    ) -> Result<BTreeSet<FullName>, HostError> {
        let links = links::list(&self.netlink)?;
        let found = namespaces::each(containers, |name| self.leads_inside(name, &links).ok()?);
        let found: Vec<(&FullName, &Link)> = containers
            .iter()
            .zip(found)
            .filter_map(|(name, link)| Some((name, link?)))
            .collect();
        let gone: Vec<&Link> = found.iter().map(|(_, link)| *link).collect();
        links::delete_together(&self.netlink, &gone, &links)?;
        Ok(found.into_iter().map(|(name, _)| name.clone()).collect())
    }

    /// Removes a container's interface, and with it the other end, its addresses and routes. From
    /// then on nothing reaches it. Returns whether there was one.
    pub fn remove_interface(
        &self,
        container: &FullName,
        interface: &str,
    ) -> Result<bool, HostError> {
        let links = links::list(&self.netlink)?;
        let named = links.iter().find(|link| link.name == interface);
        let found = match self.leads_inside(container, &links)? {
            None => named.filter(|link| is_interface_of(link, container)),
            found => found,
        };
        match (found, named) {
            (Some(link), _) => {
                links::delete(&self.netlink, link.index, &link.name)?;
                Ok(true)
            }
            (None, Some(other)) if !is_marked(other) => Err(not_ours(interface).into()),
            (None, _) => self.remove_half_anywhere(container, &links),
        }
    }

    /// Removes what is left of a container's pair where somebody has moved the host-side end away,
    /// and its alias with it, which alone says where the pair leads. A namespace into which no pair
    /// of this host ever led has no number here: what is there may be another host's of that name.
    fn remove_half_anywhere(
        &self,
        container: &FullName,
        links: &[Link],
    ) -> Result<bool, HostError> {
        let named = namespaces::names(self.mounts)?.into_iter();
        let named = named.filter_map(|name| namespaces::open(&name, self.mounts).ok().flatten());
        let lived_in = processes::namespaces().map_err(HostError::Processes)?;
        for descriptor in named.chain(lived_in) {
            let numbered = links::number_of(&self.netlink, descriptor.as_fd());
            if !matches!(numbered, Ok(Some(_))) {
                continue;
            }
            let inside = self.look_inside(descriptor)?;
            let around = (&inside.links[..], inside.number);
            if let Some(half) = half_of(container_mac(container), links, around) {
                links::delete(&inside.netlink, half.index, &half.name)?;
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The host-side end of the pair that leads into a container's namespace, whatever its name is.
    fn leads_inside<'a>(
        &self,
        container: &FullName,
        links: &'a [Link],
    ) -> Result<Option<&'a Link>, HostError> {
        let managed = match self.open_namespace(container, &container.dotted()) {
            Err(HostError::NotOurs(_)) => None,
            opened => opened?,
        };
        if let Some(inside) = managed {
            let around = (&inside.links[..], inside.number);
            let found = ends_of(container, true, links, around);
            return Ok(found.map(|(host, _)| host));
        }
        for link in links {
            let marked = link.alias.as_deref().and_then(from_alias);
            let Some((_, Attach::Namespace(path))) = marked.filter(|(of, _)| of == container)
            else {
                continue;
            };
            // One that is gone has taken the pair with it.
            let Ok(inside) = self.open_theirs(&path) else {
                continue;
            };
            if other_end(link, &inside.links, inside.number).is_some() {
                return Ok(Some(link));
            }
        }
        Ok(None)
    }

    /// Takes a container's namespace down: its name and its `resolv.conf`. Processes inside live
    /// on in it, without a network. Returns whether there was one; an empty file of its name, which
    /// a run that died leaves, goes too.
    pub fn remove_namespace(&self, container: &FullName) -> Result<bool, HostError> {
        let name = container.dotted();
        resolver::remove(&name)?;
        if self.open_namespace(container, &name)?.is_none() {
            namespaces::remove_empty(&name, self.mounts)?;
            return Ok(false);
        }
        namespaces::remove(&name, self.mounts)?;
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
}

/// Takes away what is ours inside and is not in a network.
fn trim_inside(netlink: &Netlink, eth: u32, network: &Network) -> Result<(), NetlinkError> {
    let gateways: Vec<_> = families(network).map(gateway).collect();
    trim_routes(netlink, eth, INSIDE_NAME, |gateway| {
        gateways.contains(gateway)
    })?;
    for found in addresses::list(netlink)? {
        if found.index == eth && found.ours && !network.addresses.contains(&found.address) {
            let delete = addresses::delete(eth, INSIDE_NAME, found.address, found.prefix);
            netlink.change(delete)?;
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
