//! The pure part on a large tree, stage by stage, for a count of instructions: `.ci/instructions`
//! runs it under callgrind and holds each stage to its ceiling.
//!
//! Ten thousand policies in a hundred files select a thousand containers. First it is applied to a
//! host that has nothing; then one policy is changed, where all else is as the first apply left it.
//! No clock is read: how long it takes is measured elsewhere.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use state::desired::{self, Desired};
use state::diff::{self, Differences};
use state::documents::{self, Documents, tree::Tree};
use state::live::{Base, Live, LiveContainer, LiveNetwork, LivePrograms, LiveSlot, SlotMark};
use state::plan::{self, Kind, Origin, Plan};
use state::target::located::Found;
use state::target::{self, ContainerTarget, Datapath, Located, Target};
use state::words::generation::{CommitRecord, Generation, Slot};
use state::words::names::HostName;

const CONTAINERS: usize = 1_000;
const POLICIES: usize = 10_000;
/// Documents in a file.
const IN_A_FILE: usize = 100;
/// The policy that is changed, and its port then.
const CHANGED: (usize, u16) = (4_711, 4_711);

/// What trees have said before.
#[derive(Default)]
struct Memory {
    documents: documents::memory::Memory,
    target: target::Memory,
}

fn main() {
    let mut memory = Memory::default();
    let (datapath, nothing) = (datapath(), Live::default());
    let mut first = tree(None);
    let documents = first_documents(&mut first, &mut memory);
    let desired = first_desired(&documents);
    let target = first_target(&desired, &located(&desired), &datapath, &mut memory);
    let differences = first_diff(&target, &nothing, &datapath);
    let plan = first_plan(&target, &nothing, &differences, &origin("first"));
    assert_eq!(plan.kind, Kind::Commit);
    assert!(plan.rows.len() > 2 * POLICIES, "{}", plan.rows.len());
    assert!(plan.steps.len() > CONTAINERS);

    let live = live(&target, &datapath);
    let mut second = tree(Some(CHANGED));
    let documents = second_documents(&mut second, &mut memory);
    let desired = second_desired(&documents);
    let located = live.located(BTreeMap::new(), BTreeMap::new());
    let target = second_target(&desired, &located, &datapath, &mut memory);
    let differences = second_diff(&target, &live, &datapath);
    let plan = second_plan(&target, &live, &differences, &origin("second"));
    assert_eq!(plan.kind, Kind::Commit);
    assert!((1..=8).contains(&plan.rows.len()), "{}", plan.rows.len());
    assert!(differences.containers.is_empty());
}

/// The stages as functions of their own, which a profile names: one set for each of the two trees.
macro_rules! stages {
    ($($documents:ident $desired:ident $target:ident $diff:ident $plan:ident)+) => {$(
        #[inline(never)]
        fn $documents(tree: &mut Tree, memory: &mut Memory) -> Documents {
            let (documents, problems) = documents::parse_again(tree, &mut memory.documents);
            assert_eq!(problems.iter().count(), 0);
            documents
        }

        #[inline(never)]
        fn $desired(documents: &Documents) -> Desired {
            let (desired, problems) = desired::resolve(documents, &host());
            assert_eq!(problems.iter().count(), 0);
            desired
        }

        #[inline(never)]
        fn $target(
            desired: &Desired,
            located: &Located,
            datapath: &Datapath,
            memory: &mut Memory,
        ) -> Target {
            target::compile_again(desired, located, datapath, &mut memory.target).unwrap()
        }

        #[inline(never)]
        fn $diff(target: &Target, live: &Live, datapath: &Datapath) -> Differences {
            diff::diff(target, live, datapath)
        }

        #[inline(never)]
        fn $plan(target: &Target, live: &Live, differences: &Differences, origin: &Origin) -> Plan {
            plan::plan(target, live, differences, origin)
        }
    )+};
}

stages! {
    first_documents first_desired first_target first_diff first_plan
    second_documents second_desired second_target second_diff second_plan
}

fn host() -> HostName {
    HostName::new("alpha").unwrap()
}

fn origin(commit: &str) -> Origin {
    Origin {
        commit: commit.to_owned(),
        tree: format!("tree of {commit}"),
    }
}

fn datapath() -> Datapath {
    Datapath {
        container_code: [1; 32],
        block_code: [2; 32],
        layout: 1,
        endpoints_most: 8_192,
    }
}

