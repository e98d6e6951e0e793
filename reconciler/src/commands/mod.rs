//! One file for each command. Thin: arguments, one call, report.

use std::io;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use state::words::names::HostName;

use crate::host::mounts::Mounts;
use crate::live::Dirs;
use crate::pipeline::{self, Memory, Request};
use crate::report::exit::Exit;
use crate::report::out::Out;
use crate::source::SourceRequest;

pub mod arguments;
mod failure;
mod lock;
mod problems;
mod runs;
mod kept;
mod about;
mod durations;
mod apply;
mod init;
mod schema;
mod validate;
mod diff;
mod explain;
mod status;
mod history;
mod rollback;
mod drift;
mod detach;
mod suspend;
mod watch;
mod doctor;
mod manual;

use arguments::{Cli, ColorWhen, Command, Global, Output};

/// Runs what was asked for.
pub fn run(cli: &Cli) -> ExitCode {
    allow_files();
    let global = &cli.global;
    let colour = match global.color {
        ColorWhen::Auto => None,
        ColorWhen::Always => Some(true),
        ColorWhen::Never => Some(false),
    };
    if global.output == Output::Markdown && !matches!(cli.command, Some(Command::Diff(_))) {
        let message = "-o markdown is for diff alone";
        return told(&Cli::command().error(ErrorKind::ArgumentConflict, message));
    }
    let out = Out::new(global.output == Output::Json, global.quiet, colour);
    trace(global.verbose, out);
    let exit = match &cli.command {
        None => apply::run(global, &cli.apply, out),
        Some(Command::Init(arguments)) => init::run(global, arguments, out),
        Some(Command::Schema(arguments)) => schema::run(arguments, out),
        Some(Command::Validate) => validate::run(global, out),
        Some(Command::Diff(arguments)) => diff::run(global, arguments, out),
        Some(Command::Status) => status::run(global, out),
        Some(Command::History(arguments)) => history::run(global, arguments, out),
        Some(Command::Rollback(arguments)) => rollback::run(global, arguments, out),
        Some(Command::Drift) => drift::run(global, out),
        Some(Command::Explain(arguments)) => explain::run(global, arguments, out),
        Some(Command::Watch(arguments)) => watch::run(global, arguments, out),
        Some(Command::Suspend(arguments)) => suspend::suspend(global, arguments, out),
        Some(Command::Resume) => suspend::resume(global, out),
        Some(Command::Detach) => detach::run(global, out),
        Some(Command::Doctor) => doctor::run(global, out),
        Some(Command::Completions(arguments)) => manual::completions(arguments, out),
        Some(Command::Man(arguments)) => manual::pages(arguments, out),
    };
    exit.into()
}

/// As many open files as we may have. The usual limit of a shell is low for the sake of programs
/// that use select(2); each container that is read takes two.
fn allow_files() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    // Where it cannot be raised, it may still do.
    let _ = setrlimit(Resource::Nofile, raised);
}

/// Reads the command line. Wrong usage exits with its own code; `--help` and `--version` do not.
pub fn parse() -> Result<Cli, ExitCode> {
    let cli = Cli::try_parse().map_err(|error| told(&error))?;
    if cli.command.is_some() && cli.apply.given() {
        let message = "options of applying go with no subcommand";
        return Err(told(
            &Cli::command().error(ErrorKind::ArgumentConflict, message),
        ));
    }
    Ok(cli)
}

fn told(error: &clap::Error) -> ExitCode {
    // Printing to a closed pipe is nobody's loss.
    let _ = error.print();
    if error.use_stderr() {
        Exit::Usage.into()
    } else {
        ExitCode::SUCCESS
    }
}

/// `-v` tells of stages, `-vv` of each operation, on stderr.
fn trace(verbose: u8, out: Out) {
    let level = match verbose {
        0 => return,
        1 => tracing::Level::INFO,
        _ => tracing::Level::DEBUG,
    };
    tracing_subscriber::fmt()
        .with_max_level(level)
        .with_ansi(out.notes.colour)
        .with_writer(io::stderr)
        .init();
}

/// Where things are pinned and kept.
pub(crate) fn dirs(global: &Global) -> Dirs {
    let mounts = Mounts::of(global.mounts_of);
    Dirs {
        pin: mounts.reach(&global.pin_dir),
        run: global.run_dir.clone(),
        state: global.state_dir.clone(),
        mounts,
    }
}

/// What of the command line a run is asked, or why it cannot be told.
pub(crate) fn request(global: &Global) -> Result<Request, String> {
    let request = request_if_any(global)?.ok_or(
        "which tree? Name its directory with -C or RECONCILE_DIR, or go to where its \
         plumbline.yaml is",
    )?;
    Ok(request)
}

/// The same for commands that do without a tree: `None` where none is named and none is here.
pub(crate) fn request_if_any(global: &Global) -> Result<Option<Request>, String> {
    let Some(directory) = pipeline::tree_directory(global.directory.clone()) else {
        return Ok(None);
    };
    Ok(Some(Request {
        source: SourceRequest {
            directory,
            rev: global.rev.clone(),
            worktree: global.worktree,
        },
        host: host(global)?,
        dirs: dirs(global),
        memory: Memory::default(),
    }))
}

/// `--host`, else the kernel's host name in lower case.
fn host(global: &Global) -> Result<HostName, String> {
    if let Some(host) = &global.host {
        return Ok(host.clone());
    }
    let name = rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .to_lowercase();
    HostName::new(&name)
        .map_err(|e| format!("this host's name, {name:?}, {e}; name it with --host"))
}

/// Seconds since 1970; 0 for a clock that stands before.
fn now_s() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}
