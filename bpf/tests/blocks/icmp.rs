//! ICMP and ICMPv6 (A9): echoes, errors by their inner packet, and what has no business here.

use std::net::IpAddr;

use bpf::attached::Hook;

use crate::packet::upper::{ACK, SYN, Upper};
use crate::packet::{Ends, FRAGMENT, Packet};
use crate::row::{At, Row, Sent, Verdict, hold, tcp};
use crate::stage::{Came, Who, World, play};

use Verdict::{Into, Pass};
use Who::{Db, Host, Outside, Web};

#[test]
fn rows_hold() {
    play(|stage| hold(stage, &tables()));
}

pub(crate) fn tables() -> [fn(At) -> Vec<Row>; 6] {
    [echoes, kinds, errors_in, by_whom, errors_out, inner_forms]
}

fn echoes(at: At) -> Vec<Row> {
    let ask = |from, to, id| at.goes(from, to, Upper::echo_request(id, 1, b"ping"));
    let reply = |from, to, id| at.goes(from, to, Upper::echo_reply(id, 1, b"ping"));
    vec![
        Row::new("a request", ask(Web, Db, 77), Into(Db)),
        Row::new("its reply", reply(Db, Web, 77), Into(Web)).after([ask(Web, Db, 77)]),
        Row::new("from outside", reply(Outside, Web, 77), Pass).after([ask(Web, Outside, 77)]),
        Row::drops("of another id", reply(Db, Web, 78), "stray").after([ask(Web, Db, 77)]),
        Row::drops("to nothing", reply(Db, Web, 77), "stray"),
        Row::drops("one's own reply", reply(Web, Db, 77), "stray").after([ask(Web, Db, 77)]),
        Row::drops(
            "the other way is another flow",
            ask(Db, Web, 77),
            "denied_ingress",
        )
        .after([ask(Web, Db, 77)]),
        // 8 stands for the other side's port, so of this id both ways have one key.
        Row::drops("also of this id", ask(Db, Web, 8), "denied_ingress").after([ask(Web, Db, 8)]),
        Row::new("whose reply passes", reply(Db, Web, 8), Into(Web)).after([ask(Web, Db, 8)]),
        Row::drops("from outside", ask(Outside, Web, 77), "denied_ingress"),
        Row::new("from the host", ask(Host, Web, 77), Pass),
        Row::drops(
            "under a commit that denies",
            reply(Db, Web, 77),
            "denied_egress",
        )
        .after([ask(Web, Db, 77)])
        .world(World::Revoked),
    ]
}

/// Messages that are neither echo nor error.
fn kinds(at: At) -> Vec<Row> {
    let message = |kind: u8| Upper::icmp((kind, 0), (kind, 0), [0; 4], &[0; 16]);
    let out = |kind| at.send(Web, Db, message(kind));
    let inwards = |kind| at.take(Outside, Web, message(kind));
    let mut rows = Vec::new();
    let other = Upper::other(if at.v6 { 1 } else { 58 }, &[8, 0, 0, 0, 0, 0, 0, 0]);
    let other = at.send(Db, Outside, other);
    rows.push(Row::drops("the other family's ICMP", other, "icmp_type"));
    let short = at.send(
        Web,
        Db,
        Upper::other(if at.v6 { 58 } else { 1 }, &[8, 0, 0, 0]),
    );
    rows.push(Row::drops(
        "a message without its header",
        short,
        "malformed",
    ));
    if at.v6 {
        let discovery = (130..=137)
            .chain(141..=143)
            .chain([148, 149])
            .chain(151..=153);
        for kind in discovery {
            let says = "discovery is the neighbour block's";
            rows.push(Row::drops(says, out(kind), "neighbour_discovery"));
            rows.push(Row::drops(says, inwards(kind), "neighbour_discovery"));
        }
        for kind in [0, 5, 100, 127] {
            let says = "an error that nobody knows";
            rows.push(Row::drops(says, out(kind), "icmp_error"));
        }
        rows.push(Row::new(
            "node information is a question",
            out(139),
            Into(Db),
        ));
        return rows;
    }
    for kind in [5, 9, 10] {
        rows.push(Row::drops("redirects and routers", out(kind), "icmp_type"));
        rows.push(Row::drops("nor towards it", inwards(kind), "icmp_type"));
    }
    rows.push(Row::new("a question for the time", out(13), Into(Db)));
    let answer = at.send(Db, Web, message(14));
    rows.push(Row::new("and its answer", answer.clone(), Into(Web)).after([out(13)]));
    rows.push(Row::drops("an answer alone", answer, "denied_ingress"));
    rows
}

