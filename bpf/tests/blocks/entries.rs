//! Entries: how many there may be, how long they live, and by which interface their packets come.

use bpf::conntrack::State;

use crate::packet::upper::{ACK, FIN, PSH, RST, SYN, Upper};
use crate::row::{At, Row, Sent, Verdict, hold, run, tcp};
use crate::stage::{Came, Who, World, play};

use State::{Datagrams, Established, HalfOpen};
use Verdict::{Into, Pass};
use Who::{Db, Outside, Web};

const PORTS: (u16, u16) = (40_000, 80);
const BACK: (u16, u16) = (80, 40_000);

#[test]
fn rows_hold() {
    play(|stage| hold(stage, &tables()));
}

pub(crate) fn tables() -> [fn(At) -> Vec<Row>; 3] {
    [quota, forged, moved]
}

/// More connections than a container may have: the last one's proof is dropped.
fn quota(at: At) -> Vec<Row> {
    let full = [1, 2].map(|n| at.handshake(Web, Db, (40_000 + n, 80)));
    let third = at.handshake(Web, Db, (40_003, 80));
    let sides = [Web, Db].map(|who| [(who, Established), (who, Established), (who, HalfOpen)]);
    let row = Row::drops("the third of two", third[2].clone(), "quota")
        .after(full.concat())
        .after(third.clone().into_iter().take(2))
        .leaves(&sides.concat());
    let ended = |n: u16| {
        let (ports, back) = ((40_000 + n, 80), (80, 40_000 + n));
        let web = at.send(Web, Db, tcp(ports, FIN | ACK, 1001, 5001));
        let db = at.send(Db, Web, tcp(back, FIN | ACK, 5001, 1002));
        full[usize::from(n) - 1]
            .clone()
            .into_iter()
            .chain([web, db])
    };
    let after_ended = Row::new(
        "those that have ended do not count",
        third[2].clone(),
        Into(Db),
    )
    .after(ended(1).chain(ended(2)))
    .after(third.clone().into_iter().take(2))
    .leaves(&[(Web, Established), (Db, Established)]);
    let open = [
        (Web, Established),
        (Web, Established),
        (Db, Established),
        (Db, Established),
    ];
    let beside_open = Row::new("beside one that is open", third[2].clone(), Into(Db))
        .after(ended(1).chain(full[1].clone()))
        .after(third.into_iter().take(2))
        .leaves(&open);
    vec![row, after_ended, beside_open]
}

/// How long an idle entry lives, by how far its connection is.
#[test]
fn what_is_ending_expires_sooner() {
    play(|stage| {
        let at = At { v6: false };
        let web = |flags| run(stage, &at.send(Web, Db, tcp(PORTS, flags, 1001, 5001)));
        let db = |flags| run(stage, &at.send(Db, Web, tcp(BACK, flags, 5001, 1002)));
        let idle = |seconds: i64| {
            for who in [Web, Db] {
                let all = stage.kernel.connections(&who.name()).unwrap();
                assert_eq!(all.len(), 1);
                let left = all[0].expires_in_s;
                assert!((seconds - 2..=seconds).contains(&left), "{who:?}: {left}");
            }
        };
        let open = || {
            stage.forget();
            for sent in at.handshake(Web, Db, PORTS) {
                run(stage, &sent);
            }
        };
        open();
        idle(432_000);
        web(FIN | ACK);
        idle(3_600);
        db(ACK);
        web(ACK);
        idle(3_600);
        db(FIN | ACK);
        idle(120);
        open();
        db(RST);
        idle(10);
        // A RST from outside that the container outlives was none.
        stage.forget();
        let far = |flags| at.take(Outside, Web, tcp((40_000, 443), flags, 77, 0));
        for sent in at.handshake(Outside, Web, (40_000, 443)) {
            run(stage, &sent);
        }
        let left = || stage.kernel.connections(&Web.name()).unwrap()[0].expires_in_s;
        run(stage, &far(RST));
        assert!(left() <= 10);
        run(
            stage,
            &at.send(Web, Outside, tcp((443, 40_000), ACK, 5001, 1001)),
        );
        assert!(left() > 431_000);
        // Nor is one that the handshake outlives.
        stage.forget();
        let [opens, answers, proves] = at.handshake(Web, Db, PORTS);
        run(stage, &opens);
        db(RST);
        run(stage, &answers);
        run(stage, &proves);
        idle(432_000);
        let all = stage.kernel.connections(&Web.name()).unwrap();
        assert!(!all[0].reset);
    });
}

