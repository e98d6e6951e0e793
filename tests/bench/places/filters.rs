//! The peers: a router whose forward chain lets what is established pass, then asks its policies,
//! and drops the rest.
//!
//! Each family has a table of its own with all policies, as iptables has; a packet meets those of
//! its own family only.

use std::fmt::Write;
use std::net::IpAddr;
use std::time::Duration;

use rig::netns::Netns;
use rig::program::Program;

use super::{Place, SERVER, allowed, timed, wires};
use crate::matrix::{Kind, Setup};

/// How long a tool may take to load its policies in one family.
const LIMIT: Duration = Duration::from_secs(120);

/// A family in the tools' words.
struct Words {
    /// The table's family in nft.
    table: &'static str,
    /// The header that holds the addresses in nft.
    header: &'static str,
    /// The type of an address in nft.
    address: &'static str,
    /// The program that loads iptables-nft's rules.
    restore: &'static str,
}

const FAMILIES: [Words; 2] = [
    Words {
        table: "ip",
        header: "ip",
        address: "ipv4_addr",
        restore: "iptables-nft-restore",
    },
    Words {
        table: "ip6",
        header: "ip6",
        address: "ipv6_addr",
        restore: "ip6tables-nft-restore",
    },
];

/// A router with so many policies in the filter.
pub(super) fn filtered(setup: Setup) -> Result<Place, String> {
    let mut place = wires::routed(setup);
    let router = place.middle.clone().ok_or("a router is between its ends")?;
    let mut made = Duration::ZERO;
    for family in 0..FAMILIES.len() {
        let (program, text) = input(setup, family);
        let (loaded, took) = timed(|| load(&router, &program.limit(LIMIT).input(text)));
        loaded?;
        made += took;
    }
    place.made = Some(made);
    Ok(place)
}

/// The command and its input, for IPv4.
pub(super) fn shown(setup: Setup) -> String {
    let (program, text) = input(setup, 0);
    format!("{program}\n{text}")
}

/// What loads a setup's policies in a family, and what it reads.
fn input(setup: Setup, family: usize) -> (Program, String) {
    let (words, policies) = (&FAMILIES[family], setup.policies);
    match setup.kind {
        Kind::IptablesNft => (Program::new(words.restore), iptables(policies, family)),
        Kind::NftMap => (nft(), nft_text(words, &map(policies, family, words))),
        _ => (nft(), nft_text(words, &rules(policies, family, words))),
    }
}

fn nft() -> Program {
    Program::new("nft").args(["-f", "-"])
}

fn load(router: &Netns, program: &Program) -> Result<(), String> {
    match router.run(|| program.run_to_limit()) {
        Ok(run) if run.code == 0 => Ok(()),
        Ok(run) => Err(format!(
            "{program} ended with {}: {}",
            run.code,
            run.stderr.trim()
        )),
        Err(_) => Err(format!(
            "{program} was not done after {} s",
            LIMIT.as_secs()
        )),
    }
}

/// A chain, what must stand beside it, and its policy.
struct Chain {
    beside: String,
    rules: String,
}

fn nft_text(words: &Words, chain: &Chain) -> String {
    let Words { table, .. } = words;
    let Chain { beside, rules } = chain;
    let policy = if rules.is_empty() { "accept" } else { "drop" };
    let [_, server] = wires::TOWARDS;
    format!(
        "table {table} bench {{\n{beside}chain forward {{\n\
         type filter hook forward priority 0; policy {policy};\n\
         ct state established,related accept\niifname \"{server}\" accept\n{rules}}}\n}}\n"
    )
}

/// A rule for each policy.
fn rules(policies: usize, family: usize, words: &Words) -> Chain {
    let Words { header, .. } = words;
    let server = SERVER[family];
    let mut rules = String::new();
    for one in allowed(policies) {
        let (peer, port) = (one.peers[family], one.port);
        line(
            &mut rules,
            format_args!("{header} saddr {peer} {header} daddr {server} tcp dport {port} accept"),
        );
    }
    Chain {
        beside: String::new(),
        rules,
    }
}

/// One rule, which looks all policies up at once.
fn map(policies: usize, family: usize, words: &Words) -> Chain {
    let Words {
        header, address, ..
    } = words;
    if policies == 0 {
        return rules(0, family, words);
    }
    let server = SERVER[family];
    let mut beside = format!(
        "map allowed {{\ntype {address} . {address} . inet_service : verdict\nelements = {{\n"
    );
    for one in allowed(policies) {
        let (peer, port) = (one.peers[family], one.port);
        line(
            &mut beside,
            format_args!("{peer} . {server} . {port} : accept,"),
        );
    }
    beside.push_str("}\n}\n");
    let rules = format!("{header} saddr . {header} daddr . tcp dport vmap @allowed\n");
    Chain { beside, rules }
}

fn iptables(policies: usize, family: usize) -> String {
    let policy = if policies == 0 { "ACCEPT" } else { "DROP" };
    let [_, server_side] = wires::TOWARDS;
    let mut text = format!(
        "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD {policy} [0:0]\n:OUTPUT ACCEPT [0:0]\n\
         -A FORWARD -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT\n\
         -A FORWARD -i {server_side} -j ACCEPT\n"
    );
    let server = host(SERVER[family]);
    for one in allowed(policies) {
        let (peer, port) = (host(one.peers[family]), one.port);
        line(
            &mut text,
            format_args!("-A FORWARD -s {peer} -d {server} -p tcp -m tcp --dport {port} -j ACCEPT"),
        );
    }
    text.push_str("COMMIT\n");
    text
}

/// One address as a range.
fn host(address: IpAddr) -> String {
    let bits = if address.is_ipv4() { 32 } else { 128 };
    format!("{address}/{bits}")
}

fn line(text: &mut String, line: std::fmt::Arguments<'_>) {
    writeln!(text, "{line}").expect("a string can be written to");
}
