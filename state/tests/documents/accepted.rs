//! What is accepted, and what it means: defaults, `null`, empty against absent, and what an API
//! server writes.

use state::documents::config;
use state::documents::container::Attach;
use state::documents::network_policy::{NetworkPolicy, PeerKind, PortNumber};
use state::documents::tree::LeftOut;
use state::words::address::Mac;
use state::words::ports::Protocol;

use super::{Parsed, found, parse, policy, tree};

fn accepted(text: &str) -> Parsed {
    let parsed = parse(tree(&[("a.yaml", text)]));
    assert_eq!(found(&parsed), "", "{text}");
    parsed
}

fn accepted_policy(spec: &str) -> NetworkPolicy {
    accepted(&policy(spec)).documents.policies.remove(0)
}

/// Hazard S5: what is empty, `null` or absent must not become what is wider. The table is that of
/// Kubernetes: each row says which peers or ports a rule has.
#[test]
fn s5_empty_null_and_absent_peers_and_ports() {
    for (rule, peers, ports) in [
        ("{}", None, None),
        ("{from: null, ports: null}", None, None),
        ("{from: [], ports: []}", None, None),
        ("{from: ~}", None, None),
        ("{from: [{podSelector: {}}]}", Some(1), None),
        ("{ports: [{}]}", None, Some(1)),
        (
            "{ports: [{protocol: null, port: null, endPort: null}]}",
            None,
            Some(1),
        ),
        ("{from: [], ports: [{port: 80}]}", None, Some(1)),
        (
            "{from: [{namespaceSelector: {}}, {podSelector: {}}], ports: []}",
            Some(2),
            None,
        ),
    ] {
        let policy = accepted_policy(&format!("ingress: [{rule}]"));
        let rules = policy.ingress.unwrap();
        let found = (
            rules[0].peers.as_ref().map(Vec::len),
            rules[0].ports.as_ref().map(Vec::len),
        );
        assert_eq!(found, (peers, ports), "{rule}");
    }
}

/// A peer's selectors by their number of requirements; `None` where absent.
#[test]
fn s5_empty_null_and_absent_selectors_of_a_peer() {
    for (peer, expected) in [
        ("{podSelector: {}}", (Some(0), None)),
        ("{namespaceSelector: {}}", (None, Some(0))),
        (
            "{podSelector: {}, namespaceSelector: null}",
            (Some(0), None),
        ),
        (
            "{podSelector: null, namespaceSelector: {}}",
            (None, Some(0)),
        ),
        (
            "{podSelector: {}, namespaceSelector: {}}",
            (Some(0), Some(0)),
        ),
        ("{podSelector: {matchLabels: null}}", (Some(0), None)),
        (
            "{podSelector: {matchLabels: {}, matchExpressions: []}}",
            (Some(0), None),
        ),
        ("{podSelector: {matchExpressions: null}}", (Some(0), None)),
        (
            "{podSelector: {matchLabels: {a: b}}, namespaceSelector: {}}",
            (Some(1), Some(0)),
        ),
        (
            "{podSelector: {matchLabels: {a: \"\"}}, ipBlock: null}",
            (Some(1), None),
        ),
        (
            "{namespaceSelector: {matchExpressions: [{key: a, operator: Exists, values: []}]}}",
            (None, Some(1)),
        ),
        (
            "{namespaceSelector: {matchExpressions: [{key: a, operator: Exists, values: null}]}}",
            (None, Some(1)),
        ),
    ] {
        let policy = accepted_policy(&format!("ingress: [{{from: [{peer}]}}]"));
        let peers = policy.ingress.unwrap().remove(0).peers.unwrap();
        let PeerKind::Containers { pods, namespaces } = &peers[0].kind else {
            panic!("{peer}");
        };
        let count =
            |s: &Option<state::words::labels::Selector>| s.as_ref().map(|s| s.requirements.len());
        assert_eq!((count(pods), count(namespaces)), expected, "{peer}");
    }
}

