//! The stage: who is there, and who may reach whom.
//!
//! | who | addresses | |
//! |---|---|---|
//! | web | 10.44.0.2 fd44::2 | a container |
//! | db | 10.44.0.3 fd44::3 | a container |
//! | gone | 10.44.0.9 fd44::9 | a container that is not in the live slot |
//! | host | 192.0.2.1 2001:db8::1 | the host |
//! | outside | 192.0.2.100 2001:db8::100 | a machine on its network |
//!
//! web sends TCP 80, UDP 53, SCTP 5000 and ICMP to all, and takes TCP and UDP 443 from all. db
//! sends everything to all, and takes everything from web.
//!
//! Each of the two containers may have two established TCP connections.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd};
use std::path::PathBuf;

use bpf::attached::Hook;
use bpf::connections::NewConnections;
use bpf::conntrack::Reason;
use bpf::kernel::Kernel;
use bpf::marks::SlotInfo;
use bpf::object::Build;
use bpf::trial::Answer;
use libbpf_rs::{MapCore, MapFlags, MapHandle, ProgramHandle};
use state::diff::Delta;
use state::target::Constants;
use state::target::programs::BuildHash;
use state::target::tables::{
    Address, Endpoint, EndpointIndex, Owner, PolicyKey, PortKey, PortPrefix, Tables,
};
use state::words::address::Cidr;
use state::words::generation::{CommitRecord, Generation};
use state::words::identity::{IdentityId, RuleId, RulesetId, SubjectId};
use state::words::names::FullName;
use state::words::verdict::Direction;

use crate::rig::{Lab, constants, name};

/// One end of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Who {
    Web,
    Db,
    Gone,
    Host,
    Outside,
}

/// The containers that have programs.
pub(crate) const CONTAINERS: [Who; 2] = [Who::Web, Who::Db];

/// How many established connections each may have.
pub(crate) const QUOTA: u32 = 2;

/// Index of the uplink's interface: a program sees the number alone.
const UPLINK: u32 = 4_000;

impl Who {
    pub(crate) const fn index(self) -> u16 {
        match self {
            Self::Web => 2,
            Self::Db => 3,
            Self::Gone => 9,
            Self::Host => 1,
            Self::Outside => 100,
        }
    }

    pub(crate) fn address(self, v6: bool) -> IpAddr {
        let number = self.index();
        let [high, low] = number.to_be_bytes();
        match (self, v6) {
            (Self::Host | Self::Outside, false) => [192, 0, 2, low].into(),
            (Self::Host | Self::Outside, true) => [0x2001, 0xdb8, 0, 0, 0, 0, 0, number].into(),
            (_, false) => [10, 44, high, low].into(),
            (_, true) => [0xfd44, 0, 0, 0, 0, 0, 0, number].into(),
        }
    }

    pub(crate) fn mac(self) -> [u8; 6] {
        constants(self.index()).mac.0
    }

    pub(crate) fn name(self) -> FullName {
        name(match self {
            Self::Web => "shop/web",
            Self::Db => "shop/db",
            _ => panic!("{self:?} has no programs"),
        })
    }
}

/// The MAC address of every host-side interface.
pub(crate) fn gateway_mac() -> [u8; 6] {
    constants(0).gateway_mac.0
}

/// By which interface a packet came to the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Came {
    /// By none: the host's own.
    Own,
    Uplink,
    /// By a container's.
    Of(Who),
}

/// What is other than usual.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum World {
    Usual,
    /// A later generation of the same tables.
    Later,
    /// A later generation under which web sends nothing and takes nothing.
    Revoked,
    /// A later generation in which web is no container any more.
    WithoutWeb,
    /// The block table is empty.
    NoBlocks,
    /// The registry has no datagram map of db.
    NoMaps,
}

/// The kernel with both containers attached.
pub(crate) struct Stage {
    pub(crate) kernel: Kernel,
    base: PathBuf,
    interfaces: BTreeMap<Who, u32>,
}

/// Runs a test on a stage in namespaces of its own.
pub(crate) fn play<F: FnOnce(&Stage)>(test: F) {
    crate::rig::alone_as::<F>(|lab| test(&Stage::set(lab)));
}

