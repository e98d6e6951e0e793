//! Policies flattened: each rule is one peer and its ports in one policy, in the order in which a
//! verdict is attributed: by policy name, then as they are written.
//!
//! Peers are kept once for each content, so that each distinct selector is evaluated once however
//! many policies repeat it.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use super::peers::{Block, Group, Scope};
use crate::documents::NetworkPolicy;
use crate::documents::network_policy::{self, PeerKind};
pub use crate::documents::network_policy::{Port, PortNumber};
use crate::words::canonical::Canonical;
use crate::words::identity::RuleId;
use crate::words::labels::Selector;
use crate::words::names::FullName;
use crate::words::place::Place;
use crate::words::verdict::{ByDirection, Direction};

/// One policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Namespace and name.
    pub name: FullName,
    /// Where its document begins.
    pub place: Place,
    /// Which containers of its namespace it selects.
    pub selects: Selector,
    /// Where that stands.
    pub selects_place: Place,
    /// For each direction that it isolates in: its rules, as indices of [`Policies::rules`].
    pub rules: ByDirection<Option<Range<usize>>>,
}

/// One peer and its ports in one policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Hash of the policy's name and of the rule's content.
    pub id: RuleId,
    /// Its policy, as an index of [`Policies::list`].
    pub policy: usize,
    /// Its direction.
    pub direction: Direction,
    /// Which item of `ingress` or `egress` it is from, from 0.
    pub item: usize,
    /// Which item of that item's `from` or `to`, from 0; `None` for a rule without peers.
    pub peer_item: Option<usize>,
    /// Where it stands: its peer's place, or its item's.
    pub place: Place,
    /// Whom it allows.
    pub peer: Peer,
    /// On which ports, as written; `None` for every protocol and port.
    pub ports: Option<Arc<[Port]>>,
}

impl Rule {
    /// Whether it names a port by name.
    pub fn has_named_ports(&self) -> bool {
        self.ports
            .iter()
            .flat_map(|ports| ports.iter())
            .any(|port| matches!(port.number, PortNumber::Named(_)))
    }
}

/// Whom a rule allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Peer {
    /// Every address.
    Anyone,
    /// Containers: an index of [`Policies::groups`].
    Group(usize),
    /// Addresses of a range: an index of [`Policies::blocks`].
    Block(usize),
}

/// All policies of a tree.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policies {
    /// The policies, by name.
    pub list: Vec<Policy>,
    /// Their rules: policy by policy, ingress before egress, then as written.
    pub rules: Vec<Rule>,
    /// The groups that rules name, each content once, in the order of their first rule.
    pub groups: Vec<Group>,
    /// The blocks that rules name, each content once, sorted.
    pub blocks: Vec<Block>,
    /// The first rule of each id.
    pub by_id: BTreeMap<RuleId, usize>,
}

impl Policies {
    /// Flattens the documents. Of two policies of one name the first counts; the documents stage
    /// has refused the tree.
    pub(super) fn of(documents: &[NetworkPolicy]) -> Self {
        let mut sorted: Vec<&NetworkPolicy> = documents.iter().collect();
        sorted.sort_by(|a, b| a.name.cmp(&b.name));
        sorted.dedup_by(|later, first| later.name == first.name);

        let mut flattener = Flattener::default();
        let list = sorted.iter().map(|document| flattener.policy(document));
        let list = list.collect();
        let mut rules = flattener.rules;
        let (blocks, moves) = sort_blocks(flattener.blocks);
        let mut by_id = BTreeMap::new();
        for (index, rule) in rules.iter_mut().enumerate() {
            by_id.entry(rule.id).or_insert(index);
            if let Peer::Block(block) = &mut rule.peer {
                *block = moves[*block];
            }
        }
        Self {
            list,
            rules,
            groups: in_order(flattener.groups),
            blocks,
            by_id,
        }
    }

    /// The rules of a policy in a direction; empty where it does not isolate.
    pub fn rules_of(&self, policy: &Policy, direction: Direction) -> &[Rule] {
        let range = policy.rules.get(direction).clone().unwrap_or_default();
        &self.rules[range]
    }

    /// The rule that an id names, as an index, and its policy. Two rules of one policy with equal
    /// content share their id; this is the first.
    pub fn rule(&self, id: RuleId) -> Option<(&Policy, &Rule)> {
        let rule = &self.rules[*self.by_id.get(&id)?];
        Some((&self.list[rule.policy], rule))
    }
}

