//! What a container sends, before anything is judged: link, source address, form of the packet.

use std::net::IpAddr;

use crate::packet::upper::{ACK, PSH, SYN, Upper};
use crate::packet::{ARP, DESTINATION_OPTIONS, FRAGMENT, HOP_BY_HOP, ROUTING, frame};
use crate::row::{At, Row, Sent, Verdict, hold, tcp};
use crate::stage::{Who, World, gateway_mac, play};

use Verdict::{Into, Pass};
use Who::{Db, Gone, Host, Outside, Web};

const PORTS: (u16, u16) = (40_000, 80);

#[test]
fn rows_hold() {
    play(|stage| hold(stage, &tables()));
}

pub(crate) fn tables() -> [fn(At) -> Vec<Row>; 7] {
    [
        link, sources, forms, tcp_forms, extensions, protocols, options,
    ]
}

fn syn() -> Upper {
    tcp(PORTS, SYN, 1000, 0)
}

fn link(at: At) -> Vec<Row> {
    let whole = at.send(Web, Db, syn());
    let from = |mac: [u8; 6]| whole.clone().with(|f| f[6..12].copy_from_slice(&mac));
    let to = |mac: [u8; 6]| whole.clone().with(|f| f[..6].copy_from_slice(&mac));
    let bears = |ethertype: u16| {
        let bytes = at.out(Web, Db, syn()).bytes();
        Sent::by(Web, frame(Web.mac(), gateway_mac(), ethertype, &bytes))
    };
    let mut rows = vec![
        Row::new("what is right passes", whole.clone(), Into(Db)),
        Row::drops("another's MAC", from(Db.mac()), "spoofed_mac"),
        Row::drops("the gateway's MAC", from(gateway_mac()), "spoofed_mac"),
        Row::drops("a broadcast source", from([0xff; 6]), "spoofed_mac"),
        Row::drops("a source of zeroes", from([0; 6]), "spoofed_mac"),
        Row::new(
            "a neighbour's MAC leads nowhere else",
            to(Db.mac()),
            Into(Db),
        ),
        Row::new("nor does a broadcast", to([0xff; 6]), Into(Db)),
        Row::drops(
            "the trial's EtherType is no way through",
            bears(0x88b5),
            "trial",
        ),
        Row::drops(
            "without blocks nothing is judged",
            whole.clone(),
            "missed_block",
        )
        .world(World::NoBlocks),
    ];
    // 802.1Q and QinQ (a tag in the payload), MPLS, LLDP, EAPOL, PPPoE, WoL; lengths: 802.3.
    for ethertype in [
        0x8100, 0x88a8, 0x9100, 0x8847, 0x88cc, 0x888e, 0x8863, 0x8864, 0x0842, 0x0000, 46, 1500,
    ] {
        rows.push(Row::drops(
            "an EtherType that is not judged",
            bears(ethertype),
            "ethertype",
        ));
    }
    let other = if at.v6 { 0x0800 } else { 0x86dd };
    rows.push(Row::drops(
        "the other family's EtherType",
        bears(other),
        "malformed",
    ));
    rows.push(Row::drops("IP as ARP", bears(ARP), "arp"));
    rows
}

/// A1: every source but its own.
fn sources(at: At) -> Vec<Row> {
    let from = |source: IpAddr| {
        let mut ends = at.ends((Web, bpf::attached::Hook::Ingress), Web, Db);
        ends.source = source;
        Sent::by(Web, crate::packet::Packet::new(ends, syn()).frame())
    };
    let texts: &[&str] = if at.v6 {
        &[
            "::",
            "::1",
            "ff02::1",
            "fe80::504c:4201",
            "fe80::1",
            "fd44::",
            "fd44::3:2",
            "64:ff9b::1",
        ]
    } else {
        &[
            "0.0.0.0",
            "0.0.0.2",
            "127.0.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "169.254.80.76",
            "10.44.0.255",
            "10.44.1.2",
        ]
    };
    let texts = texts.iter().map(|text| text.parse().unwrap());
    let whose = [Db, Gone, Host, Outside].map(|who| at.address(who));
    let mut rows: Vec<Row> = texts
        .chain(whose)
        .map(|source| Row::drops("another source", from(source), "spoofed_source"))
        .collect();
    if at.v6 {
        let mapped = |who: Who| match who.address(false) {
            IpAddr::V4(v4) => v4.to_ipv6_mapped().into(),
            v6 @ IpAddr::V6(_) => v6,
        };
        rows.push(Row::drops(
            "a v4-mapped source",
            from(mapped(Web)),
            "v4_mapped",
        ));
        let to = at.send(Web, Db, syn()).with(|f| {
            f[38..54].fill(0);
            f[48..50].fill(0xff);
            f[50..54].copy_from_slice(&[10, 44, 0, 3]);
        });
        rows.push(Row::drops("a v4-mapped destination", to, "v4_mapped"));
    }
    rows
}

