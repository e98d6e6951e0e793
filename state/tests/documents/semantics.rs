//! Documents that have the shape of their kind and mean nothing, or two things.

use super::{Row, check, container, policy};

/// Each is a policy's `spec`; its first line is line 6.
pub(super) const POLICY_SPECS: &[Row] = &[
    ("bad-peer 7:12", "ingress:\n- from: [{}]"),
    ("bad-peer 7:12", "ingress:\n- from: [{podSelector: null}]"),
    (
        "bad-peer 7:39",
        "ingress:\n- from: [{podSelector: {}, ipBlock: {cidr: 10.0.0.0/8}}]",
    ),
    (
        "bad-peer 7:43",
        "egress:\n- to: [{namespaceSelector: {}, ipBlock: {cidr: 10.0.0.0/8}}]",
    ),
    (
        "bad-peer 7:60, missing-field 7:60",
        "egress:\n- to: [{podSelector: {}, namespaceSelector: {}, ipBlock: {}}]",
    ),
    ("bad-cidr 7:27", "egress:\n- to: [{ipBlock: {cidr: \"\"}}]"),
    (
        "bad-cidr 7:27",
        "egress:\n- to: [{ipBlock: {cidr: 10.0.0.0}}]",
    ),
    (
        "bad-cidr 7:27",
        "egress:\n- to: [{ipBlock: {cidr: \"fd00::\"}}]",
    ),
    (
        "bad-cidr 7:27",
        "egress:\n- to: [{ipBlock: {cidr: 10.0.0.0/33}}]",
    ),
    (
        "bad-cidr 7:27",
        "egress:\n- to: [{ipBlock: {cidr: 10.0.0.0/08}}]",
    ),
    (
        "bad-cidr 7:27",
        "egress:\n- to: [{ipBlock: {cidr: 10.0.0.0/+8}}]",
    ),
    (
        "bad-cidr 7:27",
        "egress:\n- to: [{ipBlock: {cidr: 10.0.0.0/-1}}]",
    ),
    (
        "bad-cidr 7:27",
        "egress:\n- to: [{ipBlock: {cidr: 10.0.0.0/}}]",
    ),
    (
        "bad-cidr 7:27",
        "egress:\n- to: [{ipBlock: {cidr: 10.0.0.0/8/8}}]",
    ),
    (
        "bad-cidr 7:27",
        "egress:\n- to: [{ipBlock: {cidr: 10.0.0/24}}]",
    ),
    (
        "bad-cidr 7:27",
        "egress:\n- to: [{ipBlock: {cidr: 010.0.0.0/8}}]",
    ),
    (
        "bad-cidr 7:27",
        "egress:\n- to: [{ipBlock: {cidr: 256.0.0.0/8}}]",
    ),
    (
        "bad-cidr 7:27",
        "egress:\n- to: [{ipBlock: {cidr: example.com}}]",
    ),
    (
        "bad-cidr 7:27",
        "egress:\n- to: [{ipBlock: {cidr: \" 10.0.0.0/8\"}}]",
    ),
    (
        "bad-cidr 7:27",
        "egress:\n- to: [{ipBlock: {cidr: \"fd00::/129\"}}]",
    ),
    (
        "bad-cidr 7:27",
        "egress:\n- to: [{ipBlock: {cidr: \"fe80::1%eth0/64\"}}]",
    ),
    (
        "bad-cidr 7:27",
        "egress:\n- to: [{ipBlock: {cidr: \"::ffff:10.0.0.0/104\"}}]",
    ),
    (
        "cidr-host-bits 7:27",
        "egress:\n- to: [{ipBlock: {cidr: 10.1.2.3/8}}]",
    ),
    (
        "bad-except 7:48",
        "egress:\n- to: [{ipBlock: {cidr: 10.0.0.0/8, except: [10.0.0.0/8]}}]",
    ),
    (
        "bad-except 7:48",
        "egress:\n- to: [{ipBlock: {cidr: 10.0.0.0/8, except: [11.0.0.0/16]}}]",
    ),
    (
        "bad-except 7:49",
        "egress:\n- to: [{ipBlock: {cidr: 10.0.0.0/16, except: [10.0.0.0/8]}}]",
    ),
    (
        "bad-except 7:48",
        "egress:\n- to: [{ipBlock: {cidr: 10.0.0.0/8, except: [\"fd00::/16\"]}}]",
    ),
    (
        "bad-except 7:44, bad-cidr 7:57",
        "egress:\n\
         - to: [{ipBlock: {cidr: \"::/0\", except: [\"0.0.0.0/0\", x, \"fd00::/8\"]}}]",
    ),
    (
        "bad-cidr 7:27, yaml-ambiguous 7:39",
        "egress:\n- to: [{ipBlock: {cidr: x, except: [y]}}]",
    ),
    ("bad-port 7:20", "ingress:\n- ports: [{port: 0}]"),
    ("bad-port 7:20", "ingress:\n- ports: [{port: -1}]"),
    ("bad-port 7:20", "ingress:\n- ports: [{port: 65536}]"),
    (
        "bad-port 7:20",
        "ingress:\n- ports: [{port: 18446744073709551615}]",
    ),
    ("bad-port 7:20", "ingress:\n- ports: [{port: \"80\"}]"),
    ("bad-port 7:20", "ingress:\n- ports: [{port: \"\"}]"),
    ("bad-port 7:20", "ingress:\n- ports: [{port: Http}]"),
    ("bad-port 7:20", "ingress:\n- ports: [{port: a--b}]"),
    (
        "bad-port 7:20",
        "ingress:\n- ports: [{port: a-very-long-name}]",
    ),
    ("bad-port 7:20", "ingress:\n- ports: [{port: \"80-90\"}]"),
    (
        "bad-port 7:33",
        "ingress:\n- ports: [{port: 90, endPort: 80}]",
    ),
    (
        "bad-port 7:33",
        "ingress:\n- ports: [{port: 90, endPort: 65536}]",
    ),
    (
        "bad-port 7:20, bad-port 7:32",
        "ingress:\n- ports: [{port: 0, endPort: 0}]",
    ),
    (
        "bad-port 7:35",
        "ingress:\n- ports: [{port: http, endPort: 80}]",
    ),
    (
        "bad-port 7:20, bad-port 7:35",
        "ingress:\n- ports: [{port: HTTP, endPort: 80}]",
    ),
    ("bad-port 7:23", "ingress:\n- ports: [{endPort: 80}]"),
    ("bad-port 7:24", "ingress:\n- ports: [{protocol: tcp}]"),
    ("bad-port 7:24", "ingress:\n- ports: [{protocol: ICMP}]"),
    ("bad-port 7:24", "ingress:\n- ports: [{protocol: \"\"}]"),
    (
        "without-effect 8:3",
        "policyTypes: [Egress]\ningress:\n- {}",
    ),
    (
        "without-effect 8:3",
        "policyTypes: [Ingress]\negress:\n- {}",
    ),
    (
        "bad-policy-type 6:17, bad-policy-type 6:24",
        "policyTypes: [egres, ingres]",
    ),
];

