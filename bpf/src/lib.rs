//! What the kernel runs.

pub mod abi;
mod sys;
pub mod fault;
mod encode;
pub mod object;
mod rodata;
mod rows;
pub mod pins;
pub mod attached;
pub mod kernel;
pub mod slots;
pub mod commit;
pub mod programs;
pub mod conntrack;
pub mod live;
pub mod resize;
pub mod trial;
pub mod doctor;
