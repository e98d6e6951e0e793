//! The stage: containers `trap/a` and `trap/b`, and the wire at each one's own end.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use bpf::attached::{Hook, chain};
use bpf::conntrack::{Connection, Reason, Subject};
use bpf::kernel::Kernel;
use rig::lab::Lab;
use rig::netns::Netns;
use rig::packet::seen::{Seen, SeenIp};
use rig::packet::upper::{ACK, SYN, Upper};
use rig::packet::{Ends, Packet};
use rig::tree::{Container, Policy, Rule, Tree};
use rig::wait;
use rig::wire::Wire;
use state::target::host::interface_name;
use state::words::names::FullName;

/// Where everything of the datapath is pinned.
pub(crate) const BASE: &str = "/sys/fs/bpf/plumbline";

/// The pins of a container's links, below [`Side::pins`].
pub(crate) const LINKS: [&str; 2] = ["from_container", "to_container"];

/// Source and destination port.
pub(crate) type Ports = (u16, u16);

/// The way back.
pub(crate) const fn back(ports: Ports) -> Ports {
    (ports.1, ports.0)
}

/// The containers, each with a label of its name.
pub(crate) fn containers() -> [Container; 2] {
    [("a", 1), ("b", 2)].map(|(name, number)| {
        Container::numbered(&format!("trap/{name}"), number).label("app", name)
    })
}

/// Both containers and some policies.
pub(crate) fn tree(policies: &[Policy]) -> Tree {
    let tree = containers().iter().fold(Tree::new(), Tree::container);
    policies
        .iter()
        .fold(tree, |tree, policy| tree.policy(policy))
}

/// `to` takes nothing but what `from` sends to one port.
pub(crate) fn only(to: &str, from: &str, protocol: &str, port: u16) -> Policy {
    let rule = Rule::new()
        .containers(&[("app", from)])
        .port(protocol, port);
    closed(to, &[rule])
}

/// `to` takes nothing but what the rules allow.
pub(crate) fn closed(to: &str, rules: &[Rule]) -> Policy {
    Policy::new(&format!("trap/to-{to}"))
        .select(&[("app", to)])
        .ingress(rules)
}

/// Runs a test with the containers under these policies.
pub(crate) fn play(name: &str, policies: &[Policy], body: impl FnOnce(&Stage<'_>) + Send) {
    Lab::run(name, |lab| {
        lab.outside();
        body(&Stage::set(lab, &tree(policies)));
    });
}

/// A lab with both containers.
pub(crate) struct Stage<'a> {
    pub(crate) lab: &'a Lab,
    pub(crate) a: Side,
    pub(crate) b: Side,
}

/// A container as a test holds it.
pub(crate) struct Side {
    pub(crate) name: FullName,
    pub(crate) net: Netns,
    pub(crate) wire: Wire,
    /// Its host-side interface, by name and index.
    pub(crate) interface: String,
    pub(crate) ifindex: u32,
    pub(crate) mac: [u8; 6],
    pub(crate) gateway_mac: [u8; 6],
    pub(crate) addresses: [IpAddr; 2],
}

impl<'a> Stage<'a> {
    fn set(lab: &'a Lab, tree: &Tree) -> Self {
        lab.repository().hold(tree);
        lab.apply("the stage");
        let [a, b] = containers().map(|container| Side::open(lab, &container));
        Self { lab, a, b }
    }

    /// Commits and applies other policies.
    #[track_caller]
    pub(crate) fn apply(&self, policies: &[Policy]) {
        self.lab.repository().hold(&tree(policies));
        self.lab.apply("other policies");
        // What the test took away for silence's sake was drift, and has been mended.
        self.a.mute();
        self.b.mute();
    }

    /// The ends of a packet on alpha's uplink, to `a`.
    pub(crate) fn uplink(&self, source: IpAddr) -> Ends {
        Ends {
            source_mac: self.lab.outside().interface("uplink").mac,
            destination_mac: self.lab.alpha().net().interface("uplink").mac,
            source,
            destination: self.a.address(source.is_ipv6()),
        }
    }

    /// Each side's entry of a flow from `a`.
    pub(crate) fn entries(&self, v6: bool, ports: Ports) -> [Option<Connection>; 2] {
        let (a, b) = (&self.a, &self.b);
        [
            a.entry(b.address(v6), ports),
            b.entry(a.address(v6), back(ports)),
        ]
    }

    /// A TCP connection from `a` to `b`, by its three segments.
    #[track_caller]
    pub(crate) fn connect(&self, v6: bool, ports: Ports) {
        let segment = |ports, flags, sequence, acknowledges| {
            Upper::tcp(ports, flags, sequence, acknowledges, b"")
        };
        self.a.send(&self.b, v6, segment(ports, SYN, 1000, 0));
        self.b.sees(&self.a, v6, ports, SYN);
        let answer = segment(back(ports), SYN | ACK, 5000, 1001);
        self.b.send(&self.a, v6, answer);
        self.a.sees(&self.b, v6, back(ports), SYN | ACK);
        self.a.send(&self.b, v6, segment(ports, ACK, 1001, 5001));
        self.b.sees(&self.a, v6, ports, ACK);
    }
}

