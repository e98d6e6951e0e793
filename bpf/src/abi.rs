//! What the kernel's side and this one both know, under our names.
//!
//! Nothing here is written by hand: types are those of the linked objects (`libbpf-cargo` makes
//! them from BTF), numbers those of `plumbline.h`, shapes those of `maps.h`; `build.rs` generates
//! all of it. `tests/abi.rs` walks the objects' BTF and compares every field.

/// The skeleton of a container's own programs.
// Generated code, and the only unsafe code besides sys.rs.
#[allow(unsafe_code, unused, unreachable_pub, missing_docs)]
#[allow(
    clippy::all,
    clippy::undocumented_unsafe_blocks,
    clippy::unwrap_used,
    clippy::expect_used
)]
#[allow(
    clippy::wildcard_imports,
    clippy::cast_lossless,
    clippy::cast_possible_truncation
)]
#[allow(
    clippy::uninlined_format_args,
    clippy::semicolon_if_nothing_returned,
    clippy::too_many_lines
)]
pub(crate) mod container {
    include!(concat!(env!("OUT_DIR"), "/container.skel.rs"));
}

/// The skeleton of what all containers share.
#[allow(unsafe_code, unused, unreachable_pub, missing_docs)]
#[allow(
    clippy::all,
    clippy::undocumented_unsafe_blocks,
    clippy::unwrap_used,
    clippy::expect_used
)]
#[allow(
    clippy::wildcard_imports,
    clippy::cast_lossless,
    clippy::cast_possible_truncation
)]
#[allow(
    clippy::uninlined_format_args,
    clippy::semicolon_if_nothing_returned,
    clippy::too_many_lines
)]
pub(crate) mod blocks {
    include!(concat!(env!("OUT_DIR"), "/blocks.skel.rs"));
}

/// Numbers of `plumbline.h`, the reasons, and the hashes of the two objects' code.
pub mod header {
    include!(concat!(env!("OUT_DIR"), "/header.rs"));
}

/// The maps of `maps.h`.
pub mod maps {
    use super::Shape;

    include!(concat!(env!("OUT_DIR"), "/maps.rs"));
}

pub use blocks::types::{pl_sweep as SweepRow, rodata as BlocksRodata};
pub use container::types::rodata as ContainerRodata;
pub use container::types::{
    __sk_buff as PacketContext, pl_address as AddressRow, pl_block as Block,
    pl_connection as ConnectionRow, pl_constants as ConstantsRow, pl_counters as Counters,
    pl_direction as DirectionNumber, pl_endpoint as EndpointRow, pl_flow as FlowKey,
    pl_kind as KindNumber, pl_mark as MarkNumber, pl_owner as OwnerNumber,
    pl_policy_key as PolicyRowKey, pl_port_key as PortRowKey, pl_prefix_v4 as PrefixV4,
    pl_prefix_v6 as PrefixV6, pl_reason as ReasonNumber, pl_slot as SlotRow,
};

/// How a map is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Its name, in C, in the kernel and below the base directory.
    pub name: &'static str,
    /// `BPF_MAP_TYPE_*`.
    pub kind: u32,
    /// Bytes of a key.
    pub key_size: u32,
    /// Bytes of a value; of a map of maps, of an inner map's number.
    pub value_size: u32,
    /// How many entries it has room for.
    pub entries: u32,
    /// `BPF_F_*`.
    pub flags: u32,
    /// Of a map of maps: what it holds. The size is the one that a fresh inner map begins with.
    pub inner: Option<&'static Self>,
}

/// The tables of a slot: two inner maps each.
pub const TABLES: [&Shape; 6] = [
    &maps::ADDRESSES_V4,
    &maps::ADDRESSES_V6,
    &maps::INTERFACES,
    &maps::ENDPOINTS,
    &maps::POLICY,
    &maps::RULESETS,
];

/// A container's own maps.
pub const CONNECTION_MAPS: [&Shape; 4] = [
    &maps::ESTABLISHED,
    &maps::HALF_OPEN,
    &maps::DATAGRAMS,
    &maps::COUNTERS,
];

/// Where the shared blocks find each of [`CONNECTION_MAPS`], by endpoint.
pub const REGISTRIES: [&Shape; 4] = [
    &maps::ALL_ESTABLISHED,
    &maps::ALL_HALF_OPEN,
    &maps::ALL_DATAGRAMS,
    &maps::ALL_COUNTERS,
];

/// The maps of which a host has one each: all but the containers' own and the block table.
pub const GLOBAL: [&Shape; 15] = [
    &maps::COMMIT,
    &maps::SLOTS,
    &maps::ADDRESSES_V4,
    &maps::ADDRESSES_V6,
    &maps::INTERFACES,
    &maps::ENDPOINTS,
    &maps::POLICY,
    &maps::RULESETS,
    &maps::ALL_ESTABLISHED,
    &maps::ALL_HALF_OPEN,
    &maps::ALL_DATAGRAMS,
    &maps::ALL_COUNTERS,
    &maps::SCRATCH,
    &maps::SWEEP,
    &maps::BARRIER,
];
