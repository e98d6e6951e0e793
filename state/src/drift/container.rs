//! What belongs to one container: its links and programs, its maps, its network.

use std::net::IpAddr;

use super::base::lost_pin;
use super::{Finding, Kind};
use crate::diff::{ConnectionsDifference, ContainerDifference, Detached, Differences};
use crate::diff::{NetworkDifference, ProgramsDifference};
use crate::live::{
    Broken, Fault, Instead, LinkFault, Live, LiveContainer, LiveNetwork, LivePrograms, Part,
    Stranger,
};
use crate::target::host::Attach;
use crate::target::programs::BuildHash;
use crate::target::tables::Endpoint;
use crate::target::{ContainerTarget, Target};
use crate::words::names::FullName;
use crate::words::verdict::Direction;

pub(super) fn findings(target: &Target, live: &Live, differences: &Differences) -> Vec<Finding> {
    let mut found = Vec::new();
    for (name, difference) in &differences.containers {
        let Some(target) = target.containers.get(name) else {
            continue;
        };
        let is = live.containers.get(name);
        let own = of_one(target, live, is, difference).into_iter();
        found.extend(own.map(|finding| finding.of(name)));
    }
    found
}

/// The same where nobody knows what was asked for.
pub(super) fn alone(live: &Live) -> Vec<Finding> {
    let mut found = Vec::new();
    for (name, is) in &live.containers {
        let network = is.network.iter().filter(|network| !of_others(network));
        let faults = network.flat_map(|network| &network.faults);
        let place = || place(name, is);
        let mut own: Vec<Finding> = faults.map(|found| fault(place(), found)).collect();
        own.extend(links(is));
        own.extend(pins(is));
        let open = |stands: &Instead| *stands != Instead::Guard;
        if live.base.is_none() && is.instead.values().any(open) {
            let what = Detached::Missing.to_string();
            own.push(Finding::new(Kind::Link, place(), what).means(both(Some(is))));
        }
        if let Some(programs) = is.programs.filter(|p| !p.guarded) {
            own.push(unguarded(live, is, programs.ifindex));
        }
        if is.programs.is_some_and(|p| p.build == NO_BUILD) {
            own.push(mixed(place()));
        }
        found.extend(own.into_iter().map(|finding| finding.of(name)));
    }
    found
}

const NO_BUILD: BuildHash = BuildHash([0; 32]);

/// The interface that it is on, which may be somebody else's.
fn place(name: &FullName, is: &LiveContainer) -> String {
    let found = is.network.as_ref().map(|found| &found.network.interface);
    found.map_or_else(|| crate::target::host::interface_name(name), String::clone)
}

fn of_one(
    target: &ContainerTarget,
    live: &Live,
    is: Option<&LiveContainer>,
    difference: &ContainerDifference,
) -> Vec<Finding> {
    let interface = &target.network.interface;
    let mut found = network(target, live, &difference.network);
    let surplus = &difference.surplus;
    found.extend(surplus.addresses.iter().map(|address| {
        Finding::new(
            Kind::Address,
            interface,
            format!("has {address}, which is not its own"),
        )
        .means("what it sends from there is dropped as spoofed")
    }));
    if surplus.resolv_conf {
        let finding = Finding::new(Kind::Resolver, "/etc/netns", "a resolv.conf too much");
        found.push(finding.means("none"));
    }
    found.extend(is.into_iter().flat_map(pins));
    let missing = |finding: &Finding| finding.kind == Kind::Pin;
    match difference.connections {
        ConnectionsDifference::Missing { .. } if !found.iter().any(missing) => {
            let finding = Finding::new(Kind::Pin, "connection maps", "are gone, or not registered");
            found.push(finding.means("connections that it had may be forgotten"));
        }
        ConnectionsDifference::Quota(is) => {
            let what = format!("have room for {is}, not {}", target.connections);
            let finding = Finding::new(Kind::Pin, "connection maps", what);
            found.push(finding.means("connections beyond that are refused"));
        }
        _ => {}
    }
    found.extend(programs(target, live, is, difference));
    found
}

fn pins(is: &LiveContainer) -> Vec<Finding> {
    let lost = is.unpinned.iter();
    lost.map(|map| {
        Finding::new(Kind::Pin, &map.name, lost_pin(map))
            .means("none yet: its programs hold it, and with them its connections are lost")
    })
    .collect()
}

// ---- Programs ----

