//! Whatever somebody takes away or changes is named by the next reading and mended by the next
//! run.

use reconciler::host::Host;
use state::diff::NetworkDifference;
use state::target::host::Network;
use state::words::names::FullName;

use crate::world::{done, ip, make, on_a_host, open};

const OFF: &str = "net.ipv6.conf";
const RESOLV_CONF: &str = "/etc/netns/shop.web/resolv.conf";

/// What a network lacks by what is read of it, in words.
fn lacks(host: &Host, container: &FullName, network: &Network) -> Vec<String> {
    let reading = host.read().unwrap();
    NetworkDifference::between(network, reading.networks.get(container)).in_words()
}

fn inside_faults() -> Vec<(String, &'static str)> {
    let inside = "-n shop.web";
    vec![
        (format!("{inside} link set lo down"), "loopback"),
        (
            format!("{inside} link set lo alias theirs"),
            "the loopback inside has another alias than plumbline:shop/web",
        ),
        (
            format!("netns exec shop.web sysctl -qw {OFF}.eth0.disable_ipv6=1"),
            "IPv6 is switched off on the interface inside",
        ),
        (
            format!("netns exec shop.web sysctl -qw {OFF}.all.disable_ipv6=1"),
            "IPv6 is switched off on the loopback inside",
        ),
        (format!("{inside} link set eth0 down"), "inside is down"),
        (format!("{inside} link set eth0 name lan0"), "named lan0"),
        (format!("{inside} link set eth0 mtu 1200"), "MTU inside"),
        (
            format!("{inside} link set eth0 addrgenmode eui64"),
            "inside generates",
        ),
        (format!("{inside} route del default"), "default IPv4 route"),
        (
            format!("{inside} -6 route del default"),
            "default IPv6 route",
        ),
        (
            format!("{inside} neigh flush all nud permanent"),
            "169.254.80.76 inside",
        ),
    ]
}

#[test]
fn each_fault_is_named_and_mended() {
    on_a_host(|| {
        let host = Host::open().unwrap();
        let (container, network) = make(&host, "shop/web", &["10.44.0.10", "fd44::10"]);
        let out = network.interface.as_str();
        for (damage, says) in [
            (format!("link set {out} down"), "is down"),
            (
                format!("link set {out} address 02:00:00:00:00:99"),
                "another MAC address",
            ),
            (format!("link set {out} group 7"), "our group"),
            (
                format!("link set {out} addrgenmode eui64"),
                "generates IPv6",
            ),
            (
                format!("link set {out} mtu 1300"),
                "the MTU inside is 1400, not 1300",
            ),
            ("route del 10.44.0.10".to_owned(), "no route to 10.44.0.10"),
            ("-6 route del fd44::10".to_owned(), "no route to fd44::10"),
            (
                format!("neigh del 10.44.0.10 dev {out}"),
                "neighbour 10.44.0.10",
            ),
            (
                format!("neigh change fd44::10 dev {out} lladdr 02:00:00:00:00:98 nud permanent"),
                "neighbour fd44::10",
            ),
            (
                format!("link set {out} alias theirs"),
                "another alias than plumbline:shop/web",
            ),
        ]
        .into_iter()
        .chain(inside_faults())
        {
            if damage.contains("name lan0") {
                ip("-n shop.web link set eth0 down");
            }
            ip(&damage);
            let faults = lacks(&host, &container, &network);
            let named = faults.iter().any(|fault| fault.contains(says));
            assert!(named, "{damage}: {faults:?}");
            let index = done(host.ensure_network(&container, &network));
            done(open(&host, &container, &network));
            let found = &host.read().unwrap().networks[&container];
            assert!(found.faults.is_empty(), "{damage}: {:?}", found.faults);
            assert_eq!(found.network, network, "{damage}");
            assert_eq!(found.ifindex, Some(index), "{damage}");
        }
    });
}

#[test]
fn what_the_target_compares_is_read_as_it_is_and_mended() {
    on_a_host(|| {
        let host = Host::open().unwrap();
        let (container, network) = make(&host, "shop/web", &["10.44.0.10", "fd44::10"]);
        for damage in [
            "-n shop.web link set eth0 address 02:00:00:00:00:97",
            "-n shop.web addr del 10.44.0.10/32 dev eth0",
            "-n shop.web addr del fd44::10/128 dev eth0",
            "-n shop.web addr flush dev eth0",
            "empty",
            "gone",
        ] {
            match damage {
                "empty" => std::fs::write(RESOLV_CONF, "").unwrap(),
                "gone" => std::fs::remove_file(RESOLV_CONF).unwrap(),
                command => drop(ip(command)),
            }
            assert_ne!(host.read().unwrap().networks[&container].network, network);
            assert!(!lacks(&host, &container, &network).is_empty(), "{damage}");
            done(host.ensure_network(&container, &network));
            done(open(&host, &container, &network));
            let found = &host.read().unwrap().networks[&container];
            assert_eq!(found.network, network, "{damage}");
            assert_eq!(lacks(&host, &container, &network), [""; 0]);
        }
    });
}

