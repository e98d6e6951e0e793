//! What of others containers are attached to: their namespaces and interfaces, as found, or why
//! nothing can be attached there. Nothing of it is ever changed from here.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::AsFd;

use state::live::{About, Fault, LiveNetwork, Part};
use state::target::Attachment;
use state::target::host::{Attach, INSIDE_NAME, Network, from_alias};
use state::words::address::{Family, Mac};
use state::words::names::FullName;

use super::inside::Inside;
use super::links::{self, Link};
use super::routes::{self, Route};
use super::{Host, HostError, NamespaceError, namespaces, qdiscs};

/// What containers that are not managed are attached to, as the tree says.
pub type Wanted = BTreeMap<FullName, Attach>;

/// Namespaces of others, opened, by container.
pub(super) type Theirs = BTreeMap<FullName, Inside>;

/// What was found of one kind.
#[derive(Default)]
pub(super) struct Found {
    /// What a target needs to know.
    pub(super) attachments: BTreeMap<FullName, Attachment>,
    /// Interfaces of others, as networks.
    pub(super) networks: BTreeMap<FullName, LiveNetwork>,
}

impl Host {
    /// Opens the namespaces of others. `marked` is what aliases of ours say, for who has no tree.
    pub(super) fn theirs(
        &self,
        wanted: &Wanted,
        marked: &Wanted,
        managed: &BTreeMap<FullName, Inside>,
        found: &mut Found,
    ) -> Result<Theirs, HostError> {
        let mut used = BTreeMap::from([(id(&namespaces::own())?, "the host's own".to_owned())]);
        for (name, inside) in managed {
            used.insert(id(&Ok(&inside.descriptor))?, format!("that of {name}"));
        }
        let mut theirs = Theirs::new();
        let all: BTreeSet<&FullName> = marked.keys().chain(wanted.keys()).collect();
        for name in all {
            let Some(Attach::Namespace(path)) = wanted.get(name).or_else(|| marked.get(name))
            else {
                continue;
            };
            let opened = self.look_into(path).and_then(|inside| {
                let id = id(&Ok(&inside.descriptor)).map_err(|e| e.to_string())?;
                match used.insert(id, format!("that of {name}")) {
                    Some(whose) => Err(format!("{path} is {whose}")),
                    None => Ok(inside),
                }
            });
            let attachment = match opened {
                Ok(inside) => {
                    theirs.insert(name.clone(), inside);
                    Attachment::Namespace
                }
                Err(why) => Attachment::Missing(why),
            };
            found.attachments.insert(name.clone(), attachment);
        }
        Ok(theirs)
    }

    /// Looks for the interfaces of others: by the names that the tree says, or where programs of
    /// containers are attached.
    pub(super) fn interfaces_of_others(
        &self,
        (links, routes): (&[Link], &[Route]),
        wanted: &Wanted,
        attached: &BTreeMap<FullName, u32>,
        found: &mut Found,
    ) -> Result<(), HostError> {
        for (name, index) in attached {
            let link = links.iter().find(|link| link.index == *index);
            if let Some(link) = link.filter(|link| marked(link).is_none()) {
                let network = network(link, link.mac);
                found.networks.insert(name.clone(), network);
            }
        }
        let asked = |attach: &Attach| matches!(attach, Attach::Interface { .. });
        let qdiscs = match wanted.values().any(asked) {
            true => qdiscs::in_the_way(&self.netlink)?,
            false => BTreeMap::new(),
        };
        for (name, attach) in wanted {
            let Attach::Interface {
                name: interface,
                mac: said,
            } = attach
            else {
                continue;
            };
            let attachment = match self.interface(links, routes, interface, *said)? {
                Err(why) => Attachment::Missing(why),
                Ok((link, _)) if qdiscs.contains_key(&link.index) => Attachment::Missing(format!(
                    "{interface} has {}: delete it, with its filters, and put them on one of kind \
                     clsact that is its own (tc qdisc)",
                    qdiscs[&link.index]
                )),
                Ok((link, mac)) => {
                    let network = network(link, Some(mac));
                    found.networks.insert(name.clone(), network);
                    let gateway_mac = link.mac.unwrap_or(Mac([0; 6]));
                    Attachment::Interface {
                        mac,
                        gateway_mac,
                        tap: link.tun,
                    }
                }
            };
            found.attachments.insert(name.clone(), attachment);
        }
        Ok(())
    }

