//! A tree in a repository of the guest's, and what is live of it.

use crate::guest::Guest;

/// Where the units look for it.
pub(crate) const TREE: &str = "/etc/plumbline/tree";

const CONTAINERS: &str = "\
apiVersion: plumbline.dev/v1alpha1
kind: Container
metadata: {name: web, namespace: shop, labels: {app: web}}
spec: {addresses: [10.44.0.10]}
---
apiVersion: plumbline.dev/v1alpha1
kind: Container
metadata: {name: client, namespace: shop, labels: {app: client}}
spec: {addresses: [10.44.0.11]}
";

/// Whoever may reach the web server: the client, on one port.
pub(crate) fn policy(port: u16) -> String {
    format!(
        "\
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {{name: web, namespace: shop}}
spec:
  podSelector: {{matchLabels: {{app: web}}}}
  ingress:
  - from: [{{podSelector: {{matchLabels: {{app: client}}}}}}]
    ports: [{{port: {port}}}]
"
    )
}

/// Makes a repository there with a first commit.
pub(crate) fn make(guest: &Guest, at: &str) {
    guest.write(
        "/root/.gitconfig",
        "[user]\nname = Ann\nemail = ann@example.org\n[init]\ndefaultBranch = main\n\
         [safe]\ndirectory = *\n",
    );
    guest.write(&format!("{at}/plumbline.yaml"), "");
    guest.write(&format!("{at}/containers.yaml"), CONTAINERS);
    guest.write(&format!("{at}/policy.yaml"), &policy(80));
    guest.sh(&format!(
        "cd {at} && git init -q && git add -A && git commit -qm first"
    ));
}

/// Sets the port in the policy, and runs git there.
pub(crate) fn edit(guest: &Guest, at: &str, port: u16, git: &str) {
    guest.write(&format!("{at}/policy.yaml"), &policy(port));
    guest.sh(&format!("cd {at} && {git}"));
}

/// Waits until what is at rest there is live.
#[track_caller]
pub(crate) fn is_live(guest: &Guest, at: &str, how: &str) {
    guest.until(&format!("{how} is live"), &live(at));
}

/// Whether it is live already.
pub(crate) fn is_live_now(guest: &Guest, at: &str) -> bool {
    guest.run(&live(at)).code == 0
}

/// A shell's condition that what is at rest there is live.
fn live(at: &str) -> String {
    format!(
        "test \"$(reconcile status -o json | sed -n 's/^  \"commit\": \"\\(.*\\)\",/\\1/p')\" = \
         \"$(git -C {at} rev-parse HEAD)\""
    )
}

/// Whether the client reaches the web server on a port.
pub(crate) fn reaches(guest: &Guest, port: u16) -> bool {
    let answers = "use IO::Socket::INET; $l = IO::Socket::INET->new(LocalPort => $ARGV[0], Listen \
                   => 9, ReuseAddr => 1) or die; \
                   while ($c = $l->accept) { print $c \"hello\\n\"; }";
    guest.write("/root/answers", answers);
    let listen = format!(
        "systemd-run -q --unit web-{port} ip netns exec shop.web perl /root/answers {port}"
    );
    guest.run(&format!("systemctl -q is-active web-{port} || {listen}"));
    guest.until(
        "somebody listens",
        &format!("ip netns exec shop.web ss -Hltn 'sport = :{port}' | grep -q ."),
    );
    let ask = format!(
        "ip netns exec shop.client timeout 2 bash -c 'read -r line </dev/tcp/10.44.0.10/{port} && \
         test \"$line\" = hello'"
    );
    guest.run(&ask).code == 0
}
