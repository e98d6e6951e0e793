//! A plan as a person thinks of it: objects that are added, changed or removed. The text and the
//! JSON are both made from this, so neither can say what the other does not.

use std::collections::BTreeMap;

use serde::Serialize;
use state::diff::Detached;
use state::plan::{Kind, Operation, Plan};
use state::target::Constants;
use state::target::host::Network;
use state::target::programs::BuildHash;
use state::words::names::FullName;
use state::words::verdict::Direction;

use super::words::{self, Words};

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
    /// What it is: `container`, `policy`, `sysctl`, `bpffs`, `datapath`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// Its name.
    pub name: String,
    /// What changes, a line each.
    pub details: Vec<String>,
    /// Lines of policy in words that go.
    pub removed: Vec<String>,
    /// Lines of policy in words that come.
    pub added: Vec<String>,
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
    /// Rows that are written to the slot being prepared.
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
    /// The generation that is live.
    pub generation: u64,
    /// The generation after it; the same where none is committed.
    pub next_generation: u64,
    /// The slot that will be live.
    pub slot: String,
    /// What becomes of what.
    pub objects: Vec<Object>,
    /// Who becomes open or isolated.
    pub openness: Vec<Openness>,
    /// What a person should know.
    pub warnings: Vec<String>,
    /// How many of what.
    pub counts: Counts,
}

/// Makes the view. `old` and `new` are the policies in words, or rule ids in place of both.
pub fn view(plan: &Plan, old: &Words, new: &Words) -> View {
    let mut objects = Objects::default();
    for step in &plan.steps {
        objects.take(&step.operation);
    }
    for (container, lines) in words::changes(old, new) {
        let object = objects.of(Action::Update, "policy", container.to_string());
        for line in lines {
            let list = if line.added {
                &mut object.added
            } else {
                &mut object.removed
            };
            list.push(line.text);
        }
    }
    let list: Vec<Object> = objects.map.into_values().collect();
    let count = |action| list.iter().filter(|o| o.action == action).count();
    let counts = Counts {
        create: count(Action::Create),
        update: count(Action::Update),
        delete: count(Action::Delete),
        ..objects.counts
    };
    View {
        kind: match plan.kind {
            Kind::Nothing => "nothing",
            Kind::Rename => "rename",
            Kind::Mend => "mend",
            Kind::Commit => "commit",
        },
        commit: plan.origin.commit.clone(),
        tree: plan.origin.tree.clone(),
        live_commit: plan.live_commit.clone(),
        generation: plan.from.generation.0,
        next_generation: plan.to.generation.0,
        slot: plan.to.slot.to_string(),
        objects: list,
        openness: plan
            .opens
            .iter()
            .map(|change| Openness {
                container: change.container.to_string(),
                direction: direction(change.direction),
                open: change.open,
            })
            .collect(),
        warnings: plan.warnings.clone(),
        counts,
    }
}

fn direction(direction: Direction) -> String {
    direction.to_string()
}

/// Objects by kind and name, in the order in which they are shown.
#[derive(Default)]
struct Objects {
    map: BTreeMap<(usize, String), Object>,
    counts: Counts,
}

/// The order in which kinds are shown.
const KINDS: [&str; 5] = ["bpffs", "datapath", "sysctl", "container", "policy"];

impl Objects {
    fn of(&mut self, action: Action, kind: &'static str, name: String) -> &mut Object {
        let rank = KINDS.iter().position(|k| *k == kind).unwrap_or(KINDS.len());
        self.map
            .entry((rank, name.clone()))
            .or_insert_with(|| Object {
                action,
                kind,
                name,
                details: Vec::new(),
                removed: Vec::new(),
                added: Vec::new(),
            })
    }

    fn container(&mut self, name: &FullName, action: Action, detail: String) {
        self.of(action, "container", name.to_string())
            .details
            .push(detail);
    }

