//! Which tree is read, and how it is named.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

use reconciler::source::{
    FindError, GitError, Known, SourceError, SourceId, SourceRequest, read_commit,
};
use state::documents::tree::LeftOut;

use crate::repo::{Repo, files, git, read, read_as, says};

#[test]
fn the_tree_is_that_of_the_commit_and_not_of_the_work_tree() {
    let repo = Repo::new();
    let commit = repo.commit(&[
        ("shop/web.yaml", "old"),
        ("README.md", "r"),
        (".x/a.yaml", ""),
    ]);
    repo.write("shop/web.yaml", "new");
    let source = repo.read().unwrap();
    assert_eq!(files(&source), [("shop/web.yaml", "old")]);
    assert_eq!(source.tree.left_out[".x"], LeftOut::DotName);
    assert_eq!(source.tree.left_out["README.md"], LeftOut::NotYaml);
    let tree = repo.git(&["rev-parse", "HEAD^{tree}"]);
    assert_eq!(source.id.commit(), commit);
    assert_eq!(source.id.tree(), tree.trim());
    assert_eq!(source.id.origin(), repo.path().join(".git"));
    assert!(matches!(
        source.id,
        SourceId::Commit {
            time_s: 1_700_000_000,
            ..
        }
    ));
}

#[test]
fn a_subfolder_is_a_tree_of_its_own_whether_it_is_checked_out_or_not() {
    let repo = Repo::committed(&[("top.yaml", "t"), ("hosts/a/x.yaml", "x")]);
    let tree = repo.git(&["rev-parse", "HEAD:hosts/a"]);
    let source = read(&repo.path().join("hosts/a")).unwrap();
    assert_eq!(files(&source), [("x.yaml", "x")]);
    assert_eq!(source.id.tree(), tree.trim());
    fs::remove_dir_all(repo.path().join("hosts")).unwrap();
    let again = read(&repo.path().join("hosts/a")).unwrap();
    assert_eq!(files(&again), [("x.yaml", "x")]);
    let missing = read(&repo.path().join("hosts/b")).unwrap_err();
    assert!(matches!(
        missing,
        SourceError::Git(GitError::NoFolder { .. })
    ));
    let file = read(&repo.path().join("top.yaml")).unwrap_err();
    assert!(matches!(file, SourceError::Git(GitError::NoFolder { .. })));
}

#[test]
fn revisions_are_branches_tags_abbreviations_and_ancestors() {
    let repo = Repo::new();
    let first = repo.commit(&[("a.yaml", "1")]);
    repo.git(&["tag", "-a", "-m", "tagged", "v1"]);
    repo.git(&["tag", "-a", "-m", "again", "v1-again", "v1"]);
    let second = repo.commit(&[("a.yaml", "2")]);
    for (rev, commit) in [
        ("main", &second),
        ("HEAD~1", &first),
        ("v1", &first),
        ("v1-again", &first),
        (&first[..10], &first),
        (&second, &second),
    ] {
        assert_eq!(repo.read_rev(rev).unwrap().id.commit(), commit, "{rev}");
    }
    for rev in ["no-such", "HEAD~9", "", "HEAD:a.yaml", "main..HEAD", "-x"] {
        let error = repo.read_rev(rev).unwrap_err();
        assert!(matches!(error, SourceError::Git(_)), "{rev}: {error}");
    }
    let old = read_commit(&repo.path(), &first, &mut Known::default()).unwrap();
    assert_eq!(files(&old), [("a.yaml", "1")]);
    assert!(matches!(
        read_commit(&repo.path(), "main", &mut Known::default()),
        Err(SourceError::NoSuchCommit { .. })
    ));
}

