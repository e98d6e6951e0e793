//! The judge: who may begin, what a connection's state lets through, what a commit takes away.

use bpf::conntrack::State;

use crate::packet::upper::{
    ACK, CWR, ECE, FIN, PSH, RST, SCTP_ABORT, SCTP_INIT, SCTP_INIT_ACK, SYN, Upper,
};
use crate::row::{At, Row, Sent, Verdict, hold, tcp};
use crate::stage::{Who, World, play};

use State::{Datagrams, Established, HalfOpen};
use Verdict::{Into, Pass};
use Who::{Db, Gone, Host, Outside, Web};

const PORTS: (u16, u16) = (40_000, 80);
const BACK: (u16, u16) = (80, 40_000);
const BOTH_HALF_OPEN: [(Who, State); 2] = [(Web, HalfOpen), (Db, HalfOpen)];
const BOTH_ESTABLISHED: [(Who, State); 2] = [(Web, Established), (Db, Established)];
const NOTHING: [(Who, State); 0] = [];

#[test]
fn rows_hold() {
    play(|stage| hold(stage, &tables()));
}

pub(crate) fn tables() -> [fn(At) -> Vec<Row>; 9] {
    [
        verdicts,
        handshakes,
        crossed,
        unproven,
        closing,
        again,
        datagrams,
        associations,
        worlds,
    ]
}

fn verdicts(at: At) -> Vec<Row> {
    let opens = |from, to, port| at.goes(from, to, tcp((40_000, port), SYN, 1, 0));
    let raw = |from, to| at.goes(from, to, Upper::other(253, &[0; 8]));
    let denied = "denied_egress";
    vec![
        Row::new("a local pair", opens(Web, Db, 80), Into(Db)).leaves(&BOTH_HALF_OPEN),
        Row::drops("the sender's policy", opens(Web, Db, 81), denied).leaves(&NOTHING),
        Row::drops(
            "the receiver's policy",
            opens(Db, Web, 80),
            "denied_ingress",
        )
        .leaves(&NOTHING),
        Row::new("allowed by both", opens(Db, Web, 443), Into(Web)).leaves(&BOTH_HALF_OPEN),
        Row::new("outside has no policy", opens(Web, Outside, 80), Pass).leaves(&[(Web, HalfOpen)]),
        Row::drops("but the sender has", opens(Web, Outside, 81), denied),
        Row::new("from outside", opens(Outside, Web, 443), Pass).leaves(&[(Web, HalfOpen)]),
        Row::drops(
            "that is not allowed",
            opens(Outside, Web, 80),
            "denied_ingress",
        ),
        Row::drops("nor to db", opens(Outside, Db, 80), "denied_ingress"),
        Row::new("to the host always", opens(Web, Host, 81), Pass),
        Row::new("from the host always", opens(Host, Web, 81), Pass),
        Row::new("to itself always", opens(Web, Web, 81), Into(Web)),
        Row::drops(
            "to a container that is absent",
            opens(Web, Gone, 80),
            "absent",
        ),
        Row::new("a protocol without ports", raw(Db, Outside), Pass).leaves(&[(Db, Datagrams)]),
        Row::drops("is under no rule with ports", raw(Web, Outside), denied),
        Row::new("ports do not count for it", raw(Web, Host), Pass),
    ]
}

