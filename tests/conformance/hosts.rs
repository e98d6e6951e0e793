//! Hosts: every local address of a container's own is its host's; containers of another host are
//! peers.

use std::net::{SocketAddr, TcpListener, TcpStream};

use rig::lab::Lab;
use rig::scene::Scene;
use rig::traffic::{Attempt, Listen, Outcome, Protocol, Service};
use rig::tree::{Container, Policy, Rule, Tree};
use rig::wait::LIMIT;
use serde_json::Value;

#[test]
fn any_local_address_of_the_host_is_the_host() {
    Lab::run("local addresses", |lab| {
        let net = lab.alpha().net().clone();
        net.ip_batch("address add 198.51.100.7/32 dev lo\naddress add 2001:db8:7::7/128 dev lo");
        let web = Container::numbered("shop/web", 1);
        let closed = Policy::new("shop/none").ingress(&[]).egress(&[]);
        lab.repository()
            .hold(&Tree::new().container(&web).policy(&closed));
        lab.apply("closed in both directions");
        let container = lab.alpha().container("shop/web");
        for address in ["198.51.100.7", "2001:db8:7::7"] {
            let address = address.parse().unwrap();
            let _service = Service::start(&net, &[Listen::on(Protocol::Tcp, address, 80)]);
            let outcome = Attempt::new(Protocol::Tcp, address, 80).from(&container);
            assert_eq!(outcome, Outcome::Echoed, "{address}");
        }
    });
}

#[test]
fn containers_of_another_host_are_peers() {
    let lines = "
        pair/web    -> pair/db      tcp/5432          allowed
        pair/web    -> pair/db      tcp/80 udp/53     denied
        pair/other  -> pair/db      tcp/5432          denied
        pair/db     -> pair/web     tcp/80 icmp       allowed
        pair/db     -> pair/other   tcp/80 udp/53     denied
        alpha       -> pair/db      tcp/5432          denied
        beta        -> pair/db      tcp/5432 icmp     allowed
        outside     -> pair/db      tcp/5432 icmp     denied
    ";
    let here = [
        Container::new("pair/web", &["10.44.0.1", "fd44::1"])
            .label("app", "web")
            .host("alpha"),
        Container::new("pair/other", &["10.44.0.2", "fd44::2"]).host("alpha"),
    ];
    let there = [Container::new("pair/db", &["10.44.2.1", "fd44:2::1"])
        .label("app", "db")
        .host("beta")];
    let tree = here.iter().chain(&there).fold(Tree::new(), Tree::container);
    let web = [("app", "web")];
    let db = Policy::new("pair/db")
        .select(&[("app", "db")])
        .ingress(&[Rule::new().containers(&web).port("TCP", 5432)])
        .egress(&[Rule::new().containers(&web)]);
    Lab::run("two hosts", |lab| {
        let beta = lab.host("beta", &["10.44.2.0/24", "fd44:2::/64"]);
        let mut scene = Scene::new(lab, lines);
        lab.repository().hold(&tree.policy(&db));
        lab.apply("two hosts");
        drop(lab.reconcile_on(&beta, &[]).ended(0));
        scene.enter_containers(&lab.alpha(), &here);
        scene.enter_containers(&beta, &there);
        assert_eq!(lab.alpha().netns_names(), ["pair.other", "pair.web"]);
        assert_eq!(beta.netns_names(), ["pair.db"]);
        scene.expect(lines);
    });
}

/// Loaded twice, it stands once.
#[test]
fn private_addresses_leave_translated_by_the_table_that_status_proposes() {
    let web = Container::numbered("shop/web", 1);
    Lab::run("translation", |lab| {
        let outside = lab.outside();
        lab.repository().hold(&Tree::new().container(&web));
        lab.apply("one container");
        let status = || -> Value {
            let run = lab.reconcile(&["status", "-o", "json"]).ended(0);
            serde_json::from_str(&run.stdout).unwrap()
        };
        let proposed = status();
        assert_eq!(proposed["untranslated"].as_array().unwrap().len(), 2);
        let table: Vec<&str> = proposed["translateWith"]
            .as_array()
            .unwrap()
            .iter()
            .map(|line| line.as_str().unwrap())
            .collect();
        for _ in 0..2 {
            let line = format!("nft -f - <<'END'\n{}\nEND", table.join("\n"));
            drop(lab.shell(&lab.alpha(), &line).ended(0));
        }
        let rules = lab.shell(&lab.alpha(), "nft list ruleset").ended(0);
        assert_eq!(rules.stdout.matches("masquerade").count(), 2, "{rules}");
        assert_eq!(status()["untranslated"], Value::Array(Vec::new()));
        let container = lab.alpha().container("shop/web");
        let translated = lab.addresses(lab.alpha().net());
        for (address, from) in lab.addresses(&outside).into_iter().zip(translated) {
            let listener = outside.run(|| TcpListener::bind((address, 80)).unwrap());
            let to = SocketAddr::new(address, 80);
            let _stream = container.run(|| TcpStream::connect_timeout(&to, LIMIT).unwrap());
            assert_eq!(listener.accept().unwrap().1.ip(), from);
        }
    });
}

/// Hosts share one tree, so each can say what the other will.
#[test]
fn explain_says_what_the_other_host_judges() {
    let here = Container::numbered("pair/web", 1)
        .label("app", "web")
        .host("alpha");
    let there = [("db", 2, "beta"), ("cache", 3, "gamma")].map(|(name, number, host)| {
        let name = format!("pair/{name}");
        Container::numbered(&name, number)
            .label("app", "db")
            .host(host)
    });
    let db = Policy::new("pair/db")
        .select(&[("app", "db")])
        .ingress(&[Rule::new().containers(&[("app", "web")]).port("TCP", 5432)]);
    let tree = there
        .iter()
        .fold(Tree::new().container(&here), Tree::container);
    Lab::run("explain elsewhere", |lab| {
        lab.repository().hold(&tree.policy(&db));
        lab.apply("three hosts").succeed();
        let rows = [
            ("pair/web", "pair/db", "5432/TCP", "allowed", Some("beta")),
            ("pair/web", "pair/db", "80/TCP", "denied", Some("beta")),
            ("pair/cache", "pair/db", "5432/TCP", "denied", Some("beta")),
            ("pair/db", "pair/cache", "80/TCP", "denied", Some("gamma")),
            ("pair/db", "pair/web", "80/TCP", "allowed", None),
        ];
        for (from, to, port, verdict, host) in rows {
            let ask = [
                "explain", "--from", from, "--to", to, "--port", port, "-o", "json",
            ];
            for ask in [&ask[..], &[&ask[..], &["--live"]].concat()] {
                let told = lab.reconcile(ask).json();
                assert_eq!(told["verdict"], verdict, "{told:#}");
                assert_eq!(
                    told["flows"][0]["ingress"]["host"].as_str(),
                    host,
                    "{told:#}"
                );
            }
        }
    });
}