/// Which directions a policy isolates for, by what is written.
#[test]
fn s5_policy_types_and_their_default() {
    let (none, empty, some) = (None, Some(0), Some(1));
    for (spec, ingress, egress) in [
        ("{}", empty, none),
        ("podSelector: null", empty, none),
        ("policyTypes: null", empty, none),
        ("policyTypes: []", empty, none),
        ("policyTypes: [Ingress]", empty, none),
        ("policyTypes: [Egress]", none, empty),
        ("policyTypes: [Ingress, Egress]", empty, empty),
        ("policyTypes: [Egress, Egress]", none, empty),
        ("ingress: null", empty, none),
        ("ingress: []", empty, none),
        ("ingress: [{}]", some, none),
        ("egress: null", empty, none),
        ("egress: []", empty, none),
        ("egress: [{}]", empty, some),
        ("{egress: [{}], policyTypes: []}", empty, some),
        ("{egress: [{}], policyTypes: [Egress]}", none, some),
        (
            "{egress: [], ingress: [{}], policyTypes: [Egress, Ingress]}",
            some,
            empty,
        ),
    ] {
        let policy = accepted_policy(spec);
        let found = (
            policy.ingress.as_ref().map(Vec::len),
            policy.egress.as_ref().map(Vec::len),
        );
        assert_eq!(found, (ingress, egress), "{spec}");
    }
}

#[test]
fn a_policy_may_have_no_spec() {
    for spec in ["", "spec: null\n", "spec: {}\n"] {
        let text = format!(
            "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {{name: p}}\n{spec}"
        );
        let policy = accepted(&text).documents.policies.remove(0);
        assert_eq!(policy.ingress, Some(Vec::new()));
        assert_eq!(policy.egress, None);
        assert!(policy.subject.requirements.is_empty());
        assert_eq!(policy.name.to_string(), "default/p");
    }
}

#[test]
fn ports_and_their_defaults() {
    for (port, protocol, number) in [
        ("{}", Protocol::Tcp, PortNumber::Any),
        ("{protocol: UDP}", Protocol::Udp, PortNumber::Any),
        ("{port: 80}", Protocol::Tcp, PortNumber::Range(80, 80)),
        (
            "{port: 1, endPort: 65535}",
            Protocol::Tcp,
            PortNumber::Range(1, 65535),
        ),
        (
            "{port: 9, endPort: 9, protocol: SCTP}",
            Protocol::Sctp,
            PortNumber::Range(9, 9),
        ),
        (
            "{port: dns-tcp}",
            Protocol::Tcp,
            PortNumber::Named("dns-tcp".into()),
        ),
        (
            "{port: \"8a\", protocol: null}",
            Protocol::Tcp,
            PortNumber::Named("8a".into()),
        ),
    ] {
        let policy = accepted_policy(&format!("egress: [{{ports: [{port}]}}]"));
        let ports = policy.egress.unwrap().remove(0).ports.unwrap();
        assert_eq!(
            (ports[0].protocol, &ports[0].number),
            (protocol, &number),
            "{port}"
        );
    }
}

#[test]
fn ranges_and_their_exceptions() {
    for (block, expected) in [
        ("{cidr: 10.0.0.0/8}", "10.0.0.0/8 but []"),
        ("{cidr: 0.0.0.0/0, except: null}", "0.0.0.0/0 but []"),
        (
            "{cidr: \"::/0\", except: [\"fd00::/8\"]}",
            "::/0 but [fd00::/8]",
        ),
        (
            "{cidr: 10.0.0.0/8, except: [10.1.0.0/16, 10.0.0.0/9]}",
            "10.0.0.0/8 but [10.1.0.0/16, 10.0.0.0/9]",
        ),
        ("{cidr: 10.0.0.1/32, except: []}", "10.0.0.1/32 but []"),
    ] {
        let policy = accepted_policy(&format!("egress: [{{to: [{{ipBlock: {block}}}]}}]"));
        let peers = policy.egress.unwrap().remove(0).peers.unwrap();
        let PeerKind::Block { cidr, except } = &peers[0].kind else {
            panic!("{block}");
        };
        assert_eq!(format!("{cidr} but {except:?}"), expected);
    }
}

