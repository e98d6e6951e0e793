//! `reconcile watch`: what is at rest becomes live, whatever moves and however fast.

use std::fs;
use std::path::PathBuf;

use rig::lab::{Lab, binary};
use rig::program::{Program, Running};
use rig::tree::{Container, Policy, Rule, Tree};
use rig::wait;
use serde_json::Value;

mod commits;
mod signals;
mod service;
mod failures;
mod news;
mod host;
mod places;
mod idle;

/// One that runs on alpha.
struct Watcher {
    running: Running,
    log: PathBuf,
}

impl Watcher {
    /// Starts one on a tree.
    fn start(lab: &Lab, tree: &str, arguments: &[&str]) -> Self {
        Self::told(lab, tree, arguments, &[])
    }

    /// The same, where the environment says this besides.
    fn told(lab: &Lab, tree: &str, arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let log = lab.repository().path().with_extension("log");
        // A pipe that nobody reads would stop it in the end.
        let script = "exec \"$0\" watch -C \"$@\" >>\"$LOG\" 2>&1";
        let program = Program::new("sh").args(["-c", script]).env("LOG", &log);
        let program = program.args([binary().unwrap()]).args([tree]);
        let mut program = program.args(["--host", "alpha"]).args(arguments);
        for (name, value) in environment {
            program = program.env(name, value);
        }
        Self {
            running: program.start(),
            log,
        }
    }

    /// On the lab's own repository.
    fn on(lab: &Lab) -> Self {
        let path = lab.repository().path().to_str().unwrap().to_owned();
        Self::start(lab, &path, &[])
    }

    /// What it has printed so far.
    fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Waits until it has said that.
    #[track_caller]
    fn says(&self, what: &str) {
        let said = wait::within(wait::LIMIT, || self.said().contains(what).then_some(()));
        assert!(said.is_some(), "{what} in\n{}", self.said());
    }

    /// Sends a signal to it.
    fn signal(&self, signal: nix::sys::signal::Signal) {
        let id = nix::unistd::Pid::from_raw(self.running.id().cast_signed());
        nix::sys::signal::kill(id, signal).unwrap();
    }

    /// Waits until it has ended by itself.
    #[track_caller]
    fn ends(mut self) -> String {
        wait::holds("its end", || !self.running.is_alive());
        self.said()
    }
}

/// The live commit; empty where none is.
fn live(lab: &Lab) -> String {
    let status = lab.reconcile(&["status", "-o", "json"]).json();
    status["commit"].as_str().unwrap_or_default().to_owned()
}

/// Waits until a commit is live.
#[track_caller]
fn becomes_live(lab: &Lab, watcher: &Watcher, commit: &str) {
    let found = wait::within(wait::LIMIT, || (live(lab) == commit).then_some(()));
    assert!(
        found.is_some(),
        "{commit} is to become live, and {} is\n{}",
        live(lab),
        watcher.said()
    );
}

/// Two containers, and a policy on a port.
fn tree(port: u16) -> Tree {
    let web = Container::numbered("shop/web", 1).label("app", "web");
    let client = Container::numbered("shop/client", 2).label("app", "client");
    let policy = Policy::new("shop/web").select(&[("app", "web")]);
    let rule = Rule::new().containers(&[("app", "client")]);
    let rule = rule.port("TCP", port);
    Tree::new()
        .container(&web)
        .container(&client)
        .policy(&policy.ingress(&[rule]))
}

/// Commits it.
fn commit(lab: &Lab, port: u16) -> String {
    lab.repository().hold(&tree(port));
    lab.repository().commit(&format!("port {port}"))
}

/// Commits what is no tree.
fn commit_invalid(lab: &Lab) -> String {
    lab.repository()
        .write("policies.yaml", "kind: NetworkPolicy\n");
    lab.repository().commit("invalid")
}

/// Commits two trees side by side, in folders of their own: `one` on port 1, `two` on port 2.
fn commit_two_folders(lab: &Lab) -> String {
    for (folder, port) in [("one", 1), ("two", 2)] {
        for (file, text) in tree(port).files() {
            lab.repository().write(&format!("{folder}/{file}"), text);
        }
    }
    lab.repository().commit("two folders")
}

/// Whether alpha has a network namespace of this name.
fn has_namespace(lab: &Lab, name: &str) -> bool {
    lab.alpha().netns_names().iter().any(|found| found == name)
}

/// Holds the lock of runs, as one that is under way does.
fn hold_the_lock() -> fs::File {
    let held = fs::File::open("/sys/fs/bpf/plumbline").unwrap();
    rustix::fs::flock(&held, rustix::fs::FlockOperation::LockExclusive).unwrap();
    held
}

/// What `status` says of the last run that was to change something.
fn attempt(lab: &Lab) -> Value {
    lab.reconcile(&["status", "-o", "json"]).json()["attempt"].clone()
}
