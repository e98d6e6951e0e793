//! What is refused changes nothing, and says why; what has nothing to do does nothing.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use reconciler::run::lock::Lock;
use rig::ids::Held;
use rig::lab::{Lab, binary};
use rig::program::{Program, Run};
use rig::tree::{Container, Policy, Rule, Tree};
use rig::wait;
use state::target::host::interface_name;

use crate::kernel::{BASE, changes_nothing, everything, kernel, named};

fn container(name: &str, number: u16) -> Container {
    Container::numbered(&format!("shop/{name}"), number).label("app", name)
}

/// Four containers; `a` is isolated, and `b` may reach it.
fn tree() -> Tree {
    let all = [("a", 1), ("b", 2), ("c", 3), ("d", 4)];
    let tree = all.iter().fold(Tree::new(), |tree, (name, number)| {
        tree.container(&container(name, *number))
    });
    tree.policy(&isolating("a", "b"))
}

fn isolating(subject: &str, from: &str) -> Policy {
    Policy::new(&format!("shop/{subject}"))
        .select(&[("app", subject)])
        .ingress(&[Rule::new().containers(&[("app", from)]).port("TCP", 80)])
}

fn begin(lab: &Lab) {
    lab.repository().hold(&tree());
    lab.apply("first").succeed();
}

#[track_caller]
fn says(run: &Run, words: &[&str]) {
    for word in words {
        assert!(run.stderr.contains(word), "no {word:?} in: {run}");
    }
}

#[test]
fn an_invalid_tree() {
    Lab::run("invalid", |lab| {
        begin(lab);
        let typo = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\n\
                    metadata: {name: all, namespace: shop}\nspec: {podselector: {}}\n";
        lab.repository().write("typo.yaml", typo);
        lab.repository().commit("a typo");
        let run = changes_nothing(lab, &[], 3);
        says(&run, &["typo.yaml:4:", "podselector", "podSelector"]);
        says(&changes_nothing(lab, &["-n"], 3), &["typo.yaml:4:"]);
        says(
            &changes_nothing(lab, &["--rev", "no-such"], 3),
            &["no-such"],
        );
    });
}

#[test]
fn what_belongs_to_others_in_the_way() {
    Lab::run("collisions", |lab| {
        begin(lab);
        let net = lab.alpha().net().clone();
        let with_e = tree().container(&container("e", 5));
        lab.repository().hold(&with_e);
        lab.repository().commit("one more");

        lab.alpha()
            .program(&Program::new("ip").args(["netns", "add", "shop.e"]))
            .succeed();
        says(&changes_nothing(lab, &[], 4), &["shop/e", "shop.e"]);
        lab.alpha()
            .program(&Program::new("ip").args(["netns", "delete", "shop.e"]))
            .succeed();

        net.ip("link add mine type veth peer name peer");
        net.ip("address add 10.44.0.5/32 dev mine");
        says(&changes_nothing(lab, &[], 4), &["shop/e", "10.44.0.5"]);
        net.ip("link delete mine");

        net.ip("-6 route add fd44::5/128 dev lo");
        says(&changes_nothing(lab, &[], 4), &["shop/e", "fd44::5"]);
        net.ip("-6 route delete fd44::5/128 dev lo");

        lab.reconcile(&[]).succeed();

        // What the host answers itself does not reach the container, whatever routes there are.
        let own = interface_name(&named("shop/e"));
        for (done, undone) in [
            (
                format!("address add 10.44.0.5/32 dev {own}"),
                format!("address delete 10.44.0.5/32 dev {own}"),
            ),
            (
                "route add local 10.44.0.5 dev lo".to_owned(),
                "route delete local 10.44.0.5 dev lo".to_owned(),
            ),
        ] {
            net.ip(&done);
            says(&changes_nothing(lab, &[], 4), &["shop/e", "10.44.0.5"]);
            let drift = lab.reconcile(&["drift"]).ended(6).to_string();
            assert!(drift.contains("10.44.0.5"), "{drift}");
            net.ip(&undone);
        }
        // With an address the kernel takes away the routes to it.
        lab.reconcile(&[]).succeed();
        drop(lab.reconcile(&["drift"]).ended(0));
    });
}

