//! The cast of these tests, and how rows are read and played.
//!
//! | container | labels | addresses | named ports |
//! |---|---|---|---|
//! | shop/web | app=web tier=front | 10.44.0.1 fd44::1 | http 80/TCP, dns 53/UDP |
//! | shop/api | app=api tier=back | 10.44.0.2 fd44::2 | http 8080/TCP |
//! | shop/db | app=db tier=back | 10.44.0.3 fd44::3 | |
//! | data/web | app=web | 10.44.1.1 fd44::101 | |
//! | data/job | app=job | 10.44.1.2 fd44::102 | |
//! | bare/one | | 10.44.2.1 fd44::201 | |
//!
//! Namespaces: shop (team=shop, stage=live), data (team=data); bare is not declared. Around them:
//! `alpha`, the host (192.0.2.1), and `outside` (192.0.2.100), a machine on its network.
//!
//! A row is what it says, its policies, and what is expected of them:
//!
//! ```text
//! # a label selects
//! shop/db: {podSelector: {matchLabels: {app: db}}}
//! shop/web -> shop/db  tcp/80  denied
//! ```

use std::fmt::Write;

use rig::lab::Lab;
use rig::scene::Scene;
use rig::tree::{Container, Tree};

#[derive(Default)]
struct Row {
    says: String,
    policies: String,
    expect: String,
}

impl Row {
    /// Reads rows; a blank line ends one.
    fn read_all(text: &str) -> Vec<Self> {
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        let rows = lines
            .split(|line| line.is_empty())
            .filter(|lines| !lines.is_empty());
        rows.map(Self::read).collect()
    }

    fn read(lines: &[&str]) -> Self {
        let mut row = Self::default();
        for line in lines {
            if let Some(says) = line.strip_prefix("# ") {
                row.says += says;
            } else if line.contains("->") {
                writeln!(row.expect, "{line}").unwrap();
            } else if let Some((name, spec)) = policy_of(line) {
                let (namespace, name) = name;
                write!(
                    row.policies,
                    "\n---\napiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\n\
                     metadata: {{namespace: {namespace}, name: {name}}}\nspec: {spec}"
                )
                .unwrap();
            } else {
                // What follows on the next line, in the flow style that it began with.
                write!(row.policies, "\n  {line}").unwrap();
            }
        }
        assert!(
            !row.says.is_empty() && !row.expect.is_empty(),
            "half a row: {lines:?}"
        );
        row
    }

    fn tree(&self) -> Tree {
        let shop = [("team", "shop"), ("stage", "live")];
        let tree = Tree::new()
            .namespace("shop", &shop)
            .namespace("data", &[("team", "data")]);
        let tree = containers().iter().fold(tree, Tree::container);
        tree.file("policies.yaml", &self.policies)
    }
}

/// `namespace/name: spec`.
fn policy_of(line: &str) -> Option<((&str, &str), &str)> {
    let (name, spec) = line.split_once(": ")?;
    let is_name = |c: char| c.is_ascii_lowercase() || c == '-' || c == '/';
    let name = Some(name).filter(|name| name.chars().all(is_name))?;
    Some((name.split_once('/')?, spec))
}

fn containers() -> Vec<Container> {
    vec![
        Container::numbered("shop/web", 1)
            .label("app", "web")
            .label("tier", "front")
            .port("http", 80, "TCP")
            .port("dns", 53, "UDP"),
        Container::numbered("shop/api", 2)
            .label("app", "api")
            .label("tier", "back")
            .port("http", 8080, "TCP"),
        Container::numbered("shop/db", 3)
            .label("app", "db")
            .label("tier", "back"),
        Container::numbered("data/web", 0x101).label("app", "web"),
        Container::numbered("data/job", 0x102).label("app", "job"),
        Container::numbered("bare/one", 0x201),
    ]
}

/// Plays the rows, one commit each, in one lab.
pub(crate) fn play(name: &str, rows: &str) {
    let rows = Row::read_all(rows);
    let lines: String = rows.iter().map(|row| row.expect.as_str()).collect();
    Lab::run(name, |lab| {
        let mut scene = Scene::new(lab, &lines);
        for (number, row) in rows.iter().enumerate() {
            println!("row {number}: {}", row.says);
            lab.repository().hold(&row.tree());
            lab.apply(&row.says);
            if number == 0 {
                scene.enter_containers(&lab.alpha(), &containers());
            }
            scene.expect(&row.expect);
        }
    });
}

#[test]
fn rows_are_read() {
    let rows = Row::read_all(
        "# says
         shop/db: {podSelector: {},
           ingress: []}
         a -> b  tcp/80  denied

         # and
         c -> d  icmp  allowed",
    );
    assert_eq!(rows.len(), 2);
    assert_eq!(
        (&*rows[0].says, &*rows[1].expect),
        ("says", "c -> d  icmp  allowed\n")
    );
    assert!(
        rows[0]
            .policies
            .ends_with("name: db}\nspec: {podSelector: {},\n  ingress: []}")
    );
}
