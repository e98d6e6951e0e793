//! What a tree begins with: `init`, and the schemas that editors check it by.

use std::fs;
use std::path::Path;
use std::process::Command;

use insta::assert_snapshot;

use super::run::Place;

/// A document of the examples, its marks taken away: a mark stands before each of its lines, and a
/// space follows it where the line is prose.
fn unmarked(text: &str) -> String {
    let lines = text.lines().map(|line| match line.strip_prefix('#') {
        Some(yaml) if !yaml.starts_with(' ') || yaml.starts_with("  ") => yaml,
        _ => line,
    });
    lines.map(|line| format!("{line}\n")).collect()
}

#[test]
fn a_first_tree_is_valid_and_so_are_its_examples() {
    let place = Place::with(&[]);
    assert_snapshot!(place.run(&["init"]));
    assert_snapshot!(place.run(&["validate"]));
    for name in ["containers.yaml", "policies.yaml", "plumbline.yaml"] {
        let path = place.path().join(name);
        let text = fs::read_to_string(&path).unwrap();
        assert_ne!(text, unmarked(&text), "{name}");
        fs::write(&path, unmarked(&text)).unwrap();
    }
    assert_snapshot!(place.run(&["validate"]));
    let allowed = [
        "explain", "--from", "shop/web", "--to", "shop/db", "--port", "5432",
    ];
    assert!(place.run(&allowed).contains("\nallowed: shop/web"));
}

#[test]
fn what_is_there_is_kept() {
    let place = Place::with(&[
        ("net/policies.yaml", "# mine\n"),
        (
            ".git/config",
            "[remote \"origin\"]\nurl = https://gitlab.example/net.git\n",
        ),
    ]);
    assert_snapshot!(place.run(&["init", "-C", "net"]));
    let read = |path: &str| fs::read_to_string(place.path().join(path)).unwrap();
    assert_eq!(read("net/policies.yaml"), "# mine\n");
    let ci = read(".gitlab-ci.yml");
    assert!(ci.contains("TREE: \"./net\"\n"), "{ci}");
    assert_snapshot!(place.run(&["init", "-C", "net", "--ci", "github"]));
    let ci = read(".github/workflows/plumbline.yaml");
    assert!(ci.contains("TREE: \"./net\"\n"), "{ci}");
    assert_snapshot!(place.run(&["init", "-C", "other", "--ci", "none"]));
}

/// A folder's name is quoted where a CI file can tell of it, and a git directory is no place for a
/// tree.
#[test]
fn a_tree_may_be_in_a_folder_of_any_name_but_in_no_git_directory() {
    let place = Place::with(&[
        (".git/HEAD", "ref: refs/heads/main\n"),
        (".git/objects/info/packs", ""),
        (".git/refs/heads/none", ""),
    ]);
    for folder in ["a folder, größer", "1.0", "-x"] {
        let github = place.path().join(".github/workflows/plumbline.yaml");
        let told = place.run(&["init", "--ci", "github", "-C", &format!("./{folder}")]);
        assert!(told.contains("exit code 0"), "{told}");
        let ci = fs::read_to_string(&github).unwrap();
        assert!(ci.contains(&format!("TREE: \"./{folder}\"\n")), "{ci}");
        fs::remove_file(github).unwrap();
    }
    assert_snapshot!(place.run(&["init", "--ci", "gitlab", "-C", "${{ github.token }}: |"]));
    assert!(!place.path().join(".gitlab-ci.yml").exists());
    assert_snapshot!(place.run(&["init", "-C", ".git/hooks"]));
    assert!(!place.path().join(".git/hooks").exists());
}

/// A disk that is full leaves nothing that would be kept the next time.
#[test]
fn a_file_that_cannot_be_written_whole_is_not_there() {
    let place = Place::with(&[]);
    let script = "trap '' XFSZ; ulimit -f 0; exec \"$0\" init --ci none";
    let output = Command::new("sh")
        .args(["-c", script, env!("CARGO_BIN_EXE_reconcile")])
        .current_dir(place.path())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0);
    assert!(
        place
            .run(&["init", "--ci", "none"])
            .contains("wrote ./plumbline.yaml")
    );
}

/// docs/schema holds what `schema` prints; `PLUMBLINE_DOCS=write` writes it.
#[test]
fn schemas_are_those_that_are_published() {
    let place = Place::with(&[]);
    let published = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/schema");
    let kinds = ["Config", "Container", "Namespace", "NetworkPolicy"];
    let each = kinds.map(|kind| (kind.to_lowercase(), vec!["schema", kind]));
    let all = ("plumbline".to_owned(), vec!["schema"]);
    for (name, arguments) in each.into_iter().chain([all]) {
        let output = place.output(&arguments);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}");
        let path = published.join(format!("{name}.json"));
        if std::env::var_os("PLUMBLINE_DOCS").is_some_and(|what| what == "write") {
            fs::write(&path, &output.stdout).unwrap();
        }
        let written = fs::read(&path).unwrap_or_default();
        assert!(
            written == output.stdout,
            "docs/schema/{name}.json is not what `reconcile schema` prints; to write it:\n    \
             PLUMBLINE_DOCS=write ./dev test -E 'test(schemas)'"
        );
    }
}

#[test]
fn a_shell_completes_every_command() {
    let place = Place::with(&[]);
    for shell in ["bash", "zsh", "fish"] {
        let output = place.output(&["completions", shell]);
        assert_eq!(output.status.code(), Some(0), "{shell}");
        let script = String::from_utf8(output.stdout).unwrap();
        for word in ["rollback", "max-cut", "suspend"] {
            assert!(script.contains(word), "{shell}: {word}");
        }
    }
}
