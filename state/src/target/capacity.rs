//! What cannot grow, and how far the rest may. A tree that needs more is refused whole.
//!
//! The registry of endpoints cannot grow, because programs hold it. Tables can: a slot that is not
//! live gets a larger map. But policy rows are subjects times identities, and a tree that names ten
//! thousand ranges from a thousand subjects would ask the kernel for a gigabyte; what is beyond
//! [`ROWS_MOST`] is refused here, while it is counted, and not by the kernel out of memory.

use super::CompileError;
use super::located::Located;
use super::tables::EndpointIndex;
use crate::desired::Desired;

/// The most rows that a table of policy may have: some 400 MB of kernel memory in each slot.
pub(super) const ROWS_MOST: usize = 1 << 22;

/// In how many ranges all regions together may lie: some 400 MB while they are told apart.
pub(super) const REGION_BLOCKS_MOST: usize = 1 << 24;

/// Refuses ranges that lie within each other in more than [`REGION_BLOCKS_MOST`] ways.
pub(super) fn check_regions(blocks: usize) -> Result<(), CompileError> {
    if blocks <= REGION_BLOCKS_MOST {
        return Ok(());
    }
    Err(CompileError::TooManyRanges {
        most: REGION_BLOCKS_MOST,
    })
}

/// Refuses a table of more than [`ROWS_MOST`] rows.
pub(super) fn check_rows(table: &'static str, rows: usize) -> Result<(), CompileError> {
    if rows <= ROWS_MOST {
        return Ok(());
    }
    Err(CompileError::TooManyRows {
        table,
        most: ROWS_MOST,
    })
}

/// Whether the registry has a place for an index.
pub(super) fn holds(endpoints_most: u32, index: EndpointIndex) -> bool {
    u32::from(index.0) < endpoints_most
}

/// The error that says how many containers there are, and what holds the other places.
pub(super) fn exceeded(desired: &Desired, located: &Located, most: u32) -> CompileError {
    let leaving = located.containers.iter().filter(|(name, found)| {
        let stays = desired.containers.get(*name).is_some_and(|c| c.here);
        found.endpoint.is_some() && !stays
    });
    CompileError::TooManyContainers {
        here: desired.containers_here().count(),
        leaving: leaving.count() + located.held.len(),
        most,
    }
}