/// A RST and a SYN from outside may be anybody's, whatever their numbers: what the container's
/// stack makes of them decides.
fn forged(at: At) -> Vec<Row> {
    let (ports, back) = ((40_000, 443), (443, 40_000));
    let far = |flags, sequence, ack| at.take(Outside, Web, tcp(ports, flags, sequence, ack));
    let web = |flags, sequence, ack| at.send(Web, Outside, tcp(back, flags, sequence, ack));
    let shake = || at.handshake(Outside, Web, ports).into_iter();
    let forged = || shake().chain([far(RST, 77, 0), far(SYN, 99, 0)]);
    let ended = || shake().chain([far(FIN | ACK, 1001, 5001), web(FIN | ACK, 5001, 1002)]);
    let again = || ended().chain([far(SYN, 9000, 0)]);
    let open = [(Web, Established)];
    let half = [(Web, HalfOpen)];
    vec![
        Row::new("data goes on", web(ACK | PSH, 5001, 1001), Pass)
            .after(forged())
            .leaves(&open),
        Row::new("both ways", far(ACK | PSH, 1001, 5001), Pass)
            .after(forged())
            .leaves(&open),
        Row::new("what the stack acknowledges is open", far(SYN, 99, 0), Pass)
            .after(forged().chain([web(ACK, 5001, 1001)]))
            .leaves(&open),
        Row::new("the ports again after the close", far(SYN, 9000, 0), Pass)
            .after(ended())
            .leaves(&open),
        Row::new("once they are answered", web(SYN | ACK, 7000, 9001), Pass)
            .after(again())
            .leaves(&half),
        Row::new("and proven", far(ACK, 9001, 7001), Pass)
            .after(again().chain([web(SYN | ACK, 7000, 9001)]))
            .leaves(&open),
        Row::drops("but not by another number", far(ACK, 9001, 5001), "stray")
            .after(again().chain([web(SYN | ACK, 7000, 9001)]))
            .leaves(&half),
        Row::new("after a reset, too", web(SYN | ACK, 7000, 9001), Pass)
            .after(shake().chain([far(RST, 1001, 0), far(SYN, 9000, 0)]))
            .leaves(&half),
        Row::drops("not where it is denied", web(SYN, 1, 0), "denied_egress").after(ended()),
    ]
}

/// What was allowed for who was true by one interface is judged anew for who comes by another.
fn moved(at: At) -> Vec<Row> {
    let by = |came| {
        let packet = at.inwards(Outside, Web, Upper::udp((40_000, 9), b"x"));
        Sent::to(Web, came, packet.frame())
    };
    let answer = at.send(Web, Outside, Upper::udp((9, 40_000), b"x"));
    let denied = |says| Row::drops(says, by(Came::Uplink), "denied_ingress");
    let kept = [(Web, Datagrams)];
    vec![
        denied("an address that was the host's")
            .after([by(Came::Own)])
            .leaves(&kept),
        denied("also when it has been answered").after([by(Came::Own), answer.clone()]),
        denied("and under a later commit")
            .after([by(Came::Own)])
            .world(World::Later)
            .leaves(&kept),
        Row::new("the host's own goes on", by(Came::Own), Pass).after([by(Came::Own), answer]),
    ]
}