fn programs(
    target: &ContainerTarget,
    live: &Live,
    is: Option<&LiveContainer>,
    difference: &ContainerDifference,
) -> Vec<Finding> {
    let interface = &target.network.interface;
    let programs = is.and_then(|is| is.programs);
    match difference.programs {
        ProgramsDifference::None | ProgramsDifference::Blocks => Vec::new(),
        ProgramsDifference::Detached(Detached::Missing) => match is.map(links) {
            Some(links) if !links.is_empty() => links,
            _ => vec![
                Finding::new(Kind::Link, interface, "its programs are not attached")
                    .means(both(is)),
            ],
        },
        ProgramsDifference::Detached(Detached::Elsewhere) => vec![
            Finding::new(Kind::Link, interface, Detached::Elsewhere.to_string()).means(both(is)),
        ],
        // What stands before them is told by itself, and hides nothing of the rest.
        ProgramsDifference::Detached(Detached::NotFirst | Detached::Unguarded)
        | ProgramsDifference::Build => {
            let open = is.zip(programs.filter(|programs| !programs.guarded));
            let unguarded = open.map(|(is, on)| unguarded(live, is, on.ifindex));
            let built = programs.and_then(|is| built(target, &is));
            unguarded.into_iter().chain(built).collect()
        }
    }
}

/// Another build than the one that is asked for.
fn built(target: &ContainerTarget, is: &LivePrograms) -> Option<Finding> {
    if is.build == target.programs.build {
        return None;
    }
    let interface = &target.network.interface;
    let program = |what: &str| Finding::new(Kind::Program, interface, what);
    Some(if is.build == NO_BUILD {
        mixed(interface.clone())
    } else if is.constants == target.constants {
        program("its programs are another version's")
            .means("none; the next run replaces them")
            .harmless()
    } else {
        program("its programs have other constants")
            .means("its packets may be taken for somebody else's, or dropped")
    })
}

/// What becomes of what passes one side of an interface where no program of ours is known to be.
fn instead(side: Direction, is: Option<&LiveContainer>) -> String {
    let whose = match side {
        Direction::Egress => "what it sends",
        Direction::Ingress => "what it is sent",
    };
    match is.and_then(|is| is.instead.get(&side)) {
        None => format!("{whose} has no interface to pass"),
        Some(stands) => becomes(whose, stands),
    }
}

/// What becomes of some packets where this stands.
pub(super) fn becomes(which: &str, stands: &Instead) -> String {
    match stands {
        Instead::Guard => format!("{which} is dropped by the guard"),
        Instead::Ours => {
            format!("none yet: somebody else holds the link, and without it {which} is dropped")
        }
        Instead::Stranger { program, name } => {
            format!("{which} is judged by program {name} ({program}) of others, and by no commit")
        }
        Instead::Nobody => format!("{which} passes: nobody judges it, and no guard is there"),
    }
}

pub(super) fn both(is: Option<&LiveContainer>) -> String {
    let sides = [Direction::Egress, Direction::Ingress];
    sides.map(|side| instead(side, is)).join("; ")
}

fn links(is: &LiveContainer) -> Vec<Finding> {
    is.links.iter().map(|fault| link(fault, is)).collect()
}

fn link(fault: &LinkFault, is: &LiveContainer) -> Finding {
    let place = match fault.side {
        Direction::Egress => "from_container",
        Direction::Ingress => "to_container",
    };
    let (kind, what) = match fault.why {
        Broken::Unpinned => (Kind::Pin, "its link has no pin"),
        Broken::Detached => (Kind::Link, "its link is detached"),
        Broken::Replaced => (Kind::Link, "something else is pinned in its place"),
        Broken::Program => (Kind::Program, "another program stands under its link"),
    };
    Finding::new(kind, place, what).means(instead(fault.side, Some(is)))
}

fn unguarded(live: &Live, is: &LiveContainer, ifindex: u32) -> Finding {
    let own = is.network.as_ref().filter(|n| n.ifindex == Some(ifindex));
    let own = own.map(|found| found.network.interface.as_str());
    let named = own.or_else(|| live.host.name_of(ifindex));
    let place = named.map_or_else(|| format!("interface {ifindex}"), str::to_owned);
    Finding::new(Kind::Guard, place, Detached::Unguarded.to_string())
        .means("none yet: should its links vanish, everything would pass")
}

fn mixed(place: String) -> Finding {
    let what = "its programs are not of one build, or reach other maps or blocks";
    Finding::new(Kind::Program, place, what)
        .means("its packets may be judged otherwise than the commit says")
}

