//! Documents that do not have the shape of their kind.

use super::{Row, check, check_config, container, policy};

/// Each is a whole file.
pub(super) const DOCUMENTS: &[Row] = &[
    ("missing-field 1:1", "kind: Namespace\n"),
    ("missing-field 1:1", "apiVersion: v1\n"),
    ("missing-field 1:1", "{}\n"),
    ("missing-field 1:1", "apiVersion: v1\nkind: null\n"),
    ("wrong-type 1:13", "apiVersion: 1\nkind: Namespace\n"),
    ("wrong-type 2:7", "apiVersion: v1\nkind: [Namespace]\n"),
    ("missing-field 1:1", "apiVersion: v1\nkind: Namespace\n"),
    (
        "wrong-type 3:11",
        "apiVersion: v1\nkind: Namespace\nmetadata: x\n",
    ),
    (
        "missing-field 1:1",
        "apiVersion: v1\nkind: Namespace\nmetadata: null\n",
    ),
    ("unknown-kind 2:7", "apiVersion: v1\nkind: Namespce\n"),
    ("unknown-kind 2:7", "apiVersion: v1\nkind: namespace\n"),
    (
        "unknown-version 1:13",
        "apiVersion: v2\nkind: Namespace\nmetadata: {name: a}\n",
    ),
    (
        "unknown-version 1:13",
        "apiVersion: v1\nkind: NetworkPolicy\n",
    ),
    (
        "unknown-version 1:13",
        "apiVersion: extensions/v1beta1\nkind: NetworkPolicy\n",
    ),
    (
        "unknown-version 1:13",
        "apiVersion: projectcalico.org/v3\nkind: NetworkPolicy\n",
    ),
    (
        "unknown-version 1:13",
        "apiVersion: plumbline.dev/v1\nkind: Container\n",
    ),
    (
        "unknown-kind 2:7",
        "apiVersion: apps/v1\nkind: Deployment\n",
    ),
    ("not-served 2:7", "apiVersion: v1\nkind: Service\n"),
    (
        "not-served 2:7",
        "apiVersion: plumbline.dev/v1alpha1\nkind: PolicyTest\n",
    ),
    ("unknown-kind 2:7", "apiVersion: v1\nkind: ConfigMap\n"),
    (
        "misplaced 1:1",
        "apiVersion: plumbline.dev/v1alpha1\nkind: Config\n",
    ),
    ("missing-field 1:1", "kind: Kustomization\nresources: [a]\n"),
    ("missing-field 1:1", "image: nginx\n"),
    ("wrong-type 3:8", "apiVersion: v1\nkind: List\nitems: {}\n"),
    (
        "empty-item 3:9, wrong-type 3:15, missing-field 3:18",
        "apiVersion: v1\nkind: List\nitems: [null, 5, {kind: Pod}]\n",
    ),
    (
        "unknown-field 3:1",
        "apiVersion: v1\nkind: List\nitem: []\n",
    ),
    (
        "unknown-kind 5:9",
        "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicyList\nitems:\n\
         - apiVersion: v1\n  kind: Namespace\n  metadata: {name: a}\n",
    ),
    (
        "missing-field 4:13, unknown-field 4:14",
        "apiVersion: v1\nkind: NamespaceList\nitems:\n- metadata: {nam: a}\n",
    ),
    (
        "not-served 2:7",
        "apiVersion: v1\nkind: ServiceList\nitems: []\n",
    ),
    (
        "unknown-field 4:1",
        "apiVersion: v1\nkind: Namespace\nmetadata: {name: a}\nlabels: {a: b}\n",
    ),
    (
        "bad-name 3:32",
        "apiVersion: v1\nkind: Namespace\nmetadata: {name: a, namespace: b}\n",
    ),
    (
        "bad-name 3:18",
        "apiVersion: v1\nkind: Namespace\nmetadata: {name: a.b}\n",
    ),
    (
        "bad-label 3:59",
        "apiVersion: v1\nkind: Namespace\n\
         metadata: {name: a, labels: {kubernetes.io/metadata.name: b}}\n",
    ),
    (
        "wrong-type 4:7",
        "apiVersion: v1\nkind: Namespace\nmetadata: {name: a}\nspec: []\n",
    ),
    (
        "unknown-field 4:1",
        "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: a}\n\
         Spec: {}\n",
    ),
    (
        "wrong-type 4:7",
        "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: a}\n\
         spec: []\n",
    ),
    (
        "unknown-field 4:1",
        "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: a}\n\
         podSelector: {}\n",
    ),
    (
        "missing-field 1:1",
        "apiVersion: plumbline.dev/v1alpha1\nkind: Container\nmetadata: {name: a}\n",
    ),
    (
        "unknown-field 5:1",
        "apiVersion: plumbline.dev/v1alpha1\nkind: Container\nmetadata: {name: a}\n\
         spec: {addresses: [10.0.0.1]}\nstatus: {}\n",
    ),
];

