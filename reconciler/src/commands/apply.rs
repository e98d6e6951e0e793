//! `reconcile`, without a subcommand: plan, and apply it.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

use state::plan::guards::Allowed;
use state::plan::{Kind, Operation, Phase, Plan, Step};
use state::words::generation::Generation;
use state::words::hash::short;
use state::words::names::FullName;

use super::arguments::{ApplyArguments, Global, RunArguments};
use super::{failure, lock, now_s, problems, request, suspend};
use crate::applied;
use crate::apply::{Apply, Settled, Stop};
use crate::back::{self, BackError};
use crate::host::anchors::{self, Anchor};
use crate::host::{MountError, mount};
use crate::live;
use crate::pipeline::{self, Failure, Memory, Planned, Request, Understood};
use crate::report::escape::escape;
use crate::report::exit::Exit;
use crate::report::out::{Heard, Out};
use crate::report::plural::plural;
use crate::report::reach;
use crate::report::view::{CutsView, View, view};
use crate::report::words::Words;
use crate::report::{json, text};
use crate::run::attempt::{self, Attempt};
use crate::run::dirs;
use crate::run::journal::{self, Entry};

/// Runs it.
pub(crate) fn run(global: &Global, arguments: &ApplyArguments, out: Out) -> Exit {
    match Run::new(global, Wish::Tree, &arguments.run, arguments.lift_hold, out) {
        Ok(run) => run.carry_out().exit,
        Err(exit) => exit,
    }
}

/// What became of a run, for whoever makes several.
#[derive(Debug)]
pub(crate) struct Carried {
    /// How it ended.
    pub(crate) exit: Exit,
    /// What it told of in the end.
    pub(crate) reasons: Vec<String>,
    /// What it was about.
    pub(crate) about: About,
}

/// What a run was about, as far as it came.
#[derive(Clone, Debug, Default)]
pub(crate) struct About {
    /// The commit that was to become live; empty where none was found.
    pub(crate) commit: String,
    /// What this host's containers hang on; `None` where that did not become known.
    pub(crate) anchors: Option<Vec<Anchor>>,
    /// Whether there was anything to do.
    pub(crate) changes: bool,
}

/// What a run is to make live.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Wish {
    /// The tree that is named.
    Tree,
    /// What was live before, or under a generation.
    Before(Option<Generation>),
}

/// A run that makes something live.
pub(crate) struct Run<'a> {
    request: Request,
    wish: Wish,
    arguments: &'a RunArguments,
    allowed: Allowed,
    lock_timeout: Duration,
    about: RefCell<About>,
    out: Out<'a>,
}

impl<'a> Run<'a> {
    /// From the command line, unless the caller may not.
    pub(crate) fn new(
        global: &Global,
        wish: Wish,
        arguments: &'a RunArguments,
        lift_hold: bool,
        out: Out<'a>,
    ) -> Result<Self, Exit> {
        let request = request(global).map_err(|message| {
            out.error(&message);
            Exit::Usage
        })?;
        live::may().map_err(|error| failure::live(&error, out))?;
        let allowed = Allowed {
            max_prune: arguments.max_prune,
            empty: arguments.allow_empty,
            max_cut: arguments.max_cut,
            held: lift_hold,
        };
        Ok(Self {
            request,
            wish,
            arguments,
            allowed,
            lock_timeout: global.lock_timeout,
            about: RefCell::default(),
            out,
        })
    }

    /// The same, by who has read trees before.
    pub(crate) fn remembering(mut self, memory: &Memory) -> Self {
        self.request.memory = memory.clone();
        self
    }

