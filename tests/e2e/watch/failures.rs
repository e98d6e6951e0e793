//! What cannot be applied, and what happens to it.

use std::time::{Duration, Instant};

use rig::lab::Lab;
use rig::repository::Repository;
use rig::wait;
use serde_json::json;

use super::{
    Watcher, attempt, becomes_live, commit, commit_invalid, commit_two_folders, has_namespace,
    hold_the_lock, live, tree,
};
use crate::again::run_while;

#[test]
fn an_invalid_commit_leaves_what_is_live_and_the_next_is_taken_at_once() {
    Lab::run("watch-invalid", |lab| {
        let first = commit(lab, 1);
        let watcher = Watcher::on(lab);
        becomes_live(lab, &watcher, &first);
        assert_eq!(attempt(lab)["exit"], json!(0));
        let invalid = commit_invalid(lab);
        watcher.says("the tree is invalid: what is live is unchanged");
        // Both are shown, with the reason.
        wait::holds("the attempt", || attempt(lab)["commit"] == json!(invalid));
        let attempt = attempt(lab);
        assert_eq!(attempt["exit"], json!(3));
        let reasons = attempt["reasons"].to_string();
        assert!(reasons.contains("policies.yaml:1"), "{reasons}");
        let status = lab.reconcile(&["status"]).ended(0).stdout;
        assert!(
            status.contains(&invalid[..12]) && status.contains(&first[..12]),
            "{status}"
        );
        assert_eq!(live(lab), first);
        // It is tried once, whatever else happens in the repository.
        lab.repository().git(&["tag", "a"]).succeed();
        lab.repository().git(&["tag", "b"]).succeed();
        // Back at the one that is live, which is told as the end of what was told before.
        let git = |arguments: &[&str]| lab.repository().git(arguments).succeed();
        git(&["reset", "--quiet", "--hard", &first]);
        wait::holds("the live one to be asked for", || {
            watcher.said().matches("is live: generation 1").count() == 2
        });
        let next = commit(lab, 2);
        becomes_live(lab, &watcher, &next);
        let tries = watcher.said().matches("the tree is invalid").count();
        assert_eq!(tries, 1, "{}", watcher.said());
    });
}

/// What others do to the host is mended at once, by the live commit, and `status` goes on telling
/// of what was asked for.
#[test]
fn what_is_live_is_looked_after_while_head_is_invalid() {
    Lab::run("watch-looks-after", |lab| {
        let first = commit(lab, 1);
        let watcher = Watcher::on(lab);
        becomes_live(lab, &watcher, &first);
        let invalid = commit_invalid(lab);
        watcher.says("the tree is invalid: what is live is unchanged");
        for _ in 0..2 {
            lab.alpha().net().ip("netns delete shop.web");
            wait::holds("the container to be back", || {
                has_namespace(lab, "shop.web")
            });
        }
        wait::holds("it to be as it was", || lab.reconcile(&["drift"]).code == 0);
        assert_eq!(attempt(lab)["commit"], json!(invalid));
        assert_eq!(live(lab), first);
        let tries = watcher.said().matches("the tree is invalid").count();
        assert_eq!(tries, 1, "{}", watcher.said());
        // One that begins then does the same.
        drop(watcher);
        let watcher = Watcher::on(lab);
        watcher.says("the tree is invalid");
        lab.alpha().net().ip("netns delete shop.web");
        wait::holds("the container to be back once more", || {
            has_namespace(lab, "shop.web")
        });
        let next = commit(lab, 2);
        becomes_live(lab, &watcher, &next);
    });
}

/// The same in a plain directory, which is read again from its copy.
#[test]
fn what_is_live_is_looked_after_while_a_directory_is_invalid() {
    Lab::run("watch-looks-after-plain", |lab| {
        let plain = Repository::init(&lab.repository().path().with_extension("plain"));
        plain.remove(".git");
        plain.hold(&tree(1));
        let watcher = Watcher::start(lab, plain.path().to_str().unwrap(), &[]);
        watcher.says("is live: generation 1");
        plain.write("policies.yaml", "kind: NetworkPolicy\n");
        watcher.says("the tree is invalid: what is live is unchanged");
        lab.alpha().net().ip("netns delete shop.web");
        wait::holds("the container to be back", || {
            has_namespace(lab, "shop.web")
        });
        plain.hold(&tree(2));
        watcher.says("is live: generation 2");
    });
}

