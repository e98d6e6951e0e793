//! `reconcile explain`: the verdict on a flow, and the rules that give it with file and line.

use state::target::{Located, Target, compile};
use state::words::flow::Flow;

use super::arguments::{ExplainArguments, Global};
use super::{dirs, failure, problems, request};
use crate::applied;
use crate::host::attachments::Wanted;
use crate::live::{self, Reading};
use crate::pipeline::{self, Request, Understood};
use crate::report::escape::escape;
use crate::report::exit::Exit;
use crate::report::explanation::{Explanation, FlowView};
use crate::report::out::Out;
use crate::report::{explanation, json};

mod question;
mod judges;

use judges::{Judge, Judges};
use question::Question;

/// Runs it.
pub(crate) fn run(global: &Global, arguments: &ExplainArguments, out: Out) -> Exit {
    let told = match of(global, arguments, out) {
        Ok(explanation) => explanation,
        Err((exit, message)) => {
            if let Some(message) = message {
                out.error(&escape(&message));
            }
            return exit;
        }
    };
    if !out.json {
        return out.data(&explanation::text(&told, out.data));
    }
    json::tell(&told, out)
}

/// What ends a run early: its exit, and what is still to be said.
type Stop = (Exit, Option<String>);

fn of(global: &Global, arguments: &ExplainArguments, out: Out) -> Result<Explanation, Stop> {
    let request = request(global).map_err(|message| (Exit::Usage, Some(message)))?;
    if arguments.live {
        return of_live(&request, global, arguments);
    }
    let tree =
        pipeline::understand(&request).map_err(|error| (failure::source(&error, out), None))?;
    if !tree.is_valid() {
        problems::tell(&tree.problems, &tree.source.tree, out);
        return Err((Exit::Invalid, None));
    }
    let located = Located::default();
    let target = compile(&tree.desired, &located, &bpf::object::datapath())
        .map_err(|error| (Exit::Invalid, Some(error.to_string())))?;
    explain(&tree, &target, &located, arguments)
}

/// The same asked of the tables that packets are judged by, with the commit's own tree for names.
fn of_live(
    request: &Request,
    global: &Global,
    arguments: &ExplainArguments,
) -> Result<Explanation, Stop> {
    let failed = |message: String| (Exit::Failed, Some(message));
    let Reading { live, located } =
        live::read(&dirs(global), &Wanted::new()).map_err(|error| failed(error.to_string()))?;
    let base = live
        .base
        .as_ref()
        .ok_or_else(|| failed("nothing is live on this host".into()))?;
    let slot = base.live_slot();
    let commit = &slot.commit;
    let tree = applied::understand(request, commit, &slot.tree).map_err(|error| {
        failed(format!(
            "the tree of the live commit {commit} cannot be read: {error}"
        ))
    })?;
    let mut target = compile(&tree.desired, &located, &bpf::object::datapath())
        .map_err(|error| failed(error.to_string()))?;
    target.tables = base.live_slot().tables.clone();
    explain(&tree, &target, &located, arguments)
}

/// The verdict is the tables'; the tree says which rules allow the flow.
fn explain(
    tree: &Understood,
    target: &Target,
    located: &Located,
    arguments: &ExplainArguments,
) -> Result<Explanation, Stop> {
    let usage = |message| (Exit::Usage, Some(message));
    let question = Question::of(&tree.desired, arguments).map_err(usage)?;
    let here = Judge {
        desired: &tree.desired,
        target,
        addresses: &located.host_addresses,
    };
    let judges = Judges::of(here, &tree.documents, &question.flows)
        .map_err(|error| (Exit::Invalid, Some(error.to_string())))?;
    let mut flows = Vec::new();
    for flow in &question.flows {
        let judged = judges.judge(flow).ok_or_else(|| absent(flow))?;
        flows.push(FlowView::of(
            &tree.desired,
            flow,
            &judged.verdict,
            &judged.rules,
            &judged.hosts,
        ));
    }
    Ok(Explanation::of(&tree.origin(), arguments.live, flows))
}

fn absent(flow: &Flow) -> Stop {
    let message = format!("{flow}: the tables name a container that is absent");
    (Exit::Failed, Some(message))
}
