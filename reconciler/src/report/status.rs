//! What is live, for people and for programs.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::IpAddr;

use ipnet::IpNet;
use serde::Serialize;
use state::live::{Live, LiveContainer};
use state::plan::back::previous;
use state::target::host::{Attach, INTERFACE_GROUP, TRANSLATION_TABLE};
use state::words::address::Family;
use state::words::hash::short;
use state::words::names::FullName;
use state::words::time::utc;

use super::drift::{self, Item, Unread};
use super::escape::escape;
use super::style::Style;

/// What is live.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// The live commit, whole; empty where nothing is live.
    pub commit: String,
    /// Its tree.
    pub tree: String,
    /// Since when: seconds since 1970; 0 where nothing is live.
    pub since: u64,
    /// The live generation; 0 where nothing is live.
    pub generation: u64,
    /// The live slot.
    pub slot: String,
    /// Whether everything that the commit removed has been taken down.
    pub settled: bool,
    /// The commit that was live before and that the other slot still holds.
    pub rollback: Option<String>,
    /// The commit that was rolled back from: a run on it is refused.
    pub held: Vec<String>,
    /// Why nothing is applied; `None` where whatever is asked for is.
    pub suspended: Option<Suspension>,
    /// The last run that was to change something, where it is known.
    pub attempt: Option<Attempted>,
    /// This host's containers.
    pub containers: Vec<Container>,
    /// What is not as the live commit put it there.
    pub drift: Vec<Item>,
    /// Why that is not all of it, or not known; `None` where it is.
    pub unread: Option<Unread>,
    /// Ranges of containers that are private (RFC 1918, RFC 4193) and that nothing translates: what
    /// they send beyond this host is answered only where others have a route back.
    pub untranslated: Vec<String>,
    /// Lines for `nft -f` that would translate them.
    pub translate_with: Vec<String>,
}

/// Why nothing is applied.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Suspension {
    /// Since when: seconds since 1970.
    pub since: u64,
    /// Who said so.
    pub by: String,
    /// Why.
    pub reason: String,
    /// The commit that was live then, and comes back after a reboot.
    pub commit: String,
}

/// A run that was to change something.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Attempted {
    /// The commit that it was about; empty where it found none.
    pub commit: String,
    /// When it ended: seconds since 1970.
    pub time: u64,
    /// Its exit code.
    pub exit: u8,
    /// What it told of in the end.
    pub reasons: Vec<String>,
}

/// One container.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Container {
    /// `namespace/name`.
    pub name: String,
    /// Its endpoint index.
    pub endpoint: Option<u16>,
    /// The host-side interface.
    pub interface: Option<String>,
    /// Its index.
    pub ifindex: Option<u32>,
    /// Its addresses.
    pub addresses: Vec<String>,
    /// The build hash of its programs, whole.
    pub programs: Option<String>,
    /// Quota of established TCP connections.
    pub quota: Option<u32>,
    /// Entries of its connection maps.
    pub entries: Entries,
    /// Packets dropped, by reason; reasons without one are left out.
    pub drops: BTreeMap<String, u64>,
    /// What it was to be attached to was not there at the last run.
    pub missing: bool,
    /// The network namespace or interface of others that it is attached to.
    pub attached: Option<String>,
    /// What is not as it should be.
    pub faults: Vec<String>,
}

/// Entries of a container's connection maps.
#[derive(Clone, Copy, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Entries {
    /// Established TCP.
    pub established: usize,
    /// Half-open TCP.
    pub half_open: usize,
    /// Everything else.
    pub datagrams: usize,
}

impl Status {
    /// What stands in the record and the slots. The containers are the caller's to add.
    pub fn of(live: &Live) -> Self {
        let Some(base) = &live.base else {
            return Self::default();
        };
        let slot = base.live_slot();
        let before = previous(base).map(|slot| slot.commit.clone());
        let untranslated = untranslated(live);
        Self {
            commit: slot.commit.clone(),
            tree: slot.tree.clone(),
            since: slot.time_s,
            generation: base.record.generation.0,
            slot: base.record.slot.to_string(),
            settled: base.is_settled(),
            rollback: before.filter(|commit| !base.held().contains(commit)),
            held: base.held().to_vec(),
            suspended: None,
            attempt: None,
            containers: Vec::new(),
            drift: Vec::new(),
            unread: None,
            translate_with: translate_with(&untranslated),
            untranslated: untranslated.iter().map(ToString::to_string).collect(),
        }
    }
}

