//! What each file tells, taken in beside what the others have told.
//!
//! A file alone gives documents; only beside the others may two of them turn out to have one name
//! or one address. So what a file told can be taken in again without reading it, and gives what it
//! would give if it were read.

use std::collections::btree_map::Entry;

use super::kinds::{Collection, Kind};
use super::memory::Clean;
use super::yaml::Budget;
use super::{codes, container, namespace, network_policy};
use crate::words::place::Place;
use crate::words::problem::Problem;

/// One thing that a file alone tells, whatever the others say.
#[derive(Clone, Debug)]
pub(super) enum Told {
    /// A document.
    Document(Box<Document>),
    /// A document of a kind that `ignoreKinds` names.
    Ignored(String),
}

/// A document of a kind that is kept.
#[derive(Clone, Debug)]
pub(super) struct Document {
    pub(super) kind: Kind,
    /// Its name, with its namespace if it has one, and where that stands.
    pub(super) named: Option<(String, Place)>,
    /// `None` where too little of it could be read.
    pub(super) parsed: Option<Parsed>,
    /// Whether nothing was wrong with it.
    pub(super) right: bool,
}

/// A document of a kind that is kept.
#[derive(Clone, Debug)]
pub(super) enum Parsed {
    NetworkPolicy(network_policy::NetworkPolicy),
    Namespace(namespace::Namespace),
    Container(container::Container),
}

/// Where a file begins among what the files before it have told.
pub(super) struct Begun {
    findings: usize,
    budget: Budget,
    accepted: usize,
}

impl Collection {
    /// Another file begins.
    pub(super) fn begin(&mut self) -> Begun {
        self.told.clear();
        Begun {
            findings: self.problems.len(),
            budget: self.budget.clone(),
            accepted: self.documents.accepted.len(),
        }
    }

    /// What the file has told; `None` where anything was found in it, so that it is read each time.
    pub(super) fn end(&mut self, begun: &Begun) -> Option<Clean> {
        let clean = self.problems.len() == begun.findings && !self.budget.is_stopped();
        clean.then(|| Clean {
            told: std::mem::take(&mut self.told),
            accepted: self.documents.accepted[begun.accepted..].to_vec(),
            spent: self.budget.spent_since(&begun.budget),
        })
    }

    /// Takes in what a file told before. `false` where the limits of the tree have no room for it.
    pub(super) fn take_again(&mut self, clean: &Clean) -> bool {
        if !self.budget.spend(&clean.spent) {
            return false;
        }
        self.documents.accepted.extend_from_slice(&clean.accepted);
        for told in &clean.told {
            self.admit(told.clone());
        }
        true
    }

    /// Takes in what a file has told, and remembers it as long as the file lasts.
    pub(super) fn tell(&mut self, told: Told) {
        self.told.push(told.clone());
        self.admit(told);
    }

    /// Takes in what a file has told, beside what the others have.
    fn admit(&mut self, told: Told) {
        let document = match told {
            Told::Ignored(kind) => {
                *self.documents.ignored.entry(kind).or_default() += 1;
                return;
            }
            Told::Document(document) => document,
        };
        let before = self.problems.errors();
        if !self.has_own_name(document.kind, document.named) {
            return;
        }
        let Some(parsed) = document.parsed else {
            return;
        };
        if let Parsed::Container(container) = &parsed {
            self.check_addresses(container);
        }
        if document.right && self.problems.errors() == before {
            self.keep(parsed);
        }
    }

    /// Whether no other document of its kind has its name. Documents with other findings count.
    fn has_own_name(&mut self, kind: Kind, named: Option<(String, Place)>) -> bool {
        let Some((named, place)) = named else {
            return true;
        };
        let message = format!("a second {kind:?} {named}");
        match self.names.entry((kind, named)) {
            Entry::Vacant(entry) => {
                entry.insert(place);
                true
            }
            Entry::Occupied(entry) => {
                let problem = Problem::error(place, codes::DUPLICATE_NAME, message)
                    .help("rename one, or take it away")
                    .related(entry.get().clone());
                self.problems.push(problem);
                false
            }
        }
    }

    /// No other container may have one of its addresses, whatever its host.
    fn check_addresses(&mut self, container: &container::Container) {
        for (address, place) in &container.addresses {
            match self.addresses.entry(*address) {
                Entry::Vacant(entry) => {
                    entry.insert((container.name.clone(), place.clone()));
                }
                Entry::Occupied(entry) => {
                    let (other, first) = entry.get();
                    let message = format!("{address} is the address of {other} already");
                    let problem = Problem::error(place.clone(), codes::DUPLICATE_ADDRESS, message)
                        .help("an address belongs to one container, whatever its host")
                        .related(first.clone());
                    self.problems.push(problem);
                }
            }
        }
    }

    fn keep(&mut self, parsed: Parsed) {
        match parsed {
            Parsed::NetworkPolicy(policy) => self.documents.policies.push(policy),
            Parsed::Namespace(namespace) => self.documents.namespaces.push(namespace),
            Parsed::Container(container) => self.documents.containers.push(container),
        }
    }
}
