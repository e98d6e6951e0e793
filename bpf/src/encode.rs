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
    AddressRow, ConstantsRow, DirectionNumber, EndpointRow, OwnerNumber, PolicyRowKey, PortRowKey,
    PrefixV4, PrefixV6, header,
};
use crate::sys::{bytes_of, value_of};

/// Bits of a port row's prefix that say more than the ruleset.
const EVERYTHING: u32 = narrow(header::PL_PORT_KEY_BITS_EVERYTHING);
const PROTOCOL: u32 = narrow(header::PL_PORT_KEY_BITS_PROTOCOL);

#[expect(
    clippy::cast_possible_truncation,
    reason = "the assertion says that it fits"
)]
const fn narrow(number: u64) -> u32 {
    assert!(number <= u32::MAX as u64);
    number as u32
}

// ---- Addresses ----

/// The key of an address row, in the table of its family.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Prefix {
    V4(PrefixV4),
    V6(PrefixV6),
}

impl Prefix {
    pub(crate) fn bytes(&self) -> &[u8] {
        match self {
            Self::V4(key) => bytes_of(key),
            Self::V6(key) => bytes_of(key),
        }
    }
}

/// The key of an address row.
pub(crate) fn prefix(cidr: &Cidr) -> Prefix {
    let bits = u32::from(cidr.prefix_len());
    match cidr.network() {
        IpAddr::V4(address) => Prefix::V4(PrefixV4 {
            bits,
            address: address.octets(),
        }),
        IpAddr::V6(address) => Prefix::V6(PrefixV6 {
            bits,
            address: address.octets(),
        }),
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
    (prefix(&cidr).bytes() == bytes).then_some(cidr)
}

/// The value of an address row.
pub(crate) fn address(address: &Address) -> AddressRow {
    let (owner, endpoint) = match address.owner {
        Owner::Elsewhere => (OwnerNumber::PL_ELSEWHERE, 0),
        Owner::Host => (OwnerNumber::PL_HOST, 0),
        Owner::Endpoint(index) => (OwnerNumber::PL_LOCAL, index.0),
    };
    AddressRow {
        identity: address.identity.0,
        endpoint,
        owner: owner.0.to_le_bytes()[0],
        ..AddressRow::default()
    }
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
    (bytes_of(&address(&read)) == bytes).then_some(read)
}

// ---- Endpoints and interfaces ----

/// The key of an endpoint's row.
pub(crate) fn index(index: EndpointIndex) -> u32 {
    u32::from(index.0)
}

/// Reads the key of an endpoint's row.
pub(crate) fn read_index(bytes: &[u8]) -> Option<EndpointIndex> {
    let number: u32 = value_of(bytes)?;
    Some(EndpointIndex(u16::try_from(number).ok()?))
}

/// The value of an endpoint's row; `None` is `absent`.
pub(crate) fn endpoint(endpoint: Option<&Endpoint>) -> EndpointRow {
    let row = endpoint.map(|endpoint| EndpointRow {
        subject: endpoint.subject.0,
        ifindex: endpoint.ifindex.unwrap_or_default(),
        mac: endpoint.mac.0,
        present: 1,
        tap: u8::from(endpoint.tap),
        ..EndpointRow::default()
    });
    row.unwrap_or_default()
}

/// Reads the value of an endpoint's row: `Some(None)` is `absent`.
pub(crate) fn read_endpoint(bytes: &[u8]) -> Option<Option<Endpoint>> {
    let row: EndpointRow = value_of(bytes)?;
    let read = (row.present != 0).then(|| Endpoint {
        ifindex: (row.ifindex != 0).then_some(row.ifindex),
        mac: Mac(row.mac),
        subject: SubjectId(row.subject),
        tap: row.tap != 0,
    });
    (bytes_of(&endpoint(read.as_ref())) == bytes).then_some(read)
}

/// Rows of the interface table, which follow from the endpoints'.
pub(crate) fn interfaces<'a>(
    endpoints: impl IntoIterator<Item = (&'a EndpointIndex, &'a Endpoint)>,
) -> BTreeMap<u32, u32> {
    let rows = endpoints.into_iter().filter_map(|(at, endpoint)| {
        let ifindex = endpoint.ifindex.filter(|ifindex| *ifindex != 0)?;
        Some((ifindex, index(*at)))
    });
    rows.collect()
}

