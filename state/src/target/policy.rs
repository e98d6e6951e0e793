//! The policy table: subject, direction, identity -> ruleset.
//!
//! Rows grow with subjects times the identities that their rules name. A rule for everyone is part
//! of the subject's row for any other peer; a row for one identity stands only where its ruleset
//! differs from that one. Subjects that the same policies isolate share the work.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::identities::Identities;
use super::ids::{Ids, Width};
use super::memory::{Keys, Memory};
use super::rulesets::{Ruleset, Rulesets};
use super::tables::{PolicyKey, PortKey};
use super::{CompileError, capacity};
use crate::desired::describe::{rule_in_words, subject_in_words};
use crate::desired::{Desired, Peer, PortNumber, Rule, Subject};
use crate::words::identity::{IdentityId, RuleId, RulesetId, SubjectId};
use crate::words::ports::NamedPort;
use crate::words::verdict::Direction;

/// Both tables that policy makes, and the id of each subject.
#[derive(Debug)]
pub(super) struct Rows {
    pub(super) policy: BTreeMap<PolicyKey, RulesetId>,
    pub(super) rulesets: BTreeMap<PortKey, RuleId>,
    pub(super) subjects: Vec<SubjectId>,
}

/// Rows of one direction for all subjects that share them.
type Shared = Vec<(IdentityId, RulesetId)>;

pub(super) fn rows(
    desired: &Desired,
    identities: &Identities,
    width: Width,
    memory: &mut Memory,
) -> Result<Rows, CompileError> {
    check_rules(desired, width)?;
    let subjects = subject_ids(desired, width)?;
    let mut maker = Maker {
        desired,
        identities,
        memory,
        keys: Keys::new(desired, identities, width),
        rulesets: Rulesets::new(desired, width),
        made: BTreeMap::new(),
        naming: vec![Vec::new(); identities.ids.len()],
    };
    let mut policy = Vec::new();
    for (subject, id) in desired.subjects.iter().zip(&subjects) {
        if !subject.here {
            continue;
        }
        for direction in Direction::ALL {
            let rows = maker.rows(subject, direction)?;
            policy.extend(rows.iter().map(|(identity, ruleset)| {
                let key = PolicyKey {
                    subject: *id,
                    direction,
                    identity: *identity,
                };
                (key, *ruleset)
            }));
            capacity::check_rows("policy", policy.len())?;
        }
    }
    Ok(Rows {
        policy: policy.into_iter().collect(),
        rulesets: maker.rulesets.rows(),
        subjects,
    })
}

fn subject_ids(desired: &Desired, width: Width) -> Result<Vec<SubjectId>, CompileError> {
    let mut ids = Ids::new(width);
    let in_words = |index: &usize| subject_in_words(&desired.subjects[*index]);
    let subjects = desired.subjects.iter().enumerate();
    subjects
        .map(|(index, subject)| ids.take(subject.id, &index, in_words))
        .collect()
}

/// Two rules of different content that have one id would be told as one.
fn check_rules(desired: &Desired, width: Width) -> Result<(), CompileError> {
    let mut ids: Ids<RuleContent> = Ids::new(width);
    let rules = &desired.policies.rules;
    for (index, rule) in rules.iter().enumerate() {
        let in_words = |content: &RuleContent| {
            let rule = &rules[content.index];
            let policy = &desired.policies.list[rule.policy].name;
            format!("{} ({policy})", rule_in_words(desired, rule))
        };
        let content = RuleContent { rule, index };
        ids.take(rule.id, &content, in_words)?;
    }
    Ok(())
}

/// A rule, equal to another where their contents are.
#[derive(Clone, Copy, Debug)]
struct RuleContent<'a> {
    rule: &'a Rule,
    index: usize,
}

impl PartialEq for RuleContent<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.index == other.index || content_of(self.rule) == content_of(other.rule)
    }
}

type Content<'a> = (usize, Direction, Peer, Option<Vec<(u8, &'a PortNumber)>>);

fn content_of(rule: &Rule) -> Content<'_> {
    let ports = rule.ports.as_ref().map(|ports| {
        let mut ports: Vec<(u8, &PortNumber)> = ports
            .iter()
            .map(|port| (port.protocol.number(), &port.number))
            .collect();
        ports.sort();
        ports.dedup();
        ports
    });
    (rule.policy, rule.direction, rule.peer, ports)
}

struct Maker<'a> {
    desired: &'a Desired,
    identities: &'a Identities,
    memory: &'a mut Memory,
    keys: Keys<'a>,
    rulesets: Rulesets<'a>,
    made: BTreeMap<(Direction, &'a [usize], Vec<NamedPort>), Shared>,
    /// For each identity the rules that name it, ascending; empty but while rows are made.
    naming: Vec<Vec<usize>>,
}

