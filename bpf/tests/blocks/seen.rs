//! Who began what passed before any commit judged it: its answers are judged by that, and nothing
//! passes by it that the policy does not give.

use bpf::conntrack::State;
use bpf::trial::Action;
use state::target::Constants;

use crate::packet::upper::{ACK, SYN, Upper};
use crate::row::{At, Sent, run, tcp};
use crate::stage::{Came, Stage, Who, World, play};

use Who::{Db, Outside, Web};

/// Packets pass first that nobody judges; then a commit does, and more come: whether each passes.
fn after(stage: &Stage, before: &[Sent], then: &[Sent]) -> Vec<bool> {
    stage.forget();
    let theirs = |constants| Constants {
        theirs: true,
        ..constants
    };
    stage.become_other(Web, |constants| theirs(constants).passing());
    for sent in before {
        assert_ne!(run(stage, sent).action, Action::Drop);
    }
    stage.become_other(Web, theirs);
    stage.enter(World::Later);
    let passes = |sent| run(stage, sent).action != Action::Drop;
    then.iter().map(passes).collect()
}

#[test]
fn an_answer_is_judged_as_of_who_asked() {
    play(|stage| {
        for at in [false, true].map(|v6| At { v6 }) {
            let asks = |port| at.send(Web, Outside, Upper::udp((40_000, port), b""));
            let told = |port| at.take(Outside, Web, Upper::udp((port, 40_000), b""));
            // Nobody saw it ask; it did; it may not.
            assert_eq!(after(stage, &[], &[told(53)]), [false]);
            assert_eq!(after(stage, &[asks(53)], &[told(53), told(53)]), [true; 2]);
            assert_eq!(after(stage, &[asks(54)], &[told(54), asks(54)]), [false; 2]);
            // Whose answer passes last is who began.
            assert_eq!(after(stage, &[asks(53), told(53)], &[told(53)]), [true]);
            // Taken for who began it may ask anew, all the same.
            assert_eq!(after(stage, &[told(53)], &[asks(53), told(53)]), [true; 2]);
            let taken = at.take(Outside, Web, Upper::udp((40_000, 443), b""));
            let back = || at.send(Web, Outside, Upper::udp((443, 40_000), b""));
            assert_eq!(after(stage, &[], &[back()]), [false]);
            assert_eq!(after(stage, &[taken], &[back()]), [true]);
        }
    });
}

/// A record is of one flow, and of the address that it began from.
#[test]
fn another_flow_is_not_taken_for_it() {
    play(|stage| {
        let at = At { v6: false };
        let asks = at.send(Web, Outside, Upper::udp((40_000, 53), b""));
        let other = at.take(Outside, Web, Upper::udp((53, 40_001), b""));
        let tcp_told = at.take(Outside, Web, tcp((53, 40_000), SYN | ACK, 5000, 1001));
        assert_eq!(after(stage, &[asks], &[other, tcp_told]), [false; 2]);
        let spoofed = at.send(Web, Outside, Upper::udp((40_000, 53), b""));
        let spoofed = spoofed.with(|frame| frame[29] += 1);
        let told = at.take(Outside, Web, Upper::udp((53, 40_000), b""));
        assert_eq!(after(stage, &[spoofed], &[told]), [false]);
    });
}

/// What another container is said to have begun is believed by its interface alone, and what
/// somebody elsewhere is by none of theirs: behind it the container may have spoofed him itself.
#[test]
fn nobody_has_begun_what_came_in_by_another_interface() {
    use Came::{Of, Own, Uplink};
    play(|stage| {
        for at in [false, true].map(|v6| At { v6 }) {
            let began = |who, came| Sent {
                came,
                ..at.take(who, Web, Upper::udp((54, 443), b""))
            };
            let told = |who| at.send(Web, who, Upper::udp((443, 54), b""));
            for (who, came, passes) in [
                (Db, Of(Db), true),
                (Db, Uplink, false),
                (Db, Of(Web), false),
                (Db, Own, false),
                (Outside, Uplink, true),
                (Outside, Of(Db), false),
                (Outside, Of(Web), false),
            ] {
                let found = after(stage, &[began(who, came)], &[told(who)]);
                assert_eq!(found, [passes], "{who:?} by {came:?}");
            }
        }
    });
}

#[test]
fn a_handshake_goes_on_wherever_the_commit_falls() {
    play(|stage| {
        for at in [false, true].map(|v6| At { v6 }) {
            for (from, to, port) in [(Web, Outside, 80), (Outside, Web, 443)] {
                let segments = at.handshake(from, to, (40_000, port));
                let data = at.goes(from, to, tcp((40_000, port), ACK, 1001, 5001));
                for seen in 1..=3 {
                    let mut then = segments[seen..].to_vec();
                    then.push(data.clone());
                    let passes = after(stage, &segments[..seen], &then);
                    assert!(
                        passes.iter().all(|passes| *passes),
                        "{from:?} {seen} {passes:?}"
                    );
                    let all = stage.kernel.connections(&Web.name()).unwrap();
                    let state: Vec<State> = all.iter().map(|c| c.state).collect();
                    assert_eq!(state, [State::Established], "{from:?} {seen}");
                }
                // Of one in mid-stream nobody knows who began.
                let data = std::slice::from_ref(&data);
                assert_eq!(after(stage, data, data), [false]);
                // And who may not begin has begun in vain.
                let denied = at.handshake(from, to, (40_000, 81));
                assert_eq!(after(stage, &denied[..1], &denied[1..]), [false; 2]);
            }
        }
    });
}
