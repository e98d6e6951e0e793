//! The blocks, one packet at a time, on the real bytecode: tables of rows {what it says, packet,
//! world, verdict, packet after, entries after}, one file for each block. A row is played for IPv4
//! and for IPv6.
//!
//! Two containers, `web` and `db`, are attached to real interfaces and their programs are run on
//! packets (`BPF_PROG_TEST_RUN`). [`stage`] says who is there and who may reach whom. What the
//! kernel does not let a test run set (a VLAN tag beside the packet, GSO, parts of a packet outside
//! its linear area, delivery) is shown on a real wire, in `tests/conformance/wire.rs`.

#![allow(clippy::unwrap_used, clippy::expect_used)]

// A part of the build script: how C is compiled.
#[allow(dead_code)]
#[path = "../../build/clang.rs"]
mod clang;
// What the loader's tests stand on.
#[allow(dead_code)]
#[path = "../loader/rig.rs"]
mod rig;
// The one builder of packets; it imports nothing.
#[allow(dead_code, unreachable_pub, unused_imports)]
#[path = "../../../tests/rig/packet/mod.rs"]
mod packet;
mod stage;
mod row;
mod from_container;
mod to_container;
mod judge;
mod icmp;
mod entries;
mod fragments;
mod neighbour;
mod tap;
mod seen;
mod races;
mod parse;
mod model;
mod random;
mod reasons;
