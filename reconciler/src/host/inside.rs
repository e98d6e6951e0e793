//! Network namespaces of containers, with a socket in each: ours by their marks and by where pairs
//! lead, and those of others by their paths.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, OwnedFd};

use state::target::host::{
    Attach, Network, alias, from_alias, is_namespace_number, namespace_numbers,
};
use state::words::names::FullName;

use super::links::{self, Link, Setting, set};
use super::netlink::{Netlink, NetlinkError};
use super::ownership::NotOurs;
use super::pairs::other_end;
use super::{Host, HostError, NamespaceError, namespaces, processes};

/// A namespace that a pair of ours leads into, and a socket in it.
pub(super) struct Inside {
    pub(super) descriptor: OwnedFd,
    pub(super) netlink: Netlink,
    pub(super) links: Vec<Link>,
    /// Whether it has its name below `/run/netns`, or its path.
    pub(super) named: bool,
    /// The number that the host has for it. None before a pair leads there.
    pub(super) number: Option<i32>,
}

impl Host {
    /// The namespace of a network that was made, if it is there.
    pub(super) fn inside_of(
        &self,
        container: &FullName,
        network: &Network,
    ) -> Result<Option<Inside>, HostError> {
        match &network.attach {
            Attach::Managed => self.open_namespace(container, &network.namespace),
            Attach::Namespace(path) => self.open_theirs(path).map(Some),
            Attach::Interface { .. } => Ok(None),
        }
    }

    /// Somebody else's namespace.
    pub(super) fn open_theirs(&self, path: &str) -> Result<Inside, HostError> {
        let opened = self.look_into(path);
        Ok(opened.map_err(NamespaceError::Theirs)?)
    }

    /// The same, or why there is none, in words.
    pub(super) fn look_into(&self, path: &str) -> Result<Inside, String> {
        let found = self.look_inside(namespaces::open_theirs(path, self.mounts)?);
        found.map_err(|error| match error.is_of_another_kind() {
            true => namespaces::no_network(path),
            false => error.to_string(),
        })
    }

    pub(super) fn look_inside(&self, descriptor: OwnedFd) -> Result<Inside, NetlinkError> {
        let netlink = Netlink::inside(descriptor.as_fd())?;
        let links = links::list(&netlink)?;
        let number = links::number_of(&self.netlink, descriptor.as_fd())?;
        Ok(Inside {
            descriptor,
            netlink,
            links,
            named: true,
            number,
        })
    }

    /// The namespace of a name, if there is one and it is this container's: by the number that the
    /// host gave it, or by the pair of ours that leads there. The mark inside is for whoever reads
    /// it, and is anybody's to set who is root there.
    pub(super) fn open_namespace(
        &self,
        container: &FullName,
        name: &str,
    ) -> Result<Option<Inside>, HostError> {
        let Some(descriptor) = namespaces::open(name, self.mounts)? else {
            return Ok(None);
        };
        let inside = match self.look_inside(descriptor) {
            Err(error) if error.is_of_another_kind() => {
                let path = namespaces::path(name);
                return Err(NotOurs::NamespaceFile { path }.into());
            }
            looked => looked?,
        };
        let mark = alias(container, &Attach::Managed);
        let marked = |link: &Link| link.alias.as_deref() == Some(mark.as_str());
        let numbers = namespace_numbers(container);
        if inside
            .number
            .is_some_and(|number| numbers.contains(&number))
        {
            return Ok(Some(inside));
        }
        let links = links::list(&self.netlink)?;
        let mut own = links.iter().filter(|link| marked(link));
        match own.any(|link| other_end(link, &inside.links, inside.number).is_some()) {
            true => Ok(Some(inside)),
            false => {
                let name = name.to_owned();
                Err(NotOurs::Namespace { name }.into())
            }
        }
    }

    /// The namespace of a container, and whether it was made and is empty. `is_new`: no interface
    /// of the host leads into one of its.
    pub(super) fn ensure_namespace(
        &self,
        container: &FullName,
        name: &str,
        is_new: bool,
    ) -> Result<(Inside, bool), HostError> {
        let mut made = false;
        let inside = match self.open_namespace(container, name)? {
            Some(inside) => inside,
            None => match self.nameless_of(container, is_new)? {
                Some(inside) => {
                    namespaces::bind(name, inside.descriptor.as_fd(), self.mounts)?;
                    inside
                }
                None => {
                    made = true;
                    self.create_namespace(container, name)?
                }
            },
        };
        mark_loopback(container, &inside)?;
        for lo in inside.links.iter().filter(|l| l.loopback && !l.up) {
            let up = set(lo.index, &lo.name, Setting::Up(true));
            inside.netlink.change(up)?;
        }
        Ok((inside, made && is_new))
    }

