//! The two slots: their rows read back, and a delta written into the one that is not live.
//!
//! Nothing here touches the live slot's tables, for the kernel may reuse an element at once when it
//! is deleted, and a reader could see another's row. A table that has no room gets a fresh map of
//! at least twice the size, filled first and then put in the old one's place.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use state::diff::{Delta, TableDelta};
use state::live::LostTable;
use state::target::tables::{Endpoint, EndpointIndex, Tables};
use state::words::address::Cidr;
use state::words::generation::Slot;

use crate::abi::{Shape, TABLES, maps};
use crate::encode;
use crate::fault::{Fault, Object, Of};
use crate::kernel::{Kernel, Map};
pub use crate::rows::ForeignRow;
use crate::rows::{self, Rows, Way};
use crate::sys::{self, Update, bytes_of};

/// Why a slot was not read or written.
#[derive(Debug, thiserror::Error)]
pub enum SlotError {
    /// Packets use it.
    #[error("slot {0} is live and was not written")]
    Live(Slot),
    /// It has no such table: the base has not been created whole.
    #[error("slot {slot} has no table {table}")]
    NoTable {
        /// Which.
        slot: Slot,
        /// Which of its tables.
        table: &'static str,
    },
    /// A commit's or tree's name is longer than the kernel's record has room for.
    #[error("{0:?} is too long for the name of a commit: 71 characters are the most")]
    Name(String),
    /// The kernel refused a call.
    #[error(transparent)]
    Fault(#[from] Fault),
}

/// A slot read back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SlotReading {
    /// Its rows.
    pub tables: Tables,
    /// Rows that are no rows of ours, and rows of the interface table that do not follow from the
    /// endpoints. The next write into the slot removes them.
    pub foreign: Vec<ForeignRow>,
}

impl Kernel {
    pub(crate) fn refuse_live(&self, slot: Slot) -> Result<(), SlotError> {
        if self.record().slot == slot {
            return Err(SlotError::Live(slot));
        }
        Ok(())
    }

    // ---- Its rows, read ----

    /// Reads a slot's rows back.
    pub fn read_slot(&self, slot: Slot) -> Result<SlotReading, SlotError> {
        let mut foreign = Vec::new();
        let mut addresses = Vec::new();
        for shape in [&maps::ADDRESSES_V4, &maps::ADDRESSES_V6] {
            addresses.extend(self.read_table(shape, slot, &mut foreign, |key, value| {
                Some((encode::read_prefix(key)?, encode::read_address(value)?))
            })?);
        }
        let policy = self.read_table(&maps::POLICY, slot, &mut foreign, |key, value| {
            Some((encode::read_policy_key(key)?, encode::read_ruleset(value)?))
        })?;
        let rulesets = self.read_table(&maps::RULESETS, slot, &mut foreign, |key, value| {
            Some((encode::read_port_key(key)?, encode::read_rule(value)?))
        })?;
        let endpoints = self.read_endpoints(slot, &mut foreign)?;
        let interfaces = self.read_interfaces(slot)?;
        for ifindex in differing(&interfaces, &encode::interfaces(&endpoints)) {
            foreign.push(ForeignRow {
                table: maps::INTERFACES.name,
                key: ifindex.to_ne_bytes().to_vec(),
            });
        }
        self.foreign()[slot.index() as usize & 1] = Some(foreign.clone());
        let tables = Tables {
            addresses: addresses.into_iter().collect(),
            endpoints,
            policy: policy.into_iter().collect(),
            rulesets: rulesets.into_iter().collect(),
        };
        Ok(SlotReading { tables, foreign })
    }

    pub(crate) fn read_endpoints(
        &self,
        slot: Slot,
        foreign: &mut Vec<ForeignRow>,
    ) -> Result<BTreeMap<EndpointIndex, Endpoint>, SlotError> {
        let rows = self.read_table(&maps::ENDPOINTS, slot, foreign, |key, value| {
            Some((encode::read_index(key)?, encode::read_endpoint(value)?))
        })?;
        let present = rows.into_iter().filter_map(|(at, row)| Some((at, row?)));
        Ok(present.collect())
    }

    fn read_interfaces(&self, slot: Slot) -> Result<BTreeMap<u32, u32>, SlotError> {
        let rows = self.read_table(&maps::INTERFACES, slot, &mut Vec::new(), |key, value| {
            Some((sys::value_of(key)?, sys::value_of(value)?))
        })?;
        Ok(rows.into_iter().collect())
    }