    /// Shows the plan and, unless only that was asked, carries it out.
    pub(crate) fn carry_out(self) -> Carried {
        let heard = Heard::default();
        let run = Run {
            out: self.out.heard_by(&heard),
            ..self
        };
        let done = if run.arguments.dry_run {
            run.dry_run()
        } else {
            run.for_real()
        };
        let (about, exit) = (run.about.take(), done.unwrap_or_else(|exit| exit));
        let (dry_run, dirs) = (run.arguments.dry_run, run.request.dirs);
        let reasons = heard.lines();
        if !dry_run {
            let attempt = Attempt {
                time_s: now_s(),
                commit: about.commit.clone(),
                exit: exit as u8,
                reasons: reasons.clone(),
            };
            if let Err(error) = attempt::note(&dirs.run, &attempt) {
                tracing::info!("how the run ended was not noted: {error}");
            }
        }
        Carried {
            exit,
            reasons,
            about,
        }
    }

    /// Refuses where applying is suspended.
    fn check_suspended(&self) -> Result<(), Exit> {
        match suspend::standing(&self.request.dirs, self.out)? {
            None => Ok(()),
            Some(suspended) => {
                self.out.error(&escape(&suspend::refusal(&suspended)));
                Err(Exit::Refused)
            }
        }
    }

    fn dry_run(&self) -> Result<Exit, Exit> {
        let planned = self.plan()?;
        match self.show(&planned)? {
            Exit::Done => Ok(self.pending(&planned.plan)),
            exit => Ok(exit),
        }
    }

    fn for_real(&self) -> Result<Exit, Exit> {
        self.check_suspended()?;
        // Who cannot be noted there holds the lock all the same.
        if let Err(error) = dirs::make(&self.request.dirs.run) {
            self.out.note(&format!("{}\n", escape(&error.to_string())));
        }
        let mut mounted = false;
        let make = || self.make_base().map(|made| mounted |= made);
        let _lock = lock::take(&self.request.dirs, self.lock_timeout, self.out, make)?;
        self.locked(mounted)
    }

    /// The plan. Why there is none is told; one that a guard refuses is shown all the same: it says
    /// what would be lost.
    fn plan(&self) -> Result<Planned, Exit> {
        let (request, allowed) = (&self.request, self.allowed);
        let suspended = match self.arguments.dry_run {
            true => None,
            false => suspend::read(&request.dirs, self.out)?,
        };
        let planned = match (suspended, self.wish) {
            (Some(suspended), _) => back::make_plan_again(request, &suspended.commit, allowed),
            (None, Wish::Tree) => pipeline::make_plan(request, allowed).map_err(BackError::from),
            (None, Wish::Before(generation)) => back::make_plan(request, generation, allowed),
        };
        let failure = match planned {
            Ok(planned) => {
                self.is_about(&planned.tree, !planned.plan.is_empty());
                return Ok(planned);
            }
            Err(BackError::Plan(failure)) => failure,
            Err(error) => return Err(failure::back(&error, self.out)),
        };
        match &failure {
            Failure::Refused { planned, .. } => {
                self.is_about(&planned.tree, true);
                self.show(planned)?;
            }
            Failure::Invalid(tree) => self.is_about(tree, true),
            _ => {}
        }
        Err(failure::tell(&failure, self.out))
    }

    fn is_about(&self, tree: &Understood, changes: bool) {
        let mut about = self.about.borrow_mut();
        tree.source.id.commit().clone_into(&mut about.commit);
        about.changes = changes;
        if tree.is_valid() {
            let here = tree.desired.containers_here();
            let anchors = anchors::of(here.map(|container| (&container.name, &container.attach)));
            about.anchors = Some(anchors);
        }
    }

    /// The lock is on the base directory, for that is what concurrent runs share. Where it is not
    /// there yet, it is made once a plan says that there is something to do. Whether a bpffs was
    /// mounted.
    fn make_base(&self) -> Result<bool, Exit> {
        let base = &self.request.dirs.pin;
        let told = |error: MountError| {
            self.out.error(&escape(&error.to_string()));
            Exit::Refused
        };
        if mount::is_mounted(base).map_err(told)? && mount::check_base(base).map_err(told)? {
            return Ok(false);
        }
        self.plan()?;
        let mounted = !mount::is_mounted(base).map_err(told)?;
        mount::mount(base)
            .and_then(|()| mount::make_base(base))
            .map_err(told)?;
        Ok(mounted)
    }