fn handshakes(at: At) -> Vec<Row> {
    let shake = |count| at.handshake(Web, Db, PORTS).into_iter().take(count);
    let web = |flags, seq, ack| at.send(Web, Db, tcp(PORTS, flags, seq, ack));
    let db = |flags, seq, ack| at.send(Db, Web, tcp(BACK, flags, seq, ack));
    let fast = Upper::tcp(PORTS, SYN | ECE | CWR, 1000, 0, b"early data");
    let far = |from, to, [a, b]: [(u16, u32, u32); 2]| {
        [
            at.goes(from, to, tcp((40_000, 443), a.0, a.1, a.2)),
            at.goes(to, from, tcp((443, 40_000), b.0, b.1, b.2)),
        ]
    };
    vec![
        Row::new("a SYN with data and ECN", at.send(Web, Db, fast), Into(Db)),
        Row::new("a SYN again", web(SYN, 1000, 0), Into(Db))
            .after(shake(1))
            .leaves(&BOTH_HALF_OPEN),
        Row::new("with another number", web(SYN, 7000, 0), Into(Db)).after(shake(2)),
        Row::new("its answer", db(SYN | ACK, 5000, 1001), Into(Web))
            .after(shake(1))
            .leaves(&BOTH_HALF_OPEN),
        Row::new("its answer again", db(SYN | ACK, 6000, 1001), Into(Web)).after(shake(2)),
        Row::new("the proof", web(ACK, 1001, 5001), Into(Db))
            .after(shake(2))
            .leaves(&BOTH_ESTABLISHED),
        Row::new("the proof with data", web(ACK | PSH, 1001, 5001), Into(Db))
            .after(shake(2))
            .leaves(&BOTH_ESTABLISHED),
        Row::new(
            "the proof of an answer with data",
            web(ACK, 1001, 5001 + 1400),
            Into(Db),
        )
        .after(shake(2))
        .leaves(&BOTH_ESTABLISHED),
        Row::new(
            "the proof that also ends",
            web(ACK | FIN, 1001, 5001),
            Into(Db),
        )
        .after(shake(2))
        .leaves(&BOTH_ESTABLISHED),
        Row::new(
            "the answer once more, for its proof was lost",
            db(SYN | ACK, 5000, 1001),
            Into(Web),
        )
        .after(shake(3)),
        Row::new(
            "the server's data before the proof",
            db(ACK | PSH, 5001, 1001),
            Into(Web),
        )
        .after(shake(2))
        .leaves(&BOTH_HALF_OPEN),
        Row::new("refused", db(RST | ACK, 0, 1001), Into(Web)).after(shake(1)),
        Row::new("and tried again", web(SYN, 1000, 0), Into(Db))
            .after(shake(1).chain([db(RST | ACK, 0, 1001)]))
            .leaves(&BOTH_HALF_OPEN),
        Row::new(
            "from outside",
            at.take(Outside, Web, tcp((40_000, 443), ACK, 1001, 5001)),
            Pass,
        )
        .after(far(Outside, Web, [(SYN, 1000, 0), (SYN | ACK, 5000, 1001)]))
        .leaves(&[(Web, Established)]),
    ]
}

/// Both open at once (RFC 9293, section 3.5), as both may: who is answered first proves it.
fn crossed(at: At) -> Vec<Row> {
    let segment = |flags, by_web| match by_web {
        true => at.send(Web, Db, tcp((443, 80), flags, 1001, 5001)),
        false => at.send(Db, Web, tcp((80, 443), flags, 5000, 1001)),
    };
    let opens = || [segment(SYN, true), segment(SYN, false)];
    vec![
        Row::new("an answer", segment(SYN | ACK, false), Into(Web))
            .after(opens())
            .leaves(&BOTH_HALF_OPEN),
        Row::new("its proof", segment(ACK, true), Into(Db))
            .after(opens())
            .after([segment(SYN | ACK, false)])
            .leaves(&BOTH_ESTABLISHED),
    ]
}

/// T7, S19: what is no proof.
fn unproven(at: At) -> Vec<Row> {
    let shake = |count| at.handshake(Web, Db, PORTS).into_iter().take(count);
    let web = |flags, seq, ack| at.send(Web, Db, tcp(PORTS, flags, seq, ack));
    let db = |flags, seq, ack| at.send(Db, Web, tcp(BACK, flags, seq, ack));
    let stray = |says, sent: Sent, count| {
        Row::drops(says, sent, "stray")
            .after(shake(count))
            .leaves(&BOTH_HALF_OPEN)
    };
    vec![
        stray("a proof before the answer", web(ACK, 1001, 5001), 1),
        stray("one below", web(ACK, 1001, 5000), 2),
        stray("far above", web(ACK, 1001, 5001 + 65_536), 2),
        stray("no acknowledgement", web(0, 1001, 5001), 2),
        stray("a FIN without one", web(FIN, 1001, 5001), 2),
        stray("the initiator's own SYN-ACK", web(SYN | ACK, 1000, 5001), 2),
        stray("the responder before it answers", db(ACK, 5000, 1001), 1),
        stray("the responder without acknowledging", db(PSH, 5001, 0), 2),
        Row::drops("an ACK makes nothing", web(ACK, 1001, 5001), "stray").leaves(&NOTHING),
        Row::drops("nor does a RST", web(RST, 1001, 0), "stray").leaves(&NOTHING),
        Row::drops("nor an answer", db(SYN | ACK, 5000, 1001), "stray").leaves(&NOTHING),
        Row::drops(
            "the responder opens over it",
            db(SYN, 9000, 0),
            "denied_ingress",
        )
        .after(shake(2))
        .leaves(&BOTH_HALF_OPEN),
    ]
}

