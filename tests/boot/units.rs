//! plumbline.path, plumbline.timer and plumbline.service, driven by git.

use crate::guest::{Disk, Guest};
use crate::tree::{TREE, edit, is_live, make, policy};

/// The units, enabled as running.md says.
fn enable(guest: &Guest, path: &str) {
    guest.sh(&format!("systemctl enable -q --now {path} plumbline.timer"));
    guest.until(
        "the path is watched",
        &format!("systemctl is-active {path}"),
    );
}

#[test]
fn whatever_moves_head_is_followed() {
    let disk = Disk::new();
    let guest = Guest::with_package(&disk);
    make(&guest, TREE);
    guest.sh(&format!("git clone -q {TREE} /srv/theirs"));
    enable(&guest, "plumbline.path");
    // Nothing has changed since: what is there is applied by the first start.
    guest.sh("systemctl start plumbline.service");
    is_live(&guest, TREE, "what was there");
    edit(&guest, TREE, 81, "git commit -qam 'by commit'");
    is_live(&guest, TREE, "a commit");
    edit(&guest, TREE, 82, "git commit -qa --amend -m amended");
    is_live(&guest, TREE, "an amended commit");
    guest.sh(&format!("cd {TREE} && git reset -q --hard HEAD~1"));
    is_live(&guest, TREE, "reset --hard");
    edit(&guest, "/srv/theirs", 83, "git commit -qam theirs");
    guest.sh(&format!(
        "cd {TREE} && git pull -q --rebase /srv/theirs main"
    ));
    is_live(&guest, TREE, "a pull");
    edit(&guest, "/srv/theirs", 86, "git commit -qam more");
    guest.sh(&format!(
        "cd {TREE} && git pull -q --ff-only /srv/theirs main"
    ));
    is_live(&guest, TREE, "a pull that is a fast-forward");
    guest.sh(&format!("cd {TREE} && git reset -q --hard ORIG_HEAD"));
    is_live(&guest, TREE, "a pull that is taken back");
    edit(
        &guest,
        TREE,
        84,
        "git checkout -qb other/branch && git commit -qam branch",
    );
    is_live(&guest, TREE, "a branch with a slash in its name");
    guest.write(&format!("{TREE}/more.yaml"), "");
    let rebase = "git add -A && git checkout -q main && git commit -qm more && git checkout -q \
                  other/branch && git rebase -q main";
    guest.sh(&format!("cd {TREE} && {rebase}"));
    is_live(&guest, TREE, "a rebase");
    guest.sh(&format!(
        "cd {TREE} && git checkout -q main && git merge -q other/branch"
    ));
    is_live(&guest, TREE, "a merge");
    guest.sh(&format!("cd {TREE} && git gc -q --prune=now"));
    is_live(&guest, TREE, "what git gc has packed");
    edit(&guest, TREE, 85, "git commit -qam 'after gc'");
    is_live(&guest, TREE, "a commit after git gc");
    // Runs that had nothing to do said nothing.
    let said = guest.sh("journalctl --no-pager -o cat -u plumbline.service | grep -c ' is live'");
    let runs = guest.sh(&format!(
        "git -C {TREE} reflog --format=%H HEAD | sort -u | wc -l"
    ));
    assert!(
        said.parse::<u32>().unwrap() <= runs.parse::<u32>().unwrap() + 4,
        "{said} {runs}"
    );
}

#[test]
fn a_push_into_a_bare_repository_is_followed() {
    let disk = Disk::new();
    let guest = Guest::with_package(&disk);
    make(&guest, "/srv/mine");
    guest.sh(&format!("git clone -q --bare /srv/mine {TREE}"));
    guest.sh(&format!("git -C /srv/mine remote add host {TREE}"));
    enable(&guest, "plumbline-bare.path");
    for port in 81..85 {
        edit(
            &guest,
            "/srv/mine",
            port,
            "git commit -qam more && git push -q host main",
        );
        is_live(&guest, TREE, "a push");
    }
    guest.sh(&format!("git -C {TREE} pack-refs --all"));
    edit(
        &guest,
        "/srv/mine",
        85,
        "git commit -qam more && git push -q host main",
    );
    is_live(&guest, TREE, "a push after the references were packed");
    guest.sh("cd /srv/mine && git reset -q --hard HEAD~2 && git push -q --force host main");
    is_live(&guest, TREE, "a forced push");
}

/// Path units are not recursive: a branch with a slash in its name has a directory of its own, and
/// running.md says how it is added.
#[test]
fn a_branch_in_a_directory_is_followed_where_that_is_the_path() {
    let disk = Disk::new();
    let guest = Guest::with_package(&disk);
    make(&guest, "/srv/mine");
    guest.sh("cd /srv/mine && git checkout -qb hosts/alpha && git branch -qD main");
    guest.sh(&format!("git clone -q --bare /srv/mine {TREE}"));
    guest.sh(&format!("git -C /srv/mine remote add host {TREE}"));
    let text = include_str!("../../docs/running.md");
    let path = text
        .lines()
        .skip_while(|line| line.trim() != "[Path]")
        .take(3);
    let path: Vec<&str> = path.map(str::trim).collect();
    let at = "/etc/systemd/system/plumbline-bare.path.d/override.conf";
    guest.write(at, &format!("{}\n", path.join("\n")));
    guest.sh("systemctl daemon-reload");
    enable(&guest, "plumbline-bare.path");
    for port in 81..84 {
        let push = "git commit -qam more && git push -q host HEAD";
        edit(&guest, "/srv/mine", port, push);
        is_live(&guest, TREE, "a push");
    }
}

