//! What a run was about, for whoever makes several.

use state::plan::{Operation, Plan};

use crate::host::anchors::{self, Anchor};
use crate::host::mounts::Mounts;
use crate::pipeline::Understood;
use crate::watch::schedule::Seen;

/// What a run was about, as far as it came.
#[derive(Clone, Debug, Default)]
pub(crate) struct About {
    /// The commit that was to become live; empty where none was found.
    pub(crate) commit: String,
    /// What it planned for; `None` where it did not read the tree that is named.
    pub(crate) read: Option<Seen>,
    /// Whether another run was under way, for which it made way.
    pub(crate) stepped_aside: bool,
    /// What this host's containers hang on; `None` where that did not become known.
    pub(crate) anchors: Option<Vec<Anchor>>,
}

impl About {
    /// Of a tree and its plan; without one it came to none. `watched`: what is compared later with
    /// what is there then.
    pub(super) fn of(
        tree: &Understood,
        plan: Option<&Plan>,
        watched: &[Anchor],
        mounts: Mounts,
    ) -> Self {
        let commit = tree.source.id.commit().to_owned();
        // What it makes may be gone again when somebody looks, as if nothing had been done.
        let host = match plan.is_some_and(makes) {
            true => String::new(),
            false => anchors::seen(watched, mounts),
        };
        let read = Seen {
            tree: tree.source.id.named().to_string(),
            host,
            suspended: false,
        };
        let here = tree.desired.containers_here();
        let here = here.map(|container| (&container.name, &container.attach));
        Self {
            commit,
            read: Some(read),
            stepped_aside: false,
            anchors: tree.is_valid().then(|| anchors::of(here)),
        }
    }
}

/// Whether it makes something of what containers hang on.
fn makes(plan: &Plan) -> bool {
    let mut steps = plan.steps.iter();
    steps.any(|step| matches!(step.operation, Operation::EnsureNetwork { .. }))
}