impl<'a> Maker<'a> {
    /// The rows of a subject in a direction, the one for any other peer first.
    fn rows(&mut self, subject: &'a Subject, direction: Direction) -> Result<Shared, CompileError> {
        let policies: &[usize] = subject.policies.get(direction);
        if policies.is_empty() {
            return Ok(vec![(IdentityId::ANY, self.rulesets.open()?)]);
        }
        let own_ports = subject
            .content
            .as_ref()
            .map_or(&[][..], |content| &content.ports);
        let own_ports = match direction {
            Direction::Ingress => own_ports.to_vec(),
            Direction::Egress => Vec::new(),
        };
        let key = (direction, policies, own_ports);
        if let Some(rows) = self.made.get(&key) {
            return Ok(rows.clone());
        }
        let rows = self.remembered(direction, policies, &key.2)?;
        self.made.insert(key, rows.clone());
        Ok(rows)
    }

    /// As they were made before, or made now.
    fn remembered(
        &mut self,
        direction: Direction,
        policies: &[usize],
        own_ports: &[NamedPort],
    ) -> Result<Shared, CompileError> {
        let key = self.keys.of(direction, policies, own_ports);
        if let Some(made) = self.memory.get(&key) {
            let rulesets = &mut self.rulesets;
            let rows = made.iter();
            return rows
                .map(|(identity, content)| Ok((*identity, rulesets.take(content)?)))
                .collect();
        }
        let made = self.make(direction, policies, own_ports)?;
        let rows = made.iter();
        let contents = rows.map(|(identity, ruleset)| (*identity, Arc::clone(&ruleset.content)));
        self.memory.keep(key, contents.collect());
        let rows = made.into_iter();
        Ok(rows
            .map(|(identity, ruleset)| (identity, ruleset.id))
            .collect())
    }

    fn make(
        &mut self,
        direction: Direction,
        policies: &[usize],
        own_ports: &[NamedPort],
    ) -> Result<Vec<(IdentityId, Ruleset)>, CompileError> {
        let (everyone, named) = self.rules(direction, policies);
        let any = self.rulesets.of(&everyone, own_ports)?;
        let mut rows = vec![(IdentityId::ANY, any.clone())];
        for identity in named {
            let ports = match direction {
                Direction::Ingress => own_ports,
                Direction::Egress => self.ports_of(identity),
            };
            let mut all = std::mem::take(&mut self.naming[identity]);
            all.extend(&everyone);
            all.sort_unstable();
            all.dedup();
            let ruleset = self.rulesets.of(&all, ports)?;
            if ruleset.id != any.id {
                rows.push((self.identities.ids[identity], ruleset));
            }
            all.clear();
            self.naming[identity] = all;
        }
        Ok(rows)
    }

    /// The rules of these policies for everyone, and the identities that some of them name,
    /// ascending; `naming` has the rules of each. A rule for everyone names, besides, whoever may
    /// have a port that it names.
    fn rules(&mut self, direction: Direction, policies: &[usize]) -> (Vec<usize>, Vec<usize>) {
        let mut everyone = Vec::new();
        let mut named = Vec::new();
        for policy in policies {
            let policy = &self.desired.policies.list[*policy];
            for index in policy.rules.get(direction).clone().unwrap_or_default() {
                let rule = &self.desired.policies.rules[index];
                if rule.peer == Peer::Anyone {
                    everyone.push(index);
                }
                for identity in self.named_by(rule).into_iter().flatten() {
                    let naming = &mut self.naming[*identity];
                    if naming.is_empty() {
                        named.push(*identity);
                    }
                    naming.push(index);
                }
            }
        }
        named.sort_unstable();
        (everyone, named)
    }

    /// The identities that a rule names, as several lists.
    fn named_by(&self, rule: &Rule) -> Vec<&'a [usize]> {
        let identities = self.identities;
        match rule.peer {
            Peer::Block(block) => vec![&identities.by_block[block]],
            Peer::Group(group) => {
                let classes = self.desired.group_classes[group].iter();
                classes.map(|class| &*identities.by_class[*class]).collect()
            }
            Peer::Anyone if rule.direction == Direction::Egress && rule.has_named_ports() => {
                let classes = self.desired.classes.iter().zip(&identities.by_class);
                let with_ports = classes.filter(|(class, _)| !class.ports.is_empty());
                with_ports.map(|(_, identities)| &**identities).collect()
            }
            Peer::Anyone => Vec::new(),
        }
    }

    /// The named ports of an identity's containers.
    fn ports_of(&self, identity: usize) -> &'a [NamedPort] {
        let class = self.identities.classes[identity];
        class.map_or(&[], |class| &self.desired.classes[class].ports)
    }
}
