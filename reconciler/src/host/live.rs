//! What of a host is there, read back: the containers' networks, and what is not ours around them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::os::fd::AsFd;

use state::live::{About, LiveHost, LiveNetwork, Part};
use state::target::Attachment;
use state::target::host::{Attach, Network, container_mac, from_alias, interface_name};
use state::target::located::Uplink;
use state::words::address::{Cidr, Family};
use state::words::names::FullName;

use super::attachments::{self, Found, Wanted};
use super::chains::Chains;
use super::faults::{Faults, host_faults, inside_faults, loopback_faults};
use super::inside::Inside;
use super::links::Link;
use super::listing::Listing;
use super::pairs;
use super::resolver::{self, State};
use super::routes::{self, Route};
use super::{Host, HostError, namespaces, processes, sysctls, threads};

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
        let (mut insides, foreign_namespaces) = self.named()?;
        insides.extend(self.unnamed(&listing.links, &insides, &foreign_namespaces)?);
        let marked = marked(&listing.links);
        let mut found = Found::default();
        let theirs = self.theirs(wanted, &marked, &insides, &mut found)?;
        let interfaces = own_interfaces(&listing.links, &insides, &theirs, wanted);
        let around = (&listing.links[..], &listing.routes[..]);
        self.interfaces_of_others(around, wanted, attached, &mut found)?;
        let mut networks = found.networks;
        let resolv_conf = resolver::wanted()?;
        let known: BTreeSet<_> = insides.keys().chain(interfaces.keys()).collect();
        let all: Vec<&FullName> = known.iter().copied().chain(theirs.keys()).collect();
        let read = threads::each(&all, |container| {
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
            let in_the_way = reader.in_the_way(is.zip(outside), wanted)?;
            let half = outside.and_then(|outside| reader.half(outside));
            let network = (known.contains(container) || half.is_some())
                .then(|| reader.read(insides.get(container).or(outside)))
                .transpose()?;
            Ok::<_, HostError>((in_the_way, network))
        });
        for (container, read) in all.into_iter().zip(read) {
            let (in_the_way, network) = read?;
            if let Some(why) = in_the_way {
                let missing = Attachment::Missing(why);
                found.attachments.insert(container.clone(), missing);
            }
            if let Some(network) = network {
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
                addresses: host_addresses(&listing, wanted),
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

    /// The namespaces of ours, and the names of others.
    fn named(&self) -> Result<(BTreeMap<FullName, Inside>, BTreeSet<String>), HostError> {
        let mut insides = BTreeMap::new();
        let mut foreign = BTreeSet::new();
        let names = namespaces::names(self.mounts)?;
        let found = namespaces::each(&names, |name| self.managed(name));
        for (name, found) in names.into_iter().zip(found) {
            match found? {
                Named::Ours(container, inside) => {
                    insides.insert(container, inside);
                }
                Named::Foreign => {
                    foreign.insert(name);
                }
                Named::Free => {}
            }
        }
        Ok((insides, foreign))
    }

    /// Those of ours that have lost their name.
    fn unnamed(
        &self,
        links: &[Link],
        named: &BTreeMap<FullName, Inside>,
        foreign: &BTreeSet<String>,
    ) -> Result<BTreeMap<FullName, Inside>, HostError> {
        let aliases = links.iter().filter_map(|link| link.alias.as_deref());
        let marked: BTreeSet<FullName> = aliases
            .filter_map(from_alias)
            .map(|(name, _)| name)
            .collect();
        let lost = marked.iter().filter(|name| {
            let taken = foreign.contains(&name.dotted());
            !named.contains_key(name) && !taken
        });
        self.nameless(&lost.collect::<Vec<_>>(), links)
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

/// Where the pairs of ours lead that lead into namespaces of others, as their aliases say.
fn marked(links: &[Link]) -> Wanted {
    let aliases = links.iter().filter_map(|link| link.alias.as_deref());
    let theirs = aliases.filter_map(from_alias);
    theirs
        .filter(|(_, attach)| *attach != Attach::Managed)
        .collect()
}

/// The host-side interfaces of ours, by container: those that lead into its namespace, and where
/// none does, by alias and name, or where a run died before it set an alias, by name.
fn own_interfaces<'a>(
    links: &'a [Link],
    insides: &BTreeMap<FullName, Inside>,
    theirs: &BTreeMap<FullName, Inside>,
    wanted: &Wanted,
) -> BTreeMap<FullName, &'a Link> {
    let mut own = BTreeMap::new();
    let managed = insides.iter().map(|inside| (true, inside));
    for (managed, (name, inside)) in managed.chain(theirs.iter().map(|inside| (false, inside))) {
        let around = (&inside.links[..], inside.number);
        if let Some((host, _)) = pairs::ends_of(name, managed, links, around) {
            own.entry(name.clone()).or_insert(host);
        }
    }
    let taken: BTreeSet<u32> = own.values().map(|link| link.index).collect();
    for link in links.iter().filter(|link| !taken.contains(&link.index)) {
        let marked = link.alias.as_deref().and_then(from_alias);
        let container = marked.or_else(|| {
            let named = |c: &&FullName| interface_name(c) == link.name;
            let container = insides.keys().chain(wanted.keys()).find(named)?;
            Some((container.clone(), Attach::Managed))
        });
        let Some((container, attach)) = container else {
            continue;
        };
        let named = link.name == interface_name(&container);
        if pairs::is_interface_of(link, &container) && (named || attach != Attach::Managed) {
            own.entry(container).or_insert(link);
        }
    }
    own
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

    /// What of its pair is in a namespace, where the host-side end was moved away.
    fn half<'i>(&self, inside: &'i Inside) -> Option<&'i Link> {
        let inside = (&inside.links[..], inside.number);
        pairs::half_of(container_mac(self.container), &self.around.links, inside)
    }

    /// What of others is in the way in a namespace of theirs, which need not be the one that its
    /// interface leads into. Neither what is left of its own pair is, nor the pair of a container
    /// that is to be in another one.
    fn in_the_way(
        &self,
        theirs: Option<(&Attach, &Inside)>,
        wanted: &Wanted,
    ) -> Result<Option<String>, HostError> {
        let Some((Attach::Namespace(path), inside)) = theirs else {
            return Ok(None);
        };
        let leaves = |host: &&Link| {
            let whose = host.alias.as_deref().and_then(from_alias);
            let to = whose.and_then(|(name, _)| wanted.get(&name));
            matches!(to, Some(Attach::Namespace(to)) if to != path)
        };
        let hosts = self.around.links.iter().filter(leaves).chain(self.link);
        let ends = hosts.filter_map(|host| pairs::other_end(host, &inside.links, inside.number));
        let ours = ends.chain(self.half(inside)).map(|link| link.index);
        attachments::in_the_way(path, inside, &ours.collect())
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
            faults: faults.list,
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
        if !inside.named {
            let words = format!(
                "its network namespace has lost its name {}",
                network.namespace
            );
            faults.add(Part::Name, About::All, words);
        }
        let listing = Listing::read(&inside.netlink)?;
        faults.inside = true;
        if managed {
            loopback_faults(&listing, self.container, &mut faults);
        }
        let Some(link) = self.link else {
            faults.add(Part::Interface, About::All, "no host-side interface");
            return Ok(found(None, network, faults));
        };
        let Some(other) = pairs::other_end(link, &listing.links, inside.number) else {
            faults.add(Part::Interface, About::All, "the interface inside is gone");
            return Ok(found(None, network, faults));
        };
        network.mac = other.mac.unwrap_or(network.mac);
        let given = listing.addresses.iter().filter(|a| {
            a.index == other.index && a.ours && a.prefix == Family::of(a.address).bits()
        });
        network.addresses = given.map(|a| a.address).collect();
        network.addresses.sort();
        faults.inside = false;
        host_faults(self.around, self.container, link, &network, &mut faults)?;
        faults.inside = true;
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
}

