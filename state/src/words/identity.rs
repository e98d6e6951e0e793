//! The 64-bit content hashes that policy tables are keyed by.
//!
//! Each is made from content alone, so hosts that read the same commit agree without talking, and
//! an edit changes only the rows whose content it changes. Two different contents with one hash are
//! found at compile time and refused. 0 is never the hash of a content: see [`IdentityId::ANY`].

use std::fmt;

macro_rules! content_hash {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u64);

        impl $name {
            /// The hash of a content that is written as bytes without ambiguity.
            pub fn of(content: &[u8]) -> Self {
                let hash = blake3::Hasher::new_derive_key(concat!("plumbline ", stringify!($name)))
                    .update(content)
                    .finalize();
                let mut first = [0; 8];
                first.copy_from_slice(&hash.as_bytes()[..8]);
                Self(u64::from_le_bytes(first).max(1))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:016x}", self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({self})", stringify!($name))
            }
        }
    };
}

content_hash!(
    /// What policies can tell about an address: its container's labels and named ports (or none)
    /// and its CIDR region. [`IdentityId::ANY`] is "any other peer".
    IdentityId
);
content_hash!(
    /// The set of containers that the policies of a tree cannot tell apart.
    SubjectId
);
content_hash!(
    /// The ports one subject may use with one identity in one direction.
    RulesetId
);
content_hash!(
    /// One peer and its ports in one policy: a hash of policy name and rule content.
    RuleId
);

impl IdentityId {
    /// "Any other peer": the identity of an address that no row of the address table names, and
    /// the row of a subject for identities that have no row of their own.
    pub const ANY: Self = Self(0);
}

impl RuleId {
    /// No rule: the subject is not isolated in that direction.
    pub const OPEN: Self = Self(0);
}
