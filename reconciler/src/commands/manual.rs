//! `reconcile completions` and `reconcile man`: the command line, told to shells and to man(1).

use std::path::Path;

use clap::{Command, CommandFactory};

use super::arguments::{Cli, CompletionsArguments, ManArguments};
use crate::report::escape::escape;
use crate::report::exit::Exit;
use crate::report::out::Out;

const NAME: &str = "reconcile";

/// Prints what a shell completes by.
pub(crate) fn completions(arguments: &CompletionsArguments, out: Out) -> Exit {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut Cli::command(), NAME, &mut script);
    out.data(&String::from_utf8_lossy(&script))
}

/// Writes a page for the program and one for each command.
pub(crate) fn pages(arguments: &ManArguments, out: Out) -> Exit {
    let mut all = Cli::command();
    all.build();
    let shown = |one: &&Command| !one.is_hide_set() && one.get_name() != "help";
    let commands = all.get_subcommands().filter(shown);
    let pages = commands.map(|one| {
        let name = format!("{NAME}-{}", one.get_name());
        (one.clone().display_name(&name), name)
    });
    let all = (all.clone(), NAME.to_owned());
    for (command, name) in pages.chain([all]) {
        if let Err(error) = page(&arguments.directory, command, &name) {
            out.error(&escape(&format!(
                "cannot write the page of {name}: {error}"
            )));
            return Exit::Failed;
        }
    }
    Exit::Done
}

fn page(directory: &Path, command: Command, name: &str) -> std::io::Result<()> {
    let mut text = Vec::new();
    clap_mangen::Man::new(command)
        .title(name)
        .section("8")
        .render(&mut text)?;
    std::fs::write(directory.join(format!("{name}.8")), text)
}
