//! Identities: what policies can tell about an address, and the table that says which it is.
//!
//! An identity is a class (or none, for an address that is no container's) and a CIDR region. All
//! the host's own addresses are one identity, whatever their region: policy is never asked about
//! them. An address in no region and of no class is [`IdentityId::ANY`].

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::CompileError;
use super::ids::{Ids, Width};
use super::regions::{self, Regions};
use super::tables::{Address, EndpointIndex, Owner};
use crate::desired::describe::{block_in_words, seen_as};
use crate::desired::{Container, Desired};
use crate::words::address::Cidr;
use crate::words::canonical::Canonical;
use crate::words::identity::IdentityId;
use crate::words::names::FullName;

/// What an identity stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Content {
    /// The host's own addresses.
    Host,
    /// Everything else: an index of [`Desired::classes`], and one of [`Regions::blocks`].
    Peer { class: Option<usize>, region: usize },
}

/// The identities that addresses have. Those of the host and of any other peer have no row in the
/// policy table and are not in the lists.
#[derive(Debug)]
pub(super) struct Identities {
    /// The ids, ascending by class, then region.
    pub(super) ids: Vec<IdentityId>,
    /// Their classes.
    pub(super) classes: Vec<Option<usize>>,
    /// For each class, its identities as indices of `ids`.
    pub(super) by_class: Vec<Vec<usize>>,
    /// For each block, the identities within it.
    pub(super) by_block: Vec<Vec<usize>>,
    /// The address table: only what its nearest holder does not say already.
    pub(super) addresses: BTreeMap<Cidr, Address>,
}

/// Cuts the address space, and says of each part whose it is.
pub(super) fn identify(
    desired: &Desired,
    host_addresses: &BTreeSet<IpAddr>,
    endpoints: &BTreeMap<FullName, EndpointIndex>,
    width: Width,
) -> Result<Identities, CompileError> {
    let single = desired.by_address.keys().chain(host_addresses);
    let regions = regions::cut(
        &desired.policies.blocks,
        single.map(|address| Cidr::from(*address)),
    )?;
    let whose = Whose {
        desired,
        host_addresses,
        endpoints,
    };
    let contents: Vec<(Cidr, Content, Owner)> = regions
        .prefixes
        .iter()
        .map(|(cidr, region)| {
            let (content, owner) = whose.part(*cidr, *region);
            (*cidr, content, owner)
        })
        .collect();
    let ids = hash(desired, &regions, &contents, width)?;
    Ok(Identities::of(desired, &regions, &contents, &ids))
}

struct Whose<'a> {
    desired: &'a Desired,
    host_addresses: &'a BTreeSet<IpAddr>,
    endpoints: &'a BTreeMap<FullName, EndpointIndex>,
}

impl Whose<'_> {
    fn part(&self, cidr: Cidr, region: usize) -> (Content, Owner) {
        let single = cidr.prefix_len() == cidr.max_prefix_len();
        let address = single.then(|| cidr.addr());
        let container = address.and_then(|a| self.desired.container_at(a));
        let class = |container: &Container| Content::Peer {
            class: Some(container.class),
            region,
        };
        let endpoint = container.and_then(|c| self.endpoints.get(&c.name));
        if let (Some(container), Some(endpoint)) = (container, endpoint) {
            return (class(container), Owner::Endpoint(*endpoint));
        }
        if address.is_some_and(|a| self.host_addresses.contains(&a)) {
            return (Content::Host, Owner::Host);
        }
        let nobody = Content::Peer {
            class: None,
            region,
        };
        (container.map_or(nobody, class), Owner::Elsewhere)
    }
}

