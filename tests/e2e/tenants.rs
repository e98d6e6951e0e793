//! Whoever is root in the namespace of a container harms nobody but that container.

use rig::lab::Lab;
use rig::traffic::{Outcome, tcp_connects};
use rig::tree::{Container, Tree};
use serde_json::json;

use crate::attach::{address, serve};

#[test]
fn what_is_refused_or_undone_inside_keeps_no_commit_from_the_rest() {
    Lab::run("undone", |lab| {
        let web = Container::numbered("shop/web", 1).label("app", "web");
        lab.repository().hold(&Tree::new().container(&web));
        lab.apply("web");
        let inside = lab.alpha().container("shop/web");
        // No interface has itself for its gateway.
        inside.ip_batch("address add 169.254.80.76/32 dev eth0\nroute delete default");
        let db = Container::numbered("shop/db", 2).label("app", "db");
        lab.repository()
            .hold(&Tree::new().container(&web).container(&db));
        let wanted = lab.repository().commit("both");
        for _ in 0..2 {
            let said = lab.reconcile(&["-q"]).ended(6).to_string();
            for what in [
                "Nexthop has invalid gateway",
                "no default IPv4 route inside",
            ] {
                assert!(said.contains(what), "{said}");
            }
            assert!(said.contains("left behind: container shop/web: "), "{said}");
            let status = lab.status(&lab.alpha());
            assert_eq!(
                (&status["commit"], &status["settled"]),
                (&json!(wanted), &json!(true)),
                "{status}"
            );
        }
        // Without one the host has nothing to say who it is.
        lab.alpha().net().ip("address replace 192.0.2.1/32 dev lo");
        let _service = serve(&lab.alpha().container("shop/db"));
        assert_eq!(
            tcp_connects(lab.alpha().net(), address("10.44.0.2"), 80),
            Outcome::Echoed
        );
        inside.ip("address delete 169.254.80.76/32 dev eth0");
        lab.reconcile(&[]).succeed();
        drop(lab.reconcile(&["drift"]).ended(0));
    });
}