/// Sorts the blocks, and says which place each index moves to.
fn sort_blocks(indices: BTreeMap<Block, usize>) -> (Vec<Block>, Vec<usize>) {
    let mut moves = vec![0; indices.len()];
    for (place, index) in indices.values().enumerate() {
        moves[*index] = place;
    }
    (indices.into_keys().collect(), moves)
}

/// The keys in the order of their values, which are 0, 1, 2, ….
pub(super) fn in_order<T>(indices: BTreeMap<T, usize>) -> Vec<T> {
    let mut pairs: Vec<(T, usize)> = indices.into_iter().collect();
    pairs.sort_by_key(|(_, index)| *index);
    pairs.into_iter().map(|(item, _)| item).collect()
}

#[derive(Default)]
struct Flattener {
    rules: Vec<Rule>,
    groups: BTreeMap<Group, usize>,
    blocks: BTreeMap<Block, usize>,
    policies: usize,
}

impl Flattener {
    fn policy(&mut self, document: &NetworkPolicy) -> Policy {
        let rules = ByDirection::from_fn(|direction| {
            let items = match direction {
                Direction::Ingress => document.ingress.as_ref(),
                Direction::Egress => document.egress.as_ref(),
            }?;
            let first = self.rules.len();
            for (item, rule) in items.iter().enumerate() {
                self.item(&document.name, direction, item, rule);
            }
            Some(first..self.rules.len())
        });
        self.policies += 1;
        Policy {
            name: document.name.clone(),
            place: document.place.clone(),
            selects: document.subject.clone(),
            selects_place: document.subject_place.clone(),
            rules,
        }
    }

    /// An empty list of peers or ports means what an absent one means: every peer, every port.
    fn item(
        &mut self,
        policy: &FullName,
        direction: Direction,
        item: usize,
        written: &network_policy::Rule,
    ) {
        let ports: Option<Arc<[Port]>> = written
            .ports
            .as_deref()
            .filter(|ports| !ports.is_empty())
            .map(Arc::from);
        let peers = written.peers.as_deref().unwrap_or_default();
        let mut push = |peer_item: Option<usize>, place: &Place, peer: Peer, content: Canonical| {
            self.rules.push(Rule {
                id: rule_id(policy, direction, &content, ports.as_deref()),
                policy: self.policies,
                direction,
                item,
                peer_item,
                place: place.clone(),
                peer,
                ports: ports.clone(),
            });
        };
        if peers.is_empty() {
            let mut content = Canonical::default();
            content.choice(0);
            push(None, &written.place, Peer::Anyone, content);
        }
        for (index, peer) in peers.iter().enumerate() {
            let (resolved, content) = match &peer.kind {
                PeerKind::Block { cidr, except } => {
                    intern_block(&mut self.blocks, Block::new(*cidr, except))
                }
                PeerKind::Containers { pods, namespaces } => {
                    let scope = namespaces
                        .clone()
                        .map_or_else(|| Scope::Own(policy.namespace.clone()), Scope::Selected);
                    let pods = pods.clone().unwrap_or_default();
                    intern_group(&mut self.groups, Group { scope, pods })
                }
            };
            push(Some(index), &peer.place, resolved, content);
        }
    }
}

fn intern_block(blocks: &mut BTreeMap<Block, usize>, block: Block) -> (Peer, Canonical) {
    let mut content = Canonical::default();
    content.choice(1);
    block.write(&mut content);
    let next = blocks.len();
    (Peer::Block(*blocks.entry(block).or_insert(next)), content)
}

fn intern_group(groups: &mut BTreeMap<Group, usize>, group: Group) -> (Peer, Canonical) {
    let mut content = Canonical::default();
    content.choice(2);
    group.write(&mut content);
    let next = groups.len();
    (Peer::Group(*groups.entry(group).or_insert(next)), content)
}

fn rule_id(
    policy: &FullName,
    direction: Direction,
    peer: &Canonical,
    ports: Option<&[Port]>,
) -> RuleId {
    let mut bytes = Canonical::default();
    bytes
        .text(policy.namespace.as_str())
        .text(policy.name.as_str())
        .choice(match direction {
            Direction::Ingress => 0,
            Direction::Egress => 1,
        })
        .raw(peer.bytes());
    // The order of ports, and a port that is written twice, mean nothing.
    let mut ports: Vec<_> = ports
        .unwrap_or_default()
        .iter()
        .map(|port| (port.protocol, &port.number))
        .collect();
    ports.sort();
    ports.dedup();
    bytes.length(ports.len());
    for (protocol, number) in ports {
        bytes.choice(protocol.number());
        write_number(&mut bytes, number);
    }
    RuleId::of(bytes.bytes())
}

