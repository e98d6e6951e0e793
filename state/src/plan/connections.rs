//! Entries as connections, and what tables say of each: by who began it, with the port of the
//! responder ([`crate::target::judge`]).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;

use crate::live::{Entry, Live};
use crate::target::judge::{Side, judge, lookup};
use crate::target::tables::{EndpointIndex, Owner, Tables};
use crate::target::{Constants, Target};
use crate::words::address::Family;
use crate::words::flow::Flow;
use crate::words::names::FullName;
use crate::words::ports::{Protocol, name_of};

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

/// Whose addresses are.
pub(super) struct Ends {
    by_address: BTreeMap<IpAddr, FullName>,
    /// The same by container and family.
    own: BTreeMap<(FullName, Family), IpAddr>,
}

impl Ends {
    /// In live.
    pub(super) fn of_live(live: &Live) -> Self {
        let containers = live.containers.keys();
        Self::of(containers.filter_map(|name| Some((name, live.constants(name)?))))
    }

    /// In a target.
    pub(super) fn of_target(target: &Target) -> Self {
        let containers = target.containers.iter();
        Self::of(containers.map(|(name, container)| (name, container.constants)))
    }

    fn of<'a>(containers: impl Iterator<Item = (&'a FullName, Constants)>) -> Self {
        let addresses = containers.flat_map(|(name, constants)| {
            let addresses = constants.addresses();
            addresses.map(|address| (address, name.clone()))
        });
        let by_address: BTreeMap<IpAddr, FullName> = addresses.collect();
        let own = by_address.iter();
        let own = own.map(|(address, name)| ((name.clone(), Family::of(*address)), *address));
        Self {
            own: own.collect(),
            by_address,
        }
    }

    /// An entry as a connection; `None` where its container has no address of its family.
    pub(super) fn connection(&self, entry: &Entry) -> Option<Connection> {
        let key = (entry.container.clone(), Family::of(entry.peer));
        let own = *self.own.get(&key)?;
        let end = |address, port| End {
            address,
            port,
            container: self.by_address.get(&address).cloned(),
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

    /// Whether each end that is a container of this host has its address here, too, or is one of
    /// those that go on without us.
    pub(super) fn keep(&self, connection: &Connection, released: &BTreeSet<FullName>) -> bool {
        let ends = [&connection.from, &connection.to].into_iter();
        let mut containers = ends.filter_map(|end| Some((end.address, end.container.as_ref()?)));
        containers.all(|(address, container)| match self.by_address.get(&address) {
            Some(owner) => owner == container,
            None => released.contains(container),
        })
    }
}

/// What tables say, remembered: many connections are of one flow but for the port they begin at.
pub(super) struct Judge<'a> {
    tables: &'a Tables,
    said: BTreeMap<Flow, bool>,
    owners: BTreeMap<IpAddr, Owner>,
}

impl<'a> Judge<'a> {
    pub(super) fn new(tables: &'a Tables) -> Self {
        Self {
            tables,
            said: BTreeMap::new(),
            owners: BTreeMap::new(),
        }
    }

    /// Whether they let a connection go on.
    pub(super) fn lets(&mut self, connection: &Connection) -> bool {
        let named = Protocol::from_number(connection.protocol).is_some();
        let flow = Flow {
            source: connection.from.address,
            destination: connection.to.address,
            protocol: connection.protocol,
            port: if named { connection.to.port } else { 0 },
        };
        *self.said.entry(flow).or_insert_with(|| {
            let sides = judge(self.tables, &flow);
            let permits = |side| matches!(side, Side::Permit(_));
            permits(sides.egress) && permits(sides.ingress)
        })
    }

    /// The endpoint that has an address.
    fn endpoint(&mut self, address: IpAddr) -> Option<EndpointIndex> {
        let owner = self.owners.entry(address);
        match owner.or_insert_with(|| lookup(self.tables, address).owner) {
            Owner::Endpoint(index) => Some(*index),
            Owner::Host | Owner::Elsewhere => None,
        }
    }
}

/// Connections of which an entry says what the tables do not: that packets of the live generation
/// pass, or that they are delivered to somebody else. The next generation judges them again.
///
/// What the host itself begins passes from whatever address, and no table says so. Of a container
/// that the tables do not have at all, that is what is to be told, and not each of its connections.
pub fn denied(entries: &[Entry], live: &Live, tables: &Tables) -> BTreeSet<Connection> {
    let Some(base) = &live.base else {
        return BTreeSet::new();
    };
    let ends = Ends::of_live(live);
    let absent = live.containers.keys().filter(|name| {
        let found = live.endpoint(name);
        found.is_some_and(|(index, _)| !tables.endpoints.contains_key(&index))
    });
    let absent: BTreeSet<&FullName> = absent.collect();
    let mut judge = Judge::new(tables);
    let mut denied = BTreeSet::new();
    for entry in entries {
        if !entry.is_of(base.record.generation) {
            continue;
        }
        let Some(connection) = ends.connection(entry) else {
            continue;
        };
        let is_absent = |end: &End| end.container.as_ref().is_some_and(|c| absent.contains(c));
        if is_absent(&connection.from) || is_absent(&connection.to) {
            continue;
        }
        let from_host = entry.from_host && !entry.initiator;
        let elsewhere =
            entry.deliver_to.is_some() && entry.deliver_to != judge.endpoint(entry.peer);
        if elsewhere || !(from_host || judge.lets(&connection)) {
            denied.insert(connection);
        }
    }
    denied
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
