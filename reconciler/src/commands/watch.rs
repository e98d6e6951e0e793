//! `reconcile watch`: apply whenever the tree or the host has changed.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use state::words::hash::short;
use tokio::runtime::Builder;
use tokio::sync::Notify;

use super::apply;
use super::arguments::{Global, RunArguments, WatchArguments};
use super::runs::{Carried, Run, Wish};
use super::{dirs, failure, request, suspend};
use crate::host::anchors::{self, Anchor};
use crate::host::events;
use crate::host::mounts::Mounts;
use crate::live;
use crate::pipeline::Memory;
use crate::report::escape::escape;
use crate::report::exit::Exit;
use crate::report::out::{Held, Out};
use crate::run::suspended;
use crate::source::{self, SourceRequest};
use crate::watch::notices::{Counts, Place};
use crate::watch::schedule::{Ended, Pace, Reason, Seen};
use crate::watch::{Look, Ran, Work, follow};

/// Runs it.
pub(crate) fn run(global: &Global, arguments: &WatchArguments, out: Out) -> Exit {
    let watcher = match Watcher::new(global, arguments, out) {
        Ok(watcher) => watcher,
        Err(exit) => return exit,
    };
    let pace = Pace {
        backstop: arguments.interval,
        ..Pace::default()
    };
    let failed = |error: &dyn std::fmt::Display| {
        out.error(&escape(&error.to_string()));
        Exit::Failed
    };
    // All work is done on one thread: another would have memory of its own to work in, and keep it.
    let mut builder = Builder::new_current_thread();
    let runtime = match builder.enable_all().max_blocking_threads(1).build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error),
    };
    let woken = Arc::new(Notify::new());
    let done = runtime.block_on(async {
        let [wakes, ends] = [Arc::clone(&woken), Arc::clone(&woken)];
        let deaf = Arc::clone(&watcher.deaf);
        tokio::spawn(async move {
            let told = events::of_interfaces(move || wakes.notify_one()).await;
            let why = told.map_or_else(|error| error.to_string(), |()| "the socket closed".into());
            // It is set here alone.
            let _ = deaf.set(format!("interfaces: {why}"));
            ends.notify_one();
        });
        follow(pace, arguments.poll, watcher, woken).await
    });
    match done {
        Ok(()) => Exit::Done,
        Err(error) => failed(&error),
    }
}

/// Looks at the tree and the host, and applies.
struct Watcher {
    global: Global,
    arguments: RunArguments,
    source: SourceRequest,
    memory: Memory,
    out: Out<'static>,
    /// What is watched: the next two together.
    anchors: Vec<Anchor>,
    /// What the containers of the live tree hang on.
    live: Vec<Anchor>,
    /// What those of a tree hang on that could not be applied.
    wanted: Vec<Anchor>,
    /// Why interfaces give no notice any more.
    deaf: Arc<OnceLock<String>>,
    /// The tree that the last look found.
    looked_at: String,
    /// Why the last run did not apply the tree, and why the last one did not look after what is
    /// live: told of already.
    told: Told,
    /// Whether it has been said that applying is suspended.
    said_suspended: bool,
}

/// Reasons that were told.
#[derive(Default)]
struct Told {
    tree: Vec<String>,
    live: Vec<String>,
    last: Vec<String>,
}

/// What came of looking after what is live.
#[derive(Default)]
struct Mended {
    /// What it found of the host.
    host: Option<String>,
    /// Why it could not.
    failed: Option<String>,
}

impl Watcher {
    fn new(global: &Global, arguments: &WatchArguments, out: Out) -> Result<Self, Exit> {
        let request = request(global).map_err(|message| {
            out.error(&message);
            Exit::Usage
        })?;
        live::may().map_err(|error| failure::live(&error, out))?;
        Ok(Self {
            global: global.clone(),
            arguments: RunArguments {
                only_changes: true,
                guards: arguments.guards.clone(),
                ..RunArguments::default()
            },
            source: request.source,
            memory: request.memory,
            out: Out {
                heard: None,
                held: None,
                ..out
            },
            anchors: Vec::new(),
            live: Vec::new(),
            wanted: Vec::new(),
            deaf: Arc::default(),
            looked_at: String::new(),
            told: Told::default(),
            said_suspended: false,
        })
    }

