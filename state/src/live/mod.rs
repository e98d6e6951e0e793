//! What the kernel holds, read back: the same shape as a target, and what only a kernel has.
//!
//! `reconciler` reads it (`bpf` for maps, programs and links, netlink for the rest) and hands it in
//! as a value. A container is *live* where the live slot has a row for it ([`row`]), whatever else
//! of it is there: what a run that died has made for one is none yet.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::target::Target;
use crate::target::constants::Constants;
use crate::target::host::{Attach, GATEWAY_MAC, container_mac};
use crate::target::located::{Attachment, Found, Located, Uplink};
use crate::target::tables::{EndpointIndex, Owner, Tables};
use crate::words::generation::Generation;
use crate::words::names::FullName;
use crate::words::verdict::Direction;

pub mod base;
pub mod network;
pub mod attached;
pub mod entry;
pub mod host;
pub mod row;

pub use attached::{Broken, Guarded, Instead, LinkFault, LivePrograms, Stranger};
pub use base::{Base, HELD_MOST, LiveSlot, LostPin, LostTable, SlotMark};
pub use entry::Entry;
pub use host::{LiveHost, Process};
pub use network::{About, Fault, LiveNetwork, Part};

/// What the kernel holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Live {
    /// Whether a bpffs is mounted where the base directory belongs.
    pub bpffs: bool,
    /// What is pinned below the base directory; `None` where there is nothing of ours.
    pub base: Option<Base>,
    /// The generation at which a new commit record would begin, where there is none: above every
    /// one that connections have cached.
    pub begins_at: Generation,
    /// What connections have cached of generations ([`Generation::cached`]).
    pub cached: BTreeSet<u64>,
    /// Runs that died have left what nothing reaches: sets of blocks beside the one in use, or
    /// connection maps registered for no container. Where there is no base, whatever is pinned.
    pub leftovers: bool,
    /// Containers of which anything was found: pins, an interface or a namespace of ours.
    pub containers: BTreeMap<FullName, LiveContainer>,
    /// The host around them.
    pub host: LiveHost,
    /// Commits that were held when something was live last, where nothing is.
    pub held_before: Vec<String>,
}

impl Live {
    /// Whether a container is live. Where the base is lost, each that is found may have been.
    pub fn is_live(&self, name: &FullName) -> bool {
        match self.base {
            Some(_) => self.endpoint(name).is_some(),
            None => self.containers.contains_key(name),
        }
    }

    /// The generation of the next commit. Connections have cached neither it, nor the one that a
    /// store that swings back takes: others may have written the record meanwhile, and whatever it
    /// said then was believed.
    pub fn next_generation(&self) -> Generation {
        let base = self.base.as_ref();
        let mut next = base.map_or(self.begins_at.next(), Base::next_generation);
        let cached = |generation: Generation| self.cached.contains(&generation.cached());
        while cached(next) || cached(next.next()) {
            next = next.next();
        }
        next
    }

    /// Whether the live slot has a row for an endpoint.
    pub fn lists(&self, endpoint: EndpointIndex) -> bool {
        let base = self.base.as_ref();
        base.is_some_and(|base| base.live_slot().tables.endpoints.contains_key(&endpoint))
    }

    /// Whether the live slot knows a container that was not there: its addresses lead to an
    /// endpoint that is absent.
    pub fn is_missing(&self, name: &FullName) -> bool {
        let found = self.containers.get(name);
        let (Some(endpoint), Some(base)) = (found.and_then(|c| c.endpoint), &self.base) else {
            return false;
        };
        let mut addresses = base.live_slot().tables.addresses.values();
        let known = addresses.any(|row| row.owner == Owner::Endpoint(endpoint));
        known && !self.lists(endpoint)
    }

    /// How many containers are live.
    pub fn count(&self) -> usize {
        match &self.base {
            Some(base) => base.live_slot().tables.endpoints.len(),
            None => self.containers.len(),
        }
    }