/// The tree, with another port in one policy.
fn tree(changed: Option<(usize, u16)>) -> Tree {
    let mut tree = Tree::default();
    let config = "apiVersion: plumbline.dev/v1alpha1\nkind: Config\n";
    put(&mut tree, Tree::CONFIG, config);
    for (name, count, document) in [
        (
            "containers",
            CONTAINERS,
            container as fn(usize, Option<u16>) -> String,
        ),
        ("policies", POLICIES, policy),
    ] {
        for first in (0..count).step_by(IN_A_FILE) {
            let numbers = first..count.min(first + IN_A_FILE);
            let documents = numbers.map(|number| {
                let port = changed.filter(|(which, _)| *which == number);
                document(number, port.map(|(_, port)| port))
            });
            let text = documents.collect::<Vec<String>>().join("---\n");
            put(&mut tree, &format!("{name}/{first:05}.yaml"), &text);
        }
    }
    tree
}

fn put(tree: &mut Tree, path: &str, text: &str) {
    tree.files.insert(path.into(), text.as_bytes().into());
}

fn container(number: usize, _: Option<u16>) -> String {
    let [high, low] = u16::try_from(number + 2).unwrap().to_be_bytes();
    format!(
        "apiVersion: plumbline.dev/v1alpha1\nkind: Container\nmetadata:\n  name: c{number}\n  \
         namespace: shop\n  labels: {{app: a{number}}}\nspec:\n  host: alpha\n  \
         addresses: [10.44.{high}.{low}, \"fd44::{:x}\"]\n",
        number + 2
    )
}

/// Half of them name containers as peers, half a range elsewhere.
fn policy(number: usize, port: Option<u16>) -> String {
    let mut text = format!(
        "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata:\n  name: p{number}\n  \
         namespace: shop\nspec:\n  podSelector:\n    matchLabels: {{app: a{}}}\n  ingress:\n    \
         - from:\n",
        number % CONTAINERS
    );
    let written = if number.is_multiple_of(2) {
        let peer = (number + 1 + number / CONTAINERS) % CONTAINERS;
        let labels = format!("matchLabels: {{app: a{peer}}}");
        writeln!(text, "        - podSelector:\n            {labels}")
    } else {
        let (high, low) = (16 + number / 256, number % 256);
        writeln!(text, "        - ipBlock: {{cidr: 172.{high}.{low}.0/24}}")
    };
    written.unwrap();
    let port = port.unwrap_or(1_000 + u16::try_from(number % 50_000).unwrap());
    writeln!(
        text,
        "      ports:\n        - {{protocol: TCP, port: {port}}}"
    )
    .unwrap();
    text
}

/// The index of the host-side interface of a container.
fn ifindex(number: usize) -> u32 {
    u32::try_from(number + 10).unwrap()
}

/// Where the containers of a tree were found: all interfaces are there, and nothing else.
fn located(desired: &Desired) -> Located {
    let containers = desired.containers_here().enumerate();
    let found = containers.map(|(number, container)| {
        let found = Found {
            ifindex: Some(ifindex(number)),
            endpoint: None,
        };
        (container.name.clone(), found)
    });
    Located {
        containers: found.collect(),
        ..Located::default()
    }
}

/// A host on which a target has been applied twice, so that both slots hold it.
fn live(target: &Target, datapath: &Datapath) -> Live {
    let slot = |generation| LiveSlot {
        mark: SlotMark::Settled,
        generation: Generation(generation),
        commit: "first".to_owned(),
        tree: "tree of first".to_owned(),
        tables: target.tables.clone(),
        ..LiveSlot::default()
    };
    let base = Base {
        layout: datapath.layout,
        block_code: datapath.block_code,
        record: CommitRecord {
            generation: Generation(2),
            slot: Slot::B,
        },
        slots: [slot(1), slot(2)],
        unpinned: Vec::new(),
        lost: Vec::new(),
    };
    let containers = target.containers.iter().zip(0..);
    let containers = containers.map(|((name, c), number)| (name.clone(), attached(c, number)));
    let mut live = Live {
        bpffs: true,
        base: Some(base),
        containers: containers.collect(),
        ..Live::default()
    };
    let sysctls = target.host.sysctls.iter();
    live.host.sysctls = sysctls
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    live
}

fn attached(container: &ContainerTarget, number: usize) -> LiveContainer {
    let network = container.network.clone();
    let reached: BTreeSet<_> = network.addresses.iter().copied().collect();
    LiveContainer {
        programs: Some(LivePrograms {
            build: container.programs.build,
            constants: container.constants,
            ifindex: ifindex(number),
            guarded: true,
            first: true,
        }),
        connections: Some(container.connections),
        pinned_quota: Some(container.connections),
        endpoint: Some(container.constants.endpoint),
        network: Some(LiveNetwork {
            ifindex: Some(ifindex(number)),
            resolv_conf: network.resolv_conf,
            network,
            faults: Vec::new(),
            reached,
        }),
        ..LiveContainer::default()
    }
}