#[test]
fn sha256_bare_and_packed_repositories_and_linked_work_trees_are_read() {
    let sha256 = Repo::with(&["init", "-q", "-b", "main", "--object-format=sha256"]);
    let commit = sha256.commit(&[("a.yaml", "a")]);
    assert_eq!(commit.len(), 64);
    assert_eq!(sha256.read().unwrap().id.commit(), commit);

    let repo = Repo::committed(&[("a.yaml", "a"), ("sub/b.yaml", "b")]);
    repo.git(&["gc", "-q"]);
    assert_eq!(files(&repo.read().unwrap()).len(), 2);
    repo.git(&["clone", "-q", "--bare", "--no-local", ".", "../bare.git"]);
    assert_eq!(files(&read(&repo.beside("bare.git")).unwrap()).len(), 2);
    let below = read(&repo.beside("bare.git/sub")).unwrap();
    assert_eq!(files(&below), [("b.yaml", "b")]);
    let request = SourceRequest {
        directory: repo.beside("bare.git"),
        rev: None,
        worktree: true,
    };
    assert!(matches!(
        read_as(&request),
        Err(SourceError::NoWorkTree { .. })
    ));

    repo.git(&["worktree", "add", "-q", "-b", "side", "../linked"]);
    let linked = repo.beside("linked");
    fs::write(linked.join("c.yaml"), "c").unwrap();
    git(&linked, &["add", "c.yaml"], b"");
    git(&linked, &["commit", "-q", "-m", "side"], b"");
    let source = read(&linked).unwrap();
    assert_eq!(files(&source).len(), 3);
    assert!(source.uncommitted.is_empty(), "{:?}", source.uncommitted);
    assert_eq!(source.id.origin(), repo.path().join(".git"));
    assert_eq!(files(&repo.read().unwrap()).len(), 2);
}

#[test]
fn a_link_on_the_way_to_the_tree_is_followed() {
    let repo = Repo::committed(&[("sub/b.yaml", "b")]);
    symlink(repo.path().join("sub"), repo.beside("link")).unwrap();
    assert_eq!(
        files(&read(&repo.beside("link")).unwrap()),
        [("b.yaml", "b")]
    );
}

#[test]
fn a_repository_without_a_commit_says_so() {
    let error = Repo::new().read().unwrap_err();
    assert!(matches!(error, SourceError::Git(GitError::NoCommit { .. })));
    assert!(says(&error).contains("--worktree"));
}

#[test]
fn a_plain_directory_and_a_missing_one() {
    let repo = Repo::new();
    let plain = repo.beside("plain");
    fs::create_dir(&plain).unwrap();
    fs::write(plain.join("a.yaml"), "a").unwrap();
    let source = read(&plain).unwrap();
    assert_eq!(files(&source), [("a.yaml", "a")]);
    assert_eq!(source.id.commit().len(), 64);
    assert_eq!(source.id.origin(), plain);
    assert!(matches!(
        read(&repo.beside("nowhere")),
        Err(SourceError::Find(FindError::Missing { .. }))
    ));
    let request = SourceRequest {
        directory: plain,
        rev: Some("HEAD".into()),
        worktree: false,
    };
    assert!(matches!(
        read_as(&request),
        Err(SourceError::RevisionOfDirectory { .. })
    ));
}

#[test]
fn replacement_objects_are_not_followed() {
    let repo = Repo::new();
    let first = repo.commit(&[("a.yaml", "1")]);
    let second = repo.commit(&[("a.yaml", "2")]);
    repo.git(&["replace", &second, &first]);
    assert_eq!(files(&repo.read().unwrap()), [("a.yaml", "2")]);
}

/// Runs this very test again in a process whose environment holds what git would obey.
#[test]
fn git_variables_of_the_environment_are_ignored() {
    const MARK: &str = "PLUMBLINE_TEST_REPOSITORY";
    if let Some(path) = std::env::var_os(MARK) {
        assert_eq!(files(&read(path.as_ref()).unwrap()), [("a.yaml", "mine")]);
        return;
    }
    let mine = Repo::committed(&[("a.yaml", "mine")]);
    let other = Repo::committed(&[("a.yaml", "other")]);
    let other_git = other.path().join(".git");
    let name = "commits::git_variables_of_the_environment_are_ignored";
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name])
        .env(MARK, mine.path())
        .env("GIT_DIR", &other_git)
        .env("GIT_WORK_TREE", other.path())
        .env("GIT_COMMON_DIR", &other_git)
        .env("GIT_INDEX_FILE", "/dev/null")
        .env("GIT_OBJECT_DIRECTORY", other_git.join("objects"))
        .env(
            "GIT_ALTERNATE_OBJECT_DIRECTORIES",
            other_git.join("objects"),
        )
        .env("GIT_NAMESPACE", "elsewhere")
        .env("GIT_CEILING_DIRECTORIES", mine.path())
        .env("GIT_REPLACE_REF_BASE", "refs/heads/")
        .env("GIT_CONFIG_COUNT", "1")
        .env("GIT_CONFIG_KEY_0", "core.worktree")
        .env("GIT_CONFIG_VALUE_0", other.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
}
