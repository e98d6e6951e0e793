//! What was compiled before: rows of policies, by all that they depend on.
//!
//! The rows of a direction depend on the rules of the policies that isolate there, on the
//! identities that each of them names, and on named ports. Where all of that is as it was, so are
//! they, whatever else a tree says now; ids are taken and compared anew all the same. Nothing that
//! is remembered changes an answer.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::identities::Identities;
use super::ids::Width;
use super::rulesets::Content;
use crate::desired::policies::write_number;
use crate::desired::subjects::write_ports;
use crate::desired::{Desired, Peer, Rule};
use crate::words::canonical::Canonical;
use crate::words::identity::IdentityId;
use crate::words::ports::NamedPort;
use crate::words::verdict::Direction;

/// For how many trees what none of them needed is kept. A run compiles one for the kernel and two
/// for their comparison.
const TURNS: u64 = 4;

/// Rows that were made, by what they were made from.
#[derive(Debug, Default)]
pub struct Memory {
    turn: u64,
    made: BTreeMap<Key, Remembered>,
}

/// A hash of everything that rows depend on.
pub(super) type Key = [u8; 32];

/// Rows of one direction: what each identity may, that for any other peer first.
pub(super) type Made = Arc<[(IdentityId, Arc<Content>)]>;

#[derive(Debug)]
struct Remembered {
    made: Made,
    turn: u64,
}

impl Memory {
    /// Another tree begins.
    pub(super) fn begin(&mut self) {
        self.turn += 1;
        let oldest = self.turn.saturating_sub(TURNS);
        self.made.retain(|_, remembered| remembered.turn >= oldest);
    }

    pub(super) fn get(&mut self, key: &Key) -> Option<Made> {
        let remembered = self.made.get_mut(key)?;
        remembered.turn = self.turn;
        Some(Arc::clone(&remembered.made))
    }

    pub(super) fn keep(&mut self, key: Key, made: Made) {
        let turn = self.turn;
        self.made.insert(key, Remembered { made, turn });
    }
}

/// Makes keys for one tree.
#[derive(Debug)]
pub(super) struct Keys<'a> {
    desired: &'a Desired,
    identities: &'a Identities,
    width: Width,
    /// Of the identities of each block and class, once they have been asked for.
    blocks: Vec<Option<Key>>,
    classes: Vec<Option<Key>>,
}

impl<'a> Keys<'a> {
    pub(super) fn new(desired: &'a Desired, identities: &'a Identities, width: Width) -> Self {
        Self {
            desired,
            identities,
            width,
            blocks: vec![None; identities.by_block.len()],
            classes: vec![None; identities.by_class.len()],
        }
    }

    /// The key of the rows that some policies make in a direction where the container that they
    /// isolate has these named ports.
    pub(super) fn of(
        &mut self,
        direction: Direction,
        policies: &[usize],
        own_ports: &[NamedPort],
    ) -> Key {
        let mut bytes = Canonical::default();
        bytes.number(self.width.0).choice(direction as u8);
        write_ports(&mut bytes, own_ports);
        let desired = self.desired;
        for policy in policies {
            let rules = desired.policies.list[*policy].rules.get(direction);
            for index in rules.clone().unwrap_or_default() {
                self.write_rule(&mut bytes, &desired.policies.rules[index]);
            }
        }
        *blake3::hash(bytes.bytes()).as_bytes()
    }

    /// Its id alone is 64 bits of a hash, which are told apart within one tree only.
    fn write_rule(&mut self, bytes: &mut Canonical, rule: &Rule) {
        bytes.number(rule.id.0);
        match &rule.ports {
            None => bytes.choice(0),
            Some(ports) => bytes.choice(1).length(ports.len()),
        };
        for port in rule.ports.iter().flat_map(|ports| ports.iter()) {
            bytes.choice(port.protocol.number());
            write_number(bytes, &port.number);
        }
        let desired = self.desired;
        match rule.peer {
            Peer::Block(block) => {
                let key = self.block(block);
                bytes.choice(0).raw(&key);
            }
            Peer::Group(group) => {
                let classes = &desired.group_classes[group];
                bytes.choice(1);
                self.write_classes(bytes, classes);
            }
            Peer::Anyone if rule.direction == Direction::Egress && rule.has_named_ports() => {
                let classes = desired.classes.iter().enumerate();
                let with_ports = classes.filter(|(_, class)| !class.ports.is_empty());
                bytes.choice(2);
                let classes: Vec<usize> = with_ports.map(|(index, _)| index).collect();
                self.write_classes(bytes, &classes);
            }
            Peer::Anyone => {
                bytes.choice(3);
            }
        }
    }

    fn write_classes(&mut self, bytes: &mut Canonical, classes: &[usize]) {
        bytes.length(classes.len());
        for class in classes {
            let identities = &self.identities.by_class[*class];
            let known = self.classes[*class];
            let key = known.unwrap_or_else(|| self.named(identities));
            self.classes[*class] = Some(key);
            bytes.raw(&key);
        }
    }

    fn block(&mut self, block: usize) -> Key {
        let identities = &self.identities.by_block[block];
        let key = self.blocks[block].unwrap_or_else(|| self.named(identities));
        self.blocks[block] = Some(key);
        key
    }

    /// Of identities, with the named ports that each has.
    fn named(&self, identities: &[usize]) -> Key {
        let mut bytes = Canonical::default();
        for identity in identities {
            bytes.number(self.identities.ids[*identity].0);
            let class = self.identities.classes[*identity];
            let ports = class.map_or(&[][..], |class| &self.desired.classes[class].ports);
            write_ports(&mut bytes, ports);
        }
        *blake3::hash(bytes.bytes()).as_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::desired::sample::{block, container, ingress, pods, resolved, rule};
    use crate::target::{Datapath, Located, compile_again};

    /// What is remembered after a tree in which `web` may be reached at a port, `db` at another,
    /// and `job` from a range.
    fn after(memory: &mut Memory, port: &str, range: &str) -> usize {
        let containers = vec![
            container("shop/web", "app=web", "10.0.0.1"),
            container("shop/db", "app=db", "10.0.0.2"),
            container("shop/job", "app=job", "10.0.0.3"),
        ];
        let policies = vec![
            ingress(
                "shop/web",
                "app=web",
                vec![rule(vec![pods("app=db")], &[port])],
            ),
            ingress(
                "shop/db",
                "app=db",
                vec![rule(vec![pods("app=web")], &["5432"])],
            ),
            ingress(
                "shop/job",
                "app=job",
                vec![rule(vec![block(range, "")], &[])],
            ),
        ];
        let (desired, _) = resolved(containers, policies);
        let datapath = Datapath {
            container_code: [1; 32],
            block_code: [2; 32],
            layout: 1,
            endpoints_most: 8_192,
        };
        compile_again(&desired, &Located::default(), &datapath, memory).unwrap();
        memory.made.len()
    }

    #[test]
    fn what_is_as_it_was_is_not_made_again() {
        let mut memory = Memory::default();
        let all = after(&mut memory, "80", "192.0.2.0/24");
        assert_eq!(all, 3);
        assert_eq!(after(&mut memory, "80", "192.0.2.0/24"), all);
        // One policy's rows alone.
        assert_eq!(after(&mut memory, "81", "192.0.2.0/24"), all + 1);
        // A range that nobody else names.
        assert_eq!(after(&mut memory, "81", "198.51.100.0/24"), all + 2);
        for _ in 0..=TURNS {
            after(&mut memory, "81", "198.51.100.0/24");
        }
        assert_eq!(memory.made.len(), all, "what none needed for long is gone");
    }
}
