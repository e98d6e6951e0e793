//! `reconcile rollback`: go back to the commit that was live before, or to that of a generation.

use state::words::generation::Generation;

use super::arguments::{Global, RollbackArguments};
use super::runs::{Run, Wish};
use crate::report::exit::Exit;
use crate::report::out::Out;

/// Runs it.
pub(crate) fn run(global: &Global, arguments: &RollbackArguments, out: Out) -> Exit {
    if global.rev.is_some() || global.worktree {
        out.error("rollback finds its commit itself: leave out --rev and --worktree");
        return Exit::Usage;
    }
    let wish = Wish::Before(arguments.generation.map(Generation));
    match Run::new(global, wish, &arguments.run, false, out) {
        Ok(run) => run.carry_out().exit,
        Err(exit) => exit,
    }
}
