//! `reconcile status`: what is live, and each container's programs, flows and drops.

use bpf::kernel::Kernel;
use state::words::names::FullName;

use super::arguments::Global;
use super::{dirs, drift, failure, suspend};
use crate::live;
use crate::report::drift::{Item, Unread};
use crate::report::exit::Exit;
use crate::report::json;
use crate::report::out::Out;
use crate::report::status::{self, Attempted, Container, Status, Suspension};
use crate::run::attempt;

/// Runs it.
pub(crate) fn run(global: &Global, out: Out) -> Exit {
    let status = match read(global, out) {
        Ok(status) => status,
        Err(exit) => return exit,
    };
    if !out.json {
        return out.data(&status::text(&status, out.data));
    }
    json::tell(&status, out)
}

fn read(global: &Global, out: Out) -> Result<Status, Exit> {
    let dirs = dirs(global);
    let (found, busy) = drift::find(global, out)?;
    let live = found.reading.live;
    let mut status = Status::of(&live);
    match busy {
        None => {
            status.drift = found.findings.iter().map(Item::from).collect();
            status.unread = found.unread;
        }
        Some(busy) => status.unread = Some(Unread::host(busy.to_string())),
    }
    status.suspended = suspend::read(&dirs, out)?.map(|suspended| Suspension {
        since: suspended.since_s,
        by: suspended.by,
        reason: suspended.reason,
        commit: suspended.commit,
    });
    status.attempt = attempt::last(&dirs.run).map(|attempt| Attempted {
        commit: attempt.commit,
        time: attempt.time_s,
        exit: attempt.exit,
        reasons: attempt.reasons,
    });
    let kernel = live::open(&dirs).map_err(|error| failure::live(&error, out))?;
    for (name, found) in &live.containers {
        let mut container = Container::of(name, found, &live);
        // Where the pins are lost, what is left of containers is all there is to tell.
        if let Some(kernel) = &kernel {
            counts(kernel, name, &mut container);
        }
        status.containers.push(container);
    }
    Ok(status)
}

/// What its maps hold and have counted.
fn counts(kernel: &Kernel, name: &FullName, container: &mut Container) {
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
        // That of its maps has been told.
        Err(error) if container.faults.contains(&error.to_string()) => {}
        Err(error) => container.faults.push(error.to_string()),
    }
}