fn closing(at: At) -> Vec<Row> {
    let shake = || at.handshake(Web, Db, PORTS);
    let web = |flags, seq, ack| at.send(Web, Db, tcp(PORTS, flags, seq, ack));
    let db = |flags, seq, ack| at.send(Db, Web, tcp(BACK, flags, seq, ack));
    let fins = || [web(FIN | ACK, 1001, 5001), db(FIN | ACK, 5001, 1002)];
    let reset = || db(RST | ACK, 5001, 1001);
    let open = || shake().into_iter();
    let ended = || open().chain(fins());
    vec![
        Row::new("data after one FIN", db(ACK | PSH, 5001, 1002), Into(Web))
            .after(open().chain([web(FIN | ACK, 1001, 5001)])),
        Row::new("the last ACK", web(ACK, 1002, 5002), Into(Db)).after(ended()),
        Row::new("a FIN again", db(FIN | ACK, 5001, 1002), Into(Web)).after(ended()),
        Row::new("a RST after the close", web(RST, 1002, 0), Into(Db)).after(ended()),
        Row::new("a RST after a RST", web(RST, 1001, 0), Into(Db)).after(open().chain([reset()])),
        Row::new("a keep-alive", web(ACK, 1000, 5001), Into(Db)).after(shake()),
        Row::new(
            "a probe of a window of zero",
            web(ACK, 1000, 5001),
            Into(Db),
        )
        .after(shake()),
        Row::new(
            "a SYN over what is open is its stack's to answer",
            web(SYN, 9000, 0),
            Into(Db),
        )
        .after(shake())
        .leaves(&BOTH_ESTABLISHED),
        Row::drops(
            "the responder's is judged",
            db(SYN, 9000, 0),
            "denied_ingress",
        )
        .after(shake())
        .leaves(&BOTH_ESTABLISHED),
        Row::new(
            "the ports again after the close",
            web(SYN, 9000, 0),
            Into(Db),
        )
        .after(ended())
        .leaves(&BOTH_HALF_OPEN),
        Row::new("and after a reset", web(SYN, 9000, 0), Into(Db))
            .after(open().chain([reset()]))
            .leaves(&BOTH_HALF_OPEN),
        Row::drops(
            "by the responder as judged",
            db(SYN, 9000, 0),
            "denied_ingress",
        )
        .after(ended())
        .leaves(&BOTH_ESTABLISHED),
    ]
}

/// Under a later commit: judged again, and gone on both sides where it is denied.
fn again(at: At) -> Vec<Row> {
    let shake = || at.handshake(Web, Db, PORTS);
    let web = |flags, seq, ack| at.send(Web, Db, tcp(PORTS, flags, seq, ack));
    let db = |flags, seq, ack| at.send(Db, Web, tcp(BACK, flags, seq, ack));
    let udp = || at.send(Web, Db, Upper::udp((40_000, 53), b"question"));
    let answer = || at.send(Db, Web, Upper::udp((53, 40_000), b"answer"));
    let far = || at.take(Outside, Web, Upper::udp((40_000, 443), b"question"));
    let back = || at.send(Web, Outside, Upper::udp((443, 40_000), b"answer"));
    let later = |row: Row| row.world(World::Later);
    let revoked = |row: Row| row.world(World::Revoked).leaves(&NOTHING);
    let both = [(Web, Datagrams), (Db, Datagrams)];
    vec![
        later(Row::new("data goes on", web(ACK | PSH, 1001, 5001), Into(Db)).after(shake()))
            .leaves(&BOTH_ESTABLISHED),
        later(Row::new("so do answers", db(ACK | PSH, 5001, 1001), Into(Web)).after(shake())),
        later(Row::new("and a FIN", web(FIN | ACK, 1001, 5001), Into(Db)).after(shake())),
        later(
            Row::new(
                "a handshake under way",
                db(SYN | ACK, 5000, 1001),
                Into(Web),
            )
            .after(shake().into_iter().take(1)),
        ),
        later(Row::new("datagrams", answer(), Into(Web)).after([udp()])).leaves(&both),
        later(Row::new("answers to outside", back(), Pass).after([far()])),
        revoked(
            Row::drops("data stops", web(ACK | PSH, 1001, 5001), "denied_egress").after(shake()),
        ),
        revoked(Row::drops("so do answers", db(ACK, 5001, 1001), "denied_egress").after(shake())),
        revoked(Row::drops("and a RST", web(RST, 1001, 0), "denied_egress").after(shake())),
        revoked(Row::drops("and datagrams", udp(), "denied_egress").after([udp()])),
        revoked(Row::drops("and their answers", answer(), "denied_egress").after([udp()])),
        revoked(Row::drops("from outside", far(), "denied_ingress").after([far()])),
        revoked(Row::drops("to outside", back(), "denied_ingress").after([far()])),
        Row::drops(
            "what is no container any more",
            web(ACK, 1001, 5001),
            "absent",
        )
        .after(shake())
        .world(World::WithoutWeb),
        Row::drops("and what is sent to it", db(ACK, 5001, 1001), "absent")
            .after(shake())
            .world(World::WithoutWeb),
    ]
}

