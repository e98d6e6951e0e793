//! Commits and repositories that somebody made to harm.

use std::fs;
use std::os::unix::fs::{chown, symlink};

use reconciler::source::{FindError, GitError, OwnerError, SourceError};
use state::documents::tree::LeftOut;

use crate::repo::{Repo, files, problems, read, says};

#[test]
fn links_and_submodules_are_problems_only_where_a_document_would_be_read() {
    let repo = Repo::committed(&[("a.yaml", "a")]);
    symlink("/etc/passwd", repo.path().join("link.yaml")).unwrap();
    symlink("/etc", repo.path().join("folder")).unwrap();
    let commit = repo.commit(&[]);
    for path in ["module", "module.yml"] {
        let info = format!("160000,{commit},{path}");
        repo.git(&["update-index", "--add", "--cacheinfo", &info]);
    }
    repo.git(&["commit", "-q", "-m", "modules"]);
    let source = repo.read().unwrap();
    assert_eq!(files(&source), [("a.yaml", "a")]);
    assert_eq!(
        problems(&source),
        [
            ("link.yaml".to_owned(), "not-a-file"),
            ("module.yml".to_owned(), "not-a-file")
        ]
    );
    assert_eq!(source.tree.left_out["folder"], LeftOut::NotAFile);
    assert_eq!(source.tree.left_out["module"], LeftOut::NotAFile);
}

#[test]
fn names_that_git_would_not_write_are_refused() {
    let repo = Repo::new();
    let blob = repo.object("blob", b"kind: X");
    let inner = repo.tree(&[("100644", b"x.yaml", &blob)]);
    let tree = repo.tree(&[
        ("40000", b"..", &inner),
        ("40000", b".git", &inner),
        ("100644", b"A.yaml", &blob),
        ("100644", b"a.yaml", &blob),
        ("100644", b"a/b.yaml", &blob),
        ("100644", b"c\x1b[31m.yaml", &blob),
        ("100644", b"d\\e.yaml", &blob),
        ("100644", b"f\xff.yaml", &blob),
        ("40000", b"g\n", &inner),
    ]);
    repo.commit_tree(&tree);
    let source = repo.read().unwrap();
    let codes = problems(&source);
    let bad = codes.iter().filter(|(_, code)| *code == "bad-file-name");
    assert_eq!(bad.count(), 6, "{codes:?}");
    assert!(codes.contains(&("a.yaml".to_owned(), "case-twin")));
    assert!(codes.contains(&("../x.yaml".to_owned(), "bad-file-name")));
    let read: Vec<_> = files(&source).into_iter().map(|(path, _)| path).collect();
    assert_eq!(read, ["A.yaml", "a.yaml"]);
}

#[test]
fn a_tree_that_names_itself_over_and_over_is_refused_in_bounded_time() {
    let repo = Repo::new();
    let blob = repo.object("blob", b"");
    let mut tree = repo.tree(&[("100644", b"x.yaml", &blob)]);
    for _ in 0..60 {
        tree = repo.tree(&[("40000", b"a", &tree), ("40000", b"b", &tree)]);
    }
    repo.commit_tree(&tree);
    let error = repo.read().unwrap_err();
    assert!(matches!(error, SourceError::Git(GitError::Limit { .. })));
    assert!(says(&error).contains("100000 files"), "{error}");
}

#[test]
fn one_content_under_many_names_is_read_once() {
    let repo = Repo::new();
    let blob = repo.object("blob", &[b'#'; 600]);
    let names: Vec<_> = (0..99_000).map(|n| format!("{n:06}.yaml")).collect();
    let entries: Vec<_> = names
        .iter()
        .map(|name| ("100644", name.as_bytes(), blob.as_str()))
        .collect();
    let tree = repo.tree(&entries);
    repo.commit_tree(&tree);
    let source = repo.read().unwrap();
    assert_eq!(source.tree.files.len(), 99_000);
    let first = &source.tree.files["000000.yaml"];
    let shared = source.tree.files.values();
    assert!(shared.into_iter().all(|c| std::sync::Arc::ptr_eq(c, first)));
}

#[test]
fn folders_deeper_than_the_limit_are_refused() {
    let repo = Repo::new();
    let blob = repo.object("blob", b"");
    let mut tree = repo.tree(&[("100644", b"x.yaml", &blob)]);
    for _ in 0..64 {
        tree = repo.tree(&[("40000", b"d", &tree)]);
    }
    repo.commit_tree(&tree);
    assert_eq!(repo.read().unwrap().tree.files.len(), 1);
    let deeper = repo.tree(&[("40000", b"d", &tree)]);
    repo.commit_tree(&deeper);
    let error = repo.read().unwrap_err();
    assert!(says(&error).contains("deeper than 64"), "{error}");
}