    /// Rows of one table as `read` has them; those that it does not know are foreign.
    fn read_table<R>(
        &self,
        shape: &'static Shape,
        slot: Slot,
        foreign: &mut Vec<ForeignRow>,
        read: impl Fn(&[u8], &[u8]) -> Option<R>,
    ) -> Result<Vec<R>, SlotError> {
        let (Some(table), Some(inner)) = (self.table(shape, slot)?, shape.inner) else {
            return Ok(Vec::new());
        };
        let rows = Rows::read(
            table.fd.as_fd(),
            inner.key_size,
            inner.value_size,
            Way::Batches,
        )
        .of("read", || Object::Table(shape.name, slot))?;
        let mut known = Vec::with_capacity(rows.len());
        for (key, value) in rows.iter() {
            match read(key, value) {
                Some(row) => known.push(row),
                None => foreign.push(ForeignRow {
                    table: shape.name,
                    key: key.to_vec(),
                }),
            }
        }
        Ok(known)
    }

    /// A slot's map of one table.
    fn table(&self, shape: &'static Shape, slot: Slot) -> Result<Option<Map>, Fault> {
        let object = || Object::Table(shape.name, slot);
        let Some(outer) = self.map(shape) else {
            return Ok(None);
        };
        let mut id = [0; 4];
        if !sys::lookup(outer.fd.as_fd(), &slot.index().to_ne_bytes(), &mut id)
            .of("find", object)?
        {
            return Ok(None);
        }
        let fd = sys::map_by_id(u32::from_ne_bytes(id)).of("open", object)?;
        Map::of(fd, object).map(Some)
    }

    /// Tables whose maps are not in their places.
    pub(crate) fn lost_tables(&self) -> Result<Vec<LostTable>, Fault> {
        let mut lost = Vec::new();
        for slot in Slot::ALL {
            for shape in TABLES {
                if self.table(shape, slot)?.is_none() {
                    let table = shape.name.to_owned();
                    lost.push(LostTable { slot, table });
                }
            }
        }
        Ok(lost)
    }

    // ---- Its rows, written ----

    /// Writes what differs into the slot that is not live. No packet may still use it: a barrier
    /// has passed since the record left it.
    pub fn write_delta(&self, slot: Slot, delta: &Delta) -> Result<(), SlotError> {
        self.refuse_live(slot)?;
        self.remove_foreign(slot)?;
        for shape in [&maps::ADDRESSES_V4, &maps::ADDRESSES_V6] {
            let of_family = |cidr: &Cidr| {
                let v4 = shape.name == maps::ADDRESSES_V4.name;
                matches!(cidr, Cidr::V4(_)) == v4
            };
            let mut change = Change::new(shape);
            let addresses = &delta.addresses;
            for (cidr, address) in addresses.put.iter().filter(|(cidr, _)| of_family(cidr)) {
                change.put(
                    encode::prefix(cidr).bytes(),
                    bytes_of(&encode::address(address)),
                );
            }
            for cidr in addresses.delete.iter().filter(|cidr| of_family(cidr)) {
                change.delete(encode::prefix(cidr).bytes());
            }
            self.change(shape, slot, &change)?;
        }
        let mut change = Change::new(&maps::POLICY);
        for (key, ruleset) in &delta.policy.put {
            let (key, value) = (encode::policy_key(key), encode::ruleset(*ruleset));
            change.put(bytes_of(&key), bytes_of(&value));
        }
        for key in &delta.policy.delete {
            change.delete(bytes_of(&encode::policy_key(key)));
        }
        self.change(&maps::POLICY, slot, &change)?;
        let mut change = Change::new(&maps::RULESETS);
        for (key, rule) in &delta.rulesets.put {
            let (key, value) = (encode::port_key(key), encode::rule(*rule));
            change.put(bytes_of(&key), bytes_of(&value));
        }
        for key in &delta.rulesets.delete {
            change.delete(bytes_of(&encode::port_key(key)));
        }
        self.change(&maps::RULESETS, slot, &change)?;
        self.write_endpoints(slot, &delta.endpoints)
    }

    /// The endpoint table, and the interface table as it follows from it.
    fn write_endpoints(
        &self,
        slot: Slot,
        delta: &TableDelta<EndpointIndex, Endpoint>,
    ) -> Result<(), SlotError> {
        let mut change = Change::new(&maps::ENDPOINTS);
        let put = delta.put.iter().map(|(at, endpoint)| (at, Some(endpoint)));
        for (at, endpoint) in put.chain(delta.delete.iter().map(|at| (at, None))) {
            change.put(
                bytes_of(&encode::index(*at)),
                bytes_of(&encode::endpoint(endpoint)),
            );
        }
        self.change(&maps::ENDPOINTS, slot, &change)?;

        let endpoints = self.read_endpoints(slot, &mut Vec::new())?;
        let follow = encode::interfaces(&endpoints);
        let mut change = Change::new(&maps::INTERFACES);
        for ifindex in differing(&self.read_interfaces(slot)?, &follow) {
            match follow.get(&ifindex) {
                Some(at) => change.put(bytes_of(&ifindex), bytes_of(at)),
                None => change.delete(bytes_of(&ifindex)),
            }
        }
        self.change(&maps::INTERFACES, slot, &change)
    }

