//! A smaller quota cuts the connections that it has no room for: the plan counts them, a limit
//! refuses them. None of them is lost before the store: the simulated host of `state/tests/plan`
//! refuses that.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::Duration;

use rig::lab::Lab;
use rig::traffic::{Listen, Protocol, Service};
use rig::tree::{Container, Tree};
use serde_json::json;

const OPEN: usize = 70;
const QUOTA: usize = 64;

fn tree(quota: usize) -> Tree {
    let server = Container::numbered("shop/a", 1).spec("connections", quota.into());
    Tree::new()
        .container(&server)
        .container(&Container::numbered("shop/b", 2))
}

fn echoes(stream: &mut TcpStream) -> bool {
    let mut byte = [0];
    stream.write_all(b"x").is_ok() && stream.read_exact(&mut byte).is_ok()
}

fn open(lab: &Lab, to: IpAddr) -> Vec<TcpStream> {
    lab.alpha().container("shop/b").run(|| {
        let streams = (0..OPEN).map(|_| TcpStream::connect(SocketAddr::new(to, 80)).unwrap());
        streams.collect()
    })
}

fn going_on(streams: &mut [TcpStream], within: Duration) -> usize {
    for stream in streams.iter_mut() {
        stream.set_read_timeout(Some(within)).unwrap();
        stream.write_all(b"x").unwrap();
    }
    let mut byte = [0];
    let answers = streams.iter_mut().map(|s| s.read_exact(&mut byte).is_ok());
    answers.filter(|answered| *answered).count()
}

#[test]
fn a_smaller_quota_cuts_what_the_plan_says() {
    Lab::run("quota", |lab| {
        lab.repository().hold(&tree(128));
        lab.apply("128");
        let address: IpAddr = Container::numbered("shop/a", 1).addresses[0];
        let listen = [Listen::on(Protocol::Tcp, address, 80)];
        let _service = Service::start(&lab.alpha().container("shop/a"), &listen);
        let mut streams = open(lab, address);
        assert!(streams.iter_mut().all(echoes));

        lab.repository().hold(&tree(QUOTA));
        lab.repository().commit("64");
        let plan = lab.reconcile(&["-n", "-o", "json"]).json();
        let cuts = &plan["cuts"];
        assert_eq!((&cuts["count"], &cuts["of"]), (&json!(6), &json!(OPEN)));
        assert_eq!(
            cuts["forgotten"],
            json!([{"container": "shop/a", "count": 6, "quota": QUOTA}])
        );
        let refused = lab.reconcile(&["--max-cut", "5"]).ended(4);
        let words = "! 6 of 70 connections would be cut\n    \
                     6 TCP connections of shop/a: its quota becomes 64\n";
        assert!(refused.stdout.contains(words), "{refused}");
        assert!(streams.iter_mut().all(echoes), "a refused run cuts nothing");

        lab.reconcile(&["--max-cut", "6"]).succeed();
        let went_on = going_on(&mut streams, Duration::from_secs(1));
        assert_eq!(went_on, QUOTA, "as many as there is room for");
    });
}
