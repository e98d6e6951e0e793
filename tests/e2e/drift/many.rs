//! A host with many connections: a run with nothing to do reads all of them, and is cheap.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use libbpf_rs::{MapCore, MapFlags, MapHandle};
use rig::lab::Lab;
use rig::traffic::{Exchange, Listen, Protocol, Service};
use rig::tree::{Container, Tree};
use rig::wait;

use crate::kernel::{connections, pins};

/// The default of `spec.connections` eight times over.
const MANY: u32 = 65_536;
/// Far more than it takes, for machines that do other things meanwhile.
const BOUND: Duration = Duration::from_secs(5);

/// As if the same connection were held with as many peers.
fn multiply(map: &MapHandle, peer: IpAddr) {
    let key = map.keys().next().unwrap();
    let value = map.lookup(&key, MapFlags::ANY).unwrap().unwrap();
    let IpAddr::V4(peer) = peer else {
        unreachable!("it is IPv4")
    };
    let at = key.windows(4).position(|part| part == peer.octets());
    let at = at.unwrap();
    let numbers = 0..MANY - 1;
    let keys = numbers.flat_map(|number| {
        let [.., c, d] = number.to_be_bytes();
        let mut key = key.clone();
        key[at..at + 4].copy_from_slice(&[203, 0, c, d]);
        key
    });
    let keys: Vec<u8> = keys.collect();
    let values = value.repeat(MANY as usize - 1);
    let any = MapFlags::ANY;
    map.update_batch(&keys, &values, MANY - 1, any, any)
        .unwrap();
}

#[test]
fn a_run_with_nothing_to_do_is_cheap_however_many_connections_there_are() {
    Lab::run("drift-many", |lab| {
        let outside = lab.outside();
        let container = Container::numbered("shop/web", 1);
        let container = container.spec("connections", MANY.into());
        lab.repository().hold(&Tree::new().container(&container));
        lab.apply("the tree").succeed();
        let peer = lab.addresses(&outside)[0];
        let _service = Service::start(&outside, &[Listen::everywhere(Protocol::Tcp, 80)]);
        let web = lab.alpha().container("shop/web");
        let exchange = Exchange::tcp(&web, SocketAddr::new(peer, 80));
        exchange.advance(1);
        wait::holds("it to be established", || {
            connections("shop/web").len() == 1
        });
        let run = |arguments: &[&str]| {
            let begun = Instant::now();
            drop(lab.reconcile(arguments).ended(0));
            begun.elapsed()
        };
        let few = [run(&[]), run(&["drift"])];
        let established = pins().join("containers/shop/web/established");
        multiply(&MapHandle::from_pinned_path(established).unwrap(), peer);
        assert_eq!(connections("shop/web").len(), MANY as usize);
        let many = [run(&[]), run(&["drift"])];
        println!("a run and drift with one connection {few:?}, with {MANY} {many:?}");
        for (few, many) in few.into_iter().zip(many) {
            assert!(many < few + BOUND, "{few:?} {many:?}");
        }
        exchange.advance(1);
    });
}
