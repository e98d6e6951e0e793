//! What needs no filter: the direct pair, the bridge, the router.

use rig::netns::Netns;

use super::{CLIENT, Place, SERVER};
use crate::matrix::Setup;

/// The router's end towards the client, and towards the server.
pub(super) const TOWARDS: [&str; 2] = ["client", "server"];

/// The router's addresses: the next hop of both ends.
const ROUTER: [&str; 2] = ["10.44.0.254", "fd44::fe"];

/// One veth pair.
pub(super) fn direct(setup: Setup) -> Place {
    let place = ends(setup);
    let path = place.server.path();
    place.client.ip_batch(&format!(
        "link add eth0 type veth peer name eth0 netns {path}\n"
    ));
    on_one_link(place)
}

/// A bridge in a namespace of its own.
pub(super) fn bridge(setup: Setup) -> Place {
    let mut place = ends(setup);
    let bridge = Netns::new("bridge");
    bridge.ip_batch(
        "link add bridge type bridge stp_state 0 forward_delay 0 mcast_snooping 0\n\
         link set bridge up\n",
    );
    pairs(&bridge, &place);
    for end in TOWARDS {
        bridge.ip_batch(&format!("link set {end} master bridge up\n"));
    }
    place.middle = Some(bridge);
    on_one_link(place)
}

/// A router in a namespace of its own.
pub(super) fn routed(setup: Setup) -> Place {
    let mut place = ends(setup);
    let router = Netns::new("router");
    router.sysctl("ipv4/ip_forward", "1");
    router.sysctl("ipv6/conf/all/forwarding", "1");
    pairs(&router, &place);
    let [v4, v6] = ROUTER;
    for (end, net, [own_v4, own_v6]) in both(&place) {
        at_once(&router, end);
        router.ip_batch(&format!(
            "address add {v4}/32 dev {end}\naddress add {v6}/128 dev {end} nodad\n\
             link set {end} up\n\
             route add {own_v4}/32 dev {end}\nroute add {own_v6}/128 dev {end}\n"
        ));
        at_once(net, "eth0");
        net.ip_batch(&format!(
            "address add {own_v4}/32 dev eth0\naddress add {own_v6}/128 dev eth0 nodad\n\
             link set eth0 up\n\
             route add {v4}/32 dev eth0\nroute add default via {v4} dev eth0\n\
             route add {v6}/128 dev eth0\nroute add default via {v6} dev eth0\n"
        ));
    }
    for (_, net, _) in both(&place) {
        net.wait_up("eth0");
    }
    place.middle = Some(router);
    place
}

/// The two namespaces, with no way between them.
fn ends(setup: Setup) -> Place {
    Place {
        setup,
        client: Netns::new("client"),
        server: Netns::new("server"),
        middle: None,
        host: None,
        made: None,
    }
}

/// A pair from the middle to each end.
fn pairs(middle: &Netns, place: &Place) {
    for (end, net, _) in both(place) {
        let path = net.path();
        middle.ip_batch(&format!(
            "link add {end} type veth peer name eth0 netns {path}\n"
        ));
    }
}

/// Each end, the name of what leads to it in the middle, and its addresses.
fn both(place: &Place) -> [(&'static str, &Netns, [std::net::IpAddr; 2]); 2] {
    let [client, server] = TOWARDS;
    [
        (client, &place.client, CLIENT),
        (server, &place.server, SERVER),
    ]
}

/// Gives both ends their addresses on one link.
fn on_one_link(place: Place) -> Place {
    for (_, net, [v4, v6]) in both(&place) {
        at_once(net, "eth0");
        net.ip_batch(&format!(
            "address add {v4}/24 dev eth0\naddress add {v6}/64 dev eth0 nodad\nlink set eth0 up\n"
        ));
    }
    for (_, net, _) in both(&place) {
        net.wait_up("eth0");
    }
    place
}

/// Probing for duplicates takes a second, and there are none.
fn at_once(net: &Netns, interface: &str) {
    net.sysctl(&format!("ipv6/conf/{interface}/accept_dad"), "0");
}
