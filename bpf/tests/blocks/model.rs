//! What should become of a packet: a second, naive reading of the issue and of the RFCs, on a
//! frame's bytes. It shares nothing with the datapath but the stage's table of who may reach whom.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use bpf::attached::Hook;

use crate::parse::{Form, Parsed, Upper, parse};
use crate::row::Sent;
use crate::stage::{Came, QUOTA, Who, gateway_mac};

/// What should become of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Pass,
    Into(Who),
    /// A question of the link: answered to its sender, or dropped.
    Link,
    Drop,
}

/// A flow by its initiator's packets: from, to, protocol, ports.
type Key = (IpAddr, IpAddr, u8, Ports);

type Ports = (u16, u16);

/// A datagram in parts: the program, whether its container sends, the peer, protocol, number.
type Datagram = (Who, bool, IpAddr, u8, u32);

#[derive(Clone, Debug, Default)]
struct Flow {
    /// Of TCP: whether its handshake is proven.
    proven: bool,
    /// What a proof acknowledges, once the responder has answered.
    answer: Option<u32>,
    /// Who has ended: the initiator, the responder.
    fins: [bool; 2],
    reset: bool,
    /// Whose side of it had to make room for another.
    gone: BTreeSet<Who>,
}

impl Flow {
    fn is_closed(&self) -> bool {
        self.reset || self.fins == [true, true]
    }
}

/// Flows and datagrams under way.
#[derive(Default)]
pub(crate) struct Model {
    flows: BTreeMap<Key, Flow>,
    /// Of first fragments that passed.
    firsts: BTreeMap<Datagram, Ports>,
}

/// Whose an address is; `None`: anybody's.
fn owner(address: IpAddr) -> Option<Who> {
    let all = [Who::Web, Who::Db, Who::Gone, Who::Host];
    all.into_iter()
        .find(|who| who.address(address.is_ipv6()) == address)
}

fn is_container(address: IpAddr) -> bool {
    matches!(owner(address), Some(Who::Web | Who::Db | Who::Gone))
}

/// The stage's table.
fn allowed((from, to, protocol, ports): Key, own: bool) -> bool {
    let port = [6, 17, 132].contains(&protocol).then_some(ports.1);
    let (from, to) = (owner(from), owner(to));
    if own || from == Some(Who::Host) || to == Some(Who::Host) || (from.is_some() && from == to) {
        return true;
    }
    let sends = match from {
        Some(Who::Web) => matches!(
            (protocol, port),
            (6, Some(80)) | (17, Some(53)) | (132, Some(5000)) | (1 | 58, None)
        ),
        _ => true,
    };
    let takes = match to {
        Some(Who::Web) => matches!((protocol, port), (6 | 17, Some(443))),
        Some(Who::Db) => from == Some(Who::Web),
        _ => true,
    };
    sends && takes
}

impl Model {
    pub(crate) fn judge(&mut self, sent: &Sent) -> Fate {
        let out = sent.program.1 == Hook::Ingress;
        if out && sent.frame[6..12] != sent.program.0.mac() {
            return Fate::Drop;
        }
        let Some(form) = parse(&sent.frame) else {
            return Fate::Drop;
        };
        match form {
            Form::Link if out => Fate::Link,
            Form::Link => Fate::Drop,
            Form::Ip(packet) => self.judge_ip(sent, out, packet),
        }
    }

    fn judge_ip(&mut self, sent: &Sent, out: bool, mut packet: Parsed) -> Fate {
        let who = sent.program.0;
        let own = if out { packet.from } else { packet.to };
        let peer = if out { packet.to } else { packet.from };
        if own != who.address(own.is_ipv6()) || (!out && !is_true(peer, sent.came)) {
            return Fate::Drop;
        }
        if let Upper::Error(inner) = &packet.upper {
            return self.judge_error(sent, &packet, inner.as_deref());
        }
        if out && owner(peer) == Some(Who::Gone) {
            return Fate::Drop;
        }
        let first = (who, out, peer, packet.protocol, packet.identification);
        if packet.is_later() {
            let Some(ports) = self.firsts.get(&first) else {
                return Fate::Drop;
            };
            packet.ports = *ports;
        }
        if !self.flow(sent, &packet) {
            return Fate::Drop;
        }
        if packet.is_first() {
            self.firsts.insert(first, packet.ports);
        }
        Self::delivered(out, peer)
    }

