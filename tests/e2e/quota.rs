//! A smaller quota cuts the connections that it has no room for: the plan counts them, a limit
//! refuses them. None of them is lost before the store: the simulated host of `state/tests/plan`
//! refuses that.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};

use rig::lab::Lab;
use rig::traffic::{Listen, Protocol, SILENCE, Service};
use rig::tree::{Container, Tree};
use rig::wait;
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

/// How many are answered, of which so many are waited for; who then was not is listened to in vain.
fn going_on(mut streams: Vec<TcpStream>, at_least: usize) -> usize {
    for stream in &mut streams {
        stream.write_all(b"x").unwrap();
        stream.set_nonblocking(true).unwrap();
    }
    let all = streams.len();
    let mut byte = [0];
    wait::holds("as many to go on as there is room for", || {
        streams.retain_mut(|stream| stream.read_exact(&mut byte).is_err());
        all - streams.len() >= at_least
    });
    streams.retain_mut(|stream| {
        stream.set_nonblocking(false).unwrap();
        stream.set_read_timeout(Some(SILENCE)).unwrap();
        stream.read_exact(&mut byte).is_err()
    });
    all - streams.len()
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
        let went_on = going_on(streams, QUOTA);
        assert_eq!(went_on, QUOTA, "as many as there is room for");
    });
}
