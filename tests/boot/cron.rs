//! The line for crontab(5) of running.md, by Debian's cron.

use crate::guest::{Disk, Guest};
use crate::tree::{TREE, edit, is_live, make};

/// As running.md has it.
fn line() -> String {
    let text = include_str!("../../docs/running.md");
    let line = text.lines().find(|line| line.starts_with("    * * * * * "));
    line.expect("the document has one").trim_start().to_owned()
}

#[test]
fn cron_applies_and_mails_only_what_happened() {
    let disk = Disk::new();
    let guest = Guest::with_package(&disk);
    make(&guest, TREE);
    // Whatever cron would mail is kept.
    guest.write(
        "/usr/sbin/sendmail",
        "#!/bin/sh\ncat >/var/mails/$(date +%s.%N)\n",
    );
    guest.sh("chmod +x /usr/sbin/sendmail; mkdir /var/mails; chmod 1777 /var/mails");
    guest.write("/root/crontab", &format!("MAILTO=root\n{}\n", line()));
    guest.sh("systemctl start cron; crontab /root/crontab");
    is_live(&guest, TREE, "what cron found");
    guest.until("a mail", "grep -rq 'is live: generation 1' /var/mails");
    // The next run has nothing to do, and says nothing.
    let runs = "journalctl --no-pager -o cat -t CRON | grep -c 'CMD (.*reconcile'";
    guest.until("another run", &format!("test $({runs}) -ge 2"));
    assert_eq!(guest.sh("ls /var/mails | wc -l"), "1");
    edit(&guest, TREE, 81, "git commit -qam 'by commit'");
    is_live(&guest, TREE, "a commit");
    guest.until("the second mail", "test $(ls /var/mails | wc -l) = 2");
}

/// What cannot be applied is mailed once, and not each minute; so is what keeps it from applying.
#[test]
fn what_goes_on_failing_is_told_once() {
    let disk = Disk::new();
    let guest = Guest::with_package(&disk);
    make(&guest, TREE);
    let line = line();
    let command = line.trim_start_matches(['*', ' ']);
    let run = |expected: i32| {
        let run = guest.run(command).ended(expected);
        format!("{}{}", run.stdout, run.stderr)
    };
    assert!(run(0).contains(" is live"));
    assert_eq!(run(0), "");
    for (commit, port) in [("first", 81), ("second", 82)] {
        guest.write(&format!("{TREE}/policy.yaml"), "kind: Nonsense\n");
        guest.sh(&format!(
            "cd {TREE} && git commit -qam {commit} --allow-empty"
        ));
        assert!(run(3).contains("policy.yaml:1:1"));
        assert_eq!(run(3), "");
        guest.sh("reconcile suspend --reason 'moving house'");
        assert!(run(4).contains("moving house"));
        assert_eq!(run(4), "");
        guest.sh("reconcile resume");
        assert!(run(3).contains("policy.yaml:1:1"));
        assert_eq!(run(3), "");
        edit(&guest, TREE, port, "git commit -qam mended");
        assert!(run(0).contains(" is live"));
        assert_eq!(run(0), "");
    }
    // One that holds the lock for long is stepped aside for.
    guest.sh("systemd-run -q --unit holder flock /sys/fs/bpf/plumbline sleep 1000");
    let short = |expected| {
        guest
            .run(&format!(
                "RECONCILE_DIR={TREE} reconcile --only-changes --lock-timeout 1s"
            ))
            .ended(expected)
    };
    guest.until("the lock is held", "! flock -n /sys/fs/bpf/plumbline true");
    assert!(short(4).stderr.contains("another run holds the lock"));
    assert_eq!(short(4).stderr, "");
    guest.sh("systemctl stop holder");
    assert_eq!(run(0), "");
}

/// A run that overlaps steps aside by the lock, and is silent where it only had to wait.
#[test]
fn runs_that_overlap_take_turns() {
    let disk = Disk::new();
    let guest = Guest::with_package(&disk);
    make(&guest, TREE);
    guest.sh(&format!("reconcile -C {TREE} -q"));
    let both = guest.sh(
        "for n in 1 2 3 4 5 6; do RECONCILE_DIR=/etc/plumbline/tree reconcile --only-changes \
         --lock-timeout 50s & done; wait",
    );
    assert_eq!(both, "");
}
