//! What it costs while nothing happens.

use std::fs;
use std::time::Duration;

use rig::lab::Lab;
use rig::wait;

use super::{Watcher, becomes_live, commit};

/// For how long nothing may wake it.
const WINDOW: Duration = Duration::from_secs(4);

/// How often its threads have gone to sleep; one that wakes and leaves takes its count along.
fn sleeps(watcher: &Watcher) -> Vec<(String, String)> {
    let tasks = fs::read_dir(format!("/proc/{}/task", watcher.running.id())).unwrap();
    let mut all: Vec<(String, String)> = tasks
        .filter_map(|task| {
            let task = task.unwrap();
            let status = fs::read_to_string(task.path().join("status")).ok()?;
            let line = status.lines().find(|line| line.starts_with("voluntary"))?;
            let id = task.file_name().into_string().unwrap();
            Some((id, line.to_owned()))
        })
        .collect();
    all.sort();
    all
}

/// The next time that it wakes by itself is its backstop, minutes later. A thread that had worked
/// waits for more for some seconds before it leaves.
#[test]
fn nothing_wakes_it_while_nothing_happens() {
    Lab::run("watch-idle", |lab| {
        let first = commit(lab, 1);
        let watcher = Watcher::on(lab);
        becomes_live(lab, &watcher, &first);
        wait::holds("nothing to wake it", || {
            let before = sleeps(&watcher);
            wait::within(WINDOW, || None::<()>);
            sleeps(&watcher) == before
        });
    });
}