#[test]
fn a_large_file_is_a_problem_and_a_large_tree_is_refused() {
    let repo = Repo::new();
    let four = " ".repeat(4 << 20);
    repo.commit(&[("a.yaml", &four), ("b.yaml", &format!("{four} "))]);
    let source = repo.read().unwrap();
    assert_eq!(source.tree.files.len(), 1);
    assert_eq!(problems(&source), [("b.yaml".to_owned(), "file-too-large")]);
    let blob = repo.object("blob", four.as_bytes());
    let names: Vec<_> = (0..17).map(|n| format!("{n:02}.yaml")).collect();
    let entries: Vec<_> = names
        .iter()
        .map(|name| ("100644", name.as_bytes(), blob.as_str()))
        .collect();
    let tree = repo.tree(&entries);
    repo.commit_tree(&tree);
    let error = repo.read().unwrap_err();
    assert!(says(&error).contains("64 MiB"), "{error}");
}

#[test]
fn a_bare_repository_committed_as_files_is_never_opened() {
    let repo = Repo::committed(&[("a.yaml", "a")]);
    let evil = repo.path().join("evil");
    for folder in ["objects", "refs/heads"] {
        fs::create_dir_all(evil.join(folder)).unwrap();
    }
    fs::write(evil.join("HEAD"), "ref: refs/heads/main\n").unwrap();
    fs::write(evil.join("config"), "[core]\n\tfsmonitor = touch /tmp/x\n").unwrap();
    fs::write(evil.join("objects/o.yaml"), "o").unwrap();
    repo.commit(&[]);
    let source = read(&evil).unwrap();
    assert_eq!(files(&source), [("objects/o.yaml", "o")]);
    assert_eq!(source.id.origin(), repo.path().join(".git"));
}

#[test]
fn objects_outside_of_the_repository_are_refused() {
    let repo = Repo::committed(&[("a.yaml", "a")]);
    repo.git(&["clone", "-q", "-s", ".", "../shared"]);
    let error = read(&repo.beside("shared")).unwrap_err();
    assert!(
        matches!(error, SourceError::Find(FindError::Outside { .. })),
        "{error}"
    );
    assert!(says(&error).contains("repack -a -d"), "{error}");

    let objects = repo.path().join(".git/objects");
    fs::rename(&objects, repo.beside("objects")).unwrap();
    symlink(repo.beside("objects"), &objects).unwrap();
    let error = repo.read().unwrap_err();
    assert!(matches!(
        error,
        SourceError::Find(FindError::Outside { .. })
    ));
}

#[test]
fn somebody_elses_repository_is_refused_with_the_line_to_run() {
    let repo = Repo::committed(&[("a.yaml", "a")]);
    chown(repo.path().join(".git"), Some(12345), None).unwrap();
    let error = repo.read().unwrap_err();
    assert!(
        matches!(
            error,
            SourceError::Owner(OwnerError::Foreign { owner: 12345, .. })
        ),
        "{error}"
    );
    let path = repo.path();
    let line = format!(
        "git config --global --add safe.directory {}",
        path.display()
    );
    assert_eq!(error.remedy(), Some(line), "{error}");
}

#[test]
fn a_fifo_or_a_device_in_the_git_directory_is_never_opened() {
    let repo = Repo::committed(&[("sub/a.yaml", "a")]);
    let git_dir = repo.path().join(".git");
    for name in [
        "HEAD",
        "config",
        "packed-refs",
        "index",
        "refs/heads/main",
        "objects/pack/a.idx",
    ] {
        let file = git_dir.join(name);
        let kept = fs::read(&file);
        let _ = fs::remove_file(&file);
        make_fifo(&file);
        let error = repo.read().unwrap_err();
        assert!(
            matches!(error, SourceError::Find(FindError::Endless { .. })),
            "{name}: {}",
            says(&error)
        );
        fs::remove_file(&file).unwrap();
        let _ = kept.map(|content| fs::write(&file, content));
    }
    for name in ["HEAD", "HEAD^{tree}", "HEAD:sub/a.yaml"] {
        let id = repo.git(&["rev-parse", name]).trim().to_owned();
        let file = repo.loose(&id);
        let kept = fs::read(&file).unwrap();
        fs::remove_file(&file).unwrap();
        symlink("/dev/zero", &file).unwrap();
        let text = says(&repo.read().unwrap_err());
        assert!(text.contains("is a FIFO or a device"), "{text}");
        fs::remove_file(&file).unwrap();
        fs::write(&file, kept).unwrap();
    }
    fs::write(git_dir.join("config"), vec![b'#'; 2 << 20]).unwrap();
    assert!(matches!(
        repo.read(),
        Err(SourceError::Find(FindError::Endless { .. }))
    ));
}

fn make_fifo(path: &std::path::Path) {
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    mknodat(CWD, path, FileType::Fifo, Mode::RUSR, 0).unwrap();
}
