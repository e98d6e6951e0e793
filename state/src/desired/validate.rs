//! What only the whole tree can tell.
//!
//! Errors: an address that is the gateway's, a name too long to name a network namespace, two
//! containers attached to one interface or namespace, more selectors than can be asked. (How many
//! containers fit depends on the datapath: see `target::capacity`.) Warnings: a selector that
//! selects nobody, a named port that nobody has; both are legal and usually a slip of the pen.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::ops::Bound;

use super::attachments;
use super::{Attach, Block, Desired, Group, Peer, Policy, Port, PortNumber, Rule, Scope, Subject};
use crate::documents::{self, codes};
use crate::words::address::{GATEWAY_V4, GATEWAY_V6};
use crate::words::names::{ALIAS_MARK, NamespaceName};
use crate::words::place::Place;
use crate::words::ports::{NamedPort, PortName, Protocol};
use crate::words::problem::{Problem, Problems};
use crate::words::verdict::Direction;

/// The longest alias of an interface (`IFALIASZ` of linux/if.h, with the zero that ends it) less
/// our mark in front of `<namespace>/<name>`. As `<namespace>.<name>`, of the same length, it is a
/// file name too, which may be longer (`NAME_MAX`).
const DOTTED_NAME_MOST: usize = 255 - ALIAS_MARK.len();

/// A container has the gateway's address.
const GATEWAY_ADDRESS: &str = "gateway-address";
/// Namespace and name together are longer than an interface can be marked with.
const NAME_TOO_LONG: &str = "name-too-long";
/// A selector, of a policy or of a peer, selects no container.
const SELECTS_NOBODY: &str = "selector-selects-nobody";
/// No destination has a port of that name.
const NAMED_PORT_NOBODY: &str = "named-port-nobody";

/// The codes of what is found here, each explained in docs/troubleshooting.md.
pub const CODES: &[&str] = &[
    GATEWAY_ADDRESS,
    NAME_TOO_LONG,
    attachments::TWICE,
    SELECTS_NOBODY,
    NAMED_PORT_NOBODY,
];

/// Where the selectors are `exhausted`, nobody knows whom they select, and that is an error.
pub(super) fn problems(
    desired: &Desired,
    documents: &[documents::Container],
    exhausted: bool,
) -> Problems {
    let mut problems = Problems::default();
    for container in documents {
        check_name(container, &mut problems);
        check_addresses(container, &mut problems);
    }
    attachments::check(documents, &mut problems);
    if exhausted {
        problems.push(too_many_selectors());
        return problems;
    }
    let tree = WholeTree::of(desired);
    for (index, policy) in desired.policies.list.iter().enumerate() {
        if tree.selected[index].is_empty() {
            problems.push(tree.selects_nobody(policy));
        }
        for direction in Direction::ALL {
            tree.check_rules(index, policy, direction, &mut problems);
        }
    }
    problems
}

fn too_many_selectors() -> Problem {
    let says = "too many different selectors for so many containers: whom they select is not told";
    let help = "let more policies use the same selectors, and select by what is there \
                (matchLabels, In) rather than by what is not (NotIn, DoesNotExist)";
    Problem::error(Place::file(""), codes::TOO_MANY, says).help(help)
}

fn check_name(container: &documents::Container, problems: &mut Problems) {
    let length = container.name.dotted().len();
    if let Attach::Namespace(path) = &container.attach
        && length + 1 + path.len() > DOTTED_NAME_MOST
    {
        let says = format!(
            "namespace, name and the path of attach.netns together have more than the \
             {DOTTED_NAME_MOST} characters for which an interface's alias has room"
        );
        problems.push(Problem::error(container.place.clone(), NAME_TOO_LONG, says));
        return;
    }
    if length > DOTTED_NAME_MOST {
        let says = format!(
            "namespace and name together have {length} characters, more than the \
             {DOTTED_NAME_MOST} for which an interface's alias has room"
        );
        let problem = Problem::error(container.place.clone(), NAME_TOO_LONG, says);
        problems.push(problem.help("give the container a shorter name"));
    }
}

fn check_addresses(container: &documents::Container, problems: &mut Problems) {
    for (address, place) in &container.addresses {
        if [IpAddr::V4(GATEWAY_V4), IpAddr::V6(GATEWAY_V6)].contains(address) {
            let says = format!("{address} is the gateway of every container");
            let problem = Problem::error(place.clone(), GATEWAY_ADDRESS, says);
            problems.push(problem.help("give the container another address"));
        }
    }
}

