//! Two views compared: each pair of classes once, then gathered into as few changes as say it all.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::rc::Rc;

use super::ports::PortSet;
use super::regions::{self, Range};
use super::view::{Seat, View};
use crate::words::address::{Cidr, Family};
use crate::words::identity::{RulesetId, SubjectId};
use crate::words::names::FullName;
use crate::words::verdict::{ByDirection, Direction};

/// What becomes of flows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Became {
    /// They were denied, and are allowed.
    Allowed,
    /// They were allowed, and are denied.
    Denied,
}

/// One end of flows.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Party {
    /// A container, of any host.
    Container(FullName),
    /// Addresses that are no container's.
    Outside(Range),
}

/// Flows from each of some to each of others that become allowed, or denied.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Change {
    /// With whom they begin to speak.
    pub to: Vec<Party>,
    /// Who begins.
    pub from: Vec<Party>,
    /// The family, where the other one does not change alike. `None` is every family in which both
    /// ends have an address.
    pub family: Option<Family>,
    /// What becomes of them.
    pub became: Became,
    /// On which ports.
    pub ports: PortSet,
}

/// What changes from one tree to another, by responder. Without an old tree, everything that the
/// new one allows.
pub fn changes(old: Option<&View>, new: &View) -> Vec<Change> {
    let both = Both { old, new };
    let classes = both.classes();
    let may_differ = ByDirection::from_fn(|direction| both.may_differ(&classes, direction));
    let mut memory = Memory::default();
    let mut found = Gathered::default();
    // Most pairs of classes are alike in both, and there may be a great many of them.
    let every: Vec<usize> = (0..classes.len()).collect();
    let differing = every.iter().copied().filter(|to| may_differ.ingress[*to]);
    let differing: Vec<usize> = differing.collect();
    for (from, initiator) in classes.iter().enumerate() {
        let responders = match may_differ.egress[from] {
            true => &every,
            false => &differing,
        };
        for &to in responders {
            let responder = &classes[to];
            if initiator.is_outside() && responder.is_outside() || alone(from, to, initiator) {
                continue;
            }
            let by_family =
                Family::ALL.map(|family| both.pair(initiator, responder, family, &mut memory));
            found.take(from, to, by_family);
        }
    }
    found.changes(&classes)
}

/// A class of one container, and itself.
fn alone(from: usize, to: usize, class: &Class) -> bool {
    from == to && class.parties.len() == 1
}

/// Parties that neither view tells apart.
struct Class {
    parties: Vec<Party>,
    /// In the old view and in the new one, by family.
    seats: [ByFamily; 2],
}

type ByFamily = [Option<Seat>; 2];

impl Class {
    fn seat(&self, view: usize, family: Family) -> Option<&Seat> {
        self.seats[view][family as usize].as_ref()
    }

    /// Whether flows of it may be judged otherwise, by what it judges itself or by what others know
    /// it as. `touched`: of whom some row differs.
    fn may_differ(&self, touched: &BTreeSet<(usize, SubjectId)>) -> bool {
        let [old, new] = &self.seats;
        let mut own = new.iter().flatten().filter_map(Seat::subject);
        old != new || own.any(|subject| touched.contains(&subject))
    }

    fn is_outside(&self) -> bool {
        matches!(self.parties.first(), Some(Party::Outside(_)))
    }
}

struct Both<'a> {
    old: Option<&'a View>,
    new: &'a View,
}

/// Port sets by whose tables they stand in: of the old view (0) or the new one, host, ruleset.
#[derive(Default)]
struct Memory(BTreeMap<(usize, usize, Option<RulesetId>), Rc<PortSet>>);

/// What a pair gains and loses in one family; `None` where it has no flow there.
type Differs = Option<(PortSet, PortSet)>;