    fn nameless_of(&self, container: &FullName, is_new: bool) -> Result<Option<Inside>, HostError> {
        if is_new {
            return Ok(None);
        }
        let mut found = self.nameless(&[container], &links::list(&self.netlink)?)?;
        Ok(found.remove(container))
    }

    /// Namespaces of ours that somebody has taken the name from: threads are in them still, and
    /// pairs of ours lead there. Whose one is, says its number; by an alias, which may be another
    /// pair's, it is known where it has none of ours.
    pub(super) fn nameless(
        &self,
        containers: &[&FullName],
        links: &[Link],
    ) -> Result<BTreeMap<FullName, Inside>, HostError> {
        let mut found = BTreeMap::new();
        let own = containers.iter().filter_map(|name| {
            let mark = alias(name, &Attach::Managed);
            let numbers = namespace_numbers(name);
            let numbered = |link: &&Link| {
                let number = link.peer_namespace;
                number.is_some_and(|number| numbers.contains(&number) && !is_another_s(link, name))
            };
            let marked = |link: &&Link| {
                let other = link.peer_namespace.is_none_or(is_namespace_number);
                !other && link.alias.as_deref() == Some(mark.as_str())
            };
            let mut all = links.iter();
            let link = all.find(numbered).or_else(|| links.iter().find(marked))?;
            Some(((*name).clone(), link))
        });
        let own: Vec<(FullName, &Link)> = own.collect();
        if own.is_empty() {
            return Ok(found);
        }
        for descriptor in processes::namespaces().map_err(HostError::Processes)? {
            let number = links::number_of(&self.netlink, descriptor.as_fd())?;
            let leads = |(_, link): &&(FullName, &Link)| link.peer_namespace == number;
            let Some((name, link)) = own.iter().find(leads) else {
                continue;
            };
            let inside = self.look_inside(descriptor)?;
            if other_end(link, &inside.links, inside.number).is_some() {
                let inside = Inside {
                    named: false,
                    ..inside
                };
                found.insert(name.clone(), inside);
            }
        }
        Ok(found)
    }

    fn create_namespace(&self, container: &FullName, name: &str) -> Result<Inside, HostError> {
        let descriptor = namespaces::create(name)?;
        let netlink = Netlink::inside(descriptor.as_fd())?;
        for lo in links::list(&netlink)?.iter().filter(|l| l.loopback) {
            let mark = alias(container, &Attach::Managed);
            netlink.change(set(lo.index, &lo.name, Setting::Alias(&mark)))?;
            netlink.change(set(lo.index, &lo.name, Setting::Up(true)))?;
        }
        // Others may have some: of former ones in which somebody lives on.
        for number in namespace_numbers(container) {
            if links::give_number(&self.netlink, descriptor.as_fd(), number)? {
                break;
            }
        }
        namespaces::bind(name, descriptor.as_fd(), self.mounts)?;
        Ok(self.look_inside(descriptor)?)
    }
}

/// Whether a pair's alias says another container than this one, and where it leads does not say
/// otherwise: two names may have a number in common.
fn is_another_s(link: &Link, name: &FullName) -> bool {
    let whose = link.alias.as_deref().and_then(from_alias);
    let Some((whose, Attach::Managed)) = whose.filter(|(whose, _)| whose != name) else {
        return false;
    };
    let number = link.peer_namespace;
    number.is_some_and(|number| namespace_numbers(&whose).contains(&number))
}

/// Marks a namespace of ours, which somebody inside may have undone.
fn mark_loopback(container: &FullName, inside: &Inside) -> Result<(), NetlinkError> {
    let mark = alias(container, &Attach::Managed);
    let unmarked = |lo: &&Link| lo.loopback && lo.alias.as_deref() != Some(mark.as_str());
    for lo in inside.links.iter().filter(unmarked) {
        let marked = set(lo.index, &lo.name, Setting::Alias(&mark));
        inside.netlink.change(marked)?;
    }
    Ok(())
}
