//! Which live connections a plan would cut is what then happens to them.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::thread;
use std::time::Duration;

use rig::lab::Lab;
use rig::netns::Netns;
use rig::random::Random;
use rig::traffic::{Exchange, Listen, Protocol, Service};
use rig::tree::{Container, Policy, Rule, Tree};
use rig::wait::LIMIT;
use serde_json::json;
use state::plan::connections::{Connection, End};

use crate::attach::{VM, address, make_theirs, theirs};
use crate::pipeline::{apply, planned, request};

const NAMES: [&str; 3] = ["shop/a", "shop/b", "shop/c"];
const PORTS: [u16; 2] = [80, 81];
/// How long who is cut is listened to in vain.
const IN_VAIN: Duration = Duration::from_millis(300);

fn containers() -> [Container; 3] {
    let all = [1, 2, 3].map(|number| (NAMES[usize::from(number) - 1], number));
    all.map(|(name, number)| Container::numbered(name, number).label("name", &name[5..]))
}

/// Which of the containers there are, and where: `b` is in one of two namespaces of others, `c` and
/// `d` may be gone, and what `d` is attached to goes on without us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct There {
    b_in: usize,
    c: bool,
    d: bool,
}

impl There {
    fn random(random: &mut Random) -> Self {
        Self {
            b_in: random.below(2),
            c: random.below(3) > 0,
            d: random.below(3) > 0,
        }
    }

    fn containers(self) -> Vec<Container> {
        let [a, b, c] = containers();
        let path = format!("/run/netns/{}", OTHERS[self.b_in]);
        let b = b.spec("attach", json!({"netns": {"path": path}}));
        let d = Container::new("shop/d", &VM).label("name", "d");
        let d = d.spec("attach", theirs());
        let maybe = [(self.c, c), (self.d, d)].into_iter();
        let maybe = maybe.filter_map(|(there, container)| there.then_some(container));
        [a, b].into_iter().chain(maybe).collect()
    }
}

/// The two namespaces of others.
const OTHERS: [&str; 2] = ["first", "second"];

fn rules(random: &mut Random) -> Vec<Rule> {
    let count = random.below(3);
    let blocks = [
        ["10.44.0.0/30", "fd44::/126"],
        ["10.9.0.0/24", "fd09::/64"],
        ["0.0.0.0/0", "::/0"],
    ];
    let rule = |random: &mut Random| {
        let rule = match random.below(3) {
            0 => Rule::new().block(blocks[random.below(3)][random.below(2)], &[]),
            _ => Rule::new().containers(&[("name", ["a", "b", "c", "d"][random.below(4)])]),
        };
        match random.below(3) {
            0 => rule,
            1 => rule.port("TCP", PORTS[random.below(2)]),
            _ => rule
                .port("UDP", PORTS[random.below(2)])
                .port("TCP", PORTS[random.below(2)]),
        }
    };
    (0..count).map(|_| rule(random)).collect()
}

/// A tree in which each direction of each container is open, closed, or in between. `round` makes
/// it another target than the one before, whatever came out.
fn tree(random: &mut Random, there: There, round: usize) -> Tree {
    let containers = there.containers();
    let mut tree = containers.iter().fold(Tree::new(), Tree::container);
    for name in ["shop/a", "shop/b", "shop/c", "shop/d"] {
        let select = [("name", &name[5..])];
        if random.below(2) == 0 {
            let policy = Policy::new(&format!("{name}-in")).select(&select);
            tree = tree.policy(&policy.ingress(&rules(random)));
        }
        if random.below(3) == 0 {
            let policy = Policy::new(&format!("{name}-out")).select(&select);
            tree = tree.policy(&policy.egress(&rules(random)));
        }
    }
    let port = 1_000 + u16::try_from(round).unwrap();
    let another = Policy::new("shop/round").select(&[("name", "a")]);
    tree.policy(&another.ingress(&[Rule::new().block("203.0.113.0/24", &[]).port("TCP", port)]))
}

