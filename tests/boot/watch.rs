//! plumbline-watch.service.

use crate::guest::{Disk, Guest};
use crate::traffic::Traffic;
use crate::tree::{TREE, edit, is_live, is_live_now, make, policy, reaches};

fn watched(disk: &Disk) -> Guest {
    let guest = Guest::with_package(disk);
    make(&guest, TREE);
    guest.sh("systemctl enable -q --now plumbline-watch.service");
    // A service that notifies is active once policy is in force: nothing is waited for.
    assert!(is_live_now(&guest, TREE));
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
    // Its log is lines of text, without colours and without a time of its own: the journal has one.
    guest.sh("journalctl --no-pager -o cat -u plumbline-watch | grep -q ' is live'");
    guest.sh("! journalctl --no-pager -a -o cat -u plumbline-watch | \
         grep -P '\\x1b|\\d\\d:\\d\\d:\\d\\d'");
    // What is grave is marked so, and nothing else.
    let grave = "journalctl --no-pager -o cat -p err -u plumbline-watch";
    guest.sh(&format!("{grave} | grep -q 'the tree is invalid'"));
    guest.sh(&format!("! {grave} | grep 'is live: generation'"));
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
    // A run that somebody asks for, and the timer that it starts as it ends, leave it alone.
    guest.sh("systemctl start plumbline.service");
    let looked = "systemctl show -P ExecMainExitTimestampMonotonic plumbline-look.service";
    guest.until(
        "the timer's run has ended",
        &format!("test $({looked}) -gt 0"),
    );
    assert_eq!(property(&guest, "MainPID"), before);
    assert_eq!(property(&guest, "ActiveState"), "active");
    guest.sh(&format!("kill -9 {before}"));
    guest.until(
        "it is back",
        // Asked at once: it is neither the old one nor none, as between the two.
        &format!(
            "systemctl show -p ActiveState -p MainPID plumbline-watch | sort | tr '\\n' ' ' | \
             grep -v 'MainPID={before} \\|MainPID=0 ' | grep ActiveState=active"
        ),
    );
    assert!(reaches(&guest, 80));
    guest.sh("systemctl stop plumbline-watch");
    assert_eq!(property(&guest, "Result"), "success");
    assert!(reaches(&guest, 80) && !reaches(&guest, 81));
}

/// Whatever ends it, and whenever: nothing is detached, nothing is cut, nothing is left half done.
#[test]
fn reload_stop_and_kill_take_nothing_away_under_traffic() {
    let disk = Disk::new();
    let guest = watched(&disk);
    let traffic = Traffic::begin(&guest);
    guest.sh("systemctl reload plumbline-watch");
    traffic.goes_on();
    // In the middle of runs, of which each changes something.
    for round in 0..8_u16 {
        let both =
            |port| policy(80).replace("{port: 80}", &format!("{{port: 80}}, {{port: {port}}}"));
        guest.write(&format!("{TREE}/policy.yaml"), &both(8000 + round));
        let end = match round % 4 {
            0 => "systemctl stop plumbline-watch",
            1 => "systemctl kill -s KILL plumbline-watch",
            2 => "systemctl restart plumbline-watch",
            _ => "systemctl reload plumbline-watch",
        };
        let later = f64::from(round) * 0.03;
        guest.sh(&format!(
            "cd {TREE} && git commit -qam {round}; sleep {later}; {end}"
        ));
        guest.sh("reconcile status >/dev/null");
        traffic.goes_on();
        guest.sh("systemctl reset-failed plumbline-watch; systemctl start plumbline-watch");
        is_live(&guest, TREE, "the commit");
    }
    guest.sh("systemctl stop plumbline-watch; reconcile drift");
    traffic.goes_on();
    assert!(!reaches(&guest, 81));
}

