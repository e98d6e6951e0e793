//! No dead files: what no `mod` line, no target and no `#include` reaches is not built, not tested
//! and not read. Rust has no warning for it.

use std::collections::{BTreeMap, BTreeSet};

use crate::code;
use crate::includes;
use crate::tree::{Finding, Tree};

/// Each of these is a program: the build compiles the folder.
const BLOCKS: &str = "bpf/datapath/blocks/";
/// What is included by libraries that this script builds from source.
const FOR_OTHERS: (&str, &str) = ("dist/static/include", ".ci/tarball");

/// Every Rust and C file that nothing reaches.
pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let rust = reached(roots(tree), |path| modules(tree, path));
    let c = reached(c_roots(tree, &rust), |path| included(tree, path));
    let dead_rust = tree
        .ending(&[".rs"])
        .filter(|(path, _)| !rust.contains(*path));
    let dead_c = tree
        .ending(&[".c", ".h"])
        .filter(|(path, _)| !c.contains(*path));
    let no_mod = "no mod line and no target of a Cargo.toml reaches this file";
    let no_include = "nothing includes this file, and no build names it";
    let dead_rust = dead_rust.map(|(path, _)| Finding::new(path, 1, no_mod));
    dead_rust
        .chain(dead_c.map(|(path, _)| Finding::new(path, 1, no_include)))
        .collect()
}

/// The files that `next` leads to from the roots, the roots with them.
fn reached(roots: Vec<String>, next: impl Fn(&str) -> Vec<String>) -> BTreeSet<String> {
    let mut reached = BTreeSet::new();
    let mut waiting = roots;
    while let Some(path) = waiting.pop() {
        if reached.insert(path.clone()) {
            waiting.extend(next(&path));
        }
    }
    reached
}

/// The files that cargo compiles first: what each Cargo.toml names, and what cargo finds itself.
fn roots(tree: &Tree) -> Vec<String> {
    let mut roots = Vec::new();
    for (manifest, text) in tree.ending(&["Cargo.toml"]) {
        let folder = manifest.strip_suffix("Cargo.toml").unwrap_or_default();
        roots.extend(target_paths(text).map(|(_, path)| format!("{folder}{path}")));
        let tests = !text.lines().any(|line| line.trim() == "autotests = false");
        for (path, _) in tree.ending(&[".rs"]) {
            if path
                .strip_prefix(folder)
                .is_some_and(|inside| is_found_by_cargo(inside, tests))
            {
                roots.push(path.to_owned());
            }
        }
    }
    roots.retain(|path| tree.text(path).is_some());
    roots
}

/// The `path = "…"` lines of a Cargo.toml's targets, with the line's number.
pub(crate) fn target_paths(manifest: &str) -> impl Iterator<Item = (usize, &str)> {
    manifest.lines().enumerate().filter_map(|(index, line)| {
        let value = line.strip_prefix("path")?.trim_start().strip_prefix('=')?;
        Some((index + 1, value.trim().trim_matches('"')))
    })
}

fn is_found_by_cargo(inside: &str, tests: bool) -> bool {
    let parts: Vec<&str> = inside.split('/').collect();
    match parts[..] {
        ["build.rs"] | ["src", "lib.rs" | "main.rs"] => true,
        ["src", "bin", _] | ["src", "bin", _, "main.rs"] => true,
        ["benches" | "examples", _] | ["benches" | "examples", _, "main.rs"] => true,
        ["tests", _] | ["tests", _, "main.rs"] => tests,
        _ => false,
    }
}

/// The files that a Rust file's `mod NAME;` lines mean, `#[path]` heeded.
fn modules(tree: &Tree, path: &str) -> Vec<String> {
    let Some(text) = tree.text(path) else {
        return Vec::new();
    };
    let (folder, file) = path.rsplit_once('/').unwrap_or(("", path));
    let is_root = roots(tree).iter().any(|root| root == path) || file == "mod.rs";
    let stem = file.trim_end_matches(".rs");
    let below = if is_root {
        folder.to_owned()
    } else {
        format!("{folder}/{stem}")
    };
    let renamed = path_attributes(text);
    let mut modules = Vec::new();
    for pair in code::tokens(&code::blanked(text)).windows(3) {
        if pair[0].text == "mod" && pair[2].text == ";" {
            let name = &pair[1].text;
            match renamed.get(&pair[0].line) {
                Some(file) => modules.push(format!("{folder}/{file}")),
                None => modules.extend([
                    format!("{below}/{name}.rs"),
                    format!("{below}/{name}/mod.rs"),
                ]),
            }
        }
    }
    modules
}

