//! What others do to interfaces, addresses, routes, neighbours and sysctls.

use std::any::Any;
use std::sync::atomic::{AtomicU8, Ordering};

use rig::lab::Lab;
use rig::netns::Netns;
use rig::program::Program;
use state::target::host::interface_name;

use super::ENDS;
use super::tables::COMMIT;
use crate::kernel::named;

/// What keeps a harm in place.
pub(super) type Left = Box<dyn Any>;

/// One thing that others do.
pub(super) struct Harm {
    pub(super) says: &'static str,
    pub(super) act: fn(&Lab) -> Left,
    /// The kind of the finding, and some of its words.
    pub(super) finds: (&'static str, &'static str),
    /// The operations that mend it, but for the checks.
    pub(super) steps: &'static [&'static str],
    /// It lets pass what the policy denies, or may.
    pub(super) opens: bool,
    /// Connections are forgotten.
    pub(super) forgets: bool,
    /// It denies what the policy allows, to whatever is judged meanwhile.
    pub(super) denies: bool,
    /// Every connection is judged again.
    pub(super) again: bool,
    /// Where it is seen.
    pub(super) part: &'static str,
    /// What cannot be done or seen beside it.
    pub(super) hides: &'static [&'static str],
}

impl Harm {
    pub(super) const fn at(self, part: &'static str, hides: &'static [&'static str]) -> Self {
        Self {
            part,
            hides,
            ..self
        }
    }

    /// Whether it is seen beside others.
    pub(super) fn is_seen_beside(&self, others: &[&Self]) -> bool {
        !others.iter().any(|other| other.hides.contains(&self.part))
    }
}

/// Whether all of them together forget connections. The other slot may have lost its rows before,
/// and what has none in it, and is found by nothing else, is made anew.
pub(super) fn forget(harms: &[&Harm]) -> bool {
    let any = |is: fn(&Harm) -> bool| harms.iter().any(|harm| is(harm));
    any(|harm| harm.forgets)
        || (any(|harm| harm.denies) && any(|harm| harm.again))
        || (harms.len() > 1 && any(|harm| harm.part == "other slot"))
}

/// One that opens nothing and forgets nothing.
pub(super) const fn harm(
    says: &'static str,
    act: fn(&Lab) -> Left,
    finds: (&'static str, &'static str),
    steps: &'static [&'static str],
) -> Harm {
    Harm {
        says,
        act,
        finds,
        steps,
        opens: false,
        forgets: false,
        denies: false,
        again: false,
        part: "",
        hides: &[],
    }
}

/// All of them.
pub(super) const ALL: [&[Harm]; 3] = [&super::tables::HARMS, &HARMS, &super::pins::HARMS];

const NETWORK: &[&str] = &["ensure network shop/db", "open network shop/db"];

/// The host's end of the interface of `shop/db`.
fn outer() -> String {
    interface_name(&named(ENDS[1]))
}

/// Lines for `ip`. Another harm may have taken away what they are about.
fn lines(net: &Netns, lines: &str) -> Left {
    for line in lines.lines() {
        let other = interface_name(&named(ENDS[0]));
        let line = line.replace("OUTER", &outer()).replace("OTHER", &other);
        drop(net.program(&Program::new("ip").args(line.split(' '))));
    }
    Box::new(())
}

fn ip(lab: &Lab, line: &str) -> Left {
    lines(lab.alpha().net(), line)
}

fn inside(lab: &Lab, line: &str) -> Left {
    lines(&lab.alpha().container(ENDS[1]), line)
}

fn sysctl_inside(lab: &Lab, interface: &str) -> Left {
    let path = format!("/proc/sys/net/ipv6/conf/{interface}/disable_ipv6");
    let container = lab.alpha().container(ENDS[1]);
    drop(container.run(|| std::fs::write(path, "1")));
    Box::new(())
}

fn move_away(lab: &Lab) -> Left {
    let elsewhere = Netns::new("elsewhere");
    ip(lab, &format!("link set OUTER netns {}", elsewhere.path()));
    Box::new(elsewhere)
}

/// A new pair has another index, which the rows hold.
const NEW_PAIR: &[&str] = &[
    "mark slot preparing",
    "ensure network shop/db",
    "attach programs shop/db",
    "open network shop/db",
    "write slot ROWS",
    "barrier",
    "verify slot",
    "store record",
    "barrier",
    "mark slot settled",
];

