//! Selecting many times from one crowd: an index by label, so that a selector is asked only of
//! those whom its rarest positive requirement leaves. Ten thousand selectors that name a value
//! each cost what they select, not ten thousand walks through the crowd.

use std::cell::Cell;
use std::collections::BTreeMap;

use super::peers::Scope;
use crate::words::labels::{Labels, Operator, Requirement, Selector};
use crate::words::names::NamespaceName;

/// How often one crowd may be asked whether a selector selects somebody. A selector of what is not
/// there (`NotIn`, `DoesNotExist`) asks everybody, and many such of many would take minutes and
/// gigabytes. Ten thousand of them may ask sixteen hundred each.
const ASKED_MOST: usize = 1 << 24;

/// One of a crowd.
#[derive(Clone, Copy, Debug)]
pub(super) struct Member<'a> {
    /// Its namespace.
    pub(super) namespace: &'a NamespaceName,
    /// Its namespace's labels.
    pub(super) namespace_labels: &'a Labels,
    /// Its own labels.
    pub(super) labels: &'a Labels,
}

/// The indexed crowd. What it selects are indices into the members it was made of, ascending.
#[derive(Debug, Default)]
pub(super) struct Crowd<'a> {
    members: Vec<Member<'a>>,
    by_namespace: BTreeMap<&'a NamespaceName, Vec<usize>>,
    labels: Postings<'a>,
    namespace_labels: Postings<'a>,
    asked: Cell<usize>,
}

/// Who carries a key, and who a key with a value.
#[derive(Debug, Default)]
struct Postings<'a> {
    keys: BTreeMap<&'a str, Carriers<'a>>,
}

#[derive(Debug, Default)]
struct Carriers<'a> {
    all: Vec<usize>,
    by_value: BTreeMap<&'a str, Vec<usize>>,
}

impl<'a> Postings<'a> {
    fn add(&mut self, index: usize, labels: &'a Labels) {
        for (key, value) in labels {
            let carriers = self.keys.entry(key).or_default();
            carriers.all.push(index);
            carriers.by_value.entry(value).or_default().push(index);
        }
    }

    /// The shortest set of lists that between them hold everyone whom the selector can select;
    /// `None` where it requires nothing to be there.
    fn candidates(&self, selector: &Selector) -> Option<Vec<&[usize]>> {
        let mut shortest: Option<Vec<&[usize]>> = None;
        for requirement in &selector.requirements {
            if let Some(lists) = self.carriers(requirement)
                && shortest.as_ref().is_none_or(|s| total(&lists) < total(s))
            {
                shortest = Some(lists);
            }
        }
        shortest
    }

    /// Those who may meet a requirement; `None` where that is whoever lacks something.
    fn carriers(&self, requirement: &Requirement) -> Option<Vec<&[usize]>> {
        let carriers = self.keys.get(&*requirement.key);
        match &requirement.operator {
            Operator::In(values) => {
                let lists = carriers.map(|c| values.iter().filter_map(|v| c.by_value.get(&**v)));
                Some(lists.into_iter().flatten().map(Vec::as_slice).collect())
            }
            Operator::Exists => Some(carriers.map(|c| &*c.all).into_iter().collect()),
            Operator::NotIn(_) | Operator::DoesNotExist => None,
        }
    }
}

fn total(lists: &[&[usize]]) -> usize {
    lists.iter().map(|list| list.len()).sum()
}

impl<'a> Crowd<'a> {
    pub(super) fn of(members: Vec<Member<'a>>) -> Self {
        let mut crowd = Self::default();
        for (index, member) in members.iter().enumerate() {
            let same = crowd.by_namespace.entry(member.namespace).or_default();
            same.push(index);
            crowd.labels.add(index, member.labels);
            crowd.namespace_labels.add(index, member.namespace_labels);
        }
        crowd.members = members;
        crowd
    }

    /// Whether it was asked more than [`ASKED_MOST`] times: some selections came out empty.
    pub(super) fn is_exhausted(&self) -> bool {
        self.asked.get() > ASKED_MOST
    }

