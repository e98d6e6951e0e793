//! Trees for tests: containers, namespaces and policies as values, written as YAML.
//!
//! What a test is about should be read where the test stands, so a tree takes documents of text,
//! too ([`Tree::file`]); the values are for what is many or made by a loop.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::IpAddr;
use std::path::Path;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::host::names_in;

/// Files of a tree.
#[derive(Clone, Debug, Default)]
pub struct Tree {
    files: BTreeMap<String, String>,
}

impl Tree {
    /// A tree of an empty `plumbline.yaml`, so that it is a tree in any folder.
    pub fn new() -> Self {
        let config = document("plumbline.dev/v1alpha1", "Config", None);
        Self::default().add("plumbline.yaml", &config)
    }

    /// Adds or replaces a file.
    #[must_use]
    pub fn file(mut self, path: &str, text: &str) -> Self {
        self.files.insert(path.to_owned(), text.to_owned());
        self
    }

    /// Adds a container.
    #[must_use]
    pub fn container(self, container: &Container) -> Self {
        self.add("containers.yaml", &container.document())
    }

    /// Adds a policy.
    #[must_use]
    pub fn policy(self, policy: &Policy) -> Self {
        self.add("policies.yaml", &policy.document())
    }

    /// Adds a namespace with labels.
    #[must_use]
    pub fn namespace(self, name: &str, labels: &[(&str, &str)]) -> Self {
        let mut namespace = document("v1", "Namespace", Some(name));
        namespace["metadata"]["labels"] = map(labels);
        self.add("namespaces.yaml", &namespace)
    }

    /// Its files: path and text.
    pub fn files(&self) -> impl Iterator<Item = (String, &str)> {
        self.files
            .iter()
            .map(|(path, text)| (path.clone(), text.as_str()))
    }

    fn add(mut self, path: &str, document: &Value) -> Self {
        let text = serde_yaml::to_string(document).expect("JSON is YAML");
        let file = self.files.entry(path.to_owned()).or_default();
        write!(file, "---\n{text}").expect("a string can be written to");
        self
    }
}

/// A managed container.
#[derive(Clone, Debug)]
pub struct Container {
    /// `namespace/name`.
    pub name: String,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    document: Value,
}

impl Container {
    /// One with these addresses, in the order in which the document lists them.
    ///
    /// # Panics
    /// Where one is no address.
    #[track_caller]
    pub fn new(name: &str, addresses: &[&str]) -> Self {
        let mut document = document("plumbline.dev/v1alpha1", "Container", Some(name));
        document["spec"]["addresses"] = json!(addresses);
        let addresses = addresses.iter().map(|a| a.parse().expect("an address"));
        Self {
            name: name.to_owned(),
            addresses: addresses.collect(),
            document,
        }
    }

    /// The one that a document describes.
    fn read(document: Value) -> Self {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let metadata = &document["metadata"];
        let namespace = text(&metadata["namespace"]).unwrap_or_else(|| "default".to_owned());
        let name = text(&metadata["name"]).expect("a container has a name");
        let addresses = document["spec"]["addresses"]
            .as_array()
            .into_iter()
            .flatten();
        let addresses = addresses
            .filter_map(|address| address.as_str()?.parse().ok())
            .collect();
        Self {
            name: format!("{namespace}/{name}"),
            addresses,
            document,
        }
    }

    /// The numbers of its named ports.
    pub fn named_ports(&self) -> Vec<u16> {
        let ports = self.document["spec"]["ports"]
            .as_array()
            .into_iter()
            .flatten();
        let numbers = ports.filter_map(|port| port["port"].as_u64());
        numbers
            .filter_map(|number| number.try_into().ok())
            .collect()
    }

    /// The host that its document names.
    pub fn on_host(&self) -> Option<&str> {
        self.document["spec"]["host"].as_str()
    }

