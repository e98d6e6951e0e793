//! docs/semantics.md cannot rot: each sentence names the tests that show it, and they are there.
//!
//! A link is `[suite: test]`, and its definition at the end of the file names the test's file, one
//! whose path goes through a folder of the suite's name. So a test that is renamed, moved or taken
//! away is a finding here, and so is a sentence that nothing shows.

use std::collections::{BTreeMap, BTreeSet};

use crate::tree::{Finding, Tree};

const SEMANTICS: &str = "docs/semantics.md";
const FOLDER: &str = "docs/";

/// Sentences without a test, links without a definition, definitions that no link uses, and links
/// to what is not there.
pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let Some(text) = tree.text(SEMANTICS) else {
        return vec![Finding::new(SEMANTICS, 1, "is gone")];
    };
    let defined = definitions(text);
    let mut used = BTreeSet::new();
    let mut findings = Vec::new();
    for (line, sentence) in sentences(text) {
        let labels = labels(&sentence);
        if labels.is_empty() {
            let says = "names no test that shows it: add [suite: test]";
            findings.push(Finding::new(SEMANTICS, line, says));
        }
        for label in labels {
            if !defined.contains_key(label) {
                let says = format!("[{label}] is defined nowhere: add its file at the end");
                findings.push(Finding::new(SEMANTICS, line, says));
            }
            used.insert(label.to_owned());
        }
    }
    for (label, (line, target)) in &defined {
        if !used.contains(*label) {
            let says = format!("no sentence uses [{label}]");
            findings.push(Finding::new(SEMANTICS, *line, says));
        }
        let lack = lack(tree, label, target);
        findings.extend(lack.map(|says| Finding::new(SEMANTICS, *line, says)));
    }
    findings
}

/// What is wrong with one link, if anything is.
fn lack(tree: &Tree, label: &str, target: &str) -> Option<String> {
    let (suite, test) = label.split_once(": ")?;
    let path = match target.strip_prefix("../") {
        Some(path) => path.to_owned(),
        None => format!("{FOLDER}{target}"),
    };
    let Some(text) = tree.text(&path) else {
        return Some(format!("[{label}]: there is no {path}"));
    };
    if !path.split('/').any(|part| part == suite) {
        return Some(format!("[{label}]: {path} is not in a folder {suite}"));
    }
    (!holds_test(text, test)).then(|| format!("[{label}]: {path} has no test of that name"))
}

/// Whether the function is there and `#[test]` stands among its attributes.
fn holds_test(text: &str, name: &str) -> bool {
    let start = format!("fn {name}(");
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    lines.iter().enumerate().any(|(at, line)| {
        let mut above = lines[..at].iter().rev();
        line.starts_with(&start)
            && above
                .find(|line| line.is_empty() || **line == "}" || **line == "#[test]")
                .is_some_and(|line| *line == "#[test]")
    })
}

/// Every definition, with its line.
fn definitions(text: &str) -> BTreeMap<&str, (usize, &str)> {
    let defined = (1..).zip(text.lines()).filter_map(|(number, line)| {
        let (label, target) = definition(line)?;
        Some((label, (number, target)))
    });
    defined.collect()
}

/// `[label]: target` at the beginning of a line.
fn definition(line: &str) -> Option<(&str, &str)> {
    line.strip_prefix('[')?.split_once("]: ")
}

/// The items of lists and the rows of tables below their heads, each with its first line, and the
/// paragraphs that hold a link.
fn sentences(text: &str) -> Vec<(usize, String)> {
    let mut sentences: Vec<(usize, String)> = Vec::new();
    let mut before = "";
    for (number, line) in (1..).zip(text.lines()) {
        let head = line.starts_with('|') && !before.starts_with('|');
        let rule = line.starts_with("|--");
        let begins = line.starts_with("- ") || line.starts_with('|') && !head && !rule;
        let goes_on = line.starts_with("  ");
        let names = definition(line).is_none() && !labels(line).is_empty();
        match sentences.last_mut() {
            _ if begins || names && !goes_on => sentences.push((number, line.to_owned())),
            Some((_, sentence)) if goes_on => *sentence += line,
            _ => {}
        }
        before = line;
    }
    sentences
}

/// Every `[suite: test]` of a sentence.
fn labels(sentence: &str) -> Vec<&str> {
    let opened = sentence.split('[').skip(1);
    let label = |part: &'_ str| part.split_once(']').map(|(label, _)| label.len());
    opened
        .filter_map(|part| label(part).map(|length| &part[..length]))
        .filter(|label| label.contains(": ") && !label.contains(['{', '`', ',']))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::places;

    const TESTS: &str = "/// Says.\n#[test]\n#[allow(x)]\nfn shown() {}\n\nfn not_a_test() {}\n";

    #[test]
    fn links_that_lead_nowhere_are_found() {
        let text = "# Title [no link]\n\
                    \n\
                    A paragraph. [state: shown]\n\
                    - True. [state: shown]\n\
                    - `[{}]` means\n  something. [state: shown] [state: undefined]\n\
                    - Shown by nothing.\n\
                    \n\
                    | head | |\n\
                    |---|---|\n\
                    | row | [e2e: shown] |\n\
                    | row | |\n\
                    - More. [state: not_a_test] [state: gone] [state: nowhere]\n\
                    [state: shown]: ../state/tests/a.rs\n\
                    [e2e: shown]: ../state/tests/a.rs\n\
                    [state: not_a_test]: ../state/tests/a.rs\n\
                    [state: gone]: ../state/tests/a.rs\n\
                    [state: nowhere]: ../state/tests/b.rs\n\
                    [state: unused]: ../state/tests/a.rs\n";
        let tree = Tree::of(&[(SEMANTICS, text), ("state/tests/a.rs", TESTS)]);
        let mut found = places(&check(&tree));
        found.sort();
        // Both an unused label and a test that is not there.
        let expected = [5, 7, 12, 15, 16, 17, 18, 19, 19].map(|line| format!("{SEMANTICS}:{line}"));
        let mut expected = expected.to_vec();
        expected.sort();
        assert_eq!(found, expected);
    }

    #[test]
    fn a_missing_document_is_found() {
        assert_eq!(places(&check(&Tree::of(&[]))), ["docs/semantics.md:1"]);
    }
}