    /// What the last reading found that no row of ours is; where this handle has not read the slot
    /// yet, it does.
    fn remove_foreign(&self, slot: Slot) -> Result<(), SlotError> {
        let place = slot.index() as usize & 1;
        let known = self.foreign()[place].is_some();
        if !known {
            self.read_slot(slot)?;
        }
        let rows = self.foreign()[place].replace(Vec::new());
        let rows = rows.unwrap_or_default();
        for shape in TABLES {
            let mut change = Change::new(shape);
            for row in rows.iter().filter(|row| row.table == shape.name) {
                if shape.name == maps::ENDPOINTS.name {
                    change.put(&row.key, bytes_of(&encode::endpoint(None)));
                } else {
                    change.delete(&row.key);
                }
            }
            self.change(shape, slot, &change)?;
        }
        Ok(())
    }

    fn change(&self, shape: &'static Shape, slot: Slot, change: &Change) -> Result<(), SlotError> {
        if change.deletes.is_empty() && change.puts.len() == 0 {
            return Ok(());
        }
        let object = || Object::Table(shape.name, slot);
        let table = self.table(shape, slot)?.ok_or(SlotError::NoTable {
            slot,
            table: shape.name,
        })?;
        let key_size = shape.inner.map_or(shape.key_size, |inner| inner.key_size);
        rows::delete(table.fd.as_fd(), key_size, &change.deletes).of("delete rows of", object)?;
        if change.puts.len() <= table.entries as usize {
            match change.puts.write(table.fd.as_fd()) {
                Ok(()) => return Ok(()),
                Err(stopped) if rows::is_full(&stopped.error) => {}
                Err(stopped) => return Err(Fault::new("write", object(), stopped.error).into()),
            }
        }
        self.grow(shape, slot, &table, &change.puts)
    }

    /// A fresh map with at least twice the room, filled and put in the old one's place.
    fn grow(
        &self,
        shape: &'static Shape,
        slot: Slot,
        table: &Map,
        puts: &Rows,
    ) -> Result<(), SlotError> {
        let object = || Object::Table(shape.name, slot);
        let inner = shape.inner.unwrap_or(shape);
        let there = Rows::read(
            table.fd.as_fd(),
            inner.key_size,
            inner.value_size,
            Way::Batches,
        )
        .of("read", object)?;
        let most = u32::try_from(there.len() + puts.len()).unwrap_or(u32::MAX);
        let room = most.checked_next_power_of_two().unwrap_or(u32::MAX);
        let room = room.max(table.entries.saturating_mul(2));
        let fresh = sys::map_create(inner, room).of("make a larger", object)?;
        for rows in [&there, puts] {
            let written = rows.write(fresh.as_fd()).map_err(|stopped| stopped.error);
            written.of("fill a larger", object)?;
        }
        let outer = self.need(shape)?;
        put_inner(outer.fd.as_fd(), slot.index(), fresh.as_fd()).of("replace", object)?;
        Ok(())
    }
}

/// Puts an inner map in its place; the kernel answers after a grace period.
fn put_inner(outer: BorrowedFd<'_>, index: u32, inner: BorrowedFd<'_>) -> std::io::Result<()> {
    let number = inner.as_raw_fd().to_ne_bytes();
    sys::update(outer, &index.to_ne_bytes(), &number, Update::Any)
}

/// What to write into one table and what to delete from it.
struct Change {
    puts: Rows,
    deletes: Vec<u8>,
}

impl Change {
    fn new(shape: &Shape) -> Self {
        let inner = shape.inner.unwrap_or(shape);
        Self {
            puts: Rows::new(inner.key_size, inner.value_size),
            deletes: Vec::new(),
        }
    }

    fn put(&mut self, key: &[u8], value: &[u8]) {
        self.puts.push(key, value);
    }

    fn delete(&mut self, key: &[u8]) {
        self.deletes.extend_from_slice(key);
    }
}

/// Keys that are in one only, or have another value in the other.
fn differing(a: &BTreeMap<u32, u32>, b: &BTreeMap<u32, u32>) -> Vec<u32> {
    let in_a = a.iter().filter(|(key, value)| b.get(key) != Some(value));
    let only_in_b = b.keys().filter(|key| !a.contains_key(key));
    in_a.map(|(key, _)| *key)
        .chain(only_in_b.copied())
        .collect()
}
