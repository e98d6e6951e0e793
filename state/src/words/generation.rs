//! The commit record: which generation is live, in which slot.

use std::fmt;

/// The number of a commit as the datapath counts it: it only grows.
///
/// Connection entries cache its low 28 bits. An entry idles at most five days before it expires, so
/// a wrapped number could be mistaken only after 2^28 commits in five days (621 a second).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Generation(pub u64);

impl Generation {
    /// The next one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }

    /// Whether a store of ours can have given it: no host counts to 2^62. What names a higher one
    /// was written by others, and is not counted on from there.
    pub fn is_reached(self) -> bool {
        self.0 < 1 << 62
    }

    /// Whether one that nothing but the record names is counted on from: so far below what a store
    /// can have given that no count reaches the end.
    pub fn is_believed(self) -> bool {
        self.0 < 1 << 61
    }

    /// What connection entries cache of it.
    pub fn cached(self) -> u64 {
        self.0 & ((1 << 28) - 1)
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// One of the two copies of policy state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Slot {
    /// The first.
    A,
    /// The second.
    B,
}

impl Slot {
    /// Both, in order.
    pub const ALL: [Self; 2] = [Self::A, Self::B];

    /// The other one.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }

    /// Its index in every per-slot array: 0 or 1.
    pub fn index(self) -> u32 {
        match self {
            Self::A => 0,
            Self::B => 1,
        }
    }

    /// The slot of an index's lowest bit.
    pub fn from_bit(bit: u64) -> Self {
        if bit & 1 == 0 { Self::A } else { Self::B }
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::A => "A",
            Self::B => "B",
        })
    }
}

/// The commit record: the one 64-bit word that a packet reads at entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommitRecord {
    /// The live generation; 0 before the first commit.
    pub generation: Generation,
    /// The live slot.
    pub slot: Slot,
}

impl CommitRecord {
    /// As the kernel holds it: generation in the upper 63 bits, slot in the lowest.
    pub fn to_word(self) -> u64 {
        self.generation.0 << 1 | u64::from(self.slot.index())
    }

    /// Reads the kernel's word.
    pub fn from_word(word: u64) -> Self {
        Self {
            generation: Generation(word >> 1),
            slot: Slot::from_bit(word),
        }
    }
}
