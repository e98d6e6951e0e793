//! `plumbline.yaml`: what belongs to the tree as a whole.

use std::collections::BTreeSet;

/// `plumbline.dev/v1alpha1 Config`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// `ignore`: globs of paths that hold no documents of ours.
    pub ignore: Vec<String>,
    /// `ignoreKinds`: kinds to skip.
    pub ignore_kinds: BTreeSet<String>,
    /// `forwarding`: whether forwarding that containers need and the host has off is turned on.
    pub forwarding: bool,
    /// `dns`: what becomes of a managed container's `resolv.conf`.
    pub dns: Dns,
}

/// `dns` of [`Config`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dns {
    /// `host`: the host's is copied.
    #[default]
    Host,
    /// `leave`: none is written.
    Leave,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            ignore: Vec::new(),
            ignore_kinds: BTreeSet::new(),
            forwarding: true,
            dns: Dns::default(),
        }
    }
}
