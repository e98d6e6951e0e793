//! Sentences of docs/semantics.md, as small trees in YAML and who is allowed by them. The oracle
//! and both judges agree on each, and the verdict is the one that stands beside it.

use std::collections::BTreeSet;
use std::net::IpAddr;

use state::desired;
use state::documents;
use state::documents::config::Dns;
use state::documents::tree::Tree;
use state::words::flow::Flow;

use super::agreement::three_agree;
use super::{compiled, show};
use crate::random::Case;

/// web, dns and job are of this host; far is of another. web names port 80/TCP and 8080/UDP `http`.
const CONTAINERS: &str = "
{name: web, labels: {app: web}}: {addresses: [10.0.0.1, 'fd00::1'],
  ports: [{name: http, port: 80}, {name: http, port: 8080, protocol: UDP}]}
{name: dns}: {addresses: [10.0.0.2]}
{name: job, namespace: batch}: {host: alpha, addresses: [10.0.0.3, 'fd00::3']}
{name: far, labels: {app: far}}: {host: beta, addresses: [10.0.1.1], 
  ports: [{name: http, port: 81}]}
";
const HOST: &str = "192.0.2.1";
const OUTSIDE: &str = "198.51.100.1";

const TCP: u8 = 6;
const UDP: u8 = 17;
const GRE: u8 = 47;

/// The tree of one policy, named `p`, in namespace `default`.
fn case(spec: &str, flows: Vec<Flow>) -> Case {
    let mut text = String::new();
    let joined = CONTAINERS.trim().replace("\n  ", " ");
    for line in joined.lines() {
        let (metadata, spec) = line.split_once("}: ").expect("metadata and spec");
        text += &format!(
            "apiVersion: plumbline.dev/v1alpha1\nkind: Container\nmetadata: {metadata}}}\n\
             spec: {spec}\n---\n"
        );
    }
    text += &format!(
        "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {{name: p}}\n\
         spec: {spec}\n"
    );
    let mut tree = Tree::default();
    tree.files.insert("a.yaml".into(), text.as_bytes().into());
    let (documents, problems) = documents::parse(&mut tree);
    assert_eq!(problems.errors(), 0, "{problems:?}\n{text}");
    Case {
        documents,
        host_addresses: BTreeSet::from([HOST.parse().expect("an address")]),
        flows,
    }
}

fn address(name: &str) -> IpAddr {
    let text = match name {
        "web" => "10.0.0.1",
        "dns" => "10.0.0.2",
        "job" => "10.0.0.3",
        "far" => "10.0.1.1",
        "host" => HOST,
        "outside" => OUTSIDE,
        other => other,
    };
    text.parse().expect("an address")
}

/// Checks one policy: each row is who, to whom, protocol, port, and whether it may.
fn check(spec: &str, rows: &[(&str, &str, u8, u16, bool)]) {
    let flows = rows.iter().map(|(from, to, protocol, port, _)| Flow {
        source: address(from),
        destination: address(to),
        protocol: *protocol,
        port: *port,
    });
    let case = case(spec, flows.collect());
    three_agree(&case).unwrap_or_else(|disagreement| panic!("{disagreement}\n{}", show(&case)));
    let (desired, _) = compiled(&case.documents, &case);
    for (flow, row) in case.flows.iter().zip(rows) {
        let judgement = desired::judge(&desired, &case.host_addresses, flow);
        let allowed = judgement.verdict.allows();
        assert_eq!(allowed, row.4, "{row:?}: {judgement:?}\n{spec}");
    }
}

#[test]
fn a_rule_without_ports_covers_every_protocol_and_one_with_ports_only_those() {
    let ports = "{podSelector: {}, ingress: [{ports: [{port: 80}, {protocol: UDP}]}]}";
    check(
        ports,
        &[
            ("outside", "web", TCP, 80, true),
            ("outside", "web", UDP, 9, true),
            ("outside", "web", GRE, 0, false),
            ("outside", "web", 1, 0, false),
        ],
    );
    check(
        "{podSelector: {}, ingress: [{}]}",
        &[
            ("outside", "web", GRE, 0, true),
            ("outside", "web", 1, 0, true),
            ("outside", "web", 255, 0, true),
        ],
    );
}

/// Ingress asks the container that the policy selects; egress whom the packet goes to.
#[test]
fn a_named_port_is_that_of_the_destination_with_its_protocol() {
    check(
        "{podSelector: {}, policyTypes: [Egress], egress: [{ports: [{port: http}]}]}",
        &[
            ("dns", "web", TCP, 80, true),
            ("dns", "web", UDP, 8080, false),
            ("dns", "web", TCP, 8080, false),
            ("dns", "far", TCP, 81, true),
            ("dns", "far", TCP, 80, false),
            ("dns", "outside", TCP, 80, false),
        ],
    );
    check(
        "{podSelector: {}, ingress: [{ports: [{port: http, protocol: UDP}]}]}",
        &[
            ("outside", "web", UDP, 8080, true),
            ("outside", "web", TCP, 80, false),
            ("outside", "dns", UDP, 8080, false),
        ],
    );
}

