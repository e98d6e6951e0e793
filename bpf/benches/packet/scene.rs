//! The scene: who there is, who may reach whom, and ten thousand policies in the way.
//!
//! | who | number | connections | sends to |
//! |---|---|---|---|
//! | crowd | 0 to 127 | default quota | far |
//! | one | 128 | raised quota | far |
//! | near | 129 | default quota | next |
//! | far, next | 200, 201 | raised, default | |
//!
//! All who send may send everything. All policies select both receivers: one lets in the senders,
//! by TCP 80 and UDP 53; each of the others one peer elsewhere, by a port of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd};
use std::path::PathBuf;

use bpf::attached::{self, Hook};
use bpf::connections::NewConnections;
use bpf::kernel::Kernel;
use bpf::marks::SlotInfo;
use bpf::object::Build;
use libbpf_rs::{MapCore, MapFlags, MapHandle, ProgramHandle};
use state::diff::Delta;
use state::target::constants::Constants;
use state::target::programs::BuildHash;
use state::target::tables::{Address, Endpoint, Owner, PolicyKey, PortKey, PortPrefix, Tables};
use state::words::address::Cidr;
use state::words::generation::{CommitRecord, Generation};
use state::words::identity::{IdentityId, RuleId, RulesetId, SubjectId};
use state::words::names::FullName;
use state::words::verdict::Direction;

use crate::rig::{Lab, constants, name};

/// How many containers the crowd is.
pub(crate) const CROWD: u16 = 128;
/// The sender with room for many connections.
pub(crate) const ONE: u16 = CROWD;
/// The sender with the default quota whose receiver is [`NEXT`].
pub(crate) const NEAR: u16 = CROWD + 1;
/// The receiver with room for all connections.
pub(crate) const FAR: u16 = 200;
/// The receiver with the default quota.
pub(crate) const NEXT: u16 = 201;
/// Where the driver finds the program towards [`NEAR`].
pub(crate) const TO_NEAR: u16 = 202;

/// How many policies there are.
pub(crate) const POLICIES: u32 = 10_000;
/// As a container has where its document says nothing.
pub(crate) const QUOTA: u32 = 8_192;
/// As many as there are flows: a map of more would have more of buckets.
const QUOTA_ONE: u32 = 65_536;
/// What the walks need at the other end.
const QUOTA_RAISED: u32 = 131_072;

/// The identity and subject of all who send, and of the receivers.
const SENDERS: u64 = 1;
const RECEIVERS: u64 = 2;
/// Of the first peer elsewhere.
const PEERS: u64 = 1_000;

/// The host's address.
pub(crate) fn host(v6: bool) -> IpAddr {
    if v6 {
        [0x2001, 0xdb8, 0, 0, 0, 0, 0, 1].into()
    } else {
        [192, 0, 2, 1].into()
    }
}

/// The constants of a number of the table above.
pub(crate) fn constants_of(number: u16) -> Constants {
    constants(number + 2)
}

pub(crate) fn name_of(number: u16) -> FullName {
    name(&format!("bench/c{number}"))
}

/// A host with all of it.
pub(crate) struct Scene {
    pub(crate) kernel: Kernel,
    base: PathBuf,
    interfaces: BTreeMap<u16, u32>,
}

impl Scene {
    /// A host with the interfaces of the containers, and nothing of ours on them yet.
    pub(crate) fn bare(lab: &Lab) -> Self {
        let numbers = (0..=NEAR).chain([FAR, NEXT]);
        let interfaces = numbers.map(|number| (number, lab.container(&format!("c{number}"))));
        Self {
            interfaces: interfaces.collect(),
            kernel: lab.create(),
            base: lab.base(),
        }
    }

    /// Makes the connection maps of containers and attaches their programs.
    pub(crate) fn attach(&self, numbers: impl Iterator<Item = u16> + Clone) {
        let wanted = numbers.clone().map(|number| NewConnections {
            container: name_of(number),
            endpoint: constants_of(number).endpoint,
            quota: match number {
                ONE => QUOTA_ONE,
                FAR => QUOTA_RAISED,
                _ => QUOTA,
            },
            live: false,
        });
        let wanted: Vec<NewConnections> = wanted.collect();
        self.kernel.make_connections(&wanted).unwrap();
        for number in numbers {
            let build = Build::Plain(constants_of(number), BuildHash([1; 32]));
            let ifindex = self.interfaces[&number];
            self.kernel
                .attach(&name_of(number), ifindex, &build)
                .unwrap();
        }
    }

    /// The program of one side of a container's interface.
    pub(crate) fn program(&self, number: u16, hook: Hook) -> ProgramHandle {
        let chain = attached::chain(self.interfaces[&number], hook).unwrap();
        ProgramHandle::from_prog_id(chain[0].program).unwrap()
    }

    /// The shared blocks, by name.
    pub(crate) fn blocks(&self) -> Vec<ProgramHandle> {
        let pins = self.block_set().read_dir().unwrap();
        let programs = pins.map(|pin| ProgramHandle::from_pinned_path(pin.unwrap().path()));
        programs.filter_map(Result::ok).collect()
    }

    fn block_set(&self) -> PathBuf {
        let mut sets = self.base.join("v1/blocks").read_dir().unwrap();
        sets.next().unwrap().unwrap().path()
    }

    pub(crate) fn block_table(&self) -> MapHandle {
        MapHandle::from_pinned_path(self.block_set().join("table")).unwrap()
    }

    pub(crate) fn pinned(&self, path: &str) -> MapHandle {
        MapHandle::from_pinned_path(self.base.join("v1").join(path)).unwrap()
    }

