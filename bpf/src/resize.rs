//! Another quota for a container that lives: its established connections move to a map of another
//! size.
//!
//! The map is part of the programs, so they are loaded anew with the same constants over the new
//! map and swapped in. Connections are copied before that, and what was established in between is
//! copied after it. An entry says which generation judged it, so a late copy can give a flow no
//! verdict that it has not got: at worst it is judged once more.

use std::io;
use std::os::fd::{AsFd, AsRawFd};

use state::live::LivePrograms;
use state::words::names::FullName;

use crate::abi::{ConnectionRow, header, maps};
use crate::attached::HOOKS;
use crate::fault::{Fault, Object, Of};
use crate::kernel::{Kernel, Map};
use crate::live::LiveError;
use crate::object::Build;
use crate::pins;
use crate::programs::AttachError;
use crate::rodata::Reader;
use crate::rows::{self, Rows, Way};
use crate::sys::{self, Update};

/// Why a quota was not changed.
#[derive(Debug, thiserror::Error)]
pub enum ResizeError {
    /// Its programs could not be read.
    #[error(transparent)]
    Live(#[from] LiveError),
    /// Its programs could not be loaded over the new map.
    #[error(transparent)]
    Attach(#[from] AttachError),
    /// It has no maps, or they are not registered.
    #[error("{0} has no connection maps, or they are not registered")]
    NoConnections(FullName),
    /// The kernel refused a call.
    #[error(transparent)]
    Fault(#[from] Fault),
}

/// What became of the connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Resized {
    /// How many moved.
    pub moved: usize,
    /// How many had no room and are forgotten.
    pub forgotten: usize,
}

impl Kernel {
    /// Moves a container's established connections to a map with room for `quota`. Nothing is done
    /// where it has that room already. Packets may be in the old programs until the next barrier.
    pub fn resize_connections(
        &self,
        container: &FullName,
        quota: u32,
    ) -> Result<Resized, ResizeError> {
        let gone = || ResizeError::NoConnections(container.clone());
        let own = self.connection_maps(container)?.ok_or_else(gone)?;
        if own[0].entries == quota {
            return Ok(Resized::default());
        }
        let object = || Object::ContainerMap(container.clone(), maps::ESTABLISHED.name);
        let endpoint = self.registry()?.get(&own[0].id).copied().ok_or_else(gone)?;
        let fresh = sys::map_create(&maps::ESTABLISHED, quota).of("make", object)?;
        let fresh = Map::of(fresh, object)?;
        let now = self.now()?;
        copy(&own[0], &fresh, now, object)?;

        let programs = self.live_programs(container, Some(&own), &mut Reader::default())?;
        let [old, half_open, datagrams, counters] = own;
        let own = [fresh, half_open, datagrams, counters];
        if let Some(programs) = programs {
            self.swap_over(container, &programs, &own)?;
        }
        copy(&old, &own[0], now, object)?;
        let registry = self.need(&maps::ALL_ESTABLISHED)?;
        let index = u32::from(endpoint.0).to_ne_bytes();
        let number = own[0].fd.as_raw_fd().to_ne_bytes();
        sys::update(registry.fd.as_fd(), &index, &number, Update::Any)
            .of("register a map in", || {
                Object::Map(maps::ALL_ESTABLISHED.name)
            })?;
        // The update has waited for a grace period: nothing writes into the old map any more.
        let resized = copy(&old, &own[0], now, object)?;
        let path = self.pins.container_map(container, maps::ESTABLISHED.name);
        pins::replace(own[0].fd.as_fd(), &path)?;
        Ok(resized)
    }

    /// The same build over other maps, in the same links.
    fn swap_over(
        &self,
        container: &FullName,
        programs: &LivePrograms,
        own: &[Map; 4],
    ) -> Result<(), ResizeError> {
        let build = Build::Plain(programs.constants, programs.build);
        let loaded = self.load_over(container, &build, own)?;
        let loaded = [loaded.from_container, loaded.to_container];
        for (hook, program) in HOOKS.into_iter().zip(&loaded) {
            if let Some(link) = self.pins.open_link(&self.pins.link(container, hook))? {
                sys::link_update(link.as_fd(), program.as_fd())
                    .of("update", || Object::Link(container.clone(), hook))?;
            }
        }
        Ok(())
    }
}

/// Copies every connection that the other map does not have. One that it has and that has closed
/// since is closed there too.
fn copy(from: &Map, to: &Map, now: u32, object: impl Fn() -> Object) -> Result<Resized, Fault> {
    let shape = &maps::ESTABLISHED;
    let rows = Rows::read(
        from.fd.as_fd(),
        shape.key_size,
        shape.value_size,
        Way::Batches,
    )
    .of("read", &object)?;
    let mut resized = Resized {
        moved: rows.len(),
        forgotten: 0,
    };
    // Where there is not room for all, those that have ended or expired stay behind.
    let (alive, over): (Vec<_>, Vec<_>) = rows.iter().partition(|(_, value)| is_alive(value, now));
    let alive_count = alive.len();
    for (at, (key, value)) in alive.into_iter().chain(over).enumerate() {
        match sys::update(to.fd.as_fd(), key, value, Update::New) {
            Err(error) if error.raw_os_error() == Some(libc::EEXIST) => {
                close(to, key, value).of("copy a connection into", &object)?;
            }
            Err(error) if rows::is_full(&error) => {
                resized.moved -= 1;
                resized.forgotten += usize::from(at < alive_count);
            }
            copied => copied.of("copy a connection into", &object)?,
        }
    }
    Ok(resized)
}

/// Whether its packets may still pass.
fn is_alive(value: &[u8], now: u32) -> bool {
    const BOTH: u64 = header::PL_WORD_FIN_OUT | header::PL_WORD_FIN_IN;
    let row: ConnectionRow = sys::value_of(value).unwrap_or_default();
    let ended = row.word & header::PL_WORD_RESET != 0 || row.word & BOTH == BOTH;
    !ended && row.expires.wrapping_sub(now).cast_signed() >= 0
}

/// Gives an entry the marks of closing that its elder has, and that one's expiry with them.
fn close(map: &Map, key: &[u8], elder: &[u8]) -> io::Result<()> {
    const CLOSING: u64 = header::PL_WORD_FIN_OUT | header::PL_WORD_FIN_IN | header::PL_WORD_RESET;
    let elder: ConnectionRow = sys::value_of(elder).unwrap_or_default();
    let mut value = vec![0; maps::ESTABLISHED.value_size as usize];
    if elder.word & CLOSING == 0 || !sys::lookup(map.fd.as_fd(), key, &mut value)? {
        return Ok(());
    }
    let mut row: ConnectionRow = sys::value_of(&value).unwrap_or_default();
    row.word |= elder.word & CLOSING;
    row.expires = elder.expires;
    sys::update(map.fd.as_fd(), key, sys::bytes_of(&row), Update::Existing)
}
