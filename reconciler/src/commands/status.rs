//! `reconcile status`: what is live, and each container's programs, flows and drops.

use super::arguments::Global;
use super::dirs;
use crate::live::{self, LiveError, Reading};
use crate::report::escape::escape;
use crate::report::exit::Exit;
use crate::report::json;
use crate::report::out::Out;
use crate::report::status::{self, Container, Status};

/// Runs it.
pub(crate) fn run(global: &Global, out: Out) -> Exit {
    let status = match read(global) {
        Ok(status) => status,
        Err(error) => {
            out.error(&escape(&error.to_string()));
            return if error.is_refusal() {
                Exit::Refused
            } else {
                Exit::Failed
            };
        }
    };
    if !out.json {
        out.data(&status::text(&status, out.data));
        return Exit::Done;
    }
    match json::document(&status) {
        Ok(text) => out.data(&text),
        Err(error) => {
            out.error(&error.to_string());
            return Exit::Failed;
        }
    }
    Exit::Done
}

fn read(global: &Global) -> Result<Status, LiveError> {
    let dirs = dirs(global);
    let Reading { live, .. } = live::read(&dirs)?;
    let mut status = Status::of(&live);
    let Some(kernel) = live::open(&dirs)? else {
        return Ok(status);
    };
    for (name, found) in &live.containers {
        let mut container = Container::of(name, found, &live);
        match kernel.entry_counts(name) {
            Ok(entries) => {
                container.entries.established = entries.established;
                container.entries.half_open = entries.half_open;
                container.entries.datagrams = entries.datagrams;
            }
            Err(error) => container.faults.push(error.to_string()),
        }
        match kernel.drops(name) {
            Ok(drops) => {
                // Trial packets are our own: nobody lost anything.
                let counted = drops
                    .into_iter()
                    .filter(|(reason, count)| *count > 0 && reason.name() != "trial");
                container.drops = counted
                    .map(|(reason, count)| (reason.name().to_owned(), count))
                    .collect();
            }
            Err(error) => container.faults.push(error.to_string()),
        }
        status.containers.push(container);
    }
    Ok(status)
}