    /// Those of a scope whom `pods` selects; nobody where it is exhausted.
    pub(super) fn select(&self, scope: &Scope, pods: &Selector) -> Vec<usize> {
        if self.is_exhausted() {
            return Vec::new();
        }
        let by_scope = match scope {
            Scope::Own(name) => {
                let own = self.by_namespace.get(name).map(Vec::as_slice);
                Some(own.into_iter().collect())
            }
            Scope::Selected(selector) => self.namespace_labels.candidates(selector),
        };
        let candidates = [by_scope, self.labels.candidates(pods)];
        let selects = |index: &usize| {
            let member = &self.members[*index];
            pods.selects(member.labels) && scope.holds(member.namespace, member.namespace_labels)
        };
        let candidates = candidates.into_iter().flatten();
        let fewest = candidates.min_by_key(|lists| total(lists));
        let asked = fewest
            .as_ref()
            .map_or(self.members.len(), |lists| total(lists));
        self.asked.set(self.asked.get().saturating_add(asked));
        match fewest {
            None => (0..self.members.len()).filter(selects).collect(),
            Some(lists) => {
                // The lists of one requirement are disjoint: a label has one value.
                let mut selected: Vec<usize> = lists.concat().into_iter().filter(selects).collect();
                selected.sort_unstable();
                selected
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        pairs
            .iter()
            .map(|(k, v)| ((*k).into(), (*v).into()))
            .collect()
    }

    fn selector(requirements: &[(&str, Operator)]) -> Selector {
        let requirements = requirements.iter().map(|(key, operator)| Requirement {
            key: (*key).into(),
            operator: operator.clone(),
        });
        Selector {
            requirements: requirements.collect(),
        }
    }

    fn values(list: &[&str]) -> BTreeSet<std::sync::Arc<str>> {
        list.iter().map(|v| (*v).into()).collect()
    }

    /// Five thousand who are each asked by as many selectors: minutes, were there no end to it.
    #[test]
    fn a_crowd_is_not_asked_for_ever() {
        let namespace = NamespaceName::new("a").unwrap();
        let none = Labels::new();
        let member = Member {
            namespace: &namespace,
            namespace_labels: &none,
            labels: &none,
        };
        let crowd = Crowd::of(vec![member; 5_000]);
        let scope = Scope::Selected(Selector::default());
        let mut asked = 0;
        while !crowd.is_exhausted() {
            let pods = selector(&[("app", Operator::NotIn(values(&["web"])))]);
            assert_eq!(crowd.select(&scope, &pods).len(), 5_000);
            asked += 1;
        }
        assert_eq!(asked, ASKED_MOST / 5_000 + 1);
        assert!(crowd.select(&scope, &Selector::default()).is_empty());
    }

    /// The index must select what asking everyone selects.
    #[test]
    fn the_index_leaves_nobody_out() {
        let names = ["a", "b"].map(|n| NamespaceName::new(n).unwrap());
        let spaces = [labels(&[("team", "x")]), labels(&[])];
        let sets = [
            labels(&[]),
            labels(&[("app", "web")]),
            labels(&[("app", "db"), ("tier", "1")]),
            labels(&[("tier", "")]),
        ];
        let members: Vec<Member> = (0..2)
            .flat_map(|n| sets.iter().map(move |labels| (n, labels)))
            .map(|(n, labels)| Member {
                namespace: &names[n],
                namespace_labels: &spaces[n],
                labels,
            })
            .collect();
        let crowd = Crowd::of(members.clone());

        let operators = [
            Operator::In(values(&["web", "db"])),
            Operator::In(values(&["1", "x"])),
            Operator::NotIn(values(&["web", "x"])),
            Operator::Exists,
            Operator::DoesNotExist,
        ];
        let mut selectors = vec![Selector::default()];
        for key in ["app", "tier", "team"] {
            selectors.extend(operators.iter().map(|o| selector(&[(key, o.clone())])));
            selectors.push(selector(&[
                ("app", Operator::Exists),
                (key, operators[2].clone()),
            ]));
        }
        let mut scopes: Vec<Scope> = names.iter().cloned().map(Scope::Own).collect();
        scopes.push(Scope::Own(NamespaceName::new("nowhere").unwrap()));
        scopes.extend(selectors.iter().cloned().map(Scope::Selected));
        for scope in &scopes {
            for pods in &selectors {
                let asked: Vec<usize> = (0..members.len())
                    .filter(|&i| pods.selects(members[i].labels))
                    .filter(|&i| scope.holds(members[i].namespace, members[i].namespace_labels))
                    .collect();
                assert_eq!(crowd.select(scope, pods), asked, "{scope:?} {pods:?}");
            }
        }
    }
}
