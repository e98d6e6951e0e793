//! `v1 Namespace`.

use crate::words::labels::Labels;
use crate::words::names::NamespaceName;
use crate::words::place::Place;

/// A declared namespace. One that is not declared exists with
/// [`NAMESPACE_NAME_LABEL`](crate::words::labels::NAMESPACE_NAME_LABEL) alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Namespace {
    /// Where its document begins.
    pub place: Place,
    /// Its name.
    pub name: NamespaceName,
    /// Its labels, with `kubernetes.io/metadata.name` already among them.
    pub labels: Labels,
}
