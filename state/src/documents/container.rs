//! `plumbline.dev/v1alpha1 Container`.

use std::net::IpAddr;

use crate::words::labels::Labels;
use crate::words::names::{FullName, HostName};
use crate::words::place::Place;
use crate::words::ports::NamedPort;

/// A workload: its labels and addresses, its host, and how to find it there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container {
    /// Where its document begins.
    pub place: Place,
    /// Namespace and name.
    pub name: FullName,
    /// Its labels.
    pub labels: Labels,
    /// `spec.host`; `None` means every host.
    pub host: Option<HostName>,
    /// `spec.addresses`: one for each family at most, one at least, each with its place.
    pub addresses: Vec<(IpAddr, Place)>,
    /// `spec.ports`.
    pub ports: Vec<NamedPort>,
    /// `spec.connections`: quota of established TCP connections.
    pub connections: u32,
    /// `spec.attach`.
    pub attach: Attach,
}

impl Container {
    /// The quota of a container that names none.
    pub const CONNECTIONS_DEFAULT: u32 = 8_192;
    /// The smallest quota that may be asked for.
    pub const CONNECTIONS_LEAST: u32 = 64;
    /// The largest quota that may be asked for.
    pub const CONNECTIONS_MOST: u32 = 1 << 20;
}

/// How a container is found on its host. This version serves managed namespaces.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Attach {
    /// `netns: {}`: we create `/run/netns/<namespace>.<name>`, its veth pair and routes.
    #[default]
    Managed,
}
