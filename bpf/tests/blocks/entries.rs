//! Entries: by which interface their packets come.

use bpf::conntrack::State;

use crate::packet::upper::Upper;
use crate::row::{At, Row, Sent, Verdict, hold};
use crate::stage::{Came, Who, World, play};

use State::Datagrams;
use Verdict::Pass;
use Who::{Outside, Web};

#[test]
fn rows_hold() {
    play(|stage| hold(stage, &tables()));
}

pub(crate) fn tables() -> [fn(At) -> Vec<Row>; 1] {
    [moved]
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
