//! Going back to a commit that was live before: by one store where the other slot holds all of it,
//! else by an ordinary apply. Never by something in between.
//!
//! The old commit's tree is compiled anew, so what its slot should hold and what the host should be
//! are known, and are compared. A store is the way where the slot was live, nothing was written to
//! it since, it reads back as the tree says to the last row, and nothing on the host is to be done:
//! the same containers, programs and constants. A slot that a run died in has lost its name and its
//! mark and is written anew like any other (T2).
//!
//! The commit that was gone back from is held: no run makes it live again until it is told to. The
//! slot that is live keeps its name, so no file is asked.

use std::fmt;

use super::guards::Refusal;
use super::{Kind, Operation, Phase, Plan};
use crate::diff::Differences;
use crate::live::{Base, HELD_MOST, Live, LiveSlot, SlotMark};
use crate::words::generation::{Generation, Slot};
use crate::words::hash::short;
use crate::words::names::FullName;

/// By which way a plan goes back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Way {
    /// One store: the other slot holds all of it.
    Store,
    /// An ordinary apply, for this is in the way of a store.
    Apply(Obstacle),
}

/// Why a store is not the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// Live is the same already, but for the name.
    Same,
    /// Something that all containers share is to be changed.
    Shared,
    /// A run died while it wrote the slot, or before it made it live.
    Interrupted(Slot),
    /// The slot holds no commit.
    Empty(Slot),
    /// It was made from another commit, or another folder of it.
    Other {
        /// Which slot.
        slot: Slot,
        /// From which commit.
        commit: String,
    },
    /// It holds other rows than its commit asks for.
    Rows {
        /// Which slot.
        slot: Slot,
        /// How many.
        rows: usize,
    },
    /// A container is to be made, changed or removed.
    Container(FullName),
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Same => write!(f, "what is live is the same but for the name"),
            Self::Shared => write!(f, "what all containers share is to be changed"),
            Self::Interrupted(slot) => write!(f, "a run has begun to write slot {slot} and died"),
            Self::Empty(slot) => write!(f, "slot {slot} holds no commit"),
            Self::Other { slot, commit } => {
                let commit = short(commit);
                write!(f, "slot {slot} was made from {commit}")
            }
            Self::Rows { slot, rows } => write!(
                f,
                "{rows} {} of slot {slot} {} not what its commit asks for on this host now",
                if *rows == 1 { "row" } else { "rows" },
                if *rows == 1 { "is" } else { "are" }
            ),
            Self::Container(name) => {
                write!(f, "container {name} is to be made, changed or removed")
            }
        }
    }
}

/// The commit that was live before, as far as the kernel knows: the other slot has settled once and
/// was not written since.
pub fn previous(base: &Base) -> Option<&LiveSlot> {
    let other = base.other_slot();
    let was_live = other.mark == SlotMark::Settled && !other.commit.is_empty();
    let is_another = other.commit != base.live_slot().commit;
    (was_live && is_another && other.generation < base.record.generation).then_some(other)
}

/// Turns the ordinary plan for an old commit into the one that goes back to it.
#[must_use]
pub fn go_back(mut plan: Plan, live: &Live, differences: &Differences) -> Plan {
    plan.held = held_after_going_back(live, &plan.origin.commit);
    let way = match obstacle(&plan, live, differences) {
        Some(obstacle) => Way::Apply(obstacle),
        None => {
            by_store(&mut plan);
            Way::Store
        }
    };
    plan.back = Some(way);
    plan
}

/// Nothing is prepared, and the slot keeps its mark.
fn by_store(plan: &mut Plan) {
    plan.steps.retain(|step| step.phase != Phase::Prepare);
    for step in &mut plan.steps {
        if let Operation::VerifySlot { slot, .. } = step.operation {
            step.operation = Operation::ConfirmSlot { slot };
        }
    }
}

fn obstacle(plan: &Plan, live: &Live, differences: &Differences) -> Option<Obstacle> {
    let Some(base) = live.base.as_ref().filter(|_| plan.kind == Kind::Commit) else {
        return Some(Obstacle::Same);
    };
    let (slot, other) = (plan.to.slot, base.other_slot());
    let rows = differences.next.len() + differences.next_foreign;
    let mut containers = differences.containers.keys().chain(&differences.surplus);
    if differences.interrupted || other.mark == SlotMark::Preparing {
        Some(Obstacle::Interrupted(slot))
    } else if other.mark == SlotMark::Empty {
        Some(Obstacle::Empty(slot))
    } else if (&other.commit, &other.tree) != (&plan.origin.commit, &plan.origin.tree) {
        let commit = other.commit.clone();
        Some(Obstacle::Other { slot, commit })
    } else if let Some(name) = containers.next() {
        Some(Obstacle::Container(name.clone()))
    } else if shared(differences) {
        Some(Obstacle::Shared)
    } else {
        (rows > 0).then_some(Obstacle::Rows { slot, rows })
    }
}

fn held(live: &Live) -> &[String] {
    let base = live.base.as_ref();
    let base = base.filter(|base| base.record.generation != Generation(0));
    base.map_or(&live.held_before, |base| base.held())
}

/// Who goes back again leaves one more commit; `HEAD` is still the first of them, which is kept
/// whatever there is no room for.
fn held_after_going_back(live: &Live, commit: &str) -> Vec<String> {
    let left = live.base.as_ref().map(|base| &base.live_slot().commit);
    let left = left.filter(|commit| !commit.is_empty());
    let all = left.into_iter().chain(held(live));
    let mut all: Vec<String> = all.filter(|held| *held != commit).cloned().collect();
    if all.len() > HELD_MOST {
        all.drain(HELD_MOST - 1..all.len() - 1);
    }
    all
}

/// A record that others took back names a slot that has not settled as it says.
fn shared(differences: &Differences) -> bool {
    differences.blocks
        || differences.bpffs_missing
        || differences.unpinned
        || !differences.lost.is_empty()
        || differences.rewound
        || !differences.sysctls.is_empty()
}

/// What stays held once a commit is live. `named`: it was asked for by name, so `HEAD` may still be
/// what is held.
pub fn held_after(live: &Live, commit: &str, named: bool) -> Vec<String> {
    let held = held(live).iter();
    let held = held.filter(|held| named && *held != commit);
    held.cloned().collect()
}

/// Refuses the commit that is held, unless the caller lifts it.
pub fn check_hold(live: &Live, commit: &str, lifted: bool) -> Result<(), Refusal> {
    if held(live).iter().any(|held| held == commit) && !lifted {
        let commit = commit.to_owned();
        return Err(Refusal::Held { commit });
    }
    Ok(())
}
