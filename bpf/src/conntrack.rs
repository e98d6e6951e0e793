//! Connections and drops of a container, as the datapath keeps them.
//!
//! Expiries are read against the kernel's jiffies, modulo 2^32, as the datapath compares them.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::AsFd;

use state::target::tables::EndpointIndex;
use state::words::names::FullName;

use crate::abi::{
    CONNECTION_MAPS, ConnectionRow, Counters, FlowKey, KindNumber, Shape, SweepRow, header, maps,
};
use crate::fault::{Fault, Object, Of};
use crate::kernel::{Kernel, Map};
use crate::rows::{Rows, Way};
use crate::sys::{self, Update, bytes_of};

/// Why connections or counters were not read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// Its maps are not there.
    #[error("{0} has no connection maps, or not all of them")]
    NoConnections(FullName),
    /// The connection is not there any more.
    #[error("{0} has no such connection any more")]
    Gone(FullName),
    /// The kernel refused a call.
    #[error(transparent)]
    Fault(#[from] Fault),
}

/// Which of a container's maps an entry is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// TCP whose handshake has been proven.
    Established,
    /// TCP whose handshake has not.
    HalfOpen,
    /// Everything else.
    Datagrams,
}

impl State {
    const ALL: [(Self, &'static Shape); 3] = [
        (Self::Established, &maps::ESTABLISHED),
        (Self::HalfOpen, &maps::HALF_OPEN),
        (Self::Datagrams, &maps::DATAGRAMS),
    ];
}

/// What an entry is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// A flow, by its ports.
    Flow {
        /// The peer's port; of an ICMP echo its id.
        peer_port: u16,
        /// The container's port.
        own_port: u16,
    },
    /// A datagram in fragments, by its identification.
    Fragments {
        /// Whether the container sends it.
        out: bool,
        /// RFC 791 identification, or that of the IPv6 fragment header.
        identification: u32,
    },
    /// Who began a flow that passed before any commit judged it, by its ports.
    Seen {
        /// The peer's port.
        peer_port: u16,
        /// The container's port.
        own_port: u16,
    },
}

/// One entry of a container's connection maps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connection {
    /// Where it is kept.
    pub state: State,
    /// The other end.
    pub peer: IpAddr,
    /// IANA protocol number.
    pub protocol: u8,
    /// What it is about.
    pub subject: Subject,
    /// Whether the container began it.
    pub initiator: bool,
    /// The generation that judged it last: its low 28 bits.
    pub generation: u64,
    /// The interface by which the peer's packets come in; 0 where they are the host's own.
    pub ingress: u32,
    /// Where its packets are delivered; `None`: to the host's stack.
    pub deliver_to: Option<EndpointIndex>,
    /// Which side has closed: the container, the peer.
    pub closed: (bool, bool),
    /// Whether it was reset.
    pub reset: bool,
    /// When it expires, in seconds; negative once it has.
    pub expires_in_s: i64,
    key: FlowKeyBytes,
}

/// A key as the kernel has it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct FlowKeyBytes(Vec<u8>);

/// How many entries each map holds, expired ones that have not been reclaimed too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Entries {
    /// Established TCP.
    pub established: usize,
    /// Half-open TCP.
    pub half_open: usize,
    /// Everything else.
    pub datagrams: usize,
}

/// Why a packet was dropped: one of the datapath's closed list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reason(u32);

impl Reason {
    /// Every reason, in the datapath's order. Passing is none.
    pub fn all() -> impl Iterator<Item = Self> {
        header::REASONS
            .iter()
            .map(|(number, ..)| Self(*number))
            .filter(|reason| reason.0 != 0)
    }

    /// The reason of a name.
    pub fn named(name: &str) -> Option<Self> {
        Self::all().find(|reason| reason.name() == name)
    }

