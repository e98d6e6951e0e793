//! Every packet is judged by one commit whole.
//!
//! Two commits, A and B, take turns. Each gives the client another identity and the servers other
//! rulesets, so that only both together say what a commit says:
//!
//! | | client is | `kept` allows | `barred` allows |
//! |---|---|---|---|
//! | A | `left` | from `left` | from `right` |
//! | B | `right` | from `right` | from `left` |
//!
//! P, from the client to `kept`, is allowed under A and under B; Q, to `barred`, is denied under
//! both. A packet that takes the client's identity from one and the rules from the other is judged
//! the other way round. So is one that takes the identity and the peers from one and the rulesets
//! from the other: it is denied, for a ruleset of one commit is not in the other. (Two more
//! containers are always on the left and on the right, so that both commits have rows for either.)
//!
//! Probes on each processor and in each family send both all the time, each from a port that was
//! not used before, and long flows besides, judged again under each generation. No P may be lost
//! and no Q may pass; the datapath's own counts say the same.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::{AsFd, AsRawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use libbpf_rs::{MapCore, MapFlags, MapHandle};
use nix::poll::poll;
use rig::lab::Lab;
use rig::netns::Netns;
use rig::processors;
use rig::traffic::{Exchange, Listen, Protocol, Service};
use rig::tree::{Container, Policy, Rule, Tree};
use rig::wait;

use crate::kernel::{drops, kernel, pins};
use crate::pipeline;

const PORT: u16 = 7;
const CLIENT: &str = "shop/client";
const KEPT: [&str; 2] = ["10.44.0.2", "fd44::2"];
const BARRED: [&str; 2] = ["10.44.0.3", "fd44::3"];

fn tree(client: &str, kept: &str, barred: &str) -> Tree {
    let allow = |server: &str, role: &str| {
        Policy::new(&format!("shop/{server}"))
            .select(&[("role", server)])
            .ingress(&[Rule::new().containers(&[("role", role)]).port("UDP", PORT)])
    };
    let role = |name: &str, role: &str, number| {
        Container::numbered(&format!("shop/{name}"), number).label("role", role)
    };
    Tree::new()
        .container(&role("client", client, 1))
        .container(&role("kept", "kept", 2))
        .container(&role("barred", "barred", 3))
        .container(&role("on-the-left", "left", 4))
        .container(&role("on-the-right", "right", 5))
        .policy(&allow("kept", kept))
        .policy(&allow("barred", barred))
}

/// The ids of A and B, and A applied.
fn begin(lab: &Lab) -> [String; 2] {
    let commit = |tree: &Tree, name: &str| {
        lab.repository().hold(tree);
        lab.repository().commit(name)
    };
    let ids = [
        commit(&tree("left", "left", "right"), "A"),
        commit(&tree("right", "right", "left"), "B"),
    ];
    lab.reconcile(&["--rev", &ids[0]]).succeed();
    ids
}

/// What probes have found.
#[derive(Default)]
struct Found {
    sent: AtomicU64,
    lost: AtomicU64,
    stop: AtomicBool,
}

/// Probes of each processor and family, and the servers.
struct Probes {
    found: Arc<Found>,
    threads: Vec<JoinHandle<()>>,
    servers: [Service; 2],
}

impl Probes {
    fn begin(lab: &Lab, patience: Duration) -> Self {
        let client = lab.alpha().container(CLIENT);
        let serve = |name: &str, addresses: [&str; 2]| {
            let listens = addresses.map(|a| Listen::on(Protocol::Udp, a.parse().unwrap(), PORT));
            Service::start(&lab.alpha().container(name), &listens)
        };
        let servers = [serve("shop/kept", KEPT), serve("shop/barred", BARRED)];
        let found = Arc::new(Found::default());
        let pairs = [0, 1].map(|family| {
            let at =
                |addresses: [&str; 2]| SocketAddr::new(addresses[family].parse().unwrap(), PORT);
            [at(KEPT), at(BARRED)]
        });
        let mut threads = Vec::new();
        for processor in processors::allowed().into_iter().take(2) {
            for pair in pairs {
                threads.push(probe(
                    &client,
                    processor,
                    pair,
                    patience,
                    Arc::clone(&found),
                ));
            }
        }
        Self {
            found,
            threads,
            servers,
        }
    }

    fn sent(&self) -> u64 {
        self.found.sent.load(Ordering::SeqCst)
    }

    /// P that were lost, and Q that passed.
    fn wrong(&self) -> (u64, u64) {
        let passed = self.servers[1].served(Protocol::Udp, PORT);
        (self.found.lost.load(Ordering::SeqCst), passed)
    }

    /// Waits until so many more pairs have been sent.
    fn advance(&self, pairs: u64) {
        let goal = self.sent() + pairs;
        wait::holds("probes to go on", || self.sent() >= goal);
    }

