//! What of a host is there, read back: the containers' networks, and what is not ours around them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::os::fd::AsFd;

use state::live::{About, Fault, LiveHost, LiveNetwork, Part};
use state::target::Attachment;
use state::target::host::{
    Attach, GATEWAY_MAC, INSIDE_NAME, INTERFACE_GROUP, Network, container_mac, from_alias,
    interface_name,
};
use state::target::located::Uplink;
use state::words::address::{Cidr, Family, Mac};
use state::words::names::FullName;

use super::addresses::{self, Address};
use super::attachments::{self, Found, Wanted};
use super::chains::Chains;
use super::links::{self, Link};
use super::network::{self, Inside, families, gateway, is_interface_of};
use super::resolver::{self, State};
use super::routes::{self, Neighbour, Route};
use super::{Host, HostError, namespaces, processes, sysctls};

/// A host as it was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostReading {
    /// Containers of which a namespace or an interface of ours was found.
    pub networks: BTreeMap<FullName, LiveNetwork>,
    /// What else a plan needs to know.
    pub host: LiveHost,
    /// Interfaces that lead out of the host.
    pub uplinks: BTreeMap<String, Uplink>,
    /// What of others containers are attached to.
    pub attachments: BTreeMap<FullName, Attachment>,
}

/// The interfaces, addresses, routes and neighbours of one network namespace.
struct Listing {
    links: Vec<Link>,
    addresses: Vec<Address>,
    routes: Vec<Route>,
    neighbours: Vec<Neighbour>,
}

impl Listing {
    fn read(netlink: &super::netlink::Netlink) -> Result<Self, HostError> {
        Ok(Self {
            links: links::list(netlink)?,
            addresses: addresses::list(netlink)?,
            routes: routes::list(netlink)?,
            neighbours: routes::neighbours(netlink)?,
        })
    }

    /// Whether a route leads to a destination (`None`: everywhere) out of an interface.
    fn leads(&self, family: Family, to: Option<IpAddr>, via: Option<IpAddr>, out: u32) -> bool {
        self.routes.iter().any(|route| {
            route.family == family
                && route.destination == to
                && route.gateway == via
                && route.out == Some(out)
                && route.table != routes::LOCAL_TABLE
        })
    }

    fn knows(&self, address: IpAddr, mac: Mac, index: u32) -> bool {
        self.neighbours.iter().any(|neighbour| {
            neighbour.address == address
                && neighbour.mac == Some(mac)
                && neighbour.index == index
                && neighbour.permanent
        })
    }
}

/// Whose a name below `/run/netns` is.
enum Named {
    /// A container's of ours.
    Ours(FullName, Inside),
    /// Somebody else's.
    Foreign,
    /// Nobody's: an empty file that a dead run left, or gone meanwhile.
    Free,
}

impl Host {
    /// Reads what is there, where no container is attached to anything of others.
    pub fn read(&self) -> Result<HostReading, HostError> {
        self.read_for(&Wanted::new(), &BTreeMap::new())
    }