/// A port as a rule names it.
type Name<'a> = (&'a PortName, Protocol);

struct WholeTree<'a> {
    desired: &'a Desired,
    /// Namespaces that have containers.
    inhabited: BTreeSet<&'a NamespaceName>,
    /// For each policy the subjects that it selects.
    selected: Vec<Vec<&'a Subject>>,
    /// For each group that holds no class, what is wrong with it.
    empty_groups: BTreeMap<usize, String>,
    /// Addresses of those that have a named port.
    holders: BTreeMap<Name<'a>, BTreeSet<IpAddr>>,
    /// For each group that egress rules with named ports mean, the named ports of its containers.
    group_ports: BTreeMap<usize, BTreeSet<Name<'a>>>,
}

impl<'a> WholeTree<'a> {
    fn of(desired: &'a Desired) -> Self {
        let mut holders: BTreeMap<_, BTreeSet<IpAddr>> = BTreeMap::new();
        for container in desired.containers.values() {
            for port in &container.ports {
                let same = holders.entry((&port.name, port.protocol)).or_default();
                same.extend(&container.addresses);
            }
        }
        let groups = desired.group_classes.iter().enumerate();
        let empty_groups = groups
            .filter(|(_, classes)| classes.is_empty())
            .map(|(index, _)| {
                (
                    index,
                    holds_nobody(desired, &desired.policies.groups[index]),
                )
            })
            .collect();
        Self {
            desired,
            inhabited: desired
                .containers
                .keys()
                .map(|name| &name.namespace)
                .collect(),
            selected: selected(desired),
            empty_groups,
            holders,
            group_ports: group_ports(desired),
        }
    }

    fn selects_nobody(&self, policy: &Policy) -> Problem {
        let namespace = &policy.name.namespace;
        let says = if self.inhabited.contains(namespace) {
            format!("selects no container of namespace {namespace}: the policy acts on nobody")
        } else {
            format!("namespace {namespace} has no container: the policy acts on nobody")
        };
        Problem::warning(policy.selects_place.clone(), SELECTS_NOBODY, says)
    }

    fn check_rules(
        &self,
        index: usize,
        policy: &Policy,
        direction: Direction,
        problems: &mut Problems,
    ) {
        let rules = self.desired.policies.rules_of(policy, direction);
        for rule in rules {
            if let Peer::Group(group) = rule.peer
                && let Some(says) = self.empty_groups.get(&group)
            {
                problems.push(Problem::warning(rule.place.clone(), SELECTS_NOBODY, says));
            }
        }
        // A policy that acts on nobody was found already: that its subjects lack a port is no news.
        if direction == Direction::Ingress && self.selected[index].is_empty() {
            return;
        }
        if !rules.iter().any(Rule::has_named_ports) {
            return;
        }
        let own = match direction {
            Direction::Ingress => self.ports_of_selected(index),
            Direction::Egress => BTreeSet::new(),
        };
        for item in rules.chunk_by(|a, b| a.item == b.item) {
            for port in item[0].ports.iter().flat_map(|ports| ports.iter()) {
                if let PortNumber::Named(name) = &port.number
                    && !self.has_destination((name, port.protocol), item, &own)
                {
                    problems.push(nobody_has(name, port, direction));
                }
            }
        }
    }

    /// The named ports of whom a policy selects.
    fn ports_of_selected(&self, policy: usize) -> BTreeSet<Name<'_>> {
        let contents = self.selected[policy]
            .iter()
            .filter_map(|s| s.content.as_ref());
        contents.flat_map(|content| names(&content.ports)).collect()
    }

    /// Whether a container with that port may be the destination of an item's rules. `own` are the
    /// ports of whom the policy selects.
    fn has_destination(&self, name: Name, item: &[Rule], own: &BTreeSet<Name>) -> bool {
        let Some(holders) = self.holders.get(&name) else {
            return false;
        };
        if item[0].direction == Direction::Ingress {
            return own.contains(&name);
        }
        item.iter().any(|rule| match rule.peer {
            Peer::Anyone => true,
            Peer::Group(group) => {
                let ports = self.group_ports.get(&group);
                ports.is_some_and(|ports| ports.contains(&name))
            }
            Peer::Block(block) => holds_any(&self.desired.policies.blocks[block], holders),
        })
    }
}

