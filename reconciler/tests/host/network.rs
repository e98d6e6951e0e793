//! A container's network is made, works, is left alone where it is right, and goes.

use std::fs;
use std::net::{TcpListener, TcpStream, UdpSocket};

use reconciler::host::Host;
use state::target::host::{Attach, GATEWAY_MAC, INSIDE_NAME, alias};

use crate::world::{Tenant, done, inside, ip, make, name, network, on_a_host, open};

const BOTH: [&str; 2] = ["10.44.0.10", "fd44::10"];

#[test]
fn a_container_and_its_host_reach_each_other_in_both_families() {
    on_a_host(|| {
        let host = Host::open().unwrap();
        ip("addr add 192.0.2.1/32 dev lo");
        ip("addr add 2001:db8::1/128 dev lo nodad");
        let (_, network) = make(&host, "shop/web", &BOTH);
        for (there, here) in BOTH.iter().zip(["192.0.2.1", "2001:db8::1"]) {
            let listener = TcpListener::bind((here, 80)).unwrap();
            let client = inside(&network.namespace, || TcpStream::connect((here, 80)));
            let (_, peer) = listener.accept().unwrap();
            assert_eq!(peer, client.unwrap().local_addr().unwrap());
            assert_eq!(peer.ip().to_string(), *there);

            let listener = inside(&network.namespace, || TcpListener::bind((*there, 80)));
            let client = TcpStream::connect((*there, 80)).unwrap();
            let (_, peer) = listener.unwrap().accept().unwrap();
            assert_eq!(peer, client.local_addr().unwrap());
        }
    });
}

#[test]
fn nothing_passes_before_the_network_is_opened() {
    on_a_host(|| {
        let host = Host::open().unwrap();
        let (container, network) = network("shop/web", &["10.44.0.10"]);
        ip("addr add 192.0.2.1/32 dev lo");
        done(host.ensure_network(&container, &network));
        // What a hasty process inside can do by itself.
        for hasty in [
            "link set eth0 up".to_owned(),
            "route add default via 169.254.80.76 dev eth0 onlink".to_owned(),
            format!("neigh add 169.254.80.76 lladdr {GATEWAY_MAC} dev eth0"),
        ] {
            ip(&format!("-n {} {hasty}", network.namespace));
        }
        inside(&network.namespace, || {
            let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
            for _ in 0..2 {
                let _ = socket.send_to(b"early", "192.0.2.1:9");
            }
        });
        let counters = ip(&format!("-s -j link show {}", network.interface));
        let counters: serde_json::Value = serde_json::from_str(&counters).unwrap();
        assert_eq!(counters[0]["stats64"]["rx"]["packets"], 0);
        assert_eq!(counters[0]["stats64"]["tx"]["packets"], 0);
    });
}