/// `#[path = "…"]` by the line of the `mod` that it stands before (or on).
fn path_attributes(text: &str) -> BTreeMap<usize, &str> {
    let mut attributes = BTreeMap::new();
    let mut waiting = None;
    for (index, line) in text.lines().enumerate() {
        if let Some((_, rest)) = line.split_once("#[path = \"") {
            waiting = rest.split('"').next();
        }
        if line.contains("mod ")
            && let Some(file) = waiting.take()
        {
            attributes.insert(index + 1, file);
        }
    }
    attributes
}

/// The blocks, and C that a reached Rust file of the same crate (a build script, say) names.
fn c_roots(tree: &Tree, rust: &BTreeSet<String>) -> Vec<String> {
    let crate_of = |path: &str| path.split('/').next().unwrap_or_default().to_owned();
    let is_named = |path: &str| {
        let file = path.rsplit('/').next().unwrap_or(path);
        let mut beside = rust.iter().filter(|rust| crate_of(rust) == crate_of(path));
        beside.any(|rust| tree.text(rust).is_some_and(|text| text.contains(file)))
    };
    let is_root = |path: &str| {
        if path.starts_with(BLOCKS) {
            path.ends_with(".bpf.c")
        } else if path.starts_with(FOR_OTHERS.0) {
            let script = tree.text(FOR_OTHERS.1);
            script.is_some_and(|script| script.contains(FOR_OTHERS.0))
        } else {
            is_named(path)
        }
    };
    let c = tree.ending(&[".c", ".h"]).map(|(path, _)| path);
    c.filter(|path| is_root(path)).map(str::to_owned).collect()
}

fn included(tree: &Tree, path: &str) -> Vec<String> {
    let text = tree.text(path).unwrap_or_default();
    includes::includes(text)
        .filter_map(|(_, h)| includes::resolve(tree, path, h))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::places;

    #[test]
    fn rust_that_no_mod_and_no_target_reaches_is_found() {
        let tree = Tree::of(&[
            (
                "a/Cargo.toml",
                "[lib]\npath = \"rig/lib.rs\"\nautotests = false\n",
            ),
            (
                "a/rig/lib.rs",
                "mod flat;\nmod folder;\n#[path = \"odd.rs\"]\nmod even;\n// mod no;",
            ),
            ("a/rig/flat.rs", "mod below;"),
            ("a/rig/flat/below.rs", ""),
            ("a/rig/folder/mod.rs", "pub(crate) mod leaf;"),
            ("a/rig/folder/leaf.rs", ""),
            ("a/rig/odd.rs", ""),
            ("a/rig/no.rs", ""),
            ("a/rig/folder/below.rs", ""),
            ("a/tests/t.rs", ""),
            ("b/Cargo.toml", ""),
            ("b/src/main.rs", ""),
            ("b/tests/t.rs", ""),
            ("b/tests/t/row.rs", ""),
            ("loose.rs", ""),
        ]);
        let expected = [
            "a/rig/folder/below.rs:1",
            "a/rig/no.rs:1",
            "a/tests/t.rs:1",
            "b/tests/t/row.rs:1",
            "loose.rs:1",
        ];
        assert_eq!(places(&check(&tree)), expected);
    }

    #[test]
    fn c_that_nothing_includes_is_found() {
        let tree = Tree::of(&[
            ("bpf/Cargo.toml", ""),
            ("bpf/build.rs", "compile(\"tests/probe.bpf.c\")"),
            (
                "bpf/datapath/blocks/a.bpf.c",
                "#include \"used.h\"\n// #include \"unused.h\"\n",
            ),
            ("bpf/datapath/used.h", "#include \"packet/below.h\"\n"),
            ("bpf/datapath/packet/below.h", ""),
            ("bpf/datapath/unused.h", ""),
            ("bpf/datapath/b.bpf.c", ""),
            ("bpf/tests/probe.bpf.c", ""),
            ("tests/Cargo.toml", "path = \"rig/lib.rs\""),
            ("tests/rig/lib.rs", "// unused.h is no header of this crate"),
        ]);
        let expected = ["bpf/datapath/b.bpf.c:1", "bpf/datapath/unused.h:1"];
        assert_eq!(places(&check(&tree)), expected);
    }
}
