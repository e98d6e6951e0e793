//! `reconcile`, without a subcommand: plan, and apply it.

use std::time::{Duration, Instant};

use super::arguments::{ApplyArguments, Global, RunArguments};
use super::runs::{Carried, Run, Wish};
use super::{dirs, kept};
use crate::live;
use crate::pipeline::Memory;
use crate::report::exit::Exit;
use crate::report::out::{Held, Out};
use crate::run::{attempt, journal};
use crate::source;

/// For how long a tree that never is at rest is followed. Units end what takes 10 minutes.
const UNTIL_AT_REST_MOST: Duration = Duration::from_secs(300);

/// Runs it.
pub(crate) fn run(global: &Global, arguments: &ApplyArguments, out: Out) -> Exit {
    let memory = Memory::default();
    let began = Instant::now();
    loop {
        let held = Held::default();
        // What failed, and how, has been told; so has that another run was under way.
        let only_news = arguments.run.only_changes;
        let run_dir = &dirs(global).run;
        let last = only_news.then(|| attempt::last(run_dir)).flatten();
        let last = last.filter(|last| last.told && last.exit != 0);
        let aside = only_news && attempt::stepped_aside(run_dir);
        let run_out = match last.is_some() || aside {
            true => out.held_by(&held),
            false => out,
        };
        let run = Run::new(
            global,
            Wish::Tree,
            &arguments.run,
            arguments.lift_hold,
            run_out,
        );
        let run = match run {
            Ok(run) => run.remembering(&memory).telling_news(only_news),
            Err(exit) => {
                held.write_to(out);
                return exit;
            }
        };
        let source = run.source().clone();
        let named = || source::current(&source).map(|named| named.to_string());
        let begun = arguments.until_at_rest.then(named);
        let carried = run.carry_out();
        let exit = carried.exit;
        let was_told = match carried.about.stepped_aside {
            true => aside,
            false => last.is_some_and(|last| kept::ended(&carried, true).ended_as(&last)),
        };
        if !was_told {
            held.write_to(out);
        }
        if only_news && carried.about.stepped_aside {
            kept::note_aside(run_dir);
        }
        if arguments.or_last {
            last_instead(global, &arguments.run, out);
        }
        // What was read may be newer than what it began with, and the tree be back at that since.
        let read = carried.about.read;
        match begun.map(|begun| begun.map(|begun| read.map_or(begun, |read| read.tree))) {
            // One that cannot be read may be so for long: what triggers runs begins the next.
            Some(Ok(read))
                if began.elapsed() < UNTIL_AT_REST_MOST && named().is_ok_and(|now| now != read) => {
            }
            _ => return exit,
        }
    }
}

/// Where nothing is live, as after a boot, makes live again what was live last: for who could not
/// make live what was asked for. `None` where something is live, or nothing ever was.
pub(crate) fn last_instead(global: &Global, arguments: &RunArguments, out: Out) -> Option<Carried> {
    let dirs = dirs(global);
    if live::is_live(&dirs).unwrap_or(true) || journal::last(&dirs.state).is_none() {
        return None;
    }
    let run = Run::new(global, Wish::Last, arguments, false, out).ok()?;
    Some(run.carry_out())
}
