//! What passes an interface of others is lost neither when programs come to it nor when they go:
//! at every system call of a run a request is under way, sent before it and answered after it. What
//! is denied passes as long as nothing is in force, and then none of it.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use rig::lab::{Lab, binary};
use rig::netns::Netns;
use rig::stepper::{Stepped, stepped};
use rig::traffic::{Exchange, Listen, Protocol, Service};
use rig::tree::{Container, Policy, Rule, Tree};
use state::live::SlotMark;

use crate::attach::{VM, address, make_theirs, theirs};
use crate::kernel::kernel;

/// The programs of the container, in the order in which they are attached.
const PINS: [&str; 2] = [
    "/sys/fs/bpf/plumbline/v1/containers/shop/web/from_container",
    "/sys/fs/bpf/plumbline/v1/containers/shop/web/to_container",
];
const PORT: u16 = 53;
/// How long what does not come is waited for.
const IN_VAIN: Duration = Duration::from_millis(300);

/// Who may begin: the machine behind the interface, or others. Who may not may answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum May {
    Send,
    Take,
}

fn tree(may: May) -> Tree {
    let web = Container::new("shop/web", &VM)
        .label("app", "web")
        .spec("attach", theirs());
    let policy = Policy::new("shop/web").select(&[("app", "web")]);
    without_web().container(&web).policy(&match may {
        May::Send => policy.ingress(&[]).egress(&[Rule::new()]),
        May::Take => policy.ingress(&[Rule::new()]).egress(&[]),
    })
}

fn without_web() -> Tree {
    Tree::new().container(&Container::numbered("shop/db", 2).label("app", "db"))
}

fn bound(net: &Netns, address: IpAddr, port: u16) -> UdpSocket {
    net.run(|| {
        let socket = UdpSocket::bind(SocketAddr::new(address, port)).unwrap();
        socket.set_read_timeout(Some(IN_VAIN)).unwrap();
        socket
    })
}

/// Who asks whom, in one family: who may from a port that was not used before, who may not always
/// from the same one.
struct Pair {
    client: Netns,
    from: IpAddr,
    to: SocketAddr,
    server: UdpSocket,
    denied: UdpSocket,
    denied_to: UdpSocket,
    server_net: Netns,
    under_way: Option<UdpSocket>,
}

impl Pair {
    fn ask(&mut self) {
        let socket = bound(&self.client, self.from, 0);
        socket.send_to(b"ask", self.to).unwrap();
        self.under_way = Some(socket);
        let denied_to = self.denied_to.local_addr().unwrap();
        self.denied.send_to(b"not", denied_to).unwrap();
    }

    /// The request that was under way, where it is not answered.
    fn lost(&mut self) -> Option<UdpSocket> {
        let socket = self.under_way.take()?;
        let mut bytes = [0; 8];
        let asked = self.server.recv_from(&mut bytes);
        let told = asked.and_then(|(_, from)| self.server.send_to(b"told", from));
        let told = told.and_then(|_| socket.recv_from(&mut bytes));
        told.is_err().then_some(socket)
    }

    /// Whether what is denied passes now.
    fn passes(&self) -> bool {
        self.has_passed();
        let to = self.denied_to.local_addr().unwrap();
        self.denied.send_to(b"not", to).unwrap();
        self.denied_to.set_nonblocking(false).unwrap();
        self.denied_to.recv_from(&mut [0; 8]).is_ok()
    }

    /// Whether what is denied came through since it was looked for.
    fn has_passed(&self) -> bool {
        let mut bytes = [0; 8];
        let mut passed = false;
        self.denied_to.set_nonblocking(true).unwrap();
        while self.denied_to.recv_from(&mut bytes).is_ok() {
            passed = true;
        }
        passed
    }
}

/// The machine behind `theirs0` and one beyond the host, in both families.
fn pairs(lab: &Lab, vm: &Netns, may: May) -> Vec<Pair> {
    let (outside, net) = (lab.outside(), lab.alpha().net().clone());
    for path in ["ipv4/ip_forward", "ipv6/conf/all/forwarding"] {
        net.sysctl(path, "1");
    }
    for (to, via) in VM.iter().zip(lab.addresses(&net)) {
        outside.ip(&format!("route replace {to} via {via}"));
    }
    let pair = |ours: IpAddr, others: IpAddr| {
        let (client, from, server, to) = match may {
            May::Send => (vm, ours, &outside, others),
            May::Take => (&outside, others, vm, ours),
        };
        Pair {
            client: client.clone(),
            server_net: server.clone(),
            from,
            to: SocketAddr::new(to, PORT),
            server: bound(server, to, PORT),
            denied: bound(server, to, PORT + 1),
            denied_to: bound(client, from, PORT + 1),
            under_way: None,
        }
    };
    let both = VM.map(address).into_iter().zip(lab.addresses(&outside));
    both.map(|(ours, others)| pair(ours, others)).collect()
}

fn command(lab: &Lab, arguments: &[&str]) -> Command {
    let mut command = Command::new(binary().unwrap());
    if arguments.is_empty() {
        command.arg("-C").arg(lab.repository().path());
        command.args(["--host", "alpha", "--max-prune", "9"]);
    }
    command.args(arguments);
    command
}

