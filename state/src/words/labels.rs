//! Label sets, and the selectors that choose by them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A set of labels: key to value. Keys and values were checked where they entered (a key is an
/// optional DNS prefix and `/`, then up to 63 characters; a value has up to 63).
pub type Labels = BTreeMap<Arc<str>, Arc<str>>;

/// The label every namespace has: its own name.
pub const NAMESPACE_NAME_LABEL: &str = "kubernetes.io/metadata.name";

/// One requirement of a selector, as in `matchExpressions`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Requirement {
    /// The label's key.
    pub key: Arc<str>,
    /// What is required of it.
    pub operator: Operator,
}

/// What a requirement asks of a label. As Kubernetes defines it, a label that is absent satisfies
/// `NotIn`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operator {
    /// Present, with one of these values (at least one).
    In(BTreeSet<Arc<str>>),
    /// Absent, or with none of these values (at least one).
    NotIn(BTreeSet<Arc<str>>),
    /// Present, with any value.
    Exists,
    /// Absent.
    DoesNotExist,
}

/// A label selector: all requirements hold. The empty selector selects everything; `matchLabels`
/// is `In` with one value.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Selector {
    /// The requirements, sorted and without duplicates.
    pub requirements: BTreeSet<Requirement>,
}

impl Selector {
    /// Whether it selects something that carries `labels`.
    pub fn selects(&self, labels: &Labels) -> bool {
        self.requirements.iter().all(|r| r.holds(labels))
    }
}

impl Requirement {
    fn holds(&self, labels: &Labels) -> bool {
        let value = labels.get(&self.key);
        match &self.operator {
            Operator::In(values) => value.is_some_and(|v| values.contains(v)),
            Operator::NotIn(values) => value.is_none_or(|v| !values.contains(v)),
            Operator::Exists => value.is_some(),
            Operator::DoesNotExist => value.is_none(),
        }
    }
}
