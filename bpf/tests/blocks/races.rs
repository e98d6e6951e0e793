//! An entry that goes while a packet is judged by it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use bpf::conntrack::Reason;
use libbpf_rs::{MapCore, MapFlags};

use crate::packet::upper::Upper;
use crate::row::{At, run};
use crate::stage::{Who, play};

use Who::{Host, Web};

/// The rows of `reasons` that are shown here.
pub(crate) const REASONS: [&str; 1] = ["raced"];

/// Where `ingress` stands in a value.
const INGRESS: usize = 12;

/// A packet finds an entry whose peer came by another interface, puts a new one in its place and
/// looks again: meanwhile another process has removed it. Then nothing passes.
#[test]
fn an_entry_that_is_gone_lets_nothing_pass() {
    play(|stage| {
        let raced = (Web, Reason::named("raced").unwrap());
        let at = At { v6: false };
        let asks = at.take(Host, Web, Upper::udp((40_000, 9), b""));
        run(stage, &asks);
        let map = stage.connection_map(Web, "datagrams");
        let keys: Vec<Vec<u8>> = map.keys().collect();
        let key = keys.first().expect("an entry");
        let mut value = map.lookup(key, MapFlags::ANY).unwrap().unwrap();
        value[INGRESS..INGRESS + 4].copy_from_slice(&9_u32.to_ne_bytes());
        let done = AtomicBool::new(false);
        let seen = thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    map.update(key, &value, MapFlags::ANY).ok();
                    map.delete(key).ok();
                }
            });
            let seen = (0..400_000).find(|round| {
                run(stage, &asks);
                round % 256 == 0 && stage.drops()[&raced] > 0
            });
            done.store(true, Ordering::Relaxed);
            seen
        });
        seen.expect("a packet has met the race");
    });
}
