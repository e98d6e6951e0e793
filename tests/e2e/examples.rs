//! Each folder of `examples/` does what its README says: the commands in its `sh` blocks end well
//! (those that begin with `!` do not), and who can reach whom is what its `reach` block says.

use std::fs;
use std::path::{Path, PathBuf};

use rig::host::Host;
use rig::ids::{Held, Ledger};
use rig::lab::Lab;
use rig::scene::Scene;
use rig::tree::{Container, containers_in};

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples")
}

/// The lines of every block of this kind in a README.
fn blocks(readme: &str, kind: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut inside = None;
    for line in readme.lines() {
        match (inside, line.strip_prefix("```")) {
            (None, Some(kind)) => inside = Some(kind),
            (Some(_), Some("")) => inside = None,
            (Some(found), None) if found == kind => lines.push(line.to_owned()),
            _ => {}
        }
    }
    lines
}

/// Applies an example on the lab's hosts, types its commands, asks what it says, takes it away.
fn hold(name: &str, lab: &Lab) {
    let folder = examples().join(name);
    let readme = fs::read_to_string(folder.join("README.md")).unwrap();
    let lines = blocks(&readme, "reach").join("\n");
    lab.repository().hold_copy(&examples(), "examples");
    lab.repository().commit("the examples");

    let containers = containers_in(&folder);
    let mut scene = Some(Scene::new(lab, &lines));
    let ledger = Ledger::new();
    let before: Vec<Held> = lab.hosts().iter().map(|host| ledger.note(host)).collect();
    for line in blocks(&readme, "sh") {
        if line == "reconcile detach" {
            // Whoever has a part lives in a container: it ends before its container does.
            scene.take().expect("one detach").expect(&lines);
            for host in lab.hosts() {
                let links = 2 * containers.iter().filter(|c| is_on(c, &host)).count();
                assert_eq!(
                    ledger.note(&host).counts()["links"],
                    links,
                    "two for a container"
                );
            }
        }
        for host in lab.hosts() {
            lab.shell(&host, &line).succeed();
            if line == format!("reconcile -C examples/{name}") {
                let here = containers.iter().filter(|c| is_on(c, &host)).cloned();
                let scene = scene.as_mut().expect("applied before");
                scene.enter_containers(&host, &here.collect::<Vec<_>>());
            }
        }
    }
    assert!(scene.is_none(), "the README says how to undo it");
    for (host, before) in lab.hosts().iter().zip(&before) {
        ledger.only(host, before);
    }
}

fn is_on(container: &Container, host: &Host) -> bool {
    container.on_host().is_none_or(|name| name == host.name())
}

#[test]
fn first() {
    Lab::run("first", |lab| hold("first", lab));
}

#[test]
fn shop() {
    Lab::run("shop", |lab| hold("shop", lab));
}

#[test]
fn dual_stack() {
    Lab::run("dual-stack", |lab| hold("dual-stack", lab));
}

#[test]
fn two_hosts() {
    Lab::run("two-hosts", |lab| {
        lab.host("beta", &["10.44.2.0/24", "fd44:2::/64"]);
        hold("two-hosts", lab);
    });
}

#[test]
fn every_folder_of_examples_is_named_here() {
    let entries = fs::read_dir(examples()).unwrap().map(Result::unwrap);
    let folders = entries.filter(|entry| entry.path().is_dir());
    let mut names: Vec<_> = folders.map(|entry| entry.file_name()).collect();
    names.sort();
    assert_eq!(names, ["dual-stack", "first", "shop", "two-hosts"]);
    let index = fs::read_to_string(examples().join("README.md")).unwrap();
    for name in names {
        let name = name.to_string_lossy();
        assert!(
            index.contains(&format!("[{name}]({name}/README.md)")),
            "{name}"
        );
    }
}
