//! A plan as a person thinks of it: objects that are added, changed or removed. The text and the
//! JSON are both made from this, so neither can say what the other does not.

use serde::Serialize;
use state::plan::back::Way;
use state::plan::cuts::Cuts;
use state::plan::{Kind, Plan};
use state::words::verdict::ByDirection;

use super::objects::{Objects, untold};
use super::reach::FlowChange;
use super::words::{self, Line, Words};

/// What becomes of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// It is made.
    Create,
    /// It is changed.
    Update,
    /// It is removed.
    Delete,
}

/// One object and what becomes of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Object {
    /// What becomes of it.
    pub action: Action,
    /// What it is: `bpffs`, `datapath`, `slot`, `guard`, `sysctl`, `container`, `peer` or `policy`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// Its name; of a policy, the first container that it changes for.
    pub name: String,
    /// Of a policy: every container that it changes for in the same way.
    pub containers: Vec<String>,
    /// What changes, a line each.
    pub details: Vec<String>,
    /// Of a container that is made: in which directions no policy isolates it.
    pub open: Option<Open>,
    /// Of a container that is made, of a peer and of a policy: lines that come and go, in words.
    pub policy: Vec<PolicyLine>,
}

/// In which directions no policy isolates a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Open {
    /// Towards it.
    pub ingress: bool,
    /// From it.
    pub egress: bool,
}

/// One line of a policy in words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PolicyLine {
    /// `+` where it comes, `-` where it goes.
    pub sign: char,
    /// The line.
    pub line: String,
}

/// A container that becomes open or isolated in a direction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Openness {
    /// Which.
    pub container: String,
    /// `ingress` or `egress`.
    pub direction: String,
    /// Whether it becomes open; else isolated.
    pub open: bool,
}

/// A container that is absent because what it is attached to is not there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Missing {
    /// Which.
    pub container: String,
    /// Why, in words.
    pub why: String,
}

/// How many live connections a plan cuts, and the first of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct CutsView {
    /// How many.
    pub count: usize,
    /// Of how many that go on in live.
    pub of: usize,
    /// The first of those that the plan denies, by who began them.
    pub named: Vec<String>,
    /// Those of which it is only known how many: a smaller quota has no room for them.
    pub forgotten: Vec<ForgottenView>,
}

/// Connections of a container beyond its quota.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ForgottenView {
    /// Whose.
    pub container: String,
    /// How many.
    pub count: usize,
    /// What its quota becomes.
    pub quota: u32,
}

impl CutsView {
    /// How many are named.
    const NAMED: usize = 10;

    /// From what was computed.
    pub fn of(cuts: &Cuts) -> Self {
        let named = cuts.cut.iter().take(Self::NAMED);
        Self {
            count: cuts.count(),
            of: cuts.of,
            named: named.map(ToString::to_string).collect(),
            forgotten: cuts
                .forgotten
                .iter()
                .filter(|(_, forgotten)| forgotten.count > 0)
                .map(|(container, forgotten)| ForgottenView {
                    container: container.to_string(),
                    count: forgotten.count,
                    quota: forgotten.quota,
                })
                .collect(),
        }
    }
}

/// By which way a rollback goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Rollback {
    /// `store` or `apply`.
    pub by: &'static str,
    /// Why not by a store.
    pub because: Option<String>,
    /// The commit that is gone back from, which is held after it.
    pub holds: String,
}

impl Rollback {
    fn of(way: &Way, held: &[String]) -> Self {
        let (by, because) = match way {
            Way::Store => ("store", None),
            Way::Apply(obstacle) => ("apply", Some(obstacle.to_string())),
        };
        let holds = held.first().cloned().unwrap_or_default();
        Self { by, because, holds }
    }
}

/// How many of what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Counts {
    /// Objects that are made.
    pub create: usize,
    /// Objects that are changed.
    pub update: usize,
    /// Objects that are removed.
    pub delete: usize,
    /// Rows in which packets will find something else than now.
    pub rows_changed: usize,
    /// Rows that are written to the slot being prepared, which catches up with the live one.
    pub rows_put: usize,
    /// Rows that are deleted there.
    pub rows_deleted: usize,
    /// Programs that are loaded.
    pub programs: usize,
}

