//! `reconcile drift`: what live differs in from what its commit put there.

use state::drift::needs_attention;

use super::arguments::Global;
use super::{dirs, failure, request};
use crate::drift;
use crate::report::drift::{self as report, Drift};
use crate::report::exit::Exit;
use crate::report::json;
use crate::report::out::Out;

/// Runs it.
pub(crate) fn run(global: &Global, out: Out) -> Exit {
    let found = match drift::find(request(global).ok().as_ref(), &dirs(global)) {
        Ok(found) => found,
        Err(failure) => return failure::tell(&failure, out),
    };
    let told = Drift::of(&found.reading.live, &found.findings, found.unread);
    let told = match out.json {
        false => out.data(&report::text(&told, out.data)),
        true => json::tell(&told, out),
    };
    match told {
        Exit::Done if needs_attention(&found.findings) => Exit::Attention,
        exit => exit,
    }
}
