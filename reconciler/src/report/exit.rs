//! Kinds of outcomes, and the exit code of each.

use std::process::ExitCode;

/// How a run ended. The codes are part of the command line's contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exit {
    /// Done, or nothing to do.
    Done = 0,
    /// Failed before the commit store, live unchanged; or a reading command failed.
    Failed = 1,
    /// Changes are pending (with `--detailed-exitcode` alone).
    Pending = 2,
    /// The desired state is invalid or cannot be read.
    Invalid = 3,
    /// Refused: locked, a guard, a collision, the owner.
    Refused = 4,
    /// The check after the store failed; swung back.
    SwungBack = 5,
    /// Needs attention: settle left something, or there is drift.
    Attention = 6,
    /// Wrong usage.
    Usage = 64,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}
