//! What live differs in from what its commit put there: what, where, and what it means for traffic.
//!
//! Compared is with the target of the live commit's own tree. Where that cannot be read any more,
//! what live alone tells is found all the same: what is missing or broken, and what contradicts
//! itself. Nothing here says how it is mended: a plan does.

use std::collections::BTreeSet;
use std::fmt;

use crate::diff::{Differences, diff};
use crate::live::{Base, Entry, Live};
use crate::plan::collisions::collisions;
use crate::plan::connections::{Connection, denied};
use crate::target::{Datapath, Target};
use crate::words::names::FullName;

mod base;
mod container;
mod gone;
mod rows;

/// What is found.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// What of it.
    pub kind: Kind,
    /// The container that it concerns, if one.
    pub container: Option<FullName>,
    /// Where: a pin, an interface, a table, a path below `/proc/sys`.
    pub place: String,
    /// What is not as it was put there.
    pub what: String,
    /// What it means for traffic.
    pub traffic: String,
    /// It is not for a run to change: nothing of it changes for packets, or it is its owner's.
    pub harmless: bool,
}

/// What a finding is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// The bpffs, and all that was pinned there.
    Bpffs,
    /// A pin.
    Pin,
    /// The blocks that all containers share.
    Blocks,
    /// The commit record.
    Record,
    /// A row of the live slot.
    Row,
    /// An entry of a connection.
    Connection,
    /// A link.
    Link,
    /// A program.
    Program,
    /// A program of others.
    Stranger,
    /// The guard behind programs.
    Guard,
    /// A network namespace.
    Namespace,
    /// An interface.
    Interface,
    /// An address.
    Address,
    /// A route.
    Route,
    /// A neighbour.
    Neighbour,
    /// A sysctl.
    Sysctl,
    /// A `resolv.conf`.
    Resolver,
    /// Something of others where something of ours belongs.
    Collision,
    /// What a run that died has left.
    Leftover,
}

impl Kind {
    /// In one word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bpffs => "bpffs",
            Self::Pin => "pin",
            Self::Blocks => "blocks",
            Self::Record => "record",
            Self::Row => "row",
            Self::Connection => "connection",
            Self::Link => "link",
            Self::Program => "program",
            Self::Stranger => "stranger",
            Self::Guard => "guard",
            Self::Namespace => "namespace",
            Self::Interface => "interface",
            Self::Address => "address",
            Self::Route => "route",
            Self::Neighbour => "neighbour",
            Self::Sysctl => "sysctl",
            Self::Resolver => "resolver",
            Self::Collision => "collision",
            Self::Leftover => "leftover",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Finding {
    /// One that concerns no container, and is not harmless.
    fn new(kind: Kind, place: impl Into<String>, what: impl Into<String>) -> Self {
        Self {
            kind,
            container: None,
            place: place.into(),
            what: what.into(),
            traffic: String::new(),
            harmless: false,
        }
    }

    /// One of a container.
    fn of(self, container: &FullName) -> Self {
        let container = Some(container.clone());
        Self { container, ..self }
    }

    /// With what it means for traffic.
    fn means(self, traffic: impl Into<String>) -> Self {
        let traffic = traffic.into();
        Self { traffic, ..self }
    }

    fn harmless(self) -> Self {
        let harmless = true;
        Self { harmless, ..self }
    }
}

/// Finds all of it. `target` is the live commit's, where its tree can be read; `entries` those of
/// all connection maps.
pub fn drift(
    target: Option<&Target>,
    live: &Live,
    entries: &[Entry],
    datapath: &Datapath,
) -> Vec<Finding> {
    let mut found = base::findings(target, live, datapath);
    found.extend(connections(target, live, entries));
    match target {
        Some(target) => found.extend(against(target, live, datapath)),
        None => found.extend(container::alone(live)),
    }
    found.extend(container::strangers(live));
    found
}

/// That the live slot bears another name than the journal has for its generation.
pub fn misnamed(base: &Base, journal: &str) -> Finding {
    base::misnamed(base, journal)
}

/// Whether anything of it is for a run to mend, or for a person.
pub fn needs_attention(findings: &[Finding]) -> bool {
    findings.iter().any(|finding| !finding.harmless)
}

fn against(target: &Target, live: &Live, datapath: &Datapath) -> Vec<Finding> {
    let differences = diff(target, live, datapath);
    let gone = gone::gone(target, live, &differences);
    let mut found = Vec::new();
    if live.base.is_some() {
        found.extend(rows::findings(target, live, &differences, &gone));
    }
    let own = container::findings(target, live, &differences).into_iter();
    found.extend(own.filter(|finding| {
        let whose = finding.container.as_ref();
        [Kind::Pin, Kind::Guard].contains(&finding.kind)
            || whose.is_none_or(|name| !gone.told.contains(name))
    }));
    found.extend(gone.findings);
    found.extend(surplus(live, &differences));
    found.extend(sysctls(&differences));
    for collision in collisions(target, live) {
        let finding = Finding::new(Kind::Collision, "the host", collision.to_string());
        found.push(finding.means("until it is out of the way, no run mends anything"));
    }
    found
}

fn surplus(live: &Live, differences: &Differences) -> Vec<Finding> {
    let left = differences.surplus.iter();
    left.map(|name| {
        let programs = live.containers.get(name).and_then(|found| found.programs);
        let traffic = match live.is_live(name) {
            _ if programs.is_some_and(|found| found.constants.passes) => {
                "none: its programs let all pass, as when they have gone"
            }
            true => "its flows are judged by rows that the commit did not put there",
            false if live.interface(name).is_none() => "none: nothing of it is attached",
            false => "none: it is absent, so everything of it is dropped",
        };
        Finding::new(
            Kind::Leftover,
            "the host",
            "the commit has no such container",
        )
        .of(name)
        .means(traffic)
    })
    .collect()
}

fn sysctls(differences: &Differences) -> Vec<Finding> {
    let found = differences.sysctls.iter();
    found
        .map(|(path, (is, wanted))| {
            let is = is.as_deref().unwrap_or("absent");
            Finding::new(Kind::Sysctl, path, format!("is {is}, not {wanted}"))
                .means("packets between containers and beyond this host may not be forwarded")
        })
        .collect()
}

/// How many connections are named.
const NAMED: usize = 10;

fn connections(target: Option<&Target>, live: &Live, entries: &[Entry]) -> Vec<Finding> {
    let own = live.base.as_ref().map(|base| &base.live_slot().tables);
    let Some(tables) = target.map(|target| &target.tables).or(own) else {
        return Vec::new();
    };
    let denied: BTreeSet<Connection> = denied(entries, live, tables);
    let more = denied.len().saturating_sub(NAMED);
    let mut found: Vec<Finding> = denied.iter().take(NAMED).map(connection).collect();
    if more > 0 {
        let what = format!("and {more} more that the policy does not give");
        let finding = Finding::new(Kind::Connection, "connection maps", what);
        found.push(finding.means(PASSES));
    }
    found
}

const PASSES: &str = "its packets pass until a commit under a new generation judges them again";

fn connection(denied: &Connection) -> Finding {
    let what = format!("{denied} is cached as the policy does not give it");
    let finding = Finding::new(Kind::Connection, "connection maps", what).means(PASSES);
    match denied
        .to
        .container
        .as_ref()
        .or(denied.from.container.as_ref())
    {
        Some(container) => finding.of(container),
        None => finding,
    }
}