/// One that the destination has is found through a range, too.
#[test]
fn a_named_port_within_a_block_is_that_of_the_container_there() {
    check(
        "{podSelector: {}, policyTypes: [Egress],
          egress: [{to: [{ipBlock: {cidr: 10.0.0.0/16}}], ports: [{port: http}]}]}",
        &[
            ("dns", "web", TCP, 80, true),
            ("dns", "far", TCP, 81, true),
            ("dns", "web", TCP, 81, false),
            ("dns", "10.0.9.9", TCP, 80, false),
        ],
    );
}

#[test]
fn a_block_means_a_containers_address_whatever_its_host() {
    check(
        "{podSelector: {matchLabels: {app: web}},
          ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/16, except: [10.0.0.2/32]}}]}]}",
        &[
            ("job", "web", TCP, 80, true),
            ("far", "web", TCP, 80, true),
            ("dns", "web", TCP, 80, false),
            ("10.0.9.9", "web", TCP, 80, true),
            ("fd00::3", "fd00::1", TCP, 80, false),
        ],
    );
}

/// A selector means containers alone: never the host and never what has no document.
#[test]
fn a_selector_means_containers_of_every_host_and_nobody_else() {
    check(
        "{podSelector: {matchLabels: {app: web}},
          ingress: [{from: [{podSelector: {}}]}]}",
        &[
            ("dns", "web", TCP, 80, true),
            ("far", "web", TCP, 80, true),
            ("job", "web", TCP, 80, false),
            ("outside", "web", TCP, 80, false),
        ],
    );
}

/// The host is let pass by no rule, and no range keeps it out.
#[test]
fn the_own_host_needs_no_rule_and_no_block_excludes_it() {
    for spec in [
        "{podSelector: {}, policyTypes: [Ingress, Egress]}",
        "{podSelector: {},
          ingress: [{from: [{ipBlock: {cidr: 0.0.0.0/0, except: [192.0.2.0/24]}}]}],
          egress: [{to: [{ipBlock: {cidr: 198.51.100.0/24}}]}]}",
    ] {
        check(
            spec,
            &[
                ("host", "web", TCP, 80, true),
                ("web", "host", GRE, 0, true),
                ("192.0.2.2", "web", TCP, 80, false),
                ("web", "192.0.2.2", TCP, 80, false),
            ],
        );
    }
}

/// Each host enforces for its own containers: what leaves or reaches another is judged there.
#[test]
fn a_container_of_another_host_is_judged_by_that_host() {
    check(
        "{podSelector: {}, policyTypes: [Ingress, Egress]}",
        &[
            ("outside", "far", TCP, 80, true),
            ("far", "outside", TCP, 80, true),
            ("far", "web", TCP, 80, false),
            ("web", "far", TCP, 80, false),
        ],
    );
}

#[test]
fn a_container_reaches_itself_whatever_isolates_it() {
    check(
        "{podSelector: {}, policyTypes: [Ingress, Egress]}",
        &[
            ("web", "web", TCP, 80, true),
            ("fd00::1", "fd00::1", GRE, 0, true),
            ("web", "dns", TCP, 80, false),
        ],
    );
}

#[test]
fn policy_types_that_are_said_are_all_of_them() {
    let nobody = "[{to: [{ipBlock: {cidr: 203.0.113.0/24}}]}]";
    check(
        &format!("{{podSelector: {{}}, policyTypes: [Ingress], egress: {nobody}}}"),
        &[
            ("outside", "web", TCP, 80, false),
            ("web", "outside", TCP, 80, true),
        ],
    );
    check(
        "{podSelector: {}, policyTypes: [Egress], ingress: [{ports: [{port: 1}]}]}",
        &[
            ("outside", "web", TCP, 80, true),
            ("web", "outside", TCP, 80, false),
        ],
    );
}

#[test]
fn the_hosts_resolv_conf_is_copied_unless_the_tree_says_leave() {
    for (dns, copied) in [(Dns::Host, true), (Dns::Leave, false)] {
        let mut case = case("{}", Vec::new());
        case.documents.config.dns = dns;
        let (_, target) = compiled(&case.documents, &case);
        let networks = target.containers.values().map(|c| &c.network);
        assert!(networks.clone().count() > 0);
        assert!(
            networks.into_iter().all(|n| n.resolv_conf == copied),
            "{dns:?}"
        );
    }
}
