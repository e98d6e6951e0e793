//! A scene: a lab whose tree has been applied, and everybody who has a part in it.
//!
//! The parties of the lines (see [`crate::probe`]) are the containers by `namespace/name`, each
//! host by its name, and `outside`. Each listens at the ports that some line asks it for.
//!
//! Silence is believed only where the datapath says that it was the cause: as many packets as met
//! silence must have been counted as denied by policy.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::host::Host;
use crate::lab::Lab;
use crate::netns::Netns;
use crate::probe::{Cast, ports_in};
use crate::traffic::Protocol;
use crate::tree::Container;

/// Everybody who has a part in a lab.
#[derive(Debug)]
pub struct Scene<'a> {
    lab: &'a Lab,
    ports: BTreeMap<String, BTreeSet<(Protocol, u16)>>,
    /// Who may be asked and ask.
    pub cast: Cast,
}

impl<'a> Scene<'a> {
    /// The hosts of the lab and `outside`, for the lines that will be expected.
    ///
    /// # Panics
    /// Where a line cannot be read.
    #[track_caller]
    pub fn new(lab: &'a Lab, lines: &str) -> Self {
        let mut scene = Self {
            lab,
            ports: ports_in(lines),
            cast: Cast::new(),
        };
        scene.enter("outside", &lab.outside(), &lab.addresses(&lab.outside()));
        for host in lab.hosts() {
            scene.enter(host.name(), host.net(), &lab.addresses(host.net()));
        }
        scene
    }

    /// Gives somebody a part.
    ///
    /// # Panics
    /// Where an address is not the namespace's.
    #[track_caller]
    pub fn enter(&mut self, name: &str, net: &Netns, addresses: &[IpAddr]) {
        let ports = self.ports.get(name).into_iter().flatten().copied();
        self.cast
            .add(name, net, addresses, &ports.collect::<Vec<_>>());
    }

    /// Gives the containers of a host their parts; the host must have them.
    ///
    /// # Panics
    /// Where it does not.
    #[track_caller]
    pub fn enter_containers(&mut self, host: &Host, containers: &[Container]) {
        for container in containers {
            self.enter(
                &container.name,
                &host.container(&container.name),
                &container.addresses,
            );
        }
    }

    /// Asks what the lines expect.
    ///
    /// # Panics
    /// Where anything is not as expected, or silence has another cause than a denial.
    #[track_caller]
    pub fn expect(&self, lines: &str) {
        let before = self.denied();
        let silent = self.cast.expect(lines);
        let denied = self.denied() - before;
        let silent = u64::try_from(silent).expect("a count");
        assert!(
            denied >= silent,
            "{silent} met silence, and {denied} packets were denied:\n{lines}"
        );
    }

    /// How many packets the hosts of the lab have denied by policy.
    fn denied(&self) -> u64 {
        self.lab
            .hosts()
            .iter()
            .map(|host| self.lab.drops(host).denied())
            .sum()
    }
}