// ---- Policy ----

/// The key of a policy row.
pub(crate) fn policy_key(key: &PolicyKey) -> PolicyRowKey {
    let direction = match key.direction {
        Direction::Ingress => DirectionNumber::PL_INGRESS,
        Direction::Egress => DirectionNumber::PL_EGRESS,
    };
    PolicyRowKey {
        subject: key.subject.0,
        identity: key.identity.0,
        direction: direction.0,
        unused: 0,
    }
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
    (bytes_of(&policy_key(&read)) == bytes).then_some(read)
}

/// The value of a policy row.
pub(crate) fn ruleset(ruleset: RulesetId) -> u64 {
    ruleset.0
}

/// Reads the value of a policy row.
pub(crate) fn read_ruleset(bytes: &[u8]) -> Option<RulesetId> {
    value_of(bytes).map(RulesetId)
}

// ---- Rulesets ----

/// The key of a row of a ruleset.
pub(crate) fn port_key(key: &PortKey) -> PortRowKey {
    let ruleset = key.ruleset.0.to_le_bytes();
    match key.ports {
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
    }
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
    (bytes_of(&port_key(&read)) == bytes).then_some(read)
}

/// A port without the bits that do not count.
fn leading(port: u16, bits: u8) -> u16 {
    let dropped = 16_u32.saturating_sub(u32::from(bits));
    port.checked_shr(dropped)
        .unwrap_or(0)
        .checked_shl(dropped)
        .unwrap_or(0)
}

/// The value of a row of a ruleset.
pub(crate) fn rule(rule: RuleId) -> u64 {
    rule.0
}

/// Reads the value of a row of a ruleset.
pub(crate) fn read_rule(bytes: &[u8]) -> Option<RuleId> {
    value_of(bytes).map(RuleId)
}

// ---- Constants ----

