//! plumbline-boot.service: what is in force before workloads start.

use crate::guest::{Disk, Guest};
use crate::tree::{TREE, edit, is_live, make, reaches};

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
    guest.sh("systemctl enable -q plumbline-boot workload; sync");
    drop(guest);
    let guest = Guest::boot(&disk);
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
    drop(guest);
    let guest = Guest::boot(&disk);
    assert!(reaches(&guest, 80) && !reaches(&guest, 81));
    guest.sh("journalctl --no-pager -u plumbline-boot | grep -q 'is held'");
    edit(&guest, TREE, 82, "git commit -qam 'the next'");
    guest.sh(&format!("reconcile -C {TREE} -q"));
    is_live(&guest, TREE, "the next commit");
}
