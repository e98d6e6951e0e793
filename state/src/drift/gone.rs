//! What of the host is not what the commit found: what containers stand on is gone, there again or
//! another. The rows that say so are as the commit put them, and a run that looks again writes
//! others. So what has changed is told, and no row.

use std::collections::BTreeSet;

use super::container::{CUT_OFF, becomes, both, goes_out, leads_to};
use super::{Finding, Kind};
use crate::diff::{ContainerDifference, Detached, Differences, ProgramsDifference};
use crate::live::{Instead, Live, LiveContainer};
use crate::target::host::Attach;
use crate::target::tables::{Endpoint, EndpointIndex};
use crate::target::{ContainerTarget, Target};
use crate::words::names::FullName;
use crate::words::verdict::Direction;

/// What was found.
#[derive(Default)]
pub(super) struct Gone {
    /// What is gone, there again, or another.
    pub(super) findings: Vec<Finding>,
    /// Endpoints whose rows differ for that alone.
    pub(super) rows: BTreeSet<EndpointIndex>,
    /// Containers of which that is all there is to be told, but for their connection maps.
    pub(super) told: BTreeSet<FullName>,
}

pub(super) fn gone(target: &Target, live: &Live, differences: &Differences) -> Gone {
    let mut gone = Gone::default();
    if live.base.is_none() {
        return gone;
    }
    for (name, target_of) in &target.containers {
        let index = target_of.constants.endpoint;
        if !differences.live.endpoints.put.contains_key(&index)
            && !differences.live.endpoints.delete.contains(&index)
        {
            continue;
        }
        let container = One {
            target: target_of,
            row: target.tables.endpoints.get(&index),
            live: live.endpoint(name).map(|(_, row)| row),
            around: live,
            is: live.containers.get(name),
            difference: differences.containers.get(name),
        };
        match container.why(live.is_missing(name)) {
            Why::Rows => continue,
            Why::Missing(why) => gone.findings.push(container.missing(why).of(name)),
            Why::There => {
                gone.findings.push(container.there().of(name));
                gone.told.insert(name.clone());
            }
            Why::Mac => {
                gone.findings.push(container.mac().of(name));
                gone.told.insert(name.clone());
            }
            Why::Another => {
                if let Some(finding) = container.another() {
                    gone.findings.push(finding.of(name));
                    gone.told.insert(name.clone());
                }
            }
        }
        gone.rows.insert(index);
    }
    gone
}

/// One container whose row is to be another.
struct One<'a> {
    target: &'a ContainerTarget,
    row: Option<&'a Endpoint>,
    live: Option<&'a Endpoint>,
    around: &'a Live,
    is: Option<&'a LiveContainer>,
    difference: Option<&'a ContainerDifference>,
}

/// Why a row is to be another.
enum Why<'a> {
    /// Nothing on the host says so: it was changed.
    Rows,
    /// What the container is attached to is gone, or unfit.
    Missing(&'a str),
    /// It is there again.
    There,
    /// Another interface is there in its place, or none.
    Another,
    /// Behind it is another MAC address.
    Mac,
}

