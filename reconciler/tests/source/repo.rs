//! Repositories made by the real git, in folders of their own: no identity, no configuration and
//! no `HOME` of the caller takes part.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use reconciler::source::{Known, Source, SourceError, SourceRequest};
use tempfile::TempDir;

/// A repository with a work tree.
pub(crate) struct Repo {
    dir: TempDir,
}

impl Repo {
    /// An empty one.
    pub(crate) fn new() -> Self {
        Self::with(&["init", "-q", "-b", "main"])
    }

    /// An empty one, made by the given arguments to git.
    pub(crate) fn with(init: &[&str]) -> Self {
        let repo = Self {
            dir: tempfile::tempdir().unwrap(),
        };
        fs::create_dir(repo.dir.path().join("repo")).unwrap();
        repo.git(init);
        repo
    }

    /// One whose first commit holds these files.
    pub(crate) fn committed(files: &[(&str, &str)]) -> Self {
        let repo = Self::new();
        repo.commit(files);
        repo
    }

    /// The top of its work tree.
    pub(crate) fn path(&self) -> PathBuf {
        self.dir.path().canonicalize().unwrap().join("repo")
    }

    /// Somewhere beside the repository.
    pub(crate) fn beside(&self, name: &str) -> PathBuf {
        self.dir.path().canonicalize().unwrap().join(name)
    }

    /// Runs git in the work tree and gives what it printed.
    pub(crate) fn git(&self, arguments: &[&str]) -> String {
        String::from_utf8(git(&self.path(), arguments, b"")).unwrap()
    }

    /// Writes an object as it is given, however wrong, and gives its id.
    pub(crate) fn object(&self, kind: &str, content: &[u8]) -> String {
        let arguments = ["hash-object", "-t", kind, "--literally", "-w", "--stdin"];
        let id = git(&self.path(), &arguments, content);
        String::from_utf8(id).unwrap().trim().to_owned()
    }

    /// Writes a tree object of `(mode, name, id)`, in the given order.
    pub(crate) fn tree(&self, entries: &[(&str, &[u8], &str)]) -> String {
        let mut content = Vec::new();
        for (mode, name, id) in entries {
            content.extend_from_slice(mode.as_bytes());
            content.push(b' ');
            content.extend_from_slice(name);
            content.push(0);
            let digits: Vec<_> = id.bytes().collect();
            content.extend(
                digits.chunks(2).map(|pair| {
                    u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()
                }),
            );
        }
        self.object("tree", &content)
    }

    /// Makes `HEAD` a commit of this tree object.
    pub(crate) fn commit_tree(&self, tree: &str) -> String {
        let commit = self.git(&["commit-tree", "-m", "tree", tree]);
        self.git(&["update-ref", "refs/heads/main", commit.trim()]);
        commit.trim().to_owned()
    }

    /// Writes files, commits everything and gives the commit's id.
    pub(crate) fn commit(&self, files: &[(&str, &str)]) -> String {
        for (path, content) in files {
            self.write(path, content);
        }
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "-m", "files"]);
        self.git(&["rev-parse", "HEAD"]).trim().to_owned()
    }

    /// Writes a file of the work tree.
    pub(crate) fn write(&self, path: &str, content: &str) {
        let path = self.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    /// The file of a loose object.
    pub(crate) fn loose(&self, id: &str) -> PathBuf {
        let objects = self.path().join(".git/objects");
        objects.join(&id[..2]).join(&id[2..])
    }

    /// Reads the tree at its top.
    pub(crate) fn read(&self) -> Result<Source, SourceError> {
        read(&self.path())
    }

    /// Reads the tree at its top as of a revision.
    pub(crate) fn read_rev(&self, rev: &str) -> Result<Source, SourceError> {
        read_as(&SourceRequest {
            directory: self.path(),
            rev: Some(rev.to_owned()),
            worktree: false,
        })
    }
}

/// Reads as is asked for.
pub(crate) fn read_as(request: &SourceRequest) -> Result<Source, SourceError> {
    reconciler::source::read(request, &mut Known::default())
}

/// Reads the tree of a directory.
pub(crate) fn read(directory: &Path) -> Result<Source, SourceError> {
    read_as(&SourceRequest {
        directory: directory.to_owned(),
        rev: None,
        worktree: false,
    })
}

/// The files of a source and their contents.
pub(crate) fn files(source: &Source) -> Vec<(&str, &str)> {
    let files = source.tree.files.iter();
    files
        .map(|(path, content)| (path.as_ref(), std::str::from_utf8(content).unwrap()))
        .collect()
}

/// The problems of a source: path and code.
pub(crate) fn problems(source: &Source) -> Vec<(String, &'static str)> {
    let sorted = source.problems.clone().sorted().into_iter();
    sorted
        .map(|problem| (problem.place.file.to_string(), problem.code))
        .collect()
}

/// An error and all that it says of its causes.
pub(crate) fn says(error: &SourceError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(next) = cause {
        text += &format!(": {next}");
        cause = next.source();
    }
    text
}

/// Runs git in a folder.
pub(crate) fn git(folder: &Path, arguments: &[&str], input: &[u8]) -> Vec<u8> {
    let home = folder.parent().unwrap();
    let mut child = Command::new("git")
        .args(arguments)
        .current_dir(folder)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap())
        .env("HOME", home)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_AUTHOR_NAME", "A")
        .env("GIT_AUTHOR_EMAIL", "a@example.org")
        .env("GIT_AUTHOR_DATE", "1700000000 +0000")
        .env("GIT_COMMITTER_NAME", "C")
        .env("GIT_COMMITTER_EMAIL", "c@example.org")
        .env("GIT_COMMITTER_DATE", "1700000000 +0000")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "git {arguments:?}");
    output.stdout
}
