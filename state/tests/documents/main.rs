//! Trees of documents, and what is found in them.

mod accepted;
mod corpus;
mod explained;
mod files;
mod hostile;
mod memory;
mod names;
mod schema;
mod schemas;
mod second_reader;
mod semantics;
mod settings;
mod yaml;

use std::sync::Arc;

use state::documents::memory::Memory;
use state::documents::tree::Tree;
use state::documents::{self, Documents};
use state::words::problem::Problems;

/// A bad input and all that is found in it: `code line:column`, in the order of their places.
type Row = (&'static str, &'static str);

/// A tree that was parsed.
struct Parsed {
    tree: Tree,
    documents: Documents,
    problems: Problems,
}

fn parse(mut tree: Tree) -> Parsed {
    let (mut memory, mut same) = (Memory::default(), tree.clone());
    let (documents, problems) = documents::parse_again(&mut tree, &mut memory);
    // Who reads it once more, and remembers most of it, finds the same.
    let again = documents::parse_again(&mut same, &mut memory);
    assert!(again == (documents.clone(), problems.clone()), "read again");
    if !problems.has_errors() {
        schemas::accept(&tree);
    }
    Parsed {
        tree,
        documents,
        problems,
    }
}

/// A tree of these files.
fn tree(files: &[(&str, &str)]) -> Tree {
    let mut tree = Tree::default();
    for (path, text) in files {
        let content: Arc<[u8]> = text.as_bytes().into();
        tree.files.insert((*path).into(), content);
    }
    tree
}

/// What was found, as `file code line:column`; the file only where it is not `a.yaml`.
fn found(parsed: &Parsed) -> String {
    let problems = parsed.problems.clone().sorted();
    let lines = problems.iter().map(|p| {
        let file = match &*p.place.file {
            "a.yaml" => String::new(),
            other => format!("{other} "),
        };
        format!("{file}{} {}:{}", p.code, p.place.line, p.place.column)
    });
    lines.collect::<Vec<_>>().join(", ")
}

/// Reads one file and gives what was found.
fn found_in(text: &str) -> String {
    found(&parse(tree(&[("a.yaml", text)])))
}

/// Checks rows, all of them before it fails. `whole` makes a file of a row's text.
fn check(rows: &[Row], whole: impl Fn(&str) -> String) {
    check_by(rows, |text| found_in(&whole(text)));
}

/// The same for rows of `plumbline.yaml`.
fn check_config(rows: &[Row]) {
    check_by(rows, |text| {
        let text = format!("apiVersion: plumbline.dev/v1alpha1\nkind: Config\n{text}\n");
        found(&parse(tree(&[("plumbline.yaml", &text)]))).replace("plumbline.yaml ", "")
    });
}

fn check_by(rows: &[Row], found: impl Fn(&str) -> String) {
    let mut wrong = Vec::new();
    for (expected, text) in rows {
        let found = found(text);
        if found != *expected {
            wrong.push(format!(
                "{text}\n  expected {expected}\n  found    {found}\n"
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A policy whose `spec` begins on line 6.
fn policy(spec: &str) -> String {
    let head =
        "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata:\n  name: p\nspec:\n";
    format!("{head}{}", indented(spec, 2))
}

/// A container whose `spec` begins on line 6.
fn container(spec: &str) -> String {
    let head = "apiVersion: plumbline.dev/v1alpha1\nkind: Container\nmetadata:\n  name: c\nspec:\n";
    format!("{head}{}", indented(spec, 2))
}

fn indented(text: &str, spaces: usize) -> String {
    let indentation = " ".repeat(spaces);
    let lines = text.lines().map(|line| format!("{indentation}{line}\n"));
    lines.collect()
}

/// All rows of bad inputs, by class.
const CLASSES: &[(&str, &[Row])] = &[
    ("yaml", yaml::ROWS),
    ("schema", schema::DOCUMENTS),
    ("schema", schema::POLICY_SPECS),
    ("schema", schema::CONTAINER_SPECS),
    ("schema", schema::CONFIGS),
    ("names", names::METADATA),
    ("names", names::SELECTORS),
    ("semantics", semantics::POLICY_SPECS),
    ("semantics", semantics::CONTAINER_SPECS),
    ("semantics", semantics::TREES),
    ("files", files::ROWS),
];

#[test]
fn there_are_enough_bad_inputs() {
    let rows: usize = CLASSES.iter().map(|(_, rows)| rows.len()).sum();
    assert!(rows >= 200, "{rows} rows");
}

#[test]
fn every_code_is_found_somewhere() {
    let by_hand = ["too-large", "too-many", "too-complex", "not-utf8"];
    for code in state::documents::codes::ALL {
        let mut rows = CLASSES.iter().flat_map(|(_, rows)| *rows);
        let found = rows.any(|(expected, _)| expected.split([' ', ',']).any(|word| word == *code));
        assert!(found || by_hand.contains(code), "no row finds {code}");
    }
}