/// What `kubectl get networkpolicy,namespace -o yaml` prints.
const PRINTED: &str = r#"apiVersion: v1
items:
- apiVersion: networking.k8s.io/v1
  kind: NetworkPolicy
  metadata:
    annotations:
      kubectl.kubernetes.io/last-applied-configuration: |
        {"apiVersion":"networking.k8s.io/v1","kind":"NetworkPolicy"}
      Example.com/Note: ""
    creationTimestamp: "2026-01-02T03:04:05Z"
    finalizers:
    - example.com/hold
    generation: 1
    managedFields:
    - apiVersion: networking.k8s.io/v1
      fieldsType: FieldsV1
      fieldsV1:
        f:spec:
          .: {}
          k:{"port":80}: {}
      manager: kubectl
      operation: Apply
    name: p
    namespace: shop
    ownerReferences: []
    resourceVersion: "12"
    selfLink: /apis/networking.k8s.io/v1/namespaces/shop/networkpolicies/p
    uid: 1b4e28ba-2fa1-11d2-883f-0016d3cca427
  spec:
    podSelector: {}
    policyTypes:
    - Ingress
  status: {}
- apiVersion: v1
  kind: Namespace
  metadata:
    creationTimestamp: null
    labels:
      kubernetes.io/metadata.name: shop
    name: shop
  spec:
    finalizers:
    - kubernetes
  status:
    phase: Active
kind: List
metadata:
  resourceVersion: ""
  selfLink: ""
"#;

#[test]
fn what_an_api_server_writes_is_accepted_and_noted() {
    let parsed = accepted(PRINTED);
    assert_eq!(parsed.documents.policies.len(), 1);
    assert_eq!(parsed.documents.namespaces.len(), 1);
    let noted = parsed.documents.accepted.iter();
    let noted: Vec<String> = noted.map(|(f, p)| format!("{f} {}", p.line)).collect();
    assert_eq!(
        noted,
        [
            "metadata 47",
            "metadata.annotations 6",
            "metadata.creationTimestamp 10",
            "metadata.finalizers 11",
            "metadata.generation 13",
            "metadata.managedFields 14",
            "metadata.ownerReferences 25",
            "metadata.resourceVersion 26",
            "metadata.selfLink 27",
            "metadata.uid 28",
            "status 33",
            "metadata.creationTimestamp 37",
            "spec 41",
            "status 44",
        ]
    );
}

#[test]
fn a_creation_time_may_be_written_in_any_way() {
    for time in [
        "null",
        "~",
        "2026-01-02T03:04:05Z",
        "\"2026-01-02T03:04:05Z\"",
        "",
    ] {
        let text = format!(
            "apiVersion: v1\nkind: Namespace\nmetadata: \n  name: a\n  creationTimestamp: {time}\n"
        );
        accepted(&text);
    }
}

#[test]
fn a_namespace_has_the_label_of_its_name() {
    for labels in [
        "",
        "  labels: {a: b}\n",
        "  labels: {kubernetes.io/metadata.name: shop}\n",
    ] {
        let text = format!("apiVersion: v1\nkind: Namespace\nmetadata:\n  name: shop\n{labels}");
        let namespace = accepted(&text).documents.namespaces.remove(0);
        let label = namespace.labels.get("kubernetes.io/metadata.name");
        assert_eq!(label.map(|l| &**l), Some("shop"));
    }
}

