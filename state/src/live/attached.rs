//! What was found on the two sides of a container's interface.

use std::collections::BTreeMap;

use crate::target::constants::Constants;
use crate::target::programs::BuildHash;
use crate::words::verdict::Direction;

/// Attached programs, as read back from the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LivePrograms {
    /// The build hash that stands in the program.
    pub build: BuildHash,
    /// The constants that stand in the program (of the live slot, in a transition build).
    pub constants: Constants,
    /// Interface index both links are attached to.
    pub ifindex: u32,
    /// Whether the guard stands behind them.
    pub guarded: bool,
    /// Whether they are first in their chains.
    pub first: bool,
}

/// A link of a container that holds no program of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkFault {
    /// Whose packets: egress is what the container sends.
    pub side: Direction,
    /// What is wrong.
    pub why: Broken,
}

/// What is wrong with a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// Its pin is gone, and unless somebody else holds it, so is the link.
    Unpinned,
    /// It is attached to nothing.
    Detached,
    /// What is pinned is a link to another place, or no link.
    Replaced,
    /// Another program than one of ours stands under it.
    Program,
}

/// What judges the packets of one side of an interface on which no program of ours is known to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Instead {
    /// The guard, which drops all.
    Guard,
    /// A program of ours, whose link somebody else holds.
    Ours,
    /// A program of others.
    Stranger {
        /// Its number.
        program: u32,
        /// Its name.
        name: String,
    },
    /// Nothing.
    Nobody,
}

/// An interface that is not ours, on a side of which a guard of ours stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guarded {
    /// Its index.
    pub ifindex: u32,
    /// What stands there, by side.
    pub instead: BTreeMap<Direction, Instead>,
}

/// A program of others on one side of a container's interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stranger {
    /// Which packets it sees: egress is what the container sends.
    pub side: Direction,
    /// Whether it stands before ours.
    pub before: bool,
    /// Its number.
    pub program: u32,
    /// Its name.
    pub name: String,
}