    fn delivered(out: bool, peer: IpAddr) -> Fate {
        match owner(peer) {
            Some(who @ (Who::Web | Who::Db)) if out => Fate::Into(who),
            _ => Fate::Pass,
        }
    }

    /// An error passes where it is about a flow of the container, and goes to or comes from who
    /// may tell: of two containers of this host they themselves and the host alone.
    fn judge_error(&mut self, sent: &Sent, error: &Parsed, inner: Option<&Parsed>) -> Fate {
        let Some(inner) = inner else {
            return Fate::Drop;
        };
        let out = sent.program.1 == Hook::Ingress;
        let ends = if out {
            inner.from == error.to && inner.to == error.from
        } else {
            inner.from == error.to
        };
        let peer = if out { inner.from } else { inner.to };
        let known = self.find(sent.program.0, out, inner.key()).is_some();
        let inside = matches!(owner(peer), Some(who @ (Who::Web | Who::Db))
            if !out && ![Came::Own, Came::Of(who)].contains(&sent.came));
        if !ends || !known || inside || owner(peer) == Some(Who::Gone) {
            return Fate::Drop;
        }
        Self::delivered(out, peer)
    }

    /// The flow that a packet belongs to, and whether its initiator sends it. A side that made
    /// room for another is made again from the other end's, where there is room.
    fn find(&mut self, who: Who, out: bool, key: Key) -> Option<(Key, bool)> {
        let (from, to, protocol, ports) = key;
        let back = (to, from, protocol, (ports.1, ports.0));
        let both = [(key, true), (back, false)];
        let found = both
            .into_iter()
            .find(|(key, _)| self.flows.contains_key(key))?;
        if self.flows[&found.0].gone.contains(&who) {
            if !out || self.open_of(who, None).len() >= QUOTA as usize {
                return None;
            }
            self.flows.get_mut(&found.0)?.gone.remove(&who);
        }
        Some(found)
    }

    /// Whether the packet's flow lets it pass.
    fn flow(&mut self, sent: &Sent, packet: &Parsed) -> bool {
        let key = packet.key();
        // The host itself sends it.
        let own = sent.came == Came::Own;
        let out = sent.program.1 == Hook::Ingress;
        let found = self.find(sent.program.0, out, key);
        let closed = |key: &Key| packet.protocol == 6 && self.flows[key].is_closed();
        let begins = match found {
            None => true,
            Some((key, _)) => packet.opens && closed(&key),
        };
        // Whoever is outside may be said to have sent anything: the container decides.
        let outside = owner(if out { packet.to } else { packet.from }).is_none() && !own;
        let doubtful = outside && found.is_some_and(|(key, _)| self.flows[&key].proven);
        if begins && doubtful && !out {
            return allowed(key, own);
        }
        let answers = packet.tcp.0 & 0x16 == 0x12 && !packet.is_later();
        if let Some((known, _)) = found
            && doubtful
            && out
            && answers
            && closed(&known)
        {
            return self.answer_anew(known, packet);
        }
        if begins {
            let may = (packet.opens || packet.anyone) && allowed(key, own);
            if may {
                let (from, to, protocol, ports) = key;
                self.flows.remove(&(to, from, protocol, (ports.1, ports.0)));
                self.flows.insert(key, Flow::default());
            }
            return may;
        }
        let Some((known, initiator)) = found else {
            return false;
        };
        if packet.opens && !initiator {
            return allowed(key, own);
        }
        if packet.protocol == 6 && doubtful && out && packet.tcp.0 & 4 == 0 {
            self.flows.get_mut(&known).expect("found").reset = false;
        }
        packet.protocol != 6 || self.segment(known, initiator, packet)
    }

