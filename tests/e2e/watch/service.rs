//! What a service manager is told.

use std::os::unix::net::UnixDatagram;
use std::path::Path;

use reconciler::run::lock::Lock;
use rig::lab::Lab;
use rig::wait;

use super::{Watcher, becomes_live, commit};
use crate::kernel::BASE;

/// What came at a socket so far, a message each.
fn told(socket: &UnixDatagram) -> Vec<String> {
    let mut bytes = [0; 4096];
    let messages = std::iter::from_fn(|| {
        let length = socket.recv(&mut bytes).ok()?;
        Some(String::from_utf8_lossy(&bytes[..length]).into_owned())
    });
    messages.collect()
}

/// It is alive while a run goes on, however long, and is ready when it has ended.
#[test]
fn a_long_run_is_no_silence() {
    Lab::run("watch-alive", |lab| {
        commit(lab, 1);
        lab.reconcile(&[]).succeed();
        let next = commit(lab, 2);
        let path = lab.repository().path().with_extension("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_nonblocking(true).unwrap();
        let held = Lock::take(Path::new(BASE), Path::new("/run/plumbline")).unwrap();
        let tree = lab.repository().path().to_str().unwrap().to_owned();
        let watcher = Watcher::told(
            lab,
            &tree,
            &["--lock-timeout", "60s"],
            &[
                ("NOTIFY_SOCKET", path.to_str().unwrap()),
                ("WATCHDOG_USEC", "100000"),
            ],
        );
        let mut all = Vec::new();
        wait::holds("signs of life", || {
            all.extend(told(&socket));
            all.iter().filter(|m| m.contains("WATCHDOG=1")).count() >= 5
        });
        assert!(!all.iter().any(|m| m.contains("READY=1")), "{all:?}");
        drop(held);
        becomes_live(lab, &watcher, &next);
        wait::holds("it to be ready", || {
            all.extend(told(&socket));
            all.iter().any(|m| m.contains("READY=1"))
        });
        let status = all.iter().rfind(|m| m.contains("STATUS=")).unwrap();
        assert!(status.contains(&next[..12]), "{status}");
    });
}