#[test]
fn it_is_as_the_design_says() {
    on_a_host(|| {
        let host = Host::open().unwrap();
        let (container, network) = make(&host, "shop/web", &BOTH);
        let (ns, interface) = (&network.namespace, &network.interface);
        let outside = ip(&format!("-d link show {interface}"));
        for part in [
            "mtu 1400",
            &GATEWAY_MAC.to_string(),
            &alias(&container, &Attach::Managed),
            "addrgenmode none",
            "UP",
        ] {
            assert!(outside.contains(part), "{part} in {outside}");
        }
        let inside = ip(&format!("-n {ns} -d link show {INSIDE_NAME}"));
        let mac = network.mac.to_string();
        for part in ["mtu 1400", &mac, "addrgenmode none", "LOWER_UP"] {
            assert!(inside.contains(part), "{part} in {inside}");
        }
        let addresses = ip(&format!("-n {ns} addr show {INSIDE_NAME}"));
        assert!(addresses.contains("inet 10.44.0.10/32 scope global"));
        assert!(addresses.contains("inet6 fd44::10/128 scope global"));
        assert!(!addresses.contains("fe80"), "{addresses}");
        assert!(!addresses.contains("tentative"), "{addresses}");
        assert!(!ip(&format!("addr show {interface}")).contains("inet"));
        assert!(ip(&format!("-n {ns} addr show lo")).contains("127.0.0.1/8"));
        let routes = ip(&format!("-n {ns} route; ").replace("; ", ""));
        assert!(routes.contains("default via 169.254.80.76 dev eth0 proto 112 onlink"));
        let routes = ip(&format!("-n {ns} -6 route"));
        assert!(
            routes.contains("default via fe80::504c:4201 dev eth0 proto 112"),
            "{routes}"
        );
        let routes = ip("route");
        let metric = routes.contains("10.44.0.10 dev") && routes.contains("proto 112 scope link");
        assert!(metric, "{routes}");
        let neighbours = ip(&format!("neigh show dev {interface}"));
        for address in BOTH {
            let line = format!("{address} lladdr {mac} PERMANENT proto 112");
            assert!(neighbours.contains(&line), "{neighbours}");
        }
        assert_eq!(
            fs::read_to_string(format!("/etc/netns/{ns}/resolv.conf")).unwrap(),
            "# Written by plumbline from the host's; do not edit.\nnameserver 192.0.2.53\n"
        );
        let seen = ip(&format!("netns exec {ns} cat /etc/resolv.conf"));
        assert!(seen.contains("192.0.2.53"), "{seen}");
        let forwarding = format!("/proc/sys/net/ipv4/conf/{interface}/forwarding");
        assert_eq!(fs::read_to_string(forwarding).unwrap(), "1\n");
    });
}

#[test]
fn a_second_run_changes_nothing() {
    on_a_host(|| {
        let host = Host::open().unwrap();
        let (container, network) = make(&host, "shop/web", &BOTH);
        let index = done(host.ensure_network(&container, &network));
        let before = snapshot(&network.namespace);
        assert_eq!(done(host.ensure_network(&container, &network)), index);
        done(open(&host, &container, &network));
        host.trim_network(&container, &network).unwrap();
        assert_eq!(snapshot(&network.namespace), before);
    });
}

/// Everything of the network that `ip` shows, but the state of the carrier, which the kernel
/// reports in its own time.
fn snapshot(namespace: &str) -> String {
    let mut text = String::new();
    for place in ["", &format!("-n {namespace} ")] {
        for what in ["-d link", "addr", "route", "-6 route", "neigh"] {
            text += &ip(&format!("{place}{what}"));
        }
    }
    text.replace("state UNKNOWN", "state UP")
}

#[test]
fn one_family_alone_gets_nothing_of_the_other() {
    on_a_host(|| {
        let host = Host::open().unwrap();
        let (_, four) = make(&host, "shop/four", &["10.44.0.4"]);
        let (_, six) = make(&host, "shop/six", &["fd44::6"]);
        assert!(!ip(&format!("-n {} -6 route", four.namespace)).contains("default"));
        assert!(!ip(&format!("-n {} route", six.namespace)).contains("default"));
        let accept_ra = format!("/proc/sys/net/ipv6/conf/{}/accept_ra", six.interface);
        assert_eq!(fs::read_to_string(accept_ra).unwrap(), "0\n");
    });
}

#[test]
fn a_removed_container_leaves_nothing_and_its_processes_live_on() {
    on_a_host(|| {
        let host = Host::open().unwrap();
        let links = ip("-o link").lines().count();
        let (container, network) = make(&host, "shop/web", &BOTH);
        let tenant = Tenant::of(&network.namespace);
        assert!(
            host.remove_interface(&container, &network.interface)
                .unwrap()
        );
        assert!(host.remove_namespace(&container).unwrap());
        assert_eq!(ip("-o link").lines().count(), links);
        assert!(!ip("route").contains("10.44.0.10"));
        assert!(ip("neigh").is_empty());
        assert!(!fs::exists(format!("/run/netns/{}", network.namespace)).unwrap());
        assert!(!fs::exists(format!("/etc/netns/{}", network.namespace)).unwrap());
        assert!(fs::exists(format!("/proc/{}/ns/net", tenant.pid())).unwrap());
        assert!(
            !host
                .remove_interface(&container, &network.interface)
                .unwrap()
        );
        assert!(!host.remove_namespace(&container).unwrap());
        assert!(!host.remove_namespace(&name("shop/never")).unwrap());
        // The name may be used again while the old namespace still lives.
        make(&host, "shop/web", &BOTH);
    });
}