fn names(ports: &[NamedPort]) -> impl Iterator<Item = Name<'_>> {
    ports.iter().map(|port| (&port.name, port.protocol))
}

/// Each group once, however many rules mean it.
fn group_ports(desired: &Desired) -> BTreeMap<usize, BTreeSet<Name<'_>>> {
    let mut group_ports = BTreeMap::new();
    let rules = desired.policies.rules.iter();
    for rule in rules.filter(|r| r.direction == Direction::Egress && r.has_named_ports()) {
        if let Peer::Group(group) = rule.peer {
            group_ports.entry(group).or_insert_with(|| {
                let classes = desired.group_classes[group].iter();
                let ports = classes.map(|class| &desired.classes[*class].ports);
                ports.flat_map(|ports| names(ports)).collect()
            });
        }
    }
    group_ports
}

/// Whether a block holds one of these addresses: from one that is excepted straight to the end of
/// its exception.
fn holds_any(block: &Block, addresses: &BTreeSet<IpAddr>) -> bool {
    let last = Bound::Included(block.cidr.broadcast());
    let mut first = Bound::Included(block.cidr.network());
    while let Some(address) = addresses.range((first, last)).next() {
        let after = block.except.partition_point(|e| e.network() <= *address);
        match block.except[..after].last().filter(|e| e.contains(address)) {
            None => return true,
            Some(except) if except.broadcast() >= block.cidr.broadcast() => return false,
            Some(except) => first = Bound::Excluded(except.broadcast()),
        }
    }
    false
}

/// For each policy the subjects that it selects.
fn selected(desired: &Desired) -> Vec<Vec<&Subject>> {
    let mut selected = vec![Vec::new(); desired.policies.list.len()];
    for subject in &desired.subjects {
        let either = Direction::ALL.map(|direction| subject.policies.get(direction));
        for policy in either.into_iter().flatten() {
            selected[*policy].push(subject);
        }
    }
    selected
}

fn holds_nobody(desired: &Desired, group: &Group) -> String {
    let mut labels = desired.namespaces.values();
    match &group.scope {
        Scope::Own(namespace) => format!("selects no container of namespace {namespace}"),
        Scope::Selected(selector) if labels.any(|labels| selector.selects(labels)) => {
            "selects no container of the namespaces that it selects".to_owned()
        }
        Scope::Selected(_) => "namespaceSelector selects no namespace".to_owned(),
    }
}

