//! A git repository as a person has it: a folder, an index, commits of the whole folder.
//!
//! `git` itself writes it, with nobody's configuration and an identity of its own, so a commit's id
//! depends on the files and the commits before it alone.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::program::{Program, Run};
use crate::tree::Tree;

/// A repository with a work tree.
#[derive(Clone, Debug)]
pub struct Repository {
    path: PathBuf,
}

impl Repository {
    /// A new one, in a folder that it makes.
    ///
    /// # Panics
    /// Where the folder cannot be made, or `git` is not there.
    pub fn init(path: &Path) -> Self {
        fs::create_dir_all(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let made = Self {
            path: path.to_owned(),
        };
        made.git(&["init", "--quiet", "--initial-branch", "main"])
            .succeed();
        made
    }

    /// Its work tree.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a file, and the folders above it.
    ///
    /// # Panics
    /// Where the file system refuses it.
    #[track_caller]
    pub fn write(&self, file: &str, text: impl AsRef<[u8]>) {
        let full = self.path.join(file);
        let folder = full.parent().expect("a file is in a folder");
        let written = fs::create_dir_all(folder).and_then(|()| fs::write(&full, text));
        written.unwrap_or_else(|e| panic!("{}: {e}", full.display()));
    }

    /// A file's text.
    ///
    /// # Panics
    /// Where it cannot be read.
    #[track_caller]
    pub fn read(&self, file: &str) -> String {
        let full = self.path.join(file);
        fs::read_to_string(&full).unwrap_or_else(|e| panic!("{}: {e}", full.display()))
    }

    /// Removes a file or a folder.
    ///
    /// # Panics
    /// Where there is none.
    #[track_caller]
    pub fn remove(&self, file: &str) {
        let full = self.path.join(file);
        let removed = if full.is_dir() {
            fs::remove_dir_all(&full)
        } else {
            fs::remove_file(&full)
        };
        removed.unwrap_or_else(|e| panic!("{}: {e}", full.display()));
    }

    /// Makes the work tree hold this tree and nothing else.
    ///
    /// # Panics
    /// Where the file system refuses it.
    #[track_caller]
    pub fn hold(&self, tree: &Tree) {
        self.clear();
        for (file, text) in tree.files() {
            self.write(&file, text);
        }
    }

    /// Makes the work tree hold a copy of this folder and nothing else, at this path inside it (the
    /// work tree itself where it is empty).
    ///
    /// # Panics
    /// Where it cannot be read or written.
    #[track_caller]
    pub fn hold_copy(&self, folder: &Path, at: &str) {
        self.clear();
        let to = self.path.join(at);
        let copied = fs::create_dir_all(&to).and_then(|()| copy(folder, &to));
        copied.unwrap_or_else(|e| panic!("copy of {}: {e}", folder.display()));
    }

    fn clear(&self) {
        let names = crate::host::names_in(&self.path);
        names
            .iter()
            .filter(|name| *name != ".git")
            .for_each(|name| self.remove(name));
    }

    /// Commits the whole folder, changed or not; gives the commit's id, in hex.
    ///
    /// # Panics
    /// Where `git` fails.
    #[track_caller]
    pub fn commit(&self, message: &str) -> String {
        self.git(&["add", "--all"]).succeed();
        self.git(&["commit", "--quiet", "--allow-empty", "--message", message])
            .succeed();
        self.git(&["rev-parse", "HEAD"])
            .ended(0)
            .stdout
            .trim()
            .to_owned()
    }

    /// Runs `git` in it.
    pub fn git(&self, arguments: &[&str]) -> Run {
        with_identity(Program::new("git"))
            .folder(&self.path)
            .args(arguments)
            .run()
    }
}

/// A program that runs `git`: nobody's configuration, and an identity of the rig's own.
pub(crate) fn with_identity(program: Program) -> Program {
    let settings = [
        ("GIT_CONFIG_NOSYSTEM", "1"),
        ("GIT_CONFIG_GLOBAL", "/dev/null"),
        ("GIT_AUTHOR_NAME", "Rig"),
        ("GIT_AUTHOR_EMAIL", "rig@example.org"),
        ("GIT_AUTHOR_DATE", "2026-01-01T00:00:00Z"),
        ("GIT_COMMITTER_NAME", "Rig"),
        ("GIT_COMMITTER_EMAIL", "rig@example.org"),
        ("GIT_COMMITTER_DATE", "2026-01-01T00:00:00Z"),
    ];
    settings
        .into_iter()
        .fold(program, |program, (name, value)| program.env(name, value))
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            fs::create_dir_all(&target)?;
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), &target)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_depends_on_its_files_alone() {
        let folders = [(); 2].map(|()| tempfile::tempdir().unwrap());
        let ids = folders.each_ref().map(|folder| {
            let repository = Repository::init(&folder.path().join("tree"));
            repository.write("a/b.yaml", "first");
            repository.commit("one");
            repository.write("a/b.yaml", "second");
            repository.commit("two")
        });
        assert_eq!(ids[0], ids[1]);
        assert_eq!(ids[0].len(), 40);
    }

    #[test]
    fn holding_a_tree_forgets_the_one_before() {
        let folder = tempfile::tempdir().unwrap();
        let repository = Repository::init(folder.path());
        repository.write("old/a.yaml", "x");
        repository.commit("old");
        repository.hold(&Tree::new().file("new.yaml", "y"));
        assert_eq!(repository.read("new.yaml"), "y");
        let shown = repository.git(&["status", "--short"]).ended(0).stdout;
        assert_eq!(shown, " D old/a.yaml\n?? new.yaml\n?? plumbline.yaml\n");
    }
}