impl Both<'_> {
    fn views(&self) -> [Option<&View>; 2] {
        [self.old, Some(self.new)]
    }

    /// Of each class, whether what it judges in this direction, or is known as, may differ. A flow
    /// between two of which neither does is judged by both views alike.
    fn may_differ(&self, classes: &[Class], direction: Direction) -> Vec<bool> {
        let touched = self.touched(direction);
        let may = classes.iter().map(|class| class.may_differ(&touched));
        may.collect()
    }

    /// The subjects of which a row differs in one direction, each with the host that judges it.
    fn touched(&self, direction: Direction) -> BTreeSet<(usize, SubjectId)> {
        let Some(old) = self.old else {
            return BTreeSet::new();
        };
        let mut touched = BTreeSet::new();
        let both = old.tables.iter().zip(&self.new.tables);
        for (home, (old, new)) in both.enumerate() {
            for (one, other) in [(old, new), (new, old)] {
                let differ = one.policy.iter().filter(|(key, ruleset)| {
                    key.direction == direction && other.policy.get(key) != Some(ruleset)
                });
                touched.extend(differ.map(|(key, _)| (home, key.subject)));
            }
        }
        touched
    }

    fn classes(&self) -> Vec<Class> {
        let mut classes: BTreeMap<(bool, [ByFamily; 2]), Vec<Party>> = BTreeMap::new();
        let views = || self.views().into_iter().flatten();
        let names: BTreeSet<&FullName> =
            views().flat_map(|view| view.containers().keys()).collect();
        for name in names {
            let seats = self
                .views()
                .map(|view| Family::ALL.map(|family| view?.seat(name, family)));
            let party = Party::Container(name.clone());
            classes.entry((false, seats)).or_default().push(party);
        }
        let taken: BTreeSet<IpAddr> = views()
            .flat_map(|view| view.containers().values())
            .flat_map(|container| container.addresses.iter().copied())
            .collect();
        let rows = views().flat_map(|view| view.tables.iter());
        let prefixes = rows.flat_map(|tables| tables.addresses.keys().copied());
        for piece in regions::cut(prefixes) {
            if taken.contains(&piece.sample) && piece.cidr == Cidr::from(piece.sample) {
                continue;
            }
            let own = Family::of(piece.sample);
            let seats = self.views().map(|view| {
                Family::ALL.map(|family| {
                    (family == own).then_some(())?;
                    Some(view?.outside(piece.sample))
                })
            });
            let mut except = piece.below;
            except.retain(|cidr| !taken.contains(&cidr.addr()) || *cidr != Cidr::from(cidr.addr()));
            let party = Party::Outside(Range {
                cidr: piece.cidr,
                except,
            });
            classes.entry((true, seats)).or_default().push(party);
        }
        classes
            .into_iter()
            .map(|((_, seats), parties)| Class { parties, seats })
            .collect()
    }

    fn pair(&self, from: &Class, to: &Class, family: Family, memory: &mut Memory) -> Differs {
        let mut sets = [None, None];
        let mut rulesets = [None, None];
        for (index, view) in self.views().into_iter().enumerate() {
            let (Some(view), Some(from), Some(to)) =
                (view, from.seat(index, family), to.seat(index, family))
            else {
                continue;
            };
            let egress = view.ruleset(from, Direction::Egress, to);
            let ingress = view.ruleset(to, Direction::Ingress, from);
            rulesets[index] = Some((egress.map(|r| r.1), ingress.map(|r| r.1)));
            let egress = memory.ports(index, view, egress);
            let ingress = memory.ports(index, view, ingress);
            sets[index] = Some((egress, ingress));
        }
        if sets.iter().all(Option::is_none) {
            return None;
        }
        // Rulesets are named by their content.
        if rulesets[0] == rulesets[1] {
            return Some(Default::default());
        }
        let [old, new] = sets.map(|sets| match sets {
            Some((egress, ingress)) => egress.and(&ingress),
            None => PortSet::default(),
        });
        Some((new.without(&old), old.without(&new)))
    }
}

impl Memory {
    fn ports(
        &mut self,
        index: usize,
        view: &View,
        ruleset: Option<(usize, Option<RulesetId>)>,
    ) -> Rc<PortSet> {
        let Some((home, ruleset)) = ruleset else {
            let none = (index, usize::MAX, None);
            let everything = || Rc::new(PortSet::everything());
            return self.0.entry(none).or_insert_with(everything).clone();
        };
        let made = || {
            let ports = ruleset.map(|ruleset| PortSet::of(&view.tables[home], ruleset));
            Rc::new(ports.unwrap_or_default())
        };
        let key = (index, home, ruleset);
        self.0.entry(key).or_insert_with(made).clone()
    }
}

type Kind = (Option<Family>, Became, PortSet);

/// Changes by responder's class, then by initiators.
#[derive(Default)]
struct Gathered(BTreeMap<(usize, Kind), BTreeSet<usize>>);

impl Gathered {
    fn take(&mut self, from: usize, to: usize, by_family: [Differs; 2]) {
        let families: Vec<(Option<Family>, (PortSet, PortSet))> = match by_family {
            [Some(v4), Some(v6)] if v4 == v6 => vec![(None, v4)],
            [Some(v4), Some(v6)] => vec![(Some(Family::V4), v4), (Some(Family::V6), v6)],
            [Some(only), None] | [None, Some(only)] => vec![(None, only)],
            [None, None] => Vec::new(),
        };
        for (family, (gained, lost)) in families {
            for (became, ports) in [(Became::Allowed, gained), (Became::Denied, lost)] {
                if !ports.is_empty() {
                    let kind = (family, became, ports);
                    self.0.entry((to, kind)).or_default().insert(from);
                }
            }
        }
    }

    fn changes(self, classes: &[Class]) -> Vec<Change> {
        let mut alike: BTreeMap<(BTreeSet<usize>, Kind), Vec<usize>> = BTreeMap::new();
        for ((to, kind), from) in self.0 {
            alike.entry((from, kind)).or_default().push(to);
        }
        let parties = |indices: &mut dyn Iterator<Item = usize>| {
            let mut parties: Vec<Party> = indices
                .flat_map(|index| classes[index].parties.iter().cloned())
                .collect();
            parties.sort();
            parties
        };
        let mut changes: Vec<Change> = alike
            .into_iter()
            .map(|((from, (family, became, ports)), to)| Change {
                to: parties(&mut to.into_iter()),
                from: parties(&mut from.into_iter()),
                family,
                became,
                ports,
            })
            .collect();
        changes.sort();
        changes
    }
}
