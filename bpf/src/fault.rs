//! What failed: a call, the object it was about, and the kernel's answer.
//!
//! Each operation has an error type of its own; this is the part that all of them share, so that
//! no message says only "permission denied".

use std::fmt;
use std::io;
use std::path::PathBuf;

use state::words::generation::Slot;
use state::words::names::FullName;

use crate::sys::Hook;

/// A call that the kernel refused.
#[derive(Debug, thiserror::Error)]
#[error("cannot {call} {object}: {source}")]
pub struct Fault {
    /// What was to be done, as a verb.
    pub call: &'static str,
    /// With what.
    pub object: Object,
    /// The kernel's answer.
    pub source: io::Error,
}

impl Fault {
    pub(crate) fn new(call: &'static str, object: Object, source: io::Error) -> Self {
        Self {
            call,
            object,
            source,
        }
    }

    /// The kernel's error number, where the answer has one.
    pub fn errno(&self) -> Option<i32> {
        self.source.raw_os_error()
    }
}

/// An object of the kernel, as a person would name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Object {
    /// A map that a host has once.
    Map(&'static str),
    /// One slot's part of a table.
    Table(&'static str, Slot),
    /// A container's own map.
    ContainerMap(FullName, &'static str),
    /// A program, by its function.
    Program(&'static str),
    /// An attached program of a container.
    Link(FullName, Hook),
    /// An interface's side.
    Side(u32, Hook),
    /// The network interfaces of this host.
    Interfaces,
    /// A file or directory below the base directory.
    Path(PathBuf),
    /// An object by the kernel's number.
    Id(&'static str, u32),
    /// Something that the host has one of.
    Host(&'static str),
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Map(name) => write!(f, "map {name}"),
            Self::Table(name, slot) => write!(f, "table {name} of slot {slot}"),
            Self::ContainerMap(container, name) => write!(f, "map {name} of {container}"),
            Self::Program(name) => write!(f, "program {name}"),
            Self::Link(container, hook) => write!(f, "the {hook} link of {container}"),
            Self::Side(ifindex, hook) => write!(f, "{hook} of interface {ifindex}"),
            Self::Interfaces => f.write_str("the list of interfaces"),
            Self::Path(path) => write!(f, "{}", path.display()),
            Self::Id(kind, id) => write!(f, "{kind} {id}"),
            Self::Host(name) => write!(f, "the host's {name}"),
        }
    }
}

impl fmt::Display for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ingress => "ingress",
            Self::Egress => "egress",
        })
    }
}

/// Says of a failed call what it was about.
pub(crate) trait Of<T> {
    fn of(self, call: &'static str, object: impl FnOnce() -> Object) -> Result<T, Fault>;
}

impl<T> Of<T> for io::Result<T> {
    fn of(self, call: &'static str, object: impl FnOnce() -> Object) -> Result<T, Fault> {
        self.map_err(|source| Fault::new(call, object(), source))
    }
}
