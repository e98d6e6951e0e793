//! The rig: what a test needs to see Plumbline at work on the real kernel, in namespaces of its
//! own.
//!
//! ```text
//! lab      hosts as namespaces, the segment between them, a tree in git, the program under test
//! traffic  real sockets in a namespace: services that echo, attempts, streams that go on
//! packet   packets byte by byte; wire: sent and captured on an interface
//! foreign  programs of others; tap: a machine behind a tap
//! probe    who can reach whom, against what was expected; scene: of a tree that was applied
//! ids      what the kernel holds because of a lab; world: everything, when a test fails
//! ```
//!
//! A rig that cannot do its part fails the test that asked, with what it tried and what the kernel
//! said: so most of it panics, and says so.

#![allow(clippy::expect_used, reason = "see above: the message is the test's")]

pub mod wait;
pub mod refused;
pub mod processors;
pub mod machine;
pub mod program;
pub mod foreign;
pub mod netns;
pub mod tree;
pub mod repository;
pub mod host;
pub mod lab;
pub mod packet;
pub mod wire;
pub mod tap;
pub mod traffic;
pub mod probe;
mod status;
pub mod random;
pub mod scene;
pub mod stepper;
pub mod calls;
pub mod ids;
pub mod world;