/// Who may talk: a container, a machine outside, or the host.
struct Party {
    net: Netns,
    addresses: Vec<IpAddr>,
    /// Live: what others begin with it, and it with them, has entries.
    container: bool,
}

impl Party {
    fn new(net: &Netns, addresses: &[IpAddr], container: bool) -> Self {
        Self {
            net: net.clone(),
            addresses: addresses.to_vec(),
            container,
        }
    }
}

enum Socket {
    Tcp(TcpStream),
    Udp(UdpSocket),
}

/// A connection that has been proven once.
struct Alive {
    socket: Socket,
    protocol: u8,
    from: SocketAddr,
    to: SocketAddr,
}

impl Alive {
    fn open(protocol: u8, from: &Netns, to: SocketAddr) -> Option<Self> {
        let (socket, local) = from.run(|| match protocol {
            6 => {
                let stream = TcpStream::connect_timeout(&to, IN_VAIN).ok()?;
                let local = stream.local_addr().unwrap();
                Some((Socket::Tcp(stream), local))
            }
            _ => {
                let any = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
                let socket = UdpSocket::bind(any).unwrap();
                socket.connect(to).unwrap();
                let local = socket.local_addr().unwrap();
                Some((Socket::Udp(socket), local))
            }
        })?;
        let mut alive = Self {
            socket,
            protocol,
            from: local,
            to,
        };
        alive.echoes(IN_VAIN).then_some(alive)
    }

    /// Sends a byte, and says whether it comes back in time.
    fn echoes(&mut self, within: Duration) -> bool {
        let mut byte = [0];
        match &mut self.socket {
            Socket::Tcp(stream) => {
                stream.set_read_timeout(Some(within)).unwrap();
                stream.write_all(b"x").is_ok() && stream.read_exact(&mut byte).is_ok()
            }
            Socket::Udp(socket) => {
                socket.set_read_timeout(Some(within)).unwrap();
                socket.send(b"x").is_ok() && socket.recv(&mut byte).is_ok()
            }
        }
    }

    fn is(&self, connection: &Connection) -> bool {
        let end = |end: &End| SocketAddr::new(end.address, end.port);
        (self.protocol, self.from, self.to)
            == (
                connection.protocol,
                end(&connection.from),
                end(&connection.to),
            )
    }
}

/// One connection of each protocol in each family from everybody to everybody, as far as it is let.
fn open_all(parties: &[Party], random: &mut Random) -> Vec<Alive> {
    let mut wanted = Vec::new();
    for (at, from) in parties.iter().enumerate() {
        for (_, to) in parties.iter().enumerate().filter(|(other, _)| *other != at) {
            if from.container || to.container {
                let all = to.addresses.iter().flat_map(|to| [(6, *to), (17, *to)]);
                wanted.extend(all.map(|(protocol, to)| (&from.net, protocol, to)));
            }
        }
    }
    thread::scope(|scope| {
        let mut opening = Vec::new();
        for (net, protocol, address) in wanted {
            let to = SocketAddr::new(address, PORTS[random.below(2)]);
            opening.push(scope.spawn(move || Alive::open(protocol, net, to)));
        }
        let opened = opening.into_iter().map(|thread| thread.join().unwrap());
        opened.flatten().collect()
    })
}

fn serve(net: &Netns) -> Service {
    let on = [Protocol::Tcp, Protocol::Udp].into_iter();
    let on = on.flat_map(|protocol| PORTS.map(|port| Listen::everywhere(protocol, port)));
    Service::start(net, &on.collect::<Vec<_>>())
}

/// Everybody, and who serves for good: `b` moves, and `c` comes and goes with its namespace.
struct Stage {
    others: [Netns; 2],
    vm: Netns,
    outside: Netns,
    _services: [Service; 3],
}

