//! The addresses that are no container's, cut wherever a table of either tree cuts them.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::words::address::{Cidr, Family};

/// A prefix, less what stands apart within it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Range {
    /// The prefix.
    pub cidr: Cidr,
    /// Prefixes within it that belong elsewhere. Containers' addresses are left out here.
    pub except: Vec<Cidr>,
}

/// One piece of the cut: a prefix less all longer ones of the cut.
pub(super) struct Piece {
    pub(super) cidr: Cidr,
    /// The longer prefixes directly below it.
    pub(super) below: Vec<Cidr>,
    /// An address of the piece.
    pub(super) sample: IpAddr,
}

/// Cuts both families by prefixes. A piece of which nothing is left is left out.
pub(super) fn cut(prefixes: impl Iterator<Item = Cidr>) -> Vec<Piece> {
    let whole = Family::ALL.map(whole);
    let mut below: BTreeMap<Cidr, Vec<Cidr>> = prefixes
        .chain(whole)
        .map(|cidr| (cidr, Vec::new()))
        .collect();
    let sorted: Vec<Cidr> = below.keys().copied().collect();
    let mut holders: Vec<Cidr> = Vec::new();
    for cidr in sorted {
        while holders.last().is_some_and(|holder| !holder.contains(&cidr)) {
            holders.pop();
        }
        if let Some(list) = holders.last().and_then(|holder| below.get_mut(holder)) {
            list.push(cidr);
        }
        holders.push(cidr);
    }
    below
        .into_iter()
        .filter_map(|(cidr, below)| {
            let sample = outside(cidr, &below)?;
            Some(Piece {
                cidr,
                below,
                sample,
            })
        })
        .collect()
}

/// Every address of a family.
pub(super) fn whole(family: Family) -> Cidr {
    let zero: IpAddr = match family {
        Family::V4 => std::net::Ipv4Addr::UNSPECIFIED.into(),
        Family::V6 => std::net::Ipv6Addr::UNSPECIFIED.into(),
    };
    let mut cidr = Cidr::from(zero);
    while let Some(wider) = cidr.supernet() {
        cidr = wider;
    }
    cidr
}

/// The first address of a prefix that none of the ascending prefixes within it holds.
fn outside(cidr: Cidr, within: &[Cidr]) -> Option<IpAddr> {
    let mut next = Some(cidr.network());
    for hole in within {
        let candidate = next?;
        if candidate < hole.network() {
            break;
        }
        if hole.contains(&candidate) {
            next = after(hole.broadcast());
        }
    }
    next.filter(|address| cidr.contains(address))
}

fn after(address: IpAddr) -> Option<IpAddr> {
    match address {
        IpAddr::V4(address) => u32::from(address)
            .checked_add(1)
            .map(|next| std::net::Ipv4Addr::from(next).into()),
        IpAddr::V6(address) => u128::from(address)
            .checked_add(1)
            .map(|next| std::net::Ipv6Addr::from(next).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_of_which_nothing_is_left_is_left_out() {
        let prefixes = [
            "10.0.0.0/8",
            "10.0.0.0/9",
            "10.128.0.0/9",
            "10.0.0.0/32",
            "255.255.255.255/32",
            "fd00::/8",
        ];
        let cut = cut(prefixes.iter().map(|p| p.parse().unwrap()));
        let shown: Vec<String> = cut
            .iter()
            .map(|piece| format!("{} at {}", piece.cidr, piece.sample))
            .collect();
        assert_eq!(
            shown,
            [
                "0.0.0.0/0 at 0.0.0.0",
                "10.0.0.0/9 at 10.0.0.1",
                "10.0.0.0/32 at 10.0.0.0",
                "10.128.0.0/9 at 10.128.0.0",
                "255.255.255.255/32 at 255.255.255.255",
                "::/0 at ::",
                "fd00::/8 at fd00::",
            ]
        );
    }
}
