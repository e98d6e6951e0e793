//! What is measured of one family and protocol: flows that are known, that are new, and that a
//! commit has made stale.

use std::net::IpAddr;

use bpf::attached::Hook;

use crate::driver::{Driver, FLOWS_MOST, Flow, To, Way};
use crate::measure::{Before, Case, Measured};
use crate::packet::upper::{ACK, SYN, Upper};
use crate::packet::{Ends, Packet};
use crate::scene::{self, CROWD, FAR, NEAR, NEXT, ONE, Scene, constants_of};

/// By linux/pkt_cls.h.
const PASS: u32 = 0;
const DROP: u32 = 2;
const REDIRECT: u32 = 7;

/// A port of the senders where it does not matter which.
const PORT: u16 = 40_000;
/// How many flows begin at a time: maps of half-open connections have room for them, and for what
/// they keep for each CPU.
const BEGINNING: usize = 128;
/// How many flows of datagrams a container's map keeps, with room to spare.
const DATAGRAMS: usize = 512;
/// A batch of one flow.
const REPEATED: usize = 16_384;

/// A family and a protocol.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kind {
    pub(crate) v6: bool,
    pub(crate) tcp: bool,
}

impl Kind {
    pub(crate) const ALL: [Self; 4] = [
        Self {
            v6: false,
            tcp: true,
        },
        Self {
            v6: false,
            tcp: false,
        },
        Self {
            v6: true,
            tcp: true,
        },
        Self {
            v6: true,
            tcp: false,
        },
    ];

    pub(crate) const fn name(self) -> &'static str {
        match (self.v6, self.tcp) {
            (false, true) => "IPv4 TCP",
            (false, false) => "IPv4 UDP",
            (true, true) => "IPv6 TCP",
            (true, false) => "IPv6 UDP",
        }
    }

    fn address(self, number: u16) -> IpAddr {
        let own = constants_of(number);
        if self.v6 {
            own.v6.unwrap().into()
        } else {
            own.v4.unwrap().into()
        }
    }

    fn frame(self, (from, source): (u16, IpAddr), destination: IpAddr, upper: Upper) -> Vec<u8> {
        let ends = Ends {
            source_mac: constants_of(from).mac.0,
            destination_mac: constants_of(from).gateway_mac.0,
            source,
            destination,
        };
        Packet::new(ends, upper).frame()
    }

    /// A packet with data, of a connection that is established where it is TCP.
    fn upper(self, ports: (u16, u16)) -> Upper {
        match self.tcp {
            true => Upper::tcp(ports, ACK, 1001, 5001, &[0; 16]),
            false => Upper::udp(ports, &[0; 16]),
        }
    }

    /// The packet that begins a flow.
    fn opener(self, ports: (u16, u16)) -> Upper {
        match self.tcp {
            true => Upper::tcp(ports, SYN, 1000, 0, &[0; 16]),
            false => self.upper(ports),
        }
    }

    /// The port that is served.
    const fn served(self) -> u16 {
        if self.tcp { 80 } else { 53 }
    }

    /// What a sender sends to a receiver.
    fn sent(self, from: u16, to: u16, upper: Upper) -> Vec<u8> {
        self.frame((from, self.address(from)), self.address(to), upper)
    }
}

/// Measures all of a kind whose description holds a text. Each is told as soon as it is known.
pub(crate) fn measure(
    kind: Kind,
    scene: &Scene,
    driver: &mut Driver,
    only: &str,
    mut tell: impl FnMut(&Case, Measured),
) {
    let mut hold = |case: Case, driver: &mut Driver| {
        if case.says.contains(only) {
            let measured = case.measure(scene, driver);
            tell(&case, measured);
        }
    };
    let near = flows(NEAR..NEAR + 1, 1, PORT);
    establish(kind, driver, &near, NEXT);
    hold(
        established(kind, "established, one flow", near.clone(), NEXT),
        driver,
    );
    hold(stale(kind, near), driver);
    hold(towards(kind, driver), driver);

    let own = if kind.tcp { FLOWS_MOST } else { DATAGRAMS };
    let one = flows(ONE..ONE + 1, own, 0);
    let says = match kind.tcp {
        true => "established, 65,536 flows of one container",
        false => "established, 512 flows of one container",
    };
    establish(kind, driver, &one, FAR);
    hold(established(kind, says, one.clone(), FAR), driver);
    let mut stale = established(kind, "the same, after a commit", one, FAR);
    stale.before = Before::Commit;
    stale.hot = false;
    hold(stale, driver);
    scene.forget([ONE, FAR]);

    let crowd = flows(0..CROWD, FLOWS_MOST, 0);
    establish(kind, driver, &crowd, FAR);
    let says = "established, 65,536 flows of 128 containers";
    hold(established(kind, says, crowd, FAR), driver);
    scene.forget((0..CROWD).chain([FAR, NEAR, NEXT]));

    for case in beginnings(kind) {
        hold(case, driver);
        scene.forget([NEAR, NEXT]);
    }
}

/// As many flows, dealt to the senders, in an order that is random and always the same.
fn flows(senders: std::ops::Range<u16>, count: usize, first_port: u16) -> Vec<Flow> {
    let senders: Vec<u16> = senders.collect();
    let deal = |number: usize| Flow {
        sender: senders[number % senders.len()],
        port: first_port.wrapping_add(u16::try_from(number / senders.len()).unwrap()),
    };
    let mut flows: Vec<Flow> = (0..count).map(deal).collect();
    // Xorshift (Marsaglia, 2003), and a shuffle by it.
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    for last in (1..flows.len()).rev() {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let other = state % (u64::try_from(last).unwrap() + 1);
        flows.swap(last, usize::try_from(other).unwrap());
    }
    flows
}

