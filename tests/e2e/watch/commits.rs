//! Commits, many and fast.

use std::fs;
use std::time::Duration;

use rig::lab::Lab;
use rig::program::Program;
use rig::random::Random;
use rig::wait;

use super::{Watcher, becomes_live, commit, live, tree};

/// How many commits there are, unless `PLUMBLINE_COMMITS` says another number.
const COMMITS: usize = 480;
/// How often nobody moves anything for a while.
const RESTS: usize = 12;

/// How many commits there are to be.
fn count() -> usize {
    let given = std::env::var("PLUMBLINE_COMMITS").ok();
    let given = given.map(|text| text.parse().expect("PLUMBLINE_COMMITS is a number"));
    given.unwrap_or(COMMITS)
}

/// A chain of commits above `HEAD`, each with another port in the policy, by git-fast-import(1).
fn many(lab: &Lab, count: usize) -> Vec<String> {
    let policies = |port: u16| {
        let tree = tree(port);
        let mut files = tree.files();
        let found = files.find(|(path, _)| path == "policies.yaml");
        found.unwrap().1.to_owned()
    };
    let text = policies(1);
    let mut input = String::new();
    for number in 0..count {
        let text = text.replace("\"port\":1", &format!("\"port\":{}", number % 60_000 + 1));
        let text = text.replace("port: 1", &format!("port: {}", number % 60_000 + 1));
        let from = if number == 0 {
            "from refs/heads/main^0\n"
        } else {
            ""
        };
        input += &format!(
            "commit refs/heads/all\ncommitter Rig <rig@example.org> {number} +0000\ndata 1\n.\n\
             {from}M 100644 inline policies.yaml\ndata {}\n{text}\n",
            text.len()
        );
    }
    let folder = lab.repository().path();
    let import = Program::new("git")
        .args(["fast-import", "--quiet"])
        .folder(folder);
    import.input(input).run().succeed();
    let listed = lab
        .repository()
        .git(&["rev-list", "--reverse", "main..all"]);
    let listed = listed.ended(0).stdout;
    listed.lines().map(str::to_owned).collect()
}

/// Memory of a process that is its own, in KiB.
fn memory(watcher: &Watcher) -> usize {
    let status = fs::read_to_string(format!("/proc/{}/status", watcher.running.id())).unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("RssAnon:"));
    let digits = line.unwrap().trim().trim_end_matches(" kB");
    digits.parse().unwrap()
}

#[test]
fn the_last_commit_at_rest_is_live_however_fast_they_come() {
    Lab::run("watch-rapid", |lab| {
        let mut random = Random::new();
        let first = commit(lab, 1);
        let commits = many(lab, count());
        assert_eq!(commits.len(), count());
        let watcher = Watcher::on(lab);
        becomes_live(lab, &watcher, &first);
        let mut memories = Vec::new();
        let moves = |to: &str| {
            let moved = lab.repository().git(&["update-ref", "refs/heads/main", to]);
            moved.succeed();
        };
        for (number, one) in commits.iter().enumerate() {
            moves(one);
            // Now at once, now after a pause around the time that runs take.
            if random.below(4) == 0 {
                let pause = Duration::from_millis(random.below(60) as u64);
                wait::within(pause, || None::<()>);
            }
            // Now away and back, so that a run may read what is not at rest.
            if random.below(4) == 0 {
                moves(&first);
                moves(one);
            }
            if random.below(500) == 0 {
                lab.repository().git(&["pack-refs", "--all"]).succeed();
            }
            if (number + 1) % (commits.len() / RESTS) == 0 {
                becomes_live(lab, &watcher, one);
                memories.push(memory(&watcher));
            }
        }
        let (early, late) = (memories[2], memories[RESTS - 1]);
        assert!(
            late < early + 4096,
            "memory in KiB at each rest: {memories:?}"
        );
    });
}

#[test]
fn whatever_moves_head_is_followed_and_other_branches_are_not() {
    Lab::run("watch-moves", |lab| {
        let git = |arguments: &[&str]| lab.repository().git(arguments).succeed();
        let first = commit(lab, 1);
        let watcher = Watcher::on(lab);
        becomes_live(lab, &watcher, &first);
        let second = commit(lab, 2);
        becomes_live(lab, &watcher, &second);
        git(&["reset", "--quiet", "--hard", "HEAD~1"]);
        becomes_live(lab, &watcher, &first);
        git(&["checkout", "--quiet", "-b", "a/branch"]);
        let third = commit(lab, 3);
        becomes_live(lab, &watcher, &third);
        git(&["branch", "--quiet", "--force", "main", &second]);
        git(&["gc", "--quiet", "--prune=now"]);
        assert_eq!(live(lab), third);
        git(&["checkout", "--quiet", "main"]);
        becomes_live(lab, &watcher, &second);
        git(&["checkout", "--quiet", "--detach", &third]);
        becomes_live(lab, &watcher, &third);
        let runs = watcher.said().matches(" is live: ").count();
        assert!(runs <= 7, "{runs}: {}", watcher.said());
    });
}
