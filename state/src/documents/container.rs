//! `plumbline.dev/v1alpha1 Container`.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::addresses::container_address;
use super::codes;
use super::fields::{Context, Fields};
use super::metadata::{Metadata, checked};
use super::ports;
use super::yaml::{Node, Spot, shown};
use crate::words::address::{Family, Mac};
use crate::words::labels::Labels;
use crate::words::names::{FullName, HostName};
use crate::words::place::Place;
use crate::words::ports::{NamedPort, PortName, Protocol};
use crate::words::problem::Problem;

/// A workload: its labels and addresses, its host, and how to find it there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container {
    /// Where its document begins.
    pub place: Place,
    /// Namespace and name.
    pub name: FullName,
    /// Its labels.
    pub labels: Labels,
    /// `spec.host`; `None` means every host.
    pub host: Option<HostName>,
    /// `spec.addresses`: one for each family at most, one at least, each with its place.
    pub addresses: Vec<(IpAddr, Place)>,
    /// `spec.ports`.
    pub ports: Vec<NamedPort>,
    /// `spec.connections`: quota of established TCP connections.
    pub connections: u32,
    /// `spec.attach`.
    pub attach: Attach,
}

impl Container {
    /// The quota of a container that names none.
    pub const CONNECTIONS_DEFAULT: u32 = 8_192;
    /// The smallest quota that may be asked for.
    pub const CONNECTIONS_LEAST: u32 = 64;
    /// The largest quota that may be asked for.
    pub const CONNECTIONS_MOST: u32 = 1 << 20;
}

/// How a container is found on its host.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Attach {
    /// `netns: {}`: we create `/run/netns/<namespace>.<name>`, its veth pair and routes.
    #[default]
    Managed,
    /// `netns: {path}`: somebody's network namespace, in which we create the veth pair.
    Namespace(String),
    /// `interface`: somebody's host-side interface, to which we attach programs only.
    Interface {
        /// Its name.
        name: String,
        /// The container's MAC address, where it is not that of the pair's other end.
        mac: Option<Mac>,
    },
}

/// `IFNAMSIZ` of linux/if.h, less the zero that ends a name.
const INTERFACE_NAME_MOST: usize = 15;

/// Reads `spec`.
pub(super) fn parse(
    mut fields: Fields<'_, '_>,
    metadata: &Metadata,
    context: &mut Context<'_>,
) -> Option<Container> {
    let spot = fields.spot();
    let spec = fields.required("spec", context);
    fields.finish(context);
    let name = metadata.object_name(context).map(|(name, _)| name);
    let mut fields = Fields::of(spec?, "spec", context)?;
    let host = fields.take("host");
    let addresses_node = fields.required("addresses", context);
    let ports_node = fields.take("ports");
    let connections = fields.take("connections");
    let attach = fields.take("attach");
    fields.finish(context);
    let host = host.and_then(|node| {
        let text = context.text(node, "host")?;
        checked(HostName::new(text), "host", text, node.spot, context)
    });
    let addresses = addresses_node.map(|node| addresses(node, context));
    let ports = ports_node.map(|node| named_ports(node, context));
    let connections = connections.and_then(|node| quota(node, context));
    let attach = attach.map_or(Some(Attach::Managed), |node| self::attach(node, context));
    Some(Container {
        place: context.place(spot),
        name: FullName {
            namespace: metadata.namespace.clone()?,
            name: name?,
        },
        labels: metadata.labels.clone(),
        host,
        addresses: addresses?,
        ports: ports.unwrap_or_default(),
        connections: connections.unwrap_or(Container::CONNECTIONS_DEFAULT),
        attach: attach.unwrap_or_default(),
    })
}

/// Reads `addresses`: at least one, and at most one of each family.
fn addresses(node: &Node<'_>, context: &mut Context<'_>) -> Vec<(IpAddr, Place)> {
    let mut addresses: Vec<(IpAddr, Place)> = Vec::new();
    let Some(items) = context.list(node, "addresses") else {
        return addresses;
    };
    if items.is_empty() {
        let help = "write one IPv4 or IPv6 address, or one of each";
        context.error_with(node.spot, codes::BAD_ADDRESS, "no address is given", help);
    }
    for item in items {
        let Some(text) = context.text(item, "an address") else {
            continue;
        };
        let address = match container_address(text) {
            Ok(address) => address,
            Err(error) => {
                let message = format!("{} {}", shown(text), error.message);
                context.error_with(item.spot, codes::BAD_ADDRESS, message, error.help);
                continue;
            }
        };
        let family = Family::of(address);
        let place = context.place(item.spot);
        match addresses.iter().find(|(a, _)| Family::of(*a) == family) {
            None => addresses.push((address, place)),
            Some((_, first)) => {
                let message = format!("a second {family} address");
                let problem = Problem::error(place, codes::BAD_ADDRESS, message)
                    .help("a container has at most one of each family")
                    .related(first.clone());
                context.problems.push(problem);
            }
        }
    }
    addresses
}