/// What it is to follow is in plumbline.env.
#[test]
fn the_watcher_follows_whatever_it_is_given() {
    let disk = Disk::new();
    let guest = Guest::with_package(&disk);
    make(&guest, "/srv/mine");
    let follow = |tree: &str, options: &str| {
        let text = format!("RECONCILE_DIR={tree}\nRECONCILE_OPTIONS={options}\n");
        guest.write("/etc/plumbline/plumbline.env", &text);
        guest.sh("systemctl restart plumbline-watch");
    };
    guest.sh("cd /srv && git clone -q --bare mine bare && git -C mine remote add bare /srv/bare");
    follow("/srv/bare", "");
    assert!(is_live_now(&guest, "/srv/bare"));
    let push = "git commit -qam more && git push -qf bare HEAD";
    edit(&guest, "/srv/mine", 81, push);
    is_live(&guest, "/srv/bare", "a push into a bare repository");
    guest.sh("git -C /srv/bare pack-refs --all && git -C /srv/bare gc -q --prune=now");
    edit(&guest, "/srv/mine", 82, push);
    is_live(&guest, "/srv/bare", "a push after gc");

    guest.sh("git clone -q /srv/bare /srv/clone");
    follow("/srv/clone", "--rev origin/main");
    edit(&guest, "/srv/mine", 83, push);
    guest.sh("git -C /srv/clone fetch -q");
    is_live(&guest, "/srv/mine", "a fetch of the branch that is named");

    guest.sh("cd /srv/clone && git worktree add -q -b other /srv/linked origin/main");
    follow("/srv/linked", "");
    edit(&guest, "/srv/linked", 84, "git commit -qam linked");
    is_live(&guest, "/srv/linked", "a commit in a linked work tree");
    guest.sh("cd /srv/linked && git reset -q --hard HEAD~1");
    is_live(&guest, "/srv/linked", "reset --hard in a linked work tree");

    guest.sh("mkdir /srv/plain && cp /srv/mine/*.yaml /srv/plain/");
    follow("/srv/plain", "");
    guest.write("/srv/plain/new", &policy(85));
    guest.sh("mv /srv/plain/new /srv/plain/policy.yaml");
    guest.until("a file of a plain directory is live", &client_may(85));
}

/// A shell's condition that what is live lets the client reach a port.
fn client_may(port: u16) -> String {
    format!(
        "reconcile -C /srv/plain explain --live --from shop/client --to shop/web --port {port} \
         -o json | grep -q '\"verdict\": \"allow'"
    )
}

/// Where inotify is refused it looks every few seconds, and says so; where it is not, it does not.
#[test]
fn a_watcher_that_gets_no_notice_looks_and_says_so() {
    let disk = Disk::new();
    let guest = watched(&disk);
    let said = "id=$(systemctl show -P InvocationID plumbline-watch); \
                journalctl _SYSTEMD_INVOCATION_ID=$id | \
                grep 'changes give no notice'";
    assert_ne!(guest.run(said).code, 0);
    for call in ["inotify_add_watch", "inotify_init1"] {
        guest.write(
            "/etc/systemd/system/plumbline-watch.service.d/z-deaf.conf",
            &format!("[Service]\nSystemCallFilter=~{call}\n"),
        );
        guest.sh("systemctl daemon-reload");
        guest.write(
            "/etc/plumbline/plumbline.env",
            &format!(
                "RECONCILE_DIR={TREE}\nRECONCILE_OPTIONS=--lock-timeout 90s\n\
                 RECONCILE_WATCH_OPTIONS=--poll 1s\n"
            ),
        );
        guest.sh("systemctl restart plumbline-watch");
        guest.until("it says so", &format!("{said} | grep 'looking every 1s'"));
        for port in [81, 82] {
            edit(&guest, TREE, port, "git commit -qam more");
            is_live(&guest, TREE, "a commit that was looked for");
        }
    }
}

#[test]
fn a_watcher_that_hangs_is_started_again_and_one_that_lives_is_not() {
    let disk = Disk::new();
    let guest = watched(&disk);
    guest.write(
        "/etc/systemd/system/plumbline-watch.service.d/soon.conf",
        "[Service]\nWatchdogSec=2s\nRestartSec=100ms\n",
    );
    guest.sh("systemctl daemon-reload; systemctl restart plumbline-watch; sleep 7");
    assert_eq!(property(&guest, "NRestarts"), "0");
    guest.sh("kill -STOP $(systemctl show -P MainPID plumbline-watch)");
    guest.until(
        "another one",
        "test $(systemctl show -P NRestarts plumbline-watch) = 1 && \
         systemctl is-active plumbline-watch",
    );
    edit(&guest, TREE, 81, "git commit -qam more");
    is_live(&guest, TREE, "a commit");
    assert!(reaches(&guest, 81) && !reaches(&guest, 80));
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
