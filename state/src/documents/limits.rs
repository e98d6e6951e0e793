//! How much a tree may ask for. What is beyond is refused with a finding, never read on.
//!
//! The limits bound time and memory: refusing a hostile tree of [`TREE_BYTES`] takes less than two
//! seconds and half a gibibyte. Trees that people write stay far below all of them.

/// Bytes of one file: 4 MiB.
pub const FILE_BYTES: usize = 4 << 20;

/// Bytes of all files that are read: 64 MiB.
pub const TREE_BYTES: usize = 64 << 20;

/// Files of a tree.
pub const FILES: usize = 100_000;

/// Documents of a tree; each item of a list counts as one.
pub const DOCUMENTS: usize = 200_000;

/// Scalars, lists and mappings of a tree, keys not counted.
pub const VALUES: usize = 2_400_000;

/// Labels of a tree, those that selectors ask for included.
pub const LABELS: usize = 500_000;

/// Lists and mappings within each other.
pub const DEPTH: usize = 64;

/// Bytes of a mapping's key. serde_yaml's parser refuses a key of more than 1 024.
pub const KEY_BYTES: usize = 1_000;

/// Words that the parser may read before it has to hand out a value. It reads a list or mapping in
/// brackets to its end where that may be a key, and holds all of it in memory.
pub const READ_AHEAD: u32 = 32_768;

/// Files with contents that cost much more to read than their size, after which reading stops.
pub const COSTLY_FILES: u32 = 8;

/// Findings after which reading stops: ten times as many as are kept.
pub const FINDINGS: usize = 10_000;

/// Globs in `ignore`.
pub const GLOBS: usize = 256;

/// Bytes of one glob.
pub const GLOB_BYTES: usize = 256;