/// Begins flows by the programs themselves: a datagram, or a handshake.
fn establish(kind: Kind, driver: &mut Driver, flows: &[Flow], receiver: u16) {
    driver.put_flows(flows);
    driver.put_receiver(receiver);
    let from = flows[0].sender;
    let ports = (PORT, kind.served());
    let back = (ports.1, ports.0);
    let begins = kind.sent(from, receiver, kind.opener(ports));
    let answer = Upper::tcp(back, SYN | ACK, 5000, 1001, &[0; 16]);
    let answers = kind.sent(receiver, from, answer);
    let proves = kind.sent(from, receiver, kind.upper(ports));
    let steps = [
        (Way::Sends, begins),
        (Way::Answers, answers),
        (Way::Sends, proves),
    ];
    let steps = &steps[..if kind.tcp { 3 } else { 1 }];
    for first in (0..flows.len()).step_by(BEGINNING) {
        for (way, frame) in steps {
            let packets = BEGINNING.min(flows.len() - first);
            let ran = driver.run(*way, To::Programs, frame, first, packets);
            assert_eq!(ran.answer, REDIRECT, "a flow does not begin");
        }
    }
}

fn established(kind: Kind, says: &'static str, flows: Vec<Flow>, receiver: u16) -> Case {
    let from = flows[0].sender;
    let ports = (flows[0].port, kind.served());
    Case {
        says,
        way: Way::Sends,
        frame: kind.sent(from, receiver, kind.upper(ports)),
        packets: if flows.len() == 1 {
            REPEATED
        } else {
            flows.len()
        },
        flows,
        before: Before::Nothing,
        answer: REDIRECT,
        hot: true,
        denied: false,
    }
}

/// Each packet is the first one after a commit.
fn stale(kind: Kind, near: Vec<Flow>) -> Case {
    Case {
        way: Way::Commits,
        hot: false,
        ..established(kind, "the same, a commit before each packet", near, NEXT)
    }
}

/// What the host sends to a container, in a flow that it began.
fn towards(kind: Kind, driver: &mut Driver) -> Case {
    let (own, host) = (kind.address(NEAR), scene::host(kind.v6));
    let ports = (kind.served(), PORT);
    let from_host = |upper| kind.frame((NEAR, host), own, upper);
    driver.put_flows(&flows(NEAR..NEAR + 1, 1, PORT));
    driver.put_receiver(scene::TO_NEAR);
    let begins = from_host(kind.opener(ports));
    assert_eq!(
        driver.run(Way::Answers, To::Programs, &begins, 0, 1).answer,
        PASS
    );
    if kind.tcp {
        let answer = Upper::tcp((PORT, ports.0), SYN | ACK, 5000, 1001, &[0; 16]);
        let answers = kind.frame((NEAR, own), host, answer);
        assert_eq!(
            driver.run(Way::Sends, To::Programs, &answers, 0, 1).answer,
            PASS
        );
        let proves = from_host(kind.upper(ports));
        assert_eq!(
            driver.run(Way::Answers, To::Programs, &proves, 0, 1).answer,
            PASS
        );
    }
    Case {
        says: "established, from the host to a container, one flow",
        way: Way::Answers,
        frame: from_host(kind.upper(ports)),
        answer: PASS,
        ..established(kind, "", flows(NEAR..NEAR + 1, 1, PORT), NEXT)
    }
}

/// First packets: judged, and with what they leave.
fn beginnings(kind: Kind) -> [Case; 3] {
    let ports = (PORT, kind.served());
    let begins = Case {
        frame: kind.sent(NEAR, NEXT, kind.opener(ports)),
        hot: false,
        ..established(kind, "", flows(NEAR..NEAR + 1, 1, PORT), NEXT)
    };
    let denied = Case {
        says: "first packet, judged and denied: no insert",
        frame: kind.sent(NEAR, NEXT, kind.opener((PORT, ports.1 + 1))),
        answer: DROP,
        denied: true,
        ..begins.clone()
    };
    let inserted = Case {
        says: "first packet, with the inserts",
        flows: flows(NEAR..NEAR + 1, FLOWS_MOST, 0),
        packets: BEGINNING,
        before: Before::Forget([NEAR, NEXT]),
        ..begins.clone()
    };
    let evicting = Case {
        says: "first packet, with inserts into full maps",
        before: Before::Nothing,
        packets: FLOWS_MOST / 4,
        ..inserted.clone()
    };
    [denied, inserted, evicting]
}

/// Makes as many TCP connections as there may be flows, between two containers.
pub(crate) fn connect(driver: &mut Driver) -> usize {
    let kind = Kind {
        v6: false,
        tcp: true,
    };
    let one = flows(ONE..ONE + 1, FLOWS_MOST, 0);
    establish(kind, driver, &one, FAR);
    FLOWS_MOST
}

/// Which side of which container's interface each number's program stands on.
pub(crate) fn sides() -> impl Iterator<Item = (u16, u16, Hook)> {
    let senders = (0..=NEAR).chain([FAR, NEXT]);
    let out = senders.map(|number| (number, number, Hook::Ingress));
    out.chain([(scene::TO_NEAR, NEAR, Hook::Egress)])
}