    /// Reads what is there. Nothing is changed. `attached`: the interfaces that programs of
    /// containers are attached to.
    pub fn read_for(
        &self,
        wanted: &Wanted,
        attached: &BTreeMap<FullName, u32>,
    ) -> Result<HostReading, HostError> {
        let listing = Listing::read(&self.netlink)?;
        let mut foreign_namespaces = BTreeSet::new();
        let mut insides = BTreeMap::new();
        for name in namespaces::names()? {
            match self.managed(&name)? {
                Named::Ours(container, inside) => {
                    insides.insert(container, inside);
                }
                Named::Foreign => {
                    foreign_namespaces.insert(name);
                }
                Named::Free => {}
            }
        }
        let (interfaces, marked) = own_interfaces(&listing.links, &insides, wanted);
        let mut found = Found::default();
        let theirs = self.theirs(wanted, &marked, &insides, &mut found)?;
        let around = (&listing.links[..], &listing.routes[..]);
        self.interfaces_of_others(around, wanted, attached, &mut found)?;
        let mut networks = found.networks;
        let resolv_conf = resolver::wanted()?;
        let containers: BTreeSet<_> = insides.keys().chain(interfaces.keys()).cloned().collect();
        for container in containers.iter().chain(theirs.keys()) {
            let is = wanted.get(container).or_else(|| marked.get(container));
            let managed = insides.contains_key(container);
            let reader = NetworkReader {
                container,
                attach: marked.get(container).or(is).filter(|_| !managed),
                link: interfaces.get(container).copied(),
                around: &listing,
                resolv_conf: resolv_conf.as_deref(),
            };
            let outside = theirs.get(container);
            if let Some(why) = reader.in_the_way(is.zip(outside))? {
                let missing = Attachment::Missing(why);
                found.attachments.insert(container.clone(), missing);
            }
            if containers.contains(container) {
                let network = reader.read(insides.get(container).or(outside))?;
                networks.insert(container.clone(), network);
            }
        }
        let own: BTreeSet<u32> = interfaces.values().map(|link| link.index).collect();
        let uplinks = uplinks(&listing, &own)?;
        let chains = Chains::read();
        Ok(HostReading {
            host: LiveHost {
                guards: BTreeMap::new(),
                foreign_namespaces,
                foreign_interfaces: foreign_interfaces(&listing, &own),
                addresses: host_addresses(&listing, &own),
                subnet_addresses: subnet_addresses(&listing, &own),
                foreign_routes: foreign_routes(&listing, &own),
                foreign_resolvers: resolver::foreign()?,
                sysctls: host_sysctls(&uplinks)?,
                forward_drops: chains.forward_drops,
                translated: chains.translated,
                processes: self.processes(&insides)?,
            },
            networks,
            uplinks,
            attachments: found.attachments,
        })
    }

    /// Whose namespace this is. Only names that one of ours could have are entered to look for its
    /// mark. One that cannot be looked at is an error and not somebody else's: it may well be ours.
    fn managed(&self, name: &str) -> Result<Named, HostError> {
        let Ok(container) = FullName::from_dotted(name) else {
            return Ok(Named::Foreign);
        };
        match self.open_namespace(&container, name) {
            Ok(Some(inside)) => Ok(Named::Ours(container, inside)),
            Ok(None) => Ok(Named::Free),
            Err(HostError::NotOurs(_)) => Ok(Named::Foreign),
            Err(e) => Err(e),
        }
    }

    fn processes(
        &self,
        insides: &BTreeMap<FullName, Inside>,
    ) -> Result<BTreeMap<FullName, Vec<state::live::Process>>, HostError> {
        let containers: Vec<&FullName> = insides.keys().collect();
        let mut ids = BTreeMap::new();
        for (at, inside) in insides.values().enumerate() {
            let id = namespaces::id(inside.descriptor.as_fd()).map_err(HostError::Processes)?;
            ids.insert(id, at);
        }
        let mut processes: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for (at, process) in processes::living_in(&ids).map_err(HostError::Processes)? {
            if let Some(container) = containers.get(at) {
                let list = processes.entry((*container).clone()).or_default();
                list.push(process);
            }
        }
        Ok(processes)
    }
}