    /// Its name: `spoofed_mac`.
    pub fn name(self) -> &'static str {
        self.row().1
    }

    /// What it means, in words.
    pub fn meaning(self) -> &'static str {
        self.row().2
    }

    fn row(self) -> (u32, &'static str, &'static str) {
        let row = header::REASONS
            .iter()
            .find(|(number, ..)| *number == self.0);
        row.copied()
            .unwrap_or((self.0, "unknown", "a reason of another version"))
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

fn entries(map: &Map, of: &FullName, shape: &'static Shape) -> Result<Rows, ReadError> {
    let (fd, way) = (map.fd.as_fd(), Way::Batches);
    let rows = Rows::read(fd, shape.key_size, shape.value_size, way);
    Ok(rows.of("read", || Object::ContainerMap(of.clone(), shape.name))?)
}

impl Kernel {
    /// A container's connections, by the pins of its maps. For tests: a run asks by endpoint index.
    pub fn connections(&self, container: &FullName) -> Result<Vec<Connection>, ReadError> {
        self.connections_in(|shape| self.connection_map(container, shape), container)
    }

    /// The connections of a container at this endpoint index, also where its maps have lost their
    /// pins: packets find them by their registration.
    pub fn connections_at(
        &self,
        container: &FullName,
        endpoint: EndpointIndex,
    ) -> Result<Vec<Connection>, ReadError> {
        let registered = self.registered_at(endpoint)?;
        let map = |shape: &'static Shape| {
            let at = CONNECTION_MAPS
                .iter()
                .position(|own| own.name == shape.name);
            match at.and_then(|at| registered[at]) {
                None => self.connection_map(container, shape),
                Some(id) => {
                    let object = || Object::ContainerMap(container.clone(), shape.name);
                    let map = sys::map_by_id(id).of("open", object)?;
                    Ok(Map::of(map, object)?)
                }
            }
        };
        self.connections_in(map, container)
    }

    fn connections_in(
        &self,
        map: impl Fn(&'static Shape) -> Result<Map, ReadError>,
        container: &FullName,
    ) -> Result<Vec<Connection>, ReadError> {
        let now = self.now()?;
        let mut connections = Vec::new();
        for (state, shape) in State::ALL {
            for (key, value) in entries(&map(shape)?, container, shape)?.iter() {
                let (Some(flow), Some(row)) = (sys::value_of(key), sys::value_of(value)) else {
                    continue;
                };
                connections.push(self.connection(state, &flow, &row, now));
            }
        }
        Ok(connections)
    }

    /// The clock of expiries. Its program is loaded once.
    pub(crate) fn now(&self) -> Result<u32, Fault> {
        let object = || Object::Host("jiffies");
        if self.jiffies.get().is_none() {
            let clock = sys::jiffies().of("read", object)?;
            // Nobody else sets it in between: a cell is of one thread.
            let _ = self.jiffies.set(clock);
        }
        let clock = self
            .jiffies
            .get()
            .ok_or_else(|| io::ErrorKind::NotFound.into());
        clock.and_then(sys::Jiffies::now).of("read", object)
    }

    /// How many entries each map of a container holds.
    pub fn entry_counts(&self, container: &FullName) -> Result<Entries, ReadError> {
        let count = |shape| {
            let map = self.connection_map(container, shape)?;
            entries(&map, container, shape).map(|rows| rows.len())
        };
        Ok(Entries {
            established: count(&maps::ESTABLISHED)?,
            half_open: count(&maps::HALF_OPEN)?,
            datagrams: count(&maps::DATAGRAMS)?,
        })
    }

    /// Sets when an entry expires, in seconds from now; the past is allowed. For tests: a packet of
    /// the flow that is under way may set it again.
    pub fn set_expiry(
        &self,
        container: &FullName,
        connection: &Connection,
        in_s: i32,
    ) -> Result<(), ReadError> {
        let shape = State::ALL
            .iter()
            .find(|(state, _)| *state == connection.state);
        let shape = shape.map_or(&maps::DATAGRAMS, |(_, shape)| *shape);
        let map = self.connection_map(container, shape)?;
        let object = || Object::ContainerMap(container.clone(), shape.name);
        let now = self.now()?;
        let mut value = vec![0; shape.value_size as usize];
        let key = &connection.key.0;
        if !sys::lookup(map.fd.as_fd(), key, &mut value).of("read", object)? {
            return Err(ReadError::Gone(container.clone()));
        }
        let mut row: ConnectionRow = sys::value_of(&value).unwrap_or_default();
        let from_now = in_s.wrapping_mul(self.jiffies_per_second.cast_signed());
        row.expires = now.wrapping_add_signed(from_now);
        sys::update(map.fd.as_fd(), key, bytes_of(&row), Update::Existing).of("write", object)?;
        Ok(())
    }

    /// How many packets of a container were dropped, by reason: the sum over all CPUs.
    pub fn drops(&self, container: &FullName) -> Result<BTreeMap<Reason, u64>, ReadError> {
        let map = self.connection_map(container, &maps::COUNTERS)?;
        let size = (maps::COUNTERS.value_size as usize).next_multiple_of(8);
        let cpus = libbpf_rs::num_possible_cpus().map_err(std::io::Error::other);
        let cpus = cpus.of("count", || Object::Host("CPUs"))?;
        let mut values = vec![0; size * cpus];
        sys::lookup(map.fd.as_fd(), &0_u32.to_ne_bytes(), &mut values).of("read", || {
            Object::ContainerMap(container.clone(), maps::COUNTERS.name)
        })?;
        let mut sums: BTreeMap<Reason, u64> = Reason::all().map(|reason| (reason, 0)).collect();
        for value in values.chunks_exact(size) {
            let row = sys::value_of::<Counters>(&value[..maps::COUNTERS.value_size as usize]);
            for (reason, sum) in &mut sums {
                let drops = row.map_or(0, |row| row.drops[reason.0 as usize]);
                *sum = sum.wrapping_add(drops);
            }
        }
        Ok(sums)
    }

    /// How many expired entries the kernel's timer has reclaimed since it was made, modulo 2^32.
    pub fn reclaimed(&self) -> Result<u32, ReadError> {
        let map = self.need(&maps::SWEEP)?;
        let mut bytes = vec![0; maps::SWEEP.value_size as usize];
        sys::lookup(map.fd.as_fd(), &0_u32.to_ne_bytes(), &mut bytes)
            .of("read", || Object::Map(maps::SWEEP.name))?;
        let row: Option<SweepRow> = sys::value_of(&bytes);
        Ok(row.map_or(0, |row| row.swept))
    }

    fn connection_map(
        &self,
        container: &FullName,
        shape: &'static Shape,
    ) -> Result<Map, ReadError> {
        debug_assert!(CONNECTION_MAPS.iter().any(|known| known.name == shape.name));
        let path = self.pins.container_map(container, shape.name);
        let fd = self.pins.open_map(&path)?;
        let fd = fd.ok_or_else(|| ReadError::NoConnections(container.clone()))?;
        Ok(Map::of(fd, || {
            Object::ContainerMap(container.clone(), shape.name)
        })?)
    }

    fn connection(
        &self,
        state: State,
        flow: &FlowKey,
        row: &ConnectionRow,
        now: u32,
    ) -> Connection {
        let word = row.word;
        let endpoint = (word & header::PL_WORD_ENDPOINT) >> header::PL_WORD_ENDPOINT_SHIFT;
        let in_jiffies = row.expires.wrapping_sub(now).cast_signed();
        Connection {
            state,
            peer: peer(flow),
            protocol: flow.protocol,
            subject: subject(flow),
            initiator: word & header::PL_WORD_INITIATOR != 0,
            generation: word & header::PL_WORD_GENERATION,
            ingress: row.ingress,
            deliver_to: (endpoint != header::PL_ENDPOINT_STACK)
                .then(|| EndpointIndex(u16::try_from(endpoint).unwrap_or_default())),
            closed: (
                word & header::PL_WORD_FIN_OUT != 0,
                word & header::PL_WORD_FIN_IN != 0,
            ),
            reset: word & header::PL_WORD_RESET != 0,
            expires_in_s: i64::from(in_jiffies) / i64::from(self.jiffies_per_second.max(1)),
            key: FlowKeyBytes(bytes_of(flow).to_vec()),
        }
    }
}

fn peer(flow: &FlowKey) -> IpAddr {
    let [a, b, c, d, ..] = flow.peer;
    match flow.family {
        4 => IpAddr::V4(Ipv4Addr::new(a, b, c, d)),
        _ => IpAddr::V6(Ipv6Addr::from(flow.peer)),
    }
}

fn subject(flow: &FlowKey) -> Subject {
    let (peer, own) = (u16::from_be(flow.peer_port), u16::from_be(flow.own_port));
    match KindNumber(u32::from(flow.kind)) {
        KindNumber::PL_FLOW => Subject::Flow {
            peer_port: peer,
            own_port: own,
        },
        KindNumber::PL_SEEN => Subject::Seen {
            peer_port: peer,
            own_port: own,
        },
        kind => Subject::Fragments {
            out: kind == KindNumber::PL_FRAGMENT_OUT,
            identification: u32::from(peer) << 16 | u32::from(own),
        },
    }
}