/// An error: type and code in both families, and the bytes of the packet that it is about.
fn error(v4: u8, v6: u8, inner: &[u8]) -> Upper {
    Upper::icmp((v4, 0), (v6, 0), [0, 0, 5, 0x14], inner)
}

/// The packet that `from` sent to `to`, as an error holds it.
fn inner(at: At, from: Who, to: Who, upper: Upper) -> Vec<u8> {
    let ends = at.ends((Web, Hook::Ingress), from, to);
    Packet::new(ends, upper).bytes()
}

/// Errors about what a container sent: by anyone on the way.
fn errors_in(at: At) -> Vec<Row> {
    let udp = |ports| Upper::udp(ports, b"12345678");
    let asked = |to| [at.send(Web, to, udp((40_000, 53)))];
    let about = |from, v4, v6, ports| {
        at.goes(
            from,
            Web,
            error(v4, v6, &inner(at, Web, Outside, udp(ports))),
        )
    };
    let right = (40_000, 53);
    let opens = tcp((40_000, 80), SYN, 1000, 0);
    let about_syn = error(11, 3, &inner(at, Web, Outside, opens.clone()));
    let echo = Upper::echo_request(77, 1, b"ping");
    let about_echo = error(11, 3, &inner(at, Web, Outside, echo.clone()));
    let of_db = error(3, 1, &inner(at, Db, Outside, udp(right)));
    let from_db = error(3, 1, &inner(at, Web, Db, udp(right)));
    vec![
        Row::drops("about nothing", about(Outside, 3, 1, right), "icmp_error"),
        Row::drops(
            "about another port",
            about(Outside, 3, 1, (40_001, 53)),
            "icmp_error",
        )
        .after(asked(Outside)),
        Row::drops(
            "about another container's",
            at.take(Outside, Web, of_db),
            "icmp_error",
        )
        .after([at.send(Db, Outside, udp(right))]),
        Row::new(
            "about a SYN (traceroute)",
            at.take(Outside, Web, about_syn),
            Pass,
        )
        .after([at.send(Web, Outside, opens)]),
        Row::new(
            "about an echo (traceroute)",
            at.take(Outside, Web, about_echo),
            Pass,
        )
        .after([at.send(Web, Outside, echo)]),
        Row::new(
            "of a local pair, straight",
            at.send(Db, Web, from_db.clone()),
            Into(Web),
        )
        .after(asked(Db)),
        Row::drops(
            "not by the uplink",
            spoofed(at, Db, from_db),
            "spoofed_source",
        )
        .after(asked(Db)),
        Row::drops(
            "under a commit that denies",
            about(Outside, 3, 1, right),
            "denied_egress",
        )
        .after(asked(Outside))
        .world(World::Revoked),
    ]
}

/// Anyone on the way may tell, but nobody may say that he is somebody else.
fn by_whom(at: At) -> Vec<Row> {
    let question = || Upper::udp((40_000, 53), b"12345678");
    let asked = |to| [at.send(Web, to, question())];
    let about = |from, v4, v6| {
        let inner = inner(at, Web, Outside, question());
        at.goes(from, Web, error(v4, v6, &inner))
    };
    let mut rows = Vec::new();
    for (v4, v6) in [(3, 1), (3, 2), (11, 3), (12, 4), (4, 1)] {
        let row = Row::new("by a router", about(Outside, v4, v6), Pass);
        rows.push(row.after(asked(Outside)));
        let row = Row::new("by the host, as for its MTU", about(Host, v4, v6), Pass);
        rows.push(row.after(asked(Outside)));
    }
    let of_pair = error(3, 2, &inner(at, Web, Db, question()));
    let row = Row::drops(
        "of a local pair nobody outside can tell",
        at.take(Outside, Web, of_pair.clone()),
        "icmp_error",
    );
    rows.push(row.after(asked(Db)));
    let row = Row::new("but the host", at.take(Host, Web, of_pair), Pass);
    rows.push(row.after(asked(Db)));
    let by_host = error(3, 1, &inner(at, Web, Outside, question()));
    rows.push(
        Row::drops(
            "by who says it is the host",
            spoofed(at, Host, by_host),
            "spoofed_source",
        )
        .after(asked(Outside)),
    );
    rows
}

fn spoofed(at: At, from: Who, upper: Upper) -> Sent {
    Sent::to(Web, Came::Uplink, at.inwards(from, Web, upper).frame())
}

