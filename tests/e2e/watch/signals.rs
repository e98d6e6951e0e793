//! Signals: whoever stops it, and whenever, takes nothing away.

use std::net::SocketAddr;

use nix::sys::signal::Signal;
use rig::lab::Lab;
use rig::program::Program;
use rig::random::Random;
use rig::traffic::{Exchange, Listen, Protocol, Service};
use rig::tree::Container;
use rig::wait;

use super::{Watcher, becomes_live, commit, live, tree};

/// How many containers a commit brings that is interrupted.
const CROWD: u16 = 12;

/// SIGTERM ends it, once a run that is under way has ended, and takes nothing away. SIGHUP makes it
/// run.
#[test]
fn signals_are_obeyed_and_nothing_is_taken_away() {
    Lab::run("watch-signals", |lab| {
        let first = commit(lab, 1);
        let watcher = Watcher::on(lab);
        becomes_live(lab, &watcher, &first);
        let web = lab.alpha().container("shop/web");
        web.ip("address flush dev eth0");
        watcher.signal(Signal::SIGHUP);
        wait::holds("the address", || {
            let shown = web.program(&Program::new("ip").args(["address", "show", "dev", "eth0"]));
            shown.stdout.contains("10.44.0.1")
        });
        let last = commit(lab, 2);
        watcher.signal(Signal::SIGTERM);
        watcher.ends();
        let live = live(lab);
        assert!(live == first || live == last, "{live}");
        drop(
            lab.reconcile(&["--rev", &live, "--detailed-exitcode"])
                .ended(0),
        );
    });
}

/// Wherever in a run it is told to leave, the run is ended first, and connections go on.
#[test]
fn a_run_that_is_under_way_is_ended_first() {
    Lab::run("watch-term", |lab| {
        let mut random = Random::new();
        let first = commit(lab, 80);
        let path = lab.repository().path().to_str().unwrap();
        let start = || Watcher::start(lab, path, &["--max-prune", "100%"]);
        let mut watcher = start();
        becomes_live(lab, &watcher, &first);
        let to: SocketAddr = "10.44.0.1:80".parse().unwrap();
        let web = lab.alpha().container("shop/web");
        let _service = Service::start(&web, &[Listen::on(Protocol::Tcp, to.ip(), to.port())]);
        let exchange = Exchange::tcp(&lab.alpha().container("shop/client"), to);
        for round in 0..3_u16 {
            let mut crowd = tree(80);
            for number in 0..CROWD {
                let name = format!("crowd/c{round}x{number}");
                crowd = crowd.container(&Container::numbered(&name, 10 + number));
            }
            lab.repository().hold(&crowd);
            let next = lab.repository().commit("a crowd");
            // Each run makes theirs one after the other, and takes those before away.
            let made = 1 + random.below(usize::from(CROWD));
            let begins = format!("crowd.c{round}x");
            wait::holds("a run to be under way", || {
                let names = lab.alpha().netns_names();
                names
                    .iter()
                    .filter(|name| name.starts_with(&begins))
                    .count()
                    >= made
            });
            if random.below(2) == 0 {
                watcher.signal(Signal::SIGHUP);
            }
            watcher.signal(Signal::SIGTERM);
            watcher.ends();
            assert_eq!(live(lab), next);
            drop(lab.reconcile(&["drift"]).ended(0));
            exchange.advance(10);
            watcher = start();
        }
        watcher.signal(Signal::SIGTERM);
        watcher.ends();
        exchange.advance(10);
        let progress = exchange.end();
        assert_eq!(progress.failure, None);
    });
}
