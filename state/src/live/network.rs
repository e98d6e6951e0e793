//! A container's network as it was found: what of it is missing or different, part by part.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

use crate::target::host::Network;
use crate::words::address::Family;

/// A network, as read back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveNetwork {
    /// Index of the host-side interface; `None` where there is none that leads into the namespace,
    /// so that a new one will be made.
    pub ifindex: Option<u32>,
    /// What was found, in the words of the target. Equal to the target's where nothing is missing.
    pub network: Network,
    /// What is missing or different; empty where all is well. Addresses, MAC address, MTU and
    /// `resolv.conf` are compared with the target's later.
    pub faults: Vec<Fault>,
    /// Addresses for which routes or neighbours of ours are on the host-side interface.
    pub reached: BTreeSet<IpAddr>,
    /// Whether there is a `resolv.conf` of ours for it, current or not.
    pub resolv_conf: bool,
}

/// Something of a network that is missing or different.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What is missing or different.
    pub part: Part,
    /// What of it is concerned.
    pub about: About,
    /// Whether it is inside the container's namespace, where others may be root.
    pub inside: bool,
    /// In words ("no default IPv6 route").
    pub words: String,
}

/// A part of a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// Its namespace.
    Namespace,
    /// The name of its namespace.
    Name,
    /// An end of its pair.
    Interface,
    /// What tells that it is ours.
    Mark,
    /// An XDP program of others on it.
    Xdp,
    /// An address inside.
    Address,
    /// A route, on either side.
    Route,
    /// A neighbour, on either side.
    Neighbour,
    /// IPv6 as a whole, inside.
    Ipv6,
    /// A sysctl of its interface.
    Sysctl,
    /// Its `resolv.conf`.
    Resolver,
}

/// What of a network a fault concerns. One that has an address too much is not at fault for what
/// that address lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum About {
    /// All of it.
    All,
    /// Its addresses of a family.
    Family(Family),
    /// One address.
    Address(IpAddr),
}

impl Fault {
    /// Whether it concerns a network that is as it is to be.
    pub fn concerns(&self, network: &Network) -> bool {
        let addresses = &network.addresses;
        match self.about {
            About::All => true,
            About::Family(family) => addresses.iter().any(|a| Family::of(*a) == family),
            About::Address(address) => addresses.contains(&address),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words)
    }
}
