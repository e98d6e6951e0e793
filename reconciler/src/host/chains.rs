//! Netfilter chains that bear on containers: those that drop forwarded packets by policy, which a
//! plan warns of, and those that translate containers' addresses, as `status` proposes them.
//!
//! nftables is asked over netlink (`NFT_MSG_GETCHAIN` of linux/netfilter/nf_tables.h): base chains
//! in the families ip, ip6 and inet, whoever made them; iptables-nft's are among them. The older
//! iptables keeps its tables elsewhere, and only its own tool can read them without their private
//! binary format: it is asked where such a table is loaded and the tool exists.

use std::collections::BTreeSet;
use std::io;
use std::process::Command;

use rtnetlink::packet_core::NlasIterator;
use rtnetlink::sys::{Socket, SocketAddr, protocols::NETLINK_NETFILTER};
use state::target::host::TRANSLATION_TABLE;
use state::words::address::Family;

/// `NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETCHAIN`.
const GET_CHAIN: u16 = 10 << 8 | 4;
/// `NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWCHAIN`.
const NEW_CHAIN: u16 = 10 << 8 | 3;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
/// `NLM_F_REQUEST | NLM_F_DUMP`.
const FLAGS: u16 = 0x301;
/// Lengths of `struct nlmsghdr` and `struct nfgenmsg`.
const HEADER: usize = 16;
const GENERIC: usize = 4;
/// `NF_INET_FORWARD` and `NF_INET_POST_ROUTING` of linux/netfilter.h.
const FORWARD: u32 = 2;
const POST_ROUTING: u32 = 4;
/// `NF_DROP`.
const DROP: u32 = 0;
/// Attributes of a chain, and of its hook.
const CHAIN_TABLE: u16 = 1;
const CHAIN_NAME: u16 = 3;
const CHAIN_HOOK: u16 = 4;
const CHAIN_POLICY: u16 = 5;
const HOOK_NUMBER: u16 = 1;
/// `NLA_TYPE_MASK`: without the flags of nested and network-order attributes.
const TYPE: u16 = 0x3fff;

/// What the chains of this host mean for containers.
#[derive(Default)]
pub(super) struct Chains {
    /// Chains of the forward hook whose policy is drop, such as "inet filter forward".
    pub(super) forward_drops: BTreeSet<String>,
    /// Families in which a chain of [`TRANSLATION_TABLE`] sees what leaves the host.
    pub(super) translated: BTreeSet<Family>,
}

impl Chains {
    /// Where netfilter cannot be asked, the answer is that of a host without any: it makes no more
    /// than a warning.
    pub(super) fn read() -> Self {
        let mut chains = Self::default();
        for chain in of_nftables().unwrap_or_default() {
            chains.take(chain);
        }
        for (family, names, tool) in [
            ("ip", "/proc/net/ip_tables_names", "iptables-legacy"),
            ("ip6", "/proc/net/ip6_tables_names", "ip6tables-legacy"),
        ] {
            let loaded = std::fs::read_to_string(names).unwrap_or_default();
            if loaded.lines().any(|table| table == "filter") && legacy_drops(tool) {
                let chain = format!("{family} filter FORWARD");
                chains.forward_drops.insert(chain);
            }
        }
        chains
    }

    fn take(&mut self, chain: Chain) {
        let Chain {
            family,
            table,
            name,
            ..
        } = &chain;
        if chain.hook == Some(FORWARD) && chain.policy == Some(DROP) {
            self.forward_drops
                .insert(format!("{family} {table} {name}"));
        }
        if chain.hook == Some(POST_ROUTING) && table == TRANSLATION_TABLE {
            self.translated.extend(match chain.family {
                "ip" => Some(Family::V4),
                "ip6" => Some(Family::V6),
                _ => None,
            });
        }
    }
}

/// A base chain, or a regular one that no hook calls.
struct Chain {
    family: &'static str,
    table: String,
    name: String,
    hook: Option<u32>,
    policy: Option<u32>,
}

fn of_nftables() -> io::Result<Vec<Chain>> {
    let mut socket = Socket::new(NETLINK_NETFILTER)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    socket.send(&request(), 0)?;
    let mut chains = Vec::new();
    loop {
        let (datagram, _) = socket.recv_from_full()?;
        let mut rest = datagram.as_slice();
        while let Some((kind, body, next)) = message(rest) {
            match kind {
                NEW_CHAIN => chains.extend(chain(body)),
                NLMSG_DONE | NLMSG_ERROR => return Ok(chains),
                _ => {}
            }
            rest = next;
        }
        if datagram.is_empty() {
            return Ok(chains);
        }
    }
}

/// The request for all chains of all families.
fn request() -> Vec<u8> {
    let length = HEADER + GENERIC;
    let mut message = Vec::with_capacity(length);
    message.extend(u32::try_from(length).unwrap_or(0).to_ne_bytes());
    message.extend(GET_CHAIN.to_ne_bytes());
    message.extend(FLAGS.to_ne_bytes());
    message.extend([0; 8]);
    message.extend([0; GENERIC]);
    message
}

/// The first message of a datagram: its type, its body and what follows it.
fn message(datagram: &[u8]) -> Option<(u16, &[u8], &[u8])> {
    let length = u32::from_ne_bytes(datagram.get(..4)?.try_into().ok()?);
    let length = usize::try_from(length).ok()?;
    let kind = u16::from_ne_bytes(datagram.get(4..6)?.try_into().ok()?);
    let body = datagram.get(HEADER..length)?;
    let next = datagram.get(length.next_multiple_of(4)..).unwrap_or(&[]);
    Some((kind, body, next))
}

/// A chain, if its family forwards packets of containers.
fn chain(body: &[u8]) -> Option<Chain> {
    let family = match *body.first()? {
        1 => "inet",
        2 => "ip",
        10 => "ip6",
        _ => return None,
    };
    let mut chain = Chain {
        family,
        table: String::new(),
        name: String::new(),
        hook: None,
        policy: None,
    };
    for (kind, value) in attributes(body.get(GENERIC..)?) {
        match kind {
            CHAIN_TABLE => chain.table = text(value),
            CHAIN_NAME => chain.name = text(value),
            CHAIN_POLICY => chain.policy = number(value),
            CHAIN_HOOK => {
                chain.hook = attributes(value)
                    .find(|(kind, _)| *kind == HOOK_NUMBER)
                    .and_then(|(_, value)| number(value));
            }
            _ => {}
        }
    }
    Some(chain)
}

fn attributes(bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    NlasIterator::new(bytes).map_while(|attribute| {
        let attribute = attribute.ok()?;
        Some((attribute.kind() & TYPE, attribute.into_inner().get(4..)?))
    })
}

fn text(value: &[u8]) -> String {
    let end = value.iter().position(|byte| *byte == 0);
    String::from_utf8_lossy(&value[..end.unwrap_or(value.len())]).into_owned()
}

fn number(value: &[u8]) -> Option<u32> {
    Some(u32::from_be_bytes(value.get(..4)?.try_into().ok()?))
}

fn legacy_drops(tool: &str) -> bool {
    ["/usr/sbin", "/sbin"].iter().any(|folder| {
        Command::new(format!("{folder}/{tool}"))
            .args(["-S", "FORWARD"])
            .env_clear()
            .output()
            .is_ok_and(|output| output.stdout.starts_with(b"-P FORWARD DROP"))
    })
}
