//! T3: an element of a connection map becomes another flow's while a packet holds its pointer.

use std::thread;

use libbpf_rs::{MapCore, MapFlags, MapHandle};
use rig::packet::Packet;
use rig::packet::upper::{ACK, FIN, PSH, Upper};

use crate::stage::{Ports, Side, back, play};

const PORTS: Ports = (40_000, 80);

/// Where the tag, the endpoint and the bits of both FINs are in an entry's word.
const TAG: u64 = 0xffff << 44;
const ENDPOINT: u64 = 0xffff << 28;
const FINS: u64 = 3 << 61;

struct Raw {
    map: MapHandle,
    key: Vec<u8>,
    value: Vec<u8>,
}

impl Raw {
    /// The one entry of a container's map.
    fn only(side: &Side, map: &str) -> Self {
        let map = MapHandle::from_pinned_path(side.pins().join(map)).unwrap();
        let keys: Vec<Vec<u8>> = map.keys().collect();
        let [key] = <[Vec<u8>; 1]>::try_from(keys).expect("one entry");
        let value = map.lookup(&key, MapFlags::ANY).unwrap().unwrap();
        Self { map, key, value }
    }

    fn word(value: &[u8]) -> u64 {
        u64::from_ne_bytes(value[..8].try_into().unwrap())
    }

    fn with_word(&self, word: u64) -> Vec<u8> {
        [&word.to_ne_bytes(), &self.value[8..]].concat()
    }

    fn put(&self, key: &[u8], value: &[u8]) {
        self.map.update(key, value, MapFlags::ANY).unwrap();
    }
}

/// Every tag but the flow's own is another flow's: never delivered by, never written to.
#[test]
fn t03_an_element_is_another_flows_by_its_tag() {
    play("t03", &[], |stage| {
        let (a, b) = (&stage.a, &stage.b);
        for v6 in [false, true] {
            stage.connect(v6, PORTS);
            let raw = Raw::only(a, "established");
            let own = Raw::word(&raw.value);
            // Endpoint 0 is the sender itself: delivered by this entry, a packet would come back.
            for bit in [44, 51, 59] {
                let foreign = (own & !ENDPOINT) ^ (1 << bit);
                raw.put(&raw.key, &raw.with_word(foreign));
                a.send(b, v6, Upper::tcp(PORTS, ACK | PSH, 1001, 5001, b""));
                b.sees(a, v6, PORTS, ACK | PSH);
                let entry = a.entry(b.address(v6), PORTS).expect("made again");
                assert_eq!(entry.deliver_to.map(|index| index.0), Some(1));
                assert_eq!(Raw::word(&Raw::only(a, "established").value), own);
            }
            // With the right tag it is believed: the endpoint is what the entry says.
            raw.put(&raw.key, &raw.with_word(own & !ENDPOINT));
            a.send(b, v6, Upper::tcp(PORTS, ACK | PSH, 1001, 5001, b""));
            a.sees(a, v6, PORTS, ACK | PSH);
            raw.map.delete(&raw.key).unwrap();
            let of_b = Raw::only(b, "established");
            of_b.map.delete(&of_b.key).unwrap();
        }
        assert_eq!((a.rest(), b.rest()), (vec![], vec![]));
    });
}

/// A race: while packets of one flow mark their entry, its element is given to another flow, again
/// and again. The window is a few instructions, so that nothing is found proves little; what is
/// found would prove all.
#[test]
fn t03_a_late_write_lands_in_no_other_flow() {
    const ROUNDS: u32 = 20_000;
    play("t03 race", &[], |stage| {
        let (a, b) = (&stage.a, &stage.b);
        stage.connect(false, PORTS);
        let raw = Raw::only(a, "established");
        // Another port makes another flow; its tag is another, too.
        let mut other = raw.key.clone();
        other[18] ^= 0x40;
        let word = Raw::word(&raw.value) ^ (1 << 50);
        let planted = raw.with_word(word);
        let fin = Upper::tcp(PORTS, ACK | FIN, 1001, 5001, b"");
        let fin = Packet::new(a.ends(b.address(false)), fin).frame();
        thread::scope(|scope| {
            let sending = scope.spawn(|| (0..ROUNDS).for_each(|_| a.wire.send(&fin)));
            while !sending.is_finished() {
                raw.put(&raw.key, &raw.value);
                raw.map.delete(&raw.key).ok();
                raw.put(&other, &planted);
                let value = raw.map.lookup(&other, MapFlags::ANY).unwrap().unwrap();
                assert_eq!(Raw::word(&value) & (TAG | FINS), word & (TAG | FINS));
                raw.map.delete(&other).unwrap();
            }
        });
        let entry = b.entry(a.address(false), back(PORTS)).unwrap();
        assert_eq!(entry.closed, (false, true), "the packets did mark an entry");
    });
}
