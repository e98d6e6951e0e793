//! The places where traffic is measured: a client, a server, and what stands between them.
//!
//! In every place the two have the same addresses, so that filters, policies and the client's
//! command line are the same. All places of a run stand side by side, each in network namespaces of
//! its own (Plumbline's on hosts of their own), and go with the process.

mod wires;
mod filters;
mod plumbline;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use rig::host::Host;
use rig::lab::Lab;
use rig::netns::Netns;

use crate::matrix::{Family, Kind, Setup};

pub(crate) use plumbline::{Revisions, SERVER_NAME, reconcile, revisions};

/// The server's address in each family.
pub(crate) const SERVER: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(10, 44, 0, 1)),
    IpAddr::V6(Ipv6Addr::new(0xfd44, 0, 0, 0, 0, 0, 0, 1)),
];
/// The client's.
pub(crate) const CLIENT: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(10, 44, 0, 2)),
    IpAddr::V6(Ipv6Addr::new(0xfd44, 0, 0, 0, 0, 0, 0, 2)),
];
/// The port at which the server answers, below every port of another policy and every client's own.
pub(crate) const PORT: u16 = 5000;

/// A setup that stands.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) setup: Setup,
    pub(crate) client: Netns,
    pub(crate) server: Netns,
    /// What stands between them: it goes when nobody holds it.
    pub(crate) middle: Option<Netns>,
    /// The host that Plumbline polices, with the tree it was made from.
    pub(crate) host: Option<Host>,
    /// How long it took for the policies to be in force, by the tool's own command.
    pub(crate) made: Option<Duration>,
}

impl Place {
    /// Makes a setup.
    ///
    /// # Errors
    /// Where a tool did not load its policies in the time that it has.
    pub(crate) fn make(lab: &Lab, setup: Setup) -> Result<Self, String> {
        let place = match setup.kind {
            Kind::Direct => wires::direct(setup),
            Kind::Bridge => wires::bridge(setup),
            Kind::Routed => wires::routed(setup),
            Kind::NftRules | Kind::NftMap | Kind::IptablesNft => filters::filtered(setup)?,
            Kind::Plumbline | Kind::Fleet => plumbline::policed(lab, setup)?,
        };
        // Connections that were closed a moment ago must not use up the client's ports.
        place.client.sysctl("ipv4/tcp_tw_reuse", "1");
        place
            .client
            .sysctl("ipv4/ip_local_port_range", "10000 65535");
        Ok(place)
    }

    /// Where its server answers.
    pub(crate) fn server_at(family: Family) -> SocketAddr {
        SocketAddr::new(SERVER[family.index()], PORT)
    }
}

/// What makes a setup, by the tools' own words: a name, and the text for two policies in IPv4.
pub(crate) fn commands(setups: &[Setup]) -> Vec<(String, String)> {
    let mut kinds: Vec<Kind> = setups.iter().map(|setup| setup.kind).collect();
    kinds.dedup();
    let shown = kinds.into_iter().filter_map(|kind| {
        let setup = Setup::of(kind, 2);
        let text = match kind {
            Kind::Direct | Kind::Bridge | Kind::Routed | Kind::Fleet => return None,
            Kind::Plumbline => format!("reconcile -C tree\n{}", plumbline::shown(setup)),
            _ => filters::shown(setup),
        };
        Some((kind.words().to_owned(), text))
    });
    shown.collect()
}

/// A policy as every tool is to have it: who may come in at which port. The server is selected by
/// all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Allowed {
    pub(crate) peers: [IpAddr; 2],
    pub(crate) port: u16,
}

/// So many policies with a peer and a port each. The last one allows the client: a list is searched
/// to its end.
pub(crate) fn allowed(policies: usize) -> impl Iterator<Item = Allowed> {
    (1..=policies).map(move |number| match number == policies {
        true => Allowed {
            peers: CLIENT,
            port: PORT,
        },
        false => Allowed::other(number),
    })
}

impl Allowed {
    /// One for somebody who never comes.
    pub(crate) fn other(number: usize) -> Self {
        let number = u32::try_from(number).unwrap_or(u32::MAX);
        let v4 = u32::from(Ipv4Addr::new(10, 64, 0, 0)) + number;
        let v6 = u128::from(Ipv6Addr::new(0xfd64, 0, 0, 0, 0, 0, 0, 0)) + u128::from(number);
        let port = u16::try_from(10_000 + number % 50_000).unwrap_or(u16::MAX);
        Self {
            peers: [IpAddr::V4(v4.into()), IpAddr::V6(v6.into())],
            port,
        }
    }
}

/// How long something takes.
fn timed<T>(what: impl FnOnce() -> T) -> (T, Duration) {
    let began = Instant::now();
    let done = what();
    (done, began.elapsed())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_policy_is_the_clients_and_no_two_are_alike() {
        let all: Vec<Allowed> = allowed(60_000).collect();
        assert_eq!(all.len(), 60_000);
        assert_eq!((all[59_999].peers, all[59_999].port), (CLIENT, PORT));
        let mut peers: Vec<[IpAddr; 2]> = all.iter().map(|one| one.peers).collect();
        peers.sort_unstable();
        peers.dedup();
        assert_eq!(peers.len(), 60_000);
        assert_eq!(all.iter().filter(|one| one.port == PORT).count(), 1);
        assert_eq!(allowed(0).count(), 0);
    }
}
