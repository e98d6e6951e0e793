//! `reconcile`: arguments to command to exit code.

use std::process::ExitCode;

use reconciler::commands;

fn main() -> ExitCode {
    match commands::parse() {
        Ok(cli) => commands::run(&cli),
        Err(code) => code,
    }
}