/// Path units miss what happens while their service runs. Here it runs on after its last look, so
/// that nothing but the timer that it starts as it ends can find the commit.
#[test]
fn a_commit_while_the_service_ends_is_found() {
    let disk = Disk::new();
    let guest = Guest::with_package(&disk);
    make(&guest, TREE);
    guest.write(
        "/etc/systemd/system/plumbline.service.d/slow.conf",
        "[Service]\nExecStartPost=/bin/sh -c 'touch /run/ending; sleep 2; rm /run/ending'\n",
    );
    guest.sh("systemctl daemon-reload; systemctl enable -q --now plumbline.path");
    edit(&guest, TREE, 81, "git commit -qam first");
    guest.until("the service ends", "test -e /run/ending");
    edit(
        &guest,
        TREE,
        82,
        "git commit -qam second && test -e /run/ending",
    );
    is_live(&guest, TREE, "a commit while the service ended");
    guest.sh("! systemctl -q is-active plumbline.timer");
}

/// Path units do not fire at boot for what changed before: plumbline-boot.service looks.
#[test]
fn what_came_while_the_host_was_down_is_live_after_a_boot() {
    let disk = Disk::new();
    let guest = Guest::with_package(&disk);
    make(&guest, TREE);
    enable(&guest, "plumbline.path");
    guest.sh("systemctl enable -q plumbline-boot; systemctl stop plumbline.path");
    edit(&guest, TREE, 81, "git commit -qam more; sync");
    drop(guest);
    let guest = Guest::boot(&disk);
    is_live(&guest, TREE, "a commit of before the boot");
    guest.sh("systemctl is-active plumbline.path plumbline-boot");
    let runs =
        "systemctl show -P ExecMainStartTimestampMonotonic plumbline plumbline-look | sort -u";
    assert_eq!(
        guest.sh(&format!("{runs} | grep .")),
        "0",
        "neither path nor timer ran"
    );
    edit(&guest, TREE, 82, "git commit -qam more");
    is_live(&guest, TREE, "a commit after the boot");
}

/// Path units miss what happens while their service runs: it looks again before it ends.
#[test]
fn the_last_of_many_commits_is_live_in_the_end() {
    let disk = Disk::new();
    let guest = Guest::with_package(&disk);
    make(&guest, TREE);
    enable(&guest, "plumbline.path");
    for _ in 0..5 {
        guest.write("/tmp/80", &policy(80));
        guest.write("/tmp/443", &policy(443));
        guest.sh(&format!(
            "cd {TREE} && for n in $(seq 40); do cat /tmp/80 >policy.yaml; git commit -qam $n \
             --allow-empty; cat /tmp/443 >policy.yaml; git commit -qam $n; done"
        ));
        is_live(&guest, TREE, "the last of 80 commits");
    }
}

#[test]
fn the_timer_mends_what_others_changed_and_a_suspended_host_is_left_alone() {
    let disk = Disk::new();
    let guest = Guest::with_package(&disk);
    make(&guest, TREE);
    // Hosts that were started together do not all run together.
    let jitter = guest.sh("systemctl show -P RandomizedDelayUSec plumbline.timer");
    assert_eq!(jitter, "1min");
    guest.write(
        "/etc/systemd/system/plumbline.timer.d/often.conf",
        "[Timer]\nOnBootSec=1s\nOnUnitInactiveSec=1s\nRandomizedDelaySec=0\nAccuracySec=1ms\n",
    );
    guest.sh("systemctl daemon-reload; systemctl enable -q --now plumbline.timer");
    is_live(&guest, TREE, "what the timer found");
    guest.sh("ip -n shop.web address flush dev eth0");
    guest.until(
        "the address is back",
        "ip -n shop.web address show dev eth0 | grep -q 10.44.0.10",
    );
    guest.sh("reconcile suspend --reason 'moving house'");
    guest.sh("ip -n shop.web address flush dev eth0");
    let failed = "journalctl --no-pager -u plumbline-look | grep -q 'suspended.*moving house'";
    guest.until("a run says why it does nothing", failed);
    assert_ne!(
        guest
            .run("ip -n shop.web address show dev eth0 | grep -q 10.44")
            .code,
        0
    );
    guest.sh("reconcile resume");
    guest.until(
        "the address is back",
        "ip -n shop.web address show dev eth0 | grep -q 10.44.0.10",
    );
}

#[test]
fn the_services_are_hardened() {
    let disk = Disk::new();
    let guest = Guest::with_package(&disk);
    for unit in [
        "plumbline",
        "plumbline-look",
        "plumbline-watch",
        "plumbline-boot",
    ] {
        guest.sh(&format!(
            "systemd-analyze security --threshold=30 {unit}.service"
        ));
        guest.sh(&format!("systemd-analyze verify --man=no {unit}.service"));
    }
    guest.sh(
        "systemd-analyze verify --man=no plumbline.path plumbline-bare.path plumbline.timer \
         plumbline-look.timer",
    );
    // Each works so, as the other tests show; and what they must not do they cannot.
    make(&guest, TREE);
    let lines = "[Service]\nExecStart=\nExecStart=/bin/sh -c '! touch /etc/x /usr/x /root/x && \
                 ! mount -t tmpfs none /mnt 2>/dev/null; touch /run/x'\n";
    guest.write("/etc/systemd/system/plumbline.service.d/z.conf", lines);
    guest.sh("systemctl daemon-reload; systemctl start plumbline.service; test -e /run/x");
    guest.sh("! test -e /etc/x && ! test -e /usr/x && ! test -e /root/x");
}
