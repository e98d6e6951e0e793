//! plumbline-watch.service.

use crate::guest::{Disk, Guest};
use crate::tree::{TREE, edit, is_live, make, policy, reaches};

fn watched(disk: &Disk) -> Guest {
    let guest = Guest::with_package(disk);
    make(&guest, TREE);
    guest.sh("systemctl enable -q --now plumbline-watch.service");
    // A service that notifies is active once policy is in force.
    is_live(&guest, TREE, "what was there");
    guest
}

fn property(guest: &Guest, name: &str) -> String {
    guest.sh(&format!("systemctl show -P {name} plumbline-watch.service"))
}

#[test]
fn the_watcher_follows_and_says_how_things_are() {
    let disk = Disk::new();
    let guest = watched(&disk);
    assert_eq!(property(&guest, "ActiveState"), "active");
    assert_eq!(property(&guest, "WatchdogUSec"), "10min");
    assert!(property(&guest, "StatusText").ends_with(" is live"));
    edit(&guest, TREE, 81, "git commit -qam 'by commit'");
    is_live(&guest, TREE, "a commit");
    assert!(reaches(&guest, 81) && !reaches(&guest, 80));
    // An invalid one is told, and leaves what is live.
    guest.write(
        &format!("{TREE}/policy.yaml"),
        "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\n",
    );
    guest.sh(&format!("cd {TREE} && git commit -qam invalid"));
    guest.until(
        "the reason is told",
        "systemctl show -P StatusText plumbline-watch | grep 'was not applied'",
    );
    guest.sh("reconcile status | grep -q 'the tree is invalid'");
    assert!(reaches(&guest, 81));
    edit(&guest, TREE, 82, "git commit -qam valid");
    is_live(&guest, TREE, "the next commit");
    // What others do to the host is mended when asked for, and by itself where it is noticed.
    guest.sh("ip -n shop.web address flush dev eth0; systemctl reload plumbline-watch");
    guest.until(
        "the address is back",
        "ip -n shop.web address show dev eth0 | grep -q 10.44.0.10",
    );
    guest.sh("ip netns delete shop.client");
    guest.until(
        "the namespace is back",
        "ip netns exec shop.client ip address | grep 10.44.0.11",
    );
}

#[test]
fn the_watcher_takes_the_place_of_path_and_timer_and_stopping_it_takes_nothing_away() {
    let disk = Disk::new();
    let guest = watched(&disk);
    guest.sh("systemctl start plumbline.path plumbline.timer");
    guest.until(
        "the watcher makes way",
        "! systemctl -q is-active plumbline-watch",
    );
    guest.sh("systemctl start plumbline-watch");
    guest.until(
        "they make way",
        "! systemctl -q is-active plumbline.path plumbline.timer",
    );
    let before = property(&guest, "MainPID");
    guest.sh(&format!("kill -9 {before}"));
    guest.until(
        "it is back",
        &format!(
            "systemctl -q is-active plumbline-watch && test $(systemctl show -P MainPID \
             plumbline-watch) != {before}"
        ),
    );
    assert!(reaches(&guest, 80));
    guest.sh("systemctl stop plumbline-watch");
    assert_eq!(property(&guest, "Result"), "success");
    assert!(reaches(&guest, 80) && !reaches(&guest, 81));
}

#[test]
fn the_watcher_applies_the_last_of_many_commits() {
    let disk = Disk::new();
    let guest = watched(&disk);
    guest.write("/tmp/80", &policy(80));
    guest.write("/tmp/443", &policy(443));
    guest.sh(&format!(
        "cd {TREE} && for n in $(seq 150); do cat /tmp/443 >policy.yaml; git commit -qam $n; cat \
         /tmp/80 >policy.yaml; git commit -qam $n; done"
    ));
    is_live(&guest, TREE, "the last of 300 commits");
}
