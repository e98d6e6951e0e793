//! Past the program of a container behind a tap goes what its sender's has judged for both, by a
//! mark: of what came in by an interface, and of nothing else.

use bpf::abi::header;
use bpf::conntrack::Reason;
use bpf::trial::Action;
use state::target::Constants;
use state::target::tables::EndpointIndex;

use crate::packet::upper::{SYN, Upper};
use crate::row::{At, Sent, tcp};
use crate::stage::{Came, Stage, Who, play};

use Who::{Db, Host, Outside, Web};

fn judged() -> u32 {
    u32::try_from(header::PL_MARK_JUDGED).unwrap()
}

/// What becomes of a packet with a mark, the mark after it, and why it was dropped.
fn marked(stage: &Stage, sent: &Sent, mark: u32) -> (Action, u32, Vec<&'static str>) {
    let before = stage.drops();
    let (who, hook) = sent.program;
    let answer = stage.run_marked(who, hook, &sent.frame, sent.came, mark);
    let rose = stage.drops().into_iter();
    let rose = rose.filter(|(key, count)| before.get(key) < Some(count));
    let reasons = rose.map(|((_, reason), _): ((Who, Reason), u64)| reason.name());
    (answer.action, answer.mark, reasons.collect())
}

#[test]
fn a_mark_counts_behind_a_tap_alone_and_of_what_came_in_alone() {
    play(|stage| {
        let tap = |constants| Constants {
            tap: true,
            ..constants
        };
        for at in [false, true].map(|v6| At { v6 }) {
            let denied = || at.take(Outside, Web, Upper::udp((40_000, 444), b""));
            let from_db = || Sent {
                came: Came::Of(Db),
                ..denied()
            };
            let dropped = |mark, reason| (Action::Drop, mark, vec![reason]);
            // Whose end of a pair it is, the mark is anybody's.
            stage.become_other(Web, |constants| constants);
            for sent in [denied(), from_db()] {
                assert_eq!(marked(stage, &sent, judged()).0, Action::Drop);
            }
            stage.become_other(Web, tap);
            let passes = (Action::Pass, 0, vec![]);
            assert_eq!(marked(stage, &from_db(), judged()), passes);
            for mark in [0, judged() + 1] {
                assert_eq!(
                    marked(stage, &denied(), mark),
                    dropped(mark, "denied_ingress")
                );
            }
            // The host may set any: its own packets are judged.
            let own = at.inwards(Host, Db, Upper::udp((40_000, 444), b"")).frame();
            let own = Sent::to(Web, Came::Own, own);
            assert_eq!(
                marked(stage, &own, judged()),
                dropped(judged(), "not_for_container")
            );
        }
    });
}

#[test]
fn the_sender_marks_what_it_sends_out_by_a_tap_and_nothing_else() {
    play(|stage| {
        let slot = stage.kernel.record().slot;
        let mut tables = stage.kernel.read_slot(slot).unwrap().tables;
        let index = EndpointIndex(Web.index());
        tables.endpoints.get_mut(&index).unwrap().tap = true;
        let at = At { v6: false };
        let asks = |port| at.send(Db, Web, tcp((40_000, port), SYN, 1, 0));
        let redirected = |mark| (Action::Redirect, mark, vec![]);
        assert_eq!(marked(stage, &asks(443), 0), redirected(0));
        stage.commit(&tables);
        assert_eq!(marked(stage, &asks(443), 0), redirected(judged()));
        let denied = marked(stage, &asks(444), 0);
        assert_eq!(denied, (Action::Drop, 0, vec!["denied_ingress"]));
    });
}
