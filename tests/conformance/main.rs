//! NetworkPolicy by real sockets: every feature of the specification, over IPv4 and IPv6, as rows
//! of {what it says, policies, who reaches whom}.
//!
//! The rows of a test share one lab and one cast, so each is one commit of policy alone; see
//! [`scene`] for who is in it. What is denied must be counted as denied, too.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]
#![allow(
    clippy::print_stdout,
    reason = "a failed test shows which row it was in"
)]

mod scene;

mod selectors;
mod peers;
mod defaults;
mod blocks;
mod ports;
mod directions;
mod hosts;
mod wire;
mod published;