const CONTAINERS: &str = "\
apiVersion: plumbline.dev/v1alpha1
kind: Container
metadata: {name: a, namespace: \"\"}
spec: {addresses: [10.44.0.10, fd44::10], attach: {netns: {path: null}, docker: null}, host: null}
---
apiVersion: plumbline.dev/v1alpha1
kind: Container
metadata: {name: b, namespace: m, labels: {app: web}}
spec:
  host: alpha.example
  addresses: [\"fd44::11\"]
  ports:
  - {name: http, port: 80}
  - {name: http, port: 80, protocol: UDP}
  connections: 64
  attach: {netns: {}}
";

const ATTACHED: &str = "\
apiVersion: plumbline.dev/v1alpha1
kind: Container
metadata: {name: a}
spec: {addresses: [10.44.0.10], attach: {netns: {path: /proc/4711/ns/net}}}
---
apiVersion: plumbline.dev/v1alpha1
kind: Container
metadata: {name: b}
spec: {addresses: [10.44.0.11], attach: {interface: {name: tap.7, mac: null}, netns: null}}
---
apiVersion: plumbline.dev/v1alpha1
kind: Container
metadata: {name: c}
spec:
  addresses: [10.44.0.12]
  attach: {interface: {name: veth0, mac: \"02:00:5e:10:00:aB\"}}
";

#[test]
fn a_container_may_be_attached_to_what_is_somebody_elses() {
    let containers = accepted(ATTACHED).documents.containers;
    let interface = |name: &str, mac| Attach::Interface {
        name: name.to_owned(),
        mac,
    };
    let mac = Mac([2, 0, 0x5e, 0x10, 0, 0xab]);
    let expected = [
        Attach::Namespace("/proc/4711/ns/net".to_owned()),
        interface("tap.7", None),
        interface("veth0", Some(mac)),
    ];
    let found = containers.into_iter().map(|container| container.attach);
    assert_eq!(found.collect::<Vec<_>>(), expected);
}

#[test]
fn a_container_and_its_defaults() {
    let containers = accepted(CONTAINERS).documents.containers;
    assert_eq!(containers[0].name.to_string(), "default/a");
    assert_eq!(containers[0].addresses.len(), 2);
    assert_eq!(containers[0].addresses[1].1.to_string(), "a.yaml:4:32");
    assert_eq!(containers[0].connections, 8_192);
    assert_eq!(containers[0].host, None);
    assert_eq!(containers[1].place.to_string(), "a.yaml:6:1");
    assert_eq!(containers[1].ports.len(), 2);
    assert_eq!(containers[1].connections, 64);
    assert_eq!(
        containers[1].host.as_ref().map(ToString::to_string),
        Some("alpha.example".into())
    );
}

#[test]
fn empty_documents_say_nothing() {
    for text in [
        "",
        "\n",
        "# a\n",
        "---\n",
        "---\n---\n# b\n---\n",
        "---\nnull\n---\n~\n",
        "--- # c\n...\n",
    ] {
        let documents = accepted(text).documents;
        assert!(documents.policies.is_empty());
    }
}

#[test]
fn settings_of_the_tree() {
    let text = "apiVersion: plumbline.dev/v1alpha1\nkind: Config\nmetadata: {name: x}\n\
                ignore: [charts, '**/values.yaml']\nignoreKinds: [Deployment, Service]\n\
                forwarding: false\ndns: leave\n";
    let deployment = "apiVersion: apps/v1\nkind: Deployment\nspec: {replicas: 0755, x: yes}\n";
    let parsed = parse(tree(&[
        ("plumbline.yaml", text),
        ("charts/a/b.yaml", "{{ nothing }}"),
        ("x/values.yaml", "a: 'b"),
        (
            "x/a.yaml",
            &format!("{deployment}---\n{deployment}---\napiVersion: v1\nkind: Service\n"),
        ),
    ]));
    assert_eq!(found(&parsed), "");
    let ignored = parsed.documents.ignored;
    assert_eq!((ignored["Deployment"], ignored["Service"]), (2, 1));
    assert_eq!(parsed.documents.config.dns, config::Dns::Leave);
    assert!(!parsed.documents.config.forwarding);
    let left_out: Vec<&str> = parsed.tree.left_out.keys().map(|path| &**path).collect();
    assert_eq!(left_out, ["charts/a/b.yaml", "x/values.yaml"]);
    assert!(
        parsed
            .tree
            .left_out
            .values()
            .all(|why| *why == LeftOut::Ignored)
    );
    assert!(parsed.tree.files.contains_key("x/a.yaml"));
}

#[test]
fn ignored_kinds_are_counted_in_lists() {
    let parsed = parse(tree(&[
        (
            "plumbline.yaml",
            "apiVersion: plumbline.dev/v1alpha1\nkind: Config\nignoreKinds: [Pod]\n",
        ),
        (
            "a.yaml",
            "apiVersion: v1\nkind: List\nitems: [{apiVersion: v1, kind: Pod}]\n",
        ),
    ]));
    assert_eq!(found(&parsed), "");
    assert_eq!(parsed.documents.ignored["Pod"], 1);
}

#[test]
fn the_order_of_files_is_that_of_their_paths() {
    let namespace =
        |name: &str| format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {name}}}\n");
    let files = [
        ("b.yaml", namespace("y1")),
        ("a.yaml", namespace("z1")),
        ("c.yaml", namespace("x1")),
    ];
    let files: Vec<_> = files
        .iter()
        .map(|(path, text)| (*path, text.as_str()))
        .collect();
    let parsed = parse(tree(&files));
    let names = parsed
        .documents
        .namespaces
        .iter()
        .map(|n| n.name.to_string());
    assert_eq!(names.collect::<Vec<_>>(), ["z1", "y1", "x1"]);
}
