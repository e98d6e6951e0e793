//! A remote repository, as running.md has it: its lines are typed, and its units installed.

use crate::guest::{Disk, Guest};
use crate::tree::{TREE, edit, is_live, make};

/// What running.md says of it: lines to type, and units by path.
fn said() -> (Vec<String>, Vec<(String, String)>) {
    let text = include_str!("../../docs/running.md");
    let section = text.split("\n## A remote repository\n").nth(1).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let (mut typed, mut units) = (Vec::new(), Vec::<(String, String)>::new());
    for line in section.lines().filter_map(|line| line.strip_prefix("    ")) {
        if let Some(path) = line.strip_prefix("# /") {
            units.push((format!("/{path}"), String::new()));
        } else if line.starts_with("sudo ") || line.starts_with("ssh-keyscan ") {
            typed.push(line.to_owned());
        } else if let Some((_, text)) = units.last_mut() {
            text.push_str(line);
            text.push('\n');
        }
    }
    (typed, units)
}

/// A server that keeps the repository, in the guest itself.
fn serve(guest: &Guest) {
    make(guest, "/srv/mine");
    // Nobody but what running.md says makes a directory safe.
    guest.sh("git config --global --unset safe.directory");
    guest.sh("echo 127.0.0.1 git.example.org $(hostname) >>/etc/hosts; systemctl start ssh");
    guest.sh("useradd --system --create-home --home-dir /srv/git --shell /usr/bin/git-shell git");
    guest.sh("git clone -q --bare /srv/mine /srv/git/ops/network.git; chown -R git: /srv/git");
    guest.sh("git config --global --add safe.directory /srv/git/ops/network.git");
    guest.sh("git -C /srv/mine remote add server /srv/git/ops/network.git");
}

/// A deploy key that may only read.
const ALLOW: &str = "mkdir -p /srv/git/.ssh && { printf %s \"restrict,command=\\\"git-upload-pack \
                     'ops/network.git'\\\" \"; cat /srv/network/.ssh/id_ed25519.pub; } \
                     >/srv/git/.ssh/authorized_keys && chown -R git: /srv/git";

#[test]
fn a_host_pulls_as_a_user_of_its_own_and_follows() {
    let disk = Disk::new();
    let guest = Guest::with_package(&disk);
    serve(&guest);
    let (typed, units) = said();
    assert!(typed.len() > 5 && units.len() == 2, "{typed:?} {units:?}");
    for (path, text) in &units {
        guest.write(path, text);
    }
    let often =
        "[Timer]\nOnBootSec=1s\nOnUnitInactiveSec=1s\nRandomizedDelaySec=0\nAccuracySec=1ms\n";
    guest.write("/etc/systemd/system/network-pull.timer.d/z.conf", often);
    guest.sh("systemctl daemon-reload");
    for line in &typed {
        guest.sh(line);
        if line.contains("ssh-keygen") {
            guest.sh(ALLOW);
        }
    }
    let push = "git commit -qam more && git push -q -f server HEAD:main && chown -R git: /srv/git";
    let clone = "/srv/network/tree";
    for (follower, port) in [("plumbline.path", 81), ("plumbline-watch", 84)] {
        guest.sh(&format!("systemctl start {follower}"));
        for port in port..port + 3 {
            edit(&guest, "/srv/mine", port, push);
            is_live(&guest, "/srv/mine", "a push to the server");
        }
        guest.sh(&format!("git -C {clone} status && git -C {TREE} log -1"));
    }
    // Who pulls cannot push, and a history that was rewritten is not followed.
    guest.sh(&format!(
        "! sudo -u network git -C {clone} push -q origin HEAD:other"
    ));
    let live = guest.sh(&format!("git -C {clone} rev-parse HEAD"));
    edit(
        &guest,
        "/srv/mine",
        99,
        &format!("git reset -q HEAD~1 && {push}"),
    );
    guest.until(
        "the pull is refused",
        "systemctl show -P Result network-pull | grep exit-code",
    );
    assert_eq!(guest.sh(&format!("git -C {clone} rev-parse HEAD")), live);
    is_live(&guest, clone, "what was live");
}
