//! Laws of diff and plan, on a simulated host that refuses whatever a kernel would let do harm.

mod trees;
mod world;
mod programs;
mod seen;
mod execute;
mod interrupt;
mod damage;
mod lab;

mod converge;
mod minimal;
mod guards;
mod back;
mod drift;
mod others;

use state::documents::Documents;

use crate::random::run::hold;
use crate::random::show::tree;

/// That something holds; if not, what does not.
fn law(holds: bool, says: &str) -> Result<(), String> {
    if holds {
        Ok(())
    } else {
        Err(format!("it does not hold that {says}"))
    }
}

/// Holds a law over so many trees at a time.
fn hold_trees(cases: u32, count: usize, law: impl Fn(&Vec<Documents>) -> Result<(), String>) {
    hold(cases, trees::trees(count), |trees| show(trees), law);
}

fn show(trees: &[Documents]) -> String {
    let numbered = trees.iter().zip(1..);
    numbered
        .map(|(documents, number)| format!("tree {number}:\n{}", tree(documents)))
        .collect()
}
