//! The words of the design as types, each validated once where it enters and never again.

pub mod place;
pub mod problem;
pub mod names;
pub mod address;
pub mod labels;
pub mod ports;
pub mod flow;
pub mod hash;
pub mod canonical;
pub mod identity;
pub mod generation;
pub mod time;
pub mod verdict;