/// Each is a policy's `spec`; its first line is line 6.
pub(super) const POLICY_SPECS: &[Row] = &[
    ("unknown-field 6:3", "podSelectr: {}"),
    ("wrong-type 6:16", "podSelector: []"),
    ("wrong-type 6:16", "podSelector: all"),
    ("wrong-type 6:16", "policyTypes: Ingress"),
    ("wrong-type 6:16", "policyTypes: {Ingress: true}"),
    ("bad-policy-type 6:17", "policyTypes: [ingress]"),
    (
        "bad-policy-type 6:16",
        "policyTypes: [Ingress, Egress, Ingress]",
    ),
    ("empty-item 6:17", "policyTypes: [null]"),
    ("wrong-type 6:17", "policyTypes: [5]"),
    ("unknown-field 6:3", "policyType: [Ingress]"),
    ("wrong-type 6:12", "ingress: {}"),
    ("wrong-type 6:12", "ingress: {from: []}"),
    ("wrong-type 6:13", "ingress: [from]"),
    ("empty-item 7:3", "ingress:\n-"),
    ("unknown-field 7:5", "ingress:\n- to: []"),
    ("wrong-type 7:11", "ingress:\n- from: {podSelector: {}}"),
    ("wrong-type 7:12", "ingress:\n- from: [podSelector]"),
    (
        "unknown-field 9:9",
        "ingress:\n- from:\n  - podSelector:\n      app: web",
    ),
    (
        "unknown-field 8:7",
        "ingress:\n- from:\n  - podSelectors: {}",
    ),
    (
        "unknown-field 8:7",
        "ingress:\n- from:\n  - namespaceselector: {}",
    ),
    (
        "unknown-field 8:7",
        "ingress:\n- from:\n  - ipblock: {cidr: 10.0.0.0/8}",
    ),
    (
        "unknown-field 8:7",
        "ingress:\n- from:\n  - matchLabels: {a: b}",
    ),
    ("unknown-field 7:5", "ingress:\n- form: []"),
    ("wrong-type 7:12", "ingress:\n- ports: {port: 80}"),
    ("wrong-type 7:13", "ingress:\n- ports: [80]"),
    ("unknown-field 8:7", "ingress:\n- ports:\n  - prot: 80"),
    (
        "unknown-field 9:7",
        "ingress:\n- ports:\n  - port: 80\n    endport: 90",
    ),
    ("wrong-type 8:13", "ingress:\n- ports:\n  - port: [80]"),
    ("wrong-type 8:13", "ingress:\n- ports:\n  - port: 80.0"),
    ("wrong-type 8:13", "ingress:\n- ports:\n  - port: true"),
    ("wrong-type 8:13", "ingress:\n- ports:\n  - port: 0x50"),
    ("wrong-type 8:13", "ingress:\n- ports:\n  - port: 080"),
    (
        "wrong-type 9:16",
        "ingress:\n- ports:\n  - port: 80\n    endPort: \"90\"",
    ),
    ("wrong-type 8:17", "ingress:\n- ports:\n  - protocol: 6"),
    ("wrong-type 8:17", "ingress:\n- ports:\n  - protocol: [TCP]"),
    ("unknown-field 7:5", "egress:\n- from: []"),
    ("wrong-type 8:16", "egress:\n- to:\n  - ipBlock: 10.0.0.0/8"),
    ("missing-field 8:16", "egress:\n- to:\n  - ipBlock: {}"),
    (
        "wrong-type 8:23",
        "egress:\n- to:\n  - ipBlock: {cidr: [10.0.0.0/8]}",
    ),
    (
        "unknown-field 8:35",
        "egress:\n- to:\n  - ipBlock: {cidr: 10.0.0.0/8, excepts: []}",
    ),
    (
        "wrong-type 8:43",
        "egress:\n- to:\n  - ipBlock: {cidr: 10.0.0.0/8, except: 10.1.0.0/16}",
    ),
    ("wrong-type 8:23", "egress:\n- to:\n  - ipBlock: {cidr: 10}"),
    (
        "unknown-field 11:9",
        "ingress:\n  - from:\n    - namespaceSelector:\n        matchLabels: {a: b}\n\
         \x20     podSelector:\n      matchLabels: {c: d}",
    ),
];

