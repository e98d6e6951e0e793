//! Why there is no plan, as a person or a program is told it, and with which exit code.

use state::words::problem::Severity;

use super::problems;
use crate::applied::AppliedError;
use crate::back::BackError;
use crate::live::LiveError;
use crate::pipeline::Failure;
use crate::report::escape::escape;
use crate::report::exit::Exit;
use crate::report::out::Out;
use crate::run::lock::LockError;
use crate::source::SourceError;

/// How many findings of an invalid tree are noted for `status`.
const HEARD_MOST: usize = 5;

/// Tells of a failure.
pub(crate) fn tell(failure: &Failure, out: Out) -> Exit {
    match failure {
        Failure::Source(error) => source(error, out),
        Failure::Invalid(tree) => {
            problems::tell(&tree.problems, &tree.source.tree, out);
            let errors = tree
                .problems
                .iter()
                .filter(|p| p.severity == Severity::Error);
            for problem in errors.take(HEARD_MOST) {
                out.hear(&format!("{}: {}", problem.place, problem.message));
            }
            out.error("the tree is invalid: what is live is unchanged");
            Exit::Invalid
        }
        Failure::Compile(error) => {
            out.error(&escape(&error.to_string()));
            Exit::Invalid
        }
        Failure::Live(error) => live(error, out),
        Failure::Connections(error) => {
            out.error(&escape(&error.to_string()));
            Exit::Failed
        }
        Failure::Collisions(list) => {
            for collision in list {
                out.error(&escape(&collision.to_string()));
            }
            Exit::Refused
        }
        Failure::Refused { refusal, .. } => {
            out.error(&escape(&refusal.to_string()));
            Exit::Refused
        }
    }
}

/// Tells why there is nothing to go back to.
pub(crate) fn back(error: &BackError, out: Out) -> Exit {
    match error {
        BackError::Plan(failure) => tell(failure, out),
        BackError::Lost { cause, .. } => match cause.as_ref() {
            AppliedError::Source(cause) => source(cause, out),
            _ => told(error, Exit::Invalid, out),
        },
        BackError::Journal(_) => told(error, Exit::Failed, out),
        _ => told(error, Exit::Refused, out),
    }
}

fn told(error: &BackError, exit: Exit, out: Out) -> Exit {
    out.error(&escape(&error.to_string()));
    exit
}

/// Tells why the kernel or the host cannot be read.
pub(crate) fn live(error: &LiveError, out: Out) -> Exit {
    out.error(&escape(&error.to_string()));
    if error.is_refusal() {
        Exit::Refused
    } else {
        Exit::Failed
    }
}

/// Tells why the lock was not taken.
pub(crate) fn lock(error: &LockError, out: Out) -> Exit {
    out.error(&escape(&error.to_string()));
    if error.is_busy() {
        Exit::Refused
    } else {
        Exit::Failed
    }
}

/// Tells why a tree cannot be read.
pub(crate) fn source(error: &SourceError, out: Out) -> Exit {
    out.error(&escape(&error.to_string()));
    if let Some(line) = error.remedy() {
        // On a line of its own, for whoever pastes it.
        out.insist(&format!("    {}\n", escape(&line)));
    }
    if error.is_refusal() {
        Exit::Refused
    } else {
        Exit::Invalid
    }
}