/// An address that is known on one link alone is nobody's to be judged by on others.
#[test]
fn an_interface_that_somebody_makes_is_no_commit() {
    Lab::run("link-local", |lab| {
        begin(lab);
        let generation = || lab.status(&lab.alpha())["generation"].clone();
        let before = generation();
        let net = lab.alpha().net().clone();
        net.ip_batch("link add others0 type veth peer name others1\nlink set others1 up");
        net.ip("link set others0 up");
        net.wait_up("others0");
        wait::holds("an address of its own", || {
            net.ip("-6 address show dev others0").contains("fe80::")
        });
        // It may be a way to others, and is to forward what they send.
        lab.reconcile(&[]).succeed();
        assert_eq!(generation(), before);
        drop(lab.reconcile(&["drift"]).ended(0));
    });
}

#[test]
fn an_interface_of_others_with_our_name() {
    Lab::run("interface", |lab| {
        begin(lab);
        let ours = lab.alpha().net().interfaces();
        let with_e = tree().container(&container("e", 5));
        lab.repository().hold(&with_e);
        lab.apply("one more").succeed();
        let now = lab.alpha().net().interfaces();
        let name = now.iter().find(|interface| !ours.contains(interface));
        let name = &name.unwrap().name;
        lab.repository().hold(&tree());
        lab.apply("one less").succeed();

        lab.alpha()
            .net()
            .ip(&format!("link add {name} type veth peer name peer"));
        lab.repository().hold(&with_e);
        lab.repository().commit("again");
        says(&changes_nothing(lab, &[], 4), &["shop/e", name]);
    });
}

#[test]
fn too_much_at_once() {
    Lab::run("guards", |lab| {
        begin(lab);
        lab.repository()
            .hold(&Tree::new().container(&container("a", 1)));
        lab.repository().commit("three fewer");
        let run = changes_nothing(lab, &[], 4);
        says(&run, &["shop/b", "shop/c", "shop/d", "--max-prune"]);

        lab.repository().hold(&Tree::new());
        lab.repository().commit("none");
        says(&changes_nothing(lab, &[], 4), &["--allow-empty"]);

        let everybody = ["b", "c"]
            .iter()
            .fold(tree(), |tree, name| tree.policy(&isolating(name, "d")));
        lab.repository().hold(&everybody);
        lab.apply("three isolated").succeed();
        lab.repository().remove("policies.yaml");
        lab.repository().commit("none isolated");
        let run = changes_nothing(lab, &[], 4);
        says(&run, &["isolation", "shop/a", "shop/b", "shop/c"]);
        lab.reconcile(&["--max-prune", "75%"]).succeed();

        lab.repository().hold(&Tree::new());
        lab.repository().commit("none");
        lab.reconcile(&["--allow-empty"]).succeed();
        assert_eq!(lab.alpha().netns_names(), [""; 0]);
    });
}

#[test]
fn a_caller_who_is_not_root() {
    Lab::run("not-root", |lab| {
        begin(lab);
        // The folder that holds the program may be closed to others.
        let copy = Path::new("/run/lab/reconcile");
        std::fs::copy(binary().unwrap(), copy).unwrap();
        std::fs::set_permissions(copy, PermissionsExt::from_mode(0o755)).unwrap();
        let before = everything(lab);
        let nobody = ["--reuid=65534", "--regid=65534", "--clear-groups"];
        for command in ["", "status", "detach"] {
            let program = Program::new("setpriv").args(nobody).args([copy]);
            let program = program.args(["-C"]).args([lab.repository().path()]);
            let program = program.args(command.split_whitespace());
            let run = lab.alpha().program(&program).ended(1);
            says(&run, &["root", "sudo"]);
        }
        assert_eq!(everything(lab), before);
    });
}

#[test]
fn a_second_run_at_the_same_time() {
    Lab::run("locked", |lab| {
        begin(lab);
        lab.repository().hold(&tree().container(&container("e", 5)));
        lab.repository().commit("one more");
        let held = Lock::take(Path::new(BASE), Path::new("/run/plumbline")).unwrap();
        let own = format!("(pid {}, since 2", std::process::id());
        says(&changes_nothing(lab, &[], 4), &["lock", &own]);
        says(&changes_nothing(lab, &["detach"], 4), &["lock", &own]);
        // Who only looks needs no lock.
        drop(changes_nothing(lab, &["-n"], 0));
        drop(held);
        lab.reconcile(&[]).succeed();
    });
}

