//! Wrong usage, and a tree that is not there.

use insta::assert_snapshot;

use super::run::Place;

#[test]
fn no_tree_is_named() {
    let place = Place::with(&[]);
    let runs = [
        place.run(&["validate"]),
        place.run(&["-C", "nowhere", "validate"]),
        place.run(&["-C", "", "validate"]),
        place.run(&["-C", ".", "--rev", "main", "validate"]),
    ];
    assert_snapshot!(runs.join("\n"));
}

#[test]
fn arguments_that_do_not_fit() {
    let place = Place::with(&[]);
    let runs = [
        place.run(&["valdate"]),
        place.run(&["--dryrun"]),
        place.run(&["--dry-run", "validate"]),
        place.run(&["-o", "xml", "validate"]),
        place.run(&["--rev", "main", "--worktree", "validate"]),
        place.run(&["-q", "-v", "validate"]),
        place.run(&["--host", "Alpha", "validate"]),
        place.run(&["--max-prune", "150%"]),
        place.run(&["explain", "--from", "shop/web"]),
    ];
    assert_snapshot!(runs.join("\n"));
}

#[test]
fn questions_that_cannot_be_understood() {
    let container = "apiVersion: plumbline.dev/v1alpha1\nkind: Container\n\
                     metadata: {name: web, namespace: shop}\nspec: {addresses: [10.44.0.10]}\n";
    let place = Place::with(&[("plumbline.yaml", ""), ("web.yaml", container)]);
    let ask = |from, to, port| place.run(&["explain", "--from", from, "--to", to, "--port", port]);
    let runs = [
        ask("shop/wbe", "10.0.0.1", "80"),
        ask("web", "10.0.0.1", "80"),
        ask("shop/web", "fd00::1", "80"),
        ask("shop/web", "10.0.0.1", "80/GRE"),
        ask("10.0.0.1", "shop/web", "http"),
    ];
    assert_snapshot!(runs.join("\n"));
}

#[test]
fn the_version_is_printed() {
    let version = format!("reconcile {}\n", env!("CARGO_PKG_VERSION"));
    let output = Place::with(&[]).output(&["--version"]);
    assert_eq!(String::from_utf8(output.stdout).unwrap(), version);
}
