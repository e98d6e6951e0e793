//! Which interfaces are a container's: the two ends of its pair, found by what marks them and by
//! where they lead, for whoever is root on the host or in a namespace may change names and aliases.

use state::target::host::{INSIDE_NAME, INTERFACE_GROUP, from_alias, interface_name};
use state::words::address::Mac;
use state::words::names::FullName;

use super::links::Link;

/// Whether a host-side interface is this container's: its alias says so, or it has none yet and
/// has our group beside the name that only this container's has.
pub(super) fn is_interface_of(link: &Link, container: &FullName) -> bool {
    match &link.alias {
        Some(text) => from_alias(text).is_some_and(|(name, _)| name == *container),
        None => link.group == INTERFACE_GROUP,
    }
}

/// Whether an interface of the host bears a mark of ours.
pub(super) fn is_marked(link: &Link) -> bool {
    let alias = link.alias.as_deref();
    alias.and_then(from_alias).is_some() || link.group == INTERFACE_GROUP
}

/// The host-side end of the pair that leads into a container's namespace, and the other one. Where
/// it leads tells whose it is, not what it is named: two of ours may have changed their names or
/// aliases. In a namespace of others one of both says so as well.
pub(super) fn ends_of<'h, 'i>(
    container: &FullName,
    managed: bool,
    links: &'h [Link],
    (inside, number): (&'i [Link], Option<i32>),
) -> Option<(&'h Link, &'i Link)> {
    let names = |link: &Link| {
        let marked = link.alias.as_deref().and_then(from_alias);
        let named = link.name == interface_name(container);
        (marked.is_some_and(|(name, _)| name == *container), named)
    };
    let says = |link: &Link| match managed {
        true => is_marked(link) || names(link).1,
        false => is_marked(link) && names(link) != (false, false),
    };
    let pairs = links
        .iter()
        .filter_map(|link| Some((link, other_end(link, inside, number)?)))
        .filter(|(link, _)| says(link));
    pairs.max_by_key(|(link, _)| names(link))
}

/// The other end of a pair among the interfaces of a namespace, which has this number.
pub(super) fn other_end<'a>(
    host: &Link,
    links: &'a [Link],
    number: Option<i32>,
) -> Option<&'a Link> {
    links.iter().find(|link| are_pair(host, link, number))
}

/// The inside end of a pair of ours whose host-side end is on the host no more: somebody has moved
/// that to another namespace. Known by its name and its MAC address, which is made from the
/// container's.
pub(super) fn half_of<'a>(
    mac: Mac,
    host: &[Link],
    (inside, number): (&'a [Link], Option<i32>),
) -> Option<&'a Link> {
    inside.iter().find(|half| {
        let ours = half.veth && half.name == INSIDE_NAME && half.mac == Some(mac);
        ours && host.iter().all(|link| !are_pair(link, half, number))
    })
}

/// Whether each of two interfaces, as its own namespace lists it, names the other's index, and the
/// host's the number of the namespace, too: many pairs may have the same two indices.
pub(super) fn are_pair(host: &Link, inside: &Link, number: Option<i32>) -> bool {
    let veths = host.veth && inside.veth;
    let there = host.peer_namespace.is_some() && host.peer_namespace == number;
    veths && there && inside.peer == Some(host.index) && host.peer == Some(inside.index)
}