/// Runs `reconcile` with a request under way at every system call, from where `begins` says, and
/// says at which of them what is denied came through.
#[track_caller]
fn watched(
    lab: &Lab,
    pairs: &mut [Pair],
    arguments: &[&str],
    begins: impl Fn() -> bool,
) -> Vec<bool> {
    let (mut passed, mut lost) = (Vec::new(), 0);
    for pair in pairs.iter_mut() {
        pair.has_passed();
        pair.ask();
    }
    let ended = stepped(&mut command(lab, arguments), |_| {
        if begins() {
            lost += pairs.iter_mut().filter_map(Pair::lost).count();
            passed.push(pairs.iter().any(Pair::has_passed));
            pairs.iter_mut().for_each(Pair::ask);
        }
        true
    });
    assert!(matches!(ended, Stepped::Ended { code: 0, .. }), "{ended:?}");
    lost += pairs.iter_mut().filter_map(Pair::lost).count();
    passed.push(pairs.iter().any(Pair::has_passed));
    assert_eq!(lost, 0, "of {}", passed.len());
    passed
}

/// What is denied passes up to one of the calls, or from there on.
#[track_caller]
fn turns(passed: &[bool], first: bool) {
    let at = passed.iter().position(|passed| *passed != first);
    let at = at.unwrap_or_else(|| panic!("always {first}"));
    assert!(at > 0, "at once");
    assert!(
        passed[at..].iter().all(|passed| *passed != first),
        "more than once"
    );
}

fn nothing_is_lost(may: May) {
    Lab::run(&format!("carried {may:?}"), |lab| {
        let vm = Netns::new("vm");
        make_theirs(lab, &vm);
        let mut pairs = pairs(lab, &vm, may);
        // Neighbours are known from here on.
        pairs.iter_mut().for_each(Pair::ask);
        assert_eq!(pairs.iter_mut().filter_map(Pair::lost).count(), 0);
        lab.repository().hold(&tree(may));
        lab.repository().commit("with");
        let is_attached = || Path::new(PINS[0]).exists();
        turns(&watched(lab, &mut pairs, &[], is_attached), true);
        // The tree has it no more: its commit lets all pass.
        lab.repository().hold(&without_web());
        lab.repository().commit("without");
        turns(&watched(lab, &mut pairs, &[], is_attached), false);
        lab.repository().hold(&tree(may));
        lab.apply("with again");
        turns(&watched(lab, &mut pairs, &["detach"], || true), false);
    });
}

#[test]
fn what_the_machine_behind_an_interface_asks_is_answered_whatever_comes_or_goes() {
    nothing_is_lost(May::Send);
}

#[test]
fn what_others_ask_it_is_answered_whatever_comes_or_goes() {
    nothing_is_lost(May::Take);
}

/// One that is opened between the attachment and the commit is none that nobody saw begin.
#[test]
fn a_tcp_connection_goes_on_whatever_comes_or_goes() {
    Lab::run("carried tcp", |lab| {
        let vm = Netns::new("vm");
        make_theirs(lab, &vm);
        for may in [May::Send, May::Take] {
            let all = pairs(lab, &vm, may);
            let (client, server) = (&all[0].client, &all[0].server_net);
            let _service = Service::start(server, &[Listen::everywhere(Protocol::Tcp, PORT)]);
            let open = || [0, 1].map(|family: usize| Exchange::tcp(client, all[family].to));
            let go_on = |all: &[Exchange; 2]| all.iter().for_each(|e| e.advance(20));
            lab.repository().hold(&tree(may));
            lab.repository().commit("with");
            let mut opened = None;
            let ended = stepped(&mut command(lab, &[]), |_| {
                if Path::new(PINS[1]).exists() {
                    opened.get_or_insert_with(open);
                }
                true
            });
            assert!(matches!(ended, Stepped::Ended { code: 0, .. }), "{ended:?}");
            let opened = opened.expect("it was attached");
            go_on(&opened);
            lab.repository().hold(&without_web());
            lab.repository().commit("without");
            lab.reconcile(&["--max-prune", "9"]).succeed();
            go_on(&opened);
            lab.repository().hold(&tree(may));
            lab.apply("with again");
            let opened = open();
            go_on(&opened);
            lab.reconcile(&["detach"]).succeed();
            go_on(&opened);
            for exchange in opened {
                assert_eq!(exchange.end().failure, None);
            }
        }
    });
}

/// Before its store the container is judged, and after it nobody is; what comes next finds its way.
#[test]
fn a_run_that_dies_while_one_leaves_opens_it_by_its_store_alone() {
    Lab::run("leaves", |lab| {
        let vm = Netns::new("vm");
        make_theirs(lab, &vm);
        let mut pairs = pairs(lab, &vm, May::Send);
        let mut is = |open: bool, says: &str| {
            for pair in &mut pairs {
                pair.ask();
                assert!(pair.lost().is_none(), "{says}: what is allowed");
                assert_eq!(pair.passes(), open, "{says}: what is denied");
            }
        };
        for stored in [false, true] {
            lab.repository().hold(&tree(May::Send));
            lab.apply("with");
            is(false, "judged");
            let before = kernel().record();
            lab.repository().hold(&without_web());
            lab.repository().commit("without");
            let killed = stepped(&mut command(lab, &[]), |_| {
                let kernel = kernel();
                let ready = kernel.slot_info(before.slot.other()).unwrap().mark == SlotMark::Ready;
                !(ready && (kernel.record() != before || !stored))
            });
            assert_eq!(killed, Stepped::Killed);
            assert_eq!(kernel().record() != before, stored);
            is(stored, "after a run that died");
            let left = lab.reconcile(&["drift"]).stdout;
            let says = "none: its programs let all pass, as when they have gone";
            assert_eq!(left.contains(says), stored, "{left}");
            lab.repository().hold(&tree(May::Send));
            lab.repository().commit("with again");
            lab.reconcile(&[]).succeed();
            is(false, "judged again");
            lab.repository().hold(&without_web());
            lab.repository().commit("without again");
            lab.reconcile(&["--max-prune", "9"]).succeed();
            is(true, "gone");
        }
    });
}
