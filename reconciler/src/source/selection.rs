//! What of a source's files is read as documents: the rules that both kinds of source share.
//!
//! A source offers every entry below the tree's root to one `Selection`, which says whether to
//! go into it, read it or pass it by. So a commit and a directory with the same content give the
//! same tree, and whatever is hostile in names, kinds and sizes is judged in one place.
//!
//! - A name that begins with a dot is passed by, and so is all below it.
//! - A *candidate* is an entry whose name ends in `.yaml` or `.yml`. Anything else that is not a
//!   folder is left out and named.
//! - A candidate that is no regular file, that is too large, whose path holds a character that
//!   cannot be printed or typed, or that differs from another candidate only in case is a problem
//!   of that path: it is not read, the tree is refused, and reading goes on to find the others.
//! - The limits on the whole tree end the reading at once: they are what keeps memory and time
//!   bounded whatever the source holds (a git tree may name one subtree many times over).

use std::collections::BTreeMap;
use std::sync::Arc;

use state::documents::tree::{LeftOut, Tree};
use state::words::place::Place;
use state::words::problem::{Problem, Problems};

/// Largest document file, in bytes.
pub const FILE_BYTES_MOST: u64 = 4 << 20;
/// Largest sum of all document files, in bytes.
pub const TREE_BYTES_MOST: u64 = 64 << 20;
/// Most entries (files, folders and others) below the tree's root.
pub const ENTRIES_MOST: usize = 100_000;
/// Deepest nesting of folders below the tree's root.
pub const DEPTH_MOST: usize = 64;

/// Why a tree is not read to its end.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LimitError {
    /// Folders are nested too deeply.
    #[error("{folder}: folders are nested deeper than {DEPTH_MOST}; name a smaller tree with -C")]
    Depth {
        /// The folder that is too deep.
        folder: String,
    },
    /// There are too many entries.
    #[error("the tree holds more than {ENTRIES_MOST} files; name a smaller one with -C")]
    Entries,
    /// The documents are too large together.
    #[error(
        "the tree's documents are larger than {} MiB together; name a smaller tree with -C",
        TREE_BYTES_MOST >> 20
    )]
    Bytes,
}

/// What an entry of a source is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EntryKind {
    Folder,
    File,
    Symlink,
    Submodule,
    /// A FIFO, a socket or a device: only a directory can hold one.
    Special,
}

/// A folder on the way: its path as bytes (to open it) and as text (to show it).
#[derive(Clone, Debug, Default)]
pub(super) struct Folder {
    pub(super) raw: Vec<u8>,
    shown: String,
    depth: usize,
    fault: Option<&'static str>,
}

/// What to do with an entry.
#[derive(Debug)]
pub(super) enum Step {
    /// Go into this folder.
    Descend(Folder),
    /// Read this file: `admit` its size, then `add` its content.
    Read(Arc<str>),
    /// Pass it by; the selection has noted why, where that is worth saying.
    Pass,
}

/// Collects a tree.
#[derive(Debug, Default)]
pub(super) struct Selection {
    tree: Tree,
    problems: Problems,
    /// Every candidate's path by its case-folded form: read or not, twins are named.
    candidates: BTreeMap<String, Vec<Arc<str>>>,
    entries: usize,
    bytes: u64,
}

impl Selection {
    /// Judges one entry of `parent`.
    pub(super) fn entry(
        &mut self,
        parent: &Folder,
        name: &[u8],
        kind: EntryKind,
    ) -> Result<Step, LimitError> {
        self.entries += 1;
        if self.entries > ENTRIES_MOST {
            return Err(LimitError::Entries);
        }
        let child = parent.child(name);
        if name.starts_with(b".") && name_fault(name) != Some(PARENT) {
            self.leave_out(&child, LeftOut::DotName);
            return Ok(Step::Pass);
        }
        match kind {
            EntryKind::Folder if child.depth > DEPTH_MOST => Err(LimitError::Depth {
                folder: child.shown,
            }),
            EntryKind::Folder => Ok(Step::Descend(child)),
            _ if !is_document(name) => {
                let why = match kind {
                    EntryKind::File => LeftOut::NotYaml,
                    _ => LeftOut::NotAFile,
                };
                self.leave_out(&child, why);
                Ok(Step::Pass)
            }
            _ => Ok(self.candidate(child, kind)),
        }
    }

