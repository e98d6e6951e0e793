//! `reconcile init`: a tree to begin with. Asks nothing, and writes over nothing.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Component, Path, PathBuf};

use super::arguments::{Ci, Global, InitArguments};
use crate::report::escape::escape;
use crate::report::exit::Exit;
use crate::report::out::Out;
use crate::source::repository::is_git_dir;

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
    let top = match Top::of(&directory) {
        Ok(top) => top,
        Err(git) => {
            out.error(&escape(&format!(
                "{} is a git directory: a tree belongs into a work tree of it, or elsewhere",
                git.display()
            )));
            return Exit::Refused;
        }
    };
    if let Err(cause) = fs::create_dir_all(&directory) {
        return failed(&directory, &cause, out);
    }
    let mut files: Vec<(PathBuf, String)> = FILES
        .iter()
        .map(|(name, text)| (directory.join(name), (*text).to_owned()))
        .collect();
    match ci(&top, arguments.ci) {
        Ok(file) => files.extend(file),
        Err(path) => {
            let told = format!(
                "wrote no {}: the name of the tree's folder cannot be told there",
                path.display()
            );
            out.note(&format!("{}\n", escape(&told)));
        }
    }
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

/// The file of the CI that is asked for, at the top of the repository: there alone it is read. The
/// path of one that cannot name the folder, which is text of YAML, of a shell and of what replaces
/// variables.
fn ci(top: &Top, wanted: Option<Ci>) -> Result<Option<(PathBuf, String)>, PathBuf> {
    let (name, text) = match wanted.unwrap_or_else(|| guessed(&top.path)) {
        Ci::Github => GITHUB,
        Ci::Gitlab => GITLAB,
        Ci::None => return Ok(None),
    };
    let path = top.path.join(name);
    let known = |c: char| c.is_alphanumeric() || " ./-_+@,=".contains(c);
    match top.folder.to_str() {
        Some(folder) if folder.chars().all(known) => {
            let quoted = format!("\"./{folder}\"");
            Ok(Some((path, text.replace(FOLDER, &quoted))))
        }
        _ => Err(path),
    }
}

/// Where a repository begins, and the folder of the tree below that.
struct Top {
    path: PathBuf,
    folder: PathBuf,
}

impl Top {
    /// Of a directory, which need not be there yet: itself where there is no repository around it.
    /// The git directory that it lies in, if it does.
    fn of(directory: &Path) -> Result<Self, PathBuf> {
        let absolute = std::path::absolute(directory).unwrap_or_else(|_| directory.to_owned());
        let existing = absolute.ancestors().find_map(|part| {
            let rest = absolute.strip_prefix(part).ok()?;
            let part = fs::canonicalize(part).ok()?;
            // What is not there is no link: `..` there leads back.
            Some(rest.components().fold(part, |mut at, component| {
                match component {
                    Component::ParentDir => drop(at.pop()),
                    component => at.push(component),
                }
                at
            }))
        });
        let whole = existing.unwrap_or(absolute);
        for path in whole.ancestors() {
            if path.join(".git").exists() {
                let folder = whole.strip_prefix(path).unwrap_or(Path::new("")).to_owned();
                let path = match folder.as_os_str().is_empty() {
                    true => directory.to_owned(),
                    false => path.to_owned(),
                };
                return Ok(Self { path, folder });
            }
            if is_git_dir(path) {
                return Err(path.to_owned());
            }
        }
        Ok(Self {
            path: directory.to_owned(),
            folder: PathBuf::new(),
        })
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
    let written = file.write_all(text.as_bytes());
    if written.is_err() {
        // Half of it would be kept the next time. The file is ours, and what keeps it from being
        // removed says no more than the error does.
        let _ = fs::remove_file(path);
    }
    written
}

fn failed(path: &Path, cause: &io::Error, out: Out) -> Exit {
    out.error(&escape(&format!(
        "cannot write {}: {cause}",
        path.display()
    )));
    Exit::Failed
}
