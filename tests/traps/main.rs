//! The traps of this very design, one test each, by their numbers: what would let a packet pass
//! that no commit allows, or cut a connection that every commit allowed. All on the real kernel.
//!
//! Each has two containers in a lab of its own whose stacks are mute, so that every packet is one
//! that the test sent, and each looks for the drop's reason before it believes a silence.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

mod stage;
mod foreign;

mod swap;
mod reuse;
mod spoofing;
mod attachment;
mod handshake;
mod expiry;
mod recovery;
mod rollback;
mod family;
mod udev;
