//! The style, as a test: what a reader can rely on in every file of the workspace.
//!
//! Each module is one kind of rule and looks at the whole [`Tree`]; each test prints every finding
//! at once, as `path:line: what is wrong and what to do`. The rules that rustc, rustfmt, clippy
//! and clang-format can hold are theirs (see clippy.toml); here stands what they cannot see: who
//! may import whom, what no file refers to, words, and one size for C and Rust alike.
//!
//! Nothing here needs root, or a kernel.

mod tree;

mod code;

mod alive;
mod imports;
mod includes;
mod sentences;
mod sizes;
mod suites;
mod words;

use tree::{Finding, Tree};

/// Fails with every finding of one rule over the files of this workspace.
fn hold(rule: fn(&Tree) -> Vec<Finding>) {
    let tree = Tree::of_this_workspace();
    let findings: Vec<String> = rule(&tree).iter().map(ToString::to_string).collect();
    assert!(
        findings.is_empty(),
        "{} findings:\n{}",
        findings.len(),
        findings.join("\n")
    );
}

#[test]
fn each_folder_imports_only_what_the_layout_lets_it() {
    hold(imports::check);
}

#[test]
fn each_header_includes_only_what_the_layout_lets_it() {
    hold(includes::check);
}

#[test]
fn functions_fit_a_screen() {
    hold(sizes::check_functions);
}

#[test]
fn lines_fit_the_columns() {
    hold(sizes::check_columns);
}

#[test]
fn files_are_short() {
    hold(sizes::check_files);
}

#[test]
fn every_file_is_reached() {
    hold(alive::check);
}

#[test]
fn names_and_text_say_what_they_mean() {
    hold(words::check);
}

#[test]
fn every_suite_is_run() {
    hold(suites::check);
}

#[test]
fn each_sentence_of_the_semantics_names_its_test() {
    hold(sentences::check);
}
