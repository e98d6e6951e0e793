//! One tree, as each of the hosts that it names judges it.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::desired::{self, Container, Desired};
use crate::documents::Documents;
use crate::target::datapath::Datapath;
use crate::target::judge::lookup;
use crate::target::tables::{Owner, PolicyKey, Tables};
use crate::target::{CompileError, Located, Memory, compile_again};
use crate::words::address::Family;
use crate::words::identity::{IdentityId, RulesetId, SubjectId};
use crate::words::names::{FullName, HostName};
use crate::words::verdict::Direction;

/// One tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// The containers of all hosts.
    containers: BTreeMap<FullName, Container>,
    /// What each host would hold: the one that asks first.
    pub(super) tables: Vec<Tables>,
    /// The place of each host there.
    homes: BTreeMap<HostName, usize>,
}

/// What one end is to a view: everything that its flows depend on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Seat {
    /// Of a container: the host that judges it, and its subject there.
    subject: Option<(usize, SubjectId)>,
    /// What each host knows it as.
    identities: Vec<IdentityId>,
}

impl Seat {
    /// Who judges here; `None` of an address that is no container's.
    pub(super) fn subject(&self) -> Option<(usize, SubjectId)> {
        self.subject
    }
}

impl View {
    /// Compiles a tree, which must have been resolved without errors, for every host that it names,
    /// and first for the one that it was resolved for.
    ///
    /// # Errors
    ///
    /// As [`compile_again`].
    pub fn of(
        documents: &Documents,
        desired: &Desired,
        datapath: &Datapath,
        memory: &mut Memory,
    ) -> Result<Self, CompileError> {
        let located = Located::default();
        let mut tables = vec![compile_again(desired, &located, datapath, memory)?.tables];
        let mut homes = BTreeMap::from([(desired.host.clone(), 0)]);
        for name in desired.containers.values().filter_map(|c| c.host.as_ref()) {
            if homes.contains_key(name) {
                continue;
            }
            let (elsewhere, _) = desired::resolve(documents, name);
            homes.insert(name.clone(), tables.len());
            tables.push(compile_again(&elsewhere, &located, datapath, memory)?.tables);
        }
        Ok(Self {
            containers: desired.containers.clone(),
            tables,
            homes,
        })
    }

    /// The containers of all hosts.
    pub(super) fn containers(&self) -> &BTreeMap<FullName, Container> {
        &self.containers
    }

    /// What a container is in one family; `None` where the tree has no such container, or it has
    /// no address there.
    pub(super) fn seat(&self, name: &FullName, family: Family) -> Option<Seat> {
        let container = self.containers.get(name)?;
        let mut addresses = container.addresses.iter().copied();
        let address = addresses.find(|address| Family::of(*address) == family)?;
        let home = match &container.host {
            Some(host) => *self.homes.get(host)?,
            None => 0,
        };
        let Owner::Endpoint(endpoint) = lookup(&self.tables[home], address).owner else {
            return None;
        };
        let subject = self.tables[home].endpoints.get(&endpoint)?.subject;
        Some(Seat {
            subject: Some((home, subject)),
            identities: self.identities(address),
        })
    }

    /// What an address is that is no container's.
    pub(super) fn outside(&self, address: IpAddr) -> Seat {
        Seat {
            subject: None,
            identities: self.identities(address),
        }
    }

    fn identities(&self, address: IpAddr) -> Vec<IdentityId> {
        let tables = self.tables.iter();
        tables
            .map(|tables| lookup(tables, address).identity)
            .collect()
    }

    /// The ruleset by which one end judges another, and whose it is; `None` where it is no
    /// container: nobody judges there. Without a row it lets nothing pass.
    pub(super) fn ruleset(
        &self,
        own: &Seat,
        direction: Direction,
        other: &Seat,
    ) -> Option<(usize, Option<RulesetId>)> {
        let (home, subject) = own.subject?;
        let row = |identity| {
            let key = PolicyKey {
                subject,
                direction,
                identity,
            };
            self.tables[home].policy.get(&key)
        };
        let ruleset = row(other.identities[home]).or_else(|| row(IdentityId::ANY));
        Some((home, ruleset.copied()))
    }
}