/// Each is a container's `spec`; its first line is line 6.
pub(super) const CONTAINER_SPECS: &[Row] = &[
    ("bad-address 6:14", "addresses: []"),
    ("bad-address 6:15", "addresses: [10.0.0.1/24]"),
    ("bad-address 6:15", "addresses: [10.0.0.256]"),
    ("bad-address 6:15", "addresses: [web]"),
    ("bad-address 6:15", "addresses: [\"1:2:3:4:5:6:7:8:9\"]"),
    ("yaml-ambiguous 6:15", "addresses: [1:2:3:4:5:6:7:8]"),
    ("bad-address 6:15", "addresses: [fe80::1]"),
    ("bad-address 6:15", "addresses: [\"::1\"]"),
    ("bad-address 6:15", "addresses: [\"::\"]"),
    ("bad-address 6:15", "addresses: [\"ff02::1\"]"),
    ("bad-address 6:15", "addresses: [\"::ffff:10.0.0.1\"]"),
    ("bad-address 6:15", "addresses: [\"fd00::1%eth0\"]"),
    ("bad-address 6:15", "addresses: [0.0.0.0]"),
    ("bad-address 6:15", "addresses: [0.1.2.3]"),
    ("bad-address 6:15", "addresses: [127.0.0.1]"),
    ("bad-address 6:15", "addresses: [169.254.1.1]"),
    ("bad-address 6:15", "addresses: [224.0.0.1]"),
    ("bad-address 6:15", "addresses: [255.255.255.255]"),
    ("bad-address 6:25", "addresses: [10.0.0.1, 10.0.0.2]"),
    (
        "bad-address 6:26",
        "addresses: [\"fd00::1\", \"fd00::2\", 10.0.0.1]",
    ),
    ("bad-address 6:25", "addresses: [10.0.0.1, 10.0.0.1]"),
    ("bad-name 7:9", "addresses: [10.0.0.1]\nhost: Alpha"),
    (
        "bad-port 7:18",
        "addresses: [10.0.0.1]\nports: [{name: HTTP, port: 80}]",
    ),
    (
        "bad-port 7:30",
        "addresses: [10.0.0.1]\nports: [{name: http, port: 0}]",
    ),
    (
        "bad-port 7:44",
        "addresses: [10.0.0.1]\nports: [{name: http, port: 80, protocol: ICMP}]",
    ),
    (
        "duplicate-port 7:35",
        "addresses: [10.0.0.1]\nports: [{name: http, port: 80}, {name: http, port: 8080}]",
    ),
    (
        "out-of-range 7:16",
        "addresses: [10.0.0.1]\nconnections: 63",
    ),
    (
        "out-of-range 7:16",
        "addresses: [10.0.0.1]\nconnections: 1048577",
    ),
    (
        "out-of-range 7:16",
        "addresses: [10.0.0.1]\nconnections: -5",
    ),
];

