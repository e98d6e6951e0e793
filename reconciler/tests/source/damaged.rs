//! Repositories as a crash leaves them. None of them panics, and each error names what is damaged
//! and `git fsck`.

use std::fs;
use std::path::{Path, PathBuf};

use reconciler::source::{GitError, SourceError};

use crate::repo::{Repo, files, says};

fn refused(repo: &Repo, names: &str) {
    let error = repo.read().unwrap_err();
    let text = says(&error);
    assert!(matches!(error, SourceError::Git(_)), "{text}");
    assert!(text.contains("fsck"), "{text}");
    assert!(text.contains(names), "{text} does not name {names}");
}

fn overwrite(file: &Path, content: &[u8]) {
    fs::remove_file(file).unwrap();
    fs::write(file, content).unwrap();
}

#[test]
fn missing_empty_cut_and_swapped_objects_are_named() {
    for name in ["HEAD", "HEAD^{tree}", "HEAD:sub", "HEAD:sub/a.yaml"] {
        for damage in ["missing", "empty", "cut", "zeros", "swapped"] {
            let repo = Repo::committed(&[("sub/a.yaml", &"content ".repeat(100))]);
            let id = repo.git(&["rev-parse", name]).trim().to_owned();
            let file = repo.loose(&id);
            let content = fs::read(&file).unwrap();
            match damage {
                "missing" => fs::remove_file(&file).unwrap(),
                "empty" => overwrite(&file, b""),
                "cut" => overwrite(&file, &content[..content.len() / 2]),
                "zeros" => overwrite(&file, &vec![0; content.len()]),
                _ => {
                    let kind = repo.git(&["cat-file", "-t", &id]);
                    let other = match kind.trim() {
                        "blob" => repo.object("blob", b"another"),
                        "tree" => repo.tree(&[]),
                        _ => {
                            let tree = repo.tree(&[]);
                            repo.git(&["commit-tree", "-m", "x", &tree])
                                .trim()
                                .to_owned()
                        }
                    };
                    overwrite(&file, &fs::read(repo.loose(&other)).unwrap());
                }
            }
            refused(&repo, &id);
        }
    }
}

#[test]
fn a_damaged_reference_is_named() {
    for (content, file) in [
        (&b""[..], "refs/heads/main"),
        (b"\0\0\0\0", "refs/heads/main"),
        (b"0123456789\n", "refs/heads/main"),
        (b"", "HEAD"),
        (b"\n", "HEAD"),
    ] {
        let repo = Repo::committed(&[("a.yaml", "a")]);
        fs::write(repo.path().join(".git").join(file), content).unwrap();
        let error = repo.read().unwrap_err();
        let text = says(&error);
        assert!(
            matches!(error, SourceError::Git(GitError::Reference { .. })),
            "{text}"
        );
        assert!(text.contains(file) && text.contains("fsck"), "{text}");
    }
}

#[test]
fn a_lock_left_behind_is_no_damage() {
    let repo = Repo::committed(&[("a.yaml", "a")]);
    fs::write(repo.path().join(".git/HEAD.lock"), "").unwrap();
    fs::write(repo.path().join(".git/index.lock"), "").unwrap();
    assert_eq!(files(&repo.read().unwrap()).len(), 1);
}

fn packs(repo: &Repo, extension: &str) -> Vec<PathBuf> {
    let folder = repo.path().join(".git/objects/pack");
    fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == extension))
        .collect()
}

/// A repository whose only objects are packed, some as deltas.
fn packed() -> Repo {
    let repo = Repo::new();
    let lines: String = (0..200).map(|n| format!("line {n}\n")).collect();
    repo.commit(&[("a.yaml", &lines), ("sub/b.yaml", "b")]);
    repo.commit(&[("a.yaml", &format!("{lines}more\n"))]);
    repo.git(&["repack", "-q", "-a", "-d", "-f"]);
    repo.git(&["pack-refs", "--all"]);
    repo.git(&["prune-packed"]);
    assert_eq!(files(&repo.read().unwrap()).len(), 2);
    repo
}

#[test]
fn cut_packs_and_indices_are_refused_and_never_panic() {
    let repo = packed();
    for extension in ["pack", "idx"] {
        let file = &packs(&repo, extension)[0];
        let content = fs::read(file).unwrap();
        let length = content.len();
        for keep in [0, 1, 11, 12, 40, length / 2, length - 21, length - 1] {
            overwrite(file, &content[..keep]);
            // The trailer alone may be missed: what was read has been checked object by object.
            match repo.read() {
                Ok(source) => assert!(keep + 21 >= length && files(&source).len() == 2),
                Err(error) => assert!(says(&error).contains("fsck"), "{}", says(&error)),
            }
        }
        overwrite(file, &content);
    }
}

#[test]
fn a_missing_pack_is_refused() {
    let repo = packed();
    let id = repo.git(&["rev-parse", "HEAD"]).trim().to_owned();
    fs::remove_file(&packs(&repo, "pack")[0]).unwrap();
    refused(&repo, &id);
}

#[test]
fn cut_packed_refs_are_refused_or_read_as_they_were() {
    let repo = packed();
    let file = repo.path().join(".git/packed-refs");
    let whole = fs::read(&file).unwrap();
    for keep in 0..whole.len() {
        overwrite(&file, &whole[..keep]);
        if let Err(error) = repo.read() {
            let text = says(&error);
            assert!(matches!(error, SourceError::Git(_)), "{text}");
        }
    }
}

/// Every byte of every file of a small repository, damaged in turn: what comes back is the tree of
/// some commit that hashes right, or an error. Never a panic, never other content.
#[test]
fn one_wrong_byte_anywhere_gives_the_tree_or_an_error() {
    for repo in [Repo::committed(&[("a.yaml", "aaaa")]), packed()] {
        let whole: Vec<_> = repo.read().unwrap().tree.files.into_iter().collect();
        let mut damaged = 0;
        for file in git_files(&repo.path().join(".git")) {
            let content = fs::read(&file).unwrap();
            let step = content.len() / 400 + 1;
            for at in (0..content.len()).step_by(step) {
                let mut wrong = content.clone();
                wrong[at] ^= 0x55;
                overwrite(&file, &wrong);
                match repo.read() {
                    Ok(source) => {
                        let read: Vec<_> = source.tree.files.into_iter().collect();
                        assert_eq!(read, whole, "{}: byte {at}", file.display());
                    }
                    Err(_) => damaged += 1,
                }
            }
            overwrite(&file, &content);
        }
        assert!(damaged > 100, "{damaged}");
        assert!(repo.read().is_ok());
    }
}

/// The files of a git directory that take part in reading a commit.
fn git_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.file_name().unwrap().to_str().unwrap() {
            "hooks" | "logs" | "description" | "COMMIT_EDITMSG" | "info" => {}
            _ if path.is_dir() => files.extend(git_files(&path)),
            _ => files.push(path),
        }
    }
    files.sort();
    files
}

/// Files that are not committed must not go live because a part of the repository is lost.
#[test]
fn a_git_directory_that_lacks_a_part_is_not_taken_for_a_plain_folder() {
    for part in ["HEAD", "objects", "refs"] {
        let repo = Repo::committed(&[("a.yaml", "a")]);
        let lost = repo.path().join(".git").join(part);
        fs::rename(&lost, repo.path().join(part)).unwrap();
        let error = repo.read().unwrap_err();
        let text = says(&error);
        assert!(text.contains(".git is damaged"), "{text}");
        assert!(!error.is_refusal());
    }
}
