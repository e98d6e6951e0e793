//! Who hears of changes alone, as by mail, hears of the end of what failed as well.

use rig::lab::Lab;
use rig::program::Run;
use serde_json::json;

use super::{attempt, commit, commit_invalid, hold_the_lock, live};

#[test]
fn what_fails_is_told_once_and_so_is_its_end() {
    Lab::run("watch-news", |lab| {
        let news = || lab.reconcile(&["--only-changes"]);
        let said_nothing = |run: &Run| run.stdout.is_empty() && run.stderr.is_empty();
        let first = commit(lab, 1);
        let told = news().ended(0);
        assert!(told.stdout.contains("is live: generation 1"), "{told}");
        assert!(said_nothing(&news().ended(0)));
        commit_invalid(lab);
        let told = news().ended(3);
        assert!(told.stderr.contains("the tree is invalid"), "{told}");
        assert!(said_nothing(&news().ended(3)));
        lab.repository()
            .git(&["reset", "--quiet", "--hard", &first])
            .succeed();
        let over = news().ended(0);
        let expected = format!("{} is live: generation 1\n", &first[..12]);
        assert_eq!((&over.stdout, &over.stderr), (&expected, &String::new()));
        assert!(said_nothing(&news().ended(0)));
        assert_eq!(live(lab), first);
        // Who asks for all is told what it always is.
        let invalid = commit_invalid(lab);
        drop(lab.reconcile(&[]).ended(3));
        assert!(!said_nothing(&news().ended(3)));
        // That another run is under way is told once, and nothing of the tree is forgotten by it.
        let held = hold_the_lock();
        assert!(news().ended(4).stderr.contains("holds the lock"));
        assert!(said_nothing(&news().ended(4)));
        drop(held);
        assert_eq!(attempt(lab)["commit"], json!(invalid));
        assert!(said_nothing(&news().ended(3)));
    });
}