#[test]
fn a_wrong_prefix_is_put_right() {
    on_a_host(|| {
        let host = Host::open().unwrap();
        let (container, network) = make(&host, "shop/web", &["10.44.0.10", "fd44::10"]);
        ip("-n shop.web addr flush dev eth0");
        ip("-n shop.web addr add 10.44.0.10/24 dev eth0");
        ip("-n shop.web addr add fd44::10/64 dev eth0 nodad");
        done(host.ensure_network(&container, &network));
        done(open(&host, &container, &network));
        let found = &host.read().unwrap().networks[&container];
        assert_eq!(found.network, network);
        assert!(found.faults.is_empty(), "{:?}", found.faults);
    });
}

#[test]
fn a_lost_end_or_namespace_is_made_anew_with_another_interface() {
    on_a_host(|| {
        let host = Host::open().unwrap();
        let (container, network) = make(&host, "shop/web", &["10.44.0.10"]);
        for damage in ["link", "moved", "name"] {
            match damage {
                "link" => drop(ip(&format!("link del {}", network.interface))),
                "moved" => {
                    ip("netns add elsewhere");
                    ip("-n shop.web link set eth0 netns elsewhere");
                }
                _ => drop(ip("netns delete shop.web")),
            }
            let reading = host.read().unwrap();
            if let Some(found) = reading.networks.get(&container) {
                assert_eq!(found.ifindex, None, "{damage}");
                assert!(!found.faults.is_empty());
            }
            make(&host, "shop/web", &["10.44.0.10"]);
            let found = &host.read().unwrap().networks[&container];
            assert_eq!(found.network, network, "{damage}");
            assert!(found.faults.is_empty(), "{damage}: {:?}", found.faults);
        }
    });
}

#[test]
fn two_interfaces_of_ours_that_are_taken_for_each_other_are_told_by_where_they_lead() {
    on_a_host(|| {
        let host = Host::open().unwrap();
        let web = make(&host, "shop/web", &["10.44.0.10"]);
        let db = make(&host, "shop/db", &["10.44.0.11"]);
        let [a, b] = [&web, &db].map(|(_, network)| network.interface.clone());
        let before = host.read().unwrap();
        let names = [
            format!("link set {a} name swap0"),
            format!("link set {b} name {a}"),
            format!("link set swap0 name {b}"),
        ];
        let aliases = [
            format!("link set {a} alias plumbline:shop/db"),
            format!("link set {b} alias plumbline:shop/web"),
        ];
        let both = [&names[..], &aliases[..]].concat();
        for (damage, says) in [
            (&names[..], "is named"),
            (&aliases[..], "has another alias than plumbline:shop/web"),
            (&both[..], "is named"),
        ] {
            damage.iter().for_each(|line| drop(ip(line)));
            let faults = lacks(&host, &web.0, &web.1);
            assert!(faults.iter().any(|f| f.contains(says)), "{faults:?}");
            assert!(host.read().unwrap().host.foreign_interfaces.len() == 1);
            for (container, network) in [&web, &db] {
                done(host.ensure_network(container, network));
            }
            for (container, network) in [&web, &db] {
                done(open(&host, container, network));
            }
            assert_eq!(host.read().unwrap(), before, "the same pairs: {says}");
        }
        // One that is to go goes, whatever it is named.
        names.iter().for_each(|line| drop(ip(line)));
        assert!(host.remove_interface(&web.0, &a).unwrap());
        assert!(ip("link").contains(&a), "that of the other");
        done(host.ensure_network(&db.0, &db.1));
        done(open(&host, &db.0, &db.1));
        let found = &host.read().unwrap().networks[&db.0];
        assert_eq!(found, &before.networks[&db.0]);
    });
}

/// Whoever is root inside may do all of it.
#[test]
fn what_a_tenant_does_to_names_and_marks_inside_keeps_no_run_from_its_work() {
    on_a_host(|| {
        let host = Host::open().unwrap();
        let (container, network) = make(&host, "shop/web", &["10.44.0.10"]);
        let index = host.read().unwrap().networks[&container].ifindex;
        for (damage, stays) in [
            (
                &["link set eth0 name own0", "link add eth0 type bridge"][..],
                true,
            ),
            (
                &["link set eth0 name own0", "link set lo alias x"][..],
                true,
            ),
            (&["link del eth0", "link add eth0 type bridge"][..], false),
            (&["link del eth0", "link set lo alias x"][..], false),
        ] {
            for line in damage {
                ip(&format!("-n shop.web {line}"));
            }
            let reading = host.read().unwrap();
            assert!(reading.host.foreign_namespaces.is_empty(), "{damage:?}");
            assert!(!lacks(&host, &container, &network).is_empty());
            make(&host, "shop/web", &["10.44.0.10"]);
            let found = &host.read().unwrap().networks[&container];
            assert_eq!(found.network, network, "{damage:?}");
            assert!(found.faults.is_empty(), "{damage:?}: {:?}", found.faults);
            assert_eq!(found.ifindex == index, stays, "{damage:?}");
        }
        assert!(ip("-n shop.web link").contains("not-eth0-1"));
        // It goes with its mark undone as well.
        ip("-n shop.web link set lo alias x");
        host.remove_network(&container).unwrap();
        assert!(!ip("netns").contains("shop.web"));
    });
}
