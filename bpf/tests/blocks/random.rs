//! Random packets, many of them broken: the datapath and [`crate::model`] agree on each, and what
//! is dropped is counted once. The seed is printed; `PLUMBLINE_SEED` plays it again.

use std::time::{SystemTime, UNIX_EPOCH};

use bpf::attached::Hook;
use bpf::trial::Action;

use crate::model::{Fate, Model, link};
use crate::packet::upper::Upper;
use crate::packet::{DESTINATION_OPTIONS, FRAGMENT, HOP_BY_HOP, Packet, ROUTING};
use crate::row::{At, Sent, run};
use crate::stage::{Came, Stage, Who, play};

use Who::{Db, Gone, Host, Outside, Web};

const PACKETS: u64 = 12_000;

/// After so many everything is forgotten: no map is full by then but that of established ones.
const ROUND: u64 = 400;

/// Steele, Lea, Flood: Fast splittable pseudorandom number generators (2014).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % limit as u64).unwrap()
    }

    fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }

    fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[0]
    }
}

fn seed() -> u64 {
    let given = std::env::var("PLUMBLINE_SEED").ok();
    given.map_or_else(
        || {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
            now.as_secs() << 20 | u64::from(now.subsec_micros())
        },
        |text| text.parse().expect("PLUMBLINE_SEED is a number"),
    )
}

#[test]
fn the_datapath_and_the_model_agree() {
    play(|stage| {
        let seed = seed();
        println!("PLUMBLINE_SEED={seed}");
        let mut random = Random(seed);
        let mut model = Model::default();
        let mut under_way = Vec::new();
        let before: u64 = stage.drops().values().sum();
        let mut dropped = 0;
        let mut passed = 0;
        for number in 0..PACKETS {
            if number % ROUND == 0 {
                stage.forget();
                model = Model::default();
            }
            if random.one_in(12) {
                under_way.extend(handshake(&mut random).into_iter().rev());
            }
            let next = random.one_in(2).then(|| under_way.pop()).flatten();
            let sent = next.unwrap_or_else(|| packet(&mut random));
            match compare(stage, &mut model, &sent) {
                Ok(Action::Drop) => dropped += 1,
                Ok(_) => passed += 1,
                Err(says) => panic!("PLUMBLINE_SEED={seed}, packet {number}: {says}\n{sent:02x?}"),
            }
        }
        let counted = stage.drops().values().sum::<u64>() - before;
        assert_eq!(
            counted, dropped,
            "PLUMBLINE_SEED={seed}: each drop is counted once"
        );
        println!("{passed} passed, {dropped} dropped:");
        for ((who, reason), count) in stage.drops() {
            println!("{who:?} {}: {count}", reason.name());
        }
        assert!(
            passed > PACKETS / 10 && dropped > PACKETS / 10,
            "both are tried"
        );
    });
}

fn compare(stage: &Stage, model: &mut Model, sent: &Sent) -> Result<Action, String> {
    let fate = model.judge(sent);
    let answer = run(stage, sent);
    let same = match fate {
        Fate::Pass => answer.action == Action::Pass && answer.packet == sent.frame,
        Fate::Drop => answer.action == Action::Drop,
        Fate::Link => matches!(answer.action, Action::Drop | Action::Redirect),
        Fate::Into(who) => {
            let frame = [&link(who), &sent.frame[12..]].concat();
            answer.action == Action::Redirect && answer.packet == frame
        }
    };
    if same {
        return Ok(answer.action);
    }
    Err(format!("{fate:?} was expected, and it was {answer:02x?}"))
}

/// Three segments that come to something, if nothing comes between.
fn handshake(random: &mut Random) -> [Sent; 3] {
    let at = At {
        v6: random.one_in(2),
    };
    let (from, to, port) = random.of(&[(Web, Db, 80), (Db, Web, 443), (Outside, Web, 443)]);
    at.handshake(from, to, (random.of(&[40_000, 40_001, 40_002]), port))
}

/// A packet of few ends, ports and numbers, so that many meet; one in four is damaged.
fn packet(random: &mut Random) -> Sent {
    let at = At {
        v6: random.one_in(2),
    };
    let other = random.of(&[Web, Db, Gone]);
    let (from, to) = random.of(&[
        (Web, Db),
        (Web, Db),
        (Db, Web),
        (Db, Web),
        (Web, Outside),
        (Outside, Web),
        (Outside, Db),
        (Host, Web),
        (Web, Host),
        (Web, Db),
        (Db, Web),
        (Web, other),
        (Db, Outside),
    ]);
    let upper = upper(random, at, (from, to));
    let out = matches!(from, Web | Db);
    let packet = if out {
        at.out(from, to, upper)
    } else {
        at.inwards(from, to, upper)
    };
    let mut frame = written(random, packet);
    if random.one_in(4) {
        damage(random, &mut frame);
    }
    match from {
        Web | Db => Sent::by(from, frame),
        Host if !random.one_in(8) => Sent::to(to, Came::Own, frame),
        _ => Sent::to(to, Came::Uplink, frame),
    }
}