    /// The container answers a SYN over a connection that has closed.
    fn answer_anew(&mut self, known: Key, packet: &Parsed) -> bool {
        let (from, to, protocol, ports) = packet.key();
        let key = (to, from, protocol, (ports.1, ports.0));
        if !allowed(key, false) {
            return false;
        }
        self.flows.remove(&known);
        let answer = Some(packet.tcp.1.wrapping_add(1));
        let flow = Flow {
            answer,
            ..Flow::default()
        };
        self.flows.insert(key, flow);
        true
    }

    /// RFC 9293, as far as two ends and a proof go.
    fn segment(&mut self, key: Key, initiator: bool, packet: &Parsed) -> bool {
        let (flags, sequence, acknowledges) = packet.tcp;
        let (fin, syn, rst, ack) = (flags & 1, flags & 2, flags & 4, flags & 16);
        let mut flow = self.flows[&key].clone();
        if !flow.proven {
            if packet.is_later() {
                return false;
            }
            let proof = flow
                .answer
                .is_some_and(|answer| acknowledges.wrapping_sub(answer) <= 65_535);
            let passes = match (initiator, syn != 0, ack != 0) {
                _ if rst != 0 => true,
                (true, true, acks) => !acks,
                (true, false, true) => {
                    flow.proven = proof && self.has_room(key);
                    flow.reset &= !flow.proven;
                    flow.proven
                }
                (true, false, false) => false,
                (false, true, true) => {
                    flow.answer = Some(sequence.wrapping_add(1));
                    true
                }
                (false, _, acks) => acks && flow.answer.is_some(),
            };
            if !passes {
                return false;
            }
        }
        flow.reset |= rst != 0;
        flow.fins[usize::from(!initiator)] |= fin != 0 && rst == 0;
        self.flows.insert(key, flow);
        true
    }

    /// Whether each container at its ends may have one more established connection: those that
    /// have closed make room.
    fn has_room(&mut self, key: Key) -> bool {
        let sides = sides(key);
        sides.into_iter().all(|(who, ..)| {
            if self.open_of(who, Some(key)).len() <= QUOTA as usize {
                return true;
            }
            let made =
                self.make_room(who, |flow| flow.reset) || self.make_room(who, Flow::is_closed);
            made && self.open_of(who, Some(key)).len() <= QUOTA as usize
        })
    }

    /// The entries of a container in its map of established connections, with those of one more.
    fn open_of(&self, who: Who, more: Option<Key>) -> BTreeSet<(Who, IpAddr, Ports)> {
        let proven = self.flows.iter().filter(|(_, flow)| flow.proven);
        let kept = proven.filter(|(_, flow)| !flow.gone.contains(&who));
        let all = kept.map(|(key, _)| *key).chain(more);
        all.flat_map(sides)
            .filter(|(side, ..)| *side == who)
            .collect()
    }

    fn make_room(&mut self, who: Who, of: impl Fn(&Flow) -> bool) -> bool {
        let mut made = false;
        for (key, flow) in &mut self.flows {
            let has = sides(*key).iter().any(|(side, ..)| *side == who);
            if has && flow.proven && of(flow) {
                made |= flow.gone.insert(who);
            }
        }
        self.flows.retain(|key, flow| {
            flow.gone.is_empty()
                || !sides(*key)
                    .iter()
                    .all(|(side, ..)| flow.gone.contains(side))
        });
        made
    }
}

/// What each container at the ends of a flow keeps of it.
fn sides((from, to, _, ports): Key) -> Vec<(Who, IpAddr, Ports)> {
    let side = |own, peer, ports| match owner(own) {
        Some(who @ (Who::Web | Who::Db)) => Some((who, peer, ports)),
        _ => None,
    };
    let sides = [side(from, to, ports), side(to, from, (ports.1, ports.0))];
    sides.into_iter().flatten().collect()
}

/// Whether a packet of this source may have come to the host in this way.
fn is_true(source: IpAddr, came: Came) -> bool {
    match came {
        Came::Own => !is_container(source),
        _ => owner(source).is_none(),
    }
}

/// The MAC addresses under which a container gets a packet.
pub(crate) fn link(who: Who) -> [u8; 12] {
    let mut link = [0; 12];
    link[..6].copy_from_slice(&who.mac());
    link[6..].copy_from_slice(&gateway_mac());
    link
}
