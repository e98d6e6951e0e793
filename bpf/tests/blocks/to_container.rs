//! What the host's stack sends to a container, before anything is judged, and whose it can be.

use crate::packet::upper::{ACK, SYN, Upper};
use crate::packet::{Packet, frame};
use crate::row::{At, Row, Sent, Verdict, hold, tcp};
use crate::stage::{Came, Who, World, gateway_mac, play};

use Verdict::{Into, Pass};
use Who::{Db, Host, Outside, Web};

const PORTS: (u16, u16) = (40_000, 443);

#[test]
fn rows_hold() {
    play(|stage| hold(stage, &tables()));
}

pub(crate) fn tables() -> [fn(At) -> Vec<Row>; 3] {
    [forms, owners, known]
}

fn forms(at: At) -> Vec<Row> {
    let udp = || Upper::udp(PORTS, b"12345678");
    let sent = || at.take(Outside, Web, udp());
    let header = if at.v6 { 54 } else { 34 };
    let to_other = Sent::to(Web, Came::Uplink, at.inwards(Outside, Db, udp()).frame());
    let group = sent().with(|f| {
        let at = header - if f[12..14] == [8, 0] { 4 } else { 16 };
        f[at] = if header == 54 { 0xff } else { 224 };
    });
    let bears = |ethertype| {
        let bytes = at.inwards(Outside, Web, udp()).bytes();
        Sent::to(
            Web,
            Came::Uplink,
            frame(gateway_mac(), Web.mac(), ethertype, &bytes),
        )
    };
    vec![
        Row::new("what is right passes", sent(), Pass),
        Row::drops("to another's address", to_other, "not_for_container"),
        Row::drops("to a group", group, "not_for_container"),
        Row::drops(
            "cut in its header",
            sent().with(|f| f.truncate(header + 7)),
            "malformed",
        ),
        Row::drops("ARP is not for it", bears(0x0806), "arp"),
        Row::drops("a tag in the payload", bears(0x8100), "ethertype"),
        Row::drops("the trial's EtherType", bears(0x88b5), "trial"),
        Row::drops("without blocks", sent(), "missed_block").world(World::NoBlocks),
        Row::drops("without its row", sent(), "absent").world(World::WithoutWeb),
    ]
}

/// A17, T4: whose a packet can be, by the interface that it came in by.
fn owners(at: At) -> Vec<Row> {
    let from = |who, came| {
        let packet = at.inwards(who, Web, Upper::udp((40_000, 443), b""));
        Sent::to(Web, came, packet.frame())
    };
    let open = |who, came| {
        let packet = at.inwards(who, Web, Upper::udp((40_000, 444), b""));
        Sent::to(Web, came, packet.frame())
    };
    vec![
        Row::new("outside's by the uplink", from(Outside, Came::Uplink), Pass),
        Row::drops("is judged", open(Outside, Came::Uplink), "denied_ingress"),
        Row::new("the host's own is not", open(Host, Came::Own), Pass),
        Row::drops(
            "the host's by the uplink",
            from(Host, Came::Uplink),
            "spoofed_source",
        ),
        Row::new(
            "the host's by a container's, translated",
            open(Host, Came::Of(Db)),
            Pass,
        ),
        Row::drops(
            "a container's by the uplink",
            from(Db, Came::Uplink),
            "spoofed_source",
        ),
        Row::drops(
            "a container's as the host's own",
            from(Db, Came::Own),
            "spoofed_source",
        ),
        Row::new(
            "a container's by its interface",
            from(Db, Came::Of(Db)),
            Pass,
        ),
        Row::drops(
            "and judged as its own",
            open(Db, Came::Of(Db)),
            "denied_ingress",
        ),
        Row::drops(
            "a container's by another's",
            from(Db, Came::Of(Web)),
            "spoofed_source",
        ),
        Row::drops(
            "its own by the uplink",
            from(Web, Came::Uplink),
            "spoofed_source",
        ),
        Row::drops(
            "an absent container's",
            from(Who::Gone, Came::Uplink),
            "absent",
        ),
        Row::new(
            "any address that the host sends from",
            open(Outside, Came::Own),
            Pass,
        ),
    ]
}

/// A known flow lets in what comes the way its peer's packets come, and nothing else.
fn known(at: At) -> Vec<Row> {
    let asks = |to| at.send(Web, to, Upper::udp((40_000, 53), b""));
    let answer = |from, came| {
        let packet: Packet = at.inwards(from, Web, Upper::udp((53, 40_000), b""));
        Sent::to(Web, came, packet.frame())
    };
    let segment = |flags| at.take(Outside, Web, tcp((443, 40_000), flags, 5001, 1001));
    vec![
        Row::new(
            "an answer from outside",
            answer(Outside, Came::Uplink),
            Pass,
        )
        .after([asks(Outside)]),
        Row::new("of the host", answer(Host, Came::Own), Pass).after([asks(Host)]),
        Row::drops(
            "not of who says it is the host",
            answer(Host, Came::Uplink),
            "spoofed_source",
        )
        .after([asks(Host), answer(Host, Came::Own)]),
        Row::drops(
            "nor of who says it is db",
            answer(Db, Came::Uplink),
            "spoofed_source",
        )
        .after([asks(Db)]),
        Row::new(
            "nor of another's interface, but db's",
            answer(Db, Came::Of(Db)),
            Pass,
        )
        .after([asks(Db)]),
        Row::drops(
            "without a question",
            answer(Outside, Came::Uplink),
            "denied_ingress",
        ),
        Row::drops("a segment of nothing", segment(ACK), "stray"),
        Row::drops("an answer to nothing", segment(SYN | ACK), "stray"),
        Row::new("db's question goes straight", asks(Db), Into(Db)),
    ]
}