    /// An interface that programs can be attached to, and the MAC address behind it: as the tree
    /// says, or that of the other end.
    fn interface<'a>(
        &self,
        links: &'a [Link],
        routes: &[Route],
        name: &str,
        said: Option<Mac>,
    ) -> Result<Result<(&'a Link, Mac), String>, HostError> {
        let Some(link) = links.iter().find(|link| link.name == name) else {
            return Ok(Err(format!("there is no interface {name}")));
        };
        if let Some(why) = unfit(links, link).or_else(|| uplink(routes, link)) {
            return Ok(Err(why));
        }
        if let Some(mac) = said {
            return Ok(Ok((link, mac)));
        }
        if link.tun {
            return Ok(Err(format!(
                "{name} is a tap, which does not tell the MAC address behind it: say it in \
                 attach.interface.mac"
            )));
        }
        let peer = links::peer(&self.netlink, link)?;
        let mac = peer.and_then(|peer| peer.mac);
        Ok(mac
            .map(|mac| (link, mac))
            .ok_or_else(|| format!("the other end of {name} cannot be looked at")))
    }
}

/// Why no programs of a container can be attached to an interface, if that is so.
fn unfit(links: &[Link], link: &Link) -> Option<String> {
    let name = &link.name;
    let named = |index: u32| {
        let found = links.iter().find(|other| other.index == index);
        found.map_or_else(|| index.to_string(), |other| other.name.clone())
    };
    let stands_on = |other: &&Link| {
        !other.veth && other.peer == Some(link.index) && other.peer_namespace.is_none()
    };
    if let Some(container) = marked(link) {
        Some(format!("{name} is the interface of {container}"))
    } else if !link.veth && !link.tun {
        Some(format!(
            "{name} is neither an end of a veth pair nor a tap: others are not served"
        ))
    } else if !link.ethernet {
        Some(format!(
            "{name} carries no Ethernet frames: of tun devices those in tap mode are served"
        ))
    } else if let Some(index) = link.controller {
        let controller = named(index);
        Some(format!(
            "{name} is a port of {controller}, which hands frames on without asking the host: \
             take it out of {controller}"
        ))
    } else if let Some(link) = links.iter().find(stands_on) {
        let other = &link.name;
        Some(match link.vlan {
            true => format!("{other} stands on {name}: what is tagged is judged by nobody"),
            false => {
                format!("{other} stands on {name}: what is its would be judged as the container's")
            }
        })
    } else if link.veth && link.peer_namespace.is_none() {
        Some(format!(
            "the other end of {name} is in the host's own network namespace"
        ))
    } else {
        None
    }
}

/// Whether the host reaches others by an interface: they would be taken for the container, and what
/// they send dropped as spoofed.
fn uplink(routes: &[Route], link: &Link) -> Option<String> {
    let name = &link.name;
    let mut own = routes.iter().filter(|route| route.out == Some(link.index));
    let beyond = own.find(|route| route.prefix == 0 || route.gateway.is_some())?;
    let family = beyond.family;
    Some(match (beyond.prefix, beyond.gateway) {
        (0, _) => format!("{name} is an uplink: the host has a default {family} route out of it"),
        (_, gateway) => format!(
            "{name} is an uplink: the host has a route by {} out of it",
            gateway.map_or_else(String::new, |gateway| gateway.to_string())
        ),
    })
}

fn marked(link: &Link) -> Option<FullName> {
    let (name, _) = link.alias.as_deref().and_then(from_alias)?;
    Some(name)
}

