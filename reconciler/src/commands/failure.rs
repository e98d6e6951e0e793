//! Why there is no plan, as a person or a program is told it, and with which exit code.

use super::problems;
use crate::pipeline::Failure;
use crate::report::escape::escape;
use crate::report::exit::Exit;
use crate::report::out::Out;
use crate::source::SourceError;

/// Tells of a failure.
pub(crate) fn tell(failure: &Failure, out: Out) -> Exit {
    match failure {
        Failure::Source(error) => source(error, out),
        Failure::Invalid(tree) => {
            problems::tell(&tree.problems, &tree.source.tree, out);
            out.error("the tree is invalid: what is live is unchanged");
            Exit::Invalid
        }
        Failure::Compile(error) => {
            out.error(&escape(&error.to_string()));
            Exit::Invalid
        }
        Failure::Live(error) => {
            out.error(&escape(&error.to_string()));
            if error.is_refusal() {
                Exit::Refused
            } else {
                Exit::Failed
            }
        }
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
