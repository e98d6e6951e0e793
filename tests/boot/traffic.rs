//! A connection that is asked for a line each few milliseconds, all through what is done to a
//! guest.

use crate::guest::Guest;

const SERVER: &str = r#"
use IO::Socket::INET;
$SIG{CHLD} = 'IGNORE';
$listener = IO::Socket::INET->new(LocalPort => 80, Listen => 9, ReuseAddr => 1) or die;
while ($peer = $listener->accept) {
    next if fork;
    $peer->autoflush;
    print $peer $_ while <$peer>;
    exit;
}
"#;

/// It ends, and with it the unit, where no answer comes: a limit for a connection that is lost, far
/// beyond what a busy machine takes.
const CLIENT: &str = r#"
use IO::Socket::INET;
$peer = IO::Socket::INET->new(PeerAddr => '10.44.0.10:80', Timeout => 5) or die;
$peer->autoflush;
for ($count = 1;; $count++) {
    alarm 10;
    print $peer "$count\n";
    <$peer> eq "$count\n" or die;
    open($file, '>', '/root/answered.new') && print $file $count;
    close $file;
    rename '/root/answered.new', '/root/answered';
    select undef, undef, undef, 0.005;
}
"#;

/// Traffic from the client to the web server.
pub(crate) struct Traffic<'a>(&'a Guest);

impl<'a> Traffic<'a> {
    /// Begins, by one connection.
    pub(crate) fn begin(guest: &'a Guest) -> Self {
        guest.write("/root/server.pl", SERVER);
        guest.write("/root/client.pl", CLIENT);
        guest.sh("systemd-run -q --unit server ip netns exec shop.web perl /root/server.pl");
        guest.until(
            "the server listens",
            "ip netns exec shop.web ss -Hltn 'sport = :80' | grep -q .",
        );
        guest.sh("systemd-run -q --unit client ip netns exec shop.client perl /root/client.pl");
        let traffic = Self(guest);
        guest.until("the first answer", "test -e /root/answered");
        traffic
    }

    /// The connection is still the first, and goes on.
    #[track_caller]
    pub(crate) fn goes_on(&self) {
        let before = self.0.sh("cat /root/answered");
        self.0.until(
            "more answers",
            &format!(
                "! systemctl -q is-active client || \
                 test $(cat /root/answered) -gt $(({before} + 20))"
            ),
        );
        let told = "journalctl --no-pager -o short-precise -u client -u server -u plumbline-watch \
                    -n 40; uptime; exit 1";
        self.0
            .sh(&format!("systemctl -q is-active client || {{ {told}; }}"));
    }
}
