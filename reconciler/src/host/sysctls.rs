//! Sysctls below `/proc/sys`. Those of the network are of the calling thread's namespace.

use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

use state::words::address::Family;

/// Why a sysctl cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum SysctlError {
    /// It cannot be read.
    #[error("cannot read the sysctl {path}: {cause}")]
    Read {
        /// Below `/proc/sys`.
        path: String,
        /// What the kernel said.
        cause: io::Error,
    },
    /// It cannot be written.
    #[error("cannot set the sysctl {path} to {value}: {cause}")]
    Write {
        /// Below `/proc/sys`.
        path: String,
        /// The value.
        value: String,
        /// What the kernel said.
        cause: io::Error,
    },
    /// It was written and has another value all the same.
    #[error("the sysctl {path} is {found} after it was set to {value}")]
    Unchanged {
        /// Below `/proc/sys`.
        path: String,
        /// The value.
        value: String,
        /// What it is.
        found: String,
    },
    /// It is no path below `/proc/sys`.
    #[error("{path} names no sysctl")]
    Path {
        /// As given.
        path: String,
    },
}

impl SysctlError {
    /// Whether there is no such sysctl any more: the interface that it was of has gone.
    pub fn is_gone(&self) -> bool {
        match self {
            Self::Write { cause, path, .. } => {
                cause.kind() == io::ErrorKind::NotFound && is_of_one_interface(path)
            }
            Self::Unchanged { found, path, .. } => found.is_empty() && is_of_one_interface(path),
            _ => false,
        }
    }
}

/// The sysctls of a host-side interface: below `/proc/sys`, and the value that each needs.
///
/// IPv4 packets that come in by an interface are forwarded only if it allows that itself. An IPv6
/// host believes router advertisements by default: none of a container's may reach that far.
pub(super) fn of_interface(interface: &str, family: Family) -> Vec<(String, &'static str)> {
    match family {
        Family::V4 => vec![(format!("net/ipv4/conf/{interface}/forwarding"), "1")],
        Family::V6 => vec![
            (format!("net/ipv6/conf/{interface}/disable_ipv6"), "0"),
            (format!("net/ipv6/conf/{interface}/accept_ra"), "0"),
        ],
    }
}

/// Whether a sysctl comes and goes with an interface.
fn is_of_one_interface(path: &str) -> bool {
    let of = path.split('/').skip_while(|part| *part != "conf").nth(1);
    of.is_some_and(|name| !["all", "default"].contains(&name))
}

/// The value of a sysctl, such as `net/ipv4/conf/eth0/forwarding`; `None` where there is none.
pub fn read(path: &str) -> Result<Option<String>, SysctlError> {
    match fs::read_to_string(file(path)?) {
        Ok(text) => Ok(Some(text.trim_end().to_owned())),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(cause) => Err(SysctlError::Read {
            path: path.to_owned(),
            cause,
        }),
    }
}

/// Sets a sysctl and reads it back. One that has the value already is not written.
pub fn write(path: &str, value: &str) -> Result<(), SysctlError> {
    if read(path)?.as_deref() == Some(value) {
        return Ok(());
    }
    fs::write(file(path)?, value).map_err(|cause| SysctlError::Write {
        path: path.to_owned(),
        value: value.to_owned(),
        cause,
    })?;
    match read(path)? {
        Some(found) if found == value => Ok(()),
        found => Err(SysctlError::Unchanged {
            path: path.to_owned(),
            value: value.to_owned(),
            found: found.unwrap_or_default(),
        }),
    }
}

fn file(path: &str) -> Result<PathBuf, SysctlError> {
    let parts = Path::new(path).components();
    if path.is_empty() || !parts.into_iter().all(|p| matches!(p, Component::Normal(_))) {
        return Err(SysctlError::Path {
            path: path.to_owned(),
        });
    }
    Ok(Path::new("/proc/sys").join(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sysctl_is_read_and_a_missing_one_is_none() {
        assert!(read("net/ipv4/ip_forward").unwrap().is_some());
        assert_eq!(
            read("net/ipv4/conf/no-such-interface/forwarding").unwrap(),
            None
        );
    }

    #[test]
    fn no_path_leads_out_of_proc_sys() {
        for path in [
            "",
            "/etc/passwd",
            "../sysrq-trigger",
            "net/../../sysrq-trigger",
        ] {
            assert!(matches!(write(path, "1"), Err(SysctlError::Path { .. })));
        }
    }
}
