//! `reconcile detach`: takes everything of ours away and says what.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::Duration;

use bpf::guard;
use bpf::kernel::Kernel;
use serde::Serialize;
use state::live::Live;
use state::target::host::{Attach, HostTarget, interface_name};
use state::words::names::FullName;

use super::arguments::Global;
use super::{dirs, failure, lock as locking};
use crate::host::attachments::Wanted;
use crate::host::{Host, MountError, mount};
use crate::live::{self, Dirs};
use crate::report::escape::escape;
use crate::report::exit::Exit;
use crate::report::json;
use crate::report::out::Out;
use crate::run::grace::Short;
use crate::run::lock::Lock;

/// What was taken away.
#[derive(Debug, Default, Serialize)]
struct Detached {
    /// What, a line each.
    removed: Vec<String>,
    /// What is left, and why.
    left: Vec<String>,
    /// Sysctls that forwarding for containers may have turned on, and their values. They stay as
    /// they are: who else on this host has come to depend on them is not known.
    sysctls: BTreeMap<String, String>,
}

/// Runs it.
pub(crate) fn run(global: &Global, out: Out) -> Exit {
    let dirs = dirs(global);
    let lock = match lock(&dirs, global.lock_timeout, out) {
        Ok(lock) => lock,
        Err(exit) => return exit,
    };
    let read = match live::read(&dirs, &Wanted::new()) {
        Ok(read) => read,
        Err(error) => return failure::live(&error, out),
    };
    let short = (read.live.containers.len() > 1).then(|| Short::begin(&dirs.run));
    let detached = detach(&dirs, &read.live);
    drop(short);
    drop(lock);
    tell(&detached, out)
}

/// The lock is on the base directory. Where there is none it is made, for a first run may be about
/// to make it, too, and goes with all else. Without a bpffs nothing is pinned or to be locked.
fn lock(dirs: &Dirs, wait: Duration, out: Out) -> Result<Option<Lock>, Exit> {
    live::may().map_err(|error| failure::live(&error, out))?;
    let refused = |error: MountError| failure::live(&error.into(), out);
    if !mount::is_mounted(&dirs.pin).map_err(refused)? {
        return Ok(None);
    }
    let make = || mount::make_base(&dirs.pin).map_err(refused);
    locking::take(dirs, wait, out, make)
        .map(Some)
        .map_err(|not| not.exit)
}

fn tell(detached: &Detached, out: Out) -> Exit {
    if out.json {
        json::tell(detached, out);
    } else if detached.removed.is_empty() && detached.left.is_empty() {
        out.say("nothing of ours is here\n");
    } else {
        for line in &detached.removed {
            out.say(&format!("- {}\n", escape(line)));
        }
        for (path, value) in &detached.sysctls {
            out.say(&format!(
                "  sysctl {path} stays {value}: others on this host may need it\n"
            ));
        }
    }
    for line in &detached.left {
        out.error(&escape(&format!("left behind: {line}")));
    }
    if detached.left.is_empty() {
        Exit::Done
    } else {
        Exit::Attention
    }
}

/// Interfaces first, so that nothing is ever open, then namespaces, then what is pinned.
fn detach(dirs: &Dirs, live: &Live) -> Detached {
    let mut detached = Detached::default();
    match Host::open().map(|host| host.by_mounts_of(dirs.mounts)) {
        Err(error) => detached.left.push(error.to_string()),
        Ok(host) => {
            let kernel = Kernel::open(&dirs.pin).ok().flatten();
            let theirs = |name: &&FullName| matches!(attach(live, name), Attach::Interface { .. });
            let ours = live.containers.keys().filter(|name| !theirs(name));
            // What cannot be done for all is done for each.
            let gone = host.remove_interfaces(&ours.cloned().collect::<Vec<_>>());
            let gone = gone.unwrap_or_default();
            for name in live.containers.keys() {
                if let Some(kernel) = &kernel {
                    let_pass(kernel, live, name);
                }
                let pair = gone.contains(name);
                container(&host, live, (name, pair), &mut detached);
                let processes = live.host.processes.get(name).into_iter().flatten();
                for process in processes {
                    detached.left.push(format!(
                        "process {} ({}) lives on in {name}, without a network",
                        process.pid, process.name
                    ));
                }
            }
        }
    }
    guards(live, &mut detached);
    if live.bpffs {
        // One that was only made to be locked is nothing to tell of.
        let empty = fs::read_dir(&dirs.pin).is_ok_and(|mut entries| entries.next().is_none());
        match Kernel::destroy(&dirs.pin) {
            Ok(Some(unknown)) if !empty => pins(dirs, unknown, &mut detached),
            Ok(_) => {}
            Err(error) => detached.left.push(error.to_string()),
        }
    }
    if !detached.removed.is_empty() {
        let sysctls = live.host.sysctls.iter();
        let on = sysctls.filter(|(path, value)| HostTarget::may_set(path, value));
        detached.sysctls = on.map(|(p, v)| (p.clone(), v.clone())).collect();
    }
    detached
}