    fn run_of<'a>(&'a self, wish: Wish, out: Out<'a>) -> Result<Run<'a>, Exit> {
        let run = Run::new(&self.global, wish, &self.arguments, false, out)?;
        Ok(run.remembering(&self.memory).watching(&self.anchors))
    }

    /// What others changed on the host is mended also while the tree cannot be applied: by the
    /// commit that is live, or was before a boot. What keeps it from that is told once.
    fn mend(&mut self) -> Mended {
        let held = Held::default();
        let out = self.out.held_by(&held);
        let last = apply::last_instead(&self.global, &self.arguments, out);
        let last = last.map(|carried| carried.reasons).unwrap_or_default();
        if last.is_empty() || last != self.told.last {
            held.write_to(self.out);
            self.told.last = last;
        }
        if !live::is_live(&dirs(&self.global)).unwrap_or(true) {
            let failed = Some("nothing is live".to_owned());
            return Mended { host: None, failed };
        }
        let held = Held::default();
        let carried = match self.run_of(Wish::Live, self.out.held_by(&held)) {
            Ok(run) => run.carry_out(),
            Err(_) => return Mended::default(),
        };
        let host = carried.about.read.map(|read| read.host);
        if ended(carried.exit) == Ended::Well {
            held.write_to(self.out);
            self.told.live.clear();
            self.live = carried.about.anchors.unwrap_or_default();
            return Mended { host, failed: None };
        }
        let failed = carried.reasons.last().cloned();
        if carried.reasons != self.told.live && carried.reasons != self.told.tree {
            held.write_to(self.out);
            self.told.live = carried.reasons;
        }
        Mended { host, failed }
    }

    /// The same instead of a run, which would end as the one before.
    fn mends(&mut self, before: Ended) -> Ran {
        let tree = self.looked_at.clone();
        let seen = |host| Seen {
            tree,
            host,
            suspended: false,
        };
        let mended = self.mend();
        self.watch();
        let looked_after = match mended.failed {
            None => "what is live was looked after".to_owned(),
            Some(why) => format!("what is live could not be looked after: {why}"),
        };
        Ran {
            read: mended.host.map(seen),
            tried: false,
            ended: before,
            status: format!("the tree cannot be applied; {looked_after}"),
        }
    }

    /// Watches what the live tree's containers hang on, and those of one that could not be applied:
    /// it may be when that is another.
    fn watch(&mut self) {
        self.anchors = [&self.live[..], &self.wanted[..]].concat();
        self.anchors.sort();
        self.anchors.dedup();
    }

    /// Whether a run would end as the one before.
    fn is_in_vain(&self, reason: Reason, before: Ended) -> bool {
        match (reason, before) {
            (Reason::Backstop | Reason::Host, Ended::Invalid) => true,
            // What was live is looked after; where nothing is, nothing is to be lost by a try.
            (Reason::Backstop, Ended::Failed) => live::is_live(&dirs(&self.global)).unwrap_or(true),
            _ => false,
        }
    }
}

