//! The package: install, upgrade, remove, purge.

use crate::guest::{Disk, Guest};
use crate::traffic::Traffic;
use crate::tree::{TREE, is_live, make, policy};

#[test]
fn the_package_installs_upgrades_and_goes() {
    let disk = Disk::new();
    let guest = Guest::with_package(&disk);
    // Installed, and nothing enabled.
    guest.sh(
        "! systemctl -q is-enabled plumbline.path plumbline.timer plumbline-watch plumbline-boot",
    );
    guest.sh(
        "! systemctl -q is-active plumbline.path plumbline.timer plumbline-watch plumbline-boot",
    );
    guest.sh("reconcile --version; test -e /etc/plumbline/plumbline.env");
    documents_and_completions(&guest);
    make(&guest, TREE);
    guest.sh("systemctl enable -q --now plumbline-watch plumbline-boot");
    is_live(&guest, TREE, "the tree");
    let traffic = Traffic::begin(&guest);

    // An upgrade detaches nothing: the same programs, the same connection, settings as they were.
    guest.sh("echo '# mine' >>/etc/plumbline/plumbline.env");
    let live = "reconcile status -o json | grep -E '\"(generation|commit|interface)\"'; \
                find /sys/fs/bpf/plumbline | sort";
    let before = guest.sh(live);
    guest.sh(
        "cd /root && dpkg-deb -R plumbline.deb new && sed -i 's/^Version: .*/Version: 99.0/' \
         new/DEBIAN/control && dpkg-deb -b new new.deb && dpkg --force-confold -i new.deb",
    );
    assert_eq!(guest.sh(live), before);
    guest.sh("grep -q mine /etc/plumbline/plumbline.env");
    // It is restarted, and nobody waits for its first run.
    guest.until("it is active", "systemctl is-active plumbline-watch");
    guest.sh("systemctl -q is-enabled plumbline-watch plumbline-boot");
    traffic.goes_on();

    // Removed, it is still enforced, and nothing follows any more.
    guest.sh("dpkg -r plumbline");
    guest.sh("! test -e /usr/sbin/reconcile && ! systemctl -q is-active plumbline-watch");
    traffic.goes_on();
    guest.sh(
        "systemd-run -q --unit closed ip netns exec shop.web perl -MIO::Socket::INET -e \
              'IO::Socket::INET->new(LocalPort => 90, Listen => 9)->accept'",
    );
    guest.until(
        "it listens",
        "ip netns exec shop.web ss -Hltn 'sport = :90' | grep -q .",
    );
    let ask = "ip netns exec shop.client timeout 2 bash -c ': </dev/tcp/10.44.0.10/90'";
    assert_ne!(guest.run(ask).code, 0, "what is not allowed");
    guest.sh("find /etc/systemd -name '*plumbline*' | grep . && exit 1 || :");
    guest.sh("grep -q mine /etc/plumbline/plumbline.env");

    // Purged, all of ours is gone; the tree is its owner's.
    guest.sh("dpkg -P plumbline");
    guest.sh("! ls -d /sys/fs/bpf/plumbline /var/lib/plumbline /run/plumbline /run/netns/shop.*");
    guest.sh("! test -e /etc/plumbline/plumbline.env; ! ip link show group 20556 | grep .");
    guest.sh(&format!("git -C {TREE} status"));
}

/// A manual page for each command, and completions of the shells.
fn documents_and_completions(guest: &Guest) {
    let commands = "reconcile --help | sed -n '/^Commands:/,/^$/s/^  \\([a-z][a-z-]*\\) .*/\\1/p'";
    let commands = guest.sh(&format!("{commands} | grep -v '^help$'"));
    assert!(commands.lines().count() > 10, "{commands}");
    for command in commands.lines() {
        guest.sh(&format!("ls /usr/share/man/man8/reconcile-{command}.8*"));
    }
    guest.sh("ls /usr/share/man/man8/reconcile.8* /usr/share/doc/plumbline/copyright");
    guest.sh("bash -c '. /usr/share/bash-completion/completions/reconcile; complete -p reconcile'");
    guest.sh("grep -q '#compdef reconcile' /usr/share/zsh/vendor-completions/_reconcile");
    guest.sh("grep -q 'complete -c reconcile' /usr/share/fish/vendor_completions.d/reconcile.fish");
    guest.sh("ls /usr/share/plumbline/schema/container.json");
}

/// With path and timer, and with a run under way: an upgrade neither ends it nor starts another.
#[test]
fn an_upgrade_in_the_middle_of_runs_and_a_package_that_comes_back() {
    let disk = Disk::new();
    let guest = Guest::with_package(&disk);
    make(&guest, TREE);
    guest.sh("systemctl enable -q --now plumbline.path plumbline.timer; systemctl start plumbline");
    let traffic = Traffic::begin(&guest);
    let extra = |port| policy(80).replace("{port: 80}", &format!("{{port: 80}}, {{port: {port}}}"));
    for port in [8081, 8082, 8083] {
        guest.write(&format!("{TREE}/policy.yaml"), &extra(port));
        guest.sh(&format!(
            "cd {TREE} && git commit -qam more && dpkg -i /root/plumbline.deb"
        ));
        traffic.goes_on();
        is_live(&guest, TREE, "the commit");
    }
    // Removed and installed again, it goes on with what is live.
    guest.sh("dpkg -r plumbline && dpkg -i /root/plumbline.deb");
    guest.sh(&format!("reconcile -C {TREE} drift"));
    guest.sh("systemctl enable -q --now plumbline.path");
    traffic.goes_on();
    guest.write(&format!("{TREE}/policy.yaml"), &extra(8084));
    guest.sh(&format!("cd {TREE} && git commit -qam more"));
    is_live(&guest, TREE, "a commit");
    traffic.goes_on();
}

/// A purge of what never applied anything, and a package in a root that nobody booted.
#[test]
fn a_package_of_which_nothing_is_live_goes_quietly() {
    let disk = Disk::new();
    let guest = Guest::with_package(&disk);
    guest.sh("dpkg -P plumbline; ! ls -d /var/lib/plumbline /etc/plumbline /run/plumbline");
    make(&guest, TREE);
    guest.sh("dpkg -i /root/plumbline.deb");
    guest.sh(&format!("reconcile -C {TREE} -q"));
    // The same files without the mounts: what is pinned is not theirs to take away.
    guest.sh("mkdir /srv/root && mount --bind / /srv/root");
    let kept = guest.sh("find /sys/fs/bpf/plumbline | sort");
    guest.sh("chroot /srv/root dpkg -P plumbline");
    assert_eq!(guest.sh("find /sys/fs/bpf/plumbline | sort"), kept);
}