    /// Whether a candidate of `size` bytes may be read.
    pub(super) fn admit(&mut self, path: &Arc<str>, size: u64) -> Result<bool, LimitError> {
        if size > FILE_BYTES_MOST {
            self.problem(
                path,
                "file-too-large",
                format!("has {size} bytes, and a document may have {FILE_BYTES_MOST}"),
                "split it into several files",
            );
            return Ok(false);
        }
        self.bytes += size;
        if self.bytes > TREE_BYTES_MOST {
            return Err(LimitError::Bytes);
        }
        Ok(true)
    }

    /// Takes the content of a candidate.
    pub(super) fn add(&mut self, path: Arc<str>, content: Arc<[u8]>) {
        self.tree.files.insert(path, content);
    }

    /// The tree, and what is wrong with single paths of it.
    pub(super) fn finish(mut self) -> (Tree, Problems) {
        for twins in std::mem::take(&mut self.candidates).into_values() {
            let mut twins = twins;
            twins.sort();
            let Some((first, others)) = twins.split_first() else {
                continue;
            };
            for other in others {
                let (message, help) = if other == first {
                    let message = "stands twice in its folder".to_owned();
                    (message, "run `git fsck`, and commit the folder anew")
                } else {
                    let message = format!("differs from {first} only in upper and lower case");
                    let help = "rename one: where case does not count, the two are one file";
                    (message, help)
                };
                let problem = Problem::error(Place::file(Arc::clone(other)), "case-twin", message);
                self.problems
                    .push(problem.help(help).related(Place::file(Arc::clone(first))));
            }
        }
        (self.tree, self.problems)
    }

    fn candidate(&mut self, child: Folder, kind: EntryKind) -> Step {
        let path: Arc<str> = child.shown.into();
        self.candidates
            .entry(path.to_lowercase())
            .or_default()
            .push(Arc::clone(&path));
        if let Some(fault) = child.fault {
            self.problem(
                &path,
                "bad-file-name",
                format!("its path {fault}"),
                "rename the file or its folder",
            );
            return Step::Pass;
        }
        let what = match kind {
            EntryKind::File => return Step::Read(path),
            EntryKind::Symlink => "is a symbolic link, and links are not followed",
            EntryKind::Submodule => "is a submodule, and submodules are not read",
            _ => "is no regular file",
        };
        self.problem(
            &path,
            "not-a-file",
            what.to_owned(),
            "put a file there, or leave the path out with `ignore` in plumbline.yaml",
        );
        Step::Pass
    }

    fn problem(&mut self, path: &Arc<str>, code: &'static str, message: String, help: &str) {
        let place = Place::file(Arc::clone(path));
        self.problems
            .push(Problem::error(place, code, message).help(help));
    }

    fn leave_out(&mut self, entry: &Folder, why: LeftOut) {
        self.tree.left_out.insert(entry.shown.as_str().into(), why);
    }
}

impl Folder {
    /// Its path below the tree's root, to show; "." for the root.
    pub(super) fn shown(&self) -> &str {
        if self.shown.is_empty() {
            "."
        } else {
            &self.shown
        }
    }

    fn child(&self, name: &[u8]) -> Self {
        let separator: &[u8] = if self.raw.is_empty() { b"" } else { b"/" };
        let shown = String::from_utf8_lossy(name);
        Self {
            raw: [&self.raw, separator, name].concat(),
            shown: match self.shown.as_str() {
                "" => shown.into_owned(),
                parent => format!("{parent}/{shown}"),
            },
            depth: self.depth + 1,
            fault: self.fault.or_else(|| name_fault(name)),
        }
    }
}

/// Whether a name is one that documents have.
pub(super) fn is_document(name: &[u8]) -> bool {
    name.ends_with(b".yaml") || name.ends_with(b".yml")
}

const PARENT: &str = "holds `.`, `..` or an empty name";

/// What is wrong with one name of a path. Control characters are those of Unicode (`Cc`): C0, DEL
/// and C1. git refuses to write most of these names, but a hostile repository may hold them.
fn name_fault(name: &[u8]) -> Option<&'static str> {
    if matches!(name, b"" | b"." | b"..") || name.contains(&b'/') {
        return Some(PARENT);
    }
    let Ok(text) = std::str::from_utf8(name) else {
        return Some("is not valid UTF-8");
    };
    if text.chars().any(char::is_control) {
        return Some("holds a control character");
    }
    if text.chars().any(is_unseen) {
        return Some("holds a character that cannot be seen");
    }
    text.contains('\\').then_some("holds a backslash")
}