/// The host-side interfaces of ours, by container, and of those that lead into namespaces of others
/// where: by alias, or where a run died before it set one, by the name that only one container has.
fn own_interfaces<'a>(
    links: &'a [Link],
    insides: &BTreeMap<FullName, Inside>,
    wanted: &Wanted,
) -> (BTreeMap<FullName, &'a Link>, Wanted) {
    let mut own = BTreeMap::new();
    let mut theirs = Wanted::new();
    for link in links {
        let marked = link.alias.as_deref().and_then(from_alias);
        let container = marked.or_else(|| {
            let named = |c: &&FullName| interface_name(c) == link.name;
            let container = insides.keys().chain(wanted.keys()).find(named)?;
            let theirs = wanted
                .get(container)
                .filter(|_| !insides.contains_key(container));
            Some((container.clone(), theirs.cloned().unwrap_or_default()))
        });
        let container = container.filter(|(container, _)| is_interface_of(link, container));
        let Some((container, attach)) = container else {
            continue;
        };
        let managed = attach == Attach::Managed;
        if !managed {
            theirs.insert(container.clone(), attach);
        }
        if link.name == interface_name(&container) {
            own.insert(container, link);
        } else if link.alias.is_some() && (!managed || leads_into(link, insides.get(&container))) {
            // Somebody has given it another name; where one of others' leads its alias says.
            own.entry(container).or_insert(link);
        }
    }
    (own, theirs)
}

fn leads_into(link: &Link, inside: Option<&Inside>) -> bool {
    inside.is_some_and(|inside| {
        let mut links = inside.links.iter();
        links.any(|other| network::are_pair(link, other))
    })
}

/// Reads one container's network.
struct NetworkReader<'a> {
    container: &'a FullName,
    /// Where its network is to be, or is, if that is not managed.
    attach: Option<&'a Attach>,
    /// Its host-side interface.
    link: Option<&'a Link>,
    around: &'a Listing,
    resolv_conf: Option<&'a str>,
}

