//! Sources as real git writes them, and as nobody should.

#![expect(
    clippy::unwrap_used,
    reason = "clippy spares test functions, not what they share"
)]

mod repo;
mod commits;
mod again;
mod hostile;
mod damaged;
mod work_tree;
