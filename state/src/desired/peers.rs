//! Whom a rule may mean, with its selectors and ranges resolved: each content is kept once, however
//! many rules repeat it.

use std::net::IpAddr;

use crate::words::address::Cidr;
use crate::words::canonical::Canonical;
use crate::words::labels::{Labels, Operator, Selector};
use crate::words::names::NamespaceName;

/// Containers as a peer names them. An absent `podSelector` is the empty one here.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Group {
    /// Of which namespaces.
    pub scope: Scope,
    /// Which of their containers.
    pub pods: Selector,
}

impl Group {
    /// Its content. The policy's own namespace is not in it: the policy's name says which it is.
    pub(super) fn write(&self, bytes: &mut Canonical) {
        match &self.scope {
            Scope::Own(_) => {
                bytes.choice(0);
            }
            Scope::Selected(selector) => {
                bytes.choice(1);
                write_selector(bytes, selector);
            }
        }
        write_selector(bytes, &self.pods);
    }
}

/// The namespaces of a [`Group`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// The policy's own.
    Own(NamespaceName),
    /// Those that a `namespaceSelector` selects.
    Selected(Selector),
}

impl Scope {
    /// Whether it holds a namespace.
    pub fn holds(&self, name: &NamespaceName, labels: &Labels) -> bool {
        match self {
            Self::Own(own) => own == name,
            Self::Selected(selector) => selector.selects(labels),
        }
    }
}

/// An `ipBlock`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Block {
    /// The range.
    pub cidr: Cidr,
    /// What is left out of it: sorted, none within another.
    pub except: Vec<Cidr>,
}

impl Block {
    pub(super) fn new(cidr: Cidr, except: &[Cidr]) -> Self {
        let mut sorted: Vec<Cidr> = except.iter().map(Cidr::trunc).collect();
        sorted.sort();
        let mut outermost: Vec<Cidr> = Vec::with_capacity(sorted.len());
        for cidr in sorted {
            if outermost.last().is_none_or(|last| !last.contains(&cidr)) {
                outermost.push(cidr);
            }
        }
        Self {
            cidr: cidr.trunc(),
            except: outermost,
        }
    }

    /// Whether it holds an address.
    pub fn holds(&self, address: IpAddr) -> bool {
        self.cidr.contains(&address) && !self.except.iter().any(|cidr| cidr.contains(&address))
    }

    /// Its content.
    pub fn write(&self, bytes: &mut Canonical) {
        bytes.cidr(self.cidr).length(self.except.len());
        for cidr in &self.except {
            bytes.cidr(*cidr);
        }
    }
}

fn write_selector(bytes: &mut Canonical, selector: &Selector) {
    bytes.length(selector.requirements.len());
    for requirement in &selector.requirements {
        bytes.text(&requirement.key);
        let (choice, values) = match &requirement.operator {
            Operator::In(values) => (0, Some(values)),
            Operator::NotIn(values) => (1, Some(values)),
            Operator::Exists => (2, None),
            Operator::DoesNotExist => (3, None),
        };
        bytes.choice(choice).length(values.map_or(0, |v| v.len()));
        for value in values.into_iter().flatten() {
            bytes.text(value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn excepts_within_excepts_mean_nothing() {
        let written = Block::new(
            "10.0.0.0/8".parse().unwrap(),
            &["10.2.0.0/16", "10.1.3.0/24", "10.1.0.0/16"].map(|c| c.parse().unwrap()),
        );
        let kept: Vec<String> = written.except.iter().map(ToString::to_string).collect();
        assert_eq!(kept, ["10.1.0.0/16", "10.2.0.0/16"]);
    }
}