/// Marks of direction and of no width, which would make one path look like another (Unicode
/// Technical Report 36).
fn is_unseen(character: char) -> bool {
    matches!(character, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codes(problems: &Problems) -> Vec<(String, &'static str)> {
        problems
            .clone()
            .sorted()
            .into_iter()
            .map(|p| (p.place.file.to_string(), p.code))
            .collect()
    }

    #[test]
    fn names_that_cannot_be_typed_are_problems_only_of_documents() {
        let mut selection = Selection::default();
        let root = Folder::default();
        for name in [
            &b"a\nb.yaml"[..],
            b"a\x7f.yaml",
            b"a\xc2\x85.yaml",
            "a\u{202e}lmay.yaml".as_bytes(),
            "a\u{200b}.yaml".as_bytes(),
            b"a\\b.yaml",
            b"\xff.yaml",
            b"..",
            b"dev-disk\\x2d.swap",
        ] {
            let step = selection.entry(&root, name, EntryKind::File).unwrap();
            assert!(matches!(step, Step::Pass), "{name:?}");
        }
        let (tree, problems) = selection.finish();
        assert!(tree.files.is_empty());
        assert_eq!(tree.left_out.len(), 2);
        let codes = codes(&problems);
        assert_eq!(codes.len(), 7);
        assert!(codes.iter().all(|(_, code)| *code == "bad-file-name"));
    }

    #[test]
    fn a_fault_of_a_folder_is_a_problem_of_the_documents_below_it() {
        let mut selection = Selection::default();
        let Step::Descend(folder) = selection
            .entry(&Folder::default(), b"..", EntryKind::Folder)
            .unwrap()
        else {
            panic!("a folder is gone into")
        };
        let step = selection.entry(&folder, b"a.yml", EntryKind::File).unwrap();
        assert!(matches!(step, Step::Pass));
        assert_eq!(
            codes(&selection.finish().1),
            [("../a.yml".to_owned(), "bad-file-name")]
        );
    }

    #[test]
    fn twins_in_case_are_named_both() {
        let mut selection = Selection::default();
        let root = Folder::default();
        for name in [&b"web.yaml"[..], b"Web.yaml", b"WEB.txt"] {
            let _ = selection.entry(&root, name, EntryKind::File).unwrap();
        }
        let problems = selection.finish().1.sorted();
        assert_eq!(problems.len(), 1);
        assert_eq!(problems[0].place.file.as_ref(), "web.yaml");
        assert_eq!(
            problems[0].related.as_ref().unwrap().file.as_ref(),
            "Web.yaml"
        );
    }

    #[test]
    fn what_is_no_file_is_a_problem_only_where_a_document_would_be_read() {
        let mut selection = Selection::default();
        let root = Folder::default();
        for kind in [EntryKind::Symlink, EntryKind::Submodule, EntryKind::Special] {
            for suffix in ["", ".yaml"] {
                let name = format!("{kind:?}{suffix}");
                let step = selection.entry(&root, name.as_bytes(), kind).unwrap();
                assert!(matches!(step, Step::Pass));
            }
        }
        let (tree, problems) = selection.finish();
        assert_eq!(tree.left_out.len(), 3);
        assert!(tree.left_out.values().all(|w| *w == LeftOut::NotAFile));
        assert_eq!(problems.len(), 3);
    }

    #[test]
    fn limits_end_the_reading() {
        let mut selection = Selection::default();
        let path: Arc<str> = "a.yaml".into();
        assert!(!selection.admit(&path, FILE_BYTES_MOST + 1).unwrap());
        for _ in 0..16 {
            assert!(selection.admit(&path, FILE_BYTES_MOST).unwrap());
        }
        assert_eq!(selection.admit(&path, 1), Err(LimitError::Bytes));

        let mut folder = Folder::default();
        for _ in 0..DEPTH_MOST {
            folder = folder.child(b"d");
        }
        assert!(matches!(
            selection.entry(&folder, b"d", EntryKind::Folder),
            Err(LimitError::Depth { .. })
        ));
        let mut last = Ok(Step::Pass);
        for _ in 0..=ENTRIES_MOST {
            last = selection.entry(&Folder::default(), b"f", EntryKind::File);
        }
        assert!(matches!(last, Err(LimitError::Entries)));
    }
}