fn datagrams(at: At) -> Vec<Row> {
    let udp = |from, to, ports| at.goes(from, to, Upper::udp(ports, b"x"));
    let asked = || [udp(Web, Db, (40_000, 53))];
    let both = [(Web, Datagrams), (Db, Datagrams)];
    vec![
        Row::new("a question", udp(Web, Db, (40_000, 53)), Into(Db)).leaves(&both),
        Row::new("its answer", udp(Db, Web, (53, 40_000)), Into(Web))
            .after(asked())
            .leaves(&both),
        Row::drops(
            "from another port",
            udp(Db, Web, (54, 40_000)),
            "denied_ingress",
        )
        .after(asked()),
        Row::drops(
            "to another port",
            udp(Db, Web, (53, 40_001)),
            "denied_ingress",
        )
        .after(asked()),
        Row::drops(
            "of another protocol",
            at.send(Db, Web, tcp((53, 40_000), SYN, 1, 0)),
            "denied_ingress",
        )
        .after(asked()),
        Row::drops(
            "of another peer",
            udp(Outside, Web, (53, 40_000)),
            "denied_ingress",
        )
        .after(asked()),
        Row::new("the host asks", udp(Host, Web, (40_000, 9)), Pass).leaves(&[(Web, Datagrams)]),
        Row::new("and is answered", udp(Web, Host, (9, 40_000)), Pass).after([udp(
            Host,
            Web,
            (40_000, 9),
        )]),
        Row::drops(
            "a registry without a map",
            udp(Web, Db, (40_000, 53)),
            "missed_map",
        )
        .world(World::NoMaps),
    ]
}

fn associations(at: At) -> Vec<Row> {
    const ASKS: (u16, u16) = (40_000, 5000);
    const ANSWERS: (u16, u16) = (5000, 40_000);
    let web = |upper| at.send(Web, Db, upper);
    let db = |upper| at.send(Db, Web, upper);
    let init = |ports| Upper::sctp_init(ports, 0, SCTP_INIT, 7);
    let answer = || db(Upper::sctp_init(ANSWERS, 7, SCTP_INIT_ACK, 8));
    let data = |ports| Upper::sctp(ports, 8, 0, &[0; 16]);
    let asked = || [web(init(ASKS))];
    let header = if at.v6 { 54 } else { 34 };
    vec![
        Row::new("an INIT", web(init(ASKS)), Into(Db)),
        Row::new("an INIT again", web(init(ASKS)), Into(Db)).after(asked()),
        Row::new("its answer", answer(), Into(Web)).after(asked()),
        Row::new("data", web(data(ASKS)), Into(Db)).after(asked()),
        Row::new(
            "an ABORT",
            db(Upper::sctp(ANSWERS, 7, SCTP_ABORT, &[])),
            Into(Web),
        )
        .after(asked()),
        Row::drops("data first", web(data(ASKS)), "stray"),
        Row::drops("an answer to nothing", answer(), "stray"),
        Row::drops(
            "an INIT to another port",
            web(init((40_000, 5001))),
            "denied_egress",
        ),
        Row::drops(
            "the responder opens over it",
            db(init(ANSWERS)),
            "denied_ingress",
        )
        .after(asked()),
        Row::drops(
            "a header without a chunk",
            web(init(ASKS)).with(|f| {
                f.truncate(header + 12);
                let (at, length) = if header == 54 { (18, 12_u16) } else { (16, 32) };
                f[at..at + 2].copy_from_slice(&length.to_be_bytes());
            }),
            "malformed",
        ),
    ]
}

/// Where something is missing.
fn worlds(at: At) -> Vec<Row> {
    let shake = || at.handshake(Web, Db, PORTS);
    let web = |flags, seq, ack| at.send(Web, Db, tcp(PORTS, flags, seq, ack));
    vec![
        Row::drops("an absent container's tables", web(SYN, 1, 0), "absent")
            .world(World::WithoutWeb),
        Row::drops(
            "without blocks nothing changes state",
            web(FIN | ACK, 1001, 5001),
            "missed_block",
        )
        .after(shake())
        .world(World::NoBlocks)
        .leaves(&BOTH_ESTABLISHED),
        Row::new(
            "but an established flow needs none",
            web(ACK, 1001, 5001),
            Into(Db),
        )
        .after(shake())
        .world(World::NoBlocks),
    ]
}