fn foreign_interfaces(listing: &Listing, own: &BTreeSet<u32>) -> BTreeMap<String, u32> {
    let others = listing.links.iter().filter(|l| !own.contains(&l.index));
    others.map(|link| (link.name.clone(), link.index)).collect()
}

/// Those on interfaces of ours, too, which are to have none: the host answers there itself. A
/// link-local one (RFC 4291, section 2.5.6) is known on its own link alone, so it counts where
/// containers are attached: any other interface that somebody makes has one.
fn host_addresses(listing: &Listing, wanted: &Wanted) -> BTreeSet<IpAddr> {
    let named = wanted.values().filter_map(|attach| match attach {
        Attach::Interface { name, .. } => Some(name.as_str()),
        Attach::Managed | Attach::Namespace(_) => None,
    });
    let named: BTreeSet<&str> = named.collect();
    let attached = listing.links.iter();
    let attached = attached.filter(|link| named.contains(link.name.as_str()));
    let attached: BTreeSet<u32> = attached.map(|link| link.index).collect();
    let link_local = |address: &IpAddr| match address {
        IpAddr::V4(_) => false,
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    let all = listing.addresses.iter();
    all.filter(|found| !link_local(&found.address) || attached.contains(&found.index))
        .map(|found| found.address)
        .collect()
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

/// Routes of others to a single address. In the local table the kernel has the host's own.
fn foreign_routes(listing: &Listing, own: &BTreeSet<u32>) -> BTreeSet<IpAddr> {
    let ours = |route: &Route| route.ours && route.out.is_some_and(|out| own.contains(&out));
    let others = listing.routes.iter().filter(|route| {
        let of_address = route.table == routes::LOCAL_TABLE && route.of_kernel;
        route.prefix == route.family.bits() && !of_address && !ours(route)
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
