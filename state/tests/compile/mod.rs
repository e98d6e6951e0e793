//! Laws of the compile step: it says what the specification says, and changes no more than it must.

mod agreement;
mod change;
mod endpoints;
mod findings;
mod hazards;
mod reach;
mod sentences;
mod tables;

use state::desired::{Desired, resolve};
use state::documents::Documents;
use state::target::{Datapath, Located, Target, compile};

use crate::random::{self, Case};

fn datapath() -> Datapath {
    Datapath {
        container_code: [1; 32],
        block_code: [2; 32],
        layout: 1,
        endpoints_most: 8_192,
    }
}

/// What becomes of a tree on a host with these addresses.
fn compiled(documents: &Documents, case: &Case) -> (Desired, Target) {
    let (desired, _) = resolve(documents, &random::host());
    let located = Located {
        host_addresses: case.host_addresses.clone(),
        ..Located::default()
    };
    let target = compile(&desired, &located, &datapath()).expect("a small tree fits");
    (desired, target)
}

fn show(case: &Case) -> String {
    let tree = random::show::tree(&case.documents);
    format!("{tree}host addresses: {:?}\n", case.host_addresses)
}

/// Fails a law with both sides of what should be equal.
fn equal<T: PartialEq + std::fmt::Debug>(what: &str, left: &T, right: &T) -> Result<(), String> {
    if left == right {
        return Ok(());
    }
    Err(format!("{what} differ\nleft:  {left:?}\nright: {right:?}"))
}
