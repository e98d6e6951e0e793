//! Plumbline itself: a host, a tree in git, and the `reconcile` that stands beside the bench.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rig::host::{Host, SHARED};
use rig::lab::{Lab, reconcile as reconcile_in};
use rig::program::{Program, Run};
use rig::repository::Repository;
use rig::tree::{Container, Tree};

use super::{Allowed, Place, allowed, timed};
use crate::matrix::{FLEET, Kind, Setup};

/// The two containers of the traffic.
pub(crate) const SERVER_NAME: &str = "bench/server";
/// See [`SERVER_NAME`].
const CLIENT_NAME: &str = "bench/client";

/// Policies of one file.
const FILE: usize = 1_000;

/// How long a run may take: the first apply of a thousand containers is the longest by far.
const LIMIT: Duration = Duration::from_secs(480);

/// A host with so many policies in force.
pub(super) fn policed(lab: &Lab, setup: Setup) -> Result<Place, String> {
    let name = format!("{}-{}", setup.kind.name(), setup.policies);
    let host = lab.host(&name, &[]);
    let repository = Repository::init(&tree_of(&host));
    repository.hold(&tree(setup));
    repository.commit("policies");
    let first = program(&host, &["--quiet"]);
    let (run, made) = timed(|| host.run(|| first.run_to_limit()));
    match run {
        Ok(run) if run.code == 0 => {}
        Ok(run) => return Err(run.to_string()),
        Err(_) => return Err(format!("it was not in force after {} s", LIMIT.as_secs())),
    }
    Ok(Place {
        setup,
        client: host.container(CLIENT_NAME),
        server: host.container(SERVER_NAME),
        middle: None,
        host: Some(host),
        made: Some(made),
    })
}

/// Runs `reconcile` on a host, on its own tree.
pub(crate) fn reconcile(host: &Host, arguments: &[&str]) -> Run {
    host.program(&program(host, arguments))
}

fn program(host: &Host, arguments: &[&str]) -> Program {
    let program = reconcile_in(&tree_of(host)).unwrap_or_else(|e| panic!("{e}"));
    program.args(arguments).limit(LIMIT)
}

/// Two commits of a host's tree.
pub(crate) type Revisions = [String; 2];

/// The commit that is live, and one with a policy more; both have been live, so both slots are
/// filled.
pub(crate) fn revisions(place: &Place, host: &Host) -> Revisions {
    let repository = Repository::init(&tree_of(host));
    let first = repository.commit("the same");
    let number = place.setup.policies + 1;
    let more = policy(number, "server", &Who::Peers(Allowed::other(number)));
    repository.write("policies/more.yaml", more);
    let second = repository.commit("one more");
    for revision in [&second, &first] {
        reconcile(host, &["--quiet", "--rev", revision]).succeed();
    }
    [first, second]
}

/// The policies of a tree.
pub(super) fn shown(setup: Setup) -> String {
    let all = allowed(setup.policies).zip(1..);
    all.map(|(one, number)| policy(number, "server", &Who::Peers(one)))
        .collect()
}

fn tree_of(host: &Host) -> PathBuf {
    Path::new(SHARED).join("trees").join(host.name())
}

fn tree(setup: Setup) -> Tree {
    let labelled = |name: &str, number: u16| {
        Container::numbered(&format!("bench/{name}"), number).label("app", name)
    };
    let tree = Tree::new()
        .container(&labelled("server", 1))
        .container(&labelled("client", 2));
    if setup.kind == Kind::Fleet {
        let others = (3..).take(FLEET - 2);
        let tree = others.fold(tree, |tree, number| {
            tree.container(&labelled(&member(number.into()), number))
        });
        return with_policies(tree, fleet(setup.policies));
    }
    let all = allowed(setup.policies).zip(1..);
    with_policies(
        tree,
        all.map(|(one, number)| policy(number, "server", &Who::Peers(one))),
    )
}

fn with_policies(tree: Tree, policies: impl Iterator<Item = String>) -> Tree {
    let all: Vec<String> = policies.collect();
    let files = all.chunks(FILE).zip(1..);
    files.fold(tree, |tree, (some, number)| {
        tree.file(&format!("policies/{number:03}.yaml"), &some.concat())
    })
}

/// The same number of policies for each container, each with another container as its peer. The
/// server's last one allows the client.
fn fleet(policies: usize) -> impl Iterator<Item = String> {
    (1..=policies).map(move |number| {
        let (of, which) = ((number - 1) % FLEET + 1, (number - 1) / FLEET);
        // Its peers are spread over all others.
        let peer = (of + which * 97) % FLEET + 1;
        let (peer, port) = match (of, which + 1 == policies / FLEET) {
            (1, true) => (2, super::PORT),
            _ => (peer, Allowed::other(number).port),
        };
        policy(number, &member(of), &Who::Container(member(peer), port))
    })
}

/// A container of the fleet, by its number.
fn member(number: usize) -> String {
    match number {
        1 => "server".to_owned(),
        2 => "client".to_owned(),
        _ => format!("c{number}"),
    }
}

/// Whom a policy lets in.
enum Who {
    Peers(Allowed),
    Container(String, u16),
}

/// A policy's document, as short as it can be: a hundred thousand of them are within what a tree
/// may hold.
fn policy(number: usize, selects: &str, who: &Who) -> String {
    let mut text = format!(
        "---\napiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\n\
         metadata: {{name: p{number}, namespace: bench}}\n\
         spec:\n  podSelector: {{matchLabels: {{app: {selects}}}}}\n  ingress:\n  - from:\n"
    );
    let port = match who {
        Who::Peers(one) => {
            for peer in one.peers {
                let bits = if peer.is_ipv4() { 32 } else { 128 };
                line(
                    &mut text,
                    format_args!("    - ipBlock: {{cidr: '{peer}/{bits}'}}"),
                );
            }
            one.port
        }
        Who::Container(name, port) => {
            let peer = format_args!("    - podSelector: {{matchLabels: {{app: {name}}}}}");
            line(&mut text, peer);
            *port
        }
    };
    line(
        &mut text,
        format_args!("    ports:\n    - {{port: {port}}}"),
    );
    text
}

fn line(text: &mut String, line: std::fmt::Arguments<'_>) {
    writeln!(text, "{line}").expect("a string can be written to");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_container_of_a_fleet_has_as_many_policies() {
        let all: Vec<String> = fleet(10_000).collect();
        let of = |name: &str| {
            let line = format!("  podSelector: {{matchLabels: {{app: {name}}}}}\n");
            all.iter().filter(|policy| policy.contains(&line)).count()
        };
        let names = (1..=FLEET).map(member);
        assert!(names.map(|name| of(&name)).all(|count| count == 10));
        let client =
            "    - podSelector: {matchLabels: {app: client}}\n    ports:\n    - {port: 5000}";
        assert_eq!(
            all.iter().filter(|policy| policy.contains(client)).count(),
            1
        );
    }
}
