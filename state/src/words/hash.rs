//! Hashes as people are shown them.

/// The first twelve characters of a hash.
pub fn short(hash: &str) -> &str {
    hash.get(..12).unwrap_or(hash)
}
