//! Grace periods, made short for as long as a run waits for many of them.
//!
//! To attach a program to an interface, to take one away, or to make an interface, waits for a
//! grace period of RCU, and all others who would change an interface wait with it: 8 ms and more
//! each, of which a container needs several. The kernel has a switch that makes all of them short,
//! on the whole system, at the price of an interrupt of each processor: `/sys/kernel/rcu_expedited`
//! (kernel/ksysfs.c; `rcupdate.rcu_expedited` of Documentation/admin-guide/kernel-parameters.txt).
//!
//! It is put back when the run ends. What it was is noted in the run directory first, so that where
//! a run dies, the next one puts it back. Where it cannot be switched, all is as it was, and slow.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::files;

/// The kernel's switch: grace periods are short where it is not 0.
const SWITCH: &str = "/sys/kernel/rcu_expedited";
/// Name of the note in the run directory.
const NOTE: &str = "rcu-expedited";

/// Grace periods are short while it is held.
#[derive(Debug)]
pub struct Short {
    note: PathBuf,
}

impl Short {
    /// Makes them short; `None` where they are, or where that cannot be done.
    pub fn begin(run: &Path) -> Option<Self> {
        let before = fs::read_to_string(SWITCH).ok()?;
        if before.trim() != "0" {
            return None;
        }
        let note = run.join(NOTE);
        let made = files::place(&note, before.as_bytes(), 0o600)
            .map_err(|error| io::Error::other(error.to_string()))
            .and_then(|()| fs::write(SWITCH, "1"));
        match made {
            Ok(()) => Some(Self { note }),
            Err(error) => {
                tracing::info!("grace periods stay long: {error}");
                let _ = fs::remove_file(note);
                None
            }
        }
    }
}

impl Drop for Short {
    fn drop(&mut self) {
        put_back_by(&self.note);
    }
}

/// Puts back what a run that died has switched. Whoever calls it holds the lock.
pub fn put_back(run: &Path) {
    put_back_by(&run.join(NOTE));
}

fn put_back_by(note: &Path) {
    let Ok(before) = fs::read_to_string(note) else {
        return;
    };
    match fs::write(SWITCH, before.trim()) {
        // Gone only then, so that another try follows.
        Ok(()) => drop(fs::remove_file(note)),
        Err(error) => tracing::warn!("{SWITCH} was not put back to {}: {error}", before.trim()),
    }
}
