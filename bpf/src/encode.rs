//! Rows of the target's tables and the kernel's bytes: both directions, side by side.
//!
//! Decoding is strict: a row is read only if encoding what it says gives the same bytes again.
//! Whatever else stands in a table was not written by us, and is told instead of read over.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use state::target::constants::Constants;
use state::target::tables::{
    Address, Endpoint, EndpointIndex, Owner, PolicyKey, PortKey, PortPrefix,
};
use state::words::address::{Cidr, Mac};
use state::words::identity::{IdentityId, RuleId, RulesetId, SubjectId};
use state::words::verdict::Direction;

use crate::abi::{
    AddressRow, ConstantsRow, DirectionNumber, EndpointRow, OwnerNumber, PolicyRowKey,
    PortRowKey, PrefixV4, PrefixV6, header,
};
use crate::sys::{bytes_of, value_of};

/// Bits of a port row's prefix that say more than the ruleset.
const EVERYTHING: u32 = narrow(header::PL_PORT_KEY_BITS_EVERYTHING);
const PROTOCOL: u32 = narrow(header::PL_PORT_KEY_BITS_PROTOCOL);

#[expect(clippy::cast_possible_truncation, reason = "the assertion says that it fits")]
const fn narrow(number: u64) -> u32 {
    assert!(number <= u32::MAX as u64);
    number as u32
}

// ---- Addresses ----

/// The key of an address row, in the table of its family.
pub(crate) fn prefix(cidr: &Cidr) -> Vec<u8> {
    let bits = u32::from(cidr.prefix_len());
    match cidr.network() {
        IpAddr::V4(address) => bytes_of(&PrefixV4 {
            bits,
            address: address.octets(),
        })
        .to_vec(),
        IpAddr::V6(address) => bytes_of(&PrefixV6 {
            bits,
            address: address.octets(),
        })
        .to_vec(),
    }
}

/// Reads the key of an address row.
pub(crate) fn read_prefix(bytes: &[u8]) -> Option<Cidr> {
    let (address, bits) = if let Some(key) = value_of::<PrefixV4>(bytes) {
        (IpAddr::V4(Ipv4Addr::from(key.address)), key.bits)
    } else {
        let key = value_of::<PrefixV6>(bytes)?;
        (IpAddr::V6(Ipv6Addr::from(key.address)), key.bits)
    };
    let cidr = Cidr::new(address, u8::try_from(bits).ok()?).ok()?;
    (prefix(&cidr) == bytes).then_some(cidr)
}

/// The value of an address row.
pub(crate) fn address(address: &Address) -> Vec<u8> {
    let (owner, endpoint) = match address.owner {
        Owner::Elsewhere => (OwnerNumber::PL_ELSEWHERE, 0),
        Owner::Host => (OwnerNumber::PL_HOST, 0),
        Owner::Endpoint(index) => (OwnerNumber::PL_LOCAL, index.0),
    };
    let row = AddressRow {
        identity: address.identity.0,
        endpoint,
        owner: owner.0.to_le_bytes()[0],
        ..AddressRow::default()
    };
    bytes_of(&row).to_vec()
}

/// Reads the value of an address row.
pub(crate) fn read_address(bytes: &[u8]) -> Option<Address> {
    let row: AddressRow = value_of(bytes)?;
    let owner = match OwnerNumber(u32::from(row.owner)) {
        OwnerNumber::PL_ELSEWHERE => Owner::Elsewhere,
        OwnerNumber::PL_HOST => Owner::Host,
        OwnerNumber::PL_LOCAL => Owner::Endpoint(EndpointIndex(row.endpoint)),
        _ => return None,
    };
    let read = Address {
        identity: IdentityId(row.identity),
        owner,
    };
    (address(&read) == bytes).then_some(read)
}

// ---- Endpoints and interfaces ----

/// The key of an endpoint's row.
pub(crate) fn index(index: EndpointIndex) -> Vec<u8> {
    u32::from(index.0).to_ne_bytes().to_vec()
}

/// Reads the key of an endpoint's row.
pub(crate) fn read_index(bytes: &[u8]) -> Option<EndpointIndex> {
    let number: u32 = value_of(bytes)?;
    Some(EndpointIndex(u16::try_from(number).ok()?))
}

/// The value of an endpoint's row; `None` is `absent`.
pub(crate) fn endpoint(endpoint: Option<&Endpoint>) -> Vec<u8> {
    let row = endpoint.map(|endpoint| EndpointRow {
        subject: endpoint.subject.0,
        ifindex: endpoint.ifindex.unwrap_or_default(),
        mac: endpoint.mac.0,
        present: 1,
        ..EndpointRow::default()
    });
    bytes_of(&row.unwrap_or_default()).to_vec()
}

/// Reads the value of an endpoint's row: `Some(None)` is `absent`.
pub(crate) fn read_endpoint(bytes: &[u8]) -> Option<Option<Endpoint>> {
    let row: EndpointRow = value_of(bytes)?;
    let read = (row.present != 0).then(|| Endpoint {
        ifindex: (row.ifindex != 0).then_some(row.ifindex),
        mac: Mac(row.mac),
        subject: SubjectId(row.subject),
    });
    (endpoint(read.as_ref()) == bytes).then_some(read)
}