    /// The constants by which packets of the live slot know a container: those of its programs, or
    /// where these are lost, what the tables say, which do not know the MAC address of an interface
    /// of others. `None` where it is not live.
    pub fn constants(&self, name: &FullName) -> Option<Constants> {
        let (endpoint, row) = self.endpoint(name)?;
        if let Some(programs) = self.containers.get(name).and_then(|c| c.programs) {
            return Some(programs.constants);
        }
        let mut constants = Constants {
            endpoint,
            v4: None,
            v6: None,
            mac: row.mac,
            gateway_mac: GATEWAY_MAC,
            theirs: row.mac != container_mac(name),
            passes: false,
            tap: row.tap,
        };
        for (cidr, address) in &self.base.as_ref()?.live_slot().tables.addresses {
            if address.owner == Owner::Endpoint(endpoint) {
                match cidr.addr() {
                    IpAddr::V4(v4) => constants.v4 = Some(v4),
                    IpAddr::V6(v6) => constants.v6 = Some(v6),
                }
            }
        }
        Some(constants)
    }

    /// The interfaces that programs of containers are attached to.
    pub fn attached(&self) -> BTreeMap<FullName, u32> {
        let attached = self.containers.iter();
        let attached = attached.filter_map(|(name, c)| Some((name.clone(), c.programs?.ifindex)));
        attached.collect()
    }

    /// Containers whose network is not managed, and of those on an interface of others its index,
    /// which where their links are lost the live slot alone knows.
    pub fn theirs(&self) -> BTreeMap<FullName, Option<u32>> {
        let theirs = self.containers.iter().filter_map(|(name, found)| {
            let ifindex = match &found.network {
                None => Some(self.interface_of_others(name)?),
                Some(network) => match network.network.attach {
                    Attach::Managed => return None,
                    Attach::Namespace(_) => None,
                    Attach::Interface { .. } => network.ifindex,
                },
            };
            Some((name.clone(), ifindex))
        });
        theirs.collect()
    }

    /// The interface that the live slot has for a container, where that is somebody else's.
    fn interface_of_others(&self, name: &FullName) -> Option<u32> {
        let (_, row) = self.endpoint(name)?;
        row.ifindex.filter(|_| row.mac != container_mac(name))
    }

    /// The interface that a container is on: as it was found, or of one on an interface of others
    /// whose links are lost, whichever has the index now that the live slot has for it.
    pub fn interface(&self, name: &FullName) -> Option<u32> {
        match &self.containers.get(name)?.network {
            Some(network) => network.ifindex,
            None => {
                let ifindex = self.interface_of_others(name)?;
                self.host.name_of(ifindex).is_some().then_some(ifindex)
            }
        }
    }

    /// Guards on interfaces of others where nobody is to judge any more: neither what the target
    /// has there, nor where there is none the live slot, nor what is to be removed.
    pub fn stray_guards(&self, target: Option<&Target>) -> BTreeMap<&str, &Guarded> {
        let mut names = BTreeSet::new();
        let mut indices: BTreeSet<u32> = self.theirs().into_values().flatten().collect();
        if let Some(target) = target {
            let networks = target.containers.values().map(|c| &c.network);
            names.extend(networks.map(|network| network.interface.as_str()));
        } else if let Some(base) = &self.base {
            let rows = base.live_slot().tables.endpoints.values();
            indices.extend(rows.filter_map(|row| row.ifindex));
        }
        let guards = self.host.guards.iter();
        let stray = guards.filter(|(name, guard)| {
            !names.contains(name.as_str()) && !indices.contains(&guard.ifindex)
        });
        stray.map(|(name, guard)| (name.as_str(), guard)).collect()
    }

    /// What [`crate::target::compile`] needs to know of it: where containers were found, and which
    /// indices may not be given out yet.
    ///
    /// A container keeps the index under which its maps are registered; where they are lost, the
    /// one that the live slot knows it by. Held are the indices of rows of the live slot, and until
    /// it has settled those of the other slot, which packets may still read.
    pub fn located(
        &self,
        uplinks: BTreeMap<String, Uplink>,
        attachments: BTreeMap<FullName, Attachment>,
    ) -> Located {
        let known = |name| self.endpoint(name).map(|(index, _)| index);
        let containers = self.containers.iter().map(|(name, found)| {
            let found = Found {
                ifindex: found.network.as_ref().and_then(|n| n.ifindex),
                endpoint: found.endpoint.or_else(|| known(name)),
            };
            (name.clone(), found)
        });
        let containers: BTreeMap<FullName, Found> = containers.collect();
        let kept: BTreeSet<_> = containers.values().filter_map(|f| f.endpoint).collect();
        let mut held = BTreeSet::new();
        if let Some(base) = &self.base {
            held.extend(indices(&base.live_slot().tables));
            if !base.is_settled() {
                held.extend(indices(&base.other_slot().tables));
            }
        }
        Located {
            containers,
            held: held.difference(&kept).copied().collect(),
            host_addresses: self.host.addresses.clone(),
            attachments,
            uplinks,
        }
    }
}

