//! What else of the host a plan needs to know.

use std::process::Command;

use reconciler::host::Host;
use state::live::Process;

use crate::world::{Tenant, ip, make, on_a_host};

#[test]
fn strangers_addresses_and_routes_are_told_from_ours() {
    on_a_host(|| {
        let host = Host::open().unwrap();
        let (container, network) = make(&host, "shop/web", &["10.44.0.10", "fd44::10"]);
        ip("link add uplink type bridge");
        ip("link set uplink up");
        ip("addr add 192.0.2.1/24 dev uplink");
        ip("addr add 2001:db8::1/64 dev uplink nodad");
        ip("route add 10.44.0.99 dev uplink");
        ip("route add blackhole 10.44.0.98");
        ip("-6 route add fd44::99 dev uplink");
        ip("route add 10.45.0.0/24 dev uplink");
        ip("route add 10.44.0.97 dev uplink table 99");
        ip("netns add other");
        let host_state = host.read().unwrap().host;
        assert!(host_state.foreign_interfaces.contains_key("uplink"));
        assert!(host_state.foreign_interfaces.contains_key("lo"));
        assert!(
            !host_state
                .foreign_interfaces
                .contains_key(&network.interface)
        );
        assert_eq!(
            host_state.foreign_namespaces.iter().collect::<Vec<_>>(),
            ["other"]
        );
        for address in ["127.0.0.1", "::1", "192.0.2.1", "2001:db8::1"] {
            assert!(
                host_state.addresses.contains(&address.parse().unwrap()),
                "{address}"
            );
        }
        assert!(!host_state.addresses.contains(&network.addresses[0]));
        let routes: Vec<_> = host_state
            .foreign_routes
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(
            routes,
            ["10.44.0.97", "10.44.0.98", "10.44.0.99", "fd44::99"]
        );
        assert!(host.read().unwrap().networks[&container].faults.is_empty());
    });
}

#[test]
fn uplinks_and_their_sysctls_are_read() {
    on_a_host(|| {
        let host = Host::open().unwrap();
        make(&host, "shop/web", &["10.44.0.10"]);
        for name in ["up0", "up1.5", "down0", "bare0"] {
            ip(&format!("link add {name} type bridge"));
        }
        for name in ["up0", "up1.5", "bare0"] {
            ip(&format!("link set {name} addrgenmode none"));
            ip(&format!("link set {name} up"));
        }
        ip("addr add 192.0.2.1/24 dev up0");
        ip("addr add 192.0.2.2/24 dev up1.5");
        ip("addr add 192.0.2.3/24 dev down0");
        ip("-6 route add default dev up0 proto ra");
        let reading = host.read().unwrap();
        let uplinks: Vec<_> = reading.uplinks.keys().map(String::as_str).collect();
        assert_eq!(uplinks, ["up0", "up1.5"]);
        assert!(reading.uplinks["up0"].learns_routes);
        assert!(!reading.uplinks["up1.5"].learns_routes);
        let sysctls = &reading.host.sysctls;
        assert_eq!(sysctls["net/ipv4/conf/up1.5/forwarding"], "0");
        assert_eq!(sysctls["net/ipv6/conf/up0/accept_ra"], "1");
        assert!(sysctls.contains_key("net/ipv6/conf/all/forwarding"));
        reconciler::host::sysctls::write("net/ipv6/conf/up0/accept_ra", "2").unwrap();
        let again = host.read().unwrap();
        assert_eq!(again.host.sysctls["net/ipv6/conf/up0/accept_ra"], "2");
        assert!(again.uplinks["up0"].learns_routes);
        reconciler::host::sysctls::write("net/ipv6/conf/up0/accept_ra", "0").unwrap();
        assert!(!host.read().unwrap().uplinks["up0"].learns_routes);
    });
}

#[test]
fn processes_in_a_managed_namespace_are_named() {
    on_a_host(|| {
        let host = Host::open().unwrap();
        let (container, network) = make(&host, "shop/web", &["10.44.0.10"]);
        make(&host, "shop/empty", &["10.44.0.11"]);
        assert!(host.read().unwrap().host.processes.is_empty());
        let tenant = Tenant::of(&network.namespace);
        let processes = host.read().unwrap().host.processes;
        let name = "cat".to_owned();
        let pid = tenant.pid();
        assert_eq!(processes.len(), 1);
        assert_eq!(processes[&container], [Process { pid, name }]);
    });
}

#[test]
fn forward_chains_that_drop_are_named() {
    on_a_host(|| {
        let host = Host::open().unwrap();
        assert!(host.read().unwrap().host.forward_drops.is_empty());
        for rules in [
            "add table inet fw",
            "add chain inet fw open { type filter hook forward priority 0; policy accept; }",
            "add chain inet fw input { type filter hook input priority 0; policy drop; }",
            "add chain inet fw regular",
            "add chain inet fw closed { type filter hook forward priority 1; policy drop; }",
            "add table ip6 six",
            "add chain ip6 six closed { type filter hook forward priority 1; policy drop; }",
            "add table bridge b",
            "add chain bridge b closed { type filter hook forward priority 1; policy drop; }",
        ] {
            let status = Command::new("/usr/sbin/nft").arg(rules).status().unwrap();
            assert!(status.success() || rules.contains("bridge"), "{rules}");
        }
        let drops: Vec<_> = host
            .read()
            .unwrap()
            .host
            .forward_drops
            .into_iter()
            .collect();
        assert_eq!(drops, ["inet fw closed", "ip6 six closed"]);
    });
}

#[test]
fn a_reading_of_many_containers_is_whole_while_others_come_and_go() {
    on_a_host(|| {
        let host = Host::open().unwrap();
        for n in 0..20 {
            make(&host, &format!("shop/c{n}"), &[&format!("10.44.0.{n}")]);
        }
        let done = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for n in 0..200 {
                    ip(&format!("link add churn{n} type bridge"));
                    ip(&format!("link del churn{n}"));
                }
                done.store(true, std::sync::atomic::Ordering::Release);
            });
            while !done.load(std::sync::atomic::Ordering::Acquire) {
                let reading = host.read().unwrap();
                assert_eq!(reading.networks.len(), 20);
                for (name, network) in &reading.networks {
                    assert!(network.faults.is_empty(), "{name}: {:?}", network.faults);
                }
            }
        });
    });
}
