//! The rig's own tests: what the other suites take for granted, shown where Plumbline has no part
//! in it, between two namespaces that a plain veth pair joins.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

mod pair;

mod cleanup;
mod hosts;
mod left;
mod packets;
mod probes;
mod sockets;
