//! `metadata`, which every kind has.
//!
//! Name, namespace and labels count. What a Kubernetes API server or its clients write beside them
//! is accepted and noted, so that what `kubectl get -o yaml` prints can be put under git as it is.

use super::codes;
use super::fields::{Context, Fields, Shape};
use super::labels::{check_ambiguous, labels};
use super::yaml::{Entry, Node, Spot, Value, shown};
use crate::words::labels::{Labels, NAMESPACE_NAME_LABEL, check_key};
use crate::words::names::{NameError, NamespaceName, ObjectName};

/// Fields that others write, and their shapes (`ObjectMeta` of k8s.io/apimachinery).
const ACCEPTED: &[(&str, Shape)] = &[
    ("clusterName", Shape::Scalar),
    ("creationTimestamp", Shape::Scalar),
    ("deletionGracePeriodSeconds", Shape::Scalar),
    ("deletionTimestamp", Shape::Scalar),
    ("finalizers", Shape::List),
    ("generateName", Shape::Scalar),
    ("generation", Shape::Scalar),
    ("managedFields", Shape::List),
    ("ownerReferences", Shape::List),
    ("resourceVersion", Shape::Scalar),
    ("selfLink", Shape::Scalar),
    ("uid", Shape::Scalar),
];

/// All annotations of an object together have at most so many bytes (`TotalAnnotationSizeLimitB`).
const ANNOTATION_BYTES: usize = 256 << 10;

/// What `metadata` says. A part that cannot be read is a finding, and `None` here.
pub(super) struct Metadata {
    /// `name`, not yet checked, and its place.
    pub(super) name: Option<(String, Spot)>,
    /// `namespace`, or the default.
    pub(super) namespace: Option<NamespaceName>,
    /// Where `namespace` stands, if it says anything.
    pub(super) namespace_spot: Option<Spot>,
    /// `labels`.
    pub(super) labels: Labels,
    /// Where the value of the label with a namespace's own name stands, if it does.
    pub(super) name_label: Option<Spot>,
}

impl Metadata {
    /// Checks the name as an object's.
    pub(super) fn object_name(&self, context: &mut Context<'_>) -> Option<(ObjectName, Spot)> {
        let (text, spot) = self.name.as_ref()?;
        let name = checked(ObjectName::new(text), "name", text, *spot, context)?;
        Some((name, *spot))
    }

    /// Checks the name as a namespace's.
    pub(super) fn namespace_name(
        &self,
        context: &mut Context<'_>,
    ) -> Option<(NamespaceName, Spot)> {
        let (text, spot) = self.name.as_ref()?;
        let name = checked(NamespaceName::new(text), "name", text, *spot, context)?;
        Some((name, *spot))
    }
}

/// A name that was checked, or `None` and a finding.
pub(super) fn checked<N>(
    name: Result<N, NameError>,
    what: &str,
    text: &str,
    spot: Spot,
    context: &mut Context<'_>,
) -> Option<N> {
    match name {
        Ok(name) => Some(name),
        Err(error) => {
            let message = format!("the {what} {} {error}", shown(text));
            context.error(spot, codes::BAD_NAME, message);
            None
        }
    }
}

/// Reads `metadata` of a document that stands at `spot`.
pub(super) fn metadata(
    node: Option<&Node<'_>>,
    spot: Spot,
    context: &mut Context<'_>,
) -> Option<Metadata> {
    let Some(node) = node else {
        context.error(spot, codes::MISSING_FIELD, "the document has no metadata");
        return None;
    };
    let mut fields = Fields::of(node, "metadata", context)?;
    let name = fields.required("name", context).and_then(|node| {
        let text = context.text(node, "metadata.name")?;
        Some((text.to_owned(), node.spot))
    });
    let namespace_node = fields.take("namespace");
    let namespace = namespace(namespace_node, context);
    let labels_node = fields.take("labels");
    let read = labels_node.map(|node| labels(node, "metadata.labels", context));
    if let Some(entry) = fields.entry("annotations") {
        annotations(entry, context);
    }
    for (name, shape) in ACCEPTED {
        if let Some(entry) = fields.entry(name) {
            context.shape(&entry.value, name, *shape);
            context.accept(format!("metadata.{name}"), entry.spot);
        }
    }
    fields.finish(context);
    Some(Metadata {
        name,
        namespace,
        namespace_spot: namespace_node
            .filter(|node| !is_empty(node))
            .map(|node| node.spot),
        labels: read.unwrap_or_default(),
        name_label: labels_node.and_then(|node| name_label(node)),
    })
}

/// An empty namespace is the same as none, as for kubectl.
fn namespace(node: Option<&Node<'_>>, context: &mut Context<'_>) -> Option<NamespaceName> {
    let (text, spot) = match node {
        Some(node) => (context.text(node, "metadata.namespace")?, node.spot),
        None => ("", Spot::default()),
    };
    let text = if text.is_empty() {
        NamespaceName::DEFAULT
    } else {
        text
    };
    checked(NamespaceName::new(text), "namespace", text, spot, context)
}

fn is_empty(node: &Node<'_>) -> bool {
    matches!(&node.value, Value::Scalar(scalar) if scalar.text.is_empty())
}

fn name_label(node: &Node<'_>) -> Option<Spot> {
    let Value::Map(entries) = &node.value else {
        return None;
    };
    let entry = entries.iter().find(|e| e.key == NAMESPACE_NAME_LABEL)?;
    Some(entry.value.spot)
}

/// Annotations may say anything, in strings.
fn annotations(entry: &Entry<'_>, context: &mut Context<'_>) {
    context.accept("metadata.annotations", entry.spot);
    if entry.value.is_null() {
        return;
    }
    let mut bytes = 0_usize;
    for annotation in context
        .map(&entry.value, "metadata.annotations")
        .unwrap_or_default()
    {
        // Kubernetes compares annotation keys in lower case here, labels' keys as they are.
        let checked = check_key(&annotation.key.to_ascii_lowercase());
        if let (true, Err(error)) = (check_ambiguous(annotation, context), checked) {
            let message = format!("the annotation key {} {error}", shown(&annotation.key));
            context.error(annotation.spot, codes::BAD_LABEL, message);
        }
        let value = if annotation.value.is_null() {
            None
        } else {
            context.text(&annotation.value, "an annotation's value")
        };
        bytes += annotation.key.len() + value.unwrap_or_default().len();
    }
    if bytes > ANNOTATION_BYTES {
        let message = format!("the annotations have {bytes} bytes, at most 262144 may be");
        context.error(entry.spot, codes::OUT_OF_RANGE, message);
    }
}
