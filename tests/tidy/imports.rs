//! Who may import whom, in Rust: the table of the layout, and the paths in the code against it.
//!
//! Crates point one way, state <- bpf <- reconciler <- tests; cargo holds that. Inside a crate the
//! folders do as well, in the order of its `lib.rs`; this holds that. A better cut is welcome: the
//! row changes with the code, in the same commit.

use crate::code::{self, Token};
use crate::tree::{Finding, Tree};

/// The library crates of ours, by the names that code uses.
const CRATES: &[&str] = &["state", "bpf", "reconciler"];

/// A folder (or a file at its level) of `CRATE/src`, and what it may import: modules of its own
/// crate by their name, others by their crate's. A module brings what is below it.
struct Row {
    folder: &'static str,
    may_import: &'static [&'static str],
}

const fn row(folder: &'static str, may_import: &'static [&'static str]) -> Row {
    Row { folder, may_import }
}

const STATE: &[Row] = &[
    row("words", &[]),
    row("documents", &["words"]),
    row("desired", &["words", "documents"]),
    row("target", &["words", "desired"]),
    row("reach", &["words", "documents", "desired", "target"]),
    row("live", &["words", "target"]),
    row("diff", &["words", "target", "live"]),
    row("plan", &["words", "target", "live", "diff"]),
    row("drift", &["words", "target", "live", "diff", "plan"]),
];

/// The loader is flat: each file may import those whose `mod` lines stand above its own in lib.rs,
/// and of state what it turns into bytes and back.
const BPF_FROM_STATE: &[&str] = &[
    "state::words",
    "state::target",
    "state::live",
    "state::diff",
];

const RECONCILER: &[Row] = &[
    row("source", &["state::words", "state::documents::tree"]),
    row("run", &["state::words", "state::documents::tree"]),
    row(
        "host",
        &["state::words", "state::target", "state::live", "run"],
    ),
    row(
        "live",
        &[
            "state::words",
            "state::target",
            "state::live",
            "bpf::guard",
            "bpf::kernel",
            "bpf::live",
            "host",
        ],
    ),
    row(
        "apply",
        &[
            "state::words",
            "state::target",
            "state::live",
            "state::diff",
            "state::plan",
            "bpf",
            "run",
            "host",
            "live",
        ],
    ),
    row(
        "pipeline",
        &["source", "run", "host", "live", "apply", "state", "bpf"],
    ),
    row("watch", &["pipeline", "run"]),
    row("report", &["state"]),
    row(
        "applied",
        &["source", "run", "live", "pipeline", "report", "state"],
    ),
    row("back", &["run", "live", "pipeline", "applied", "state"]),
    row(
        "drift",
        &[
            "run", "live", "pipeline", "report", "applied", "state", "bpf",
        ],
    ),
    row(
        "doctor",
        &[
            "source", "run", "host", "live", "pipeline", "report", "drift", "state", "bpf",
        ],
    ),
    row(
        "commands",
        &[
            "source", "run", "host", "live", "apply", "pipeline", "watch", "report", "applied",
            "back", "drift", "doctor", "state", "bpf",
        ],
    ),
    row("main", &["commands", "report::exit"]),
];

/// Every import that the table does not allow, and every folder that it does not know.
pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.ending(&[".rs"]) {
        let Some((own_crate, module)) = module_of(path) else {
            continue;
        };
        // lib.rs is the map: it names every folder and may show anything of them.
        let Some(folder) = module.first() else {
            continue;
        };
        let Some(allowed) = allowed(tree, own_crate, folder) else {
            findings.push(Finding::new(path, 1, unknown_folder(own_crate, folder)));
            continue;
        };
        for import in imports(&code::tokens(&code::blanked(text)), own_crate, &module) {
            let inside = import.starts_with(&[own_crate, folder.as_str()]);
            if !inside && !allowed.iter().any(|allowed| import.starts_with(allowed)) {
                let says = refusal(own_crate, folder, &import.path);
                findings.push(Finding::new(path, import.line, says));
            }
        }
    }
    findings
}

fn unknown_folder(own_crate: &str, folder: &str) -> String {
    format!("{own_crate}::{folder} has no row in the import table (tests/tidy/imports.rs)")
}

fn refusal(own_crate: &str, folder: &str, path: &[String]) -> String {
    let path = path.join("::");
    format!("{own_crate}::{folder} may not import {path} (the table is in tests/tidy/imports.rs)")
}

/// The crate that a file of `CRATE/src` belongs to, and its module path; the root has an empty one.
fn module_of(path: &str) -> Option<(&'static str, Vec<String>)> {
    let (crate_folder, inside) = path.split_once("/src/")?;
    let own_crate = CRATES.iter().find(|name| **name == crate_folder)?;
    let inside = inside.strip_suffix(".rs")?;
    let mut module: Vec<String> = inside.split('/').map(str::to_owned).collect();
    if module.last().is_some_and(|last| last == "mod") || module == ["lib"] {
        module.pop();
    }
    Some((own_crate, module))
}