/// An interface of others carries on: its two programs are to cease at once, and a link takes its
/// time to go. Where they cannot be replaced, what comes between the two may be lost.
fn let_pass(kernel: &Kernel, live: &Live, name: &FullName) {
    let programs = live.containers.get(name).and_then(|found| found.programs);
    if let Some(programs) = programs.filter(|p| p.constants.theirs && !p.constants.passes) {
        kernel.let_pass(name, programs.constants).ok();
    }
}

/// `gone`: whether its pair is gone already.
fn container(host: &Host, live: &Live, (name, gone): (&FullName, bool), detached: &mut Detached) {
    let attach = attach(live, name);
    let interface = interface_name(name);
    let remove_interface = || match gone {
        true => Ok(true),
        false => host.remove_interface(name, &interface),
    };
    let removed = match &attach {
        Attach::Managed => remove_interface()
            .and_then(|pair| Ok((pair, host.remove_namespace(name)?)))
            .map_err(|error| error.to_string()),
        Attach::Namespace(_) => remove_interface()
            .map(|pair| (pair, false))
            .map_err(|error| error.to_string()),
        // What goes on without us is not to be stopped when our programs go.
        Attach::Interface { .. } => match live.theirs().get(name) {
            Some(Some(ifindex)) => guard::remove(*ifindex)
                .map(|_| (false, false))
                .map_err(|error| error.to_string()),
            _ => Ok((false, false)),
        },
    };
    match removed {
        Ok(found) => detached.removed.push(match (&attach, found) {
            // What it was attached to was not there.
            (Attach::Managed, (false, false)) => format!("container {name}: what is pinned"),
            // In a namespace of others, whose path went with the host-side end.
            (Attach::Managed, (true, false)) => format!("container {name}: interface {interface}"),
            (Attach::Managed, _) => format!(
                "container {name}: interface {interface}, network namespace {}",
                name.dotted()
            ),
            (Attach::Namespace(path), _) => {
                format!("container {name}: interface {interface}; network namespace {path} stays")
            }
            (Attach::Interface { name: theirs, .. }, _) => {
                format!("container {name}: programs on interface {theirs}, which stays")
            }
        }),
        Err(error) => detached.left.push(format!("container {name}: {error}")),
    }
}

/// What a container is attached to. Where its links are lost, an interface of others is one that
/// the live slot has for it.
fn attach(live: &Live, name: &FullName) -> Attach {
    let network = live.containers.get(name).and_then(|c| c.network.as_ref());
    if let Some(found) = network {
        return found.network.attach.clone();
    }
    let theirs = live.theirs();
    let Some(Some(ifindex)) = theirs.get(name) else {
        return Attach::Managed;
    };
    let named = live.host.name_of(*ifindex);
    Attach::Interface {
        name: named.map_or_else(|| ifindex.to_string(), str::to_owned),
        mac: None,
    }
}

/// Guards of containers of which nothing else is left.
fn guards(live: &Live, detached: &mut Detached) {
    for (name, found) in &live.host.guards {
        match guard::remove(found.ifindex) {
            Ok(false) => {}
            Ok(true) => detached
                .removed
                .push(format!("the guard on interface {name}, which stays")),
            Err(error) => detached.left.push(error.to_string()),
        }
    }
}

fn pins(dirs: &Dirs, unknown: BTreeSet<std::path::PathBuf>, detached: &mut Detached) {
    let base = dirs.pin.display();
    detached
        .removed
        .push(format!("programs, links and maps below {base}"));
    for path in unknown {
        detached
            .left
            .push(format!("{} is not ours", path.display()));
    }
}