/// Another one each time.
fn host_address(lab: &Lab) -> Left {
    static COUNT: AtomicU8 = AtomicU8::new(1);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    ip(lab, &format!("address add 10.99.0.{number}/32 dev uplink"))
}

const BOTH: &[&str] = &[
    "ensure network shop/db",
    "ensure network shop/web",
    "open network shop/db",
    "open network shop/web",
];

/// What is seen no more where the pair is gone.
const GONE: [&str; 15] = [
    "outer",
    "host route",
    "gateway",
    "by name",
    "forwarding",
    "mtu",
    "neighbour",
    "inner",
    "eth0",
    "mac",
    "guard",
    "lo",
    "namespace",
    "route",
    "place",
];

/// What finds the interface inside by its name, or goes with it.
const INNER: [&str; 7] = [
    "inner",
    "eth0",
    "mac",
    "neighbour",
    "gateway",
    "route",
    "place",
];

pub(super) const HARMS: [Harm; 27] = [
    harm(
        "the interface is removed",
        |lab| ip(lab, "link delete OUTER"),
        ("interface", "no host-side interface"),
        NEW_PAIR,
    )
    .at("pair", &GONE),
    harm(
        "the interface is moved to another namespace",
        move_away,
        ("interface", "no host-side interface"),
        NEW_PAIR,
    )
    .at("pair", &GONE),
    harm(
        "the interface is renamed",
        |lab| ip(lab, "link set OUTER name other0"),
        ("interface", "is named other0"),
        NETWORK,
    )
    .at(
        "outer",
        &["by name", "forwarding", "mtu", "neighbour", "guard"],
    ),
    harm(
        "the interface inside is renamed",
        |lab| {
            inside(
                lab,
                "link set eth0 down\nlink set eth0 name other0\nlink set other0 up",
            )
        },
        ("interface", "is named other0, not eth0"),
        NETWORK,
    )
    .at("inner", &INNER),
    harm(
        "two interfaces have each other's name",
        |lab| {
            ip(
                lab,
                "link set OUTER name swap0\nlink set OTHER name OUTER\nlink set swap0 name OTHER",
            )
        },
        ("interface", "is named pl"),
        BOTH,
    )
    .at(
        "outer",
        &[
            "outer",
            "by name",
            "forwarding",
            "mtu",
            "neighbour",
            "guard",
        ],
    ),
    harm(
        "two interfaces have each other's alias",
        |lab| {
            ip(
                lab,
                "link set OUTER alias plumbline:shop/web\nlink set OTHER alias plumbline:shop/db",
            )
        },
        ("interface", "has another alias than plumbline:shop/"),
        BOTH,
    )
    .at("outer", &[]),
    harm(
        "another interface inside has the name of ours",
        |lab| {
            inside(
                lab,
                "link set eth0 down\nlink set eth0 name other1\nlink set other1 up\n\
                 link add eth0 type bridge",
            )
        },
        (
            "interface",
            "is named other1, not eth0, which another one has",
        ),
        NETWORK,
    )
    .at("inner", &INNER),
    harm(
        "the interface inside has its name as a second one",
        |lab| {
            inside(
                lab,
                "link set eth0 down\nlink set eth0 name other2\n\
                 link property add dev other2 altname eth0\nlink set other2 up",
            )
        },
        ("interface", "is named other2, not eth0"),
        NETWORK,
    )
    .at("inner", &INNER),
    harm(
        "another interface inside is in the place of ours",
        |lab| {
            inside(
                lab,
                "link del eth0\nlink add eth0 type bridge\nlink set lo alias theirs",
            )
        },
        ("interface", "no host-side interface"),
        NEW_PAIR,
    )
    .at("place", &GONE),
    harm(
        "the loopback inside has another alias",
        |lab| inside(lab, "link set lo alias theirs"),
        ("interface", "the loopback inside has another alias"),
        NETWORK,
    )
    .at("lo", &[]),
    harm(
        "IPv6 is switched off inside",
        |lab| sysctl_inside(lab, "eth0"),
        ("sysctl", "IPv6 is switched off on the interface inside"),
        NETWORK,
    )
    .at("eth0", &["eth0", "neighbour", "route"]),
    harm(
        "IPv6 is switched off on all that is inside",
        |lab| sysctl_inside(lab, "all"),
        ("sysctl", "its IPv6 addresses and routes are gone"),
        NETWORK,
    )
    .at("eth0", &["eth0", "neighbour", "route"]),
    harm(
        "the interface is down",
        |lab| ip(lab, "link set OUTER down"),
        ("interface", "is down"),
        NETWORK,
    )
    .at("by name", &[]),
    harm(
        "the interface is a port of a bridge",
        |lab| {
            ip(
                lab,
                "link add theirs0 type bridge\nlink set OUTER master theirs0",
            )
        },
        ("interface", "is a port of a bridge"),
        NETWORK,
    )
    .at("by name", &[]),
    harm(
        "the interface has another MTU",
        |lab| ip(lab, "link set OUTER mtu 1400"),
        ("interface", "the MTU is 1400, not 1500"),
        NETWORK,
    )
    .at("mtu", &[]),
    harm(
        "the container has another MAC address",
        |lab| inside(lab, "link set eth0 address 02:00:00:00:00:09"),
        ("interface", "the MAC address is 02:00:00:00:00:09"),
        NETWORK,
    )
    .at("mac", &["neighbour"]),
    harm(
        "an address is gone",
        |lab| inside(lab, "address del fd44::2/128 dev eth0"),
        ("address", "no address fd44::2"),
        NETWORK,
    )
    .at("eth0", &["neighbour", "route"]),
    harm(
        "an address has another prefix",
        |lab| {
            inside(
                lab,
                "address del 10.44.0.2/32 dev eth0\naddress add 10.44.0.2/24 dev eth0",
            )
        },
        ("address", "no address 10.44.0.2"),
        NETWORK,
    )
    .at("eth0", &["forwarding", "gateway", "host route"]),
    harm(
        "a route of the host is gone",
        |lab| ip(lab, "route del 10.44.0.2"),
        ("route", "no route to 10.44.0.2"),
        NETWORK,
    )
    .at("host route", &[]),
    harm(
        "the default route inside is gone",
        |lab| inside(lab, "-6 route del default"),
        ("route", "no default IPv6 route inside"),
        NETWORK,
    )
    .at("route", &[]),
    harm(
        "a neighbour of the host has another address",
        |lab| {
            ip(
                lab,
                "neighbour replace fd44::2 dev OUTER lladdr 02:00:00:00:00:09 nud permanent",
            )
        },
        ("neighbour", "no permanent neighbour fd44::2"),
        NETWORK,
    )
    .at("neighbour", &[]),
    harm(
        "the gateway's neighbour entry is gone",
        |lab| inside(lab, "neighbour flush all nud permanent"),
        ("neighbour", "no permanent neighbour 169.254.80.76 inside"),
        NETWORK,
    )
    .at("gateway", &[]),
    harm(
        "a sysctl of the interface is changed",
        |lab| {
            let path = format!("/proc/sys/net/ipv4/conf/{}/forwarding", outer());
            drop(lab.alpha().run(|| std::fs::write(path, "0")));
            Box::new(())
        },
        ("sysctl", "forwarding is 0, not 1"),
        NETWORK,
    )
    .at("forwarding", &[]),
    harm(
        "a sysctl of the host is changed",
        |lab| {
            lab.alpha().net().sysctl("ipv4/conf/uplink/forwarding", "0");
            Box::new(())
        },
        ("sysctl", "is 0, not 1"),
        &["set sysctl net/ipv4/conf/uplink/forwarding"],
    )
    .at("host", &[]),
    harm(
        "the host has a new address",
        host_address,
        ("address", "has a new address 10.99.0."),
        COMMIT,
    ),
    harm(
        "the guard is gone",
        |lab| {
            let arguments = ["qdisc", "del", "dev", &outer(), "clsact"];
            drop(lab.alpha().program(&Program::new("tc").args(arguments)));
            Box::new(())
        },
        ("guard", "no guard stands behind"),
        &["put guard shop/db"],
    )
    .at("guard", &[]),
    // Last, for others find the container by that name.
    harm(
        "the namespace has lost its name",
        |lab| {
            let program = Program::new("umount").args(["-l", "/run/netns/shop.db"]);
            drop(lab.alpha().program(&program));
            Box::new(())
        },
        ("namespace", "has lost its name shop.db"),
        NETWORK,
    )
    .at("namespace", &[]),
];
