//! A row: what it says, the packets before it, the packet, the world, and what is expected of it.

use std::net::IpAddr;

use bpf::attached::Hook;
use bpf::conntrack::{Reason, State};
use bpf::trial::{Action, Answer};

use crate::packet::upper::{ACK, SYN, Upper};
use crate::packet::{Ends, Packet};
use crate::stage::{CONTAINERS, Came, Stage, Who, World, gateway_mac};

/// A packet on its way through one program.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    /// Whose program.
    pub(crate) program: (Who, Hook),
    pub(crate) came: Came,
    pub(crate) frame: Vec<u8>,
}

impl Sent {
    /// What a container sends.
    pub(crate) fn by(who: Who, frame: Vec<u8>) -> Self {
        Self {
            program: (who, Hook::Ingress),
            came: Came::Of(who),
            frame,
        }
    }

    /// What the host's stack sends to a container.
    pub(crate) fn to(who: Who, came: Came, frame: Vec<u8>) -> Self {
        Self {
            program: (who, Hook::Egress),
            came,
            frame,
        }
    }

    /// The same with other bytes.
    pub(crate) fn with(mut self, change: impl FnOnce(&mut Vec<u8>)) -> Self {
        change(&mut self.frame);
        self
    }
}

/// What becomes of a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It goes on, unchanged.
    Pass,
    /// It is put into this container's namespace, under the MAC addresses of that link.
    Into(Who),
    /// The container gets this frame.
    Answer(Vec<u8>),
    /// It is dropped, unchanged, and counted once: for this reason, at whose program ran.
    Drop(&'static str),
}

/// See the module.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    says: &'static str,
    before: Vec<Sent>,
    world: World,
    sent: Sent,
    pub(crate) verdict: Verdict,
    entries: Option<Vec<(Who, State)>>,
}

impl Row {
    pub(crate) fn new(says: &'static str, sent: Sent, verdict: Verdict) -> Self {
        Self {
            says,
            before: Vec::new(),
            world: World::Usual,
            sent,
            verdict,
            entries: None,
        }
    }

    /// A row whose packet is dropped.
    pub(crate) fn drops(says: &'static str, sent: Sent, reason: &'static str) -> Self {
        Self::new(says, sent, Verdict::Drop(reason))
    }

    /// Packets before it, all of which are let pass.
    pub(crate) fn after(mut self, before: impl IntoIterator<Item = Sent>) -> Self {
        self.before.extend(before);
        self
    }

    /// The world in which it is sent; what was before it was sent in the usual one.
    pub(crate) const fn world(mut self, world: World) -> Self {
        self.world = world;
        self
    }

    /// All entries that are there after it.
    pub(crate) fn leaves(mut self, entries: &[(Who, State)]) -> Self {
        self.entries = Some(entries.to_vec());
        self
    }

    fn play(&self, stage: &Stage) -> Result<(), String> {
        for (number, sent) in self.before.iter().enumerate() {
            let answer = run(stage, sent);
            if !matches!(answer.action, Action::Pass | Action::Redirect) {
                return Err(format!("packet {number} before it: {:?}", answer.action));
            }
        }
        if self.world != World::Usual {
            stage.enter(self.world);
        }
        let counted = stage.drops();
        let answer = run(stage, &self.sent);
        let after = stage.drops();
        let found = entries(stage);
        if self.world != World::Usual {
            stage.leave(self.world);
        }
        let more = after.iter().filter(|(key, count)| counted[key] != **count);
        let more: Vec<(Who, &str, u64)> = more
            .map(|((who, reason), count)| (*who, reason.name(), count - counted[&(*who, *reason)]))
            .collect();
        self.compare(&answer, &more)?;
        match &self.entries {
            Some(expected) if *expected != found => Err(format!("left {found:?}")),
            _ => Ok(()),
        }
    }

    fn compare(&self, answer: &Answer, drops: &[(Who, &str, u64)]) -> Result<(), String> {
        let sent = &self.sent;
        let (action, packet, counted) = match &self.verdict {
            Verdict::Pass => (Action::Pass, sent.frame.clone(), vec![]),
            Verdict::Into(who) => (Action::Redirect, relinked(&sent.frame, *who), vec![]),
            Verdict::Answer(frame) => (Action::Redirect, frame.clone(), vec![]),
            Verdict::Drop(reason) => {
                let counted = vec![(sent.program.0, *reason, 1)];
                (Action::Drop, sent.frame.clone(), counted)
            }
        };
        if answer.action != action || drops != counted {
            return Err(format!("{:?}, counted {drops:?}", answer.action));
        }
        if answer.packet != packet {
            return Err(format!("became {:02x?}", answer.packet));
        }
        Ok(())
    }
}