/// Who waits gets it when it is free, and leaves when it is not in time; of many all get it.
#[test]
fn runs_that_wait_for_the_lock() {
    Lab::run("waiting", |lab| {
        begin(lab);
        let held = Lock::take(Path::new(BASE), Path::new("/run/plumbline")).unwrap();
        let own = format!("(pid {}, since 2", std::process::id());
        for command in [&[][..], &["rollback"], &["detach"]] {
            let arguments = [command, &["--lock-timeout", "200ms"]].concat();
            says(&changes_nothing(lab, &arguments, 4), &[&own, "after 200ms"]);
        }
        lab.repository().hold(&tree().container(&container("e", 5)));
        lab.repository().commit("one more");
        std::thread::scope(|scope| {
            let run = || lab.reconcile(&["--lock-timeout", "1m"]);
            let waiting: Vec<_> = (0..16).map(|_| scope.spawn(run)).collect();
            drop(held);
            for run in waiting {
                run.join().unwrap().succeed();
            }
        });
        drop(changes_nothing(lab, &["--detailed-exitcode"], 0));
    });
}

/// What is locked is taken away by one of those who wait for it.
#[test]
fn runs_that_wait_while_everything_is_taken_away() {
    Lab::run("gone", |lab| {
        begin(lab);
        for _ in 0..2 {
            let held = Lock::take(Path::new(BASE), Path::new("/run/plumbline")).unwrap();
            std::thread::scope(|scope| {
                let run = |command: &'static [&'static str]| {
                    let arguments = [command, &["--lock-timeout", "1m"]].concat();
                    scope.spawn(move || lab.reconcile(&arguments))
                };
                let commands = [&[][..], &["detach"], &[], &["detach"], &[], &[]];
                let waiting = commands.map(run);
                drop(held);
                for run in waiting {
                    run.join().unwrap().succeed();
                }
            });
            lab.reconcile(&[]).succeed();
        }
        drop(changes_nothing(lab, &["--detailed-exitcode"], 0));
    });
}

#[test]
fn the_repository_of_another_user() {
    Lab::run("owner", |lab| {
        begin(lab);
        let path = lab.repository().path().to_str().unwrap();
        let own = |user: &str| {
            let program = Program::new("chown").args(["-R", user, path]);
            lab.alpha().program(&program).succeed();
        };
        own("12345:12345");
        let line = format!("git config --global --add safe.directory {path}");
        for arguments in [&[][..], &["-n"], &["validate"], &["--worktree"]] {
            let run = changes_nothing(lab, arguments, 4);
            let alone = run.stderr.lines().any(|said| said.trim() == line);
            assert!(alone, "no line to paste: {run}");
        }
        // The line does what it says.
        lab.shell(&lab.alpha(), &format!("unset GIT_CONFIG_GLOBAL; {line}"))
            .succeed();
        drop(changes_nothing(lab, &[], 0));
    });
}

/// What stands in the plan, without what applying adds.
fn plan_of(run: &Run) -> String {
    let said = run
        .stdout
        .lines()
        .filter(|line| !line.contains(" is live: generation "));
    said.map(|line| format!("{line}\n")).collect()
}

#[test]
fn a_dry_run() {
    Lab::run("dry-run", |lab| {
        begin(lab);
        let changed = tree()
            .container(&container("e", 5))
            .policy(&isolating("c", "d"));
        lab.repository().hold(&changed);
        lab.repository().commit("more");
        let text = changes_nothing(lab, &["--dry-run"], 0);
        assert_eq!(text.stdout, changes_nothing(lab, &["-n"], 0).stdout);
        drop(changes_nothing(lab, &["-n", "--detailed-exitcode"], 2));
        let json = changes_nothing(lab, &["-n", "-o", "json"], 0);
        assert_eq!(
            json.stdout,
            changes_nothing(lab, &["-n", "-o", "json"], 0).stdout
        );
        assert!(text.stdout.contains("shop/e"), "{text}");

        let applied = lab.reconcile(&[]).ended(0);
        assert_eq!(plan_of(&applied), text.stdout);
        assert_ne!(applied.stdout, text.stdout);

        lab.repository().hold(&tree());
        lab.repository().commit("less");
        let json = changes_nothing(lab, &["-n", "-o", "json"], 0);
        assert_eq!(lab.reconcile(&["-o", "json"]).ended(0).stdout, json.stdout);
        drop(changes_nothing(lab, &["-n", "--detailed-exitcode"], 0));
    });
}

#[test]
fn a_dry_run_on_a_host_that_has_nothing() {
    Lab::run("dry-first", |lab| {
        lab.alpha().unmount_bpffs();
        lab.repository().hold(&tree());
        lab.repository().commit("first");
        let before = Held::by(&lab.alpha());
        let run = lab.reconcile(&["-n"]).ended(0);
        assert!(run.stdout.contains("bpffs"), "{run}");
        let dry = lab.reconcile(&["-n", "-o", "json"]).ended(0);
        assert_eq!(Held::by(&lab.alpha()), before);
        assert_eq!(lab.reconcile(&["-o", "json"]).ended(0).stdout, dry.stdout);
        lab.reconcile(&["detach"]).succeed();
        let mut after = Held::by(&lab.alpha());
        // The mount stays: it is no more ours than others'. So does what the kernel has in each.
        after.pins.retain(|pin| !pin.ends_with(".debug"));
        assert_eq!(after, before);
    });
}

