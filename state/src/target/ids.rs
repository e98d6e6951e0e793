//! Content hashes handed out: two different contents with one 64-bit hash are found and refused.
//!
//! The chance is about one in a thousand million million for ten thousand contents, so it will not
//! be met; but met unseen, one container would get another's policy.

use std::collections::BTreeMap;

use super::{CompileError, Hashed};
use crate::words::identity::{IdentityId, RuleId, RulesetId, SubjectId};

/// How many bits of a hash count. All of them, save in the test that shows a collision.
#[derive(Clone, Copy, Debug)]
pub(super) struct Width(pub(super) u64);

impl Width {
    pub(super) const WHOLE: Self = Self(u64::MAX);

    fn of(self, hash: u64) -> u64 {
        (hash & self.0).max(1)
    }
}

/// An id of one kind.
pub(super) trait Id: Copy {
    const HASHED: Hashed;
    fn from_bits(bits: u64) -> Self;
    fn bits(self) -> u64;
}

macro_rules! ids {
    ($($id:ident: $hashed:ident),*) => {$(
        impl Id for $id {
            const HASHED: Hashed = Hashed::$hashed;
            fn from_bits(bits: u64) -> Self {
                Self(bits)
            }
            fn bits(self) -> u64 {
                self.0
            }
        }
    )*};
}

ids!(IdentityId: Identity, SubjectId: Subject, RulesetId: Ruleset, RuleId: Rule);

/// The ids of one kind that were handed out, each with the content it stands for.
#[derive(Debug)]
pub(super) struct Ids<Content> {
    width: Width,
    contents: BTreeMap<u64, Content>,
}

impl<Content: Clone + PartialEq> Ids<Content> {
    pub(super) fn new(width: Width) -> Self {
        Self {
            width,
            contents: BTreeMap::new(),
        }
    }

    /// Takes the hash of a content for its id, unless another content has it: then `in_words` says
    /// which two they are.
    pub(super) fn take<I: Id>(
        &mut self,
        hash: I,
        content: &Content,
        in_words: impl Fn(&Content) -> String,
    ) -> Result<I, CompileError> {
        let bits = self.width.of(hash.bits());
        let first = self.contents.entry(bits).or_insert_with(|| content.clone());
        if first == content {
            return Ok(I::from_bits(bits));
        }
        Err(CompileError::Collision {
            hashed: I::HASHED,
            id: bits,
            first: in_words(first),
            second: in_words(content),
        })
    }
}
