//! ARP and neighbour discovery (A3): a question is answered with the gateway, the rest dropped.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::packet::neighbour::{Arp, Operation, advertisement, solicitation};
use crate::packet::upper::Upper;
use crate::packet::{Ends, Packet};
use crate::row::{At, Row, Sent, Verdict, hold};
use crate::stage::{Who, World, gateway_mac, play};

use Verdict::Answer;
use Who::{Db, Web};

#[test]
fn rows_hold() {
    play(|stage| hold(stage, &tables()));
}

pub(crate) fn tables() -> [fn(At) -> Vec<Row>; 3] {
    [arp, discovery, not_answered]
}

fn v4(who: Who) -> Ipv4Addr {
    match who.address(false) {
        IpAddr::V4(v4) => v4,
        IpAddr::V6(v6) => panic!("{v6}"),
    }
}

fn v6(who: Who) -> Ipv6Addr {
    match who.address(true) {
        IpAddr::V6(v6) => v6,
        IpAddr::V4(v4) => panic!("{v4}"),
    }
}

fn arp(at: At) -> Vec<Row> {
    if at.v6 {
        return vec![];
    }
    let gateway = Ipv4Addr::new(169, 254, 80, 76);
    let asks = |target| Arp::question((Web.mac(), v4(Web)), target);
    let answered = |target| {
        let mut answer = asks(target);
        answer.link = (gateway_mac(), Web.mac());
        answer.operation = Operation::Reply;
        answer.sender = (gateway_mac(), target);
        answer.target = (Web.mac(), v4(Web));
        answer.frame()
    };
    let frame = |change: &dyn Fn(&mut Arp)| {
        let mut arp = asks(gateway);
        change(&mut arp);
        Sent::by(Web, arp.frame())
    };
    let byte = |at: usize, byte| Sent::by(Web, asks(gateway).frame()).with(|f| f[at] = byte);
    let mut rows: Vec<Row> = [gateway, v4(Db), Ipv4Addr::new(192, 0, 2, 7)]
        .into_iter()
        .map(|target| {
            let sent = Sent::by(Web, asks(target).frame());
            Row::new("a question for any other", sent, Answer(answered(target)))
        })
        .collect();
    let padded = Sent::by(Web, asks(gateway).frame()).with(|f| f.resize(60, 0));
    let answer = [answered(gateway), vec![0; 18]].concat();
    rows.push(Row::new(
        "padded as Ethernet wants it",
        padded.clone(),
        Answer(answer),
    ));
    let dropped = [
        ("for its own address", frame(&|arp| arp.target.1 = v4(Web))),
        (
            "a probe",
            frame(&|arp| arp.sender.1 = Ipv4Addr::UNSPECIFIED),
        ),
        ("a reply", frame(&|arp| arp.operation = Operation::Reply)),
        ("as another", frame(&|arp| arp.sender.0 = Db.mac())),
        ("of another hardware", byte(15, 6)),
        ("about another protocol", byte(16, 0x86)),
        ("with longer hardware addresses", byte(18, 8)),
        ("with longer addresses", byte(19, 16)),
        ("of another kind", byte(21, 3)),
        (
            "cut",
            Sent::by(Web, asks(gateway).frame()).with(|f| f.truncate(41)),
        ),
    ];
    rows.extend(dropped.map(|(says, sent)| Row::drops(says, sent, "arp")));
    let as_other = frame(&|arp| arp.link.0 = Db.mac());
    rows.push(Row::drops("under another's MAC", as_other, "spoofed_mac"));
    rows.push(Row::drops("without blocks", padded, "missed_block").world(World::NoBlocks));
    rows
}

fn discovery(at: At) -> Vec<Row> {
    if !at.v6 {
        return vec![];
    }
    let gateway: Ipv6Addr = "fe80::504c:4201".parse().unwrap();
    let own = (Web.mac(), v6(Web));
    let answered = |target| {
        let ends = Ends {
            source_mac: gateway_mac(),
            destination_mac: Web.mac(),
            source: IpAddr::V6(target),
            destination: IpAddr::V6(own.1),
        };
        advertisement(ends, target, gateway_mac())
    };
    let asks = |target| Sent::by(Web, solicitation(own, target));
    let targets = [gateway, v6(Db), "2001:db8::7".parse().unwrap()];
    let row = |target| {
        let (says, sent) = ("a question for any other", asks(target));
        Row::new(says, sent, Answer(answered(target)))
    };
    let mut rows: Vec<Row> = targets.into_iter().map(row).collect();
    let as_other = asks(gateway).with(|f| f[6..12].copy_from_slice(&Db.mac()));
    rows.push(Row::drops("under another's MAC", as_other, "spoofed_mac"));
    rows
}

/// Everything else of it.
fn not_answered(at: At) -> Vec<Row> {
    if !at.v6 {
        return vec![];
    }
    let gateway: Ipv6Addr = "fe80::504c:4201".parse().unwrap();
    let asks = |target| Sent::by(Web, solicitation((Web.mac(), v6(Web)), target));
    let byte = |at: usize, byte: u8| asks(gateway).with(|f| f[at] = byte);
    let message = |kind: u8, hops: u8| {
        let upper = Upper::icmp((0, 0), (kind, 0), [0; 4], &[0; 24]);
        Sent::by(Web, at.out(Web, Db, upper).hops(hops).frame())
    };
    let nothing = (Web.mac(), Ipv6Addr::UNSPECIFIED);
    let told = at.ends((Web, bpf::attached::Hook::Ingress), Web, Db);
    let behind = |upper| {
        Packet::new(told, upper)
            .extension(60, &[])
            .hops(255)
            .frame()
    };
    let dropped = [
        ("for its own address", asks(v6(Web))),
        (
            "duplicate detection",
            Sent::by(Web, solicitation(nothing, v6(Db))),
        ),
        ("from beyond the link", byte(21, 254)),
        ("of another code", byte(55, 1)),
        ("as another", byte(85, 0x77)),
        ("with another option", byte(78, 2)),
        ("with a longer option", byte(79, 2)),
        (
            "cut",
            asks(gateway).with(|f| {
                f.truncate(80);
                f[19] = 26;
            }),
        ),
        (
            "an advertisement",
            Sent::by(Web, advertisement(told, gateway, Web.mac())),
        ),
        ("a router's question", message(133, 255)),
        ("a router", message(134, 255)),
        ("a redirect", message(137, 255)),
        ("a listener's report", message(143, 1)),
        (
            "behind another header",
            Sent::by(Web, behind(Upper::icmp((0, 0), (135, 0), [0; 4], &[0; 24]))),
        ),
    ];
    let row = |(says, sent)| Row::drops(says, sent, "neighbour_discovery");
    dropped.map(row).into()
}