impl Stage {
    fn set(lab: &Lab) -> Self {
        let (net, vm, outside) = (lab.alpha().net().clone(), Netns::new("vm"), lab.outside());
        make_theirs(lab, &vm);
        for path in ["ipv4/ip_forward", "ipv6/conf/all/forwarding"] {
            net.sysctl(path, "1");
        }
        for (to, via) in VM.iter().zip(lab.addresses(&net)) {
            outside.ip(&format!("route add {to} via {via}"));
        }
        let others = OTHERS.map(|name| {
            net.ip(&format!("netns add {name}"));
            let other = lab.alpha().netns(name).unwrap();
            other.sysctl("ipv6/conf/default/accept_dad", "0");
            other
        });
        Self {
            _services: [&net, &vm, &outside].map(serve),
            others,
            vm,
            outside,
        }
    }

    fn parties(&self, lab: &Lab, there: There) -> Vec<Party> {
        let [a, b, c] = containers().map(|container| container.addresses);
        let (net, outside) = (lab.alpha().net().clone(), &self.outside);
        let mut parties = vec![
            Party::new(&lab.alpha().container("shop/a"), &a, true),
            Party::new(&self.others[there.b_in], &b, true),
            Party::new(&self.vm, &VM.map(address), there.d),
            Party::new(outside, &lab.addresses(outside), false),
            Party::new(&net, &lab.addresses(&net), false),
        ];
        if there.c {
            parties.push(Party::new(&lab.alpha().container("shop/c"), &c, true));
        }
        parties
    }
}

#[test]
fn what_a_plan_would_cut_is_what_it_cuts() {
    Lab::run("cuts", |lab| {
        let mut random = Random::new();
        let stage = Stage::set(lab);
        let commit = |random: &mut Random, there, round| {
            lab.repository().hold(&tree(random, there, round));
            lab.repository().commit(&format!("tree {round}"))
        };
        let mut there = There {
            b_in: 0,
            c: true,
            d: true,
        };
        apply(&request(lab, &commit(&mut random, there, 0)));
        let _a = serve(&lab.alpha().container("shop/a"));
        let mut b = serve(&stage.others[there.b_in]);
        let mut c = Some(serve(&lab.alpha().container("shop/c")));
        let (mut cut, mut kept) = (0, 0);
        for round in 1..=8 {
            let mut alive = open_all(&stage.parties(lab, there), &mut random);
            let next = There::random(&mut random);
            let request = request(lab, &commit(&mut random, next, round));
            let predicted = planned(&request).cuts;
            assert!(predicted.of >= alive.len(), "{predicted:?}");
            apply(&request);
            let went_on: BTreeSet<usize> = thread::scope(|scope| {
                let asking = alive.iter_mut().enumerate().map(|(at, connection)| {
                    let cut = predicted.cut.iter().any(|c| connection.is(c));
                    let within = if cut { IN_VAIN } else { LIMIT };
                    scope.spawn(move || connection.echoes(within).then_some(at))
                });
                let asking: Vec<_> = asking.collect();
                asking
                    .into_iter()
                    .filter_map(|thread| thread.join().unwrap())
                    .collect()
            });
            for (at, connection) in alive.iter().enumerate() {
                let predicted = predicted.cut.iter().any(|c| connection.is(c));
                let (protocol, from, to) = (connection.protocol, connection.from, connection.to);
                assert_eq!(
                    went_on.contains(&at),
                    !predicted,
                    "round {round}, {protocol} {from} -> {to}: {there:?} to {next:?}"
                );
                *(if predicted { &mut cut } else { &mut kept }) += 1;
            }
            if next.b_in != there.b_in {
                b = serve(&stage.others[next.b_in]);
            }
            if next.c != there.c {
                c = next.c.then(|| serve(&lab.alpha().container("shop/c")));
            }
            there = next;
        }
        drop((b, c));
        println!("{cut} cut, {kept} went on");
        assert!(cut > 10 && kept > 10, "{cut} cut, {kept} went on");
    });
}

