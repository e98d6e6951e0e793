//! What a container's programs hold as constants. Nothing of policy is here: that is in the tables.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::host::{GATEWAY_MAC, container_mac};
use super::located::Attachment;
use super::tables::EndpointIndex;
use crate::desired::{Attach, Container};
use crate::words::address::Mac;
use crate::words::canonical::Canonical;

/// The constants of one container.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Constants {
    /// Its endpoint index.
    pub endpoint: EndpointIndex,
    /// Its IPv4 address, if it has one.
    pub v4: Option<Ipv4Addr>,
    /// Its IPv6 address, if it has one.
    pub v6: Option<Ipv6Addr>,
    /// The MAC address of its own interface.
    pub mac: Mac,
    /// The MAC address of the host-side interface.
    pub gateway_mac: Mac,
    /// Whether that is somebody else's: host and container ask for each other's MAC address.
    pub theirs: bool,
    /// Whether it carries traffic that is not, or no more, ours to judge: all of it passes.
    pub passes: bool,
    /// Whether it is a tap.
    pub tap: bool,
}

impl Constants {
    /// Those of a container, on the interface that was found for it.
    pub fn of(container: &Container, endpoint: EndpointIndex, found: Option<&Attachment>) -> Self {
        let mut constants = Self {
            endpoint,
            v4: None,
            v6: None,
            mac: container_mac(&container.name),
            gateway_mac: GATEWAY_MAC,
            theirs: false,
            passes: false,
            tap: false,
        };
        if let (
            Attach::Interface { .. },
            Some(Attachment::Interface {
                mac,
                gateway_mac,
                tap,
            }),
        ) = (&container.attach, found)
        {
            constants.theirs = true;
            constants.mac = *mac;
            constants.gateway_mac = *gateway_mac;
            constants.tap = *tap;
        }
        for address in &container.addresses {
            match address {
                IpAddr::V4(v4) => constants.v4 = Some(*v4),
                IpAddr::V6(v6) => constants.v6 = Some(*v6),
            }
        }
        constants
    }

    /// The same for packets of a slot that does not know the container, on an interface that
    /// carries traffic without us.
    pub fn passing(self) -> Self {
        Self {
            passes: true,
            ..self
        }
    }

    /// Its addresses, IPv4 first.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> + use<> {
        [self.v4.map(IpAddr::from), self.v6.map(IpAddr::from)]
            .into_iter()
            .flatten()
    }

    /// Their content.
    pub fn write(&self, bytes: &mut Canonical) {
        bytes.number(self.endpoint.0.into());
        let addresses = [self.v4.map(IpAddr::from), self.v6.map(IpAddr::from)];
        for address in addresses {
            match address {
                None => bytes.choice(0),
                Some(address) => bytes.choice(1).address(address),
            };
        }
        bytes.raw(&self.mac.0).raw(&self.gateway_mac.0);
        bytes.choice(u8::from(self.theirs));
        bytes.choice(u8::from(self.passes));
        bytes.choice(u8::from(self.tap));
    }
}
