//! What the kernel runs, and its loader.
//!
//! `datapath/` is the C; `build.rs` compiles and links it to two objects that are embedded here:
//! a container's own two programs, and the blocks that all containers share. This crate turns the
//! typed entries of a [`state::target::Target`] into kernel bytes and back. It knows no YAML and no
//! order of operations: each method of [`kernel::Kernel`] is one operation of a plan, and may be
//! done again.
//!
//! ```text
//! abi       the C types, numbers and map shapes, generated
//! sys       the system calls; the only unsafe code
//! fault     what failed: a call, an object, the kernel's answer
//! encode    rows and constants <-> bytes
//! object    the two objects: constants in, programs out; what the bytecode is
//! rodata    constants of a loaded program, read back
//! rows      many rows at a time
//! pins      the directory below bpffs
//! attached  what stands at an interface's sides
//! guard     the filter behind our programs
//! kernel    the handle: what a host has once, found or made
//! blocks    the shared blocks and their table
//! slots     the two slots: rows, deltas
//! marks     what each is marked as and was made from
//! commit    the one store, and the barrier
//! connections  a container's connection maps
//! removal   what is taken down
//! programs  its programs, links and guard
//! conntrack its connections and drops
//! live      everything read back in the target's words
//! resize    another quota for a container that lives
//! trial     a packet through a program
//! doctor    whether this kernel can do it
//! ```

pub mod abi;
mod sys;
pub mod fault;
mod encode;
pub mod object;
mod rodata;
mod rows;
pub mod pins;
pub mod attached;
pub mod guard;
pub mod kernel;
pub mod blocks;
pub mod slots;
pub mod marks;
pub mod commit;
pub mod connections;
pub mod removal;
pub mod programs;
pub mod conntrack;
pub mod live;
pub mod resize;
pub mod trial;
pub mod doctor;
