//! What is in the kernel of the lab's first host, as the loader reads it. These tests run on that
//! host, so the loader finds there what `reconcile` has put.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use bpf::conntrack::{Connection, State, Subject};
use bpf::kernel::Kernel;
use bpf::live::LiveKernel;
use libbpf_rs::{MapCore, MapHandle};
use rig::ids::Held;
use rig::lab::Lab;
use rig::program::Run;
use state::target::programs::BuildHash;
use state::words::names::FullName;

/// The default base directory.
pub(crate) const BASE: &str = "/sys/fs/bpf/plumbline";

/// What is pinned.
pub(crate) fn kernel() -> Kernel {
    Kernel::open(Path::new(BASE)).unwrap().unwrap()
}

/// Everything of ours: BPF objects, pins, interfaces, namespaces, and what the kernel's maps say.
pub(crate) fn everything(lab: &Lab) -> (Held, LiveKernel) {
    (Held::at_rest(&lab.alpha()), kernel().live().unwrap())
}

/// Runs it; it must end with this code and change nothing.
#[track_caller]
pub(crate) fn changes_nothing(lab: &Lab, arguments: &[&str], code: i32) -> Run {
    let before = everything(lab);
    let run = lab.reconcile(arguments).ended(code);
    assert_eq!(everything(lab), before, "{run}");
    run
}

/// A container's name.
pub(crate) fn named(text: &str) -> FullName {
    FullName::from_slashed(text).unwrap()
}

/// A connection of TCP or UDP without what every packet may change.
pub(crate) type Flow = (State, IpAddr, u8, Subject, bool);

/// A container's connections of TCP and UDP.
pub(crate) fn flows(container: &str) -> BTreeSet<Flow> {
    let all = connections(container).into_iter();
    all.map(|c| (c.state, c.peer, c.protocol, c.subject, c.initiator))
        .collect()
}

/// The same with everything that stands in them.
pub(crate) fn connections(container: &str) -> Vec<Connection> {
    let mut all = kernel().connections(&named(container)).unwrap();
    all.retain(|connection| [6, 17].contains(&connection.protocol));
    all
}

/// Whether a connection is at a port, of either end.
pub(crate) fn is_at(subject: Subject, port: u16) -> bool {
    let Subject::Flow {
        peer_port,
        own_port,
    } = subject
    else {
        return false;
    };
    [peer_port, own_port].contains(&port)
}

/// How many packets of these containers were dropped for one of these reasons.
pub(crate) fn drops(containers: &[&str], reasons: &[&str]) -> u64 {
    let kernel = kernel();
    let all = containers.iter().flat_map(|container| {
        let drops = kernel.drops(&named(container)).unwrap();
        drops.into_iter()
    });
    all.filter(|(reason, _)| reasons.contains(&reason.name()))
        .map(|(_, count)| count)
        .sum()
}

/// The build that each container's programs say they are.
pub(crate) fn builds() -> BTreeMap<FullName, BuildHash> {
    let live = kernel().live_containers().unwrap().into_iter();
    live.map(|(name, container)| (name, container.programs.unwrap().build))
        .collect()
}

/// The id of one of a container's own maps, by its pin.
pub(crate) fn map_id(container: &str, map: &str) -> u32 {
    let pin = pins().join("containers").join(container).join(map);
    let map = MapHandle::from_pinned_path(pin).unwrap();
    map.info().unwrap().info.id
}

/// Below the base directory, the one for this version of the layouts.
pub(crate) fn pins() -> PathBuf {
    let versions = fs::read_dir(BASE).unwrap().map(|entry| entry.unwrap());
    let mut versions: Vec<PathBuf> = versions.map(|entry| entry.path()).collect();
    assert_eq!(versions.len(), 1, "one version of layouts: {versions:?}");
    versions.remove(0)
}

/// Applies a tree and gives the number of its commit, as the connections keep it.
pub(crate) fn apply(lab: &Lab, tree: &rig::tree::Tree, message: &str) -> u64 {
    lab.repository().hold(tree);
    lab.apply(message).succeed();
    kernel().record().generation.0
}
