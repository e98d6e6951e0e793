//! Laws, over random input: each holds for every tree, and a failure shows the smallest that breaks
//! it and the seed that replays it.

#![cfg(test)]

mod oracle;
mod random;

mod compile;
mod plan;
