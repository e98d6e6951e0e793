//! One packet through a container's attached programs, without the wire (`BPF_PROG_TEST_RUN`).
//!
//! The trial packet bears an `EtherType` of its own. Both programs judge it as far as the slot and
//! then drop it with a reason of its own, so that reason's counter says that the whole way works:
//! the program's constants, the commit record, the block table, the container's row in the live
//! slot. Any other reason says what does not.

use std::collections::BTreeMap;
use std::os::fd::AsFd;

use state::target::constants::Constants;
use state::words::names::FullName;

use crate::abi::header;
use crate::attached::HOOKS;
use crate::conntrack::{ReadError, Reason};
use crate::fault::{Fault, Object, Of};
use crate::kernel::Kernel;
use crate::live::LiveError;
use crate::rodata::Reader;
use crate::sys::{self, Hook};

/// Why no trial was made.
#[derive(Debug, thiserror::Error)]
pub enum TrialError {
    /// There is nothing to try.
    #[error("{0} has no programs attached")]
    NotAttached(FullName),
    /// Its programs could not be read.
    #[error(transparent)]
    Live(#[from] LiveError),
    /// Its counters could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The kernel refused a call.
    #[error(transparent)]
    Fault(#[from] Fault),
}

/// What became of a trial packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It came as far as the container's row in the live slot.
    Judged,
    /// It was dropped before that. The reasons whose counters rose: the trial's, and perhaps those
    /// of packets that came by meanwhile.
    Dropped(Vec<Reason>),
    /// It was not dropped: the program's answer.
    Passed(Action),
}

/// What became of any packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// What the program returned.
    pub action: Action,
    /// The packet as it left it.
    pub packet: Vec<u8>,
    /// And its mark.
    pub mark: u32,
}

/// What a program says of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Goes on: to the host's stack, or to the container.
    Pass,
    /// Is dropped.
    Drop,
    /// Is put into a container's namespace.
    Redirect,
    /// Something that no program of ours returns.
    Other(u32),
}

impl Action {
    /// By the numbers of linux/pkt_cls.h.
    const fn of(answer: u32) -> Self {
        match answer {
            TC_ACT_OK => Self::Pass,
            TC_ACT_SHOT => Self::Drop,
            TC_ACT_REDIRECT => Self::Redirect,
            other => Self::Other(other),
        }
    }
}

const TC_ACT_OK: u32 = 0;
const TC_ACT_SHOT: u32 = 2;
const TC_ACT_REDIRECT: u32 = 7;

impl Kernel {
    /// Sends the trial packet through both programs of a container: what it sends, and what it
    /// receives.
    pub fn trial(&self, container: &FullName) -> Result<[Outcome; 2], TrialError> {
        let own = self.connection_maps(container)?;
        let live = self.live_programs(container, own.as_ref(), &mut Reader::default())?;
        let live = live.ok_or_else(|| TrialError::NotAttached(container.clone()))?;
        let [from, to] = HOOKS.map(|hook| self.try_one(container, &live.constants, hook));
        Ok([from?, to?])
    }

    fn try_one(
        &self,
        container: &FullName,
        constants: &Constants,
        hook: Hook,
    ) -> Result<Outcome, TrialError> {
        let before = self.drops(container)?;
        let answer = self.try_packet(container, hook, &frame(constants, hook), 0)?;
        let after = self.drops(container)?;
        Ok(outcome(answer.action, &before, &after))
    }

    /// Sends any packet (an Ethernet frame) through one of a container's attached programs, as if
    /// it had come in by this interface (0: the host's own). It is delivered nowhere; counters and
    /// connections change as by any other. The program sees no VLAN tag and no GSO.
    pub fn try_packet(
        &self,
        container: &FullName,
        hook: Hook,
        packet: &[u8],
        ingress_ifindex: u32,
    ) -> Result<Answer, TrialError> {
        self.try_marked(container, hook, packet, ingress_ifindex, 0)
    }

    /// The same with a mark on the packet.
    pub fn try_marked(
        &self,
        container: &FullName,
        hook: Hook,
        packet: &[u8],
        ingress_ifindex: u32,
        mark: u32,
    ) -> Result<Answer, TrialError> {
        let gone = || TrialError::NotAttached(container.clone());
        let link = self
            .pins
            .open_link(&self.pins.link(container, hook))?
            .ok_or_else(gone)?;
        let object = || Object::Link(container.clone(), hook);
        let program = sys::link_info(link.as_fd()).of("look at", object)?.program;
        let object = || Object::Id("program", program);
        let program = sys::program_by_id(program).of("open", object)?;
        let run =
            sys::test_run(program.as_fd(), packet, ingress_ifindex, mark).of("run", object)?;
        Ok(Answer {
            action: Action::of(run.answer),
            packet: run.packet,
            mark: run.mark,
        })
    }
}

fn outcome(
    action: Action,
    before: &BTreeMap<Reason, u64>,
    after: &BTreeMap<Reason, u64>,
) -> Outcome {
    if action != Action::Drop {
        return Outcome::Passed(action);
    }
    let rose = |reason: &Reason| after.get(reason) > before.get(reason);
    let risen: Vec<Reason> = after.keys().copied().filter(rose).collect();
    if risen.iter().any(|reason| reason.name() == "trial") {
        Outcome::Judged
    } else {
        Outcome::Dropped(risen)
    }
}

/// The shortest Ethernet frame, between the container and its gateway.
fn frame(constants: &Constants, hook: Hook) -> [u8; 60] {
    let (source, destination) = match hook {
        Hook::Ingress => (constants.mac.0, constants.gateway_mac.0),
        Hook::Egress => (constants.gateway_mac.0, constants.mac.0),
    };
    let kind = u16::try_from(header::PL_ETHERTYPE_TRIAL)
        .unwrap_or(u16::MAX)
        .to_be_bytes();
    let mut frame = [0; 60];
    frame[..6].copy_from_slice(&destination);
    frame[6..12].copy_from_slice(&source);
    frame[12..14].copy_from_slice(&kind);
    frame
}
