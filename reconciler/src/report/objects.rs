//! Operations to objects, in the order in which they are shown.

use std::collections::BTreeMap;

use state::diff::{Delta, TableDelta};
use state::plan::{Kind, Operation, Plan};
use state::words::names::FullName;

use super::container::Touched;
use super::plural::plural;
use super::view::{Action, Counts, Object, PolicyLine};
use super::words::Words;

/// What a plan does, by object.
pub(super) struct Objects<'a> {
    /// What all containers share.
    shared: Vec<Object>,
    sysctls: Vec<Object>,
    containers: BTreeMap<&'a FullName, Touched<'a>>,
    /// Rows and programs; objects are counted later.
    pub(super) counts: Counts,
}

impl<'a> Objects<'a> {
    pub(super) fn of(plan: &'a Plan) -> Self {
        let mut objects = Self {
            shared: Vec::new(),
            sysctls: Vec::new(),
            containers: BTreeMap::new(),
            counts: Counts {
                rows_changed: plan.rows.len(),
                ..Counts::default()
            },
        };
        for name in plan.added.keys().chain(&plan.removed).chain(&plan.closed) {
            objects.touched(plan, name);
        }
        for step in &plan.steps {
            match step.operation.container() {
                Some(name) => objects
                    .touched(plan, name)
                    .take(step.phase, &step.operation),
                None => objects.take(&step.operation),
            }
            objects.count(&step.operation);
        }
        objects.shared.extend(drift(plan));
        objects
    }

    /// All but policies and peers. `words` are as they will be.
    pub(super) fn list(self, words: &Words) -> Vec<Object> {
        let containers = self.containers.into_iter().filter_map(|(name, touched)| {
            let mut object = touched.object(name)?;
            if object.action == Action::Create {
                let lines = words.policies.get(name).into_iter().flatten();
                let lines = lines.map(|line| PolicyLine {
                    sign: '+',
                    line: line.clone(),
                });
                object.policy = lines.collect();
            }
            Some(object)
        });
        let shared = self.shared.into_iter().chain(self.sysctls);
        shared.chain(containers).collect()
    }

    fn touched(&mut self, plan: &'a Plan, name: &'a FullName) -> &mut Touched<'a> {
        let new = || Touched::new(plan, name);
        self.containers.entry(name).or_insert_with(new)
    }

    fn take(&mut self, operation: &Operation) {
        let object = match operation {
            Operation::MountBpffs => {
                Object::new(Action::Create, "bpffs", "mount").saying("mode 0700")
            }
            Operation::CreateBase => Object::new(Action::Create, "datapath", "base")
                .saying("maps, blocks and timer that all containers share"),
            Operation::RestorePins => Object::new(Action::Update, "datapath", "pins")
                .saying("pins that are gone, of what is there"),
            Operation::MakeTables { tables } => {
                let tables: Vec<String> = tables.iter().map(ToString::to_string).collect();
                Object::new(Action::Create, "datapath", "tables")
                    .saying(format!("gone, and made anew: {}", tables.join(", ")))
            }
            Operation::ReplaceBlocks => Object::new(Action::Update, "datapath", "blocks")
                .saying("another build of what all containers share"),
            Operation::RemoveGuard { interface, .. } => {
                Object::new(Action::Delete, "guard", interface.clone()).saying(
                    "no container is attached there any more: what was dropped there passes, and \
                     nobody judges it",
                )
            }
            Operation::RemoveLeftovers => Object::new(Action::Delete, "datapath", "leftovers")
                .saying("blocks and registrations that nothing reaches any more"),
            Operation::SetSysctl { path, from, to } => {
                let from = from.as_deref().unwrap_or("absent");
                let object = Object::new(Action::Update, "sysctl", path.clone());
                self.sysctls.push(object.saying(format!("{from} -> {to}")));
                return;
            }
            _ => return,
        };
        self.shared.push(object);
    }

    fn count(&mut self, operation: &Operation) {
        match operation {
            Operation::Attach { .. }
            | Operation::Swap { .. }
            | Operation::ResizeConnections { attached: true, .. } => self.counts.programs += 2,
            Operation::WriteSlot { delta, .. } => {
                let put = delta.addresses.put.len()
                    + delta.endpoints.put.len()
                    + delta.policy.put.len()
                    + delta.rulesets.put.len();
                self.counts.rows_put += put;
                self.counts.rows_deleted += delta.len() - put;
            }
            _ => {}
        }
    }
}

/// What of the live slot's tables is not as its commit put it. Rows that differ because the tree is
/// another are told in the words of the policy.
fn drift(plan: &Plan) -> Option<Object> {
    if plan.kind != Kind::Commit || plan.from.generation.0 == 0 {
        return None;
    }
    let mut object = Object::new(Action::Update, "slot", plan.from.slot.to_string());
    if plan.live.as_ref() == Some(&plan.origin) {
        let mut rows = plan.rows.clone();
        rows.endpoints
            .put
            .retain(|index, _| !plan.looked_at.contains(index));
        rows.endpoints
            .delete
            .retain(|index| !plan.looked_at.contains(index));
        let tables = rows_in_words(&rows);
        if !tables.is_empty() {
            let tables = tables.join(", ");
            object = object.saying(format!("differs from what is asked for in {tables}"));
        }
    }
    if plan.foreign > 0 {
        let rows = plural(plan.foreign, "row");
        object = object.saying(format!("{rows} of others, left behind by this commit"));
    }
    if plan.denied > 0 {
        let connections = plural(plan.denied, "connection");
        object = object.saying(format!(
            "{connections} cached as the policy does not give them, judged again by this commit"
        ));
    }
    if plan.rewound {
        object = object.saying(
            "the commit record was written by others: this commit is above all that were stored",
        );
    }
    (!object.details.is_empty()).then_some(object)
}

/// What a commit changes for packets, where nothing else says it.
pub(super) fn untold(plan: &Plan, told: &[Object]) -> Option<Object> {
    let tells = |o: &Object| matches!(o.kind, "container" | "policy" | "peer" | "slot");
    if plan.kind != Kind::Commit || told.iter().any(tells) {
        return None;
    }
    let tables = rows_in_words(&plan.rows);
    let detail = format!(
        "{}: rules in another order, or other addresses of the host",
        tables.join(", ")
    );
    let object = Object::new(Action::Update, "slot", plan.to.slot.to_string());
    (!tables.is_empty()).then(|| object.saying(detail))
}

fn rows_in_words(rows: &Delta) -> Vec<String> {
    fn table<K: Ord + Clone, V: PartialEq + Clone>(
        table: &TableDelta<K, V>,
        what: &str,
    ) -> Option<String> {
        (!table.is_empty()).then(|| plural(table.len(), what))
    }
    [
        table(&rows.addresses, "address row"),
        table(&rows.endpoints, "endpoint row"),
        table(&rows.policy, "policy row"),
        table(&rows.rulesets, "ruleset row"),
    ]
    .into_iter()
    .flatten()
    .collect()
}