/// A7: what the lengths and versions say.
fn forms(at: At) -> Vec<Row> {
    let udp = || at.send(Web, Db, Upper::udp((40_000, 53), b"12345678"));
    let cut = |length| udp().with(|f| f.truncate(length));
    let header = if at.v6 { 54 } else { 34 };
    let long = |more: usize| udp().with(|f| f.extend(vec![0; more]));
    let mut rows = vec![
        Row::new("trailing bytes are no part of it", long(20), Into(Db)),
        Row::drops("cut at its transport header", cut(header), "malformed"),
        Row::drops("cut in its transport header", cut(header + 7), "malformed"),
        Row::drops("shorter than it says", cut(header + 15), "malformed"),
    ];
    let set = |range: std::ops::Range<usize>, bytes: &[u8]| {
        udp().with(|f| f[range].copy_from_slice(bytes))
    };
    let short = |payload: u16| {
        let length = if at.v6 { payload } else { payload + 20 };
        let at_byte = if at.v6 { 18 } else { 16 };
        set(at_byte..at_byte + 2, &length.to_be_bytes())
    };
    rows.push(Row::drops("longer than the packet", short(17), "malformed"));
    for payload in [1, 7] {
        let says = "its transport header is beyond its end";
        rows.push(Row::drops(says, short(payload), "malformed"));
    }
    if at.v6 {
        rows.push(Row::drops(
            "no payload but trailing bytes",
            short(0),
            "malformed",
        ));
        rows.push(Row::drops(
            "another version",
            set(14..15, &[0x40]),
            "malformed",
        ));
        return rows;
    }
    for words in (0..16).filter(|words| *words != 5) {
        // 6 to 8 words hold within the packet; then the header's rest is read as options.
        let sent = set(14..15, &[0x40 | words]);
        if !(5..=9).contains(&words) {
            rows.push(Row::drops("an IHL that cannot be", sent, "malformed"));
        }
    }
    rows.push(Row::drops(
        "another version",
        set(14..15, &[0x65]),
        "malformed",
    ));
    rows.push(Row::drops(
        "a total length below the header",
        set(16..18, &[0, 19]),
        "malformed",
    ));
    rows.push(Row::new(
        "a time to live of 0 is the receiver's",
        set(22..23, &[0]),
        Into(Db),
    ));
    rows
}

/// A8: what a TCP header may look like, first of its flow.
fn tcp_forms(at: At) -> Vec<Row> {
    let header = if at.v6 { 54 } else { 34 };
    let flags = |flags: u16| at.send(Web, Db, tcp(PORTS, flags, 1000, 5001));
    let mut rows: Vec<Row> = (0..0x200_u16)
        .map(|bits| {
            // What of ECN and of URG and PSH is set does not matter.
            if bits & 0x17 == SYN {
                Row::new("a bare SYN may begin", flags(bits), Into(Db))
            } else {
                Row::drops("nothing but a bare SYN may", flags(bits), "stray")
            }
        })
        .collect();
    let offset = |words: u8| {
        at.send(Web, Db, syn())
            .with(|f| f[header + 12] = words << 4)
    };
    rows.extend(
        (0..16)
            .filter(|words| *words != 5)
            .map(|words| Row::drops("a data offset that cannot be", offset(words), "malformed")),
    );
    let port0 = at.send(Web, Db, tcp((0, 80), SYN, 1000, 0));
    rows.push(Row::new("port 0 is a port", port0, Into(Db)));
    let port0 = at.send(Web, Db, tcp((40_000, 0), SYN, 1000, 0));
    rows.push(Row::drops(
        "and not what is allowed",
        port0,
        "denied_egress",
    ));
    let data = at.send(Web, Db, tcp(PORTS, ACK | PSH, 1001, 5001));
    let row = Row::new("an established flow goes on", data, Into(Db));
    rows.push(row.after(at.handshake(Web, Db, PORTS)));
    rows
}