/// A container's constants as its programs hold them.
pub(crate) fn constants(constants: &Constants) -> ConstantsRow {
    ConstantsRow {
        v6: constants
            .v6
            .map(|address| address.octets())
            .unwrap_or_default(),
        v4: constants
            .v4
            .map(|address| address.octets())
            .unwrap_or_default(),
        mac: constants.mac.0,
        gateway_mac: constants.gateway_mac.0,
        endpoint: constants.endpoint.0,
        has_v4: u8::from(constants.v4.is_some()),
        has_v6: u8::from(constants.v6.is_some()),
        theirs: u8::from(constants.theirs),
        passes: u8::from(constants.passes),
        tap: u8::from(constants.tap),
        unused: 0,
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
        theirs: row.theirs != 0,
        passes: row.passes != 0,
        tap: row.tap != 0,
    };
    (bytes_of(&constants(&read)) == bytes_of(row)).then_some(read)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cidrs() -> impl Strategy<Value = Cidr> {
        let v4 = (any::<[u8; 4]>(), 0_u8..=32).prop_map(|(a, bits)| (IpAddr::from(a), bits));
        let v6 = (any::<[u8; 16]>(), 0_u8..=128).prop_map(|(a, bits)| (IpAddr::from(a), bits));
        prop_oneof![v4, v6].prop_map(|(a, bits)| Cidr::new(a, bits).unwrap().trunc())
    }

    fn owners() -> impl Strategy<Value = Owner> {
        prop_oneof![
            Just(Owner::Elsewhere),
            Just(Owner::Host),
            any::<u16>().prop_map(|index| Owner::Endpoint(EndpointIndex(index))),
        ]
    }

    fn endpoints() -> impl Strategy<Value = Endpoint> {
        (
            proptest::option::of(1..=u32::MAX),
            any::<[u8; 6]>(),
            any::<u64>(),
            any::<bool>(),
        )
            .prop_map(|(ifindex, mac, subject, tap)| Endpoint {
                ifindex,
                mac: Mac(mac),
                subject: SubjectId(subject),
                tap,
            })
    }

    fn ports() -> impl Strategy<Value = PortPrefix> {
        let some = (any::<u8>(), any::<u16>(), 0_u8..=16).prop_map(|(protocol, port, bits)| {
            PortPrefix::Ports {
                protocol,
                port: leading(port, bits),
                bits,
            }
        });
        prop_oneof![1 => Just(PortPrefix::Everything), 9 => some]
    }

    proptest! {
        #[test]
        fn addresses_go_there_and_back(cidr in cidrs(), id in any::<u64>(), owner in owners()) {
            prop_assert_eq!(read_prefix(prefix(&cidr).bytes()), Some(cidr));
            let row = Address { identity: IdentityId(id), owner };
            prop_assert_eq!(read_address(bytes_of(&address(&row))), Some(row));
        }

        #[test]
        fn endpoints_go_there_and_back(at in any::<u16>(), row in endpoints()) {
            let key = index(EndpointIndex(at));
            prop_assert_eq!(read_index(bytes_of(&key)), Some(EndpointIndex(at)));
            prop_assert_eq!(read_endpoint(bytes_of(&endpoint(Some(&row)))), Some(Some(row)));
        }

        #[test]
        fn policy_goes_there_and_back(
            subject in any::<u64>(), identity in any::<u64>(), egress in any::<bool>(),
            set in any::<u64>(),
        ) {
            let key = PolicyKey {
                subject: SubjectId(subject),
                direction: Direction::ALL[usize::from(egress)],
                identity: IdentityId(identity),
            };
            prop_assert_eq!(read_policy_key(bytes_of(&policy_key(&key))), Some(key));
            prop_assert_eq!(read_ruleset(bytes_of(&ruleset(RulesetId(set)))), Some(RulesetId(set)));
        }

        #[test]
        fn rulesets_go_there_and_back(set in any::<u64>(), ports in ports(), id in any::<u64>()) {
            let key = PortKey { ruleset: RulesetId(set), ports };
            prop_assert_eq!(read_port_key(bytes_of(&port_key(&key))), Some(key));
            prop_assert_eq!(read_rule(bytes_of(&rule(RuleId(id)))), Some(RuleId(id)));
        }

        #[test]
        fn constants_go_there_and_back(
            at in any::<u16>(), v4 in any::<Option<[u8; 4]>>(), v6 in any::<Option<[u8; 16]>>(),
            mac in any::<[u8; 6]>(), gateway in any::<[u8; 6]>(),
            [theirs, passes, tap] in any::<[bool; 3]>(),
        ) {
            let own = Constants {
                endpoint: EndpointIndex(at),
                v4: v4.map(Ipv4Addr::from),
                v6: v6.map(Ipv6Addr::from),
                mac: Mac(mac),
                gateway_mac: Mac(gateway),
                theirs,
                passes,
                tap,
            };
            prop_assert_eq!(read_constants(&constants(&own)), Some(own));
        }

        /// Whatever bytes are read as a row are the bytes that the row is written as.
        #[test]
        fn no_two_byte_strings_are_one_row(bytes in proptest::collection::vec(any::<u8>(), 0..32)) {
            if let Some(row) = read_prefix(&bytes) {
                prop_assert!(prefix(&row).bytes() == &bytes[..]);
            }
            if let Some(row) = read_address(&bytes) {
                prop_assert!(bytes_of(&address(&row)) == &bytes[..]);
            }
            if let Some(row) = read_endpoint(&bytes) {
                prop_assert!(bytes_of(&endpoint(row.as_ref())) == &bytes[..]);
            }
            if let Some(row) = read_port_key(&bytes) {
                prop_assert!(bytes_of(&port_key(&row)) == &bytes[..]);
            }
            if let Some(row) = read_policy_key(&bytes) {
                prop_assert!(bytes_of(&policy_key(&row)) == &bytes[..]);
            }
        }
    }

    #[test]
    fn absent_is_zeroes() {
        assert_eq!(bytes_of(&endpoint(None)), [0; 24]);
        assert_eq!(read_endpoint(&[0; 24]), Some(None));
        let mut junk = [0; 24];
        junk[8] = 1;
        assert_eq!(read_endpoint(&junk), None, "an interface of nobody");
    }

    #[test]
    fn a_prefix_has_no_bits_beyond_its_length() {
        let cidr = Cidr::new(IpAddr::from([10, 0, 0, 1]), 24).unwrap();
        assert_eq!(read_prefix(prefix(&cidr).bytes()), Some(cidr.trunc()));
        assert_eq!(read_prefix(&[24, 0, 0, 0, 10, 0, 0, 1]), None);
    }
}