/// A plan as a person thinks of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct View {
    /// `nothing`, `rename`, `mend` or `commit`.
    pub kind: &'static str,
    /// The commit of the tree, whole.
    pub commit: String,
    /// The tree's own hash, whole.
    pub tree: String,
    /// The live commit, whole; empty before the first.
    pub live_commit: String,
    /// Its tree; empty before the first commit.
    pub live_tree: String,
    /// The generation that is live.
    pub generation: u64,
    /// The generation after it; the same where none is committed.
    pub next_generation: u64,
    /// The slot that will be live.
    pub slot: String,
    /// The last run ended before it had settled: this one completes it.
    pub unsettled: bool,
    /// Of a rollback: by which way.
    pub rollback: Option<Rollback>,
    /// What becomes of what.
    pub objects: Vec<Object>,
    /// Which flows become allowed or denied; `None` where nothing is live yet, or its tree cannot
    /// be read.
    pub flows: Option<Vec<FlowChange>>,
    /// Which live connections are cut.
    pub cuts: CutsView,
    /// Who becomes open or isolated.
    pub openness: Vec<Openness>,
    /// Containers of this host that are not there.
    pub missing: Vec<Missing>,
    /// What a person should know.
    pub warnings: Vec<String>,
    /// How many of what.
    pub counts: Counts,
}

impl Object {
    /// One of which nothing is to be said yet.
    pub(super) fn new(action: Action, kind: &'static str, name: impl Into<String>) -> Self {
        Self {
            action,
            kind,
            name: name.into(),
            containers: Vec::new(),
            details: Vec::new(),
            open: None,
            policy: Vec::new(),
        }
    }

    /// One with one line to be said of it.
    pub(super) fn saying(mut self, detail: impl Into<String>) -> Self {
        self.details.push(detail.into());
        self
    }
}

impl From<ByDirection<bool>> for Open {
    fn from(open: ByDirection<bool>) -> Self {
        Self {
            ingress: open.ingress,
            egress: open.egress,
        }
    }
}

impl From<Line> for PolicyLine {
    fn from(line: Line) -> Self {
        Self {
            sign: if line.added { '+' } else { '-' },
            line: line.text,
        }
    }
}

/// The containers of other hosts of which something else is known.
fn peers(old: &Words, new: &Words) -> Vec<Object> {
    let changes = words::peers(old, new).into_iter();
    changes
        .map(|(name, has, lines)| {
            let action = match has {
                [false, _] => Action::Create,
                [_, false] => Action::Delete,
                _ => Action::Update,
            };
            Object {
                policy: lines.into_iter().map(PolicyLine::from).collect(),
                ..Object::new(action, "peer", name.to_string())
            }
        })
        .collect()
}

/// Makes the view. `old` and `new` are the policies in words, or rule ids in place of both.
pub fn view(plan: &Plan, old: &Words, new: &Words) -> View {
    let objects = Objects::of(plan);
    let (mut counts, mut list) = (objects.counts, objects.list(new));
    list.extend(peers(old, new));
    for (containers, lines) in words::changes(old, new) {
        let name = containers.first().map(ToString::to_string);
        let mut object = Object::new(Action::Update, "policy", name.unwrap_or_default());
        object.containers = containers.iter().map(ToString::to_string).collect();
        object.policy = lines.into_iter().map(PolicyLine::from).collect();
        list.push(object);
    }
    list.extend(untold(plan, &list));
    let live = plan.live.as_ref();
    let count = |action| list.iter().filter(|o| o.action == action).count();
    counts.create = count(Action::Create);
    counts.update = count(Action::Update);
    counts.delete = count(Action::Delete);
    View {
        kind: match plan.kind {
            Kind::Nothing => "nothing",
            Kind::Rename => "rename",
            Kind::Mend => "mend",
            Kind::Commit => "commit",
        },
        commit: plan.origin.commit.clone(),
        tree: plan.origin.tree.clone(),
        live_commit: live.map_or_else(String::new, |live| live.commit.clone()),
        live_tree: live.map_or_else(String::new, |live| live.tree.clone()),
        generation: plan.from.generation.0,
        next_generation: plan.to.generation.0,
        slot: plan.to.slot.to_string(),
        unsettled: plan.unsettled,
        rollback: plan.back.as_ref().map(|way| Rollback::of(way, &plan.held)),
        objects: list,
        flows: None,
        cuts: CutsView::default(),
        openness: plan
            .opens
            .iter()
            .map(|change| Openness {
                container: change.container.to_string(),
                direction: change.direction.to_string(),
                open: change.open,
            })
            .collect(),
        missing: plan
            .missing
            .iter()
            .map(|(container, why)| Missing {
                container: container.to_string(),
                why: why.clone(),
            })
            .collect(),
        warnings: plan.warnings.clone(),
        counts,
    }
}

