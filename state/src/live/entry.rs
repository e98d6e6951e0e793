//! One entry of a container's connection maps, as it is handed in.

use std::net::IpAddr;

use crate::target::tables::EndpointIndex;
use crate::words::generation::Generation;
use crate::words::names::FullName;

/// An entry that has not expired and is no record of fragments.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// Whose maps it stands in.
    pub container: FullName,
    /// The other end.
    pub peer: IpAddr,
    /// IANA protocol number.
    pub protocol: u8,
    /// The container's port; 0 where the protocol has none.
    pub own_port: u16,
    /// The other end's; of an ICMP echo its identifier.
    pub peer_port: u16,
    /// Whether the container began it.
    pub initiator: bool,
    /// TCP whose handshake has been proven: it counts towards the container's quota.
    pub established: bool,
    /// Both sides have finished, or one has reset it.
    pub ended: bool,
    /// The generation that judged it last: its low bits.
    pub generation: u64,
    /// Its packets come from the host itself.
    pub from_host: bool,
    /// Where its packets are delivered; `None`: to the host's stack.
    pub deliver_to: Option<EndpointIndex>,
}

impl Entry {
    /// Whether packets of a generation believe it.
    pub fn is_of(&self, generation: Generation) -> bool {
        self.generation == generation.cached()
    }
}
