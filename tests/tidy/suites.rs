//! Every suite is run: with `autotests = false`, a folder of tests that Cargo.toml does not name
//! compiles nowhere and fails nothing.

use crate::alive;
use crate::tree::{Finding, Tree};

const MANIFEST: &str = "tests/Cargo.toml";

/// Folders with a `main.rs` that are no target, targets whose file is gone, and files of a suite
/// without a test in the whole suite.
pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let manifest = tree.text(MANIFEST).unwrap_or_default();
    let named: Vec<(usize, &str)> = alive::target_paths(manifest).collect();
    let mut findings = Vec::new();
    for (path, _) in tree.ending(&["/main.rs"]) {
        let Some(inside) = path.strip_prefix("tests/") else {
            continue;
        };
        if inside.matches('/').count() == 1 && !named.iter().any(|(_, name)| *name == inside) {
            let says = format!("is no [[test]] of {MANIFEST}: it never runs");
            findings.push(Finding::new(path, 1, says));
        }
    }
    for (line, name) in &named {
        if tree.text(&format!("tests/{name}")).is_none() {
            findings.push(Finding::new(
                MANIFEST,
                *line,
                format!("tests/{name} is gone"),
            ));
        }
    }
    findings.extend(
        named
            .iter()
            .filter_map(|(line, name)| empty_suite(tree, *line, name)),
    );
    findings
}

/// A target in `[[test]]` whose folder holds no `#[test]`.
fn empty_suite(tree: &Tree, line: usize, name: &str) -> Option<Finding> {
    let folder = format!("tests/{}", name.strip_suffix("main.rs")?);
    let mut files = tree
        .ending(&[".rs"])
        .filter(|(path, _)| path.starts_with(&folder));
    let tests = files.any(|(_, text)| text.contains("#[test]") || text.contains("proptest!"));
    let is_program = tree.text(&format!("tests/{name}"))?.contains("fn main()");
    let says = format!("tests/{name} holds no test");
    (!tests && !is_program).then(|| Finding::new(MANIFEST, line, says))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::places;

    #[test]
    fn suites_that_do_not_run_are_found() {
        let tree = Tree::of(&[
            (
                MANIFEST,
                "[lib]\npath = \"rig/lib.rs\"\n[[test]]\npath = \"run/main.rs\"\n\
                 [[test]]\npath = \"gone/main.rs\"\n[[test]]\npath = \"empty/main.rs\"\n\
                 [[bin]]\npath = \"demo/main.rs\"\n",
            ),
            ("tests/rig/lib.rs", ""),
            ("tests/run/main.rs", "mod row;"),
            ("tests/run/row.rs", "#[test]\nfn f() {}"),
            ("tests/empty/main.rs", "mod row;"),
            ("tests/demo/main.rs", "fn main() {}"),
            ("tests/forgotten/main.rs", "#[test]\nfn f() {}"),
            ("tests/run/deeper/main.rs", ""),
        ]);
        let expected = [
            "tests/forgotten/main.rs:1",
            "tests/Cargo.toml:6",
            "tests/Cargo.toml:8",
        ];
        assert_eq!(places(&check(&tree)), expected);
    }
}