#[cfg(test)]
mod tests {
    use state::diff::Delta;
    use state::plan::Origin;
    use state::target::tables::PolicyKey;
    use state::words::generation::{CommitRecord, Generation, Slot};
    use state::words::identity::{IdentityId, RulesetId, SubjectId};
    use state::words::names::FullName;
    use state::words::verdict::Direction;

    use super::*;
    use crate::report::style::Style;
    use crate::report::text;

    fn origin(commit: &str) -> Origin {
        Origin {
            commit: commit.to_owned(),
            tree: commit.to_owned(),
        }
    }

    /// A commit that changes one row of the policy table, and touches nothing on the host.
    fn commit() -> Plan {
        let mut rows = Delta::default();
        let key = PolicyKey {
            subject: SubjectId(1),
            direction: Direction::Ingress,
            identity: IdentityId(2),
        };
        rows.policy.put.insert(key, RulesetId(3));
        let record = |generation, slot| CommitRecord {
            generation: Generation(generation),
            slot,
        };
        Plan {
            kind: Kind::Commit,
            origin: origin("bb"),
            from: record(1, Slot::A),
            to: record(2, Slot::B),
            live: Some(origin("aa")),
            held: Vec::new(),
            back: None,
            steps: Vec::new(),
            added: Default::default(),
            removed: Default::default(),
            attached: Default::default(),
            missing: Default::default(),
            closed: Default::default(),
            looked_at: Default::default(),
            opens: Vec::new(),
            rows,
            foreign: 0,
            denied: 0,
            rewound: false,
            unsettled: false,
            warnings: Vec::new(),
        }
    }

    fn words(peers: &[(&str, &[&str])]) -> Words {
        let peers = peers.iter().map(|(name, lines)| {
            let lines = lines.iter().map(ToString::to_string).collect();
            (FullName::from_slashed(name).unwrap(), lines)
        });
        Words {
            peers: peers.collect(),
            ..Words::default()
        }
    }

    #[test]
    fn containers_of_other_hosts_are_told() {
        let old = words(&[
            ("a/goes", &["address 10.0.0.1"]),
            ("a/moves", &["address 10.0.0.2", "peers see app=web"]),
            ("a/stays", &["address 10.0.0.3"]),
        ]);
        let new = words(&[
            ("a/comes", &["address 10.0.0.1"]),
            ("a/moves", &["address 10.0.0.2", "peers see app=db"]),
            ("a/stays", &["address 10.0.0.3"]),
        ]);
        let view = view(&commit(), &old, &new);
        let expected = "\
bb becomes generation 2, slot B; live is aa, generation 1

+ peer a/comes
  + address 10.0.0.1

- peer a/goes
  - address 10.0.0.1

~ peer a/moves
  - peers see app=web
  + peers see app=db

Plan: 1 to create, 1 to change, 1 to remove; 1 row to change, 0 programs to load.
";
        assert_eq!(text::plan(&view, Style::default()), expected);
    }

    /// Rules in another order are told by other ids, and by no word.
    #[test]
    fn no_commit_changes_rows_and_says_nothing() {
        let view = view(&commit(), &words(&[]), &words(&[]));
        let expected = "\
bb becomes generation 2, slot B; live is aa, generation 1

~ slot B
    1 policy row: rules in another order, or other addresses of the host

Plan: 0 to create, 1 to change, 0 to remove; 1 row to change, 0 programs to load.
";
        assert_eq!(text::plan(&view, Style::default()), expected);
    }
}
