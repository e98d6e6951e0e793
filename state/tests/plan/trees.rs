//! Random trees in a row, each a change of the one before: containers come, go, move, change their
//! addresses, quotas and labels; policies come, go and change.

use std::net::IpAddr;

use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::{Just, Strategy, any};
use proptest::sample::select;
use state::documents::config::{Config, Dns};
use state::documents::{Container, Documents, NetworkPolicy};
use state::words::labels::Labels;
use state::words::names::{FullName, HostName};
use std::collections::BTreeMap;

use crate::random::{self, place};

/// Containers that trees choose from.
const NAMES: [&str; 6] = ["a/c0", "a/c1", "a/c2", "a/c3", "b/c4", "b/c5"];
/// Addresses that they choose from, each of both families; so addresses move and change places.
const ADDRESSES: usize = 7;
const QUOTAS: [u32; 3] = [8_192, 8_192, 64];
const HOSTS: [Option<&str>; 5] = [None, None, None, Some(random::HERE), Some("beta")];

/// What a tree says of a container, beside its addresses.
#[derive(Clone, Debug)]
struct Told {
    labels: Labels,
    host: Option<&'static str>,
    /// 0: IPv4, 1: IPv6, else both.
    families: u8,
    quota: u32,
}

/// The parts of a tree.
#[derive(Clone, Debug)]
struct Parts {
    containers: Vec<Option<Told>>,
    /// Which address a container of the same place in `containers` has.
    addresses: Vec<usize>,
    policies: Vec<Option<NetworkPolicy>>,
    dns: Dns,
    forwarding: bool,
}

fn told() -> impl Strategy<Value = Told> {
    let labels = btree_map(
        select(&["app", "tier"][..]),
        select(&["web", "db"][..]),
        0..=2,
    );
    let parts = (labels, select(&HOSTS[..]), 0..4_u8, select(&QUOTAS[..]));
    parts.prop_map(|(labels, host, families, quota)| Told {
        labels: labels
            .into_iter()
            .map(|(k, v)| (k.into(), v.into()))
            .collect(),
        host,
        families,
        quota,
    })
}

fn parts() -> impl Strategy<Value = Parts> {
    (
        vec(option::weighted(0.6, told()), NAMES.len()),
        Just((0..ADDRESSES).collect::<Vec<_>>()).prop_shuffle(),
        vec(option::weighted(0.6, random::policy("p")), 4),
        select(&[Dns::Host, Dns::Host, Dns::Leave][..]),
        any::<bool>(),
    )
        .prop_map(|(containers, addresses, policies, dns, forwarding)| Parts {
            containers,
            addresses,
            policies,
            dns,
            forwarding,
        })
}

/// Which parts of a tree are those of the one before.
#[derive(Clone, Debug)]
struct Kept {
    containers: Vec<bool>,
    addresses: bool,
    policies: Vec<bool>,
    config: bool,
}

fn kept() -> impl Strategy<Value = Kept> {
    let often = || proptest::bool::weighted(0.6);
    (vec(often(), NAMES.len()), often(), vec(often(), 4), often()).prop_map(
        |(containers, addresses, policies, config)| Kept {
            containers,
            addresses,
            policies,
            config,
        },
    )
}

fn mixed<T: Clone>(old: &[T], new: &[T], kept: &[bool]) -> Vec<T> {
    let both = old.iter().zip(new).zip(kept);
    both.map(|((old, new), kept)| if *kept { old } else { new }.clone())
        .collect()
}

impl Parts {
    fn after(&self, new: &Self, kept: &Kept) -> Self {
        let config = if kept.config { self } else { new };
        Self {
            containers: mixed(&self.containers, &new.containers, &kept.containers),
            addresses: if kept.addresses { self } else { new }.addresses.clone(),
            policies: mixed(&self.policies, &new.policies, &kept.policies),
            dns: config.dns,
            forwarding: config.forwarding,
        }
    }

    fn documents(&self) -> Documents {
        let containers = self.containers.iter().zip(NAMES).zip(&self.addresses);
        let containers = containers
            .filter_map(|((told, name), address)| Some(container(name, told.as_ref()?, *address)));
        let mut policies = BTreeMap::new();
        for policy in self.policies.iter().flatten() {
            policies
                .entry(policy.name.clone())
                .or_insert_with(|| policy.clone());
        }
        Documents {
            config: Config {
                dns: self.dns,
                forwarding: self.forwarding,
                ..Config::default()
            },
            containers: containers.collect(),
            policies: policies.into_values().collect(),
            ..Documents::default()
        }
    }
}

fn container(name: &str, told: &Told, address: usize) -> Container {
    let number = u8::try_from(address).expect("a small tree") + 1;
    let v4 = IpAddr::from([10, 0, 0, number]);
    let v6 = IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 0, number.into()]);
    let addresses = match told.families {
        0 => vec![v4],
        1 => vec![v6],
        _ => vec![v4, v6],
    };
    Container {
        place: place(1),
        name: FullName::from_slashed(name).expect("a name"),
        labels: told.labels.clone(),
        host: told.host.map(|host| HostName::new(host).expect("a name")),
        addresses: addresses.into_iter().map(|a| (a, place(2))).collect(),
        ports: Vec::new(),
        connections: told.quota,
        attach: Default::default(),
    }
}

/// Trees, each a change of the one before.
pub(super) fn trees(count: usize) -> impl Strategy<Value = Vec<Documents>> {
    (parts(), vec((parts(), kept()), count - 1)).prop_map(|(first, changes)| {
        let mut trees = vec![first.documents()];
        let mut last = first;
        for (new, kept) in changes {
            last = last.after(&new, &kept);
            trees.push(last.documents());
        }
        trees
    })
}