/// The id of each content, by content.
fn hash(
    desired: &Desired,
    regions: &Regions,
    contents: &[(Cidr, Content, Owner)],
    width: Width,
) -> Result<BTreeMap<Content, IdentityId>, CompileError> {
    let blocks: Vec<[u8; 32]> = desired
        .policies
        .blocks
        .iter()
        .map(|block| {
            let mut bytes = Canonical::default();
            block.write(&mut bytes);
            *blake3::hash(bytes.bytes()).as_bytes()
        })
        .collect();
    let distinct: BTreeSet<Content> = contents.iter().map(|(_, content, _)| *content).collect();
    let mut ids = Ids::new(width);
    let in_words = |content: &Content| in_words(desired, regions, *content);
    let mut by_content = BTreeMap::new();
    for content in distinct {
        let id = if content == ANY {
            IdentityId::ANY
        } else {
            let mut bytes = Canonical::default();
            write(content, desired, regions, &blocks, &mut bytes);
            ids.take(IdentityId::of(bytes.bytes()), &content, in_words)?
        };
        by_content.insert(content, id);
    }
    Ok(by_content)
}

/// Any other peer.
const ANY: Content = Content::Peer {
    class: None,
    region: Regions::OUTSIDE,
};

fn write(
    content: Content,
    desired: &Desired,
    regions: &Regions,
    blocks: &[[u8; 32]],
    bytes: &mut Canonical,
) {
    let Content::Peer { class, region } = content else {
        bytes.choice(0);
        return;
    };
    bytes.choice(if class.is_none() { 1 } else { 2 });
    if let Some(class) = class {
        desired.classes[class].write(bytes);
    }
    bytes.length(regions.blocks[region].len());
    for block in regions.blocks[region].iter() {
        bytes.raw(&blocks[*block]);
    }
}

fn in_words(desired: &Desired, regions: &Regions, content: Content) -> String {
    let Content::Peer { class, region } = content else {
        return "the host's own addresses".to_owned();
    };
    let who = match class {
        None => "addresses of no container".to_owned(),
        Some(class) => seen_as(&desired.classes[class]),
    };
    let blocks: Vec<String> = regions.blocks[region]
        .iter()
        .map(|block| block_in_words(&desired.policies.blocks[*block]))
        .collect();
    match blocks.len() {
        0 => format!("{who}, in no range"),
        _ => format!("{who}, in {}", blocks.join(" and in ")),
    }
}

impl Identities {
    fn of(
        desired: &Desired,
        regions: &Regions,
        contents: &[(Cidr, Content, Owner)],
        by_content: &BTreeMap<Content, IdentityId>,
    ) -> Self {
        let mut identities = Self {
            ids: Vec::new(),
            classes: Vec::new(),
            by_class: vec![Vec::new(); desired.classes.len()],
            by_block: vec![Vec::new(); desired.policies.blocks.len()],
            addresses: addresses(contents, by_content),
        };
        for (content, id) in by_content {
            if let Content::Peer { class, region } = content
                && *id != IdentityId::ANY
            {
                identities.push(*id, *class, &regions.blocks[*region]);
            }
        }
        identities
    }

    fn push(&mut self, id: IdentityId, class: Option<usize>, blocks: &[usize]) {
        let index = self.ids.len();
        self.ids.push(id);
        self.classes.push(class);
        if let Some(class) = class {
            self.by_class[class].push(index);
        }
        for block in blocks {
            self.by_block[*block].push(index);
        }
    }
}

/// The rows that their nearest holder does not make superfluous.
fn addresses(
    contents: &[(Cidr, Content, Owner)],
    by_content: &BTreeMap<Content, IdentityId>,
) -> BTreeMap<Cidr, Address> {
    let unnamed = Address {
        identity: IdentityId::ANY,
        owner: Owner::Elsewhere,
    };
    let mut rows: Vec<(Cidr, Address)> = Vec::new();
    let mut holders: Vec<(Cidr, Address)> = Vec::new();
    for (cidr, content, owner) in contents {
        while holders
            .last()
            .is_some_and(|(holder, _)| !holder.contains(cidr))
        {
            holders.pop();
        }
        let row = Address {
            identity: by_content.get(content).copied().unwrap_or(IdentityId::ANY),
            owner: *owner,
        };
        if holders.last().map_or(unnamed, |(_, address)| *address) != row {
            holders.push((*cidr, row));
            rows.push((*cidr, row));
        }
    }
    rows.into_iter().collect()
}
