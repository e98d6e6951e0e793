//! What an operator's bad day brings: lost files, full disks, low limits. What is told is true, and
//! the next run gets there.

use std::fs;
use std::process::{Command, Output};

use rig::lab::{Lab, binary};
use rig::tree::{Container, Tree};

fn tree(containers: u16) -> Tree {
    let containers = (1..=containers).map(|n| Container::numbered(&format!("a/c{n}"), n));
    containers.fold(Tree::new(), |tree, container| tree.container(&container))
}

fn begin(lab: &Lab, containers: u16) {
    lab.repository().hold(&tree(containers));
    lab.apply("a tree").succeed();
}

/// Runs it by a line of the shell, which has it as `$run`.
fn shell(lab: &Lab, line: &str) -> (i32, String, String) {
    let run = format!("{} --host alpha", binary().unwrap().display());
    let Output {
        status,
        stdout,
        stderr,
    } = Command::new("sh")
        .args(["-c", line])
        .env("run", run)
        .current_dir(lab.repository().path())
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code().unwrap(), text(stdout), text(stderr))
}

#[test]
fn a_bpffs_that_is_lost_leaves_containers_that_status_names() {
    Lab::run("lost", |lab| {
        begin(lab, 1);
        let at = "/sys/fs/bpf";
        nix::mount::umount2(at, nix::mount::MntFlags::MNT_DETACH).unwrap();
        let run = lab.reconcile(&["status", "-o", "json"]).ended(0);
        let said = run.to_string();
        let told: serde_json::Value = run.json();
        assert_eq!(told["commit"], "");
        assert_eq!(told["containers"][0]["name"], "a/c1");
        let faults = told["containers"][0]["faults"].to_string();
        assert!(faults.contains("its programs are not attached"), "{said}");
        // The mount that a plan needs is no text before its JSON.
        let plan: serde_json::Value = lab.reconcile(&["-o", "json"]).ended(0).json();
        assert_eq!(plan["formatVersion"], 1);
        assert_eq!(shell(lab, "$run -C . --detailed-exitcode").0, 0);
    });
}

#[test]
fn a_lost_copy_of_a_directory_is_written_by_the_next_run() {
    Lab::run("copy", |lab| {
        lab.repository().hold(&tree(2));
        let state = "--state-dir \"$PWD/.state\"";
        let apply = format!("$run {state} -C . --worktree");
        assert_eq!(shell(lab, &apply).0, 0);
        let folder = lab.repository().path().join(".state");
        let copies = || fs::read_dir(folder.join("trees")).unwrap().count();
        assert_eq!(copies(), 1);
        fs::remove_dir_all(&folder).unwrap();
        let explain = format!(
            "$run {state} -C . --worktree explain --live --from a/c1 --to a/c2 --port 80/TCP"
        );
        let (code, _, error) = shell(lab, &explain);
        assert_eq!(code, 1, "{error}");
        assert!(error.contains("holds no copy"), "{error}");
        let (code, out, error) = shell(lab, &apply);
        assert_eq!((code, out.contains("Nothing to do")), (0, true), "{error}");
        assert_eq!(copies(), 1);
        assert_eq!(shell(lab, &explain).0, 0);
    });
}

#[test]
fn what_cannot_be_printed_fails_who_only_reads() {
    Lab::run("full", |lab| {
        begin(lab, 1);
        for reads in [
            "status",
            "status -o json",
            "-C . -n",
            "-C . -n -o json",
            "-C . validate",
            "-C . validate -o json",
            "-C . explain --from a/c1 --to a/c1 --port 80/TCP",
        ] {
            let (code, _, error) = shell(lab, &format!("$run {reads} >/dev/full"));
            assert_eq!(code, 1, "{reads}: {error}");
            assert!(error.contains("No space left"), "{reads}: {error}");
        }
        // Nobody reads on: that is no failure.
        let (code, ..) = shell(lab, "{ $run status; echo $? >&2; } | true");
        assert_eq!(code, 0);
        // A log that is full keeps no commit from going live.
        lab.repository().hold(&tree(2));
        lab.repository().commit("another tree");
        assert_eq!(shell(lab, "$run -C . >/dev/full").0, 0);
        assert_eq!(shell(lab, "$run -C . --detailed-exitcode").0, 0);
    });
}

#[test]
fn a_low_limit_of_open_files_is_raised() {
    Lab::run("files", |lab| {
        begin(lab, 12);
        let (code, out, error) = shell(lab, "ulimit -Sn 24; $run -C .");
        assert_eq!((code, out.contains("Nothing to do")), (0, true), "{error}");
        // Where it cannot be, what was to be opened is told.
        let (code, _, error) = shell(lab, "ulimit -n 24; $run -C .");
        assert_eq!(code, 1, "{error}");
        assert!(error.contains("Too many open files"), "{error}");
    });
}

#[test]
fn detach_holds_the_lock_where_nothing_is_pinned_yet() {
    Lab::run("early", |lab| {
        let base = "/sys/fs/bpf/plumbline";
        let (code, out, error) = shell(lab, "$run detach");
        assert_eq!(
            (code, out.as_str()),
            (0, "nothing of ours is here\n"),
            "{error}"
        );
        assert!(!fs::exists(base).unwrap(), "it made what it locked");
        // A first run has made its directory, holds the lock and has pinned nothing.
        fs::create_dir(base).unwrap();
        Command::new("chmod").args(["0700", base]).status().unwrap();
        let held = format!("exec 9<{base}; flock -n 9; $run detach");
        let (code, _, error) = shell(lab, &held);
        assert_eq!(code, 4, "{error}");
        assert!(error.contains("holds the lock"), "{error}");
    });
}