    /// The number's container in the ranges of alpha: `10.44.H.L` and `fd44::N`.
    pub fn numbered(name: &str, number: u16) -> Self {
        let [high, low] = number.to_be_bytes();
        Self::new(
            name,
            &[&format!("10.44.{high}.{low}"), &format!("fd44::{number:x}")],
        )
    }

    /// Sets a label.
    #[must_use]
    pub fn label(mut self, key: &str, value: &str) -> Self {
        self.document["metadata"]["labels"][key] = json!(value);
        self
    }

    /// Names a port.
    ///
    /// # Panics
    /// Never: the ports are a list of ours.
    #[must_use]
    pub fn port(mut self, name: &str, port: u16, protocol: &str) -> Self {
        let ports = &mut self.document["spec"]["ports"];
        if ports.is_null() {
            *ports = json!([]);
        }
        let port = json!({ "name": name, "port": port, "protocol": protocol });
        ports.as_array_mut().expect("a list").push(port);
        self
    }

    /// Sets its host.
    #[must_use]
    pub fn host(mut self, host: &str) -> Self {
        self.document["spec"]["host"] = json!(host);
        self
    }

    /// Sets a field of `spec` as it stands.
    #[must_use]
    pub fn spec(mut self, field: &str, value: Value) -> Self {
        self.document["spec"][field] = value;
        self
    }

    /// Its document.
    pub fn document(&self) -> Value {
        self.document.clone()
    }
}

/// The containers of the documents below a folder, in the order of their files.
///
/// # Panics
/// Where a file cannot be read, or is no YAML.
#[track_caller]
pub fn containers_in(folder: &Path) -> Vec<Container> {
    let mut documents = Vec::new();
    read_documents(folder, &mut documents);
    let containers = documents
        .into_iter()
        .filter(|document| document["kind"] == "Container");
    containers.map(Container::read).collect()
}

fn read_documents(folder: &Path, documents: &mut Vec<Value>) {
    let mut names = names_in(folder);
    names.sort();
    for path in names.iter().map(|name| folder.join(name)) {
        if path.is_dir() {
            read_documents(&path, documents);
        } else if path
            .extension()
            .is_some_and(|end| end == "yaml" || end == "yml")
        {
            let text = std::fs::read_to_string(&path).expect("a file of ours is text");
            let read = serde_yaml::Deserializer::from_str(&text).map(Value::deserialize);
            documents.extend(read.map(|document| document.expect("a document of ours is YAML")));
        }
    }
}

/// A network policy.
#[derive(Clone, Debug)]
pub struct Policy {
    document: Value,
}

impl Policy {
    /// `namespace/name`; selects every container of its namespace. Until a direction is named, it
    /// isolates ingress, as a policy does that names no types.
    pub fn new(name: &str) -> Self {
        let mut document = document("networking.k8s.io/v1", "NetworkPolicy", Some(name));
        document["spec"] = json!({ "podSelector": {}, "policyTypes": [] });
        Self { document }
    }

    /// Selects the containers with these labels.
    #[must_use]
    pub fn select(mut self, labels: &[(&str, &str)]) -> Self {
        self.document["spec"]["podSelector"] = json!({ "matchLabels": map(labels) });
        self
    }

    /// Isolates ingress, and allows what the rules allow.
    #[must_use]
    pub fn ingress(self, rules: &[Rule]) -> Self {
        self.direction("Ingress", "ingress", "from", rules)
    }

    /// Isolates egress, and allows what the rules allow.
    #[must_use]
    pub fn egress(self, rules: &[Rule]) -> Self {
        self.direction("Egress", "egress", "to", rules)
    }

    fn direction(mut self, kind: &str, field: &str, peers: &str, rules: &[Rule]) -> Self {
        let spec = &mut self.document["spec"];
        spec["policyTypes"]
            .as_array_mut()
            .expect("a list")
            .push(json!(kind));
        spec[field] = rules.iter().map(|rule| rule.value(peers)).collect();
        self
    }

    /// Its document.
    pub fn document(&self) -> Value {
        self.document.clone()
    }
}

