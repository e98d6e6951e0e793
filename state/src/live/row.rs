//! Which row of the live slot is a container's.

use std::collections::BTreeSet;

use super::{Live, LiveContainer};
use crate::target::host::container_mac;
use crate::target::tables::{Endpoint, EndpointIndex};
use crate::words::names::FullName;

impl Live {
    /// Where the live slot has a container: under the index under which its maps are registered.
    /// Where these are lost, or a run that died has registered others, its row is one that nobody's
    /// are registered under, and is known by its interface, or where that was made anew by the MAC
    /// address that is made from its name. A MAC address alone is no proof: who has an interface of
    /// others may give it any.
    pub fn endpoint(&self, name: &FullName) -> Option<(EndpointIndex, &Endpoint)> {
        let rows = &self.base.as_ref()?.live_slot().tables.endpoints;
        let found = self.containers.get(name);
        let registered = found.and_then(|found| found.endpoint);
        if let Some((index, row)) = registered.and_then(|index| Some((index, rows.get(&index)?))) {
            let is_of = |(other, found): (&FullName, &LiveContainer)| {
                found.endpoint == Some(index) && other != name && container_mac(other) == row.mac
            };
            return (!self.containers.iter().any(is_of)).then_some((index, row));
        }
        let registered = self.containers.values().filter_map(|c| c.endpoint);
        let registered: BTreeSet<EndpointIndex> = registered.collect();
        let mut free = rows
            .iter()
            .filter(|(index, _)| !registered.contains(index))
            .map(|(index, row)| (*index, row));
        let interface = |found: &LiveContainer| found.network.as_ref()?.ifindex;
        if let Some(own) = found.and_then(interface)
            && let Some(row) = free.clone().find(|(_, row)| row.ifindex == Some(own))
        {
            return Some(row);
        }
        let others: BTreeSet<u32> = self.containers.values().filter_map(interface).collect();
        let mac = container_mac(name);
        free.find(|(_, row)| row.mac == mac && row.ifindex.is_none_or(|at| !others.contains(&at)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{found, live, name, slot};
    use super::*;

    #[test]
    fn who_takes_the_mac_address_of_another_is_not_taken_for_it() {
        let rows = [(0, "a/kept"), (1, "a/kept")];
        let mut live = live(2, [slot(1, &[]), slot(2, &rows)]);
        let index = |live: &Live, of: &str| live.endpoint(&name(of)).map(|(index, _)| index.0);
        live.containers
            .insert(name("a/guest"), found(None, Some(1)));
        assert_eq!(index(&live, "a/kept"), Some(0));
        assert_eq!(index(&live, "a/guest"), Some(1));
        // Whoever is not live is not so by that, and whose maps are lost is known by the rest.
        live.containers.remove(&name("a/kept"));
        live.base.as_mut().unwrap().slots[1]
            .tables
            .endpoints
            .pop_first();
        assert_eq!(index(&live, "a/kept"), None);
        let base = live.base.as_mut().unwrap();
        let rows = slot(2, &rows).tables.endpoints;
        base.slots[1].tables.endpoints = rows;
        assert_eq!(index(&live, "a/kept"), Some(0));
        // Where both have lost theirs, by their interfaces.
        let rows = &mut live.base.as_mut().unwrap().slots[1].tables.endpoints;
        rows.get_mut(&EndpointIndex(0)).unwrap().ifindex = Some(8);
        rows.get_mut(&EndpointIndex(1)).unwrap().ifindex = Some(7);
        for (name_of, at) in [("a/kept", 7), ("a/guest", 8)] {
            live.containers.insert(name(name_of), found(Some(at), None));
        }
        assert_eq!(index(&live, "a/kept"), Some(1));
        assert_eq!(index(&live, "a/guest"), Some(0));
        live.containers.remove(&name("a/kept"));
        assert_eq!(index(&live, "a/kept"), Some(1));
        live.containers
            .insert(name("a/other"), found(Some(7), None));
        assert_eq!(index(&live, "a/kept"), None);
    }
}
