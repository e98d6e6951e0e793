//! What is not ours is refused, and what a dead run left is completed.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::Command;

use reconciler::host::{Host, HostError, NotOurs};
use rustix::fs::Mode;
use rustix::mount::{UnmountFlags, mount_bind, unmount};
use state::target::host::namespace_numbers;
use state::words::names::FullName;

use crate::world::{Tenant, ip, make, network, on_a_host};

const ADDRESS: [&str; 1] = ["10.44.0.10"];

fn refused(host: &Host, container: &str) -> NotOurs {
    let (container, network) = network(container, &ADDRESS);
    match host.ensure_network(&container, &network) {
        Err(HostError::NotOurs(what)) => what,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_namespace_of_others_is_refused_and_left_alone() {
    on_a_host(|| {
        let host = Host::open().unwrap();
        ip("netns add shop.web");
        let name = "shop.web".to_owned();
        assert_eq!(refused(&host, "shop/web"), NotOurs::Namespace { name });
        assert_eq!(ip("-n shop.web -o link").lines().count(), 1);
        let error = host.remove_namespace(&crate::world::name("shop/web"));
        assert!(matches!(error, Err(HostError::NotOurs(_))));
        assert!(ip("netns").contains("shop.web"));
    });
}

#[test]
fn a_namespace_marked_for_another_container_is_not_this_ones() {
    on_a_host(|| {
        let host = Host::open().unwrap();
        ip("netns add shop.web");
        ip("-n shop.web link set lo alias plumbline:shop/other");
        assert!(matches!(
            refused(&host, "shop/web"),
            NotOurs::Namespace { .. }
        ));
        let reading = host.read().unwrap();
        assert!(reading.host.foreign_namespaces.contains("shop.web"));
        assert!(reading.networks.is_empty());
    });
}

/// Namespaces of this machine may be those of another host, with containers of the same names.
#[test]
fn what_another_host_has_of_a_container_is_not_taken_for_what_is_left_of_it() {
    on_a_host(|| {
        let host = Host::open().unwrap();
        let (container, network) = network("shop/web", &ADDRESS);
        ip("netns add beta");
        ip("netns add mine");
        let (name, mac) = (&network.interface, &network.mac);
        ip(&format!(
            "-n beta link add {name} type veth peer name eth0 address {mac} netns mine"
        ));
        assert!(!host.remove_interface(&container, name).unwrap());
        assert!(ip("-n mine link").contains("eth0"));
    });
}

#[test]
fn an_interface_of_others_is_refused_and_left_alone() {
    on_a_host(|| {
        let host = Host::open().unwrap();
        let (container, network) = network("shop/web", &ADDRESS);
        ip(&format!("link add {} type bridge", network.interface));
        let name = network.interface.clone();
        assert_eq!(refused(&host, "shop/web"), NotOurs::Interface { name });
        let error = host.remove_interface(&container, &network.interface);
        assert!(matches!(error, Err(HostError::NotOurs(_))));
        assert!(ip("link").contains(&network.interface));
    });
}

#[test]
fn a_resolv_conf_of_others_is_refused_and_left_alone() {
    on_a_host(|| {
        let host = Host::open().unwrap();
        fs::create_dir_all("/etc/netns/shop.web").unwrap();
        fs::write(
            "/etc/netns/shop.web/resolv.conf",
            "nameserver 198.51.100.1\n",
        )
        .unwrap();
        assert!(matches!(refused(&host, "shop/web"), NotOurs::File { .. }));
        let foreign = host.read().unwrap().host.foreign_resolvers;
        assert_eq!(foreign.into_iter().collect::<Vec<_>>(), ["shop.web"]);
        let (container, network) = network("shop/web", &ADDRESS);
        host.remove_interface(&container, &network.interface)
            .unwrap();
        host.remove_namespace(&container).unwrap();
        let text = fs::read_to_string("/etc/netns/shop.web/resolv.conf").unwrap();
        assert_eq!(text, "nameserver 198.51.100.1\n");
    });
}

#[test]
fn something_else_at_the_name_is_refused_and_an_empty_file_of_a_dead_run_is_used() {
    on_a_host(|| {
        let host = Host::open().unwrap();
        fs::create_dir_all("/run/netns").unwrap();
        fs::write("/run/netns/shop.web", "notes").unwrap();
        assert!(matches!(
            refused(&host, "shop/web"),
            NotOurs::NamespaceFile { .. }
        ));
        // Of another kind.
        mount_bind("/proc/self/ns/uts", "/run/netns/shop.web").unwrap();
        assert!(matches!(
            refused(&host, "shop/web"),
            NotOurs::NamespaceFile { .. }
        ));
        let foreign = host.read().unwrap().host.foreign_namespaces;
        assert!(foreign.contains("shop.web"));
        unmount("/run/netns/shop.web", UnmountFlags::DETACH).unwrap();
        fs::write("/run/netns/shop.web", "").unwrap();
        let foreign = host.read().unwrap().host.foreign_namespaces;
        assert!(foreign.is_empty(), "{foreign:?}");
        make(&host, "shop/web", &ADDRESS);
    });
}

/// What keeps it from being opened may pass, and who is told that a namespace is not ours is told
/// to delete it.
#[test]
fn a_namespace_that_cannot_be_opened_is_not_called_somebody_elses() {
    on_a_host(|| {
        let host = Host::open().unwrap();
        fs::create_dir_all("/run/netns").unwrap();
        // Root may write it, and read it neither.
        let closed = "/proc/sys/net/ipv4/route/flush";
        std::os::unix::fs::symlink(closed, "/run/netns/shop.web").unwrap();
        let error = host.read().unwrap_err();
        assert!(matches!(error, HostError::Namespace(_)), "{error:?}");
        let text = error.to_string();
        assert!(text.contains("shop.web: Permission denied"), "{text}");
    });
}

/// Nobody writes to them: whoever opens one to read waits for ever.
#[test]
fn a_fifo_in_the_place_of_a_file_is_somebody_elses() {
    on_a_host(|| {
        let host = Host::open().unwrap();
        for folder in ["/run/netns", "/etc/netns/shop.web"] {
            fs::create_dir_all(folder).unwrap();
        }
        for path in ["/run/netns/shop.web", "/etc/netns/shop.web/resolv.conf"] {
            fifo(path);
        }
        let found = host.read().unwrap().host;
        assert!(found.foreign_namespaces.contains("shop.web"), "{found:?}");
        assert!(found.foreign_resolvers.contains("shop.web"), "{found:?}");
        let namespace = refused(&host, "shop/web");
        assert!(matches!(namespace, NotOurs::NamespaceFile { .. }));
        fs::remove_file("/run/netns/shop.web").unwrap();
        let file = refused(&host, "shop/web");
        assert!(matches!(file, NotOurs::File { .. }), "{file:?}");
        host.remove_network(&crate::world::name("shop/web"))
            .unwrap();
        assert!(fs::exists("/etc/netns/shop.web/resolv.conf").unwrap());
    });
}

fn fifo(path: &str) {
    let kind = rustix::fs::FileType::Fifo;
    rustix::fs::mknodat(rustix::fs::CWD, path, kind, Mode::RUSR, 0).unwrap();
}

#[test]
fn what_a_dead_run_left_beside_a_resolv_conf_goes_with_it() {
    on_a_host(|| {
        let host = Host::open().unwrap();
        let (container, _) = make(&host, "shop/web", &ADDRESS);
        fs::write("/etc/netns/shop.web/.resolv.conf.new", "# Writ").unwrap();
        host.remove_network(&container).unwrap();
        assert!(!fs::exists("/etc/netns/shop.web").unwrap());
    });
}

/// Taking a name away is two steps, and a run may die between them.
#[test]
fn an_empty_file_that_a_dead_run_left_goes_with_the_namespace() {
    on_a_host(|| {
        let host = Host::open().unwrap();
        let (container, _) = make(&host, "shop/web", &ADDRESS);
        let path = "/run/netns/shop.web";
        ip("netns delete shop.web");
        for (content, stays) in [("", false), ("notes", true)] {
            fs::write(path, content).unwrap();
            let removed = host.remove_namespace(&container);
            assert_eq!(fs::exists(path).unwrap(), stays, "{removed:?}");
        }
        fs::remove_file(path).unwrap();
        std::os::unix::fs::symlink("/nowhere", path).unwrap();
        assert!(!host.remove_namespace(&container).unwrap());
        assert!(fs::symlink_metadata(path).is_ok(), "somebody's link");
    });
}

#[test]
fn a_pair_that_a_dead_run_made_and_did_not_mark_is_completed() {
    on_a_host(|| {
        let host = Host::open().unwrap();
        let (container, network) = make(&host, "shop/web", &ADDRESS);
        host.remove_interface(&container, &network.interface)
            .unwrap();
        ip(&format!(
            "link add {} group 20556 type veth peer name eth0 netns {}",
            network.interface, network.namespace
        ));
        let found = &host.read().unwrap().networks[&container];
        assert!(found.ifindex.is_some());
        assert!(
            found
                .faults
                .iter()
                .any(|fault| fault.words.contains("no alias"))
        );
        make(&host, "shop/web", &ADDRESS);
        let found = &host.read().unwrap().networks[&container];
        assert_eq!(found.network, network);
        assert!(found.faults.is_empty(), "{:?}", found.faults);
    });
}

#[test]
fn a_pair_whose_host_side_was_renamed_has_its_name_again() {
    on_a_host(|| {
        let host = Host::open().unwrap();
        let (container, network) = make(&host, "shop/web", &ADDRESS);
        ip(&format!("link set {} down", network.interface));
        ip(&format!("link set {} name uplink", network.interface));
        let renamed = host.read().unwrap().networks[&container].clone();
        assert_eq!(
            renamed.faults[0].words,
            format!("{} is named uplink", network.interface)
        );
        make(&host, "shop/web", &ADDRESS);
        assert!(!ip("-o link").contains("uplink"));
        let found = &host.read().unwrap().networks[&container];
        assert!(found.faults.is_empty(), "{:?}", found.faults);
        assert_eq!(found.ifindex, renamed.ifindex, "the same pair");
    });
}

#[test]
fn a_namespace_that_lost_its_name_has_it_again() {
    on_a_host(|| {
        let host = Host::open().unwrap();
        let (container, network) = make(&host, "shop/web", &ADDRESS);
        let before = host.read().unwrap().networks[&container].clone();
        let mut lives = Command::new("ip")
            .args(["netns", "exec", "shop.web", "sleep", "1000"])
            .spawn()
            .unwrap();
        // It has entered it once it is listed there.
        while host.read().unwrap().host.processes.is_empty() {}
        for damage in ["unmounted", "unmounted and removed"] {
            unmount("/run/netns/shop.web", UnmountFlags::DETACH).unwrap();
            if damage != "unmounted" {
                fs::remove_file("/run/netns/shop.web").unwrap();
            }
            let found = &host.read().unwrap().networks[&container];
            let words = "its network namespace has lost its name shop.web";
            assert_eq!(found.faults[0].words, words, "{damage}");
            assert_eq!(found.ifindex, before.ifindex, "{damage}");
            make(&host, "shop/web", &ADDRESS);
            assert_eq!(
                host.read().unwrap().networks[&container],
                before,
                "{damage}"
            );
        }
        // Where nobody lives in it, it is gone with its name.
        lives.kill().unwrap();
        lives.wait().unwrap();
        unmount("/run/netns/shop.web", UnmountFlags::DETACH).unwrap();
        make(&host, "shop/web", &ADDRESS);
        let found = &host.read().unwrap().networks[&container];
        assert_eq!(found.network, network);
        assert!(found.faults.is_empty(), "{:?}", found.faults);
    });
}

#[test]
fn iproute2_and_we_share_the_directory() {
    on_a_host(|| {
        let host = Host::open().unwrap();
        make(&host, "shop/one", &["10.44.0.1"]);
        ip("netns add other");
        make(&host, "shop/two", &["10.44.0.2"]);
        assert_eq!(ip("netns").lines().count(), 3);
        ip("netns delete other");
        ip("netns delete shop.two");
        // The kernel takes the rest of a deleted namespace down in its own time.
        for (container, network) in host.read().unwrap().networks {
            let whole = container.to_string() == "shop/one";
            assert_eq!(network.ifindex.is_some(), whole, "{network:?}");
        }
        let mounts = fs::read_to_string("/proc/thread-self/mountinfo").unwrap();
        let shared = mounts.lines().find(|l| l.contains(" /run/netns ")).unwrap();
        assert!(shared.contains("shared:"), "{shared}");
    });
}

/// Two containers, the second of which has a number that the namespace of the first one gets.
fn of_one_number() -> (String, String) {
    let mut first_numbers = HashMap::new();
    for n in 0..200_000 {
        let name = format!("shop/c{n}");
        let numbers = namespace_numbers(&FullName::from_slashed(&name).unwrap());
        let of_another = numbers.iter().find_map(|number| first_numbers.get(number));
        if let Some(first) = of_another {
            return (String::clone(first), name);
        }
        first_numbers.insert(numbers[0], name);
    }
    panic!("no two of 200,000 names have a number in common");
}

#[test]
fn a_namespace_is_not_taken_for_that_of_a_container_whose_number_it_has() {
    on_a_host(|| {
        let host = Host::open().unwrap();
        let (first, second) = of_one_number();
        let (first, network) = make(&host, &first, &["10.44.0.10"]);
        let _tenant = Tenant::of(&first.dotted());
        let (second, other) = make(&host, &second, &["10.44.0.11"]);
        let is = |name: &FullName| fs::metadata(format!("/run/netns/{}", name.dotted())).unwrap();
        assert_ne!(is(&first).ino(), is(&second).ino());
        let found = host.read().unwrap().networks;
        for (name, network) in [(&first, network), (&second, other)] {
            assert_eq!(found[name].network, network);
            assert!(found[name].faults.is_empty(), "{:?}", found[name].faults);
        }
        // Nor where the other one has no name, nor this one a namespace.
        let (other_s, name) = (is(&first).ino(), first.dotted());
        ip(&format!("netns delete {}", second.dotted()));
        unmount(format!("/run/netns/{name}"), UnmountFlags::DETACH).unwrap();
        make(&host, &second.to_string(), &["10.44.0.11"]);
        assert_ne!(is(&second).ino(), other_s);
        let found = host.read().unwrap().networks;
        let words = format!("its network namespace has lost its name {name}");
        assert_eq!(found[&first].faults[0].words, words);
        let faults = &found[&second].faults;
        assert!(faults.is_empty(), "{faults:?}");
    });
}