fn upper(random: &mut Random, at: At, ends: (Who, Who)) -> Upper {
    let client = random.of(&[40_000, 40_000, 40_001, 40_002]);
    let server = random.of(&[80, 80, 80, 443, 443, 53, 5000]);
    // Db answers web more often than it asks.
    let ports = match ends {
        (Db, Web) if !random.one_in(4) => (server, client),
        (Web, Outside) if random.one_in(3) => (server, client),
        _ => (client, server),
    };
    let data: &[u8] = random.of(&[b"", b"x", b"a longer text, to be cut in parts"]);
    let number = random.of(&[5000, 5000, 1000, 5001]);
    let acknowledged = random.of(&[5001, 5001, 5001, 0, 70_000]);
    match random.below(16) {
        0..=7 => {
            let of_client = [2, 2, 2, 0x10, 0x10, 0x10, 0x18, 0x18, 0x11, 4, 3];
            let of_server = [0x12, 0x12, 0x12, 0x12, 0x10, 0x18, 0x11, 0x14, 0, 2];
            let flags = if ports.0 == client {
                random.of(&of_client)
            } else {
                random.of(&of_server)
            };
            Upper::tcp(ports, flags, number, acknowledged, data)
        }
        8 | 9 => Upper::udp(ports, data),
        10 => Upper::sctp(ports, 7, random.of(&[1, 1, 2, 0, 6]), data),
        11 => Upper::echo_request(client, 1, data),
        12 => Upper::echo_reply(client, 1, data),
        13 => Upper::other(
            random.of(&[47, 50, 51, 59, 253, 1, 58]),
            &[data, &[0; 8]].concat(),
        ),
        14 => Upper::icmp((random.byte(), 0), (random.byte(), 0), [0; 4], &[0; 24]),
        _ => error(random, at, ends, ports),
    }
}

/// An error about a packet that may have gone the other way.
fn error(random: &mut Random, at: At, (from, to): (Who, Who), ports: (u16, u16)) -> Upper {
    let about = match random.below(3) {
        0 => Upper::tcp(ports, 2, 1000, 0, b""),
        1 => Upper::udp(ports, b"12345678"),
        _ => Upper::echo_request(ports.0, 1, b""),
    };
    let beyond = random.of(&[from, from, Outside, Db]);
    let mut inner = Packet::new(at.ends((Web, Hook::Ingress), to, beyond), about).bytes();
    if random.one_in(4) {
        inner.truncate(random.below(inner.len()));
    }
    Upper::icmp(
        (random.of(&[3, 11, 12]), 0),
        (random.of(&[1, 2, 3]), 0),
        [0; 4],
        &inner,
    )
}

/// The packet as a frame: whole, with something between, or a part of it.
fn written(random: &mut Random, packet: Packet) -> Vec<u8> {
    let upper = packet.upper_bytes().len();
    match random.below(8) {
        0 if upper > 24 => {
            let cut = random.of(&[8, 16, 24]);
            let frames = packet.fragments(random.of(&[7, 8]), &[cut]);
            frames[random.below(2)].clone()
        }
        1 => {
            let count = random.below(6);
            let kinds = [
                HOP_BY_HOP,
                DESTINATION_OPTIONS,
                DESTINATION_OPTIONS,
                FRAGMENT,
                ROUTING,
            ];
            let with = (0..count).fold(packet, |packet, _| {
                let kind = random.of(&kinds);
                let content: &[u8] = if kind == FRAGMENT { &[0; 6] } else { &[] };
                packet.extension(kind, content)
            });
            let kind = random.of(&[0, 1, 7, 68, 131, 137, 148]);
            with.options(&[kind, random.of(&[0, 1, 3, 4, 7, 40]), 4, 0])
                .frame()
        }
        _ => packet.frame(),
    }
}

fn damage(random: &mut Random, frame: &mut Vec<u8>) {
    // Less than its IP header the kernel does not take for a test run.
    let least = if frame[12..14] == [8, 0] { 34 } else { 54 };
    match random.below(4) {
        0 => frame.truncate(least + random.below(frame.len() - least + 1)),
        1 => frame.extend(vec![random.byte(); random.below(40)]),
        _ => {
            for _ in 0..=random.below(3) {
                // The EtherType stays: without it there is little to read.
                let at = random.of(&[6, 14, 14, 14, 14, 14, 14, 14]);
                let at = at + random.below(if at == 6 { 6 } else { frame.len() - 14 });
                frame[at] ^= 1 << random.below(8);
            }
        }
    }
}