impl Stage {
    fn set(lab: &Lab) -> Self {
        let kernel = lab.create();
        let mut interfaces = BTreeMap::new();
        for who in CONTAINERS {
            let container = who.name();
            let ifindex = lab.container(container.name.as_str());
            let maps = NewConnections {
                container: container.clone(),
                endpoint: EndpointIndex(who.index()),
                quota: QUOTA,
                live: false,
            };
            kernel.make_connections(&[maps]).unwrap();
            let build = Build::Plain(constants(who.index()), BuildHash([1; 32]));
            kernel.attach(&container, ifindex, &build).unwrap();
            interfaces.insert(who, ifindex);
        }
        let stage = Self {
            kernel,
            base: lab.base(),
            interfaces,
        };
        stage.enter(World::Usual);
        stage
    }

    /// Makes the world other than usual, or usual again.
    pub(crate) fn enter(&self, world: World) {
        match world {
            World::Usual | World::Later => self.commit(&self.tables(true, true)),
            World::Revoked => self.commit(&self.tables(true, false)),
            World::WithoutWeb => self.commit(&self.tables(false, true)),
            World::NoBlocks => {
                for place in 0..3_u32 {
                    self.block_table().delete(&place.to_ne_bytes()).unwrap();
                }
            }
            World::NoMaps => {
                let key = u32::from(Who::Db.index()).to_ne_bytes();
                self.pinned("all_datagrams").delete(&key).unwrap();
            }
        }
    }

    /// Takes back what [`Self::enter`] did.
    pub(crate) fn leave(&self, world: World) {
        match world {
            World::Usual | World::Later => {}
            World::Revoked | World::WithoutWeb => self.enter(World::Usual),
            World::NoBlocks => self.fill_block_table(),
            World::NoMaps => {
                let key = u32::from(Who::Db.index()).to_ne_bytes();
                let map = self.connection_map(Who::Db, "datagrams");
                let value = map.as_fd().as_raw_fd().to_ne_bytes();
                let registry = self.pinned("all_datagrams");
                registry.update(&key, &value, MapFlags::ANY).unwrap();
            }
        }
    }

    fn pinned(&self, path: &str) -> MapHandle {
        MapHandle::from_pinned_path(self.base.join("v1").join(path)).unwrap()
    }

    pub(crate) fn connection_map(&self, who: Who, map: &str) -> MapHandle {
        self.pinned(&format!("containers/{}/{map}", who.name()))
    }

    fn block_set(&self) -> PathBuf {
        let sets = self.base.join("v1/blocks");
        let mut sets = sets.read_dir().unwrap().map(|set| set.unwrap().path());
        sets.next().unwrap()
    }

    fn block_table(&self) -> MapHandle {
        MapHandle::from_pinned_path(self.block_set().join("table")).unwrap()
    }

    fn fill_block_table(&self) {
        let names = ["judge_out", "judge_in", "neighbour"];
        for (place, name) in (0_u32..).zip(names) {
            let program = ProgramHandle::from_pinned_path(self.block_set().join(name)).unwrap();
            let value = program.as_fd().as_raw_fd().to_ne_bytes();
            let table = self.block_table();
            table
                .update(&place.to_ne_bytes(), &value, MapFlags::ANY)
                .unwrap();
        }
    }

    /// Forgets every connection.
    pub(crate) fn forget(&self) {
        for who in CONTAINERS {
            for map in ["established", "half_open", "datagrams"] {
                let map = self.connection_map(who, map);
                let keys: Vec<Vec<u8>> = map.keys().collect();
                keys.iter().for_each(|key| drop(map.delete(key)));
            }
        }
    }

    pub(crate) fn run(&self, who: Who, hook: Hook, frame: &[u8], came: Came) -> Answer {
        self.run_marked(who, hook, frame, came, 0)
    }

    pub(crate) fn run_marked(
        &self,
        who: Who,
        hook: Hook,
        frame: &[u8],
        came: Came,
        mark: u32,
    ) -> Answer {
        let ingress = match came {
            Came::Own => 0,
            Came::Uplink => UPLINK,
            Came::Of(who) => self.interfaces[&who],
        };
        let answer = self
            .kernel
            .try_marked(&who.name(), hook, frame, ingress, mark);
        answer.unwrap_or_else(|error| panic!("{error}: {came:?} {frame:02x?}"))
    }

