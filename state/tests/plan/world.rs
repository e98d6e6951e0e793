//! A simulated host: what a kernel holds of ours, as far as a plan can tell or spoil it, and how it
//! is read back. What `bpf` and `host` read is said here once more, in as few words as will do.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use state::live::{
    About, Base, Fault, Live, LiveContainer, LiveHost, LiveNetwork, LivePrograms, LiveSlot,
    LostPin, LostTable, Part, Stranger,
};
use state::target::host::{Attach, Network};
use state::target::located::Uplink;
use state::target::programs::BuildHash;
use state::target::tables::EndpointIndex;
use state::target::{Constants, Datapath};
use state::words::generation::{CommitRecord, Generation, Slot};
use state::words::names::FullName;
use state::words::verdict::Direction;

/// The build that is read of programs which are to be swapped whatever the target says.
const NO_BUILD: BuildHash = BuildHash([0; 32]);

/// One of a container's two programs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Program {
    /// For packets of slot A, and of slot B.
    pub(super) constants: [Constants; 2],
    /// `None` in a transition build.
    pub(super) build: Option<BuildHash>,
    pub(super) blocks: u32,
    pub(super) maps: u32,
    pub(super) ifindex: u32,
}

/// The pinned connection maps of a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Maps {
    pub(super) id: u32,
    pub(super) quota: u32,
    /// Not all of them are pinned.
    pub(super) torn: bool,
}

/// A namespace of ours, and what leads into it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Wires {
    /// Host-side interface, its other end in the namespace.
    pub(super) ifindex: Option<u32>,
    pub(super) up: bool,
    /// Inside.
    pub(super) addresses: BTreeSet<IpAddr>,
    /// Routes of the host to it, and neighbours.
    pub(super) routes: BTreeSet<IpAddr>,
    pub(super) neighbours: BTreeSet<IpAddr>,
    pub(super) mtu: u32,
    /// A `resolv.conf` of ours; whether it is the host's of now.
    pub(super) resolv_conf: Option<bool>,
}

/// What there is of one container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Container {
    pub(super) wires: Option<Wires>,
    pub(super) maps: Option<Maps>,
    /// By hook.
    pub(super) programs: [Option<Program>; 2],
    pub(super) first: bool,
    pub(super) guarded: bool,
}

/// A set of shared blocks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct BlockSet {
    pub(super) id: u32,
    pub(super) code: [u8; 32],
    /// Its table is pinned: it was finished.
    pub(super) whole: bool,
}

/// What is pinned below the base directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pinned {
    pub(super) record: CommitRecord,
    pub(super) slots: [LiveSlot; 2],
    pub(super) sets: Vec<BlockSet>,
    /// Connection maps by endpoint.
    pub(super) registry: BTreeMap<EndpointIndex, u32>,
    /// Maps that have lost their pins.
    pub(super) unpinned: BTreeSet<&'static str>,
    /// Tables that a slot has lost whole.
    pub(super) lost: BTreeSet<LostTable>,
}

/// The host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct World {
    pub(super) bpffs: bool,
    pub(super) base: Option<Pinned>,
    pub(super) containers: BTreeMap<FullName, Container>,
    pub(super) sysctls: BTreeMap<String, String>,
    /// The last number that was given to anything.
    pub(super) last_id: u32,
    /// The slot that the record has left and that packets may still read: no barrier has passed.
    pub(super) left: Option<Slot>,
    /// A program that packets may be in was replaced, and no barrier has passed.
    pub(super) replaced: bool,
    /// The highest generation that connections may have cached.
    pub(super) cached: Generation,
    /// The record that was stored last.
    pub(super) stored: Option<CommitRecord>,
}

impl Pinned {
    pub(super) fn slot(&mut self, slot: Slot) -> &mut LiveSlot {
        &mut self.slots[slot.index() as usize]
    }

    pub(super) fn live(&self) -> &LiveSlot {
        &self.slots[self.record.slot.index() as usize]
    }

    /// The set that new programs reach: one of this code, else the newest.
    pub(super) fn current(&self, datapath: &Datapath) -> Option<&BlockSet> {
        let whole = self.sets.iter().filter(|set| set.whole);
        whole.max_by_key(|set| (set.code == datapath.block_code, set.id))
    }
}

pub(crate) fn lost_pin(name: &str) -> LostPin {
    LostPin {
        name: name.to_owned(),
        taken: false,
    }
}

impl World {
    pub(super) fn next_id(&mut self) -> u32 {
        self.last_id += 1;
        self.last_id
    }

    /// Forgets containers of which nothing is left.
    pub(super) fn forget_gone(&mut self) {
        self.containers.retain(|_, container| {
            let programs = container.programs.iter().any(Option::is_some);
            container.wires.is_some() || container.maps.is_some() || programs
        });
    }

