//! Where a tree may be.

use std::os::unix::fs::symlink;

use nix::libc;
use rig::lab::Lab;
use rig::refused::Refused;
use rig::repository::Repository;
use rig::tree::Tree;
use rig::wait;

use super::{Watcher, becomes_live, commit, commit_two_folders, live, tree};

#[test]
fn a_bare_repository_is_followed_by_what_is_pushed_to_it() {
    Lab::run("watch-bare", |lab| {
        let first = commit(lab, 1);
        let bare = lab.repository().path().with_extension("git");
        let bare = bare.to_str().unwrap();
        let git = |arguments: &[&str]| lab.repository().git(arguments).succeed();
        git(&["clone", "--quiet", "--bare", ".", bare]);
        let watcher = Watcher::start(lab, bare, &[]);
        becomes_live(lab, &watcher, &first);
        for port in 2..5 {
            let next = commit(lab, port);
            assert_ne!(live(lab), next);
            git(&["push", "--quiet", bare, "main"]);
            becomes_live(lab, &watcher, &next);
        }
    });
}

#[test]
fn a_branch_is_followed_by_its_name_and_so_is_a_linked_work_tree() {
    Lab::run("watch-branch", |lab| {
        let git = |arguments: &[&str]| lab.repository().git(arguments).succeed();
        let first = commit(lab, 1);
        git(&["branch", "release/stable"]);
        let own = lab.repository().path().to_str().unwrap();
        let watcher = Watcher::start(lab, own, &["--rev", "release/stable"]);
        becomes_live(lab, &watcher, &first);
        let second = commit(lab, 2);
        git(&["pack-refs", "--all"]);
        git(&["branch", "--force", "release/stable", "main"]);
        becomes_live(lab, &watcher, &second);
        drop(watcher);

        let linked = lab.repository().path().with_extension("linked");
        let linked = linked.to_str().unwrap();
        git(&["worktree", "add", "--quiet", "-b", "linked", linked, &first]);
        let watcher = Watcher::start(lab, linked, &[]);
        becomes_live(lab, &watcher, &first);
        git(&["-C", linked, "reset", "--quiet", "--hard", &second]);
        becomes_live(lab, &watcher, &second);
        let third = commit(lab, 3);
        git(&["-C", linked, "checkout", "--quiet", "--detach", "main"]);
        becomes_live(lab, &watcher, &third);
    });
}

/// Files that editors replace, folders that come and go, and a folder that is moved into place.
#[test]
fn a_plain_directory_is_followed_to_its_depths() {
    Lab::run("watch-directory", |lab| {
        let path = lab.repository().path().with_extension("plain");
        // No repository: what a repository writes into a folder is written into this one.
        let plain = Repository::init(&path);
        plain.remove(".git");
        let place = path.to_str().unwrap();
        let files = |tree: &Tree| {
            for (file, text) in tree.files() {
                plain.write(&file, text);
            }
        };
        files(&tree(1));
        let watcher = Watcher::start(lab, place, &[]);
        watcher.says("is live: generation 1");
        let mut last = live(lab);
        let mut next = |what: &str| {
            // The hash of its files, whether or not policy changes by it.
            let is_another = wait::within(wait::LIMIT, || (live(lab) != last).then_some(()));
            assert!(is_another.is_some(), "{what}: {}", watcher.said());
            last = live(lab);
            assert_eq!(last.len(), 64, "{what}: {last}");
        };
        files(&tree(2));
        next("a file that is written");
        plain.write(
            "policies.new",
            tree(3).files().find(|f| f.0 == "policies.yaml").unwrap().1,
        );
        std::fs::rename(path.join("policies.new"), path.join("policies.yaml")).unwrap();
        next("a file that is replaced");
        let namespaces = Tree::new().namespace("shop", &[("tier", "gold")]);
        let (_, text) = namespaces
            .files()
            .find(|f| f.0 == "namespaces.yaml")
            .unwrap();
        plain.write("deep/er/namespaces.yaml", text);
        next("a file in a new folder");
        plain.write("deep/er/namespaces.yaml", text.replace("gold", "tin"));
        next("a file in a folder that came later");
        plain.remove("deep");
        next("a folder that goes");
    });
}

/// A host has room for so many watches, and others may have taken them all; a network file system
/// gives no notice at all.
#[test]
fn where_nothing_is_noticed_it_looks_now_and_then_and_says_so() {
    let no_room = Refused {
        call: libc::SYS_inotify_add_watch,
        first: None,
        errno: libc::ENOSPC,
    };
    no_room.to(|| {
        Lab::run("watch-deaf", |lab| {
            let first = commit(lab, 1);
            let path = lab.repository().path().to_str().unwrap();
            let watcher = Watcher::start(lab, path, &["--poll", "200ms"]);
            becomes_live(lab, &watcher, &first);
            watcher.says("changes give no notice");
            for port in 2..5 {
                let next = commit(lab, port);
                becomes_live(lab, &watcher, &next);
            }
            let said = watcher.said();
            assert_eq!(said.matches("changes give no notice").count(), 1, "{said}");
            assert!(said.contains("looking every 200ms"), "{said}");
        });
    });
}

/// A repository that is taken away and put back, whatever number its directory has then; a link
/// that leads to another one, as those do that put releases side by side; a clone in its place.
#[test]
fn what_is_put_in_the_place_of_a_tree_is_followed() {
    Lab::run("watch-put", |lab| {
        let first = commit(lab, 1);
        let own = lab.repository().path();
        let [kept, link] = ["kept", "link"].map(|name| own.with_extension(name));
        symlink(own, &link).unwrap();
        let watcher = Watcher::start(lab, link.to_str().unwrap(), &[]);
        becomes_live(lab, &watcher, &first);
        let sh = |script: &str| lab.shell(&lab.alpha(), script).succeed();
        let [own, kept, link] = [own, &kept, &link].map(|path| path.to_str().unwrap());
        for port in 2..6 {
            sh(&format!(
                "cp -a {own}/.git {kept}; rm -rf {own}/.git; mv {kept} {own}/.git"
            ));
            let next = commit(lab, port);
            becomes_live(lab, &watcher, &next);
        }
        let other = format!("{kept}-clone");
        sh(&format!("git clone --quiet {own} {other}"));
        let next = commit(lab, 6);
        becomes_live(lab, &watcher, &next);
        sh(&format!("git -C {other} pull --quiet"));
        let last = commit(lab, 7);
        becomes_live(lab, &watcher, &last);
        // Back by one commit, by the link alone.
        sh(&format!(
            "ln -s {other} {link}.new; mv -T {link}.new {link}"
        ));
        becomes_live(lab, &watcher, &next);
        sh(&format!("git -C {other} pull --quiet"));
        becomes_live(lab, &watcher, &last);
    });
}

/// As where each release has a folder of its own.
#[test]
fn a_link_to_another_folder_of_the_same_commit_is_followed() {
    Lab::run("watch-folder", |lab| {
        let own = lab.repository().path();
        commit_two_folders(lab);
        let link = own.with_extension("link");
        let lead = |folder: &str| {
            let new = own.with_extension("new");
            symlink(own.join(folder), &new).unwrap();
            std::fs::rename(new, &link).unwrap();
        };
        lead("one");
        let watcher = Watcher::start(lab, link.to_str().unwrap(), &[]);
        watcher.says("is live: generation 1");
        lead("two");
        watcher.says("is live: generation 2");
        lead("one");
        watcher.says("is live: generation 3");
    });
}
