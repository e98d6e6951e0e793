//! `docs/json.md` names every field that `-o json` prints, and no other.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;

use rig::lab::Lab;
use rig::program::Run;
use rig::traffic::{Listen, Protocol, Service};
use rig::tree::{Container, Policy, Rule, Tree};
use serde_json::{Value, json};

type Fields = BTreeSet<String>;

/// Every field of a document, as the documentation writes it; `*` where names are data. A list
/// stands among them too, since one that is empty does not say of what.
fn fields(of: &Value, at: &str, found: &mut Fields) {
    match of {
        Value::Object(map) => {
            for (name, value) in map {
                let open = at.ends_with("drops") || at == "sysctls";
                let name = if open { "*" } else { name };
                let at = if at.is_empty() {
                    name.to_owned()
                } else {
                    format!("{at}.{name}")
                };
                fields(value, &at, found);
            }
        }
        Value::Array(items) => {
            found.insert(format!("{at}[]"));
            for item in items {
                fields(item, &format!("{at}[]"), found);
            }
        }
        _ => {
            found.insert(at.to_owned());
        }
    }
}

fn documented(heading: &str) -> Fields {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/json.md");
    let text = fs::read_to_string(path).unwrap();
    let mut inside = false;
    let mut found = Fields::new();
    for line in text.lines() {
        if let Some(title) = line.strip_prefix("## ") {
            inside = title == heading;
        }
        let row = line.strip_prefix("| `").and_then(|row| row.split_once('`'));
        if let (true, Some((field, _))) = (inside, row) {
            assert!(found.insert(field.to_owned()), "{field} twice");
        }
    }
    found
}

