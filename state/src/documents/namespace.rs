//! `v1 Namespace`.

use std::sync::Arc;

use super::codes;
use super::fields::{Context, Fields, Shape};
use super::metadata::Metadata;
use crate::words::labels::{Labels, NAMESPACE_NAME_LABEL};
use crate::words::names::NamespaceName;
use crate::words::place::Place;

/// A declared namespace. One that is not declared exists with
/// [`NAMESPACE_NAME_LABEL`] alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Namespace {
    /// Where its document begins.
    pub place: Place,
    /// Its name.
    pub name: NamespaceName,
    /// Its labels, with `kubernetes.io/metadata.name` already among them.
    pub labels: Labels,
}

/// Reads what is not `metadata`. Everything here is what an API server writes.
pub(super) fn parse(
    mut fields: Fields<'_, '_>,
    metadata: &Metadata,
    context: &mut Context<'_>,
) -> Option<Namespace> {
    for name in ["spec", "status"] {
        if let Some(entry) = fields.entry(name) {
            context.shape(&entry.value, name, Shape::Map);
            context.accept(name, entry.spot);
        }
    }
    let place = context.place(fields.spot());
    fields.finish(context);
    if let Some(spot) = metadata.namespace_spot {
        let help = "take metadata.namespace away";
        context.error_with(
            spot,
            codes::BAD_NAME,
            "a Namespace is in no namespace",
            help,
        );
    }
    let (name, _) = metadata.namespace_name(context)?;
    let mut labels = metadata.labels.clone();
    let own = labels.insert(NAMESPACE_NAME_LABEL.into(), Arc::from(name.as_str()));
    if let (Some(own), Some(spot)) = (own, metadata.name_label)
        && *own != *name.as_str()
    {
        let message = format!("{NAMESPACE_NAME_LABEL} is not the namespace's name");
        let help = format!("it is always {name}: take the label away");
        context.error_with(spot, codes::BAD_LABEL, message, help);
    }
    Some(Namespace {
        place,
        name,
        labels,
    })
}