/// Every index that tables name.
fn indices(tables: &Tables) -> impl Iterator<Item = EndpointIndex> {
    let owners = tables.addresses.values().filter_map(|a| match a.owner {
        Owner::Endpoint(index) => Some(index),
        Owner::Host | Owner::Elsewhere => None,
    });
    tables.endpoints.keys().copied().chain(owners)
}

/// A container as found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LiveContainer {
    /// Its programs, where both links are pinned and attached.
    pub programs: Option<LivePrograms>,
    /// Its links that hold no program of ours.
    pub links: Vec<LinkFault>,
    /// What stands on its interface, by side, where not all of its programs do.
    pub instead: BTreeMap<Direction, Instead>,
    /// Programs of others on its interface.
    pub strangers: Vec<Stranger>,
    /// Its connection maps are there and registered: quota of established TCP connections.
    pub connections: Option<u32>,
    /// Those of them that have lost their pins, and that its programs still hold.
    pub unpinned: Vec<LostPin>,
    /// The quota that its map of established connections has, registered or not.
    pub pinned_quota: Option<u32>,
    /// Endpoint index under which its maps are pinned.
    pub endpoint: Option<EndpointIndex>,
    /// Whether its interface, addresses, routes and neighbours were found, and as what.
    pub network: Option<LiveNetwork>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::host::Network;
    use crate::target::programs::BuildHash;
    use crate::target::tables::Endpoint;
    use crate::words::address::Mac;
    use crate::words::generation::{CommitRecord, Slot};
    use crate::words::identity::{IdentityId, SubjectId};

    pub(super) fn name(text: &str) -> FullName {
        FullName::from_slashed(text).unwrap()
    }

    pub(super) fn found(ifindex: Option<u32>, endpoint: Option<u16>) -> LiveContainer {
        let network = Network {
            attach: Attach::Managed,
            namespace: String::new(),
            interface: String::new(),
            mac: Mac([0; 6]),
            addresses: Vec::new(),
            mtu: 1500,
            resolv_conf: false,
        };
        LiveContainer {
            endpoint: endpoint.map(EndpointIndex),
            network: Some(LiveNetwork {
                ifindex,
                network,
                faults: Vec::new(),
                reached: BTreeSet::new(),
                resolv_conf: false,
            }),
            ..LiveContainer::default()
        }
    }

    pub(super) fn slot(generation: u64, rows: &[(u16, &str)]) -> LiveSlot {
        let mut slot = LiveSlot {
            mark: SlotMark::Settled,
            generation: Generation(generation),
            ..LiveSlot::default()
        };
        for (index, container) in rows {
            let row = Endpoint {
                ifindex: None,
                mac: container_mac(&name(container)),
                subject: SubjectId(1),
                tap: false,
            };
            slot.tables.endpoints.insert(EndpointIndex(*index), row);
        }
        slot
    }

    /// Slot B is live, with `generation` in the record.
    pub(super) fn live(generation: u64, slots: [LiveSlot; 2]) -> Live {
        let record = CommitRecord {
            generation: Generation(generation),
            slot: Slot::B,
        };
        Live {
            base: Some(Base {
                layout: 1,
                block_code: [0; 32],
                record,
                slots,
                unpinned: Vec::new(),
                lost: Vec::new(),
            }),
            containers: BTreeMap::from([(name("a/kept"), found(Some(7), Some(0)))]),
            ..Live::default()
        }
    }

    fn held(live: &Live) -> Vec<u16> {
        let located = live.located(BTreeMap::new(), BTreeMap::new());
        located.held.into_iter().map(|index| index.0).collect()
    }

    #[test]
    fn an_index_is_free_again_once_the_commit_that_removed_it_has_settled() {
        let old = || slot(1, &[(0, "a/kept"), (1, "a/gone"), (2, "a/gone2")]);
        let new = || slot(2, &[(0, "a/kept")]);
        assert_eq!(held(&live(2, [old(), new()])), [0; 0]);
        let mut ready = new();
        ready.mark = SlotMark::Ready;
        assert_eq!(held(&live(2, [old(), ready])), [1, 2]);
        // A store that came back to the slot: packets may still use the other.
        assert_eq!(held(&live(4, [old(), new()])), [1, 2]);
        assert_eq!(held(&Live::default()), [0; 0]);
    }

    #[test]
    fn a_record_that_no_slot_confirms_is_not_counted_on_from() {
        let mut live = live(5, [slot(4, &[]), slot(5, &[])]);
        let base = live.base.as_mut().unwrap();
        for beyond in [1 << 61, (1 << 62) - 1, (1 << 63) - 1] {
            base.record.generation = Generation(beyond);
            assert!(base.is_rewound(), "{beyond}");
            assert_eq!(base.next_generation(), Generation(7), "{beyond}");
        }
        // One that a run has settled is its own.
        for settled in [(1 << 61) - 1, 1 << 61] {
            base.record.generation = Generation(settled);
            base.slots[1].generation = Generation(settled);
            assert!(!base.is_rewound(), "{settled}");
            assert_eq!(base.next_generation(), Generation(settled + 1));
        }
    }

    #[test]
    fn an_index_of_the_live_slot_is_held_also_where_its_container_is_lost() {
        let new = slot(2, &[(0, "a/kept"), (3, "a/lost")]);
        assert_eq!(held(&live(2, [slot(1, &[]), new])), [3]);
    }

    #[test]
    fn a_container_whose_maps_are_lost_keeps_the_index_that_the_live_slot_has() {
        let rows = [(0, "a/kept"), (5, "a/unpinned")];
        let mut live = live(2, [slot(1, &[]), slot(2, &rows)]);
        let unpinned = name("a/unpinned");
        live.containers
            .insert(unpinned.clone(), found(Some(9), None));
        let located = live.located(BTreeMap::new(), BTreeMap::new());
        let expected = Found {
            ifindex: Some(9),
            endpoint: Some(EndpointIndex(5)),
        };
        assert_eq!(located.containers[&unpinned], expected);
        assert_eq!(held(&live), [0; 0]);
        // Where another's maps are registered under it, it gets a new one.
        let other = name("a/other");
        live.containers.insert(other, found(None, Some(5)));
        let located = live.located(BTreeMap::new(), BTreeMap::new());
        assert_eq!(located.containers[&unpinned].endpoint, None);
    }

    #[test]
    fn constants_are_the_programs_or_what_the_tables_say() {
        let mut live = live(2, [slot(1, &[]), slot(2, &[(0, "a/kept")])]);
        let base = live.base.as_mut().unwrap();
        for address in ["10.0.0.1/32", "fd00::1/128"] {
            let row = crate::target::tables::Address {
                identity: IdentityId(1),
                owner: Owner::Endpoint(EndpointIndex(0)),
            };
            let tables = &mut base.slots[1].tables;
            tables.addresses.insert(address.parse().unwrap(), row);
        }
        let told = Constants {
            endpoint: EndpointIndex(0),
            v4: Some("10.0.0.1".parse().unwrap()),
            v6: Some("fd00::1".parse().unwrap()),
            mac: container_mac(&name("a/kept")),
            gateway_mac: GATEWAY_MAC,
            theirs: false,
            passes: false,
            tap: false,
        };
        assert_eq!(live.constants(&name("a/kept")), Some(told));
        assert_eq!(live.constants(&name("a/other")), None);
        let held = Constants { v6: None, ..told };
        live.containers.get_mut(&name("a/kept")).unwrap().programs = Some(LivePrograms {
            build: BuildHash([1; 32]),
            constants: held,
            ifindex: 7,
            guarded: true,
            first: true,
        });
        assert_eq!(live.constants(&name("a/kept")), Some(held));
    }
}
