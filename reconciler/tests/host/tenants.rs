//! Whoever is root in the namespace of a container harms nobody but that container.

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use reconciler::host::Host;

use crate::world::{Tenant, done, ip, make, network, on_a_host, open};

/// Runs `ip -batch` inside, whatever becomes of each line.
fn batch(lines: &str) {
    let mut child = Command::new("ip")
        .args(["-n", "shop.web", "-force", "-batch", "-"])
        .stdin(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(lines.as_bytes()).unwrap();
    drop(stdin);
    child.wait().unwrap();
}

/// Each listing of so many addresses is made of parts, and they change between two of them.
#[test]
fn addresses_that_change_all_the_time_inside_keep_nobody_from_reading_the_host() {
    on_a_host(|| {
        let host = Host::open().unwrap();
        let (container, network) = make(&host, "shop/web", &["10.44.0.10"]);
        make(&host, "shop/db", &["10.44.0.11"]);
        ip("-n shop.web link add many0 type bridge");
        ip("-n shop.web link add few0 type bridge");
        let many =
            (0..4_000).map(|n| format!("addr add 10.99.{}.{}/32 dev many0\n", n / 250, n % 250));
        batch(&many.collect::<String>());
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for n in 1..=3 {
                let both = ["add", "del"].map(|d| format!("addr {d} 10.98.0.{n}/32 dev few0\n"));
                let (lines, done) = (both.concat().repeat(2_000), &done);
                scope.spawn(move || {
                    while !done.load(Ordering::Acquire) {
                        batch(&lines);
                    }
                });
            }
            let readings: Vec<_> = (0..20).map(|_| host.read()).collect();
            done.store(true, Ordering::Release);
            for reading in readings {
                let networks = reading.unwrap().networks;
                assert_eq!(networks.len(), 2);
                assert_eq!(networks[&container].network, network);
            }
        });
    });
}

/// The kernel takes no gateway that is an address of the interface itself.
#[test]
fn what_cannot_be_done_inside_is_told_and_the_rest_is_done() {
    on_a_host(|| {
        let host = Host::open().unwrap();
        let (container, network) = make(&host, "shop/web", &["10.44.0.10"]);
        ip("-n shop.web addr add 169.254.80.76/32 dev eth0");
        ip("-n shop.web route del default");
        ip(&format!("link set {} group 7", network.interface));
        let index = done(host.ensure_network(&container, &network));
        let made = open(&host, &container, &network).unwrap();
        assert_eq!(made.ifindex, index);
        let refused = made.refused.unwrap().to_string();
        assert!(refused.contains("the default gateway of eth0"), "{refused}");
        let found = host.read().unwrap().networks[&container].clone();
        let faults: Vec<_> = found.faults.iter().map(|f| (f.inside, &*f.words)).collect();
        assert_eq!(faults, [(true, "no default IPv4 route inside")]);
        ip("-n shop.web addr del 169.254.80.76/32 dev eth0");
        make(&host, "shop/web", &["10.44.0.10"]);
        assert!(host.read().unwrap().networks[&container].faults.is_empty());
    });
}

/// Whoever is root in it may mark a namespace, which makes it nobody else's.
#[test]
fn a_namespace_of_others_that_says_it_is_ours_is_not() {
    on_a_host(|| {
        let host = Host::open().unwrap();
        let (container, network) = network("shop/web", &["10.44.0.10"]);
        ip("netns add shop.web");
        ip("-n shop.web link set lo alias plumbline:shop/web");
        let reading = host.read().unwrap();
        assert!(reading.networks.is_empty());
        assert!(reading.host.foreign_namespaces.contains("shop.web"));
        host.ensure_network(&container, &network).unwrap_err();
        host.remove_namespace(&container).unwrap_err();
        host.remove_network(&container).unwrap_err();
        assert!(fs::exists("/run/netns/shop.web").unwrap());
    });
}

/// It has its number as long as it lives, and the new one another.
#[test]
fn one_that_is_made_anew_is_known_while_the_former_lives_on() {
    on_a_host(|| {
        let host = Host::open().unwrap();
        let mut tenants = Vec::new();
        for _ in 0..3 {
            let (container, network) = make(&host, "shop/web", &["10.44.0.10"]);
            // Nothing else tells of the namespace whose it is.
            ip("-n shop.web link set lo alias x");
            ip("-n shop.web link del eth0");
            assert!(host.read().unwrap().host.foreign_namespaces.is_empty());
            make(&host, "shop/web", &["10.44.0.10"]);
            let found = &host.read().unwrap().networks[&container];
            assert_eq!(found.network, network);
            tenants.push(Tenant::of("shop.web"));
            host.remove_network(&container).unwrap();
            assert!(!fs::exists("/run/netns/shop.web").unwrap());
        }
    });
}
