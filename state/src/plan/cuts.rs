//! Which live connections a plan would cut: those that live lets go on and the target does not.
//!
//! Each is judged as the datapath judges its next packet under a new generation: by who began it,
//! with the port of the responder, in the tables of either slot ([`crate::target::judge`]). A
//! connection of two containers of this host stands in the maps of both and counts once.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;

use crate::live::Live;
use crate::target::judge::{Side, judge};
use crate::target::tables::Tables;
use crate::target::{Constants, Target};
use crate::words::address::Family;
use crate::words::flow::Flow;
use crate::words::names::FullName;
use crate::words::ports::{Protocol, name_of};

/// One entry of a container's connection maps, as it is handed in: neither closed nor expired, and
/// no record of fragments.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// Whose maps it stands in.
    pub container: FullName,
    /// The other end.
    pub peer: IpAddr,
    /// IANA protocol number.
    pub protocol: u8,
    /// The container's port; 0 where the protocol has none.
    pub own_port: u16,
    /// The other end's; of an ICMP echo its identifier.
    pub peer_port: u16,
    /// Whether the container began it.
    pub initiator: bool,
}

/// A connection, by who began it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Connection {
    /// Who began it.
    pub from: End,
    /// With whom.
    pub to: End,
    /// IANA protocol number.
    pub protocol: u8,
}

/// One end of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct End {
    /// Its address.
    pub address: IpAddr,
    /// Its port; 0 where the protocol has none.
    pub port: u16,
    /// The container of this host that has the address in live.
    pub container: Option<FullName>,
}

/// What a plan would cut.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cuts {
    /// The connections, in order.
    pub cut: BTreeSet<Connection>,
    /// How many go on in live.
    pub of: usize,
}

/// Compares what live and target say of each.
pub fn cuts(entries: impl Iterator<Item = Entry>, live: &Live, target: &Target) -> Cuts {
    let Some(base) = &live.base else {
        return Cuts::default();
    };
    let owners = Owners::of(live, target);
    let connections: BTreeSet<Connection> = entries
        .filter_map(|entry| owners.connection(&entry))
        .collect();
    let tables = &base.live_slot().tables;
    let alive = connections
        .into_iter()
        .filter(|connection| lets(tables, connection));
    let mut of = 0;
    let mut cut = BTreeSet::new();
    for connection in alive {
        of += 1;
        if !owners.keep(&connection) || !lets(&target.tables, &connection) {
            cut.insert(connection);
        }
    }
    Cuts { cut, of }
}

/// Whose addresses are, before and after.
struct Owners {
    live: BTreeMap<IpAddr, FullName>,
    /// The same by container and family.
    own: BTreeMap<(FullName, Family), IpAddr>,
    target: BTreeMap<IpAddr, FullName>,
}

impl Owners {
    fn of(live: &Live, target: &Target) -> Self {
        let before = live.containers.iter();
        let before = before.filter_map(|(name, c)| Some((name, c.programs?.constants)));
        let after = target.containers.iter();
        let after = after.map(|(name, c)| (name, c.constants));
        let (live, target) = (by_address(before), by_address(after));
        let own = live.iter();
        let own = own.map(|(address, name)| ((name.clone(), Family::of(*address)), *address));
        Self {
            own: own.collect(),
            live,
            target,
        }
    }

    /// An entry as a connection; `None` where its container has no address of its family.
    fn connection(&self, entry: &Entry) -> Option<Connection> {
        let key = (entry.container.clone(), Family::of(entry.peer));
        let own = *self.own.get(&key)?;
        let end = |address, port| End {
            address,
            port,
            container: self.live.get(&address).cloned(),
        };
        let own = end(own, entry.own_port);
        let peer = end(entry.peer, entry.peer_port);
        let (from, to) = match entry.initiator {
            true => (own, peer),
            false => (peer, own),
        };
        Some(Connection {
            from,
            to,
            protocol: entry.protocol,
        })
    }

    /// Whether each end that is a container of this host still has its address.
    fn keep(&self, connection: &Connection) -> bool {
        [&connection.from, &connection.to].into_iter().all(|end| {
            end.container.is_none() || self.target.get(&end.address) == end.container.as_ref()
        })
    }
}

fn by_address<'a>(
    containers: impl Iterator<Item = (&'a FullName, Constants)>,
) -> BTreeMap<IpAddr, FullName> {
    let addresses = containers.flat_map(|(name, constants)| {
        let addresses = constants.addresses();
        addresses.map(|address| (address, name.clone()))
    });
    addresses.collect()
}

fn lets(tables: &Tables, connection: &Connection) -> bool {
    let named = Protocol::from_number(connection.protocol).is_some();
    let sides = judge(
        tables,
        &Flow {
            source: connection.from.address,
            destination: connection.to.address,
            protocol: connection.protocol,
            port: if named { connection.to.port } else { 0 },
        },
    );
    [sides.egress, sides.ingress]
        .iter()
        .all(|side| matches!(side, Side::Permit(_)))
}

impl fmt::Display for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let protocol = name_of(self.protocol);
        write!(f, "{protocol} {} -> {}", self.from, self.to)
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(container) = &self.container {
            write!(f, "{container} ")?;
        }
        match (self.address, self.port) {
            (address, 0) => write!(f, "{address}"),
            (IpAddr::V4(address), port) => write!(f, "{address}:{port}"),
            (IpAddr::V6(address), port) => write!(f, "[{address}]:{port}"),
        }
    }
}