    fn locked(&self, mounted: bool) -> Result<Exit, Exit> {
        // Whoever suspended meanwhile waits for the lock to be free.
        self.check_suspended()?;
        let mut planned = self.plan()?;
        if mounted {
            // Part of what this run does, and of what a dry run says: only the lock needed it
            // sooner.
            let phase = Phase::Prepare;
            let operation = Operation::MountBpffs;
            planned.plan.steps.insert(0, Step { phase, operation });
        }
        self.show(&planned)?;
        let (now_s, out) = (now_s(), self.out);
        let mut done = self.apply(&planned, now_s);
        let whole = |done: &Settled| done.undone.is_empty();
        if !done.as_ref().is_ok_and(whole)
            && let Some(again) = self.without_what_went(&planned)
        {
            let before = done.map(|done| done.left).unwrap_or_default();
            done = self.apply(&again, now_s).map(|mut done| {
                done.left.splice(0..0, before);
                done
            });
            planned = again;
        }
        let settled = done.map_err(|stop| stopped(&stop, out))?;
        let plan = &planned.plan;
        if plan.is_empty() && settled.left.is_empty() {
            return Ok(self.nothing(&planned));
        }
        let mut behind = [settled.left, settled.undone].concat();
        behind.extend(unforeseen(&planned, &settled.forgotten));
        if let Err(error) = keep(&self.request, &planned, now_s) {
            behind.push(unkept(&error));
        }
        if plan.kind == Kind::Commit && !out.json {
            out.say(&is_live(plan));
        }
        Ok(match left(&behind, out) {
            Exit::Done => self.pending(plan),
            exit => exit,
        })
    }

    /// A plan without what others have taken away since the last one was made, where that is why it
    /// could not be carried out: it is missing, and the rest goes on.
    fn without_what_went(&self, planned: &Planned) -> Option<Planned> {
        if planned.tree.desired.attachments().is_empty() {
            return None;
        }
        let again = self.plan().ok()?;
        let missing = again.plan.missing.keys();
        let went = missing.filter(|name| !planned.plan.missing.contains_key(name));
        let went: Vec<String> = went.map(ToString::to_string).collect();
        if went.is_empty() {
            return None;
        }
        let went = escape(&went.join(", "));
        self.out.note(&format!(
            "what {went} is attached to went away meanwhile: planned again\n"
        ));
        if self.out.json {
            // The plan is one document, and was written.
            let none = Words::default();
            let view = view(&again.plan, &none, &none);
            self.out.insist(&text::missing(&view, self.out.notes));
        } else {
            self.show(&again).ok()?;
        }
        Some(again)
    }

    fn apply(&self, planned: &Planned, now_s: u64) -> Result<Settled, Stop> {
        let Planned {
            plan, target, live, ..
        } = planned;
        if plan.is_empty() {
            return Ok(Settled::default());
        }
        Apply::new(plan, target, live, &self.request.dirs, now_s)?.run()
    }

    /// What was lost of the state directory is kept again.
    fn nothing(&self, planned: &Planned) -> Exit {
        note_unnoted(&self.request, planned);
        match applied::keep_again(&self.request.dirs, planned) {
            Ok(()) => Exit::Done,
            Err(error) => left(&[unkept(&error)], self.out),
        }
    }

    fn pending(&self, plan: &Plan) -> Exit {
        if self.arguments.detailed_exitcode && !plan.is_empty() {
            Exit::Pending
        } else {
            Exit::Done
        }
    }

    /// Prints the plan, with what the work tree has and the commit has not, and gives what became
    /// of the output: a log that is full keeps no commit from going live.
    fn show(&self, planned: &Planned) -> Result<Exit, Exit> {
        let out = self.out;
        if self.arguments.only_changes && planned.plan.is_empty() {
            return Ok(Exit::Done);
        }
        tell_uncommitted(&planned.tree, out);
        problems::warn(&planned.tree.problems, &planned.tree.source.tree, out);
        if out.quiet && !out.json {
            // What nobody may miss, whoever asked for quiet. It needs no tree to be compared.
            let none = Words::default();
            let view = view(&planned.plan, &none, &none);
            out.insist(&text::opened(&view, out.notes));
            out.insist(&text::missing(&view, out.notes));
            return Ok(Exit::Done);
        }
        let view = view_of(&self.request, planned);
        if out.json {
            let text = json::document(&view).map_err(|error| {
                out.error(&error.to_string());
                Exit::Failed
            })?;
            return Ok(out.data(&text));
        }
        Ok(out.say(&text::plan(&view, out.data)))
    }
}

