//! Sizes: functions, lines, files. One measure for Rust, C and scripts.

use crate::code;
use crate::tree::{Finding, Tree};

/// What a screen shows of a function: lines with code, from its name to its last brace.
const FUNCTION_LINES_MAX: usize = 70;
const COLUMNS_MAX: usize = 100;
/// The kernel's width of a tab, in which the C is indented.
const TAB_COLUMNS: usize = 8;
const FILE_LINES_MAX: usize = 500;

/// Files that are longer, with the length they may have. A row's number may only fall, and a file
/// that fits [`FILE_LINES_MAX`] loses its row.
const LONG_FILES: &[(&str, usize)] = &[];

const CODE: &[&str] = &[".rs", ".c", ".h"];
/// Scripts begin with their interpreter.
const SCRIPT: &str = "#!";

/// Functions of more than [`FUNCTION_LINES_MAX`] lines. Clippy counts the body alone; this counts
/// what is read, arguments too, and C like Rust.
pub(crate) fn check_functions(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.ending(CODE) {
        let code = code::blanked(text);
        let lines: Vec<&str> = code.lines().collect();
        let tokens = code::tokens(&code);
        let functions = if path.ends_with(".rs") {
            rust_functions(&tokens)
        } else {
            c_functions(&tokens)
        };
        for (first, last) in functions {
            let count = lines[first - 1..last]
                .iter()
                .filter(|l| !l.trim().is_empty())
                .count();
            if count > FUNCTION_LINES_MAX {
                let says = format!(
                    "a function of {count} lines: {FUNCTION_LINES_MAX} at most; \
                     keep the branches here and move the leaves out"
                );
                findings.push(Finding::new(path, first, says));
            }
        }
    }
    findings
}

/// First and last line of each `fn` with a body.
fn rust_functions(tokens: &[code::Token]) -> Vec<(usize, usize)> {
    let mut functions = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        // `fn(u8) -> u8` is a type: a function has a name.
        if token.text == "fn" && tokens.get(at + 1).is_some_and(code::Token::is_name) {
            let body = body_start(&tokens[at..]).map(|offset| at + offset);
            functions.extend(body.map(|body| (token.line, matching_brace_line(&tokens[body..]))));
        }
    }
    functions
}

/// Where the body begins: the first brace outside brackets (`[u8; { N }]` is an argument's type). A
/// declaration in a trait ends before.
fn body_start(tokens: &[code::Token]) -> Option<usize> {
    let mut depth = 0_isize;
    for (at, token) in tokens.iter().enumerate() {
        match token.text.as_str() {
            "(" | "[" => depth += 1,
            ")" | "]" => depth -= 1,
            "{" if depth == 0 => return Some(at),
            ";" if depth == 0 => return None,
            _ => {}
        }
    }
    None
}

/// First and last line of each function: in C a block at the outermost level after `)`.
fn c_functions(tokens: &[code::Token]) -> Vec<(usize, usize)> {
    let mut functions = Vec::new();
    let mut depth = 0_isize;
    for (at, token) in tokens.iter().enumerate() {
        match token.text.as_str() {
            "{" => {
                if depth == 0 && at > 0 && tokens[at - 1].text == ")" {
                    functions.push((token.line, matching_brace_line(&tokens[at..])));
                }
                depth += 1;
            }
            "}" => depth -= 1,
            _ => {}
        }
    }
    functions
}

/// The line of the brace that closes the one at the start; of the last token where none does.
fn matching_brace_line(tokens: &[code::Token]) -> usize {
    let mut depth = 0_isize;
    for token in tokens {
        match token.text.as_str() {
            "{" => depth += 1,
            "}" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return token.line;
        }
    }
    tokens.last().map_or(1, |token| token.line)
}

/// Lines of more than [`COLUMNS_MAX`] columns, save those that an address makes long.
pub(crate) fn check_columns(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in code_and_scripts(tree) {
        for (index, line) in text.lines().enumerate() {
            let columns = columns(line);
            if columns > COLUMNS_MAX && !line.contains("://") {
                let says = format!("{columns} columns: {COLUMNS_MAX} at most");
                findings.push(Finding::new(path, index + 1, says));
            }
        }
    }
    findings
}

fn code_and_scripts(tree: &Tree) -> impl Iterator<Item = (&str, &str)> {
    tree.files().filter(|(path, text)| {
        CODE.iter().any(|end| path.ends_with(end)) || text.starts_with(SCRIPT)
    })
}