#[derive(Default)]
struct Printed(BTreeMap<&'static str, Fields>);

impl Printed {
    fn note(&mut self, heading: &'static str, run: &Run) {
        let document: Value = serde_json::from_str(&run.stdout).unwrap_or_else(|error| {
            panic!("{error}: {run}");
        });
        fields(&document, "", self.0.entry(heading).or_default());
    }
}

fn tree() -> Tree {
    tree_of(128)
}

/// With this quota of `shop/db`.
fn tree_of(quota: usize) -> Tree {
    let container = |name: &str, number| {
        Container::numbered(&format!("shop/{name}"), number).label("app", name)
    };
    let missing = json!({"interface": {"name": "nowhere0"}});
    Tree::new()
        .container(&container("vm", 3).spec("attach", missing))
        .container(&container("front", 1))
        .container(&container("db", 2).spec("connections", quota.into()))
        .policy(
            &Policy::new("shop/front")
                .select(&[("app", "front")])
                .egress(&[Rule::new().containers(&[("app", "db")])]),
        )
}

fn policy(port: u16) -> Policy {
    Policy::new("shop/db")
        .select(&[("app", "db")])
        .ingress(&[Rule::new()
            .containers(&[("app", "front")])
            .port("TCP", port)])
}

fn explain(lab: &Lab, from: &str, to: &str) -> Run {
    let arguments = [
        "explain", "--from", from, "--to", to, "--port", "80", "-o", "json",
    ];
    lab.reconcile(&arguments).ended(0)
}

/// More than 64 from `shop/front` to `shop/db`.
fn connections(lab: &Lab) -> (Service, Vec<TcpStream>) {
    let to = SocketAddr::new(Container::numbered("shop/db", 2).addresses[0], 80);
    let listen = [Listen::on(Protocol::Tcp, to.ip(), to.port())];
    let service = Service::start(&lab.alpha().container("shop/db"), &listen);
    let streams = lab.alpha().container("shop/front").run(|| {
        let mut echo = [0];
        let mut open = || {
            let mut stream = TcpStream::connect(to).unwrap();
            stream.write_all(b"x").unwrap();
            stream.read_exact(&mut echo).unwrap();
            stream
        };
        (0..66).map(|_| open()).collect()
    });
    (service, streams)
}

/// A plan with a quota that has no room for all of them.
fn smaller_quota(lab: &Lab) -> Run {
    let _alive = connections(lab);
    lab.repository().hold(&tree_of(64).policy(&policy(80)));
    lab.repository().commit("a smaller quota");
    lab.reconcile(&["-n", "-o", "json"]).ended(0)
}

/// What `status` says while applying is suspended, and refused.
fn suspended(lab: &Lab) -> Run {
    let suspend = ["suspend", "--reason", "to look"];
    lab.reconcile(&suspend).succeed();
    drop(lab.reconcile(&[]).ended(4));
    let status = lab.reconcile(&["status", "-o", "json"]).ended(0);
    lab.reconcile(&["resume"]).succeed();
    status
}

#[test]
fn every_field_is_documented() {
    Lab::run("json", |lab| {
        let mut printed = Printed::default();
        // Somewhere to forward to.
        lab.outside();
        printed.note("status", &lab.reconcile(&["status", "-o", "json"]).ended(0));
        lab.repository().hold(&tree().policy(&policy(80)));
        lab.repository().commit("the tree");
        printed.note("plan", &lab.reconcile(&["-n", "-o", "json"]).ended(0));
        printed.note("plan", &lab.reconcile(&["-o", "json"]).ended(0));
        printed.note("explain", &explain(lab, "shop/front", "shop/db"));
        printed.note("explain", &explain(lab, "shop/db", "shop/front"));
        let outside = explain(lab, "192.0.2.77", "shop/db");
        printed.note("explain", &outside);

        printed.note("plan", &smaller_quota(lab));
        lab.repository().hold(&tree().policy(&policy(81)));
        lab.repository().commit("another port");
        printed.note("plan", &lab.reconcile(&["-o", "json"]).ended(0));
        lab.repository().hold(&tree());
        lab.repository().commit("no policy");
        let diff = lab.reconcile(&["diff", "HEAD~1..HEAD", "-o", "json"]);
        printed.note("diff", &diff.ended(0));
        printed.note("plan", &lab.reconcile(&["-n", "-o", "json"]).ended(0));
        printed.note("status", &lab.reconcile(&["status", "-o", "json"]).ended(0));
        for rollback in [&["rollback", "1"][..], &["rollback", "2"]] {
            let arguments = [rollback, &["-o", "json"]].concat();
            printed.note("plan", &lab.reconcile(&arguments).ended(0));
            printed.note("status", &lab.reconcile(&["status", "-o", "json"]).ended(0));
        }
        printed.note(
            "history",
            &lab.reconcile(&["history", "-o", "json"]).ended(0),
        );

        printed.note("doctor", &lab.reconcile(&["doctor", "-o", "json"]).ended(0));
        printed.note("status", &suspended(lab));
        lab.alpha().net().ip("route delete 10.44.0.1");
        printed.note("drift", &lab.reconcile(&["drift", "-o", "json"]).ended(6));
        printed.note("status", &lab.reconcile(&["status", "-o", "json"]).ended(0));

        let nobody = Policy::new("shop/nobody").select(&[("app", "nobody")]);
        lab.repository().hold(&tree().policy(&nobody));
        lab.repository().commit("a policy for nobody");
        printed.note(
            "findings",
            &lab.reconcile(&["validate", "-o", "json"]).ended(0),
        );
        let twice = tree().file("again.yaml", &two_of_one_name());
        lab.repository().hold(&twice);
        lab.repository().commit("one name twice");
        printed.note(
            "findings",
            &lab.reconcile(&["validate", "-o", "json"]).ended(3),
        );
        printed.note("findings", &lab.reconcile(&["-o", "json"]).ended(3));
        printed.note("detach", &lab.reconcile(&["detach", "-o", "json"]).ended(0));

        for (heading, fields) in &printed.0 {
            let documented = documented(heading);
            // A list of objects is told by their fields.
            let told = |field: &&String| {
                let within = format!("{field}.");
                field.ends_with("[]") && fields.iter().any(|f| f.starts_with(&within))
            };
            let lists: Fields = fields.iter().filter(told).cloned().collect();
            let fields: Fields = fields.difference(&lists).cloned().collect();
            let missing: Vec<_> = fields.difference(&documented).collect();
            let stale: Vec<_> = documented.difference(&fields).collect();
            assert!(
                missing.is_empty() && stale.is_empty(),
                "{heading}: not documented {missing:?}, not printed {stale:?}"
            );
        }
    });
}

/// Whoever reads of drops finds each reason explained.
#[test]
fn every_reason_of_a_drop_is_documented() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/operations.md");
    let text = fs::read_to_string(path).unwrap();
    let reasons = bpf::conntrack::Reason::all().map(bpf::conntrack::Reason::name);
    let missing: Vec<_> = reasons
        .filter(|name| *name != "trial" && !text.contains(&format!("`{name}`")))
        .collect();
    assert_eq!(missing, [""; 0]);
}

fn two_of_one_name() -> String {
    let one = "apiVersion: plumbline.dev/v1alpha1\nkind: Container\n\
               metadata: {name: db, namespace: shop}\nspec: {addresses: [10.44.9.9]}\n";
    format!("{one}---\n{one}")
}