#[test]
fn taking_a_network_down_names_who_still_lives_there() {
    on_a_host(|| {
        let host = Host::open().unwrap();
        let (container, network) = make(&host, "shop/web", &BOTH);
        let tenant = Tenant::of(&network.namespace);
        let left = host.remove_network(&container).unwrap();
        let left: Vec<_> = left.iter().map(|process| process.pid).collect();
        assert_eq!(left, [tenant.pid()]);
        drop(tenant);
        assert!(host.remove_network(&container).unwrap().is_empty());
        assert!(host.read().unwrap().networks.is_empty());
    });
}

#[test]
fn an_address_that_changes_hands_is_routed_to_its_new_owner_once_the_old_one_is_gone() {
    on_a_host(|| {
        let host = Host::open().unwrap();
        let (old, old_network) = make(&host, "shop/old", &["10.44.0.10"]);
        let (_, new_network) = make(&host, "shop/new", &["10.44.0.10"]);
        let via = |interface: &str| ip("route get 10.44.0.10").contains(interface);
        assert!(via(&old_network.interface));
        host.remove_interface(&old, &old_network.interface).unwrap();
        assert!(via(&new_network.interface));
    });
}

#[test]
fn trimming_takes_back_what_the_tree_no_longer_asks_for() {
    on_a_host(|| {
        let host = Host::open().unwrap();
        let (container, mut network) = make(&host, "shop/web", &BOTH);
        let own = format!("-n {} addr add 10.9.9.9/32 dev eth0", network.namespace);
        ip(&own);
        network.addresses = vec!["10.44.0.11".parse().unwrap()];
        network.resolv_conf = false;
        done(host.ensure_network(&container, &network));
        done(open(&host, &container, &network));
        host.trim_network(&container, &network).unwrap();
        let inside = ip(&format!("-n {} addr show eth0", network.namespace));
        assert!(inside.contains("10.44.0.11/32") && !inside.contains("10.44.0.10"));
        assert!(!inside.contains("fd44"), "{inside}");
        assert!(
            inside.contains("10.9.9.9"),
            "what a tenant added is not ours"
        );
        assert!(!ip("route").contains("10.44.0.10"));
        assert!(!ip("-6 route").contains("fd44::10"));
        assert!(!ip("neigh").contains("fd44::10"));
        assert!(!ip(&format!("-n {} -6 route", network.namespace)).contains("default"));
        assert!(!fs::exists(format!("/etc/netns/{}", network.namespace)).unwrap());
        let reading = host.read().unwrap();
        assert_eq!(reading.networks[&container].network, network);
        assert!(reading.networks[&container].faults.is_empty());
    });
}

#[test]
fn no_descriptor_and_no_thread_is_left_behind() {
    on_a_host(|| {
        let host = Host::open().unwrap();
        let count = || fs::read_dir("/proc/self/fd").unwrap().count();
        let round = |n: u32| {
            let (container, network) = make(&host, &format!("shop/c{n}"), &BOTH);
            host.read().unwrap();
            host.remove_interface(&container, &network.interface)
                .unwrap();
            host.remove_namespace(&container).unwrap();
        };
        round(0);
        let before = count();
        for n in 1..20 {
            round(n);
        }
        // A socket closes when the runtime is driven next; so at most those of one call are left.
        assert!(count() <= before + 2, "{} of {before}", count());
    });
}
