//! `reconcile init`: a tree to begin with. Asks nothing, and writes over nothing.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::arguments::{Ci, Global, InitArguments};
use crate::report::escape::escape;
use crate::report::exit::Exit;
use crate::report::out::Out;

/// A file of the tree, and what is in it.
const FILES: &[(&str, &str)] = &[
    ("plumbline.yaml", include_str!("plumbline.yaml")),
    ("containers.yaml", include_str!("containers.yaml")),
    ("policies.yaml", include_str!("policies.yaml")),
];
const GITHUB: (&str, &str) = (
    ".github/workflows/plumbline.yaml",
    include_str!("github.yaml"),
);
const GITLAB: (&str, &str) = (".gitlab-ci.yml", include_str!("gitlab.yaml"));
/// What stands for the tree's folder in a CI file.
const FOLDER: &str = "TREE_FOLDER";

/// Runs it.
pub(crate) fn run(global: &Global, arguments: &InitArguments, out: Out) -> Exit {
    let directory = global.directory.clone().unwrap_or_else(|| ".".into());
    if let Err(cause) = fs::create_dir_all(&directory) {
        return failed(&directory, &cause, out);
    }
    let mut files: Vec<(PathBuf, String)> = FILES
        .iter()
        .map(|(name, text)| (directory.join(name), (*text).to_owned()))
        .collect();
    files.extend(ci(&directory, arguments.ci));
    for (path, text) in files {
        let told = match write_new(&path, &text) {
            Ok(()) => format!("wrote {}", path.display()),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                format!("kept {}, which is there already", path.display())
            }
            Err(error) => return failed(&path, &error, out),
        };
        out.say(&format!("{}\n", escape(&told)));
    }
    Exit::Done
}

/// The file of the CI that is asked for, at the top of the repository: there alone it is read.
fn ci(directory: &Path, wanted: Option<Ci>) -> Option<(PathBuf, String)> {
    let (top, folder) = top(directory);
    let (name, text) = match wanted.unwrap_or_else(|| guessed(&top)) {
        Ci::Github => GITHUB,
        Ci::Gitlab => GITLAB,
        Ci::None => return None,
    };
    Some((top.join(name), text.replace(FOLDER, &folder)))
}

/// The top of the repository that a directory belongs to, and the directory below it; itself where
/// there is none.
fn top(directory: &Path) -> (PathBuf, String) {
    let whole = fs::canonicalize(directory).unwrap_or_else(|_| directory.to_owned());
    let top = whole.ancestors().find(|path| path.join(".git").exists());
    let Some((top, below)) = top.and_then(|top| Some((top, whole.strip_prefix(top).ok()?))) else {
        return (directory.to_owned(), ".".to_owned());
    };
    match below.to_str() {
        None | Some("") => (directory.to_owned(), ".".to_owned()),
        Some(below) => (top.to_owned(), below.to_owned()),
    }
}

/// GitLab where something says so: a file of its CI, or a remote's name.
fn guessed(top: &Path) -> Ci {
    let config = fs::read_to_string(top.join(".git/config")).unwrap_or_default();
    let gitlab = top.join(GITLAB.0).exists() || config.contains("gitlab");
    if gitlab { Ci::Gitlab } else { Ci::Github }
}

fn write_new(path: &Path, text: &str) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
    file.write_all(text.as_bytes())
}

fn failed(path: &Path, cause: &io::Error, out: Out) -> Exit {
    out.error(&escape(&format!(
        "cannot write {}: {cause}",
        path.display()
    )));
    Exit::Failed
}