/// Each is a whole file of several documents.
pub(super) const TREES: &[Row] = &[
    (
        "duplicate-name 7:18",
        "apiVersion: v1\nkind: Namespace\nmetadata: {name: a}\n---\n\
         apiVersion: v1\nkind: Namespace\nmetadata: {name: a}\n",
    ),
    // A policy and a container may have one name, and so may two of different namespaces.
    (
        "duplicate-name 15:18",
        "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: a}\n---\n\
         apiVersion: plumbline.dev/v1alpha1\nkind: Container\nmetadata: {name: a}\n\
         spec: {addresses: [10.0.0.1]}\n---\n\
         apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\n\
         metadata: {namespace: b, name: a}\n---\n\
         {apiVersion: networking.k8s.io/v1, kind: NetworkPolicy,\n\
         metadata: {name: a}}\n",
    ),
    // The default namespace is the one that is not written.
    (
        "duplicate-name 7:38",
        "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: a}\n---\n\
         apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\n\
         metadata: {namespace: default, name: a}\n",
    ),
    // A document that is wrong counts as well.
    (
        "unknown-field 4:1, duplicate-name 8:18",
        "apiVersion: v1\nkind: Namespace\nmetadata: {name: a}\nx: 5\n---\n\
         apiVersion: v1\nkind: Namespace\nmetadata: {name: a}\n",
    ),
    // One address is one container's, on whatever host and however it is written.
    (
        "duplicate-address 9:20, duplicate-address 9:30",
        "apiVersion: plumbline.dev/v1alpha1\nkind: Container\nmetadata: {name: a}\n\
         spec: {host: x, addresses: [10.0.0.1, fd00::1]}\n---\n\
         apiVersion: plumbline.dev/v1alpha1\nkind: Container\nmetadata: {name: b}\n\
         spec: {addresses: [10.0.0.1, \"fd00:0:0::1\"], host: z}\n",
    ),
    // What one container says twice is told once.
    (
        "duplicate-name 8:18",
        "apiVersion: plumbline.dev/v1alpha1\nkind: Container\nmetadata: {name: a}\n\
         spec: {addresses: [10.0.0.1]}\n---\n\
         apiVersion: plumbline.dev/v1alpha1\nkind: Container\nmetadata: {name: a}\n\
         spec: {addresses: [10.0.0.1]}\n",
    ),
    // Items of lists are documents.
    (
        "duplicate-name 9:22",
        "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Namespace, \
         metadata: {name: a}}\n---\napiVersion: v1\nkind: NamespaceList\nitems:\n\
         - metadata: {\"name\": a}\n",
    ),
];

#[test]
fn policies_that_kubernetes_would_not_take() {
    check(POLICY_SPECS, policy);
}

#[test]
fn containers_that_cannot_be() {
    check(CONTAINER_SPECS, container);
}

#[test]
fn documents_that_contradict_each_other() {
    check(TREES, str::to_owned);
}
