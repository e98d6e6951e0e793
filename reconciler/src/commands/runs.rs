//! One run that makes something live: plan, show, apply, and tell what became of it.

use std::cell::{OnceCell, RefCell};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use state::plan::guards::Allowed;
use state::plan::{Kind, Operation, Phase, Plan, Step};
use state::words::generation::Generation;
use state::words::names::FullName;

use super::about::About;
use super::arguments::{Global, RunArguments};
use super::{failure, kept, lock, now_s, problems, request, suspend};
use crate::applied;
use crate::apply::{Apply, Settled, Stop};
use crate::back::{self, BackError};
use crate::host::anchors::Anchor;
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
use crate::run::{dirs, journal};
use crate::source::SourceRequest;

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

/// What a run is to make live.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Wish {
    /// The tree that is named.
    Tree,
    /// What was live before, or under a generation.
    Before(Option<Generation>),
    /// What was live last, where nothing is.
    Last,
    /// What is live, whatever is named by now.
    Live,
}

impl Wish {
    /// Whether it is what somebody asked for, of which `status` tells.
    fn is_asked_for(self) -> bool {
        !matches!(self, Self::Last | Self::Live)
    }
}

/// A run that makes something live.
pub(crate) struct Run<'a> {
    request: Request,
    wish: Wish,
    arguments: &'a RunArguments,
    allowed: Allowed,
    lock_timeout: Duration,
    tells_news: bool,
    watched: &'a [Anchor],
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
            max_prune: arguments.guards.max_prune,
            empty: arguments.guards.allow_empty,
            max_cut: arguments.guards.max_cut,
            held: lift_hold,
        };
        Ok(Self {
            request,
            wish,
            arguments,
            allowed,
            lock_timeout: global.lock_timeout,
            tells_news: false,
            watched: &[],
            about: RefCell::default(),
            out,
        })
    }

    /// The same, by who has read trees before.
    pub(crate) fn remembering(mut self, memory: &Memory) -> Self {
        self.request.memory = memory.clone();
        self
    }

    /// The same, for who hears of it only where it ended otherwise than the one before.
    pub(crate) fn telling_news(mut self, tells_news: bool) -> Self {
        self.tells_news = tells_news;
        self
    }

    /// The same, by who watches these.
    pub(crate) fn watching(mut self, anchors: &'a [Anchor]) -> Self {
        self.watched = anchors;
        self
    }

    /// Which tree it is about.
    pub(crate) fn source(&self) -> &SourceRequest {
        &self.request.source
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
        // What was asked for is what `status` tells of, and why it is not live.
        // Who stepped aside tried nothing.
        let tried = !run.arguments.dry_run && !about.stepped_aside;
        let noted = tried && run.wish.is_asked_for();
        let (dirs, told) = (run.request.dirs, run.tells_news);
        let carried = Carried {
            exit,
            reasons: heard.lines(),
            about,
        };
        if noted {
            kept::note(&dirs, kept::ended(&carried, told));
        }
        carried
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
            Exit::Done if planned.plan.is_empty() => Ok(Exit::Done),
            Exit::Done => Ok(self.pending()),
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
        let taken = lock::take(&self.request.dirs, self.lock_timeout, self.out, make);
        let _lock = taken.map_err(|not| {
            self.about.borrow_mut().stepped_aside = not.is_busy;
            not.exit
        })?;
        let ended = self.locked(mounted);
        // Whoever suspended meanwhile waits for this one, and notes what was live before it.
        suspend::note_again(&self.request.dirs);
        ended
    }

    /// The plan. Why there is none is told; one that a guard refuses is shown all the same: it says
    /// what would be lost.
    fn plan(&self) -> Result<Planned, Exit> {
        let (request, allowed) = (&self.request, self.allowed);
        let suspended = match self.arguments.dry_run {
            true => None,
            false => suspend::read(&request.dirs, self.out)?,
        };
        let reads = suspended.is_none() && matches!(self.wish, Wish::Tree | Wish::Live);
        let is_about = |tree: &Understood, plan| self.is_about(tree, plan, reads);
        let again = |origin| back::make_plan_again(request, &origin, allowed);
        let understood = OnceCell::new();
        let hears = |tree: &Arc<Understood>| drop(understood.set(Arc::clone(tree)));
        let planned = match (suspended, self.wish) {
            (Some(suspended), _) => again(back::suspended(request, suspended.commit)),
            (None, Wish::Tree) => {
                pipeline::make_plan(request, allowed, hears).map_err(BackError::from)
            }
            (None, Wish::Before(generation)) => {
                back::make_plan(request, generation, allowed, hears)
            }
            (None, Wish::Last) => match journal::last(&request.dirs.state) {
                Some(last) => again(back::noted(last)),
                None => Err(BackError::NoneBefore),
            },
            (None, Wish::Live) => back::make_plan_live(request, allowed),
        };
        let failure = match planned {
            Ok(planned) => {
                is_about(&planned.tree, Some(&planned.plan));
                return Ok(planned);
            }
            Err(BackError::Plan(failure)) => failure,
            Err(error) => return Err(failure::back(&error, self.out)),
        };
        let reads_of = |reads| {
            if let Some(tree) = understood.get() {
                self.is_about(tree, None, reads);
            }
        };
        match &failure {
            Failure::Refused { planned, .. } => {
                is_about(&planned.tree, Some(&planned.plan));
                self.show(planned)?;
            }
            // It may be compiled once the host has settled: that is no finding about the tree.
            Failure::Compile(cause) if cause.may_pass() => reads_of(false),
            _ => reads_of(reads),
        }
        Err(failure::tell(&failure, self.out))
    }

    fn is_about(&self, tree: &Understood, plan: Option<&Plan>, reads: bool) {
        let about = About::of(tree, plan, self.watched, self.request.dirs.mounts);
        let read = about.read.filter(|_| reads);
        *self.about.borrow_mut() = About { read, ..about };
    }

    /// The lock is on the base directory, which is made once a plan says that there is something to
    /// do. Whether a bpffs was mounted.
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
        mount::mount(base, self.request.dirs.mounts)
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
        let now_s = now_s();
        let first = self.apply(&planned, now_s);
        let is_whole = first.as_ref().is_ok_and(|done| done.undone.is_empty());
        let again = match is_whole {
            true => None,
            false => self.without_what_went(&planned),
        };
        let Some(again) = again else {
            let done = first.map_err(|stop| stopped(&stop, self.out))?;
            return Ok(self.end(vec![(&planned, done)], now_s));
        };
        Ok(match (first, self.apply(&again, now_s)) {
            (Ok(mut first), Ok(second)) => {
                // The second one has taken it up.
                first.undone.clear();
                self.end(vec![(&planned, first), (&again, second)], now_s)
            }
            (Err(_), Ok(second)) => self.end(vec![(&again, second)], now_s),
            // What the first one committed is live: the second one took nothing of it back.
            (Ok(first), Err(stop)) => {
                let exit = self.end(vec![(&planned, first)], now_s);
                match stopped(&stop, self.out) {
                    Exit::SwungBack => Exit::SwungBack,
                    _ => exit,
                }
            }
            (Err(first), Err(second)) => {
                let exits = [first, second].map(|stop| stopped(&stop, self.out));
                // The later code is the one that says more.
                exits.into_iter().max().unwrap_or(Exit::Failed)
            }
        })
    }

    /// Keeps what is live now and tells of it, and of what needs attention. A run has planned once
    /// or twice.
    fn end(&self, done: Vec<(&Planned, Settled)>, now_s: u64) -> Exit {
        let plans: Vec<&Plan> = done.iter().map(|(planned, _)| &planned.plan).collect();
        let mut behind = Vec::new();
        for (planned, settled) in done {
            behind.extend(settled.left);
            behind.extend(settled.undone);
            behind.extend(unforeseen(planned, &settled.forgotten));
            if let Err(error) = kept::keep(&self.request, planned, now_s) {
                behind.push(kept::unkept(&error));
            }
        }
        let is_done = behind.is_empty() && plans.iter().all(|plan| plan.is_empty());
        // Who hears of changes alone was told that it was not so.
        let heard = self.arguments.only_changes && self.wish.is_asked_for();
        let is_over = heard && is_done && kept::last_failed(&self.request.dirs, self.tells_news);
        let news = |plan: &&&Plan| is_over || plan.kind == Kind::Commit;
        if let Some(plan) = plans.iter().rev().find(news)
            && !self.out.json
        {
            self.out.say(&text::is_live(plan));
        }
        match left(&behind, self.out) {
            Exit::Done if plans.iter().all(|plan| plan.is_empty()) => Exit::Done,
            Exit::Done => self.pending(),
            exit => exit,
        }
    }

    /// A plan of the same commit without what others have taken away since the last one was made,
    /// where that is why it could not be carried out: it is missing, and the rest goes on.
    fn without_what_went(&self, planned: &Planned) -> Option<Planned> {
        if planned.tree.desired.attachments().is_empty() {
            return None;
        }
        let (again, refusal) = match pipeline::plan_again(&self.request, planned, self.allowed) {
            Ok(again) => (again, None),
            Err(Failure::Refused { refusal, planned }) => (*planned, Some(refusal)),
            Err(failure) => {
                tracing::info!("there is no plan without what went away: {failure}");
                return None;
            }
        };
        let missing = again.plan.missing.keys();
        let went = missing.filter(|name| !planned.plan.missing.contains_key(name));
        let went: Vec<String> = went.map(ToString::to_string).collect();
        if went.is_empty() {
            return None;
        }
        let went = format!(
            "what {} is attached to went away meanwhile",
            went.join(", ")
        );
        let went = escape(&went);
        if let Some(refusal) = refusal {
            let refusal = escape(&refusal.to_string());
            self.out.error(&format!(
                "{went}, and the plan without it is refused: {refusal}"
            ));
            return None;
        }
        self.out.note(&format!("{went}: planned again\n"));
        if self.out.json {
            // The plan is one document, and was written.
            self.insist_on(&again.plan);
        } else {
            self.present(&again).ok()?;
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

    fn pending(&self) -> Exit {
        match self.arguments.detailed_exitcode {
            true => Exit::Pending,
            false => Exit::Done,
        }
    }

    /// Shows a run's plan, with what the work tree has and the commit has not, and gives what
    /// became of the output: a log that is full keeps no commit from going live.
    fn show(&self, planned: &Planned) -> Result<Exit, Exit> {
        if self.arguments.only_changes && planned.plan.is_empty() {
            return Ok(Exit::Done);
        }
        problems::tell_uncommitted(&planned.tree, self.out);
        problems::warn(&planned.tree.problems, &planned.tree.source.tree, self.out);
        self.present(planned)
    }

    /// Prints the plan.
    fn present(&self, planned: &Planned) -> Result<Exit, Exit> {
        let out = self.out;
        if out.quiet && !out.json {
            self.insist_on(&planned.plan);
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

    /// What nobody may miss, whoever asked for quiet. It needs no tree to be compared.
    fn insist_on(&self, plan: &Plan) {
        let (none, out) = (Words::default(), self.out);
        let view = view(plan, &none, &none);
        out.insist(&text::opened(&view, out.notes));
        out.insist(&text::missing(&view, out.notes));
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
