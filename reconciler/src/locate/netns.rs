//! Managed containers, found in what was read back.

use std::collections::{BTreeMap, BTreeSet};

use state::live::{Live, SlotMark};
use state::target::located::{Found, Located, Uplink};
use state::target::tables::EndpointIndex;

/// Where the containers are, which endpoint index each has, and which may not be given out yet.
pub fn locate(live: &Live, uplinks: BTreeMap<String, Uplink>) -> Located {
    let containers = live.containers.iter().map(|(name, container)| {
        let network = container.network.as_ref();
        let found = Found {
            ifindex: network.and_then(|network| network.ifindex),
            endpoint: container.endpoint,
        };
        (name.clone(), found)
    });
    let containers: BTreeMap<_, _> = containers
        .filter(|(_, found)| *found != Found::default())
        .collect();
    let had: BTreeSet<_> = containers.values().filter_map(|f| f.endpoint).collect();
    Located {
        held: unsettled(live).difference(&had).copied().collect(),
        containers,
        host_addresses: live.host.addresses.clone(),
        uplinks,
    }
}

/// The indices that either slot has rows of, where the live one is not settled: until it is,
/// packets and connection entries may still speak of a container that the last commit removed.
fn unsettled(live: &Live) -> BTreeSet<EndpointIndex> {
    let Some(base) = &live.base else {
        return BTreeSet::new();
    };
    if base.live_slot().mark == SlotMark::Settled {
        return BTreeSet::new();
    }
    let rows = base.slots.iter().map(|slot| &slot.tables.endpoints);
    rows.flat_map(|endpoints| endpoints.keys().copied())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use state::live::{Base, LiveContainer, LiveNetwork, LiveSlot};
    use state::target::host::Network;
    use state::target::tables::Endpoint;
    use state::words::address::Mac;
    use state::words::generation::{CommitRecord, Generation, Slot};
    use state::words::identity::SubjectId;
    use state::words::names::FullName;

    fn name(text: &str) -> FullName {
        FullName::from_slashed(text).unwrap()
    }

    fn container(ifindex: Option<u32>, endpoint: Option<u16>) -> LiveContainer {
        let network = Network {
            namespace: String::new(),
            interface: String::new(),
            mac: Mac([0; 6]),
            addresses: Vec::new(),
            mtu: 1500,
            resolv_conf: false,
        };
        LiveContainer {
            endpoint: endpoint.map(EndpointIndex),
            network: Some(LiveNetwork {
                ifindex,
                network,
                faults: Vec::new(),
            }),
            ..LiveContainer::default()
        }
    }

    fn slot(mark: SlotMark, endpoints: &[u16]) -> LiveSlot {
        let mut slot = LiveSlot {
            mark,
            ..LiveSlot::default()
        };
        for index in endpoints {
            let row = Endpoint {
                ifindex: None,
                mac: Mac([0; 6]),
                subject: SubjectId(1),
            };
            slot.tables.endpoints.insert(EndpointIndex(*index), row);
        }
        slot
    }

    fn base(slots: [LiveSlot; 2]) -> Base {
        Base {
            layout: 1,
            block_code: [0; 32],
            record: CommitRecord {
                generation: Generation(2),
                slot: Slot::B,
            },
            slots,
        }
    }

    fn held(live: &Live) -> Vec<u16> {
        let located = locate(live, BTreeMap::new());
        located.held.into_iter().map(|index| index.0).collect()
    }

    #[test]
    fn containers_are_found_by_interface_and_index() {
        let live = Live {
            containers: BTreeMap::from([
                (name("a/whole"), container(Some(7), Some(0))),
                (name("a/new"), container(Some(8), None)),
                (name("a/bare"), container(None, None)),
            ]),
            ..Live::default()
        };
        let located = locate(&live, BTreeMap::new());
        assert_eq!(located.containers.len(), 2);
        let whole = located.containers[&name("a/whole")];
        assert_eq!(whole.ifindex, Some(7));
        assert_eq!(whole.endpoint, Some(EndpointIndex(0)));
        assert_eq!(located.containers[&name("a/new")].endpoint, None);
    }

    #[test]
    fn an_index_is_free_again_once_the_commit_that_removed_it_has_settled() {
        let with = |a, b| Live {
            base: Some(base([a, b])),
            containers: BTreeMap::from([(name("a/b"), container(Some(7), Some(0)))]),
            ..Live::default()
        };
        let old = || slot(SlotMark::Settled, &[0, 1, 2]);
        assert_eq!(held(&with(old(), slot(SlotMark::Ready, &[0]))), [1, 2]);
        assert_eq!(held(&with(old(), slot(SlotMark::Settled, &[0]))), [0; 0]);
        assert_eq!(held(&Live::default()), [0; 0]);
    }
}
