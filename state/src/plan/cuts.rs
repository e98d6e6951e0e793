//! Which live connections a plan would cut: those that live lets go on and the target does not.
//!
//! Each is judged as the datapath judges its next packet under a new generation. A connection of
//! two containers of this host stands in the maps of both and counts once.

use std::collections::BTreeSet;

use super::connections::{Connection, Ends, Judge};
use crate::live::{Entry, Live};
use crate::target::Target;

/// What a plan would cut.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cuts {
    /// The connections, in order.
    pub cut: BTreeSet<Connection>,
    /// How many go on in live.
    pub of: usize,
}

/// Compares what live and target say of each.
pub fn cuts(entries: &[Entry], live: &Live, target: &Target) -> Cuts {
    let Some(base) = &live.base else {
        return Cuts::default();
    };
    let (before, after) = (Ends::of_live(live), Ends::of_target(target));
    let entries = entries.iter().filter(|entry| !entry.ended);
    let connections = entries.filter_map(|entry| before.connection(entry));
    let connections: BTreeSet<Connection> = connections.collect();
    let mut live = Judge::new(&base.live_slot().tables);
    let mut target = Judge::new(&target.tables);
    let mut found = Cuts::default();
    for connection in connections {
        if !live.lets(&connection) {
            continue;
        }
        found.of += 1;
        if !after.keep(&connection) || !target.lets(&connection) {
            found.cut.insert(connection);
        }
    }
    found
}