    fn take(&mut self, operation: &Operation) {
        match operation {
            Operation::MountBpffs => {
                self.of(Action::Create, "bpffs", "mount".into())
                    .details
                    .push("mount bpffs, mode 0700".into());
            }
            Operation::CreateBase => {
                self.of(Action::Create, "datapath", "base".into())
                    .details
                    .push("maps, blocks and timer that all containers share".into());
            }
            Operation::ReplaceBlocks => {
                self.of(Action::Update, "datapath", "blocks".into())
                    .details
                    .push("the shared blocks are another build".into());
            }
            Operation::SetSysctl { path, from, to } => {
                let from = from.as_deref().unwrap_or("absent");
                self.of(Action::Update, "sysctl", path.clone())
                    .details
                    .push(format!("{from} -> {to}"));
            }
            Operation::WriteSlot { delta, .. } => {
                let puts = [
                    delta.addresses.put.len(),
                    delta.endpoints.put.len(),
                    delta.policy.put.len(),
                    delta.rulesets.put.len(),
                ];
                self.counts.rows_put += puts.iter().sum::<usize>();
                self.counts.rows_deleted += delta.len() - puts.iter().sum::<usize>();
            }
            other => self.take_container(other),
        }
    }

    fn take_container(&mut self, operation: &Operation) {
        match operation {
            Operation::EnsureNetwork {
                container,
                network,
                lacks,
            } if lacks.missing => {
                self.container(container, Action::Create, network_in_words(network));
            }
            Operation::EnsureNetwork {
                container, lacks, ..
            } => {
                for fault in lacks.in_words() {
                    self.container(container, Action::Update, format!("mend: {fault}"));
                }
            }
            Operation::CreateConnections {
                container,
                endpoint,
                quota,
            } => {
                let detail = format!("endpoint {endpoint}, up to {quota} TCP connections");
                self.container(container, Action::Create, detail);
            }
            Operation::ResizeConnections {
                container,
                from,
                to,
                ..
            } => {
                let detail = format!("TCP connections: up to {from} -> {to}");
                self.container(container, Action::Update, detail);
            }
            Operation::Attach {
                container,
                build,
                why,
                ..
            } => {
                self.counts.programs += 2;
                let detail = attach(*build, *why);
                self.container(container, Action::Update, detail);
            }
            Operation::Swap {
                container,
                build,
                from,
                constants,
            } => self.take_swap(container, *build, from.as_ref(), constants),
            Operation::TrimNetwork { container, .. } => {
                self.container(
                    container,
                    Action::Update,
                    "remove its former addresses".into(),
                );
            }
            Operation::Remove { container } => {
                let detail = "interface, network namespace, programs and maps".into();
                self.container(container, Action::Delete, detail);
            }
            _ => {}
        }
    }
}

impl Objects {
    fn take_swap(
        &mut self,
        container: &FullName,
        build: BuildHash,
        from: Option<&Constants>,
        constants: &Constants,
    ) {
        self.counts.programs += 2;
        let Some(from) = from else {
            let detail = format!("swap in programs {}", short(&build.to_string()));
            return self.container(container, Action::Update, detail);
        };
        for (old, new) in constants_in_words(from, constants) {
            self.container(container, Action::Update, format!("{old} -> {new}"));
        }
    }
}

/// What differs between two sets of constants.
fn constants_in_words(from: &Constants, to: &Constants) -> Vec<(String, String)> {
    fn pair<T: ToString + PartialEq>(
        what: &str,
        a: Option<T>,
        b: Option<T>,
    ) -> Option<(String, String)> {
        let word = |v: Option<T>| v.map_or_else(|| "none".to_owned(), |v| v.to_string());
        (a != b).then(|| (format!("{what} {}", word(a)), word(b)))
    }
    [
        pair("address", from.v4, to.v4),
        pair("address", from.v6, to.v6),
        pair("MAC", Some(from.mac), Some(to.mac)),
        pair("gateway MAC", Some(from.gateway_mac), Some(to.gateway_mac)),
        pair("endpoint", Some(from.endpoint), Some(to.endpoint)),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn network_in_words(network: &Network) -> String {
    let addresses: Vec<String> = network.addresses.iter().map(ToString::to_string).collect();
    format!(
        "network namespace {}, interface {}, {}, MTU {}",
        network.namespace,
        network.interface,
        addresses.join(" and "),
        network.mtu
    )
}

/// What is attached, and why where something else than an absence is mended.
fn attach(build: BuildHash, why: Detached) -> String {
    let attach = format!("attach programs {}", short(&build.to_string()));
    match why {
        Detached::Missing => attach,
        why => format!("{attach}: {why}"),
    }
}

/// The first twelve characters of a hash.
pub fn short(hash: &str) -> &str {
    hash.get(..12).unwrap_or(hash)
}
