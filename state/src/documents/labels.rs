//! Label sets and label selectors, checked as the Kubernetes API server checks them
//! (`ValidateLabels`, `ValidateLabelSelector` of k8s.io/apimachinery).

use std::collections::BTreeSet;
use std::sync::Arc;

use super::codes;
use super::fields::{Context, Fields};
use super::suggest::one_of;
use super::yaml::{Entry, Node, Spot, Value, shown};
use crate::words::labels::{Labels, Operator, Requirement, Selector, check_key, check_value};

const OPERATORS: &[&str] = &["In", "NotIn", "Exists", "DoesNotExist"];

/// Reads a label set. A label without a value is a finding: Kubernetes would read an empty value,
/// others would read no label.
pub(super) fn labels(node: &Node<'_>, what: &str, context: &mut Context<'_>) -> Labels {
    let mut labels = Labels::new();
    for entry in context.map(node, what).unwrap_or_default() {
        if !context.has_room() {
            break;
        }
        let key = label_key(entry, context);
        let value = label_value(&entry.value, what, context);
        if let (Some(key), Some(value)) = (key, value) {
            labels.insert(key, value);
        }
    }
    labels
}

fn label_key(entry: &Entry<'_>, context: &mut Context<'_>) -> Option<Arc<str>> {
    if !check_ambiguous(entry, context) {
        return None;
    }
    match check_key(&entry.key) {
        Ok(()) => Some(Arc::from(&*entry.key)),
        Err(error) => {
            let message = format!("the label key {} {error}", shown(&entry.key));
            context.error(entry.spot, codes::BAD_LABEL, message);
            None
        }
    }
}

/// Whether a key is the same string for every reader; a finding where not.
pub(super) fn check_ambiguous(entry: &Entry<'_>, context: &mut Context<'_>) -> bool {
    if entry.ambiguous {
        let key = shown(&entry.key);
        let message = format!("some YAML readers take the key {key} for a boolean");
        context.error_with(
            entry.spot,
            codes::YAML_AMBIGUOUS,
            message,
            format!("quote it: {key}"),
        );
    }
    !entry.ambiguous
}

fn label_value(node: &Node<'_>, what: &str, context: &mut Context<'_>) -> Option<Arc<str>> {
    if node.is_null() {
        let message = format!("a label of {what} has no value");
        let help = "write \"\" for an empty value, or take the label away";
        context.error_with(node.spot, codes::BAD_LABEL, message, help);
        return None;
    }
    let text = context.text(node, "a label's value")?;
    match check_value(text) {
        Ok(()) => Some(Arc::from(text)),
        Err(error) => {
            let message = format!("the label value {} {error}", shown(text));
            context.error(node.spot, codes::BAD_LABEL, message);
            None
        }
    }
}

/// Reads a label selector. The empty one selects everything.
pub(super) fn selector(node: &Node<'_>, what: &'static str, context: &mut Context<'_>) -> Selector {
    let mut selector = Selector::default();
    let Some(mut fields) = Fields::of(node, what, context) else {
        return selector;
    };
    if let Some(node) = fields.take("matchLabels") {
        for (key, value) in labels(node, "matchLabels", context) {
            let operator = Operator::In(BTreeSet::from([value]));
            selector.requirements.insert(Requirement { key, operator });
        }
    }
    if let Some(node) = fields.take("matchExpressions") {
        let items = context.list(node, "matchExpressions").unwrap_or_default();
        let requirements = items.iter().filter_map(|item| requirement(item, context));
        selector.requirements.extend(requirements);
    }
    fields.finish(context);
    selector
}

fn requirement(node: &Node<'_>, context: &mut Context<'_>) -> Option<Requirement> {
    if !context.has_room() {
        return None;
    }
    let mut fields = Fields::of(node, "an item of matchExpressions", context)?;
    let key = fields.required("key", context);
    let operator = fields.required("operator", context);
    let values = fields.take("values");
    fields.finish(context);
    let key = key.and_then(|node| expression_key(node, context));
    let read = values.map(|node| expression_values(node, context));
    let operator = operator.and_then(|node| {
        let name = context.text(node, "operator")?;
        check_operator(name, node.spot, values, context)?;
        let values = read.unwrap_or_default();
        Some(match name {
            "In" => Operator::In(values),
            "NotIn" => Operator::NotIn(values),
            "Exists" => Operator::Exists,
            _ => Operator::DoesNotExist,
        })
    });
    Some(Requirement {
        key: key?,
        operator: operator?,
    })
}

/// Whether there is such an operator, and it has the values that it needs.
fn check_operator(
    name: &str,
    spot: Spot,
    values: Option<&Node<'_>>,
    context: &mut Context<'_>,
) -> Option<()> {
    let some = values.is_some_and(|node| node.value != Value::List(Vec::new()));
    let at = values.map_or(spot, |node| node.spot);
    let (spot, message, help) = match name {
        "In" | "NotIn" if some => return Some(()),
        "In" | "NotIn" => {
            let help = "write at least one value under `values`";
            (at, format!("{name} needs values"), help.to_owned())
        }
        "Exists" | "DoesNotExist" if !some => return Some(()),
        "Exists" | "DoesNotExist" => {
            let help = "take `values` away, or write In or NotIn";
            (at, format!("{name} takes no values"), help.to_owned())
        }
        other => {
            let message = format!("{} is no operator", shown(other));
            (spot, message, one_of(other, OPERATORS))
        }
    };
    context.error_with(spot, codes::BAD_SELECTOR, message, help);
    None
}

fn expression_key(node: &Node<'_>, context: &mut Context<'_>) -> Option<Arc<str>> {
    let text = context.text(node, "key")?;
    match check_key(text) {
        Ok(()) => Some(Arc::from(text)),
        Err(error) => {
            let message = format!("the label key {} {error}", shown(text));
            context.error(node.spot, codes::BAD_LABEL, message);
            None
        }
    }
}

fn expression_values(node: &Node<'_>, context: &mut Context<'_>) -> BTreeSet<Arc<str>> {
    let items = context.list(node, "values").unwrap_or_default();
    items
        .iter()
        .map_while(|item| {
            context
                .has_room()
                .then(|| label_value(item, "values", context))
        })
        .flatten()
        .collect()
}