#[test]
fn the_same_commit_again() {
    Lab::run("again", |lab| {
        begin(lab);
        drop(changes_nothing(lab, &[], 0));
        drop(changes_nothing(lab, &["--detailed-exitcode"], 0));
    });
}

#[test]
fn another_commit_of_the_same_target() {
    Lab::run("renamed", |lab| {
        begin(lab);
        let (held, before) = everything(lab);
        lab.repository().write("README.md", "What this is about.\n");
        let id = lab.repository().commit("a word");
        lab.reconcile(&[]).succeed();
        let (held_now, mut now) = everything(lab);
        assert_eq!(held_now, held);

        let slot = now.base.record.slot.index() as usize;
        let (old, new) = (&before.base.slots[slot], &mut now.base.slots[slot]);
        assert_eq!(new.commit, id);
        (new.commit, new.tree) = (old.commit.clone(), old.tree.clone());
        new.time_s = old.time_s;
        assert_eq!(now, before, "nothing but the name of the live slot");
        drop(changes_nothing(lab, &[], 0));
    });
}

#[test]
fn what_is_not_committed() {
    Lab::run("uncommitted", |lab| {
        begin(lab);
        let policies = lab.repository().read("policies.yaml");
        lab.repository()
            .write("policies.yaml", policies.replace("80", "81"));
        lab.repository().write("new.yaml", "kind: [\n");
        let run = changes_nothing(lab, &[], 0);
        says(&run, &["policies.yaml", "new.yaml", "ignored"]);
        says(&changes_nothing(lab, &["--worktree"], 3), &["new.yaml"]);

        lab.repository().remove("new.yaml");
        let generation = kernel().record().generation;
        let run = lab.reconcile(&["--worktree"]).ended(0);
        assert!(run.stdout.contains("81"), "{run}");
        assert_eq!(kernel().record().generation, generation.next());
        drop(changes_nothing(lab, &["--worktree"], 0));
        lab.reconcile(&[]).succeed();
        assert_eq!(kernel().record().generation, generation.next().next());
    });
}

#[test]
fn a_plain_directory() {
    Lab::run("directory", |lab| {
        let before = Held::by(&lab.alpha());
        lab.repository().hold(&tree());
        lab.repository().remove(".git");
        lab.reconcile(&[]).succeed();
        let live = kernel().live().unwrap();
        let slot = live.base.live_slot();
        assert_eq!((slot.commit.len(), &slot.commit), (64, &slot.tree));
        assert_eq!(lab.status(&lab.alpha())["commit"], slot.commit);
        drop(changes_nothing(lab, &[], 0));
        says(&changes_nothing(lab, &["--rev", "HEAD"], 3), &["--rev"]);

        // What was applied is kept: the next plan is in words, whatever became of the files.
        lab.repository().hold(&tree().policy(&isolating("c", "d")));
        let run = changes_nothing(lab, &["-n"], 0);
        assert!(run.stdout.contains("shop/c"), "{run}");
        lab.reconcile(&[]).succeed();

        let run = lab.reconcile(&["detach"]).ended(0);
        for name in ["a", "b", "c", "d"] {
            assert!(run.stdout.contains(&format!("shop/{name}")), "{run}");
        }
        assert_eq!(Held::by(&lab.alpha()), before);
        let run = lab.reconcile(&["detach"]).ended(0);
        assert!(run.stdout.contains("nothing of ours"), "{run}");
    });
}

#[test]
fn detach_says_which_sysctls_stay() {
    Lab::run("detached", |lab| {
        lab.outside();
        begin(lab);
        let told = lab.reconcile(&["detach", "-o", "json"]).json();
        let stays = told["sysctls"].as_object().unwrap();
        assert_eq!(stays["net/ipv6/conf/all/forwarding"], "1", "{told:#}");
        begin(lab);
        let run = lab.reconcile(&["detach"]).ended(0);
        for (path, value) in stays {
            let line = format!("sysctl {path} stays {}", value.as_str().unwrap());
            assert!(run.stdout.contains(&line), "{run}");
        }
        let again = lab.reconcile(&["detach"]).ended(0);
        assert!(!again.stdout.contains("sysctl"), "{again}");
    });
}
