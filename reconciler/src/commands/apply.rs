//! `reconcile`, without a subcommand: plan, and apply it.

use std::time::{SystemTime, UNIX_EPOCH};

use state::plan::guards::Allowed;
use state::plan::{Kind, Operation, Phase, Plan, Step};

use super::arguments::{ApplyArguments, Global};
use super::{failure, problems, request};
use crate::applied;
use crate::apply::{Apply, Settled, Stop};
use crate::host::{MountError, mount};
use crate::live;
use crate::pipeline::{self, Failure, Planned, Request, Understood};
use crate::report::escape::escape;
use crate::report::exit::Exit;
use crate::report::out::Out;
use crate::report::reach;
use crate::report::view::{CutsView, View, short, view};
use crate::report::{json, text};
use crate::run::dirs;
use crate::run::journal::{self, Entry};
use crate::run::lock::Lock;

/// Runs it.
pub(crate) fn run(global: &Global, arguments: &ApplyArguments, out: Out) -> Exit {
    let request = match request(global) {
        Ok(request) => request,
        Err(message) => {
            out.error(&message);
            return Exit::Usage;
        }
    };
    if let Err(error) = live::may() {
        out.error(&error.to_string());
        return Exit::Failed;
    }
    let allowed = Allowed {
        max_prune: arguments.max_prune,
        empty: arguments.allow_empty,
        max_cut: arguments.max_cut,
    };
    if arguments.dry_run {
        return dry_run(&request, arguments, allowed, out);
    }
    let begun = make_base(&request, allowed, out);
    match begun.and_then(|mounted| Ok((mounted, lock(&request, out)?))) {
        Ok((mounted, _lock)) => locked(&request, mounted, arguments, allowed, out),
        Err(exit) => exit,
    }
}

/// The lock is on the base directory, for that is what concurrent runs share. Where it is not there
/// yet, it is made once a plan says that there is something to do. Whether a bpffs was mounted.
fn make_base(request: &Request, allowed: Allowed, out: Out) -> Result<bool, Exit> {
    let base = &request.dirs.pin;
    let told = |error: MountError| {
        out.error(&escape(&error.to_string()));
        Exit::Refused
    };
    if mount::is_mounted(base).map_err(told)? && mount::check_base(base).map_err(told)? {
        return Ok(false);
    }
    pipeline::make_plan(request, allowed).map_err(|failure| refused(request, &failure, out))?;
    let mounted = !mount::is_mounted(base).map_err(told)?;
    mount::mount(base)
        .and_then(|()| mount::make_base(base))
        .map_err(told)?;
    Ok(mounted)
}

fn lock(request: &Request, out: Out) -> Result<Lock, Exit> {
    // Who cannot be noted there holds the lock all the same.
    if let Err(error) = dirs::make(&request.dirs.run) {
        out.note(&format!("{}\n", escape(&error.to_string())));
    }
    Lock::take(&request.dirs.pin, &request.dirs.run).map_err(|error| {
        out.error(&escape(&error.to_string()));
        if error.is_busy() {
            Exit::Refused
        } else {
            Exit::Failed
        }
    })
}

fn dry_run(request: &Request, arguments: &ApplyArguments, allowed: Allowed, out: Out) -> Exit {
    let planned = match pipeline::make_plan(request, allowed) {
        Ok(planned) => planned,
        Err(failure) => return refused(request, &failure, out),
    };
    match show(request, &planned, out) {
        Ok(Exit::Done) => pending(&planned.plan, arguments),
        Ok(exit) | Err(exit) => exit,
    }
}

fn pending(plan: &Plan, arguments: &ApplyArguments) -> Exit {
    if arguments.detailed_exitcode && !plan.is_empty() {
        Exit::Pending
    } else {
        Exit::Done
    }
}

/// A plan that a guard refuses is shown all the same: it says what would be lost.
fn refused(request: &Request, failure: &Failure, out: Out) -> Exit {
    if let Failure::Refused { planned, .. } = failure
        && let Err(exit) = show(request, planned, out)
    {
        return exit;
    }
    failure::tell(failure, out)
}