/// Errors about what a container got: back to who sent it.
fn errors_out(at: At) -> Vec<Row> {
    let udp = || Upper::udp((40_000, 443), b"12345678");
    let got = |from| [at.goes(from, Web, udp())];
    let about = |from| error(3, 1, &inner(at, from, Web, udp()));
    let ends = |source: IpAddr, destination| Ends {
        source,
        destination,
        ..at.ends((Web, Hook::Ingress), Web, Db)
    };
    let crossed = Packet::new(ends(at.address(Web), at.address(Db)), about(Outside)).frame();
    vec![
        Row::new(
            "a port that is closed",
            at.send(Web, Outside, about(Outside)),
            Pass,
        )
        .after(got(Outside)),
        Row::new("to a local peer", at.send(Web, Db, about(Db)), Into(Db)).after(got(Db)),
        Row::new("to the host", at.send(Web, Host, about(Host)), Pass).after(got(Host)),
        Row::drops(
            "to another than who sent it",
            Sent::by(Web, crossed),
            "icmp_error",
        )
        .after(got(Outside)),
        Row::drops(
            "about nothing",
            at.send(Web, Outside, about(Outside)),
            "icmp_error",
        ),
        Row::drops(
            "about what it sent itself",
            at.send(
                Web,
                Outside,
                error(
                    3,
                    1,
                    &inner(at, Web, Outside, Upper::udp((443, 40_000), b"12345678")),
                ),
            ),
            "icmp_error",
        )
        .after(got(Outside)),
    ]
}

/// What an error may hold.
fn inner_forms(at: At) -> Vec<Row> {
    let udp = || Upper::udp((40_000, 53), b"12345678");
    let asked = || [at.send(Web, Outside, udp())];
    let whole = inner(at, Web, Outside, udp());
    let holds = |bytes: &[u8]| at.take(Outside, Web, error(3, 1, bytes));
    let least = if at.v6 { 48 } else { 28 };
    let mut rows = Vec::new();
    for length in 0..whole.len() {
        let sent = holds(&whole[..length]);
        let row = if length < least {
            Row::drops("too little of it", sent, "icmp_error")
        } else {
            Row::new("eight bytes of its upper part are enough", sent, Pass)
        };
        rows.push(row.after(asked()));
    }
    // What would complete it is padding of the frame, and no part of the error.
    let padded = holds(&whole[..least - 1]).with(|f| f.extend([0; 8]));
    rows.push(Row::drops("a packet completed by padding", padded, "icmp_error").after(asked()));
    let changed = |at: usize, byte: u8| {
        let mut bytes = whole.clone();
        bytes[at] = byte;
        holds(&bytes)
    };
    let bad = |says, sent| Row::drops(says, sent, "icmp_error").after(asked());
    rows.push(bad(
        "another version",
        changed(0, if at.v6 { 0x45 } else { 0x65 }),
    ));
    rows.push(bad(
        "a protocol that has no entry",
        changed(if at.v6 { 6 } else { 9 }, 6),
    ));
    let nested = error(3, 1, &whole);
    let nested = inner(at, Web, Outside, nested);
    rows.push(bad("an error about an error", holds(&nested)));
    // Even where a message without ports is known.
    let asks = Upper::icmp((13, 0), (139, 0), [0; 4], &[0; 16]);
    let known = at.send(Web, Outside, asks);
    rows.push(bad("an error about an error", holds(&nested)).after([known]));
    if at.v6 {
        let ends = at.ends((Web, Hook::Ingress), Web, Outside);
        let packet = Packet::new(ends, udp());
        let part = packet
            .clone()
            .extension(FRAGMENT, &[0, 1, 0, 0, 0, 9])
            .bytes();
        rows.push(Row::new("a first fragment", holds(&part), Pass).after(asked()));
        let part = packet.extension(FRAGMENT, &[0, 8, 0, 0, 0, 9]).bytes();
        rows.push(bad("a later fragment", holds(&part)));
    } else {
        rows.push(bad("a header too short", changed(0, 0x44)));
        rows.push(bad("a header longer than it", changed(0, 0x4f)));
        rows.push(Row::new("a first fragment", changed(6, 0x20), Pass).after(asked()));
        rows.push(bad("a later fragment", changed(7, 1)));
    }
    let segment = inner(at, Web, Outside, tcp((40_000, 80), ACK, 1001, 5001));
    rows.push(bad("a segment of nothing", holds(&segment)));
    rows
}