/// Another folder of the commit that is live was never asked for, or is invalid by now.
#[test]
fn what_was_never_live_is_not_made_live_in_place_of_what_is() {
    Lab::run("watch-never-live", |lab| {
        let own = lab.repository().path();
        let first = commit_two_folders(lab);
        let one = Watcher::start(lab, own.join("one").to_str().unwrap(), &[]);
        becomes_live(lab, &one, &first);
        drop(one);
        lab.repository()
            .write("two/policies.yaml", "kind: NetworkPolicy\n");
        lab.repository().commit("two is invalid");
        let two = Watcher::start(lab, own.join("two").to_str().unwrap(), &[]);
        two.says("the tree is invalid: what is live is unchanged");
        two.says("is another folder of commit");
        lab.alpha().net().ip("netns delete shop.web");
        lab.repository()
            .git(&["commit", "--quiet", "--allow-empty", "--message", "more"])
            .succeed();
        wait::holds("it to have looked", || {
            two.said().matches("tree is invalid").count() == 2
        });
        let status = lab.reconcile(&["status", "-o", "json"]).json();
        assert_eq!(
            (&status["commit"], &status["generation"]),
            (&json!(first), &json!(1))
        );
    });
}

/// Who waits for the lock to mend does so by what is live once it has it.
#[test]
fn what_somebody_makes_live_meanwhile_is_not_undone() {
    Lab::run("watch-meanwhile", |lab| {
        let first = commit(lab, 1);
        let path = lab.repository().path().to_str().unwrap();
        let watcher = Watcher::start(lab, path, &["--lock-timeout", "60s"]);
        becomes_live(lab, &watcher, &first);
        let second = commit(lab, 2);
        becomes_live(lab, &watcher, &second);
        commit_invalid(lab);
        watcher.says("the tree is invalid: what is live is unchanged");
        for wanted in [&first, &second, &first, &second] {
            let held = hold_the_lock();
            lab.alpha().net().ip("netns delete shop.web");
            std::thread::scope(|scope| {
                let run = ["--rev", wanted, "--lift-hold", "--lock-timeout", "60s"];
                let run = scope.spawn(move || lab.reconcile(&run).succeed());
                // Both wait by then, most times.
                let begun = Instant::now();
                wait::holds("a moment", || begun.elapsed() > Duration::from_millis(500));
                drop(held);
                run.join().unwrap();
            });
            wait::holds("the container to be back", || {
                has_namespace(lab, "shop.web")
            });
            wait::holds("it to be as it was", || lab.reconcile(&["drift"]).code == 0);
            assert_eq!(live(lab), *wanted);
        }
    });
}

/// A commit whose objects come after its reference, as where somebody copies a repository.
#[test]
fn a_commit_that_cannot_be_read_yet_is_tried_again() {
    Lab::run("watch-unread", |lab| {
        let first = commit(lab, 1);
        let watcher = Watcher::on(lab);
        becomes_live(lab, &watcher, &first);
        let next = commit(lab, 2);
        becomes_live(lab, &watcher, &next);
        let back = lab
            .repository()
            .git(&["rev-parse", "HEAD:policies.yaml"])
            .stdout;
        let git = |arguments: &[&str]| lab.repository().git(arguments).succeed();
        git(&["reset", "--quiet", "--hard", &first]);
        becomes_live(lab, &watcher, &first);
        drop(watcher);
        let object = back.trim();
        let object = format!("objects/{}/{}", &object[..2], &object[2..]);
        let object = lab.repository().path().join(".git").join(object);
        let away = object.with_extension("away");
        std::fs::rename(&object, &away).unwrap();
        let watcher = Watcher::on(lab);
        wait::holds("it to have looked", || attempt(lab)["exit"] == json!(0));
        git(&["update-ref", "refs/heads/main", &next]);
        watcher.says("error:");
        assert_eq!(live(lab), first);
        std::fs::rename(&away, &object).unwrap();
        becomes_live(lab, &watcher, &next);
    });
}

/// The interface that a live container has here.
fn interface(lab: &Lab, container: &str) -> String {
    let status = lab.reconcile(&["status", "-o", "json"]).json();
    let containers = status["containers"].as_array().cloned();
    let mut all = containers.unwrap_or_default().into_iter();
    let found = all.find(|one| one["name"] == json!(container));
    let named = found.and_then(|one| one["interface"].as_str().map(str::to_owned));
    named.unwrap_or_else(|| panic!("{status:#}"))
}