fn nobody_has(name: &PortName, port: &Port, direction: Direction) -> Problem {
    let protocol = port.protocol;
    let who = match direction {
        Direction::Ingress => "that the policy selects",
        Direction::Egress => "that the rule allows",
    };
    let says = format!("no container {who} has a port named '{name}' for {protocol}");
    let problem = Problem::warning(port.place.clone(), NAMED_PORT_NOBODY, says);
    problem.help("name it under spec.ports of the container, or write its number")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::desired::sample::{
        block, container, egress, ingress, named, pods, pods_of, resolved, rule,
    };
    use crate::documents::{Container, NetworkPolicy};

    fn found(containers: Vec<Container>, policies: Vec<NetworkPolicy>) -> Vec<String> {
        let (_, problems) = resolved(containers, policies);
        let found = problems.sorted().into_iter();
        found
            .map(|p| format!("{} {}: {}", p.place.line, p.code, p.message))
            .collect()
    }

    fn web() -> Container {
        Container {
            ports: vec![named("http", 80)],
            ..container("shop/web", "app=web", "10.0.0.1")
        }
    }

    #[test]
    fn the_gateways_addresses_are_refused() {
        let containers = vec![container("shop/web", "", "169.254.80.76 fe80::504c:4201")];
        assert_eq!(
            found(containers, Vec::new()),
            [
                "2 gateway-address: 169.254.80.76 is the gateway of every container",
                "2 gateway-address: fe80::504c:4201 is the gateway of every container",
            ]
        );
    }

    #[test]
    fn a_name_that_no_interface_can_be_marked_with_is_refused() {
        let long = vec!["a".repeat(63); 4].join(".");
        let fits = container(&format!("a/{}", &long[..243]), "", "10.0.0.1");
        assert_eq!(format!("{}{}", super::ALIAS_MARK, fits.name).len(), 255);
        assert_eq!(found(vec![fits], Vec::new()), [""; 0]);
        let too_long = container(&format!("ab/{}", &long[..243]), "", "10.0.0.1");
        assert_eq!(
            found(vec![too_long], Vec::new()),
            [
                "1 name-too-long: namespace and name together have 246 characters, more than the \
                 245 for which an interface's alias has room"
            ]
        );
    }

    #[test]
    fn selectors_that_select_nobody_are_named_where_they_stand() {
        let peers = vec![
            pods("app=db"),
            pods_of("", "team=x"),
            pods_of("app=db", ""),
            pods(""),
        ];
        let policies = vec![
            ingress("shop/a", "app=db", Vec::new()),
            ingress("ops/b", "", Vec::new()),
            ingress("shop/c", "", vec![rule(peers, &[])]),
        ];
        assert_eq!(
            found(vec![web()], policies),
            [
                "5 selector-selects-nobody: namespace ops has no container: the policy acts on \
                 nobody",
                "5 selector-selects-nobody: selects no container of namespace shop: the policy \
                 acts on nobody",
                "7 selector-selects-nobody: namespaceSelector selects no namespace",
                "7 selector-selects-nobody: selects no container of namespace shop",
                "7 selector-selects-nobody: selects no container of the namespaces that it selects",
            ]
        );
    }

    #[test]
    fn a_named_port_is_looked_for_at_its_destination() {
        let client = container("shop/client", "app=client", "10.0.0.2");
        let containers = || vec![web(), client.clone()];
        let nobody = |direction: &str| {
            let who = match direction {
                "ingress" => "that the policy selects",
                _ => "that the rule allows",
            };
            vec![format!(
                "8 named-port-nobody: no container {who} has a port named 'http' for TCP"
            )]
        };
        let from_client = || vec![rule(vec![pods("app=client")], &["http"])];
        let has = ingress("shop/a", "app=web", from_client());
        assert_eq!(found(containers(), vec![has]), [""; 0]);
        let has_not = ingress("shop/a", "app=client", vec![rule(vec![], &["http"])]);
        assert_eq!(found(containers(), vec![has_not]), nobody("ingress"));
        // Who acts on nobody is told that, and not what nobody lacks.
        let acts_on_nobody = ingress("shop/a", "app=x", vec![rule(vec![], &["http"])]);
        assert_eq!(found(containers(), vec![acts_on_nobody]).len(), 1);

        for (peers, is_found) in [
            (vec![], false),
            (vec![pods("app=web")], false),
            (vec![pods("app=client"), pods("app=web")], false),
            (vec![pods("app=client")], true),
            (vec![block("10.0.0.0/31", "")], false),
            (vec![block("10.0.0.0/24", "10.0.0.0/31")], true),
        ] {
            let policy = egress("shop/a", "app=client", vec![rule(peers.clone(), &["http"])]);
            let expected = if is_found {
                nobody("egress")
            } else {
                Vec::new()
            };
            assert_eq!(found(containers(), vec![policy]), expected, "{peers:?}");
        }
    }

    /// By asking everybody: whom the exceptions leave must be found, and nobody else.
    #[test]
    fn whom_a_block_holds_is_found_without_asking_everybody() {
        use std::net::IpAddr;
        let mut asked = 0;
        for cidr in ["10.0.0.0/28", "0.0.0.0/0", "::/0", "10.0.0.15/32"] {
            for except in [
                "",
                "10.0.0.0/30",
                "10.0.0.0/30 10.0.0.4/30",
                "10.0.0.8/29",
                "10.0.0.0/29 10.0.0.8/29",
                "0.0.0.0/1 128.0.0.0/1",
                "::/1 8000::/1",
            ] {
                let documents::network_policy::PeerKind::Block { cidr, except } =
                    block(cidr, except)
                else {
                    panic!("a block");
                };
                let block = Block::new(cidr, &except);
                for bits in 0..32_u32 {
                    let some = [0_u32, 3, 4, 9, 15].into_iter().enumerate();
                    let some = some.filter(|(n, _)| bits & (1 << n) != 0);
                    let v4 = some.map(|(_, n)| IpAddr::V4((0x0a00_0000 + n).into()));
                    let addresses: BTreeSet<IpAddr> = v4.collect();
                    let expected = addresses.iter().any(|address| block.holds(*address));
                    assert_eq!(
                        holds_any(&block, &addresses),
                        expected,
                        "{block:?} {addresses:?}"
                    );
                    asked += 1;
                }
            }
        }
        assert_eq!(asked, 4 * 7 * 32);
    }
}