/// What a folder may import besides itself, each as a whole path; `None` where it has no row.
fn allowed(tree: &Tree, own_crate: &str, folder: &str) -> Option<Vec<Vec<String>>> {
    let (rows, own_crate) = match own_crate {
        "state" => (STATE, own_crate),
        "bpf" => return allowed_by_order(tree, own_crate, folder),
        _ => (RECONCILER, own_crate),
    };
    let row = rows.iter().find(|row| row.folder == folder)?;
    Some(
        row.may_import
            .iter()
            .map(|path| whole_path(own_crate, path))
            .collect(),
    )
}

fn allowed_by_order(tree: &Tree, own_crate: &str, file: &str) -> Option<Vec<Vec<String>>> {
    let map = tree.text(&format!("{own_crate}/src/lib.rs"))?;
    let tokens = code::tokens(&code::blanked(map));
    let modules = tokens
        .windows(3)
        .filter(|t| t[0].text == "mod" && t[2].text == ";");
    let modules: Vec<&str> = modules.map(|t| t[1].text.as_str()).collect();
    let place = modules.iter().position(|name| *name == file)?;
    let above = modules[..place]
        .iter()
        .map(|name| whole_path(own_crate, name));
    let state = BPF_FROM_STATE
        .iter()
        .map(|path| whole_path(own_crate, path));
    Some(above.chain(state).collect())
}

fn whole_path(own_crate: &str, path: &str) -> Vec<String> {
    let parts = path.split("::").map(str::to_owned);
    if CRATES.contains(&path.split("::").next().unwrap_or_default()) {
        return parts.collect();
    }
    std::iter::once(own_crate.to_owned()).chain(parts).collect()
}

/// A path of ours that the code names, from its crate on.
struct Import {
    path: Vec<String>,
    line: usize,
}

impl Import {
    fn starts_with<S: AsRef<str>>(&self, prefix: &[S]) -> bool {
        let pairs = self.path.iter().zip(prefix);
        self.path.len() >= prefix.len() && pairs.into_iter().all(|(a, b)| a == b.as_ref())
    }
}

/// Every path that begins with a crate of ours, `crate` or `super`, in `use` lines and elsewhere.
fn imports(tokens: &[Token], own_crate: &str, module: &[String]) -> Vec<Import> {
    let mut imports = Vec::new();
    let mut depth = 0_usize;
    // The inline modules (`mod tests {`) around this token, each with the depth of its braces.
    let mut inline: Vec<(String, usize)> = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        match token.text.as_str() {
            "{" => depth += 1,
            "}" => {
                depth = depth.saturating_sub(1);
                inline.pop_if(|(_, opened)| *opened == depth);
            }
            "mod" if tokens.get(at + 2).is_some_and(|t| t.text == "{") => {
                inline.push((tokens[at + 1].text.clone(), depth));
            }
            _ if begins_path(tokens, at) => {
                let here = module.iter().chain(inline.iter().map(|(name, _)| name));
                let here: Vec<&str> = here.map(String::as_str).collect();
                if let Some((start, offset)) = path_start(&tokens[at..], own_crate, &here) {
                    read_use_tree(&tokens[at + offset..], &start, &mut imports);
                }
            }
            _ => {}
        }
    }
    imports
}

/// Whether a path begins here: a name before `::` that does not itself follow one.
fn begins_path(tokens: &[Token], at: usize) -> bool {
    let follows = at > 0 && matches!(tokens[at - 1].text.as_str(), "::" | ".");
    !follows && tokens[at].is_name() && tokens.get(at + 1).is_some_and(|t| t.text == "::")
}

/// The whole path that the first words stand for, and how many tokens they are (`::` included).
/// `None` for a path that is not ours, or does not leave its own module.
fn path_start(tokens: &[Token], own_crate: &str, here: &[&str]) -> Option<(Vec<String>, usize)> {
    let first = tokens[0].text.as_str();
    let whole = |parts: &[&str]| parts.iter().map(|part| (*part).to_owned()).collect();
    match first {
        "crate" => Some((whole(&[own_crate]), 2)),
        "super" => {
            let is_super = |pair: &[Token]| pair[0].text == "super" && pair[1].text == "::";
            let levels = tokens
                .chunks_exact(2)
                .take_while(|pair| is_super(pair))
                .count();
            let above = &here[..here.len().saturating_sub(levels)];
            Some((whole(&[&[own_crate], above].concat()), 2 * levels))
        }
        _ if CRATES.contains(&first) => Some((whole(&[first]), 2)),
        _ => None,
    }
}