    /// Reads everything.
    pub(super) fn live(&self, datapath: &Datapath) -> Live {
        let containers = self.containers.iter();
        let read = containers.map(|(name, c)| (name.clone(), self.container(name, c, datapath)));
        Live {
            bpffs: self.bpffs,
            base: self
                .base
                .as_ref()
                .map(|base| Self::read_base(base, datapath)),
            leftovers: self
                .base
                .as_ref()
                .is_some_and(|base| self.leftovers(base, datapath)),
            begins_at: self.begins_at(),
            containers: read.collect(),
            host: LiveHost {
                addresses: ["192.0.2.1", "2001:db8::1"]
                    .map(|a| a.parse().expect("one"))
                    .into(),
                sysctls: self.sysctls.clone(),
                ..LiveHost::default()
            },
            ..Live::default()
        }
    }

    /// Where a new record begins: above what connections that are left have cached.
    pub(super) fn begins_at(&self) -> Generation {
        let left = self
            .containers
            .values()
            .any(|container| container.maps.is_some());
        match (left, self.cached) {
            (true, cached) if cached > Generation(0) => cached.next(),
            _ => Generation(0),
        }
    }

    pub(super) fn uplinks() -> BTreeMap<String, Uplink> {
        let learns_routes = true;
        [("eth0".to_owned(), Uplink { learns_routes })].into()
    }

    fn read_base(base: &Pinned, datapath: &Datapath) -> Base {
        let current = base.current(datapath);
        Base {
            layout: 1,
            block_code: current.map_or([0; 32], |set| set.code),
            record: base.record,
            slots: base.slots.clone(),
            unpinned: base.unpinned.iter().map(|name| lost_pin(name)).collect(),
            lost: base.lost.iter().cloned().collect(),
        }
    }

    fn leftovers(&self, base: &Pinned, datapath: &Datapath) -> bool {
        let pinned = self.pinned_maps();
        base.registry.values().any(|id| !pinned.contains(id))
            || base.sets.len() > usize::from(base.current(datapath).is_some())
    }

    pub(super) fn pinned_maps(&self) -> BTreeSet<u32> {
        let maps = self.containers.values().filter_map(|c| c.maps);
        maps.map(|maps| maps.id).collect()
    }

    fn container(&self, name: &FullName, is: &Container, datapath: &Datapath) -> LiveContainer {
        let registry = self.base.as_ref().map(|base| &base.registry);
        let endpoint = is.maps.and_then(|maps| {
            let mut found = registry?.iter().filter(|(_, id)| **id == maps.id);
            found.next().map(|(index, _)| *index)
        });
        let whole = is.maps.filter(|maps| !maps.torn && endpoint.is_some());
        LiveContainer {
            programs: self.programs(is, datapath),
            connections: whole.map(|maps| maps.quota),
            pinned_quota: is.maps.map(|maps| maps.quota),
            endpoint,
            unpinned: Vec::new(),
            links: Vec::new(),
            instead: BTreeMap::new(),
            strangers: (!is.first).then(stranger).into_iter().collect(),
            network: is.wires.as_ref().map(|wires| read_wires(name, wires)),
        }
    }

    fn programs(&self, is: &Container, datapath: &Datapath) -> Option<LivePrograms> {
        let base = self.base.as_ref()?;
        let [Some(from), Some(to)] = &is.programs else {
            return None;
        };
        let build = |program: &Program| {
            let table = base.current(datapath).map(|set| set.id);
            let maps = is.maps.filter(|maps| !maps.torn).map(|maps| maps.id);
            let current = Some(program.blocks) == table && Some(program.maps) == maps;
            program.build.filter(|_| current).unwrap_or(NO_BUILD)
        };
        if from.ifindex != to.ifindex {
            return None;
        }
        Some(LivePrograms {
            build: if build(from) == build(to) {
                build(from)
            } else {
                NO_BUILD
            },
            constants: to.constants[base.record.slot.index() as usize],
            ifindex: to.ifindex,
            guarded: is.guarded && base.current(datapath).is_some(),
            first: is.first,
        })
    }
}

fn stranger() -> Stranger {
    Stranger {
        side: Direction::Egress,
        before: true,
        program: 7,
        name: "passes".to_owned(),
    }
}

fn read_wires(name: &FullName, wires: &Wires) -> LiveNetwork {
    let mut faults = Vec::new();
    let mut fault = |part, about, words: &str| {
        let words = words.to_owned();
        faults.push(Fault {
            part,
            about,
            inside: false,
            words,
        });
    };
    if wires.ifindex.is_none() {
        fault(Part::Interface, About::All, "no host-side interface");
    } else {
        if !wires.up {
            fault(Part::Interface, About::All, "it is down");
        }
        for address in wires.addresses.difference(&wires.neighbours) {
            fault(Part::Neighbour, About::Address(*address), "no neighbour");
        }
        for address in wires.addresses.difference(&wires.routes) {
            fault(Part::Route, About::Address(*address), "no route");
        }
    }
    LiveNetwork {
        ifindex: wires.ifindex,
        network: Network {
            attach: Attach::Managed,
            namespace: name.dotted(),
            interface: state::target::host::interface_name(name),
            mac: state::target::host::container_mac(name),
            addresses: match wires.ifindex {
                Some(_) => wires.addresses.iter().copied().collect(),
                None => Vec::new(),
            },
            mtu: wires.mtu,
            resolv_conf: wires.resolv_conf == Some(true),
        },
        faults,
        reached: wires.routes.union(&wires.neighbours).copied().collect(),
        resolv_conf: wires.resolv_conf.is_some(),
    }
}
