//! The package: install, upgrade, remove, purge.

use crate::guest::{Disk, Guest};
use crate::tree::{TREE, is_live, make, reaches};

/// A connection that is held open while something is done, and is asked for a line before and after.
const HELD: &str = "\
ip netns exec shop.client bash -c 'exec 3<>/dev/tcp/10.44.0.10/80; read -r line <&3; \
echo $line >/tmp/before; until test -e /tmp/go; do read -t 0.1 <&3 || :; done; \
echo again >&3; read -r line <&3; echo $line >/tmp/after'";

#[test]
fn the_package_installs_upgrades_and_goes() {
    let disk = Disk::new();
    let guest = Guest::with_package(&disk);
    // Installed, and nothing enabled.
    guest.sh(
        "! systemctl -q is-enabled plumbline.path plumbline.timer plumbline-watch plumbline-boot",
    );
    guest.sh("reconcile --version; test -e /etc/plumbline/plumbline.env");
    guest.sh("ls /usr/share/man/man8/reconcile.8* /usr/share/man/man8/reconcile-watch.8*");
    guest.sh("bash -c '. /usr/share/bash-completion/completions/reconcile; complete -p reconcile'");
    guest.sh("ls /usr/share/zsh/vendor-completions/_reconcile /usr/share/plumbline/schema/container.json");
    guest.sh("ls /usr/share/fish/vendor_completions.d/reconcile.fish");
    make(&guest, TREE);
    guest.sh("systemctl enable -q --now plumbline-watch");
    is_live(&guest, TREE, "the tree");
    assert!(reaches(&guest, 80));
    guest.write(
        "/root/echo",
        "use IO::Socket::INET; $l = IO::Socket::INET->new(LocalPort => 90, Listen => 9); \
         while ($c = $l->accept) { $c->autoflush; print $c \"hello\\n\"; \
         while (<$c>) { print $c $_; } }",
    );
    guest.write(&format!("{TREE}/policy.yaml"), &crate::tree::policy(90));
    guest.sh(&format!("cd {TREE} && git commit -qam 90"));
    is_live(&guest, TREE, "the next");
    guest.sh("systemd-run -q --unit echo ip netns exec shop.web perl /root/echo");
    guest.until(
        "it listens",
        "ip netns exec shop.web ss -Hltn 'sport = :90' | grep -q .",
    );
    guest.write("/root/held", &HELD.replace("/80;", "/90;"));
    guest.sh("systemd-run -q --unit held sh /root/held");
    guest.until("it is connected", "grep -q hello /tmp/before");

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
    guest.sh("grep -q mine /etc/plumbline/plumbline.env; systemctl is-active plumbline-watch");
    guest.sh("touch /tmp/go");
    guest.until("the connection lives", "grep -q again /tmp/after");

    // Removed, it is still enforced, and nothing follows any more.
    guest.sh("dpkg -r plumbline");
    guest.sh("! test -e /usr/sbin/reconcile && ! systemctl -q is-active plumbline-watch");
    let open = |port: u16| {
        let ask =
            format!("ip netns exec shop.client timeout 2 bash -c ': </dev/tcp/10.44.0.10/{port}'");
        guest.run(&ask).code == 0
    };
    assert!(open(90) && !open(80));

    // Purged, all of ours is gone; the tree is its owner's.
    guest.sh("dpkg -P plumbline");
    guest.sh("! ls -d /sys/fs/bpf/plumbline /var/lib/plumbline /run/plumbline /run/netns/shop.*");
    guest.sh("! test -e /etc/plumbline/plumbline.env; ! ip link show group 20556 | grep .");
    guest.sh(&format!("git -C {TREE} status"));
}