/// A port number's content.
pub(crate) fn write_number(bytes: &mut Canonical, number: &PortNumber) {
    match number {
        PortNumber::Any => bytes.choice(0),
        PortNumber::Range(first, last) => bytes
            .choice(1)
            .number((*first).into())
            .number((*last).into()),
        PortNumber::Named(name) => bytes.choice(2).text(name),
    };
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::desired::sample::{block, egress, ingress, line, pods, pods_of, port, rule};
    use crate::words::labels::Operator;
    use crate::words::labels::Requirement;

    fn ids(policies: &[NetworkPolicy]) -> Vec<RuleId> {
        Policies::of(policies)
            .rules
            .iter()
            .map(|rule| rule.id)
            .collect()
    }

    fn id(peers: Vec<PeerKind>, ports: &[&str]) -> RuleId {
        ids(&[ingress("shop/a", "", vec![rule(peers, ports)])])[0]
    }

    #[test]
    fn a_rule_is_known_by_what_it_says_and_not_by_how_it_is_written() {
        let same = id(vec![pods("app=web")], &["80", "443"]);
        assert_eq!(same, id(vec![pods("app=web")], &["443", "80", "443"]));
        let subject_elsewhere = ingress(
            "shop/a",
            "app=db",
            vec![
                rule(vec![], &[]),
                rule(vec![pods("app=web")], &["80", "443"]),
            ],
        );
        assert_eq!(same, ids(&[subject_elsewhere])[1]);
        let absent = PeerKind::Containers {
            pods: None,
            namespaces: Some(Selector::default()),
        };
        assert_eq!(id(vec![absent], &[]), id(vec![pods_of("", "")], &[]));
    }

    #[test]
    fn whatever_differs_in_content_differs_in_its_id() {
        let operators = [Operator::Exists, Operator::DoesNotExist];
        let mut all: Vec<RuleId> = operators
            .into_iter()
            .map(|operator| {
                let requirement = Requirement {
                    key: "app".into(),
                    operator,
                };
                let pods = Some(Selector {
                    requirements: [requirement].into(),
                });
                let namespaces = None;
                id(vec![PeerKind::Containers { pods, namespaces }], &[])
            })
            .collect();
        all.extend([
            id(vec![], &[]),
            id(vec![], &["80"]),
            id(vec![], &["80-81"]),
            id(vec![], &["http"]),
            id(vec![pods("")], &[]),
            id(vec![pods("app=web")], &[]),
            id(vec![pods("app=web tier=1")], &[]),
            id(vec![pods_of("app=web", "")], &[]),
            id(vec![pods_of("", "app=web")], &[]),
            id(vec![block("10.0.0.0/8", "")], &[]),
            id(vec![block("10.0.0.0/9", "")], &[]),
            id(vec![block("10.0.0.0/8", "10.0.0.0/9")], &[]),
            id(vec![block("::/0", "")], &[]),
            ids(&[ingress("shop/b", "", vec![rule(vec![], &[])])])[0],
            ids(&[ingress("ops/a", "", vec![rule(vec![], &[])])])[0],
            ids(&[egress("shop/a", "", vec![rule(vec![], &[])])])[0],
        ]);
        let distinct: BTreeSet<&RuleId> = all.iter().collect();
        assert_eq!(distinct.len(), all.len());
    }

    #[test]
    fn rules_stand_in_the_order_of_names_and_keep_their_places() {
        let policies = Policies::of(&[
            egress(
                "shop/b",
                "",
                vec![rule(vec![block("::/0", ""), pods("")], &[])],
            ),
            ingress(
                "shop/a",
                "",
                vec![rule(vec![], &["80"]), rule(vec![pods("")], &[])],
            ),
            ingress("a/z", "", Vec::new()),
        ]);
        let names: Vec<String> = policies.list.iter().map(|p| p.name.to_string()).collect();
        assert_eq!(names, ["a/z", "shop/a", "shop/b"]);
        let rules: Vec<_> = policies
            .rules
            .iter()
            .map(|r| (r.policy, r.item, r.peer_item, r.place.line))
            .collect();
        assert_eq!(
            rules,
            [
                (1, 0, None, 6),
                (1, 1, Some(0), 7),
                (2, 0, Some(0), 7),
                (2, 0, Some(1), 7)
            ]
        );
        assert_eq!(policies.list[0].rules.ingress, Some(0..0));
        assert_eq!(policies.list[0].rules.egress, None);
        let (policy, rule) = policies.rule(policies.rules[3].id).unwrap();
        assert_eq!((policy.place.clone(), rule.item), (line(4), 0));
        assert_eq!(port("http").number, PortNumber::Named("http".into()));
    }
}
