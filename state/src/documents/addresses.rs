//! Addresses and ranges as documents write them.
//!
//! Stricter than Go's parser, which Kubernetes uses: no leading zeros (some readers take them for
//! octal), no zones, and no IPv4 in IPv6 (it would name an IPv4 address in the family that carries
//! no IPv4 packets).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::words::address::{Cidr, Family};

/// Why a text is no address or range, as the end of a sentence that begins with the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct AddressError {
    /// What is wrong.
    pub(super) message: String,
    /// What to do.
    pub(super) help: String,
}

fn refused<T>(message: impl Into<String>, help: impl Into<String>) -> Result<T, AddressError> {
    Err(AddressError {
        message: message.into(),
        help: help.into(),
    })
}

/// A range, and whether its address had no bits beyond its prefix length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Written {
    /// The range, truncated.
    pub(super) range: Cidr,
    /// Nothing had to be truncated.
    pub(super) exact: bool,
}

/// Reads a range.
pub(super) fn cidr(text: &str) -> Result<Written, AddressError> {
    const FORM: &str = "write an address, '/' and a prefix length, such as 10.0.0.0/8";
    let Some((address, length)) = text.split_once('/') else {
        return match text.parse::<IpAddr>() {
            Ok(address) => {
                let bits = Family::of(address).bits();
                refused("has no prefix length", format!("write {address}/{bits}"))
            }
            Err(_) => refused("is no address range", FORM),
        };
    };
    let Ok(address) = address.parse::<IpAddr>() else {
        return refused("is no address range", FORM);
    };
    if is_mapped(address) {
        return refused("is IPv4 within IPv6", "write it as IPv4");
    }
    let bits = Family::of(address).bits();
    let canonical = length == "0" || !length.starts_with(['0', '+']);
    match length.parse::<u8>() {
        Ok(length) if canonical && length <= bits => match Cidr::new(address, length) {
            Ok(range) => Ok(Written {
                range: range.trunc(),
                exact: range.trunc() == range,
            }),
            Err(_) => refused("is no address range", FORM),
        },
        _ => refused(
            "has a prefix length that is none",
            format!("it is a number from 0 to {bits}"),
        ),
    }
}

fn is_mapped(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some())
}

/// Reads the address of a container.
pub(super) fn container_address(text: &str) -> Result<IpAddr, AddressError> {
    let Ok(address) = text.parse::<IpAddr>() else {
        return match text.split_once('/') {
            Some((address, _)) if address.parse::<IpAddr>().is_ok() => {
                refused("has a prefix length", format!("write {address}"))
            }
            _ => refused("is no address", "write an IPv4 or IPv6 address"),
        };
    };
    let what = match address {
        IpAddr::V4(v4) => special_v4(v4),
        IpAddr::V6(v6) => special_v6(v6),
    };
    match what {
        Some(what) => refused(
            format!("is {what}, and no container can have it"),
            "give it an address that can be routed to",
        ),
        None => Ok(address),
    }
}

/// IPv4 addresses that are no one host's (RFC 6890).
fn special_v4(address: Ipv4Addr) -> Option<&'static str> {
    match address.octets() {
        [0, ..] => Some("of this network (0.0.0.0/8)"),
        [127, ..] => Some("a loopback address"),
        [169, 254, ..] => Some("a link-local address"),
        [224..=239, ..] => Some("a multicast address"),
        [255, 255, 255, 255] => Some("the broadcast address"),
        _ => None,
    }
}

/// IPv6 addresses that are no one host's (RFC 4291).
fn special_v6(address: Ipv6Addr) -> Option<&'static str> {
    if address.is_unspecified() {
        Some("the unspecified address")
    } else if address.is_loopback() {
        Some("the loopback address")
    } else if address.is_multicast() {
        Some("a multicast address")
    } else if address.is_unicast_link_local() {
        Some("a link-local address")
    } else if address.to_ipv4_mapped().is_some() {
        Some("IPv4 within IPv6")
    } else {
        None
    }
}