/// Reads `ports`: a name may stand once for each protocol.
fn named_ports(node: &Node<'_>, context: &mut Context<'_>) -> Vec<NamedPort> {
    let mut ports = Vec::new();
    let mut seen: BTreeMap<(PortName, Protocol), Spot> = BTreeMap::new();
    for item in context.list(node, "ports").unwrap_or_default() {
        let Some(port) = named_port(item, context) else {
            continue;
        };
        match seen.get(&(port.name.clone(), port.protocol)) {
            Some(first) => {
                let message = format!("a second {} port {}", port.protocol, shown(&port.name));
                let place = context.place(item.spot);
                let problem = Problem::error(place, codes::DUPLICATE_PORT, message)
                    .help("give it another name")
                    .related(context.place(*first));
                context.problems.push(problem);
            }
            None => {
                seen.insert((port.name.clone(), port.protocol), item.spot);
                ports.push(port);
            }
        }
    }
    ports
}

fn named_port(node: &Node<'_>, context: &mut Context<'_>) -> Option<NamedPort> {
    let mut fields = Fields::of(node, "an item of ports", context)?;
    let name = fields.required("name", context);
    let number = fields.required("port", context);
    let protocol = fields.take("protocol");
    fields.finish(context);
    let name = name.and_then(|node| ports::name(node, context));
    let number = number.and_then(|node| ports::number(node, "port", context));
    let protocol = protocol.map_or(Some(Protocol::Tcp), |node| ports::protocol(node, context));
    Some(NamedPort {
        name: name?,
        port: number?,
        protocol: protocol?,
    })
}

fn quota(node: &Node<'_>, context: &mut Context<'_>) -> Option<u32> {
    const LEAST: u32 = Container::CONNECTIONS_LEAST;
    const MOST: u32 = Container::CONNECTIONS_MOST;
    let number = context.integer(node, "connections")?;
    match u32::try_from(number) {
        Ok(number) if (LEAST..=MOST).contains(&number) => Some(number),
        _ => {
            let message = format!("connections must be from {LEAST} to {MOST}");
            context.error(node.spot, codes::OUT_OF_RANGE, message);
            None
        }
    }
}

/// Reads `attach`. The other ways are known, so that they can be told from typing errors.
fn attach(node: &Node<'_>, context: &mut Context<'_>) -> Option<Attach> {
    let before = context.problems.errors();
    let mut fields = Fields::of(node, "attach", context)?;
    let netns = fields.take("netns");
    let interface = fields.take("interface");
    for later in ["docker", "podman", "cgroup"] {
        fields.later(later, context);
    }
    fields.finish(context);
    if let (Some(_), Some(second)) = (netns, interface) {
        let says = "attach says netns and interface: a container is found in one way";
        context.error(second.spot, codes::BAD_ATTACHMENT, says);
    }
    let netns = netns.and_then(|node| namespace(node, context));
    let interface = interface.and_then(|node| self::interface(node, context));
    let attach = netns.or(interface).unwrap_or_default();
    (context.problems.errors() == before).then_some(attach)
}

/// Reads `netns`. A path is a name for something outside of the tree, so only its form is looked
/// at.
fn namespace(node: &Node<'_>, context: &mut Context<'_>) -> Option<Attach> {
    let mut fields = Fields::of(node, "attach.netns", context)?;
    let path = fields.take("path");
    fields.finish(context);
    let Some(node) = path else {
        return Some(Attach::Managed);
    };
    let text = context.text(node, "path")?;
    let plain = |part: &str| !matches!(part, "" | "." | "..");
    let parts = text.strip_prefix('/');
    let plain = parts.is_some_and(|parts| parts.split('/').all(plain));
    if !plain || text.contains(|c: char| c.is_whitespace() || c.is_control()) {
        let says = format!("{} is no absolute path in its plain form", shown(text));
        let help = "such as /run/netns/mine or /proc/4711/ns/net, without '..' and spaces";
        context.error_with(node.spot, codes::BAD_ATTACHMENT, says, help);
        return None;
    }
    Some(Attach::Namespace(text.to_owned()))
}

fn interface(node: &Node<'_>, context: &mut Context<'_>) -> Option<Attach> {
    let mut fields = Fields::of(node, "attach.interface", context)?;
    let name = fields.required("name", context);
    let mac = fields.take("mac");
    fields.finish(context);
    let name = name.and_then(|node| {
        let text = context.text(node, "name")?;
        let forbidden = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '/' | ':');
        if matches!(text, "" | "." | "..")
            || text.len() > INTERFACE_NAME_MOST
            || text.contains(forbidden)
        {
            let says = format!("{} is no interface's name", shown(text));
            let help = "1 to 15 characters without '/', ':' and spaces";
            context.error_with(node.spot, codes::BAD_ATTACHMENT, says, help);
            return None;
        }
        Some(text.to_owned())
    });
    let mac = mac.and_then(|node| {
        let text = context.text(node, "mac")?;
        let mac = text.parse().ok().filter(|mac: &Mac| mac.is_unicast());
        if mac.is_none() {
            let says = format!("{} is no MAC address of one interface", shown(text));
            let help = "six pairs of hexadecimal digits, such as 02:00:5e:10:00:01";
            context.error_with(node.spot, codes::BAD_ATTACHMENT, says, help);
        }
        mac
    });
    name.map(|name| Attach::Interface { name, mac })
}