fn locked(
    request: &Request,
    mounted: bool,
    arguments: &ApplyArguments,
    allowed: Allowed,
    out: Out,
) -> Exit {
    let mut planned = match pipeline::make_plan(request, allowed) {
        Ok(planned) => planned,
        Err(failure) => return refused(request, &failure, out),
    };
    if mounted {
        // Part of what this run does, and of what a dry run says: only the lock needed it sooner.
        let phase = Phase::Prepare;
        let operation = Operation::MountBpffs;
        planned.plan.steps.insert(0, Step { phase, operation });
    }
    if let Err(exit) = show(request, &planned, out) {
        return exit;
    }
    let plan = &planned.plan;
    if plan.is_empty() {
        return match applied::keep_again(&request.dirs, &planned.tree.source) {
            Ok(()) => Exit::Done,
            Err(error) => left(&[unkept(&error)], out),
        };
    }
    let now_s = now_s();
    let settled = match apply(request, &planned, now_s) {
        Ok(settled) => settled,
        Err(stop) => return stopped(&stop, out),
    };
    let mut behind = settled.left;
    if let Err(error) = keep(request, &planned, now_s) {
        behind.push(unkept(&error));
    }
    if plan.kind == Kind::Commit && !out.json {
        let commit = short(&plan.origin.commit);
        out.say(&format!(
            "{commit} is live: generation {}\n",
            plan.to.generation
        ));
    }
    match left(&behind, out) {
        Exit::Done => pending(plan, arguments),
        exit => exit,
    }
}

/// Tells what needs attention.
fn left(behind: &[String], out: Out) -> Exit {
    for line in behind {
        out.error(&escape(&format!("left behind: {line}")));
    }
    if behind.is_empty() {
        Exit::Done
    } else {
        Exit::Attention
    }
}

/// What is live does not depend on it: history and the diff in words do.
fn unkept(error: &applied::KeepError) -> String {
    format!("the state directory could not be written: {error}")
}

fn apply(request: &Request, planned: &Planned, now_s: u64) -> Result<Settled, Stop> {
    let Planned {
        plan, target, live, ..
    } = planned;
    Apply::new(plan, target, live, &request.dirs, now_s)?.run()
}

fn stopped(stop: &Stop, out: Out) -> Exit {
    out.error(&escape(&stop.to_string()));
    match stop {
        Stop::Before(_) => Exit::Failed,
        Stop::SwungBack(_) => Exit::SwungBack,
    }
}

/// Prints the plan, with what the work tree has and the commit has not, and gives what became of
/// the output: a log that is full keeps no commit from going live.
fn show(request: &Request, planned: &Planned, out: Out) -> Result<Exit, Exit> {
    tell_uncommitted(&planned.tree, out);
    let warnings = &planned.tree.problems;
    problems::warn(warnings, &planned.tree.source.tree, out);
    let view = view_of(request, planned);
    if out.json {
        let text = json::document(&view).map_err(|error| {
            out.error(&error.to_string());
            Exit::Failed
        })?;
        return Ok(out.data(&text));
    }
    if out.quiet {
        // What nobody may miss, whoever asked for quiet.
        out.insist(&text::opened(&view, out.notes));
    }
    Ok(out.say(&text::plan(&view, out.data)))
}

/// The plan in words: of the live tree where it can be read, else by rule ids on both sides.
fn view_of(request: &Request, planned: &Planned) -> View {
    let words = applied::words(request, planned);
    let mut view = view(&planned.plan, &words.old, &words.new);
    view.cuts = CutsView::of(&planned.cuts);
    view.flows = words.flows.as_deref().map(reach::flows);
    view.warnings.extend(words.note);
    if planned.target.containers.is_empty() {
        let host = &planned.tree.desired.host;
        view.warnings.push(format!(
            "no container of the tree is for host {host}: --host says which host this is"
        ));
    }
    view
}

/// Names what the commit that is read does not hold.
pub(crate) fn tell_uncommitted(tree: &Understood, out: Out) {
    for change in &tree.source.uncommitted {
        let mark = out.notes.paint(33, "warning:");
        out.note(&format!(
            "{mark} {}: ignored; commit it, or read the files with --worktree\n",
            escape(&change.to_string())
        ));
    }
}

/// The journal, and the copy of a directory.
fn keep(request: &Request, planned: &Planned, now_s: u64) -> Result<(), applied::KeepError> {
    applied::keep(&request.dirs, &planned.tree.source)?;
    let plan = &planned.plan;
    let entry = Entry {
        time_s: now_s,
        generation: plan.to.generation.0,
        commit: plan.origin.commit.clone(),
        tree: plan.origin.tree.clone(),
        containers: planned.target.containers.len(),
        steps: plan.steps.len(),
    };
    journal::append(&request.dirs.state, &entry)?;
    Ok(())
}

/// Seconds since 1970; 0 for a clock that stands before.
fn now_s() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}