/// Rows of the interface table, which follow from the endpoints'.
pub(crate) fn interfaces<'a>(
    endpoints: impl IntoIterator<Item = (&'a EndpointIndex, &'a Endpoint)>,
) -> BTreeMap<u32, u32> {
    let rows = endpoints.into_iter().filter_map(|(index, endpoint)| {
        let ifindex = endpoint.ifindex.filter(|ifindex| *ifindex != 0)?;
        Some((ifindex, u32::from(index.0)))
    });
    rows.collect()
}

// ---- Policy ----

/// The key of a policy row.
pub(crate) fn policy_key(key: &PolicyKey) -> Vec<u8> {
    let direction = match key.direction {
        Direction::Ingress => DirectionNumber::PL_INGRESS,
        Direction::Egress => DirectionNumber::PL_EGRESS,
    };
    let row = PolicyRowKey {
        subject: key.subject.0,
        identity: key.identity.0,
        direction: direction.0,
        unused: 0,
    };
    bytes_of(&row).to_vec()
}

/// Reads the key of a policy row.
pub(crate) fn read_policy_key(bytes: &[u8]) -> Option<PolicyKey> {
    let row: PolicyRowKey = value_of(bytes)?;
    let direction = match DirectionNumber(row.direction) {
        DirectionNumber::PL_INGRESS => Direction::Ingress,
        DirectionNumber::PL_EGRESS => Direction::Egress,
        _ => return None,
    };
    let read = PolicyKey {
        subject: SubjectId(row.subject),
        direction,
        identity: IdentityId(row.identity),
    };
    (policy_key(&read) == bytes).then_some(read)
}

/// The value of a policy row.
pub(crate) fn ruleset(ruleset: RulesetId) -> Vec<u8> {
    bytes_of(&ruleset.0).to_vec()
}

/// Reads the value of a policy row.
pub(crate) fn read_ruleset(bytes: &[u8]) -> Option<RulesetId> {
    value_of(bytes).map(RulesetId)
}

// ---- Rulesets ----

/// The key of a row of a ruleset.
pub(crate) fn port_key(key: &PortKey) -> Vec<u8> {
    let ruleset = key.ruleset.0.to_le_bytes();
    let row = match key.ports {
        PortPrefix::Everything => PortRowKey {
            bits: EVERYTHING,
            ruleset,
            ..PortRowKey::default()
        },
        PortPrefix::Ports {
            protocol,
            port,
            bits,
        } => PortRowKey {
            bits: PROTOCOL + u32::from(bits),
            ruleset,
            protocol,
            port: leading(port, bits).to_be_bytes(),
            unused: 0,
        },
    };
    bytes_of(&row).to_vec()
}

/// Reads the key of a row of a ruleset.
pub(crate) fn read_port_key(bytes: &[u8]) -> Option<PortKey> {
    let row: PortRowKey = value_of(bytes)?;
    let ports = if row.bits == EVERYTHING {
        PortPrefix::Everything
    } else {
        let bits = u8::try_from(row.bits.checked_sub(PROTOCOL)?).ok()?;
        PortPrefix::Ports {
            protocol: row.protocol,
            port: u16::from_be_bytes(row.port),
            bits: (bits <= 16).then_some(bits)?,
        }
    };
    let read = PortKey {
        ruleset: RulesetId(u64::from_le_bytes(row.ruleset)),
        ports,
    };
    (port_key(&read) == bytes).then_some(read)
}

/// A port without the bits that do not count.
fn leading(port: u16, bits: u8) -> u16 {
    let dropped = 16_u32.saturating_sub(u32::from(bits));
    port.checked_shr(dropped).unwrap_or(0).checked_shl(dropped).unwrap_or(0)
}

/// The value of a row of a ruleset.
pub(crate) fn rule(rule: RuleId) -> Vec<u8> {
    bytes_of(&rule.0).to_vec()
}

/// Reads the value of a row of a ruleset.
pub(crate) fn read_rule(bytes: &[u8]) -> Option<RuleId> {
    value_of(bytes).map(RuleId)
}

// ---- Constants ----

/// A container's constants as its programs hold them.
pub(crate) fn constants(constants: &Constants) -> ConstantsRow {
    ConstantsRow {
        v6: constants.v6.map(|address| address.octets()).unwrap_or_default(),
        v4: constants.v4.map(|address| address.octets()).unwrap_or_default(),
        mac: constants.mac.0,
        gateway_mac: constants.gateway_mac.0,
        endpoint: constants.endpoint.0,
        has_v4: u8::from(constants.v4.is_some()),
        has_v6: u8::from(constants.v6.is_some()),
    }
}

/// Reads constants back.
pub(crate) fn read_constants(row: &ConstantsRow) -> Option<Constants> {
    let read = Constants {
        endpoint: EndpointIndex(row.endpoint),
        v4: (row.has_v4 != 0).then(|| Ipv4Addr::from(row.v4)),
        v6: (row.has_v6 != 0).then(|| Ipv6Addr::from(row.v6)),
        mac: Mac(row.mac),
        gateway_mac: Mac(row.gateway_mac),
    };
    (bytes_of(&constants(&read)) == bytes_of(row)).then_some(read)
}
