//! The files that the rules look at, and what a rule finds.
//!
//! Rules see paths relative to the workspace and whole texts, never the disk: so each rule's own
//! tests hand it a tree of a few lines.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::Path;

/// At the top, what holds nothing of ours: git's own and what cargo builds.
const FOREIGN: &[&str] = &[".git", "target"];

/// Paths (relative to the workspace, `/` between parts) and texts. A file that is not UTF-8 is a
/// test's input, not text of ours, and is left out.
#[derive(Default)]
pub(crate) struct Tree {
    texts: BTreeMap<String, String>,
}

impl Tree {
    /// Every text file of the workspace that this test was built from.
    pub(crate) fn of_this_workspace() -> Self {
        let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
        let mut tree = Self::default();
        tree.read_folder(root, "");
        assert!(
            tree.text("Cargo.toml").is_some(),
            "{} is not the workspace",
            root.display()
        );
        tree
    }

    /// A tree for a rule's own tests.
    pub(crate) fn of(files: &[(&str, &str)]) -> Self {
        let texts = files
            .iter()
            .map(|(path, text)| (path.to_string(), text.to_string()));
        Self {
            texts: texts.collect(),
        }
    }

    fn read_folder(&mut self, folder: &Path, prefix: &str) {
        let entries = fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
        for entry in entries {
            let entry = entry.unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = format!("{prefix}{name}");
            let kind = entry.file_type().unwrap_or_else(|e| panic!("{path}: {e}"));
            if kind.is_dir() && !FOREIGN.contains(&path.as_str()) {
                self.read_folder(&entry.path(), &format!("{path}/"));
            } else if kind.is_file()
                && let Ok(text) = fs::read_to_string(entry.path())
            {
                self.texts.insert(path, text);
            }
        }
    }

    /// The text of one file, if it is there.
    pub(crate) fn text(&self, path: &str) -> Option<&str> {
        self.texts.get(path).map(String::as_str)
    }

    /// All files, by path.
    pub(crate) fn files(&self) -> impl Iterator<Item = (&str, &str)> {
        self.texts
            .iter()
            .map(|(path, text)| (path.as_str(), text.as_str()))
    }

    /// The files whose names end in one of `endings`.
    pub(crate) fn ending(&self, endings: &[&str]) -> impl Iterator<Item = (&str, &str)> {
        self.files()
            .filter(move |(path, _)| endings.iter().any(|end| path.ends_with(end)))
    }
}

/// What is wrong, where, and what to do.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    path: String,
    /// Counted from 1.
    line: usize,
    says: String,
}

impl Finding {
    pub(crate) fn new(path: &str, line: usize, says: impl Into<String>) -> Self {
        Self {
            path: path.to_owned(),
            line,
            says: says.into(),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.says)
    }
}

/// Shows in a rule's own tests where it fired: `path:line` of each finding.
pub(crate) fn places(findings: &[Finding]) -> Vec<String> {
    findings
        .iter()
        .map(|finding| format!("{}:{}", finding.path, finding.line))
        .collect()
}
