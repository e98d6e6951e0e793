//! What packets and the host's stack see before the store: it may not change, save that what was
//! broken is mended to what the live slot says.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use state::live::Live;
use state::target::tables::{EndpointIndex, Owner, Tables};
use state::target::{Constants, Datapath};
use state::words::generation::CommitRecord;
use state::words::names::FullName;

use super::law;
use super::world::{Program, World};

/// What is seen at one moment.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    record: Option<CommitRecord>,
    tables: Tables,
    /// Of containers that are live: the constants of each program for packets of the live slot.
    constants: BTreeMap<FullName, [Option<Constants>; 2]>,
    /// Who has an address, inside or by a route of the host.
    holders: BTreeMap<IpAddr, BTreeSet<FullName>>,
    /// Whose each address is.
    owners: BTreeMap<IpAddr, FullName>,
    /// What the tables say that the constants are.
    told: BTreeMap<FullName, Constants>,
}

impl World {
    pub(super) fn seen(&self, datapath: &Datapath) -> Seen {
        let base = self.base.as_ref();
        let slot = base.map_or(0, |base| base.record.slot.index() as usize);
        let live = self
            .containers
            .iter()
            .filter(|(name, _)| self.is_live(name));
        let of = |program: &Option<Program>| program.as_ref().map(|p| p.constants[slot]);
        let mut holders: BTreeMap<IpAddr, BTreeSet<FullName>> = BTreeMap::new();
        for (name, container) in &self.containers {
            if let Some(wires) = &container.wires {
                for address in wires.addresses.union(&wires.routes) {
                    holders.entry(*address).or_default().insert(name.clone());
                }
            }
        }
        let (told, owners) = self.told(datapath);
        Seen {
            record: base.map(|base| base.record),
            tables: base
                .map(|base| base.live().tables.clone())
                .unwrap_or_default(),
            constants: live
                .map(|(name, c)| (name.clone(), [of(&c.programs[0]), of(&c.programs[1])]))
                .collect(),
            holders,
            owners,
            told,
        }
    }

    /// What the live tables say of each container, and of each address.
    fn told(
        &self,
        datapath: &Datapath,
    ) -> (BTreeMap<FullName, Constants>, BTreeMap<IpAddr, FullName>) {
        let mut live: Live = self.live(datapath);
        for container in live.containers.values_mut() {
            container.programs = None;
        }
        let names = live.containers.keys();
        let told = names.filter_map(|name| Some((name.clone(), live.constants(name)?)));
        let told: BTreeMap<FullName, Constants> = told.collect();
        let by_index: BTreeMap<EndpointIndex, &FullName> =
            told.iter().map(|(name, c)| (c.endpoint, name)).collect();
        let base = live.base.as_ref();
        let rows = base.map(|base| &base.live_slot().tables.addresses);
        let owned = rows.into_iter().flatten().filter_map(|(cidr, row)| {
            let Owner::Endpoint(index) = row.owner else {
                return None;
            };
            Some((cidr.addr(), (*by_index.get(&index)?).clone()))
        });
        let owners = owned.collect();
        (told, owners)
    }
}

impl Seen {
    /// That nothing is seen otherwise than before.
    pub(super) fn is_unchanged(&self, now: &Self) -> Result<(), String> {
        // A base that is made has nothing live in it.
        let made = self.record.is_none() && now.tables == Tables::default();
        law(
            self.record == now.record || made,
            "the record stays until the store",
        )?;
        law(self.tables == now.tables, "the live slot is never written")?;
        for (name, now) in &now.constants {
            let before = self.constants.get(name).copied().unwrap_or_default();
            let told = self.told.get(name);
            for (before, now) in before.into_iter().zip(now) {
                law(
                    before == *now || now.as_ref() == told || now.is_none(),
                    "programs judge packets of the live slot by its constants",
                )?;
            }
        }
        let nobody = BTreeSet::new();
        for (address, now) in &now.holders {
            let before = self.holders.get(address).unwrap_or(&nobody);
            let mut others = now.difference(before);
            if let Some(owner) = self.owners.get(address) {
                law(
                    others.all(|name| name == owner),
                    "an address stays with its container until the store",
                )?;
            }
        }
        Ok(())
    }
}
