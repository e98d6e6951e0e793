//! Endpoint indices: a container keeps its index while it lives, a new one gets the lowest free.
//!
//! An index that some container of live still has, here or no longer wanted, is not free: its
//! connection maps are there until the generation that removes it has settled.

use std::collections::{BTreeMap, BTreeSet};

use super::located::Located;
use super::tables::{Endpoint, EndpointIndex};
use super::{CompileError, ContainerTarget, capacity};
use crate::desired::Desired;
use crate::words::identity::SubjectId;
use crate::words::names::FullName;

/// Gives each container of this host its index.
pub(super) fn indices(
    desired: &Desired,
    located: &Located,
    endpoints_most: u32,
) -> Result<BTreeMap<FullName, EndpointIndex>, CompileError> {
    let found = located.containers.iter();
    let with_index = found.filter_map(|(name, found)| Some((name, found.endpoint?)));
    let mut taken: BTreeSet<EndpointIndex> = located.held.clone();
    let mut kept = BTreeMap::new();
    let mut owners = BTreeSet::new();
    for (name, index) in with_index {
        taken.insert(index);
        let wanted = desired.containers.get(name).is_some_and(|c| c.here);
        // Of two that have one index, which live never has, the first by name keeps it.
        if wanted && capacity::holds(endpoints_most, index) && owners.insert(index) {
            kept.insert(name.clone(), index);
        }
    }
    let mut free = (0..=u16::MAX)
        .map(EndpointIndex)
        .filter(|index| !taken.contains(index) && capacity::holds(endpoints_most, *index));
    for container in desired.containers_here() {
        if !kept.contains_key(&container.name) {
            let index = free.next();
            let index =
                index.ok_or_else(|| capacity::exceeded(desired, located, endpoints_most))?;
            kept.insert(container.name.clone(), index);
        }
    }
    Ok(kept)
}

/// The endpoint table: a row for each container that is not missing. `subjects` are the ids of
/// [`Desired::subjects`].
pub(super) fn rows(
    desired: &Desired,
    located: &Located,
    containers: &BTreeMap<FullName, ContainerTarget>,
    subjects: &[SubjectId],
) -> BTreeMap<EndpointIndex, Endpoint> {
    let there = containers.iter().filter(|(_, c)| c.missing.is_none());
    let rows = there.filter_map(|(name, container)| {
        let row = Endpoint {
            ifindex: located.containers.get(name).and_then(|f| f.ifindex),
            mac: container.constants.mac,
            subject: subjects[desired.containers.get(name)?.subject],
            tap: container.constants.tap,
        };
        Some((container.constants.endpoint, row))
    });
    rows.collect()
}
