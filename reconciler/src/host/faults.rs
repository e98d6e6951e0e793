//! What of a container's network is missing or different, on the host's side and inside.

use state::live::{About, Fault, Part};
use state::target::host::{
    Attach, GATEWAY_MAC, INSIDE_NAME, INTERFACE_GROUP, Network, alias, container_mac,
};
use state::words::address::Family;
use state::words::names::FullName;

use super::links::Link;
use super::listing::Listing;
use super::network::{families, gateway};
use super::{HostError, sysctls};

/// What was found to be missing or different.
#[derive(Debug, Default)]
pub(super) struct Faults {
    pub(super) list: Vec<Fault>,
    /// Whether what is added now is inside.
    pub(super) inside: bool,
}

impl Faults {
    pub(super) fn add(&mut self, part: Part, about: About, words: impl Into<String>) {
        self.list.push(Fault {
            part,
            about,
            inside: self.inside,
            words: words.into(),
        });
    }

    pub(super) fn add_if(&mut self, wrong: bool, part: Part, about: About, words: String) {
        if wrong {
            self.add(part, about, words);
        }
    }
}

pub(super) fn loopback_faults(listing: &Listing, container: &FullName, faults: &mut Faults) {
    let mark = alias(container, &Attach::Managed);
    for lo in listing.links.iter().filter(|link| link.loopback) {
        let words = "the loopback inside is down".to_owned();
        faults.add_if(!lo.up, Part::Interface, About::All, words);
        let (words, v6) = (ipv6_off("the loopback inside"), About::Family(Family::V6));
        faults.add_if(lo.ipv6_off, Part::Ipv6, v6, words);
        let marked = lo.alias.as_deref() == Some(mark.as_str());
        let words = format!("the loopback inside has another alias than {mark}");
        faults.add_if(!marked, Part::Mark, About::All, words);
    }
}

fn ipv6_off(whose: &str) -> String {
    format!("IPv6 is switched off on {whose} (disable_ipv6)")
}

pub(super) fn inside_faults(listing: &Listing, eth: &Link, network: &Network, faults: &mut Faults) {
    let mut own = |wrong, words: String| {
        faults.add_if(wrong, Part::Interface, About::All, words);
    };
    let name = &eth.name;
    let taken = listing.links.iter().any(|link| link.name == INSIDE_NAME);
    let taken = if taken { ", which another one has" } else { "" };
    let words = format!("the interface inside is named {name}, not {INSIDE_NAME}{taken}");
    own(name != INSIDE_NAME, words);
    own(!eth.up, "the interface inside is down".to_owned());
    let words = format!("the MTU inside is {}, not {}", eth.mtu, network.mtu);
    own(eth.mtu != network.mtu, words);
    let words = "the interface inside generates IPv6 addresses".to_owned();
    own(eth.generates_addresses, words);
    let (words, v6) = (ipv6_off("the interface inside"), About::Family(Family::V6));
    faults.add_if(eth.ipv6_off, Part::Ipv6, v6, words);
    for family in families(network) {
        let gateway = gateway(family);
        let leads = listing.leads(family, None, Some(gateway), eth.index);
        let about = About::Family(family);
        let words = format!("no default {family} route inside");
        faults.add_if(!leads, Part::Route, about, words);
        let known = listing.knows(gateway, GATEWAY_MAC, eth.index);
        let words = format!("no permanent neighbour {gateway} inside");
        faults.add_if(!known, Part::Neighbour, about, words);
    }
}

/// Those of a host-side interface, and of what leads to it.
pub(super) fn host_faults(
    around: &Listing,
    container: &FullName,
    link: &Link,
    network: &Network,
    faults: &mut Faults,
) -> Result<(), HostError> {
    let (name, wanted) = (&link.name, &network.interface);
    let mut own = |wrong, words: String| {
        faults.add_if(wrong, Part::Interface, About::All, words);
    };
    own(name != wanted, format!("{wanted} is named {name}"));
    own(!link.up, format!("{name} is down"));
    own(
        link.controller.is_some(),
        format!("{name} is a port of a bridge or the like"),
    );
    let words = format!("{name} has another MAC address than {GATEWAY_MAC}");
    own(link.mac != Some(GATEWAY_MAC), words);
    let generates = link.generates_addresses;
    own(generates, format!("{name} generates IPv6 addresses"));
    let mark = alias(container, &network.attach);
    for (wrong, words) in [
        (link.alias.is_none(), format!("{name} has no alias")),
        (
            link.alias.as_ref().is_some_and(|is| *is != mark),
            format!("{name} has another alias than {mark}"),
        ),
        (
            link.group != INTERFACE_GROUP,
            format!("{name} is not in our group"),
        ),
    ] {
        faults.add_if(wrong, Part::Mark, About::All, words);
    }
    for xdp in &link.xdp {
        let words = format!("XDP program {} of others stands before ours", xdp.program);
        faults.add(Part::Xdp, About::All, words);
    }
    for &address in &network.addresses {
        let family = Family::of(address);
        let routed = around.leads(family, Some(address), None, link.index);
        let words = format!("no route to {address}");
        faults.add_if(!routed, Part::Route, About::Address(address), words);
        // Whatever whoever is root inside has given its end: this one is the host's to keep.
        let known = around.knows(address, container_mac(container), link.index);
        let words = format!("no permanent neighbour {address}");
        faults.add_if(!known, Part::Neighbour, About::Address(address), words);
    }
    for family in families(network) {
        for (path, value) in sysctls::of_interface(name, family) {
            let is = sysctls::read(&path)?.unwrap_or_default();
            let words = format!("{path} is {is}, not {value}");
            faults.add_if(is != value, Part::Sysctl, About::Family(family), words);
        }
    }
    Ok(())
}
