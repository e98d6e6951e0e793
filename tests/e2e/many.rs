//! Many containers at once, which are made, attached and removed by fewer grace periods than one by
//! one.

use std::fs;
use std::path::Path;

use rig::lab::Lab;
use rig::tree::{Container, Tree};

/// What a run notes that has made grace periods short.
const NOTE: &str = "/run/plumbline/rcu-expedited";

fn tree(containers: u16) -> Tree {
    (1..=containers).fold(Tree::new(), |tree, n| {
        let name = format!("shop/c{n}");
        tree.container(&Container::numbered(&name, n).label("app", "web"))
    })
}

#[test]
fn many_come_and_go_together_and_leave_nothing() {
    Lab::run("many", |lab| {
        lab.repository().hold(&tree(24));
        lab.apply("many").succeed();
        assert!(!Path::new(NOTE).exists());
        lab.reconcile(&["drift"]).succeed();
        let interfaces = || lab.alpha().net().ip("link show group 20556");
        let count = || interfaces().matches(" mtu ").count();
        assert_eq!(count(), 24);
        // Of one that died the next one puts back what it has switched.
        fs::write(NOTE, "0\n").unwrap();
        lab.repository().hold(&tree(3));
        lab.repository().commit("few");
        lab.reconcile(&["--max-prune", "100%"]).succeed();
        assert!(!Path::new(NOTE).exists());
        assert_eq!(count(), 3);
        assert_eq!(lab.alpha().netns_names().len(), 3);
        lab.reconcile(&["drift"]).succeed();
        lab.reconcile(&["detach"]).succeed();
        assert_eq!(count(), 0);
        assert_eq!(lab.alpha().netns_names().len(), 0);
        assert!(!Path::new(NOTE).exists());
    });
}
