//! Programs are disposable and known by what makes them.

use std::fmt;

/// blake3 over what makes a container's programs: instructions, constants, map layouts, attach
/// point. Two builds of the same source in two folders have the same one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BuildHash(pub [u8; 32]);

impl fmt::Display for BuildHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for BuildHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BuildHash({self})")
    }
}

/// A container's two programs, `from_container` and `to_container`: one build, one hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ProgramSet {
    /// The build.
    pub build: BuildHash,
}