impl Container {
    /// What was read back of it. Entries and drops are the caller's to add.
    pub fn of(name: &FullName, found: &LiveContainer, live: &Live) -> Self {
        let network = found.network.as_ref();
        let missing = live.is_missing(name);
        Self {
            name: name.to_string(),
            endpoint: found.endpoint.map(|endpoint| endpoint.0),
            interface: network.map(|network| network.network.interface.clone()),
            ifindex: network.and_then(|network| network.ifindex),
            addresses: addresses(found).iter().map(ToString::to_string).collect(),
            programs: found.programs.map(|programs| programs.build.to_string()),
            quota: found.connections,
            entries: Entries::default(),
            drops: BTreeMap::new(),
            missing,
            attached: network.and_then(|network| match &network.network.attach {
                Attach::Managed => None,
                Attach::Namespace(path) => Some(path.clone()),
                Attach::Interface { name, .. } => Some(name.clone()),
            }),
            faults: match missing {
                true => vec![MISSING.to_owned()],
                false => faults(found, live),
            },
        }
    }
}

/// What is said of a container that the live commit knows and that is not there.
const MISSING: &str =
    "missing: what it is attached to was not there at the last run; the next one looks again";

/// Of an interface of others the programs say whose it is.
fn addresses(found: &LiveContainer) -> Vec<IpAddr> {
    let network = found.network.as_ref().map(|network| &network.network);
    match (network, found.programs) {
        (Some(network), Some(programs)) if matches!(network.attach, Attach::Interface { .. }) => {
            programs.constants.addresses().collect()
        }
        (network, _) => network
            .map(|network| network.addresses.clone())
            .unwrap_or_default(),
    }
}

fn faults(found: &LiveContainer, live: &Live) -> Vec<String> {
    let network = found.network.iter();
    let faults = network.flat_map(|network| &network.faults);
    let mut faults: Vec<String> = faults.map(ToString::to_string).collect();
    match &found.programs {
        None => faults.push("its programs are not attached".to_owned()),
        Some(programs) => {
            let is = [
                (!programs.first, "another program stands before ours"),
                (!programs.guarded, "the guard is missing"),
            ];
            faults.extend(
                is.iter()
                    .filter(|(bad, _)| *bad)
                    .map(|(_, text)| (*text).into()),
            );
        }
    }
    if !found.endpoint.is_some_and(|endpoint| live.lists(endpoint)) {
        faults.push("absent: the live commit has no such container".to_owned());
    }
    faults
}

/// The private addresses of containers as ranges, in families without the table of
/// [`translate_with`].
fn untranslated(live: &Live) -> Vec<IpNet> {
    let networks = live.containers.values().filter_map(|c| c.network.as_ref());
    let addresses = networks.flat_map(|network| network.network.addresses.iter().copied());
    let private = addresses.filter(|address| {
        is_private(*address) && !live.host.translated.contains(&Family::of(*address))
    });
    IpNet::aggregate(&private.map(IpNet::from).collect())
}

fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_private(),
        IpAddr::V6(address) => address.is_unique_local(),
    }
}

/// A table for `nft -f`, a line each, for each family of the ranges. It stays true when containers
/// come and go, for it knows them by their interfaces' group (POSTROUTING sees the input interface
/// from Linux 5.7 on), and it may be loaded again: it takes its own place.
fn translate_with(ranges: &[IpNet]) -> Vec<String> {
    let families = [
        (
            Family::V4,
            "ip",
            "10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16",
        ),
        (Family::V6, "ip6", "fc00::/7"),
    ];
    let needed = families.into_iter().filter(|(family, ..)| {
        let mut addresses = ranges.iter().map(IpNet::addr);
        addresses.any(|address| Family::of(address) == *family)
    });
    let tables = needed.map(|(_, word, private)| {
        [
            format!("table {word} {TRANSLATION_TABLE}"),
            format!("delete table {word} {TRANSLATION_TABLE}"),
            format!("table {word} {TRANSLATION_TABLE} {{"),
            "  chain post {".to_owned(),
            "    type nat hook postrouting priority srcnat;".to_owned(),
            format!(
                "    iifgroup {INTERFACE_GROUP} oifgroup != {INTERFACE_GROUP} \
                 {word} saddr {{ {private} }} masquerade"
            ),
            "  }".to_owned(),
            "}".to_owned(),
        ]
    });
    tables.flatten().collect()
}

