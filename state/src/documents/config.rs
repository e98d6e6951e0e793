//! `plumbline.yaml`: what belongs to the tree as a whole.
//!
//! Its fields stand at the top level of the document. Who may sign the tree, or move it back, is no
//! setting of the tree: it could weaken itself.

use std::collections::BTreeSet;

use globset::{Glob, GlobBuilder, GlobSet, GlobSetBuilder};

use super::codes;
use super::fields::{Context, Fields};
use super::kinds;
use super::limits;
use super::suggest::one_of;
use super::tree::{LeftOut, Tree};
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

impl Config {
    /// Moves the files that `ignore` names from what is read to what is left out.
    pub(super) fn leave_out(&self, tree: &mut Tree) {
        let Some(globs) = self.globs() else { return };
        let ignored: Vec<_> = tree
            .files
            .keys()
            .filter(|path| &***path != Tree::CONFIG && is_ignored(&globs, path))
            .cloned()
            .collect();
        for path in ignored {
            tree.files.remove(&path);
            tree.left_out.insert(path, LeftOut::Ignored);
        }
    }

    fn globs(&self) -> Option<GlobSet> {
        if self.ignore.is_empty() {
            return None;
        }
        let mut set = GlobSetBuilder::new();
        for text in &self.ignore {
            set.add(glob(text).ok()?);
        }
        set.build().ok()
    }
}

/// A glob is about a path below the root: `*` stays within a folder, `**` does not.
fn glob(text: &str) -> Result<Glob, globset::Error> {
    GlobBuilder::new(text.strip_suffix('/').unwrap_or(text))
        .literal_separator(true)
        .build()
}

/// Whether a glob names the path or a folder on its way.
fn is_ignored(globs: &GlobSet, path: &str) -> bool {
    let folders = path.match_indices('/').map(|(at, _)| &path[..at]);
    globs.is_match(path) || folders.into_iter().any(|folder| globs.is_match(folder))
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
    } else if text.is_empty() || text == "/" {
        Some("names nothing".to_owned())
    } else if text.starts_with('/') || text.split('/').any(|part| matches!(part, "." | "..")) {
        Some("is not a path below the tree's root".to_owned())
    } else {
        glob(text)
            .err()
            .map(|error| format!("is no glob: {}", error.kind()))
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

#[cfg(test)]
mod tests {
    use super::*;

    fn left_out(globs: &[&str], paths: &[&str]) -> Vec<String> {
        let config = Config {
            ignore: globs.iter().map(|glob| (*glob).to_owned()).collect(),
            ..Config::default()
        };
        let mut tree = Tree::default();
        for path in paths {
            tree.files.insert((*path).into(), Vec::new().into());
        }
        config.leave_out(&mut tree);
        tree.left_out.keys().map(|path| path.to_string()).collect()
    }

    #[test]
    fn globs_name_paths_and_folders() {
        let paths = [
            "a.yaml",
            "charts/x/values.yaml",
            "charts/y.yaml",
            "plumbline.yaml",
        ];
        for (glob, expected) in [
            ("charts", &paths[1..3]),
            ("charts/", &paths[1..3]),
            ("charts/*.yaml", &paths[2..3]),
            ("**/values.yaml", &paths[1..2]),
            ("*.yaml", &paths[..1]),
            ("**", &paths[..3]),
            ("nothing", &[]),
        ] {
            assert_eq!(left_out(&[glob], &paths), expected, "{glob}");
        }
    }
}