/// What may go better the next time is tried again without anybody's help.
#[test]
fn what_fails_for_the_host_is_tried_again() {
    Lab::run("watch-retry", |lab| {
        let first = commit(lab, 1);
        // Somebody else's interface stands where ours is to be.
        lab.reconcile(&[]).succeed();
        let name = interface(lab, "shop/web");
        lab.reconcile(&["detach"]).succeed();
        let net = lab.alpha().net().clone();
        net.ip(&format!("link add {name} type veth peer name theirs"));
        let watcher = Watcher::on(lab);
        watcher.says("error:");
        wait::holds("the commit that was tried", || {
            attempt(lab)["commit"] == json!(first)
        });
        assert_eq!(live(lab), "");
        net.ip(&format!("link delete {name}"));
        becomes_live(lab, &watcher, &first);
    });
}

#[test]
fn a_suspended_host_is_left_alone_until_it_is_resumed() {
    Lab::run("watch-suspended", |lab| {
        let first = commit(lab, 1);
        let watcher = Watcher::on(lab);
        becomes_live(lab, &watcher, &first);
        let suspend = ["suspend", "--reason", "moving house"];
        lab.reconcile(&[&suspend[..], &["--lock-timeout", "30s"]].concat())
            .succeed();
        let next = commit(lab, 2);
        watcher.says("moving house");
        let ways: [&[&str]; 6] = [
            &[],
            &["--only-changes"],
            &["--until-at-rest"],
            &["--or-last"],
            &["rollback"],
            &["rollback", "1"],
        ];
        for way in ways {
            let refused = lab.reconcile(way).ended(4);
            assert!(refused.stderr.contains("moving house"), "{refused}");
        }
        lab.reconcile(&["--dry-run"]).succeed();
        let status = lab.reconcile(&["status"]).ended(0).stdout;
        assert!(status.contains("moving house"), "{status}");
        let status = lab.reconcile(&["status", "-o", "json"]).json();
        assert_eq!(status["suspended"]["reason"], json!("moving house"));
        assert_eq!(status["commit"], json!(first));
        lab.reconcile(&["resume"]).succeed();
        becomes_live(lab, &watcher, &next);
    });
}

/// What a run that was under way came to is what stays, and what comes back after a boot.
#[test]
fn who_suspends_during_a_run_keeps_what_it_comes_to() {
    Lab::run("watch-suspends", |lab| {
        let first = commit(lab, 1);
        let suspend = || {
            let suspended = lab.reconcile(&["suspend", "--reason", "moving house"]);
            let said = suspended.ended(4).stderr;
            assert!(said.contains("one run is under way"), "{said}");
        };
        let run = run_while(lab, &[], &[("prepare", &suspend)]);
        assert_eq!(run.code, 0);
        assert_eq!(live(lab), first);
        // As a boot does.
        lab.reconcile(&["detach"]).succeed();
        drop(commit(lab, 2));
        lab.reconcile(&[]).succeed();
        assert_eq!(live(lab), first);
    });
}

/// Where nothing is live, as after a boot, what was live comes back for a tree that cannot be
/// applied, and what was rolled back from stays held.
#[test]
fn what_was_live_last_comes_back_and_what_was_held_does_not() {
    Lab::run("watch-last", |lab| {
        let first = commit(lab, 1);
        lab.reconcile(&[]).succeed();
        let second = commit(lab, 2);
        lab.reconcile(&[]).succeed();
        lab.reconcile(&["rollback"]).succeed();
        // As a boot does: the kernel forgets all of it, and the journal does not.
        lab.reconcile(&["detach"]).succeed();
        let held = lab.reconcile(&["--or-last"]).ended(4);
        assert!(held.stderr.contains(&second[..12]), "{held}");
        assert_eq!(live(lab), first);
        drop(lab.reconcile(&[]).ended(4));
        lab.reconcile(&["detach"]).succeed();
        commit_invalid(lab);
        drop(lab.reconcile(&["--or-last"]).ended(3));
        assert_eq!(live(lab), first);
        let watcher = Watcher::on(lab);
        watcher.says("the tree is invalid");
        let third = commit(lab, 3);
        becomes_live(lab, &watcher, &third);
    });
}