/// An interface of others as a network. Nothing of it is ours to mend, and what stands before our
/// programs is told.
fn network(link: &Link, mac: Option<Mac>) -> LiveNetwork {
    LiveNetwork {
        ifindex: Some(link.index),
        network: Network {
            attach: Attach::Interface {
                name: link.name.clone(),
                mac: None,
            },
            namespace: String::new(),
            interface: link.name.clone(),
            mac: mac.unwrap_or(Mac([0; 6])),
            addresses: Vec::new(),
            mtu: link.mtu,
            resolv_conf: false,
        },
        faults: link
            .xdp
            .iter()
            .map(|xdp| Fault {
                part: Part::Xdp,
                about: About::All,
                inside: false,
                words: format!("XDP program {} of others stands before ours", xdp.program),
            })
            .collect(),
        reached: BTreeSet::new(),
        resolv_conf: false,
    }
}

/// What is in the way inside a namespace of others, if anything is beside these interfaces there.
pub(super) fn in_the_way(
    path: &str,
    inside: &Inside,
    ours: &BTreeSet<u32>,
) -> Result<Option<String>, HostError> {
    let named = links::find(&inside.netlink, INSIDE_NAME)?;
    if named.is_some_and(|link| !ours.contains(&link.index) || link.name != INSIDE_NAME) {
        return Ok(Some(format!(
            "{path} has an interface {INSIDE_NAME} that is not ours"
        )));
    }
    let found = routes::list(&inside.netlink)?;
    for family in Family::ALL {
        let mut defaults = found.iter().filter(|route| {
            route.family == family && route.prefix == 0 && route.table != routes::LOCAL_TABLE
        });
        if defaults.any(|route| route.out.is_some_and(|out| !ours.contains(&out))) {
            return Ok(Some(format!(
                "{path} has a default {family} route that is not ours"
            )));
        }
    }
    Ok(None)
}

fn id<D: AsFd>(descriptor: &std::io::Result<D>) -> Result<(u64, u64), HostError> {
    let failed = |cause: &std::io::Error| {
        HostError::Namespace(NamespaceError::Theirs(format!(
            "a network namespace cannot be looked at: {cause}"
        )))
    };
    let descriptor = descriptor.as_ref().map_err(failed)?;
    namespaces::id(descriptor.as_fd()).map_err(|cause| failed(&cause))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(index: u32, name: &str) -> Link {
        Link {
            index,
            name: name.to_owned(),
            ethernet: true,
            ..Link::default()
        }
    }

    #[test]
    fn where_not_all_that_passes_would_be_judged_nothing_is_attached() {
        let pair = Link {
            veth: true,
            peer: Some(2),
            peer_namespace: Some(0),
            ..link(7, "theirs0")
        };
        let tap = Link {
            tun: true,
            ..link(7, "theirs0")
        };
        let vlan = Link {
            vlan: true,
            peer: Some(7),
            ..link(8, "theirs0.5")
        };
        // The same number, but of another namespace's interface.
        let elsewhere = Link {
            peer_namespace: Some(1),
            ..vlan.clone()
        };
        for own in [pair, tap] {
            let why = |own: &Link, other: &Link| unfit(&[own.clone(), other.clone()], own);
            assert_eq!(why(&own, &elsewhere), None);
            let stands = why(&own, &vlan).unwrap_or_default();
            let says = "theirs0.5 stands on theirs0: what is tagged";
            assert!(stands.starts_with(says), "{stands}");
            let other = Link {
                vlan: false,
                ..vlan.clone()
            };
            let stands = why(&own, &other).unwrap_or_default();
            assert!(stands.contains("as the container's"), "{stands}");
            let port = Link {
                controller: Some(9),
                ..own.clone()
            };
            let port = why(&port, &link(9, "br0")).unwrap_or_default();
            assert!(port.starts_with("theirs0 is a port of br0"), "{port}");
            let ours = Link {
                alias: Some("plumbline:shop/web".to_owned()),
                ..own
            };
            let ours = why(&ours, &elsewhere).unwrap_or_default();
            assert_eq!(ours, "theirs0 is the interface of shop/web");
        }
        let plain = unfit(&[], &link(7, "eth0")).unwrap_or_default();
        assert!(
            plain.contains("neither an end of a veth pair nor a tap"),
            "{plain}"
        );
    }
}