#[test]
fn a_plan_names_whom_it_cuts_and_a_limit_refuses_it() {
    let tree = |port| {
        containers()
            .iter()
            .fold(Tree::new(), Tree::container)
            .policy(
                &Policy::new("shop/a")
                    .select(&[("name", "a")])
                    .ingress(&[Rule::new().containers(&[("name", "b")]).port("TCP", port)]),
            )
    };
    Lab::run("max-cut", |lab| {
        lab.repository().hold(&tree(80));
        lab.apply("80");
        let [a, b, _] = NAMES.map(|name| lab.alpha().container(name));
        let address: IpAddr = containers()[0].addresses[0];
        let _service = Service::start(&a, &[Listen::on(Protocol::Tcp, address, 80)]);
        let exchange = Exchange::tcp(&b, SocketAddr::new(address, 80));
        exchange.advance(3);
        lab.repository().hold(&tree(81));
        lab.repository().commit("81");
        let refused = lab.reconcile(&["--max-cut", "0"]).ended(4);
        assert!(
            refused.stderr.contains("1 connection would be cut"),
            "{refused}"
        );
        assert!(
            refused
                .stdout
                .contains("! 1 of 1 connection would be cut\n    TCP shop/b "),
            "{refused}"
        );
        exchange.advance(3);
        let plan = lab.reconcile(&["-n", "-o", "json"]).json();
        assert_eq!(
            (plan["cuts"]["count"].as_u64(), plan["cuts"]["of"].as_u64()),
            (Some(1), Some(1))
        );
        let denied = lab.drops(&lab.alpha()).denied();
        lab.reconcile(&["--max-cut", "1"]).succeed();
        rig::wait::holds("its packets to be denied", || {
            lab.drops(&lab.alpha()).denied() > denied
        });
        drop(exchange);
    });
}

#[test]
fn more_than_ten_that_are_cut_are_counted() {
    let tree = |port| {
        let policy = Policy::new("shop/a").select(&[("name", "a")]);
        let rule = Rule::new().containers(&[("name", "b")]).port("TCP", port);
        containers()
            .iter()
            .fold(Tree::new(), Tree::container)
            .policy(&policy.ingress(&[rule]))
    };
    Lab::run("many cuts", |lab| {
        lab.repository().hold(&tree(80));
        lab.apply("80");
        let [a, b, _] = NAMES.map(|name| lab.alpha().container(name));
        let to = SocketAddr::new(containers()[0].addresses[0], 80);
        let _service = Service::start(&a, &[Listen::on(Protocol::Tcp, to.ip(), to.port())]);
        let alive: Vec<Alive> = (0..14).map(|_| Alive::open(6, &b, to).unwrap()).collect();
        lab.repository().hold(&tree(81));
        lab.repository().commit("81");
        let json = lab.reconcile(&["-n", "-o", "json"]).json();
        assert_eq!(json["cuts"]["count"], 14);
        let named: BTreeSet<&str> = json["cuts"]["named"]
            .as_array()
            .unwrap()
            .iter()
            .map(|line| line.as_str().unwrap())
            .collect();
        let expected = alive
            .iter()
            .map(|connection| format!("TCP shop/b {} -> shop/a {to}", connection.from));
        let expected: BTreeSet<String> = expected.collect();
        assert_eq!(named.len(), 10);
        assert!(
            named.iter().all(|line| expected.contains(*line)),
            "{named:?}"
        );
        let text = lab.reconcile(&["-n"]).ended(0).stdout;
        let mut lines = text.lines().skip_while(|line| !line.starts_with("! "));
        assert_eq!(lines.next(), Some("! 14 of 14 connections would be cut"));
        let told: Vec<&str> = lines.take_while(|line| line.starts_with("    ")).collect();
        let (last, told) = told.split_last().unwrap();
        let told: BTreeSet<&str> = told.iter().map(|line| line.trim()).collect();
        assert_eq!((told, *last), (named, "    and 4 more"));
    });
}