fn is_live(plan: &Plan) -> String {
    let (commit, generation) = (short(&plan.origin.commit), plan.to.generation);
    let held = match &plan.back {
        Some(_) => plan
            .held
            .first()
            .map(|held| format!("; {} is held", short(held))),
        None => None,
    };
    let held = held.unwrap_or_default();
    format!("{commit} is live: generation {generation}{held}\n")
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

/// Connections that a smaller quota had no room for, where they were more than the plan said.
fn unforeseen(planned: &Planned, forgotten: &BTreeMap<FullName, usize>) -> Vec<String> {
    let foreseen = |name| planned.cuts.forgotten.get(name).map_or(0, |f| f.beyond);
    let more = forgotten.iter().filter(|(name, n)| **n > foreseen(*name));
    more.map(|(name, count)| {
        format!(
            "{} of {name} had no room in its smaller quota: {} more than the plan said",
            plural(*count, "connection"),
            count - foreseen(name)
        )
    })
    .collect()
}

/// What is live does not depend on it: history and the diff in words do.
fn unkept(error: &applied::KeepError) -> String {
    format!("the state directory could not be written: {error}")
}

fn stopped(stop: &Stop, out: Out) -> Exit {
    out.error(&escape(&stop.to_string()));
    match stop {
        Stop::Before(_) => Exit::Failed,
        Stop::SwungBack(_) => Exit::SwungBack,
    }
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

/// The journal, and the copy of a directory. A run that only mended made nothing live.
fn keep(request: &Request, planned: &Planned, now_s: u64) -> Result<(), applied::KeepError> {
    applied::keep(&request.dirs, planned)?;
    let plan = &planned.plan;
    note_unnoted(request, planned);
    if plan.kind == Kind::Mend {
        return Ok(());
    }
    let entry = Entry {
        time_s: now_s,
        generation: plan.to.generation.0,
        commit: plan.origin.commit.clone(),
        tree: plan.origin.tree.clone(),
        containers: planned.target.containers.len(),
        steps: plan.steps.len(),
        kind: match &plan.back {
            Some(_) => journal::Kind::Rollback,
            None => journal::Kind::Apply,
        },
    };
    journal::append(&request.dirs.state, &entry)?;
    Ok(())
}

/// The commit that is live, where the journal does not end with it: its run was killed, or the
/// journal is lost. Where it cannot be noted, nothing is lost but history.
fn note_unnoted(request: &Request, planned: &Planned) {
    let state = &request.dirs.state;
    let Some(base) = &planned.live.base else {
        return;
    };
    let (slot, generation) = (base.live_slot(), base.record.generation.0);
    if slot.commit.is_empty() {
        return;
    }
    // A name that nobody has noted, and that this run writes over, may be anybody's.
    let known =
        |last: &Entry| last.commit == slot.commit || planned.plan.origin.commit != slot.commit;
    let noted = journal::last(state);
    if noted.is_some_and(|last| last.generation == generation && known(&last)) {
        return;
    }
    let entry = Entry {
        time_s: slot.time_s,
        generation,
        commit: slot.commit.clone(),
        tree: slot.tree.clone(),
        containers: slot.tables.endpoints.len(),
        steps: 0,
        kind: match base.held().is_empty() {
            true => journal::Kind::Apply,
            false => journal::Kind::Rollback,
        },
    };
    let made = dirs::make(state).map_err(applied::KeepError::from);
    if let Err(error) = made.and_then(|()| Ok(journal::append(state, &entry)?)) {
        tracing::info!("the journal was not completed: {error}");
    }
}