/// Each is a container's `spec`; its first line is line 6.
pub(super) const CONTAINER_SPECS: &[Row] = &[
    ("wrong-type 6:14", "addresses: 10.0.0.1"),
    ("wrong-type 6:14", "addresses: {a: b}"),
    ("empty-item 6:25", "addresses: [10.0.0.1, null]"),
    ("wrong-type 6:15", "addresses: [1]"),
    ("wrong-type 6:15", "addresses: [10.1]"),
    (
        "missing-field 6:3, unknown-field 6:3",
        "address: [10.0.0.1]",
    ),
    ("wrong-type 7:9", "addresses: [10.0.0.1]\nhost: [alpha]"),
    (
        "wrong-type 7:10",
        "addresses: [10.0.0.1]\nports: {name: http, port: 80}",
    ),
    ("wrong-type 7:11", "addresses: [10.0.0.1]\nports: [80]"),
    (
        "missing-field 7:11",
        "addresses: [10.0.0.1]\nports: [{name: http}]",
    ),
    (
        "missing-field 7:11",
        "addresses: [10.0.0.1]\nports: [{port: 80}]",
    ),
    (
        "missing-field 7:11, unknown-field 7:24",
        "addresses: [10.0.0.1]\nports: [{name: http, containerPort: 80}]",
    ),
    (
        "wrong-type 7:30",
        "addresses: [10.0.0.1]\nports: [{name: http, port: http}]",
    ),
    (
        "wrong-type 7:16",
        "addresses: [10.0.0.1]\nconnections: many",
    ),
    (
        "wrong-type 7:16",
        "addresses: [10.0.0.1]\nconnections: 8_192",
    ),
    ("wrong-type 7:11", "addresses: [10.0.0.1]\nattach: managed"),
    (
        "bad-attachment 7:26",
        "addresses: [10.0.0.1]\nattach: {netns: {path: run/netns/x}}",
    ),
    (
        "bad-attachment 7:26",
        "addresses: [10.0.0.1]\nattach: {netns: {path: /run/../x}}",
    ),
    (
        "bad-attachment 7:26",
        "addresses: [10.0.0.1]\nattach: {netns: {path: /run/netns/a b}}",
    ),
    (
        "bad-attachment 7:26",
        "addresses: [10.0.0.1]\nattach: {netns: {path: /}}",
    ),
    (
        "wrong-type 7:26",
        "addresses: [10.0.0.1]\nattach: {netns: {path: 7}}",
    ),
    (
        "missing-field 7:23",
        "addresses: [10.0.0.1]\nattach: {interface: {}}",
    ),
    (
        "bad-attachment 7:30",
        "addresses: [10.0.0.1]\nattach: {interface: {name: a/b}}",
    ),
    (
        "bad-attachment 7:30",
        "addresses: [10.0.0.1]\nattach: {interface: {name: sixteen-letters-}}",
    ),
    (
        "bad-attachment 7:42",
        "addresses: [10.0.0.1]\nattach: {interface: {name: veth0, mac: \"01:00:5e:00:00:01\"}}",
    ),
    (
        "bad-attachment 7:42",
        "addresses: [10.0.0.1]\nattach: {interface: {name: veth0, mac: \"02:00:5e:00:00\"}}",
    ),
    (
        "unknown-field 7:37",
        "addresses: [10.0.0.1]\nattach: {interface: {name: veth0, mtu: 9000}}",
    ),
    (
        "bad-attachment 7:34",
        "addresses: [10.0.0.1]\nattach: {netns: {}, interface: {name: veth0}}",
    ),
    (
        "not-served 7:12",
        "addresses: [10.0.0.1]\nattach: {docker: {name: x}}",
    ),
    (
        "not-served 7:12, not-served 7:31",
        "addresses: [10.0.0.1]\nattach: {podman: {name: x}, cgroup: {path: y}}",
    ),
    (
        "unknown-field 7:12",
        "addresses: [10.0.0.1]\nattach: {netn: {}}",
    ),
    (
        "unknown-field 7:20",
        "addresses: [10.0.0.1]\nattach: {netns: {mtu: 9000}}",
    ),
    (
        "wrong-type 7:19",
        "addresses: [10.0.0.1]\nattach: {netns: true}",
    ),
    ("unknown-field 7:3", "addresses: [10.0.0.1]\ndns: leave"),
];

/// Each is what `plumbline.yaml` holds from line 3 on.
pub(super) const CONFIGS: &[Row] = &[
    ("unknown-field 3:1", "ignores: [a]"),
    ("wrong-type 3:9", "ignore: a"),
    ("wrong-type 3:10", "ignore: [5]"),
    ("bad-setting 3:10", "ignore: [\"\"]"),
    ("bad-setting 3:10", "ignore: [/a]"),
    ("bad-setting 3:10", "ignore: [../a]"),
    ("bad-setting 3:10", "ignore: [\"a[b\"]"),
    ("bad-setting 3:10", "ignore: [\"{a,b\"]"),
    ("empty-item 3:10", "ignore: [null]"),
    ("wrong-type 3:14", "ignoreKinds: Deployment"),
    ("bad-setting 3:15", "ignoreKinds: [NetworkPolicy]"),
    ("bad-setting 3:15", "ignoreKinds: [List]"),
    ("wrong-type 3:13", "forwarding: \"true\""),
    ("wrong-type 3:13", "forwarding: on"),
    ("bad-setting 3:6", "dns: none"),
    ("not-served 3:1", "trustLabels: [docker]"),
    ("unknown-field 3:1", "spec: {ignore: [a]}"),
];

#[test]
fn documents_without_the_shape_of_their_kind() {
    check(DOCUMENTS, str::to_owned);
}

#[test]
fn policies_without_the_shape_of_their_kind() {
    check(POLICY_SPECS, policy);
}

#[test]
fn containers_without_the_shape_of_their_kind() {
    check(CONTAINER_SPECS, container);
}

#[test]
fn settings_that_cannot_be_followed() {
    check_config(CONFIGS);
}