    /// How many packets of each container were dropped, by reason.
    pub(crate) fn drops(&self) -> BTreeMap<(Who, Reason), u64> {
        let of = |who: Who| {
            let drops = self.kernel.drops(&who.name()).unwrap();
            drops.into_iter().map(move |(r, count)| ((who, r), count))
        };
        CONTAINERS.into_iter().flat_map(of).collect()
    }

    /// Gives a container other constants, and so other programs.
    pub(crate) fn become_other(&self, who: Who, change: impl FnOnce(Constants) -> Constants) {
        let build = Build::Plain(change(constants(who.index())), BuildHash([2; 32]));
        self.kernel.swap(&who.name(), &build).unwrap();
    }

    pub(crate) fn commit(&self, tables: &Tables) {
        let kernel = &self.kernel;
        let slot = kernel.record().slot.other();
        let generation = Generation(kernel.record().generation.0 + 1);
        kernel.mark_preparing(slot, generation).unwrap();
        let there = kernel.read_slot(slot).unwrap().tables;
        let delta = Delta::between(&there, tables);
        kernel.write_delta(slot, &delta).unwrap();
        let info = SlotInfo {
            generation,
            commit: "c0ffee".to_owned(),
            ..SlotInfo::default()
        };
        kernel.mark_ready(slot, info).unwrap();
        kernel.store(CommitRecord { generation, slot }).unwrap();
        kernel.mark_settled(slot, generation, 1).unwrap();
    }

    fn tables(&self, with_web: bool, web_open: bool) -> Tables {
        let mut tables = Tables::default();
        for who in [Who::Web, Who::Db, Who::Gone, Who::Host] {
            for v6 in [false, true] {
                let owner = match who {
                    Who::Host => Owner::Host,
                    who => Owner::Endpoint(EndpointIndex(who.index())),
                };
                let identity = IdentityId(who.index().into());
                let address = who.address(v6);
                let cidr = Cidr::new(address, if v6 { 128 } else { 32 }).unwrap();
                tables.addresses.insert(cidr, Address { identity, owner });
            }
        }
        for who in CONTAINERS {
            if who == Who::Web && !with_web {
                continue;
            }
            let endpoint = Endpoint {
                ifindex: Some(self.interfaces[&who]),
                mac: constants(who.index()).mac,
                subject: SubjectId(who.index().into()),
                tap: false,
            };
            let index = EndpointIndex(who.index());
            tables.endpoints.insert(index, endpoint);
        }
        allow(&mut tables, web_open);
        tables
    }
}

/// What is allowed: rulesets, and who has which.
fn allow(tables: &mut Tables, web_open: bool) {
    use Direction::{Egress, Ingress};
    let ports = |protocol, port, bits| PortPrefix::Ports {
        protocol,
        port,
        bits,
    };
    let sends = [
        ports(6, 80, 16),
        ports(17, 53, 16),
        ports(132, 5000, 16),
        ports(1, 0, 0),
        ports(58, 0, 0),
    ];
    let takes = [ports(6, 443, 16), ports(17, 443, 16)];
    let everything = [PortPrefix::Everything];
    let (none, web, db) = (0, Who::Web.index(), Who::Db.index());
    let some = |ports: &[PortPrefix]| if web_open { ports.to_vec() } else { vec![] };
    let rows = [
        (web, Egress, none, some(&sends)),
        (web, Ingress, none, some(&takes)),
        (db, Egress, none, everything.to_vec()),
        (db, Ingress, none, vec![]),
        (db, Ingress, web, everything.to_vec()),
    ];
    for (number, (subject, direction, identity, allowed)) in (1..).zip(rows) {
        let ruleset = RulesetId(number);
        let key = PolicyKey {
            subject: SubjectId(subject.into()),
            direction,
            identity: IdentityId(identity.into()),
        };
        tables.policy.insert(key, ruleset);
        for ports in allowed {
            let key = PortKey { ruleset, ports };
            tables.rulesets.insert(key, RuleId(1));
        }
    }
}
