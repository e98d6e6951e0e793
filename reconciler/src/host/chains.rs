//! Chains of others that drop forwarded packets by policy, which a plan warns of.
//!
//! nftables is asked over netlink (`NFT_MSG_GETCHAIN` of linux/netfilter/nf_tables.h): chains of
//! the forward hook in the families ip, ip6 and inet, whoever made them; iptables-nft's are among
//! them. The older iptables keeps its tables elsewhere, and only its own tool can read them
//! without their private binary format: it is asked where such a table is loaded and the tool
//! exists.

use std::collections::BTreeSet;
use std::io;
use std::process::Command;

use rtnetlink::packet_core::NlasIterator;
use rtnetlink::sys::{Socket, SocketAddr, protocols::NETLINK_NETFILTER};

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
/// `NF_INET_FORWARD` of linux/netfilter.h.
const FORWARD: u32 = 2;
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

/// The chains of the forward hook whose policy is drop, such as "inet filter forward". Where
/// netfilter cannot be asked, the answer is that of a host without any: it makes a warning only.
pub(super) fn dropping_forwarded() -> BTreeSet<String> {
    let mut chains = of_nftables().unwrap_or_default();
    for (family, names, tool) in [
        ("ip", "/proc/net/ip_tables_names", "iptables-legacy"),
        ("ip6", "/proc/net/ip6_tables_names", "ip6tables-legacy"),
    ] {
        let loaded = std::fs::read_to_string(names).unwrap_or_default();
        if loaded.lines().any(|table| table == "filter") && legacy_drops(tool) {
            chains.insert(format!("{family} filter FORWARD"));
        }
    }
    chains
}

fn of_nftables() -> io::Result<BTreeSet<String>> {
    let mut socket = Socket::new(NETLINK_NETFILTER)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    socket.send(&request(), 0)?;
    let mut chains = BTreeSet::new();
    loop {
        let (datagram, _) = socket.recv_from_full()?;
        let mut rest = datagram.as_slice();
        while let Some((kind, body, next)) = message(rest) {
            match kind {
                NEW_CHAIN => chains.extend(dropping(body)),
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

/// The name of a chain, if it is on the forward hook and drops by policy.
fn dropping(body: &[u8]) -> Option<String> {
    let family = match *body.first()? {
        1 => "inet",
        2 => "ip",
        10 => "ip6",
        _ => return None,
    };
    let mut table = String::new();
    let mut name = String::new();
    let mut policy = None;
    let mut hook = None;
    for (kind, value) in attributes(body.get(GENERIC..)?) {
        match kind {
            CHAIN_TABLE => table = text(value),
            CHAIN_NAME => name = text(value),
            CHAIN_POLICY => policy = number(value),
            CHAIN_HOOK => {
                hook = attributes(value)
                    .find(|(kind, _)| *kind == HOOK_NUMBER)
                    .and_then(|(_, value)| number(value));
            }
            _ => {}
        }
    }
    (hook == Some(FORWARD) && policy == Some(DROP)).then(|| format!("{family} {table} {name}"))
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