    fn end(&mut self) {
        self.found.stop.store(true, Ordering::SeqCst);
        for thread in self.threads.drain(..) {
            thread.join().unwrap();
        }
    }
}

impl Drop for Probes {
    fn drop(&mut self) {
        self.found.stop.store(true, Ordering::SeqCst);
    }
}

/// Pairs that a probe sends one right after the other, and how long it then leaves the processor to
/// the commits and to the other tests.
const PAIRS: usize = 4;
const PAUSE_MS: u8 = 2;

/// Sends Q, then P, and waits for P's echo, on one processor, until it is stopped.
fn probe(
    client: &Netns,
    processor: usize,
    ends: [SocketAddr; 2],
    patience: Duration,
    found: Arc<Found>,
) -> JoinHandle<()> {
    client.spawn(move || {
        processors::stay_on(processor);
        while !found.stop.load(Ordering::SeqCst) {
            (0..PAIRS).for_each(|_| send_pair(ends, patience, &found));
            poll(&mut [], PAUSE_MS).unwrap();
        }
    })
}

fn send_pair([kept, barred]: [SocketAddr; 2], patience: Duration, found: &Found) {
    let any: IpAddr = match kept {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0)).unwrap();
    socket.set_read_timeout(Some(patience)).unwrap();
    socket.send_to(b"Q", barred).unwrap();
    socket.send_to(b"P", kept).unwrap();
    found.sent.fetch_add(1, Ordering::SeqCst);
    // A machine that stood still lets the time run out before it delivers what is on its way, so
    // what does not come is waited for once more.
    let comes = |_| socket.recv_from(&mut [0; 1]).is_ok();
    if !(0..2).any(comes) {
        found.lost.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn a_thousand_commits_are_each_judged_whole() {
    Lab::run("atomicity", |lab| {
        let requests = begin(lab).map(|commit| pipeline::request(lab, &commit));
        let denied = |names: &[&str]| drops(names, &["denied_ingress", "denied_egress"]);
        let all = [CLIENT, "shop/kept", "shop/barred"];
        let (first, before) = (kernel().record().generation.0, denied(&all));
        let mut probes = Probes::begin(lab, wait::LIMIT);
        let client = lab.alpha().container(CLIENT);
        let long = KEPT.map(|a| Exchange::udp(&client, SocketAddr::new(a.parse().unwrap(), PORT)));

        for number in 1..=1000 {
            pipeline::apply(&requests[number % 2]);
            assert_eq!(probes.wrong(), (0, 0), "after {number} commits");
        }

        probes.advance(100);
        probes.end();
        assert_eq!(kernel().record().generation.0, first + 1000);
        let sent = probes.sent();
        println!("{sent} pairs of P and Q during 1,000 commits");
        assert!(sent > 10_000, "{sent}");
        assert_eq!(probes.wrong(), (0, 0));
        for exchange in long {
            let progress = exchange.end();
            assert_eq!((&progress.failure, progress.repeated), (&None, 0));
        }
        // Every Q was denied, and nothing else was.
        assert_eq!(denied(&all) - before, sent);
    });
}

/// One slot's maps of the tables that change.
fn tables() -> Vec<MapHandle> {
    let names = ["addresses_v4", "addresses_v6", "policy", "rulesets"];
    names
        .map(|name| pins().join(name))
        .map(|pin| MapHandle::from_pinned_path(pin).unwrap())
        .into()
}

/// What stands in a slot of a table.
fn inner(table: &MapHandle, slot: u32) -> MapHandle {
    let id = table.lookup(&slot.to_ne_bytes(), MapFlags::ANY).unwrap();
    let id = u32::from_ne_bytes(id.unwrap().try_into().unwrap());
    MapHandle::from_map_id(id).unwrap()
}

/// Commits the wrong way: puts the other commit's tables into the live slot, one after the other.
fn store_in_parts(live: u32) {
    for table in tables() {
        let [there, other] = [live, 1 - live].map(|slot| inner(&table, slot));
        for (slot, map) in [(live, other), (1 - live, there)] {
            let fd = map.as_fd().as_raw_fd().to_ne_bytes();
            table
                .update(&slot.to_ne_bytes(), &fd, MapFlags::ANY)
                .unwrap();
        }
    }
}

#[test]
fn a_store_in_parts_is_found_out() {
    Lab::run("in-parts", |lab| {
        let requests = begin(lab).map(|commit| pipeline::request(lab, &commit));
        // Both slots filled: B live, A beside it.
        pipeline::apply(&requests[1]);
        let live = kernel().record().slot.index();
        let mut probes = Probes::begin(lab, Duration::from_millis(100));
        probes.advance(100);
        assert_eq!(probes.wrong(), (0, 0), "before");
        wait::holds("a lost P and a Q that passed", || {
            store_in_parts(live);
            let (lost, passed) = probes.wrong();
            lost > 0 && passed > 0
        });
        probes.end();
    });
}
