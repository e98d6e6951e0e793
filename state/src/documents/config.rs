//! `plumbline.yaml`: what belongs to the tree as a whole.
//!
//! Its fields stand at the top level of the document. Who may sign the tree, or move it back, is no
//! setting of the tree: it could weaken itself.

use std::collections::BTreeSet;

use super::codes;
use super::fields::{Context, Fields};
use super::ignore;
use super::kinds;
use super::limits;
use super::suggest::one_of;
use super::yaml::{Node, shown};

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

/// Reads what is not `metadata`, which says nothing here.
pub(super) fn parse(mut fields: Fields<'_, '_>, context: &mut Context<'_>) -> Config {
    let ignore = fields.take("ignore");
    let ignore_kinds = fields.take("ignoreKinds");
    let forwarding = fields.take("forwarding");
    let dns = fields.take("dns");
    fields.later("trustLabels", context);
    fields.finish(context);
    let default = Config::default();
    Config {
        ignore: ignore.map_or(default.ignore, |node| globs(node, context)),
        ignore_kinds: ignore_kinds.map_or(default.ignore_kinds, |node| kind_names(node, context)),
        forwarding: forwarding
            .and_then(|node| context.boolean(node, "forwarding"))
            .unwrap_or(default.forwarding),
        dns: dns
            .and_then(|node| self::dns(node, context))
            .unwrap_or(default.dns),
    }
}

fn globs(node: &Node<'_>, context: &mut Context<'_>) -> Vec<String> {
    let items = context.list(node, "ignore").unwrap_or_default();
    if items.len() > limits::GLOBS {
        let message = format!("ignore has more than {} globs", limits::GLOBS);
        context.error(node.spot, codes::BAD_SETTING, message);
        return Vec::new();
    }
    items
        .iter()
        .filter_map(|item| checked_glob(item, context))
        .collect()
}

fn checked_glob(node: &Node<'_>, context: &mut Context<'_>) -> Option<String> {
    let text = context.text(node, "a glob of ignore")?;
    let problem = if text.len() > limits::GLOB_BYTES {
        Some(format!("has more than {} bytes", limits::GLOB_BYTES))
    } else {
        ignore::problem(text)
    };
    match problem {
        None => Some(text.to_owned()),
        Some(problem) => {
            let message = format!("{} {problem}", shown(text));
            let help = "a glob is like charts, charts/*.yaml or **/values.yaml";
            context.error_with(node.spot, codes::BAD_SETTING, message, help);
            None
        }
    }
}

/// Reads `ignoreKinds`. What is served cannot be ignored: a policy left out opens its containers.
fn kind_names(node: &Node<'_>, context: &mut Context<'_>) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for item in context.list(node, "ignoreKinds").unwrap_or_default() {
        let Some(name) = context.text(item, "an item of ignoreKinds") else {
            continue;
        };
        if kinds::is_served(name) {
            let message = format!("{name} is served by this version and cannot be ignored");
            let help = "leave files out by `ignore` instead";
            context.error_with(item.spot, codes::BAD_SETTING, message, help);
        } else {
            names.insert(name.to_owned());
        }
    }
    names
}

fn dns(node: &Node<'_>, context: &mut Context<'_>) -> Option<Dns> {
    match context.text(node, "dns")? {
        "host" => Some(Dns::Host),
        "leave" => Some(Dns::Leave),
        other => {
            let message = format!("{} is no way to treat resolv.conf", shown(other));
            let help = one_of(other, &["host", "leave"]);
            context.error_with(node.spot, codes::BAD_SETTING, message, help);
            None
        }
    }
}