impl Side {
    pub(crate) fn open(lab: &Lab, container: &Container) -> Self {
        let name = FullName::from_slashed(&container.name).unwrap();
        let net = lab.alpha().container(&container.name);
        let gateway = lab.alpha().net().interface(&interface_name(&name));
        let side = Self {
            wire: Wire::open(&net, "eth0"),
            mac: net.interface("eth0").mac,
            gateway_mac: gateway.mac,
            interface: gateway.name,
            ifindex: gateway.index,
            addresses: container.addresses.clone().try_into().unwrap(),
            name,
            net,
        };
        side.mute();
        side
    }

    /// Takes its stack's addresses away, so that it answers nothing.
    pub(crate) fn mute(&self) {
        self.net.ip("address flush dev eth0");
    }

    pub(crate) fn address(&self, v6: bool) -> IpAddr {
        self.addresses[usize::from(v6)]
    }

    /// Where what is its own is pinned.
    pub(crate) fn pins(&self) -> PathBuf {
        Path::new(BASE).join(format!("v1/containers/{}", self.name))
    }

    /// The programs on its interface, by hook (ingress first), in the order in which they run.
    pub(crate) fn programs(&self) -> [Vec<u32>; 2] {
        [Hook::Ingress, Hook::Egress].map(|hook| {
            let chain = chain(self.ifindex, hook).unwrap();
            chain.into_iter().map(|attached| attached.program).collect()
        })
    }

    /// Waits until no program is on its interface.
    pub(crate) fn is_bare(&self) {
        wait::holds("the links to be gone", || {
            self.programs().iter().all(Vec::is_empty)
        });
    }

    /// From it to an address.
    pub(crate) fn ends(&self, to: IpAddr) -> Ends {
        Ends {
            source_mac: self.mac,
            destination_mac: self.gateway_mac,
            source: self.address(to.is_ipv6()),
            destination: to,
        }
    }

    /// Sends a packet to the other container.
    #[track_caller]
    pub(crate) fn send(&self, to: &Self, v6: bool, upper: Upper) {
        let packet = Packet::new(self.ends(to.address(v6)), upper);
        self.wire.send(&packet.frame());
    }

    /// Waits for a TCP segment of these ports and flags.
    #[track_caller]
    pub(crate) fn sees(&self, from: &Self, v6: bool, ports: Ports, flags: u16) {
        self.gets(from.address(v6), ports, |ip| ip.tcp_flags() == Some(flags));
    }

    /// Waits for a datagram of these ports.
    #[track_caller]
    pub(crate) fn hears(&self, from: &Self, v6: bool, ports: Ports) {
        self.hears_from(from.address(v6), ports);
    }

    /// The same from anybody.
    #[track_caller]
    pub(crate) fn hears_from(&self, source: IpAddr, ports: Ports) {
        self.gets(source, ports, |ip| ip.protocol == 17);
    }

    #[track_caller]
    fn gets(&self, source: IpAddr, ports: Ports, is: impl Fn(&SeenIp) -> bool) {
        let what = format!("a packet from {source}, ports {ports:?}");
        self.wire.capture(&what, |frame| {
            let ip = Seen::read(frame)?.ip?;
            (ip.source == source && ip.ports() == Some(ports) && is(&ip)).then_some(())
        });
    }

    /// Every IP packet that has come and was not waited for. (What the stack itself still sends,
    /// as it leaves its groups, did not come.)
    pub(crate) fn rest(&self) -> Vec<SeenIp> {
        let came = |seen: Seen| (seen.source_mac != self.mac).then_some(seen.ip)?;
        self.wire.drain().into_iter().filter_map(came).collect()
    }

    /// Packets of it that were dropped for this reason.
    #[track_caller]
    pub(crate) fn drops(&self, reason: &str) -> u64 {
        let reason = Reason::named(reason).expect("a reason of the datapath");
        kernel().drops(&self.name).unwrap()[&reason]
    }

    /// Does something that must lead to so many drops for this reason at this container.
    #[track_caller]
    pub(crate) fn drops_more(&self, reason: &str, count: u64, act: impl FnOnce()) {
        let before = self.drops(reason);
        act();
        wait::holds(&format!("{count} times {reason} at {}", self.name), || {
            self.drops(reason) >= before + count
        });
        assert_eq!(self.drops(reason), before + count, "{reason}");
    }

    /// Its entry of a flow, by the ports as packets of its own have them.
    pub(crate) fn entry(&self, peer: IpAddr, ports: Ports) -> Option<Connection> {
        let subject = Subject::Flow {
            own_port: ports.0,
            peer_port: ports.1,
        };
        let all = kernel().connections(&self.name).unwrap();
        all.into_iter()
            .find(|found| found.peer == peer && found.subject == subject)
    }

    /// Makes its entry of a flow expire now.
    #[track_caller]
    pub(crate) fn expire(&self, peer: IpAddr, ports: Ports) {
        let entry = self.entry(peer, ports).expect("there is an entry");
        kernel().set_expiry(&self.name, &entry, -1).unwrap();
    }
}

/// The datapath of the host on which the test runs.
pub(crate) fn kernel() -> Kernel {
    Kernel::open(Path::new(BASE)).unwrap().expect("applied")
}