fn columns(line: &str) -> usize {
    line.chars().fold(0, |column, c| match c {
        '\t' => (column / TAB_COLUMNS + 1) * TAB_COLUMNS,
        _ => column + 1,
    })
}

/// Files of more than [`FILE_LINES_MAX`] lines, and rows of [`LONG_FILES`] that say too much.
pub(crate) fn check_files(tree: &Tree) -> Vec<Finding> {
    check_files_with(tree, LONG_FILES)
}

fn check_files_with(tree: &Tree, long: &[(&str, usize)]) -> Vec<Finding> {
    let allowed = |path: &str| {
        long.iter()
            .find(|(p, _)| *p == path)
            .map(|(_, lines)| *lines)
    };
    let mut findings = Vec::new();
    for (path, text) in code_and_scripts(tree) {
        let lines = text.lines().count();
        let says = match allowed(path) {
            None if lines <= FILE_LINES_MAX => continue,
            None => format!("{lines} lines: {FILE_LINES_MAX} at most; one idea in a file"),
            Some(most) if lines == most && lines > FILE_LINES_MAX => continue,
            Some(_) if lines <= FILE_LINES_MAX => "fits now: take its row out of LONG_FILES".into(),
            Some(most) if lines < most => format!("has {lines} lines: lower its row to that"),
            Some(most) => format!("{lines} lines: {most} at most, and that may only fall"),
        };
        findings.push(Finding::new(path, lines, says));
    }
    let gone = long.iter().filter(|(path, _)| tree.text(path).is_none());
    findings.extend(gone.map(|(path, _)| Finding::new(path, 1, "is gone: take its row out")));
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::places;

    fn function(open: &str, lines: usize) -> String {
        format!("\n{open}{}}}\n", "    x();\n".repeat(lines - 2))
    }

    #[test]
    fn long_functions_are_found_in_rust_and_c() {
        let nested = format!(
            "trait T {{ fn declared(a: [u8; {{ 2 }}]); }}\nmod m {{{}}}",
            function("fn f(g: fn(u8) -> u8) {\n", 71)
        );
        let long_c = function("int f(struct x *y)\n{\n", 72).replacen('\n', "", 1);
        let tree = Tree::of(&[
            ("a.rs", &function("fn f() {\n", 70)),
            ("b.rs", &function("fn f() {\n", 71)),
            ("c.rs", &nested),
            ("d.c", &long_c),
            ("e.h", "struct {\n\tint x;\n} m SEC(\".maps\");\n"),
        ]);
        assert_eq!(
            places(&check_functions(&tree)),
            ["b.rs:2", "c.rs:3", "d.c:2"]
        );
    }

    #[test]
    fn blank_lines_and_comments_make_no_function_long() {
        let body = "    // why\n\n".repeat(60);
        let tree = Tree::of(&[("a.rs", &format!("fn f() {{\n{body}}}\n"))]);
        assert_eq!(check_functions(&tree), []);
    }

    #[test]
    fn long_lines_are_found_and_tabs_are_wide() {
        let tree = Tree::of(&[
            ("a.rs", &format!("\n{}\n", "x".repeat(101))),
            ("b.c", &format!("\t{}\n", "x".repeat(93))),
            ("c.rs", &"é".repeat(100)),
            ("d.rs", &format!("// https://{}", "x".repeat(100))),
            ("e", &format!("#!/bin/sh\n{}\n", "x".repeat(101))),
            ("f.md", &"x".repeat(101)),
        ]);
        assert_eq!(places(&check_columns(&tree)), ["a.rs:2", "b.c:1", "e:2"]);
    }

    #[test]
    fn long_files_are_found_and_their_list_only_shrinks() {
        let lines = |count: usize| "x\n".repeat(count);
        let tree = Tree::of(&[
            ("a.rs", &lines(500)),
            ("b.rs", &lines(501)),
            ("equal.rs", &lines(600)),
            ("fell.rs", &lines(600)),
            ("fits.rs", &lines(400)),
            ("grew.rs", &lines(602)),
        ]);
        let long = [
            ("equal.rs", 600),
            ("fell.rs", 601),
            ("fits.rs", 600),
            ("gone.rs", 600),
        ];
        let long = [&long[..], &[("grew.rs", 601)]].concat();
        let found = check_files_with(&tree, &long);
        let expected = [
            "b.rs:501",
            "fell.rs:600",
            "fits.rs:400",
            "grew.rs:602",
            "gone.rs:1",
        ];
        assert_eq!(places(&found), expected);
    }
}
