//! Text to documents: every finding of a whole tree at once, each with its place.

pub mod limits;
pub mod codes;
pub mod tree;
pub mod yaml;
pub mod network_policy;
pub mod namespace;
pub mod container;
pub mod config;

pub use config::Config;
pub use container::Container;
pub use namespace::Namespace;
pub use network_policy::NetworkPolicy;

/// All documents of a tree that was found valid document by document.
#[derive(Clone, Debug, Default)]
pub struct Documents {
    /// `plumbline.yaml`, or its defaults.
    pub config: Config,
    /// Declared namespaces.
    pub namespaces: Vec<Namespace>,
    /// Containers of all hosts.
    pub containers: Vec<Container>,
    /// Policies.
    pub policies: Vec<NetworkPolicy>,
    /// How many documents `ignoreKinds` left out, by kind.
    pub ignored: std::collections::BTreeMap<String, usize>,
    /// What an API server wrote and nothing acts on, for `validate -v`: field and place.
    pub accepted: Vec<(String, crate::words::place::Place)>,
}