/// The frame as a container gets it.
fn relinked(frame: &[u8], who: Who) -> Vec<u8> {
    [&who.mac(), &gateway_mac(), &frame[12..]].concat()
}

pub(crate) fn run(stage: &Stage, sent: &Sent) -> Answer {
    let (who, hook) = sent.program;
    stage.run(who, hook, &sent.frame, sent.came)
}

/// Every entry: whose it is, and where.
fn entries(stage: &Stage) -> Vec<(Who, State)> {
    let of = |who: Who| {
        let all = stage.kernel.connections(&who.name()).unwrap();
        let live = all.into_iter().filter(|entry| entry.expires_in_s >= 0);
        let mut states: Vec<State> = live.map(|entry| entry.state).collect();
        states.sort();
        states.into_iter().map(move |state| (who, state))
    };
    CONTAINERS.into_iter().flat_map(of).collect()
}

/// Plays tables in both families and tells every row that does not hold.
pub(crate) fn hold(stage: &Stage, tables: &[fn(At) -> Vec<Row>]) {
    let rows = |v6| tables.iter().flat_map(move |table| table(At { v6 }));
    let mut failed = Vec::new();
    for (family, v6) in [("IPv4", false), ("IPv6", true)] {
        for row in rows(v6) {
            stage.forget();
            if let Err(found) = row.play(stage) {
                let (says, verdict) = (row.says, &row.verdict);
                failed.push(format!("{family}: {says}: expected {verdict:?}: {found}"));
            }
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

/// The reasons that a table expects.
pub(crate) fn reasons(table: fn(At) -> Vec<Row>) -> Vec<Reason> {
    let rows = [false, true].into_iter().flat_map(|v6| table(At { v6 }));
    let reasons = rows.filter_map(|row| match row.verdict {
        Verdict::Drop(reason) => Some(Reason::named(reason).expect("a reason")),
        _ => None,
    });
    reasons.collect()
}

/// A family: what packets of it are made of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct At {
    pub(crate) v6: bool,
}

impl At {
    pub(crate) fn address(self, who: Who) -> IpAddr {
        who.address(self.v6)
    }

    /// The ends of what `from` sends to `to` on the link of `at`.
    pub(crate) fn ends(self, at: (Who, Hook), from: Who, to: Who) -> Ends {
        let (source_mac, destination_mac) = match at.1 {
            Hook::Ingress => (at.0.mac(), gateway_mac()),
            Hook::Egress => (gateway_mac(), at.0.mac()),
        };
        Ends {
            source_mac,
            destination_mac,
            source: self.address(from),
            destination: self.address(to),
        }
    }

    /// A packet that a container sends, before it is written.
    pub(crate) fn out(self, from: Who, to: Who, upper: Upper) -> Packet {
        Packet::new(self.ends((from, Hook::Ingress), from, to), upper)
    }

    /// A packet that the host's stack sends to a container, before it is written.
    pub(crate) fn inwards(self, from: Who, to: Who, upper: Upper) -> Packet {
        Packet::new(self.ends((to, Hook::Egress), from, to), upper)
    }

    /// A packet that a container sends.
    pub(crate) fn send(self, from: Who, to: Who, upper: Upper) -> Sent {
        Sent::by(from, self.out(from, to, upper).frame())
    }

    /// A packet of the host or from outside, towards a container.
    pub(crate) fn take(self, from: Who, to: Who, upper: Upper) -> Sent {
        let came = match from {
            Who::Host => Came::Own,
            Who::Outside => Came::Uplink,
            from => Came::Of(from),
        };
        Sent::to(to, came, self.inwards(from, to, upper).frame())
    }

    /// A packet from one end to another by the program that sees it first.
    pub(crate) fn goes(self, from: Who, to: Who, upper: Upper) -> Sent {
        if CONTAINERS.contains(&from) {
            self.send(from, to, upper)
        } else {
            self.take(from, to, upper)
        }
    }

    /// The segments of a handshake.
    pub(crate) fn handshake(self, from: Who, to: Who, ports: (u16, u16)) -> [Sent; 3] {
        let back = (ports.1, ports.0);
        [
            self.goes(from, to, tcp(ports, SYN, 1000, 0)),
            self.goes(to, from, tcp(back, SYN | ACK, 5000, 1001)),
            self.goes(from, to, tcp(ports, ACK, 1001, 5001)),
        ]
    }
}

/// A segment without data.
pub(crate) fn tcp(ports: (u16, u16), flags: u16, sequence: u32, acknowledges: u32) -> Upper {
    Upper::tcp(ports, flags, sequence, acknowledges, b"")
}