/// For people.
pub fn text(status: &Status, style: Style) -> String {
    let mut out = String::new();
    if status.generation == 0 {
        out.push_str("nothing is live on this host\n");
    } else {
        // Writing to a String cannot fail.
        let _ = writeln!(
            out,
            "commit {}, generation {}, slot {}, since {}{}",
            short(&status.commit),
            status.generation,
            status.slot,
            utc(status.since),
            if status.settled { "" } else { " (not settled)" }
        );
    }
    if let Some(commit) = &status.rollback {
        let _ = writeln!(out, "the other slot holds {}", short(commit));
    }
    for commit in &status.held {
        let _ = writeln!(
            out,
            "{} was rolled back from and is held: a run on it is refused",
            short(commit)
        );
    }
    apart(&mut out, status, style);
    for container in &status.containers {
        let _ = writeln!(out);
        block(&mut out, container, style);
    }
    if !status.drift.is_empty() {
        let _ = write!(out, "\ndrift:\n{}", drift::items(&status.drift, style));
    }
    if let Some(why) = &status.unread {
        let _ = writeln!(out, "\n{}", why.in_words());
    }
    if !status.untranslated.is_empty() {
        let list = status.untranslated.join(", ");
        let _ = writeln!(
            out,
            "\nprivate addresses: {list}; unless a rule of yours translates them, \
             `nft -f` of this will:"
        );
        for line in &status.translate_with {
            let _ = writeln!(out, "    {line}");
        }
    }
    out
}

/// What keeps the live commit from being the one that is asked for.
fn apart(out: &mut String, status: &Status, style: Style) {
    if let Some(suspended) = &status.suspended {
        let line = format!(
            "! applying is suspended since {} by {}: {}",
            utc(suspended.since),
            escape(&suspended.by),
            escape(&suspended.reason)
        );
        let _ = writeln!(out, "{}", style.paint(31, &line));
    }
    // Done, and done with `--detailed-exitcode`.
    let failed = status
        .attempt
        .iter()
        .find(|attempt| ![0, 2].contains(&attempt.exit));
    if let Some(attempt) = failed {
        let commit = match short(&attempt.commit) {
            "" => "a run",
            commit => commit,
        };
        let line = format!(
            "! last attempted: {commit}, {}, exit code {}",
            utc(attempt.time),
            attempt.exit
        );
        let _ = writeln!(out, "{}", style.paint(31, &line));
        for reason in &attempt.reasons {
            let _ = writeln!(out, "    {}", escape(reason));
        }
    }
}

fn block(out: &mut String, container: &Container, style: Style) {
    let _ = writeln!(out, "{} {}", container.name, container.addresses.join(" "));
    if let (Some(interface), Some(ifindex)) = (&container.interface, container.ifindex) {
        let programs = container.programs.as_deref().map_or("none", short);
        let attached = container.attached.as_deref().map(escape);
        let attached = attached.filter(|attached| *attached != escape(interface));
        let into = attached.map_or_else(String::new, |path| format!(" into {path}"));
        let _ = writeln!(
            out,
            "    interface {} ({ifindex}){into}, programs {programs}",
            escape(interface)
        );
    }
    let Entries {
        established,
        half_open,
        datagrams,
    } = container.entries;
    let quota = container.quota.unwrap_or(0);
    let _ = writeln!(
        out,
        "    flows: {established} of {quota} TCP, {half_open} half-open, {datagrams} other"
    );
    if !container.drops.is_empty() {
        let list = container
            .drops
            .iter()
            .map(|(reason, count)| format!("{reason} {count}"));
        let list: Vec<String> = list.collect();
        let _ = writeln!(out, "    drops: {}", list.join(", "));
    }
    for fault in &container.faults {
        let _ = writeln!(
            out,
            "    {}",
            style.paint(31, &format!("! {}", escape(fault)))
        );
    }
}