/// Programs of others on interfaces of containers. On an interface that is not ours nothing is
/// ours to take off.
pub(super) fn strangers(live: &Live) -> Vec<Finding> {
    let mut all = Vec::new();
    for (name, is) in &live.containers {
        let own = is.strangers.iter();
        let own = own.map(|found| stranger(place(name, is), found));
        let theirs = is.network.iter().filter(|network| of_others(network));
        let before = theirs.flat_map(|network| &network.faults);
        let before = before.map(|found| fault(place(name, is), found).harmless());
        all.extend(own.chain(before).map(|finding| finding.of(name)));
    }
    all
}

fn of_others(network: &LiveNetwork) -> bool {
    matches!(network.network.attach, Attach::Interface { .. })
}

fn stranger(place: String, found: &Stranger) -> Finding {
    let Stranger { program, side, .. } = found;
    let whose = format!("program {} ({program}) of others", found.name);
    let finding = |stands: &str| Finding::new(Kind::Stranger, &place, format!("{whose} {stands}"));
    match found.before {
        true => finding(&format!("stands before ours in {side}"))
            .means("what it lets pass, or drops, ours never see"),
        false => finding(&format!("stands after ours in {side}"))
            .means(
                "none: ours hand nothing on; should they vanish, it judges before the guard, and \
                 what it lets pass then passes",
            )
            .harmless(),
    }
}

// ---- Network ----

fn network(target: &ContainerTarget, live: &Live, lacks: &NetworkDifference) -> Vec<Finding> {
    let interface = &target.network.interface;
    let endpoint = target.constants.endpoint;
    let base = live.base.as_ref();
    let row = base.and_then(|base| base.live_slot().tables.endpoints.get(&endpoint));
    // None of a pair that is there: its index is not another's.
    let elsewhere = leads_to(live, row).map(goes_out);
    let mut found: Vec<Finding> = Vec::new();
    if lacks.missing {
        let place = target.network.namespace_in_words();
        let finding = Finding::new(Kind::Namespace, place, "no network of it is there");
        found.push(finding.means(elsewhere.as_deref().unwrap_or(CUT_OFF)));
    }
    found.extend(lacks.faults.iter().map(|lack| {
        let found = fault(interface.clone(), lack);
        match &elsewhere {
            Some(traffic) if matches!(lack.part, Part::Interface | Part::Namespace) => {
                found.means(traffic)
            }
            _ => found,
        }
    }));
    found.extend(
        lacks
            .lacks
            .iter()
            .map(|address| lacks_address(interface, address)),
    );
    found
}

/// The interface of others that has the index now that a row names.
pub(super) fn leads_to<'a>(live: &'a Live, row: Option<&Endpoint>) -> Option<&'a str> {
    live.host.name_of(row?.ifindex?)
}

/// What becomes of packets to a container whose row leads to an interface of others.
pub(super) fn goes_out(name: &str) -> String {
    format!(
        "what containers send to it goes out by {name}, which has the index now that its row names"
    )
}

pub(super) const CUT_OFF: &str = "nothing reaches it, and nothing leaves it";

fn lacks_address(interface: &str, address: &IpAddr) -> Finding {
    Finding::new(
        Kind::Address,
        interface,
        format!("has no address {address} inside"),
    )
    .means("its stack answers nobody at that address")
}

fn fault(place: String, fault: &Fault) -> Finding {
    let (kind, traffic) = match fault.part {
        Part::Namespace => (Kind::Namespace, CUT_OFF),
        Part::Name => (
            Kind::Namespace,
            "none: what lives in it goes on, and nobody can join it by its name",
        ),
        Part::Interface => (
            Kind::Interface,
            "it may be cut off; the commit's verdicts stay",
        ),
        Part::Mark => (Kind::Interface, "none: it tells whose it is"),
        Part::Xdp => (
            Kind::Stranger,
            "it sees what the container sends before ours, which never see what it keeps",
        ),
        Part::Address => (Kind::Address, "its stack answers nobody at that address"),
        Part::Route => (
            Kind::Route,
            "between it and the host, and what is beyond, nothing passes that way",
        ),
        Part::Neighbour => (
            Kind::Neighbour,
            "packets between it and the host, and what is beyond, may find no way",
        ),
        Part::Ipv6 => (
            Kind::Sysctl,
            "its IPv6 addresses and routes are gone, and nothing of IPv6 passes",
        ),
        Part::Sysctl => (
            Kind::Sysctl,
            "packets between it and beyond this host may not be forwarded",
        ),
        Part::Resolver => (
            Kind::Resolver,
            "names are looked up elsewhere than the host does",
        ),
    };
    Finding::new(kind, place, fault.words.clone()).means(traffic)
}
