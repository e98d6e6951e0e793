//! Hosts: their mounts, names and networks, and the segment between them.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use rig::lab::Lab;
use rig::program::Program;
use rig::traffic::{Attempt, Listen, Outcome, Protocol, Service};

#[test]
fn a_host_has_a_machines_folders_to_itself() {
    let before = fs::metadata("/etc").unwrap().dev();
    Lab::run("folders", |lab| {
        assert_ne!(fs::metadata("/etc").unwrap().dev(), before);
        let bpffs = fs::metadata("/sys/fs/bpf").unwrap();
        assert_eq!(bpffs.permissions().mode() & 0o777, 0o700);
        for folder in [
            "/etc/netns/shop.web",
            "/var/lib/plumbline",
            "/run/plumbline",
        ] {
            fs::create_dir_all(folder).unwrap();
        }
        lab.alpha().net().ip("netns add shop.web");
        assert_eq!(lab.alpha().netns_names(), ["shop.web"]);
        assert_eq!(
            fs::read_to_string("/etc/resolv.conf").unwrap(),
            "nameserver 192.0.2.53\n"
        );
        let links = fs::read_dir("/sys/class/net").unwrap().count();
        assert_eq!(links, 1, "loopback alone");
        assert_eq!(Program::new("hostname").run().ended(0).stdout, "alpha\n");
    });
    for folder in ["/etc/netns/shop.web", "/run/netns/shop.web"] {
        assert!(!Path::new(folder).exists(), "{folder}");
    }
}

#[test]
fn hosts_share_the_tree_and_nothing_else() {
    Lab::run("sharing", |lab| {
        let (alpha, beta) = (
            lab.alpha(),
            lab.host("beta", &["10.44.2.0/24", "fd44:2::/64"]),
        );
        lab.repository().write("plumbline.yaml", "x");
        fs::create_dir_all("/run/plumbline").unwrap();
        let bpffs =
            |host: &rig::host::Host| host.run(|| fs::metadata("/sys/fs/bpf").unwrap().dev());
        assert_ne!(bpffs(&alpha), bpffs(&beta));
        beta.run(|| {
            assert_eq!(lab.repository().read("plumbline.yaml"), "x");
            assert!(!Path::new("/run/plumbline").exists());
            assert_eq!(Program::new("hostname").run().ended(0).stdout, "beta\n");
        });
    });
}

#[test]
fn the_segment_carries_both_families() {
    Lab::run("segment", |lab| {
        let beta = lab.host("beta", &["10.44.2.0/24", "fd44:2::/64"]);
        let outside = lab.outside();
        let nodes = [
            lab.alpha().net().clone(),
            beta.net().clone(),
            outside.clone(),
        ];
        let services: Vec<Service> = nodes
            .iter()
            .map(|net| Service::start(net, &[Listen::everywhere(Protocol::Tcp, 80)]))
            .collect();
        for from in &nodes {
            for to in nodes.iter().flat_map(|net| lab.addresses(net)) {
                let outcome = Attempt::new(Protocol::Tcp, to, 80).from(from);
                assert_eq!(outcome, Outcome::Echoed, "{from:?} to {to}");
            }
        }
        drop(services);
        let routes =
            outside.ip("route show 10.44.0.0/16") + &outside.ip("-6 route show fd44:2::/64");
        assert!(
            routes.contains("192.0.2.1") && routes.contains("2001:db8::2"),
            "{routes}"
        );
        let routes = lab.alpha().net().ip("-6 route show default");
        assert!(routes.contains("2001:db8::100"), "{routes}");
    });
}

#[test]
fn labs_stand_side_by_side() {
    let labs = ["one", "two", "three"].map(|name| {
        std::thread::spawn(move || {
            Lab::run(name, |lab| {
                lab.alpha().net().ip(&format!("netns add {name}"));
                lab.alpha().netns_names()
            })
        })
    });
    let names: Vec<Vec<String>> = labs.into_iter().map(|lab| lab.join().unwrap()).collect();
    assert_eq!(names, [["one"], ["two"], ["three"]]);
}