impl NetworkReader<'_> {
    /// Nothing of it is known but whose it is.
    fn network(&self) -> Network {
        Network {
            attach: self.attach.cloned().unwrap_or_default(),
            namespace: self.container.dotted(),
            interface: interface_name(self.container),
            mac: container_mac(self.container),
            addresses: Vec::new(),
            mtu: self.link.map_or(0, |link| link.mtu),
            resolv_conf: false,
        }
    }

    /// What of others is in the way in a namespace of theirs, which need not be the one that its
    /// interface leads into.
    fn in_the_way(&self, theirs: Option<(&Attach, &Inside)>) -> Result<Option<String>, HostError> {
        let Some((attach, inside)) = theirs else {
            return Ok(None);
        };
        attachments::in_the_way(attach, inside, self.link, &self.network())
    }

    fn read(&self, inside: Option<&Inside>) -> Result<LiveNetwork, HostError> {
        let mut network = self.network();
        let managed = network.attach == Attach::Managed;
        let state = resolver::state(&network.namespace, self.resolv_conf)?;
        network.resolv_conf = state == State::Current;
        let wanted = self.resolv_conf.is_some();
        let found = |ifindex, network, faults: Faults| LiveNetwork {
            ifindex,
            network,
            faults: faults.0,
            reached: self.reached(),
            resolv_conf: matches!((state, wanted), (State::Current, true) | (State::Stale, _)),
        };
        let mut faults = Faults::default();
        let Some(inside) = inside else {
            faults.add(
                Part::Namespace,
                About::All,
                "no network namespace of its name",
            );
            return Ok(found(None, network, faults));
        };
        let listing = Listing::read(&inside.netlink)?;
        if managed && listing.links.iter().any(|link| link.loopback && !link.up) {
            faults.add(Part::Interface, About::All, "the loopback inside is down");
        }
        let Some(link) = self.link else {
            faults.add(Part::Interface, About::All, "no host-side interface");
            return Ok(found(None, network, faults));
        };
        let Some(other) = network::other_end(link, &listing.links, &network) else {
            faults.add(Part::Interface, About::All, "the interface inside is gone");
            return Ok(found(None, network, faults));
        };
        network.mac = other.mac.unwrap_or(network.mac);
        let given = listing.addresses.iter().filter(|a| {
            a.index == other.index && a.ours && a.prefix == Family::of(a.address).bits()
        });
        network.addresses = given.map(|a| a.address).collect();
        network.addresses.sort();
        self.host_faults(link, &network, &mut faults)?;
        inside_faults(&listing, other, &network, &mut faults);
        Ok(found(Some(link.index), network, faults))
    }

    /// Addresses for which routes or neighbours of ours are on the host-side interface.
    fn reached(&self) -> BTreeSet<IpAddr> {
        let Some(link) = self.link else {
            return BTreeSet::new();
        };
        let routes = self.around.routes.iter();
        let routes = routes.filter(|r| r.ours && r.out == Some(link.index));
        let neighbours = self.around.neighbours.iter();
        let neighbours = neighbours.filter(|n| n.ours && n.index == link.index);
        routes
            .filter_map(|route| route.destination)
            .chain(neighbours.map(|neighbour| neighbour.address))
            .collect()
    }

    fn host_faults(
        &self,
        link: &Link,
        network: &Network,
        faults: &mut Faults,
    ) -> Result<(), HostError> {
        let (name, wanted) = (&link.name, &network.interface);
        let mut own = |wrong, words: String| {
            faults.add_if(wrong, Part::Interface, About::All, words);
        };
        own(name != wanted, format!("{wanted} is named {name}"));
        own(!link.up, format!("{name} is down"));
        own(link.alias.is_none(), format!("{name} has no alias"));
        let grouped = link.group == INTERFACE_GROUP;
        own(!grouped, format!("{name} is not in our group"));
        own(
            link.controller.is_some(),
            format!("{name} is a port of a bridge or the like"),
        );
        let words = format!("{name} has another MAC address than {GATEWAY_MAC}");
        own(link.mac != Some(GATEWAY_MAC), words);
        let generates = link.generates_addresses;
        own(generates, format!("{name} generates IPv6 addresses"));
        for xdp in &link.xdp {
            let words = format!("XDP program {} of others stands before ours", xdp.program);
            faults.add(Part::Xdp, About::All, words);
        }
        for &address in &network.addresses {
            let family = Family::of(address);
            let routed = self.around.leads(family, Some(address), None, link.index);
            let words = format!("no route to {address}");
            faults.add_if(!routed, Part::Route, About::Address(address), words);
            let known = self.around.knows(address, network.mac, link.index);
            let words = format!("no permanent neighbour {address}");
            faults.add_if(!known, Part::Neighbour, About::Address(address), words);
        }
        for family in families(network) {
            for (path, value) in sysctls::of_interface(name, family) {
                let is = sysctls::read(&path)?.unwrap_or_default();
                let words = format!("{path} is {is}, not {value}");
                faults.add_if(is != value, Part::Sysctl, About::Family(family), words);
            }
        }
        Ok(())
    }
}

/// What was found to be missing or different.
#[derive(Debug, Default)]
struct Faults(Vec<Fault>);

impl Faults {
    fn add(&mut self, part: Part, about: About, words: impl Into<String>) {
        let words = words.into();
        self.0.push(Fault { part, about, words });
    }

    fn add_if(&mut self, wrong: bool, part: Part, about: About, words: String) {
        if wrong {
            self.add(part, about, words);
        }
    }
}

fn inside_faults(listing: &Listing, eth: &Link, network: &Network, faults: &mut Faults) {
    let mut own = |wrong, words: String| {
        faults.add_if(wrong, Part::Interface, About::All, words);
    };
    let name = &eth.name;
    let words = format!("the interface inside is named {name}, not {INSIDE_NAME}");
    own(name != INSIDE_NAME, words);
    own(!eth.up, "the interface inside is down".to_owned());
    let words = format!("the MTU inside is {}, not {}", eth.mtu, network.mtu);
    own(eth.mtu != network.mtu, words);
    let words = "the interface inside generates IPv6 addresses".to_owned();
    own(eth.generates_addresses, words);
    for family in families(network) {
        let gateway = gateway(family);
        let leads = listing.leads(family, None, Some(gateway), eth.index);
        let about = About::Family(family);
        let words = format!("no default {family} route inside");
        faults.add_if(!leads, Part::Route, about, words);
        let known = listing.knows(gateway, GATEWAY_MAC, eth.index);
        let words = format!("no permanent neighbour {gateway} inside");
        faults.add_if(!known, Part::Neighbour, about, words);
    }
}

