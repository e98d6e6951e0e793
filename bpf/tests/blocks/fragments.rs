//! Fragments (A4): judged by their first, and dropped without it.

use crate::packet::upper::{ACK, PSH, SYN, Upper};
use crate::packet::{Packet, Part};
use crate::row::{At, Row, Sent, Verdict, hold, tcp};
use crate::stage::{Came, Who, World, play};

use Verdict::{Into, Pass};
use Who::{Db, Outside, Web};

#[test]
fn rows_hold() {
    play(|stage| hold(stage, &tables()));
}

pub(crate) fn tables() -> [fn(At) -> Vec<Row>; 3] {
    [datagrams, segments, cut]
}

const ID: u32 = 77;

fn part(offset: u16, more: bool) -> Part {
    Part {
        identification: ID,
        offset,
        more,
    }
}

/// What a container sends, in parts.
fn parts(packet: &Packet, identification: u32, cuts: &[usize]) -> Vec<Sent> {
    let frames = packet.fragments(identification, cuts);
    frames
        .into_iter()
        .map(|frame| Sent::by(Web, frame))
        .collect()
}

fn datagrams(at: At) -> Vec<Row> {
    let question = |port| at.out(Web, Db, Upper::udp((40_000, port), &[7; 64]));
    let sent = parts(&question(53), ID, &[24, 48]);
    let [first, second, third] = <[Sent; 3]>::try_from(sent).unwrap();
    let other = parts(&question(53), ID + 1, &[24, 48]).remove(1);
    let denied = parts(&question(54), ID, &[24, 48]);
    let far = at.inwards(Outside, Web, Upper::udp((40_000, 443), &[7; 64]));
    let far = far.fragments(ID, &[24]).into_iter();
    let far: Vec<Sent> = far.map(|f| Sent::to(Web, Came::Uplink, f)).collect();
    let spoofed = Sent {
        came: Came::Own,
        ..far[1].clone()
    };
    let known = [first.clone()];
    vec![
        Row::new("the first", first.clone(), Into(Db)),
        Row::new("the second", second.clone(), Into(Db)).after(known.clone()),
        Row::new("the last", third.clone(), Into(Db)).after(known.clone()),
        Row::new("in any order after the first", second.clone(), Into(Db))
            .after([first.clone(), third]),
        Row::drops("without the first", second.clone(), "fragment"),
        Row::drops("of another datagram", other, "fragment").after(known.clone()),
        Row::drops("a first that is denied", denied[0].clone(), "denied_egress"),
        Row::drops(
            "the last of what is denied",
            second.clone(),
            "denied_egress",
        )
        .after(known)
        .world(World::Revoked),
        Row::new("from outside", far[0].clone(), Pass),
        Row::new("the last from outside", far[1].clone(), Pass).after([far[0].clone()]),
        Row::drops("from outside without the first", far[1].clone(), "fragment"),
        Row::new("from who is now the host's own", spoofed, Pass).after([far[0].clone()]),
    ]
}

/// A segment's header lies in its first fragment whole, and no later one lies over it.
fn segments(at: At) -> Vec<Row> {
    let shake = || at.handshake(Web, Db, (40_000, 80)).into_iter();
    let data = Upper::tcp((40_000, 80), ACK | PSH, 1001, 5001, &[7; 64]);
    let packet = at.out(Web, Db, data);
    let bytes = packet.upper_bytes();
    let piece = |offset: u16, more| {
        let from = usize::from(offset);
        Sent::by(
            Web,
            packet.fragment(part(offset, more), &bytes[from..from + 24]),
        )
    };
    let opens = at.out(Web, Db, Upper::tcp((40_001, 80), SYN, 1, 0, &[0; 64]));
    let opening = opens.fragments(ID, &[24]);
    let opening: Vec<Sent> = opening.into_iter().map(|f| Sent::by(Web, f)).collect();
    let answer = at.send(Db, Web, tcp((80, 40_001), SYN | ACK, 5000, 1));
    let mut rows = vec![
        Row::new("the first", piece(0, true), Into(Db)).after(shake()),
        Row::new("the second", piece(24, true), Into(Db)).after(shake().chain([piece(0, true)])),
        Row::drops("of nothing", piece(0, true), "stray"),
        Row::new("a SYN in parts", opening[0].clone(), Into(Db)),
        // Whatever number the packet before it acknowledged.
        Row::drops("whose rest is no proof", opening[1].clone(), "stray")
            .after([opening[0].clone(), answer])
            .after(shake()),
    ];
    for offset in [8, 16] {
        let over = piece(offset, true);
        let row = Row::drops("over the header", over.clone(), "malformed");
        rows.push(row.after(shake().chain([piece(0, true)])));
        rows.push(Row::drops("over a header not seen", over, "malformed"));
    }
    rows
}

/// A first fragment that is too short, also where bytes follow its end.
fn cut(at: At) -> Vec<Row> {
    let shake = || at.handshake(Web, Db, (40_000, 80));
    let data = Upper::tcp((40_000, 80), ACK | PSH, 1001, 5001, &[7; 64]);
    let packet = at.out(Web, Db, data);
    let tiny = |length: usize| packet.fragment(part(0, true), &packet.upper_bytes()[..length]);
    let mut rows = Vec::new();
    for length in [1, 4, 8, 13, 16, 19] {
        let frame = tiny(length);
        let row = Row::drops(
            "a header in parts",
            Sent::by(Web, frame.clone()),
            "malformed",
        );
        rows.push(row.after(shake()));
        // What would complete it is padding of the frame, and no part of the packet.
        let padded = [frame, packet.upper_bytes()[length..].to_vec()].concat();
        let row = Row::drops(
            "a header completed by padding",
            Sent::by(Web, padded),
            "malformed",
        );
        rows.push(row.after(shake()));
    }
    let short = at.out(Web, Db, Upper::udp((40_000, 53), &[7; 64]));
    let frame = short.fragment(part(0, true), &short.upper_bytes()[..7]);
    rows.push(Row::drops(
        "a datagram's",
        Sent::by(Web, frame),
        "malformed",
    ));
    let empty = tcp((40_000, 80), ACK, 1001, 5001);
    let last = at.out(Web, Db, empty).fragment(part(24, false), &[]);
    let row = Row::new(
        "a last one of nothing is its stack's",
        Sent::by(Web, last),
        Into(Db),
    );
    let first = Sent::by(
        Web,
        packet.fragment(part(0, true), &packet.upper_bytes()[..24]),
    );
    rows.push(row.after(shake()).after([first]));
    rows
}
