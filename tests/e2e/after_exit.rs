//! Nothing of ours runs, and the last commit is enforced all the same: who was denied still is, a
//! connection that has expired is one no more, and the kernel's own timer gives its room back.
//!
//! Every `reconcile` of these tests has ended before anything is asked. Waiting out the real
//! timeouts would take hours; the tests set an entry's expiry as the clock would have it by then.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::MetadataExt;

use bpf::conntrack::Connection;
use rig::lab::Lab;
use rig::scene::Scene;
use rig::traffic::{Attempt, Listen, Outcome, Protocol, Service};
use rig::tree::{Container, Policy, Rule, Tree};
use rig::wait;

use crate::kernel::{connections, drops, is_at, kernel, named};

const ENDS: [&str; 2] = ["shop/web", "shop/db"];

fn containers() -> [Container; 3] {
    let labelled = |name: &str, number| {
        Container::numbered(&format!("shop/{name}"), number).label("app", name)
    };
    [labelled("web", 1), labelled("db", 2), labelled("job", 3)]
}

fn begin(lab: &Lab) {
    let from_web = Rule::new()
        .containers(&[("app", "web")])
        .port("TCP", 5432)
        .port("UDP", 53);
    let tree = containers().iter().fold(Tree::new(), Tree::container);
    let tree = tree.policy(&Policy::new("shop/all").ingress(&[]).egress(&[]));
    let tree = tree
        .policy(
            &Policy::new("shop/db")
                .select(&[("app", "db")])
                .ingress(&[from_web]),
        )
        .policy(
            &Policy::new("shop/web")
                .select(&[("app", "web")])
                .egress(&[Rule::new()]),
        );
    lab.repository().hold(&tree);
    lab.apply("db is for web").succeed();
    nobody_runs(lab);
}

/// No process has alpha for its network, but for threads of this one.
fn nobody_runs(lab: &Lab) {
    let numbers = fs::read_dir("/proc").unwrap().flatten();
    let processes = numbers.filter(|entry| {
        let name = entry.file_name();
        name.to_string_lossy()
            .bytes()
            .all(|byte| byte.is_ascii_digit())
    });
    let inside = processes.filter(|process| {
        let net = fs::metadata(process.path().join("ns/net"));
        net.is_ok_and(|net| net.ino() == lab.alpha().net().inode())
    });
    let inside: Vec<_> = inside.map(|process| process.path()).collect();
    assert!(inside.is_empty(), "{inside:?}");
}

#[test]
fn policy_is_enforced() {
    let lines = "
        shop/web -> shop/db  tcp/5432 udp/53   allowed
        shop/web -> shop/db  tcp/5433          denied
        shop/job -> shop/db  tcp/5432 udp/53   denied
        shop/db -> shop/web  tcp/80            denied
        alpha -> shop/db     tcp/5432          allowed
        outside -> shop/db   tcp/5432          denied
        shop/web -> outside  tcp/80            allowed
        shop/db -> outside   tcp/80            denied";
    Lab::run("enforced", |lab| {
        lab.outside();
        begin(lab);
        let mut scene = Scene::new(lab, lines);
        scene.enter_containers(&lab.alpha(), &containers());
        nobody_runs(lab);
        scene.expect(lines);
    });
}

fn expire(container: &str, wanted: impl Fn(&Connection) -> bool) -> usize {
    let all = connections(container);
    let (kernel, container) = (kernel(), named(container));
    let expired = all.iter().filter(|connection| wanted(connection));
    expired
        .map(|connection| kernel.set_expiry(&container, connection, -1).unwrap())
        .count()
}

/// A connection from web to db, its two ends.
fn connect(lab: &Lab, to: SocketAddr) -> [TcpStream; 2] {
    let [web, db] = ENDS.map(|name| lab.alpha().container(name));
    let listener = db.run(|| TcpListener::bind(to)).unwrap();
    let client = web
        .run(|| TcpStream::connect_timeout(&to, wait::LIMIT))
        .unwrap();
    let (server, _) = listener.accept().unwrap();
    let mut ends = [client, server];
    passes(&mut ends);
    ends
}

/// A segment, acknowledged, each way.
fn passes([client, server]: &mut [TcpStream; 2]) {
    for end in [&*client, &*server] {
        end.set_nonblocking(false).unwrap();
        end.set_read_timeout(Some(wait::LIMIT)).unwrap();
    }
    client.write_all(b"there").unwrap();
    server.read_exact(&mut [0; 5]).unwrap();
    server.write_all(b"back").unwrap();
    client.read_exact(&mut [0; 4]).unwrap();
}

fn timeouts(name: &str, to: &str) {
    Lab::run(name, |lab| {
        begin(lab);
        let to: SocketAddr = to.parse().unwrap();
        let mut lasting = connect(lab, to);
        let mut expired = connect(lab, to);
        let own = expired[0].local_addr().unwrap().port();
        let is_expired = |connection: &Connection| is_at(connection.subject, own);
        nobody_runs(lab);
        assert_eq!(ENDS.map(|end| expire(end, is_expired)), [1, 1]);

        let before = drops(&ENDS, &["stray"]);
        let [client, server] = &mut expired;
        client.write_all(b"too late").unwrap();
        wait::holds("a segment in mid-stream to be stray", || {
            drops(&ENDS, &["stray"]) > before
        });
        server.set_nonblocking(true).unwrap();
        let read = server.read(&mut [0; 16]);
        assert_eq!(read.unwrap_err().kind(), ErrorKind::WouldBlock);
        passes(&mut lasting);
    });
}

#[test]
fn timeouts_are_honoured_ipv4() {
    timeouts("timeouts-v4", "10.44.0.2:5432");
}

#[test]
fn timeouts_are_honoured_ipv6() {
    timeouts("timeouts-v6", "[fd44::2]:5432");
}

#[test]
fn expired_entries_are_reclaimed_by_the_kernel() {
    Lab::run("reclaimed", |lab| {
        begin(lab);
        let db = lab.alpha().container("shop/db");
        let addresses = ["10.44.0.2", "fd44::2"].map(|address| address.parse().unwrap());
        let listens = addresses.map(|address| Listen::on(Protocol::Udp, address, 53));
        let _service = Service::start(&db, &listens);
        let mut lasting = connect(lab, "10.44.0.2:5432".parse().unwrap());
        let web = lab.alpha().container("shop/web");
        for address in addresses.iter().cycle().take(20) {
            let outcome = Attempt::new(Protocol::Udp, *address, 53).from(&web);
            assert_eq!(outcome, Outcome::Echoed);
        }
        let entries = |end| kernel().entry_counts(&named(end)).unwrap();
        assert_eq!(ENDS.map(|end| entries(end).datagrams), [20, 20]);
        let before = kernel().reclaimed().unwrap();

        nobody_runs(lab);
        let is_udp = |connection: &Connection| connection.protocol == 17;
        assert_eq!(ENDS.map(|end| expire(end, is_udp)), [20, 20]);
        wait::holds("the timer to come by", || {
            ENDS.iter().all(|end| entries(end).datagrams == 0)
        });
        wait::holds("the timer to have counted", || {
            kernel().reclaimed().unwrap().wrapping_sub(before) == 40
        });
        assert_eq!(ENDS.map(|end| entries(end).established), [1, 1]);
        passes(&mut lasting);
    });
}
