//! How long it takes from a commit until packets are judged by it.

use std::fmt::Write;

use crate::guest::{Disk, Guest};
use crate::tree::{TREE, is_live, make, policy};

/// How many commits are timed.
const ROUNDS: usize = 20;

/// Sends to both ports, a thousand times a second.
const SENDER: &str = r#"
use IO::Socket::INET;
@peers = map { IO::Socket::INET->new(Proto => 'udp', PeerAddr => "10.44.0.10:$_") or die } 81, 82;
for (;;) {
    $_->send('x') for @peers;
    select undef, undef, undef, 0.001;
}
"#;

/// Keeps when the first packet came to a port, after one had come to the other.
const RECEIVER: &str = r#"
use IO::Socket::INET;
use IO::Select;
use Time::HiRes qw(clock_gettime CLOCK_MONOTONIC);
$select = IO::Select->new;
for $port (81, 82) {
    $select->add(IO::Socket::INET->new(Proto => 'udp', LocalPort => $port) or die);
}
while (@ready = $select->can_read) {
    for $socket (@ready) {
        $socket->recv($got, 9);
        $now = int(clock_gettime(CLOCK_MONOTONIC) * 1e6);
        next if $since{$socket->sockport} && $last == $socket->sockport;
        $last = $socket->sockport;
        $since{$last} = $now;
        open $file, '>', "/run/since-$last.new";
        print $file "$now\n";
        close $file;
        rename "/run/since-$last.new", "/run/since-$last";
    }
}
"#;

/// Microseconds from when `git commit` has returned until the first packet that it allows arrives.
fn measure(guest: &Guest) -> Vec<u64> {
    let clock = "perl -MTime::HiRes=clock_gettime,CLOCK_MONOTONIC -e 'print int(1e6 * \
                 clock_gettime(CLOCK_MONOTONIC))'";
    let udp = |port| {
        policy(port).replace(
            &format!("port: {port}"),
            &format!("port: {port}, protocol: UDP"),
        )
    };
    (0..ROUNDS)
        .map(|round| {
            let port = [81, 82][round % 2];
            guest.write(&format!("{TREE}/policy.yaml"), &udp(port));
            guest.sh(&format!("rm -f /run/since-{port}"));
            let committed = guest.sh(&format!("cd {TREE} && git commit -qam {round} && {clock}"));
            guest.until("a packet", &format!("test -e /run/since-{port}"));
            let since: u64 = guest.sh(&format!("cat /run/since-{port}")).parse().unwrap();
            is_live(guest, TREE, "the commit");
            // It may be judged by the commit before git has ended.
            since.saturating_sub(committed.parse().unwrap())
        })
        .collect()
}

#[test]
fn commits_are_enforced_by_the_watcher_and_by_path_units() {
    let disk = Disk::new();
    let guest = Guest::with_package(&disk);
    make(&guest, TREE);
    guest.sh(&format!("reconcile -C {TREE} -q"));
    guest.write("/root/sender.pl", SENDER);
    guest.write("/root/receiver.pl", RECEIVER);
    guest.sh("systemd-run -q --unit receiver ip netns exec shop.web perl /root/receiver.pl");
    guest.sh("systemd-run -q --unit sender ip netns exec shop.client perl /root/sender.pl");
    let mut table = String::new();
    for follower in ["plumbline-watch.service", "plumbline.path"] {
        guest.sh(&format!("systemctl start {follower}"));
        let mut took = measure(&guest);
        guest.sh(&format!("systemctl stop {follower}"));
        took.sort_unstable();
        let ms = |at: usize| took[at] / 1000;
        let (least, middle, most) = (ms(0), ms(ROUNDS / 2), ms(ROUNDS - 1));
        writeln!(table, "{follower}: {least} / {middle} / {most} ms").unwrap();
    }
    print!("from commit to enforced, least / median / most of {ROUNDS}:\n{table}");
}
