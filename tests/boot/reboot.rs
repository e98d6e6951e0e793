//! plumbline-boot.service: what is in force before workloads start.

use crate::guest::{Disk, Guest};
use crate::tree::{TREE, edit, is_live, make, policy, reaches};

const WORKLOAD: &str = "\
[Unit]
After=plumbline-boot.service
[Service]
NetworkNamespacePath=/run/netns/shop.client
ExecStart=/bin/sh -c 'ip -br address show dev eth0 >/run/at-start; exec sleep infinity'
[Install]
WantedBy=multi-user.target
";

#[test]
fn a_workload_finds_its_network_and_the_policy_after_a_boot() {
    let disk = Disk::new();
    let guest = Guest::with_package(&disk);
    make(&guest, TREE);
    guest.write("/etc/systemd/system/workload.service", WORKLOAD);
    // One that says nothing of ours: plumbline-boot.service orders itself before it.
    guest.write(
        "/etc/systemd/system/docker.service",
        "[Service]\n\
         ExecStart=/bin/sh -c 'reconcile status >/run/docker-found; exec sleep infinity'\n\
         [Install]\nWantedBy=multi-user.target\n",
    );
    guest.sh("systemctl enable -q plumbline-boot workload docker; sync");
    drop(guest);
    let guest = Guest::boot(&disk);
    guest.sh("grep -q 'generation 1' /run/docker-found");
    let text = include_str!("../../docs/running.md");
    let before = guest.sh("systemctl show -P Before plumbline-boot");
    let said = text.split("the unit orders itself before").nth(1).unwrap();
    for unit in said
        .split(". A unit")
        .next()
        .unwrap()
        .split('`')
        .skip(1)
        .step_by(2)
    {
        assert!(before.contains(unit), "{unit}: {before}");
    }
    is_live(&guest, TREE, "what is at rest");
    guest.sh("grep -q 10.44.0.11 /run/at-start");
    guest.sh("systemctl is-active workload plumbline-boot");
    assert!(reaches(&guest, 80) && !reaches(&guest, 81));
}

/// What was live comes back where the tree is invalid by now; what was rolled back from does not.
#[test]
fn a_boot_brings_back_what_was_live_where_the_tree_cannot_be_applied() {
    let disk = Disk::new();
    let guest = Guest::with_package(&disk);
    make(&guest, TREE);
    guest.sh("systemctl enable -q --now plumbline-boot");
    is_live(&guest, TREE, "the first commit");
    guest.write(&format!("{TREE}/policy.yaml"), "kind: Nonsense\n");
    guest.sh(&format!("cd {TREE} && git commit -qam invalid; sync"));
    drop(guest);
    let guest = Guest::boot(&disk);
    guest.sh("reconcile status | grep -q 'the tree is invalid'");
    assert!(reaches(&guest, 80) && !reaches(&guest, 81));
    assert_ne!(
        guest.run("systemctl is-active plumbline-boot").code,
        0,
        "it is told"
    );

    edit(&guest, TREE, 81, "git commit -qam 'a mistake'");
    guest.sh(&format!(
        "reconcile -C {TREE} -q && reconcile -C {TREE} rollback -q; sync"
    ));
    assert!(reaches(&guest, 80) && !reaches(&guest, 81));
    let mut guest = guest;
    for _ in 0..2 {
        guest.sh("sync");
        drop(guest);
        guest = Guest::boot(&disk);
        assert!(reaches(&guest, 80) && !reaches(&guest, 81));
        guest.sh("journalctl --no-pager -u plumbline-boot | grep -q 'is held'");
    }
    edit(&guest, TREE, 82, "git commit -qam 'the next'");
    guest.sh(&format!("reconcile -C {TREE} -q"));
    is_live(&guest, TREE, "the next commit");
}

/// Floods a port that nobody may reach and one that the client may, from the first moment that its
/// namespace is there: when it began, and since when it is answered, are kept.
const FLOOD: &str = r#"
use IO::Socket::INET;
use Time::HiRes qw(clock_gettime CLOCK_MONOTONIC);
sub note {
    open my $file, '>', $_[0];
    print $file int(clock_gettime(CLOCK_MONOTONIC) * 1e6);
    close $file;
}
until ($denied = IO::Socket::INET->new(Proto => 'udp', PeerAddr => '10.44.0.10:81')) { }
$allowed = IO::Socket::INET->new(Proto => 'udp', PeerAddr => '10.44.0.10:80') or die;
$allowed->blocking(0);
note '/run/flood-began';
for (;;) {
    $denied->send('x');
    $allowed->send('x');
    note '/run/flood-answered' if !$answered && $allowed->recv($answered, 9);
}
"#;

/// Answers on a port, and counts what came to the other.
const SINK: &str = r#"
use IO::Socket::INET;
$allowed = IO::Socket::INET->new(Proto => 'udp', LocalPort => 80) or die;
$denied = IO::Socket::INET->new(Proto => 'udp', LocalPort => 81) or die;
if (fork) {
    $allowed->send('y') while $allowed->recv($got, 9);
}
while ($denied->recv($got, 9)) {
    open $file, '>>', '/run/passed';
    print $file "1\n";
    close $file;
}
"#;

/// A workload that waits for nothing but its namespace.
fn impatient(namespace: &str, script: &str) -> String {
    format!(
        "[Unit]\nDefaultDependencies=no\n[Service]\nExecStart=/bin/sh -c 'until ip netns exec \
         {namespace} true; do :; done 2>/dev/null; exec ip netns exec {namespace} perl {script}'\n\
         [Install]\nWantedBy=sysinit.target\n"
    )
}

/// Closed, and not open, until policy is in force: not one packet that policy forbids passes,
/// though its sender does not wait for plumbline-boot.service and sends from the first moment on.
#[test]
fn nothing_that_policy_forbids_passes_before_it_is_in_force() {
    let disk = Disk::new();
    let mut guest = Guest::with_package(&disk);
    make(&guest, TREE);
    let udp = policy(80).replace("port: 80", "port: 80, protocol: UDP");
    guest.write(&format!("{TREE}/policy.yaml"), &udp);
    guest.sh(&format!("cd {TREE} && git commit -qam udp"));
    guest.write("/root/flood.pl", FLOOD);
    guest.write("/root/sink.pl", SINK);
    for (unit, namespace) in [("flood", "shop.client"), ("sink", "shop.web")] {
        let text = impatient(namespace, &format!("/root/{unit}.pl"));
        guest.write(&format!("/etc/systemd/system/{unit}.service"), &text);
    }
    guest.sh("systemctl enable -q plumbline-boot flood sink; sync");
    for _ in 0..3 {
        drop(guest);
        guest = Guest::boot(&disk);
        guest.until("what is allowed passes", "test -s /run/flood-answered");
        is_live(&guest, TREE, "what is at rest");
        guest.sh("systemctl is-active plumbline-boot flood sink; sleep 1; ! test -e /run/passed");
        let early = "test $(cat /run/flood-began) -lt $(systemctl show -P \
                     ExecMainExitTimestampMonotonic plumbline-boot)";
        guest.sh(early);
    }
    // The sink does count: with the policy gone, the same flood reaches it.
    guest.sh(&format!(
        "cd {TREE} && git rm -q policy.yaml && git commit -qm open"
    ));
    guest.sh(&format!("reconcile -C {TREE} -q"));
    guest.until("what was forbidden passes", "test -s /run/passed");
}