/// Reads `a::b`, `a::{b, c::d}` or `*` after `start`, and notes each path that it names. Returns
/// how many tokens it took.
fn read_use_tree(tokens: &[Token], start: &[String], imports: &mut Vec<Import>) -> usize {
    let mut path = start.to_vec();
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        if token.text == "{" {
            return at + 1 + read_use_list(&tokens[at + 1..], &path, imports);
        }
        if token.is_name() && token.text != "self" {
            path.push(token.text.clone());
        }
        if tokens.get(at + 1).is_none_or(|next| next.text != "::") {
            imports.push(Import {
                path,
                line: token.line,
            });
            break;
        }
        at += 2;
    }
    at + 1
}

fn read_use_list(tokens: &[Token], path: &[String], imports: &mut Vec<Import>) -> usize {
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        match token.text.as_str() {
            "}" => return at + 1,
            "as" => at += 2,
            "," => at += 1,
            _ => at += read_use_tree(&tokens[at..], path, imports),
        }
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::places;

    const LOADER: (&str, &str) = (
        "bpf/src/lib.rs",
        "pub mod encode;\nmod object; // mod fake;\npub mod live;\n",
    );

    fn found(path: &str, text: &str) -> Vec<String> {
        places(&check(&Tree::of(&[LOADER, (path, text)])))
    }

    #[test]
    fn what_the_table_allows_passes() {
        for (path, text) in [
            (
                "state/src/lib.rs",
                "pub use plan::Plan; use crate::words::Name;",
            ),
            (
                "state/src/words/names.rs",
                "use std::fmt; use super::Cidr; use crate::words::Mac;",
            ),
            (
                "state/src/desired/mod.rs",
                "use crate::{words::{Name, Cidr}, documents::Tree};",
            ),
            (
                "state/src/desired/judge.rs",
                "fn f() -> crate::words::Verdict { Verdict::Allow }",
            ),
            (
                "state/src/diff.rs",
                "use crate::target::Target; mod tests { use super::*; }",
            ),
            (
                "bpf/src/live.rs",
                "use state::target::Target; use crate::encode;",
            ),
            (
                "reconciler/src/source/git.rs",
                "use state::documents::tree::Tree;",
            ),
            (
                "reconciler/src/main.rs",
                "use reconciler::report::exit::Code;",
            ),
            (
                "reconciler/src/host/links.rs",
                "use rtnetlink::state::plan; // crate::apply",
            ),
            ("tests/rig/lab.rs", "use reconciler::apply;"),
        ] {
            assert_eq!(found(path, text), [""; 0], "{path}: {text}");
        }
    }

    #[test]
    fn what_it_does_not_allow_is_found_however_it_is_written() {
        for (path, text) in [
            ("state/src/words/names.rs", "use crate::documents::Tree;"),
            (
                "state/src/words/names.rs",
                "use super::super::documents::Tree;",
            ),
            ("state/src/words/mod.rs", "use super::documents::Tree;"),
            (
                "state/src/words/names.rs",
                "mod tests { use super::super::super::plan; }",
            ),
            (
                "state/src/words/names.rs",
                "fn f() { crate::plan::order() }",
            ),
            (
                "state/src/target/mod.rs",
                "use crate::{words, documents as d};",
            ),
            (
                "state/src/target/mod.rs",
                "use crate::{words::{self, Name}, plan::{Plan}};",
            ),
            ("state/src/target/mod.rs", "use crate::*;"),
            ("state/src/target/mod.rs", "use crate::Problem;"),
            ("bpf/src/encode.rs", "use state::plan::Operation;"),
            ("bpf/src/encode.rs", "use state::{target, desired};"),
            ("bpf/src/encode.rs", "use crate::live;"),
            ("reconciler/src/source/git.rs", "use state::documents;"),
            ("reconciler/src/live.rs", "use bpf::slots;"),
            ("reconciler/src/report/text.rs", "use crate::host;"),
            ("reconciler/src/main.rs", "use reconciler::apply;"),
            ("reconciler/src/nowhere.rs", ""),
            ("bpf/src/fake.rs", ""),
        ] {
            assert_eq!(found(path, text), [format!("{path}:1")], "{path}: {text}");
        }
    }

    #[test]
    fn each_finding_has_its_line() {
        let text = [
            "use std::fmt;",
            "/* crate::plan */",
            "use crate::{",
            "    words::Name,",
            "    plan::Plan,",
            "};",
            "",
            "fn f(s: &str) -> crate::diff::Diff { g(\"crate::plan\") }",
        ];
        let expected = ["state/src/target/mod.rs:5", "state/src/target/mod.rs:8"];
        assert_eq!(found("state/src/target/mod.rs", &text.join("\n")), expected);
    }
}