/// A rule: its peers and its ports; every peer and every port until told otherwise.
#[derive(Clone, Debug, Default)]
pub struct Rule {
    peers: Vec<Value>,
    ports: Vec<Value>,
}

impl Rule {
    /// Every peer, every port.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the containers of the policy's namespace with these labels.
    #[must_use]
    pub fn containers(self, labels: &[(&str, &str)]) -> Self {
        self.peer(json!({ "podSelector": { "matchLabels": map(labels) } }))
    }

    /// Adds the containers of the namespaces with these labels.
    #[must_use]
    pub fn namespaces(self, labels: &[(&str, &str)]) -> Self {
        self.peer(json!({ "namespaceSelector": { "matchLabels": map(labels) } }))
    }

    /// Adds the addresses of a block.
    #[must_use]
    pub fn block(self, cidr: &str, except: &[&str]) -> Self {
        self.peer(json!({ "ipBlock": { "cidr": cidr, "except": except } }))
    }

    /// Adds a peer as it stands.
    #[must_use]
    pub fn peer(mut self, peer: Value) -> Self {
        self.peers.push(peer);
        self
    }

    /// Adds a port.
    #[must_use]
    pub fn port(mut self, protocol: &str, port: u16) -> Self {
        self.ports
            .push(json!({ "protocol": protocol, "port": port }));
        self
    }

    fn value(&self, peers: &str) -> Value {
        let mut rule = json!({});
        if !self.peers.is_empty() {
            rule[peers] = json!(self.peers);
        }
        if !self.ports.is_empty() {
            rule["ports"] = json!(self.ports);
        }
        rule
    }
}

/// The beginning of a document; the name may hold its namespace.
fn document(version: &str, kind: &str, name: Option<&str>) -> Value {
    let mut document = json!({ "apiVersion": version, "kind": kind });
    match name.map(|name| name.split_once('/').unwrap_or(("", name))) {
        None => {}
        Some(("", name)) => document["metadata"] = json!({ "name": name }),
        Some((namespace, name)) => {
            document["metadata"] = json!({ "namespace": namespace, "name": name });
        }
    }
    document
}

fn map(pairs: &[(&str, &str)]) -> Value {
    pairs
        .iter()
        .map(|(key, value)| ((*key).to_owned(), json!(value)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_is_written_as_documents() {
        let tree = Tree::new()
            .namespace("shop", &[("team", "on")])
            .container(
                &Container::numbered("shop/web", 258)
                    .label("app", "web")
                    .port("http", 80, "TCP"),
            )
            .policy(
                &Policy::new("shop/web")
                    .select(&[("app", "web")])
                    .ingress(&[Rule::new().containers(&[("app", "api")]).port("TCP", 80)])
                    .egress(&[]),
            );
        let texts = tree.files().map(|(path, text)| format!("# {path}\n{text}"));
        insta::assert_snapshot!(texts.collect::<String>(), @r"
        # containers.yaml
        ---
        apiVersion: plumbline.dev/v1alpha1
        kind: Container
        metadata:
          labels:
            app: web
          name: web
          namespace: shop
        spec:
          addresses:
          - 10.44.1.2
          - fd44::102
          ports:
          - name: http
            port: 80
            protocol: TCP
        # namespaces.yaml
        ---
        apiVersion: v1
        kind: Namespace
        metadata:
          labels:
            team: on
          name: shop
        # plumbline.yaml
        ---
        apiVersion: plumbline.dev/v1alpha1
        kind: Config
        # policies.yaml
        ---
        apiVersion: networking.k8s.io/v1
        kind: NetworkPolicy
        metadata:
          name: web
          namespace: shop
        spec:
          egress: []
          ingress:
          - from:
            - podSelector:
                matchLabels:
                  app: api
            ports:
            - port: 80
              protocol: TCP
          podSelector:
            matchLabels:
              app: web
          policyTypes:
          - Ingress
          - Egress
        ");
    }
}
