//! `validate` and `explain` of small trees in plain directories.

use std::fs;

use insta::assert_snapshot;

use super::run::Place;

const CONTAINERS: &str = "\
apiVersion: plumbline.dev/v1alpha1
kind: Container
metadata: {name: web, namespace: shop, labels: {app: web}}
spec: {addresses: [10.44.0.10], ports: [{name: http, port: 80}]}
---
apiVersion: plumbline.dev/v1alpha1
kind: Container
metadata: {name: client, namespace: shop, uid: 1b4e28ba}
spec: {addresses: [10.44.0.11]}
";

const POLICY: &str = "\
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: web, namespace: shop}
spec:
  podSelector: {matchLabels: {app: web}}
  ingress:
  - from: [{podSelector: {}}]
    ports: [{port: http}]
";

const CONFIG: &str = "\
apiVersion: plumbline.dev/v1alpha1
kind: Config
ignore: [charts]
ignoreKinds: [Deployment]
";

/// What is valid, with something of every kind that is passed over.
fn valid() -> Place {
    Place::with(&[
        ("plumbline.yaml", CONFIG),
        ("containers.yaml", CONTAINERS),
        ("policies/web.yml", POLICY),
        ("charts/a.yaml", "{{ a template }}"),
        (".github/ci.yaml", "on: push"),
        ("README.md", "# Read me"),
        ("app.yaml", "apiVersion: apps/v1\nkind: Deployment\n"),
    ])
}

/// A typing error, a missing field, and a policy that selects nobody.
fn invalid() -> Place {
    let policy = POLICY
        .replace("podSelector: {matchLabels", "podSelectr: {matchLabels")
        .replace("port: http", "port: 0");
    Place::with(&[
        ("plumbline.yaml", ""),
        (
            "containers.yaml",
            &CONTAINERS.replace("addresses: [10.44.0.11]", "host: alpha"),
        ),
        ("policy.yaml", &policy),
    ])
}

#[test]
fn a_valid_tree() {
    let place = valid();
    let runs = [
        place.run(&["validate"]),
        place.run(&["validate", "-v"]),
        place.run(&["validate", "-q"]),
        place.run(&["validate", "-o", "json"]),
    ];
    assert_snapshot!(runs.join("\n"));
}

#[test]
fn an_invalid_tree() {
    let place = invalid();
    let runs = [
        place.run(&["validate"]),
        place.run(&["validate", "-q"]),
        place.run(&["validate", "-o", "json"]),
    ];
    assert_snapshot!(runs.join("\n"));
}

#[test]
fn a_tree_with_a_warning() {
    let policy = POLICY.replace("app: web", "app: wbe");
    let place = Place::with(&[("containers.yaml", CONTAINERS), ("policy.yaml", &policy)]);
    let runs = [
        place.run(&["-C", ".", "validate"]),
        place.run(&["-C", ".", "validate", "-q"]),
    ];
    assert_snapshot!(runs.join("\n"));
}

#[test]
fn colours_are_written_where_they_are_asked_for() {
    let output = invalid().output(&["validate", "--color", "always"]);
    assert!(output.stderr.contains(&0x1b));
    let output = invalid().output(&["validate"]);
    assert!(!output.stderr.contains(&0x1b));
}

#[test]
fn a_flow_is_explained_without_root() {
    let place = valid();
    let ask = |port, more: &[&str]| {
        let question = [
            "explain",
            "--from",
            "shop/client",
            "--to",
            "shop/web",
            "--port",
            port,
        ];
        place.run(&[&question, more].concat())
    };
    // The hash of a directory's content stands where a commit's id would.
    let plain = |text: String| {
        let lines = text
            .lines()
            .filter(|line| !line.starts_with("by commit") && !line.contains("\"commit\""));
        lines.map(|line| format!("{line}\n")).collect::<String>()
    };
    let runs = [
        plain(ask("http", &[])),
        plain(ask("81/TCP", &[])),
        plain(ask("icmp", &["-o", "json"])),
    ];
    assert_snapshot!(runs.join("\n"));
}

#[test]
fn a_tree_that_is_invalid_explains_nothing() {
    let place = invalid();
    let question = [
        "explain", "--from", "shop/web", "--to", "shop/web", "--port", "80", "-q",
    ];
    assert_snapshot!(place.run(&question));
}

/// What is commented out is a tree as well: a mark before a word or an indent is YAML, one before a
/// space is for readers.
#[test]
fn what_init_writes_is_valid_as_it_is_and_with_its_marks_taken_away() {
    let place = Place::with(&[("policies.yaml", "# mine\n")]);
    let printed = place.run(&["init", "--ci", "none"]);
    assert!(
        printed.contains("kept ./policies.yaml, which is there already"),
        "{printed}"
    );
    let mine = fs::read_to_string(place.path().join("policies.yaml")).unwrap();
    assert_eq!(mine, "# mine\n");
    fs::remove_file(place.path().join("policies.yaml")).unwrap();
    assert!(place.output(&["init"]).status.success());
    assert!(place.output(&["-C", ".", "validate"]).status.success());
    for name in ["plumbline.yaml", "containers.yaml", "policies.yaml"] {
        let path = place.path().join(name);
        let text = fs::read_to_string(&path).unwrap();
        let lines = text.lines().map(|line| match line.strip_prefix('#') {
            Some(yaml) if !yaml.starts_with(' ') || yaml.starts_with("  ") => yaml,
            _ => line,
        });
        let lines: Vec<&str> = lines.collect();
        fs::write(&path, lines.join("\n")).unwrap();
    }
    let output = place.output(&["-C", ".", "validate"]);
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(
        said.starts_with("valid: 2 containers, 2 policies"),
        "{said}"
    );
    let again = place.output(&["init"]);
    let told = String::from_utf8(again.stdout).unwrap();
    assert_eq!(told.matches("kept ").count(), 4, "{told}");
}