/// A5: chains of extension headers.
fn extensions(at: At) -> Vec<Row> {
    if !at.v6 {
        return vec![];
    }
    let chain = |numbers: &[u8]| {
        let packet = at.out(Web, Db, syn());
        let packet = numbers.iter().fold(packet, |packet, number| {
            let content: &[u8] = if *number == FRAGMENT { &[0; 6] } else { &[] };
            packet.extension(*number, content)
        });
        Sent::by(Web, packet.frame())
    };
    let (hop, dest) = (HOP_BY_HOP, DESTINATION_OPTIONS);
    let judged: &[&[u8]] = &[
        &[hop],
        &[dest],
        &[FRAGMENT],
        &[hop, dest],
        &[hop, dest, FRAGMENT],
        &[hop, dest, FRAGMENT, dest],
        &[dest, dest, dest, dest],
    ];
    let refused: &[&[u8]] = &[
        &[dest; 5],
        &[dest; 8],
        &[dest, hop],
        &[hop, hop],
        &[FRAGMENT, hop],
        &[FRAGMENT, FRAGMENT],
        &[ROUTING],
        &[hop, ROUTING],
        &[135],
        &[139],
        &[140],
    ];
    let mut rows = Vec::new();
    for numbers in judged {
        rows.push(Row::new("a chain that is walked", chain(numbers), Into(Db)));
    }
    for numbers in refused {
        rows.push(Row::drops(
            "a chain that is not",
            chain(numbers),
            "extension_headers",
        ));
    }
    let long = |eights: u8| chain(&[dest]).with(|f| f[55] = eights);
    rows.push(Row::drops(
        "a header longer than the packet",
        long(100),
        "malformed",
    ));
    rows.push(Row::drops(
        "and longer than any",
        long(255),
        "extension_headers",
    ));
    let cut = chain(&[dest, dest]).with(|f| {
        f.truncate(66);
        f[18..20].copy_from_slice(&12_u16.to_be_bytes());
    });
    rows.push(Row::drops("a header that is cut", cut, "malformed"));
    // What a first fragment says is next holds for those that come after it.
    let first = chain(&[FRAGMENT, dest]).with(|f| f[57] = 1);
    rows.push(Row::drops("a chain in parts", first, "extension_headers"));
    rows
}

/// AH, ESP, no next header, and a number that nobody has: protocols like any other.
fn protocols(at: At) -> Vec<Row> {
    let mut rows = Vec::new();
    for number in [51, 50, 59, 253] {
        let sent = |from, to| at.send(from, to, Upper::other(number, &[0; 16]));
        rows.push(Row::drops(
            "another protocol",
            sent(Web, Db),
            "denied_egress",
        ));
        rows.push(Row::new("that is allowed", sent(Db, Outside), Pass));
    }
    rows
}

/// A7: IPv4 options.
fn options(at: At) -> Vec<Row> {
    if at.v6 {
        return vec![];
    }
    let with = |options: &[u8]| Sent::by(Web, at.out(Web, Db, syn()).options(options).frame());
    let passing: &[&[u8]] = &[
        &[7, 7, 4, 0, 0, 0, 0],                  // record route
        &[68, 12, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0], // timestamps
        &[148, 4, 0, 0],                         // router alert
        &[1, 1, 1, 0],
        &[0, 131, 3, 4], // after the end of the list nothing counts
    ];
    let routed: &[&[u8]] = &[
        &[131, 7, 4, 10, 44, 0, 9],
        &[137, 7, 4, 10, 44, 0, 9],
        &[1, 1, 1, 131, 7, 4, 10, 44, 0, 9],
        &[7, 3, 4, 137, 3, 4],
        &[148, 0, 0, 0], // an option without length hides what comes after
        &[148, 1, 131, 3],
    ];
    let passing = passing
        .iter()
        .map(|o| Row::new("an option passes", with(o), Into(Db)));
    let routed = routed
        .iter()
        .map(|o| Row::drops("a source route", with(o), "ip_options"));
    passing.chain(routed).collect()
}
