//! `reconcile doctor`: whether this host can do it, and what stands in the way.

use super::arguments::Global;
use super::{dirs, request_if_any};
use crate::doctor;
use crate::report::doctor::{self as report, Doctor};
use crate::report::escape::escape;
use crate::report::exit::Exit;
use crate::report::json;
use crate::report::out::Out;

/// Runs it.
pub(crate) fn run(global: &Global, out: Out) -> Exit {
    let request = match request_if_any(global) {
        Ok(request) => request,
        Err(message) => {
            out.error(&escape(&message));
            return Exit::Usage;
        }
    };
    let checks = doctor::examine(request.as_ref(), &dirs(global));
    let told = match out.json {
        false => out.data(&report::text(&checks, out.data)),
        true => json::tell(&Doctor::of(&checks), out),
    };
    match told {
        Exit::Done => report::exit(&checks),
        exit => exit,
    }
}
