//! What changes between two trees is what both say of each pair, no more and no less.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::net::IpAddr;

use proptest::prelude::{Strategy, any};
use state::desired::{self, Desired, resolve};
use state::documents::Documents;
use state::reach::{Became, Change, Party, View, changes};
use state::target::Memory;
use state::words::address::Family;
use state::words::flow::Flow;
use state::words::names::FullName;
use state::words::verdict::{Decision, Direction};

use super::datapath;
use crate::random;
use crate::random::run::hold;

/// One end of a flow, as people name it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum End {
    Container(FullName),
    Outside(IpAddr),
}

/// A tree as single flows are asked of it, one host after the other.
struct Asked<'a> {
    documents: &'a Documents,
    here: Desired,
}

impl<'a> Asked<'a> {
    fn of(documents: &'a Documents) -> Self {
        let (here, _) = resolve(documents, &random::host());
        Self { documents, here }
    }

    fn address(&self, end: &End, family: Family) -> Option<IpAddr> {
        let in_family = |address: &IpAddr| Family::of(*address) == family;
        match end {
            End::Outside(address) => Some(*address).filter(in_family),
            End::Container(name) => {
                let container = self.here.containers.get(name)?;
                container.addresses.iter().copied().find(in_family)
            }
        }
    }

    /// Whether a flow between two ends is allowed; not where one of them does not exist.
    fn allows(&self, from: &End, to: &End, family: Family, protocol: u8, port: u16) -> bool {
        let ends = (self.address(from, family), self.address(to, family));
        let (Some(source), Some(destination)) = ends else {
            return false;
        };
        let flow = Flow {
            source,
            destination,
            protocol,
            port,
        };
        [(from, Direction::Egress), (to, Direction::Ingress)]
            .into_iter()
            .all(|(end, direction)| self.decides(end, direction, &flow))
    }

    /// What the host of one end says.
    fn decides(&self, end: &End, direction: Direction, flow: &Flow) -> bool {
        let End::Container(name) = end else {
            return true;
        };
        let host = self.here.containers[name].host.clone();
        let host = host.unwrap_or_else(random::host);
        let (judge, _) = resolve(self.documents, &host);
        let judged = desired::judge(&judge, &BTreeSet::new(), flow);
        matches!(judged.verdict.get(direction), Decision::Permit(_))
    }
}

fn is(party: &Party, end: &End) -> bool {
    match (party, end) {
        (Party::Container(one), End::Container(other)) => one == other,
        (Party::Outside(range), End::Outside(address)) => {
            let excepted = range.except.iter().any(|except| except.contains(address));
            range.cidr.contains(address) && !excepted
        }
        _ => false,
    }
}

/// What the changes say becomes of one flow; more than one answer where they contradict.
fn said(
    changes: &[Change],
    from: &End,
    to: &End,
    family: Family,
    protocol: u8,
    port: u16,
) -> Vec<Became> {
    changes
        .iter()
        .filter(|change| change.family.is_none_or(|only| only == family))
        .filter(|change| change.ports.holds(protocol, port))
        .filter(|change| change.from.iter().any(|party| is(party, from)))
        .filter(|change| change.to.iter().any(|party| is(party, to)))
        .map(|change| change.became)
        .collect()
}

/// Two trees: of each other's kind, or the same with other policies, or with other containers.
fn pairs() -> impl Strategy<Value = (Documents, Documents, Vec<Flow>)> {
    let cases = (random::case(24), random::case(24), any::<u8>());
    cases.prop_map(|(old, mut new, mix)| {
        match mix % 4 {
            0 => {}
            1 => new.documents.containers = old.documents.containers.clone(),
            2 => new.documents.policies = old.documents.policies.clone(),
            _ => {
                // One policy less, and one more.
                let policies = new.documents.policies;
                new.documents = old.documents.clone();
                new.documents.policies.pop();
                let last = policies.into_iter().last();
                let known = |name| new.documents.policies.iter().any(|p| p.name == name);
                let last = last.filter(|policy| !known(policy.name.clone()));
                new.documents.policies.extend(last);
            }
        }
        let flows = old.flows.into_iter().chain(new.flows).collect();
        (old.documents, new.documents, flows)
    })
}

#[test]
fn changes_are_what_both_trees_say_pair_by_pair() {
    let (allowed, denied, same) = (Cell::new(0), Cell::new(0), Cell::new(0));
    let show = |(old, new, _): &(Documents, Documents, Vec<Flow>)| {
        let (old, new) = (random::show::tree(old), random::show::tree(new));
        format!("old:\n{old}\nnew:\n{new}")
    };
    hold(400, pairs(), show, |(old, new, flows)| {
        let mut memory = Memory::default();
        let mut view = |documents| {
            let (desired, _) = desired::resolve(documents, &random::host());
            View::of(documents, &desired, &datapath(), &mut memory).expect("it fits")
        };
        let changes = changes(Some(&view(old)), &view(new));
        let (old, new) = (Asked::of(old), Asked::of(new));
        for flow in flows {
            let end = |address: IpAddr| {
                let name = old.here.by_address.get(&address);
                let name = name.or_else(|| new.here.by_address.get(&address));
                name.map_or(End::Outside(address), |name| End::Container(name.clone()))
            };
            let (from, to) = (end(flow.source), end(flow.destination));
            let outside = |end: &End| matches!(end, End::Outside(_));
            let family = Family::of(flow.source);
            let speak = |tree: &Asked| {
                let mut ends = [&from, &to].into_iter();
                ends.all(|end| tree.address(end, family).is_some())
            };
            if from == to || outside(&from) && outside(&to) || !speak(&old) && !speak(&new) {
                continue;
            }
            let ask = |tree: &Asked| tree.allows(&from, &to, family, flow.protocol, flow.port);
            let (expected, count) = match (ask(&old), ask(&new)) {
                (false, true) => (vec![Became::Allowed], &allowed),
                (true, false) => (vec![Became::Denied], &denied),
                _ => (Vec::new(), &same),
            };
            count.set(count.get() + 1);
            let found = said(&changes, &from, &to, family, flow.protocol, flow.port);
            if found != expected {
                return Err(format!("{flow}: {expected:?}, not {found:?}\n{changes:#?}"));
            }
        }
        Ok(())
    });
    // A law over trees that change little would show little.
    let counts = [&allowed, &denied, &same].map(Cell::get);
    assert!(counts.iter().all(|count| *count > 200), "{counts:?}");
}