impl<'a> One<'a> {
    fn why(&self, was_missing: bool) -> Why<'a> {
        if let Some(why) = &self.target.missing {
            return Why::Missing(why);
        }
        let stands = self.difference.is_none_or(|difference| {
            use Detached::{Elsewhere, Missing};
            !matches!(
                difference.programs,
                ProgramsDifference::Detached(Missing | Elsewhere)
            )
        });
        let (Some(row), Some(live)) = (self.row, self.live) else {
            return match was_missing && self.attach() != &Attach::Managed {
                true => Why::There,
                false => Why::Rows,
            };
        };
        let theirs = matches!(self.attach(), Attach::Interface { .. });
        let alike = Endpoint {
            ifindex: row.ifindex,
            mac: row.mac,
            ..*live
        };
        let same_mac = live.mac == row.mac || theirs;
        if row.ifindex != live.ifindex {
            let none = row.ifindex.is_none() || (theirs && !stands);
            return match alike == *row && same_mac && none {
                true => Why::Another,
                false => Why::Rows,
            };
        }
        let programs = self.is.and_then(|is| is.programs);
        let agrees = programs.is_some_and(|programs| programs.constants.mac == live.mac);
        match alike == *row && theirs && agrees {
            true => Why::Mac,
            false => Why::Rows,
        }
    }

    fn attach(&self) -> &Attach {
        &self.target.network.attach
    }

    /// What of others it stands on, in one word and by its name.
    fn place(&self) -> (Kind, &'a str) {
        match &self.target.network.attach {
            Attach::Namespace(path) => (Kind::Namespace, path),
            Attach::Interface { name, .. } => (Kind::Interface, name),
            Attach::Managed => (Kind::Interface, &self.target.network.interface),
        }
    }

    fn finding(&self, what: impl Into<String>) -> Finding {
        let (kind, place) = self.place();
        Finding::new(kind, place, what)
    }

    fn missing(&self, why: &str) -> Finding {
        let is = self.is;
        let closed = |stands: &Instead| matches!(stands, Instead::Guard | Instead::Ours);
        let traffic = if is.is_some_and(|is| is.programs.is_some()) {
            "its programs judge it as before until the next run, which closes it".to_owned()
        } else if is.is_some_and(|is| is.instead.values().any(closed)) {
            both(is)
        } else if leads_to(self.around, self.live).is_some() {
            format!("{}, and nobody judges what comes in there", self.sent())
        } else {
            CUT_OFF.to_owned()
        };
        let row = match is.is_some_and(|is| is.programs.is_some()) {
            true => "it is missing",
            false => "it is missing, and the next run takes its row out",
        };
        self.finding(why).means(format!("{traffic}: {row}"))
    }

    fn there(&self) -> Finding {
        // A row that was taken out by others cannot be told from one that was not put.
        let what = "is there, and has no row: it was missing when its commit became live";
        let stands = self.is.is_some_and(|is| is.programs.is_some());
        self.finding(what).means(match self.attach() {
            Attach::Interface { .. } if !stands => self.unjudged(),
            _ => format!("{CUT_OFF} until the next run"),
        })
    }

    /// Of a pair of ours its network says so.
    fn another(&self) -> Option<Finding> {
        if !matches!(self.attach(), Attach::Interface { .. }) {
            return None;
        }
        let what = "is another interface than the one that its programs";
        let programs = self.is.and_then(|is| is.programs);
        let there = programs.and_then(|found| self.around.host.name_of(found.ifindex));
        Some(match there {
            None => self
                .finding(format!("{what} were attached to"))
                .means(self.unjudged()),
            // Names were given to others: to which one they are attached does not change by that.
            Some(there) => self
                .finding(format!("{what} are attached to, which is named {there}"))
                .means(format!(
                    "what passes {there} is judged by them as before; {}",
                    self.here()
                )),
        })
    }

    /// What becomes of what passes the interface that has its name.
    fn here(&self) -> String {
        let (_, place) = self.place();
        let ifindex = self.is.and_then(|is| is.network.as_ref()?.ifindex);
        let mut others = self.around.containers.iter();
        let on = |found: &LiveContainer| found.programs.map(|programs| programs.ifindex);
        if let Some((other, _)) = others.find(|(_, found)| on(found) == ifindex) {
            return format!("what passes {place}, by those of {other}");
        }
        let stands = self.is.into_iter().flat_map(|is| &is.instead);
        let sides = stands.map(|(side, stands)| match side {
            Direction::Egress => becomes(&format!("what comes in by {place}"), stands),
            Direction::Ingress => becomes(&format!("what goes out by {place}"), stands),
        });
        sides.collect::<Vec<_>>().join("; ")
    }

    /// What becomes of packets to it. Its row has an index, which may be another's by now.
    fn sent(&self) -> String {
        leads_to(self.around, self.live).map_or_else(
            || "what containers send to it is dropped".to_owned(),
            goes_out,
        )
    }

    fn unjudged(&self) -> String {
        let sent = self.sent();
        format!("{sent}, and nobody judges what it sends, until the next run")
    }

    fn mac(&self) -> Finding {
        let mac = |row: Option<&Endpoint>| row.map_or_else(String::new, |row| row.mac.to_string());
        let (is, was) = (mac(self.row), mac(self.live));
        let what = format!("the MAC address behind it is {is}, and was {was}");
        self.finding(what)
            .means("what it sends is dropped as spoofed, and it takes nothing that it is sent")
    }
}
