//! Uncommitted documents are named, and read only when asked for.

use std::fs;
use std::os::unix::fs::symlink;

use reconciler::source::selection::{DEPTH_MOST, ENTRIES_MOST};
use reconciler::source::{Change, Source, SourceId, SourceRequest};

use crate::repo::{Repo, files, read, read_as};

fn changes(source: &Source) -> Vec<(&str, Change)> {
    let changes = source.uncommitted.iter();
    changes
        .map(|change| (change.path.as_ref(), change.change))
        .collect()
}

#[test]
fn modified_added_and_deleted_documents_are_named() {
    let repo = Repo::committed(&[
        ("sub/same.yaml", "same"),
        ("sub/size.yaml", "old"),
        ("sub/content.yaml", "old"),
        ("sub/gone.yaml", "old"),
        ("sub/link.yaml", "old"),
        ("sub/notes.txt", "old"),
        ("other.yaml", "old"),
    ]);
    assert!(read(&repo.path()).unwrap().uncommitted.is_empty());
    repo.write("sub/size.yaml", "newer");
    repo.write("sub/content.yaml", "new");
    repo.write("sub/notes.txt", "new");
    repo.write("sub/added.yml", "new");
    repo.write("sub/.hidden/x.yaml", "new");
    repo.write("other.yaml", "new");
    fs::remove_file(repo.path().join("sub/gone.yaml")).unwrap();
    fs::remove_file(repo.path().join("sub/link.yaml")).unwrap();
    symlink("same.yaml", repo.path().join("sub/link.yaml")).unwrap();
    let source = read(&repo.path().join("sub")).unwrap();
    assert_eq!(
        changes(&source),
        [
            ("added.yml", Change::Added),
            ("content.yaml", Change::Modified),
            ("gone.yaml", Change::Deleted),
            ("link.yaml", Change::Deleted),
            ("size.yaml", Change::Modified),
        ]
    );
}

#[test]
fn what_is_staged_is_not_committed() {
    let repo = Repo::committed(&[("a.yaml", "old")]);
    repo.write("a.yaml", "new");
    repo.write("b.yaml", "new");
    repo.git(&["add", "-A"]);
    assert_eq!(
        changes(&repo.read().unwrap()),
        [("a.yaml", Change::Modified), ("b.yaml", Change::Added)]
    );
}

#[test]
fn a_file_of_the_same_size_and_time_is_still_compared() {
    let repo = Repo::committed(&[("a.yaml", "old")]);
    let file = repo.path().join("a.yaml");
    let times = fs::metadata(&file).unwrap().modified().unwrap();
    repo.write("a.yaml", "new");
    let open = fs::File::options().write(true).open(&file).unwrap();
    open.set_modified(times).unwrap();
    assert_eq!(
        changes(&repo.read().unwrap()),
        [("a.yaml", Change::Modified)]
    );
}

#[test]
fn a_touched_file_and_a_lost_index_are_no_changes() {
    let repo = Repo::committed(&[("a.yaml", "old")]);
    repo.write("a.yaml", "old");
    assert!(repo.read().unwrap().uncommitted.is_empty());
    fs::remove_file(repo.path().join(".git/index")).unwrap();
    assert!(repo.read().unwrap().uncommitted.is_empty());
    fs::write(repo.path().join(".git/index"), "DIRC").unwrap();
    assert!(repo.read().unwrap().uncommitted.is_empty());
}

#[test]
fn ignored_and_skipped_files_are_not_named() {
    let repo = Repo::committed(&[
        (".gitignore", "/build/\n*.gen.yaml\n"),
        ("sub/.gitignore", "!keep.gen.yaml\n/local.yaml\n"),
        ("a.yaml", "a"),
        ("sub/b.yaml", "b"),
    ]);
    fs::write(repo.path().join(".git/info/exclude"), "mine.yaml\n").unwrap();
    for path in [
        "build/x.yaml",
        "x.gen.yaml",
        "mine.yaml",
        "sub/local.yaml",
        "sub/x.gen.yaml",
        "sub/keep.gen.yaml",
        "sub/build/y.yaml",
    ] {
        repo.write(path, "new");
    }
    fs::remove_file(repo.path().join("a.yaml")).unwrap();
    repo.git(&["update-index", "--skip-worktree", "a.yaml"]);
    assert_eq!(
        changes(&repo.read().unwrap()),
        [
            ("sub/build/y.yaml", Change::Added),
            ("sub/keep.gen.yaml", Change::Added)
        ]
    );
    let below = read(&repo.path().join("sub")).unwrap();
    assert_eq!(
        changes(&below),
        [
            ("build/y.yaml", Change::Added),
            ("keep.gen.yaml", Change::Added)
        ]
    );
}

#[test]
fn nothing_beside_the_commit_fails_a_run() {
    let repo = Repo::committed(&[(".gitignore", "node_modules/\n"), ("a.yaml", "a")]);
    let many = repo.path().join("node_modules");
    fs::create_dir(&many).unwrap();
    for n in 0..=ENTRIES_MOST {
        fs::write(many.join(n.to_string()), "").unwrap();
    }
    let source = repo.read().unwrap();
    assert_eq!(files(&source), [("a.yaml", "a")]);
    assert!(source.uncommitted.is_empty(), "an ignored folder is passed");

    fs::rename(&many, repo.path().join("many")).unwrap();
    let deep = ["deep"; DEPTH_MOST + 1].join("/");
    fs::create_dir_all(repo.path().join(deep)).unwrap();
    repo.write("a.yaml", "b");
    let source = repo.read().unwrap();
    assert_eq!(files(&source), [("a.yaml", "a")]);
    let changes = changes(&source);
    assert!(changes.contains(&("a.yaml", Change::Modified)));
    assert!(changes.contains(&(".", Change::Unseen)));
}

#[test]
fn another_revision_than_head_is_not_compared() {
    let repo = Repo::new();
    let first = repo.commit(&[("a.yaml", "1")]);
    repo.commit(&[("a.yaml", "2")]);
    repo.write("a.yaml", "3");
    assert!(repo.read_rev(&first).unwrap().uncommitted.is_empty());
    assert_eq!(repo.read_rev("main").unwrap().uncommitted.len(), 1);
}

#[test]
fn the_work_tree_is_read_when_asked_for() {
    let repo = Repo::committed(&[("sub/a.yaml", "old")]);
    repo.write("sub/a.yaml", "new");
    let source = read_as(&SourceRequest {
        directory: repo.path().join("sub"),
        rev: None,
        worktree: true,
    })
    .unwrap();
    assert_eq!(files(&source), [("a.yaml", "new")]);
    assert!(matches!(source.id, SourceId::Directory { .. }));
}