fn foreign_interfaces(listing: &Listing, own: &BTreeSet<u32>) -> BTreeSet<String> {
    let others = listing.links.iter().filter(|l| !own.contains(&l.index));
    others.map(|link| link.name.clone()).collect()
}

fn host_addresses(listing: &Listing, own: &BTreeSet<u32>) -> BTreeSet<IpAddr> {
    let others = listing.addresses.iter().filter(|a| !own.contains(&a.index));
    others.map(|address| address.address).collect()
}

/// What the subnets of others' interfaces keep for themselves: the IPv4 broadcast address (RFC 919;
/// a subnet of 31 bits or more has none, RFC 3021) and the IPv6 subnet-router anycast address (RFC
/// 4291, section 2.6.1; none from 127 bits on, RFC 6164).
fn subnet_addresses(listing: &Listing, own: &BTreeSet<u32>) -> BTreeSet<IpAddr> {
    let others = listing.addresses.iter().filter(|a| !own.contains(&a.index));
    let reserved = others.filter_map(|found| {
        let subnet = Cidr::new(found.address, found.prefix).ok()?;
        match subnet {
            Cidr::V4(subnet) if found.prefix < 31 => Some(subnet.broadcast().into()),
            Cidr::V6(subnet) if found.prefix < 127 => Some(subnet.network().into()),
            _ => None,
        }
    });
    reserved.collect()
}

/// Routes of others to a single address. The local table holds the host's own addresses.
fn foreign_routes(listing: &Listing, own: &BTreeSet<u32>) -> BTreeSet<IpAddr> {
    let ours = |route: &Route| route.ours && route.out.is_some_and(|out| own.contains(&out));
    let others = listing.routes.iter().filter(|route| {
        route.prefix == route.family.bits() && route.table != routes::LOCAL_TABLE && !ours(route)
    });
    others.filter_map(|route| route.destination).collect()
}

/// Interfaces that are up, have an address and are neither loopback nor ours.
fn uplinks(listing: &Listing, own: &BTreeSet<u32>) -> Result<BTreeMap<String, Uplink>, HostError> {
    let mut uplinks = BTreeMap::new();
    for link in &listing.links {
        let has_address = listing.addresses.iter().any(|a| a.index == link.index);
        if !link.up || link.loopback || own.contains(&link.index) || !has_address {
            continue;
        }
        let advertised = |route: &Route| route.advertised && route.out == Some(link.index);
        // With accept_ra 0 the kernel listens to no router: a daemon does, and goes on doing so.
        let accepts = sysctls::read(&format!("net/ipv6/conf/{}/accept_ra", link.name))?;
        let learns_routes =
            listing.routes.iter().any(advertised) && accepts.is_some_and(|value| value != "0");
        uplinks.insert(link.name.clone(), Uplink { learns_routes });
    }
    Ok(uplinks)
}

/// The sysctls that forwarding to and from the uplinks depends on.
fn host_sysctls(uplinks: &BTreeMap<String, Uplink>) -> Result<BTreeMap<String, String>, HostError> {
    let global = ["net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding"].map(str::to_owned);
    let of_uplinks = uplinks.keys().flat_map(|name| {
        [
            format!("net/ipv4/conf/{name}/forwarding"),
            format!("net/ipv6/conf/{name}/forwarding"),
            format!("net/ipv6/conf/{name}/accept_ra"),
        ]
    });
    let mut values = BTreeMap::new();
    for path in global.into_iter().chain(of_uplinks) {
        if let Some(value) = sysctls::read(&path)? {
            values.insert(path, value);
        }
    }
    Ok(values)
}