impl Work for Watcher {
    fn look(&mut self) -> Look {
        let named = source::current(&self.source);
        let tree = named.map_or_else(|error| error.to_string(), |named| named.to_string());
        self.looked_at.clone_from(&tree);
        let state = &self.global.state_dir;
        let seen = Seen {
            tree,
            host: anchors::seen(&self.anchors, Mounts::of(self.global.mounts_of)),
            suspended: !matches!(suspended::read(state), Ok(None)),
        };
        let place = |directory, counts| Place { directory, counts };
        let flat = |directory| place(directory, Counts::Entries);
        let named = source::way(&self.source).into_iter();
        let named = named.map(|(directory, name)| place(directory, Counts::Entry(name)));
        let read = source::places(&self.source).into_iter();
        let read = read.map(|(directory, below)| match below {
            true => place(directory, Counts::Below),
            false => flat(directory),
        });
        let mut places: Vec<Place> = named.chain(read).collect();
        places.extend(
            anchors::folders(&self.anchors, Mounts::of(self.global.mounts_of))
                .into_iter()
                .map(flat),
        );
        places.push(flat(state.clone()));
        Look {
            seen,
            places,
            deaf: self.deaf.get().cloned(),
        }
    }

    fn run(&mut self, reason: Reason, before: Ended) -> Ran {
        if let Ok(Some(suspended)) = suspend::standing(&dirs(&self.global), self.out) {
            let status = suspend::refusal(&suspended);
            if !std::mem::replace(&mut self.said_suspended, true) {
                self.out.note(&format!("{}\n", escape(&status)));
            }
            return Ran {
                ended: Ended::Well,
                status,
                read: None,
                tried: true,
            };
        }
        self.said_suspended = false;
        if self.is_in_vain(reason, before) {
            return self.mends(before);
        }
        let held = Held::default();
        // Where nothing happened since, it is news only where it ends otherwise.
        let out = match reason {
            Reason::Backstop | Reason::Again => self.out.held_by(&held),
            Reason::Asked | Reason::Changed | Reason::Host => self.out,
        };
        let Ok(run) = self.run_of(Wish::Tree, out) else {
            held.write_to(self.out);
            return Ran {
                ended: Ended::Failed,
                status: "a run could not be begun".to_owned(),
                read: None,
                tried: true,
            };
        };
        let carried = run.carry_out();
        let status = status(&carried);
        let mut ended = ended(carried.exit);
        let mut read = carried.about.read;
        if ended == Ended::Invalid && read.is_none() {
            // It could not be read whole, as while it is still being written.
            ended = Ended::Failed;
        }
        if ended == Ended::Well || carried.reasons != self.told.tree {
            held.write_to(self.out);
        }
        self.told.tree = carried.reasons;
        let found = carried.about.anchors;
        if ended == Ended::Well {
            self.wanted.clear();
            self.live = found.unwrap_or_else(|| std::mem::take(&mut self.live));
        } else if !carried.about.stepped_aside {
            // Who cannot read a tree knows nothing better of what it hangs on.
            self.wanted = found.unwrap_or_else(|| std::mem::take(&mut self.wanted));
            let mended = self.mend();
            read = read.map(|read| Seen {
                host: mended.host.unwrap_or(read.host),
                ..read
            });
        }
        self.watch();
        Ran {
            ended,
            status,
            read,
            tried: true,
        }
    }

    fn deaf(&mut self, why: Option<&str>, every: Duration) {
        let told = match why {
            Some(why) => format!(
                "changes give no notice ({}): looking every {every:?}\n",
                escape(why)
            ),
            None => "changes give notice again\n".to_owned(),
        };
        self.out.note(&told);
    }
}

fn ended(exit: Exit) -> Ended {
    match exit {
        Exit::Done | Exit::Pending | Exit::Attention => Ended::Well,
        Exit::Invalid => Ended::Invalid,
        Exit::Failed | Exit::Refused | Exit::SwungBack | Exit::Usage => Ended::Failed,
    }
}

fn status(carried: &Carried) -> String {
    let commit = short(&carried.about.commit);
    match (ended(carried.exit), carried.reasons.last()) {
        (Ended::Well, None) => format!("{commit} is live"),
        (Ended::Well, Some(reason)) => format!("{commit} is live; {reason}"),
        (_, reason) => format!(
            "{commit} was not applied: {}",
            reason.map_or("no reason was given", String::as_str)
        ),
    }
}
