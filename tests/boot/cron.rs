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
    let runs = "journalctl --no-pager -o cat _COMM=cron | grep -c 'CMD (.*reconcile'";
    guest.until("another run", &format!("test $({runs}) -ge 2"));
    assert_eq!(guest.sh("ls /var/mails | wc -l"), "1");
    edit(&guest, TREE, 81, "git commit -qam 'by commit'");
    is_live(&guest, TREE, "a commit");
    guest.until("the second mail", "test $(ls /var/mails | wc -l) = 2");
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