    pub(crate) fn container_map(&self, number: u16, map: &str) -> MapHandle {
        self.pinned(&format!("containers/{}/{map}", name_of(number)))
    }

    /// Every map of a name that stands below the base, but for those of containers.
    pub(crate) fn shared_maps(&self) -> Vec<(String, MapHandle)> {
        let pins = self.base.join("v1").read_dir().unwrap();
        let maps = pins.filter_map(|pin| {
            let path = pin.unwrap().path();
            let name = path.file_name()?.to_str()?.to_owned();
            Some((name, MapHandle::from_pinned_path(path).ok()?))
        });
        maps.collect()
    }

    /// Forgets the connections of some containers.
    pub(crate) fn forget(&self, numbers: impl IntoIterator<Item = u16>) {
        for number in numbers {
            for map in ["established", "half_open", "datagrams"] {
                let map = self.container_map(number, map);
                let keys: Vec<Vec<u8>> = map.keys().collect();
                keys.iter().for_each(|key| drop(map.delete(key)));
            }
        }
    }

    /// How many packets of some containers were dropped.
    pub(crate) fn dropped(&self, numbers: &BTreeSet<u16>) -> u64 {
        let of = |number: &u16| {
            let drops = self.kernel.drops(&name_of(*number)).unwrap();
            drops.values().sum::<u64>()
        };
        numbers.iter().map(of).sum()
    }

    /// Runs something while no program finds the judge.
    pub(crate) fn without_judge<T>(&self, run: impl FnOnce() -> T) -> T {
        let table = self.block_table();
        let judges = [(0_u32, "judge_out"), (1, "judge_in")];
        for (place, _) in judges {
            table.delete(&place.to_ne_bytes()).unwrap();
        }
        let ran = run();
        for (place, name) in judges {
            let program = ProgramHandle::from_pinned_path(self.block_set().join(name)).unwrap();
            let value = program.as_fd().as_raw_fd().to_ne_bytes();
            table
                .update(&place.to_ne_bytes(), &value, MapFlags::ANY)
                .unwrap();
        }
        ran
    }

    /// A commit after which every verdict is stale.
    pub(crate) fn raise_generation(&self) {
        let record = self.kernel.record();
        let generation = Generation(record.generation.0 + 1);
        let slot = record.slot;
        self.kernel
            .store(CommitRecord { generation, slot })
            .unwrap();
    }

    /// Commits the tables.
    pub(crate) fn commit(&self) {
        let kernel = &self.kernel;
        let slot = kernel.record().slot.other();
        let generation = Generation(kernel.record().generation.0 + 1);
        kernel.mark_preparing(slot, generation).unwrap();
        let delta = Delta::between(&Tables::default(), &self.tables());
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

    fn tables(&self) -> Tables {
        let mut tables = Tables::default();
        for (&number, &ifindex) in &self.interfaces {
            let own = constants_of(number);
            let who = if number < FAR { SENDERS } else { RECEIVERS };
            let endpoint = Endpoint {
                ifindex: Some(ifindex),
                mac: own.mac,
                subject: SubjectId(who),
                tap: false,
            };
            tables.endpoints.insert(own.endpoint, endpoint);
            let owner = Owner::Endpoint(own.endpoint);
            put_address(&mut tables, own.v4.unwrap().into(), who, owner);
            put_address(&mut tables, own.v6.unwrap().into(), who, owner);
        }
        for v6 in [false, true] {
            put_address(&mut tables, host(v6), 0, Owner::Host);
        }
        put_policies(&mut tables);
        tables
    }
}

fn put_address(tables: &mut Tables, address: IpAddr, identity: u64, owner: Owner) {
    let bits = if address.is_ipv6() { 128 } else { 32 };
    let cidr = Cidr::new(address, bits).unwrap();
    let identity = IdentityId(identity);
    tables.addresses.insert(cidr, Address { identity, owner });
}

fn put_policies(tables: &mut Tables) {
    let mut number = 0;
    let mut allow = |tables: &mut Tables, subject, direction, identity, ports: &[PortPrefix]| {
        number += 1;
        let ruleset = RulesetId(number);
        let key = PolicyKey {
            subject: SubjectId(subject),
            direction,
            identity: IdentityId(identity),
        };
        tables.policy.insert(key, ruleset);
        for &ports in ports {
            let rule = RuleId(number);
            tables.rulesets.insert(PortKey { ruleset, ports }, rule);
        }
    };
    let port = |protocol, port| PortPrefix::Ports {
        protocol,
        port,
        bits: 16,
    };
    let (tcp, udp) = (6, 17);
    let everything = [PortPrefix::Everything];
    allow(tables, SENDERS, Direction::Egress, 0, &everything);
    allow(tables, RECEIVERS, Direction::Egress, 0, &everything);
    let served = [port(tcp, 80), port(udp, 53)];
    allow(tables, RECEIVERS, Direction::Ingress, SENDERS, &served);
    for policy in 0..POLICIES - 1 {
        let identity = PEERS + u64::from(policy);
        let [_, _, high, low] = policy.to_be_bytes();
        let peers: [IpAddr; 2] = [
            [172, 16, high, low].into(),
            [0xfd55, 0, 0, 0, 0, 0, high.into(), low.into()].into(),
        ];
        for peer in peers {
            put_address(tables, peer, identity, Owner::Elsewhere);
        }
        let own = port(tcp, 1_000 + u16::try_from(policy).unwrap());
        allow(tables, RECEIVERS, Direction::Ingress, identity, &[own]);
    }
}
