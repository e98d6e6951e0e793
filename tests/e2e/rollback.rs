//! Going back: by one store where the other slot holds all of it, else by an ordinary apply; what
//! was gone back from is held; and the journal, which tells of it, may be lost.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use libbpf_rs::{MapCore, MapFlags, MapHandle};
use rig::ids::{Held, Object};
use rig::lab::{Lab, binary};
use rig::program::Run;
use rig::random::Random;
use rig::stepper::{Stepped, killed_at};
use rig::traffic::{Attempt, Exchange, Listen, Outcome, Protocol, SILENCE, Service, attempt_all};
use rig::tree::{Container, Policy, Rule, Tree};
use serde_json::json;
use state::live::SlotMark;

use crate::kernel::{changes_nothing, everything, kernel, pins};

const STATE: &str = "/var/lib/plumbline";
const JOURNAL: &str = "/var/lib/plumbline/journal.jsonl";
/// How many runs are killed.
const KILLS: usize = 6;
const PORTS: [u16; 3] = [80, 81, 82];
/// Allowed by every tree.
const KEPT: u16 = 7;

fn web() -> Container {
    Container::numbered("a/web", 2).label("app", "web")
}

pub(super) fn tree(port: u16) -> Tree {
    let ports = Rule::new().port("TCP", port).port("TCP", KEPT);
    let policy = Policy::new("a/web").select(&[("app", "web")]);
    Tree::new()
        .container(&Container::numbered("a/client", 1))
        .container(&web())
        .policy(&policy.ingress(&[ports]))
}

/// Commits a tree and applies it; its id.
pub(super) fn apply(lab: &Lab, tree: &Tree) -> String {
    lab.repository().hold(tree);
    let id = lab.repository().commit("a tree");
    lab.reconcile(&[]).succeed();
    id
}

pub(super) fn serve(lab: &Lab) -> Service {
    let ports = PORTS.into_iter().chain([KEPT]);
    let listens: Vec<_> = ports
        .map(|port| Listen::everywhere(Protocol::Tcp, port))
        .collect();
    Service::start(&lab.alpha().container("a/web"), &listens)
}

/// Which of [`PORTS`] the client reaches, in each family.
pub(super) fn reached(lab: &Lab) -> Vec<u16> {
    let client = lab.alpha().container("a/client");
    let to = PORTS
        .into_iter()
        .flat_map(|port| web().addresses.into_iter().map(move |a| (a, port)));
    let to: Vec<_> = to.collect();
    let tries = to
        .iter()
        .map(|(a, port)| Attempt::new(Protocol::Tcp, *a, *port).limit(SILENCE));
    let outcomes = attempt_all(&client, &tries.collect::<Vec<_>>());
    let open = to.iter().zip(outcomes);
    let open = open.filter(|(_, outcome)| *outcome == Outcome::Echoed);
    open.map(|((_, port), _)| *port).collect()
}

#[track_caller]
pub(super) fn says(run: &Run, words: &[&str]) {
    for word in words {
        let said = run.stdout.contains(word) || run.stderr.contains(word);
        assert!(said, "no {word:?} in: {run}");
    }
}

/// No connection that both commits allow notices, in either family.
#[test]
fn one_store_takes_a_commit_of_policy_back_under_traffic() {
    Lab::run("store", |lab| {
        let old = apply(lab, &tree(80));
        let _service = serve(lab);
        let client = lab.alpha().container("a/client");
        let addresses = web().addresses;
        let flows = addresses
            .iter()
            .map(|a| Exchange::tcp(&client, SocketAddr::new(*a, KEPT)));
        let flows: Vec<_> = flows.collect();
        let (held, before) = everything(lab);
        let bad = apply(lab, &tree(81));
        assert_eq!(reached(lab), [81, 81]);
        // What is live, and what was before, is in the kernel.
        fs::remove_dir_all(STATE).unwrap();
        let dry = changes_nothing(lab, &["rollback", "-n"], 0);
        says(&dry, &["one store", &old[..12], "80/TCP", "generation 3"]);
        let json = changes_nothing(lab, &["rollback", "-n", "-o", "json"], 0).json();
        assert_eq!(json["rollback"]["by"], "store");
        assert_eq!(json["rollback"]["holds"], bad);

        let run = lab.reconcile(&["rollback"]).ended(0);
        says(&run, &["is live: generation 3", &bad[..12], "held"]);
        assert_eq!(reached(lab), [80, 80]);
        let (held_now, now) = everything(lab);
        // The barrier puts a map in another's place.
        let lasting = |held: &Held| {
            let objects = held.objects.iter().copied();
            let objects = objects.filter(|object| !matches!(object, Object::Map(_)));
            (objects.collect::<Vec<_>>(), held.counts())
        };
        assert_eq!(lasting(&held_now), lasting(&held), "no object was made");
        let (was, is) = (before.base.live_slot(), now.base.live_slot());
        assert_eq!(now.base.record.slot, before.base.record.slot);
        assert_eq!((&is.tables, &is.commit), (&was.tables, &was.commit));
        assert_eq!((is.mark, is.generation.0), (SlotMark::Settled, 3));
        assert!(is.time_s >= was.time_s);
        for flow in &flows {
            flow.advance(20);
        }
        for flow in flows {
            let ended = flow.end();
            assert_eq!((ended.failure, ended.repeated), (None, 0));
        }
        drop(changes_nothing(lab, &["--rev", &old], 0));
    });
}

#[test]
fn what_was_rolled_back_from_is_held_until_head_moves() {
    Lab::run("held", |lab| {
        let old = apply(lab, &tree(80));
        let bad = apply(lab, &tree(81));
        lab.reconcile(&["rollback"]).succeed();
        let status = lab.status(&lab.alpha());
        assert_eq!(
            (&status["held"], &status["commit"]),
            (&json!([bad]), &json!(old))
        );
        says(&lab.reconcile(&["status"]).ended(0), &[&bad[..12], "held"]);
        for held in [&[][..], &["-n"], &["--rev", &bad], &["--rev", "main"]] {
            let run = changes_nothing(lab, held, 4);
            says(
                &run,
                &[&bad[..12], "held", "--rev", "--lift-hold", "commit"],
            );
        }
        says(
            &changes_nothing(lab, &["rollback"], 4),
            &["already", "history"],
        );
        // Another that is named is applied, and the hold stays: HEAD is what it was. So it does
        // where drift is mended under a new generation.
        fs::remove_dir_all(STATE).unwrap();
        lab.alpha().net().ip(&format!(
            "link delete {}",
            state::target::host::interface_name(&crate::kernel::named("a/web"))
        ));
        lab.reconcile(&["--rev", &old]).succeed();
        assert_eq!(lab.status(&lab.alpha())["commit"], old);
        says(&changes_nothing(lab, &[], 4), &[&bad[..12]]);

        let next = apply(lab, &tree(82));
        let status = lab.status(&lab.alpha());
        assert_eq!(
            (&status["held"], &status["commit"]),
            (&json!([]), &json!(next))
        );
        lab.reconcile(&["--rev", &bad]).succeed();

        lab.reconcile(&["rollback"]).succeed();
        says(&changes_nothing(lab, &["--rev", &bad], 4), &["held"]);
        lab.reconcile(&["--rev", &bad, "--lift-hold"]).succeed();
        assert_eq!(lab.status(&lab.alpha())["held"], json!([]));
    });
}

/// The files of the work tree are tried on: `HEAD` is what it was.
#[test]
fn a_run_of_the_work_tree_lifts_no_hold() {
    Lab::run("worktree", |lab| {
        apply(lab, &tree(80));
        let bad = apply(lab, &tree(81));
        lab.reconcile(&["rollback"]).succeed();
        lab.repository().hold(&tree(82));
        lab.reconcile(&["--worktree"]).succeed();
        assert_eq!(lab.status(&lab.alpha())["held"], json!([bad]));
        says(&changes_nothing(lab, &[], 4), &[&bad[..12], "held"]);
    });
}

/// The next run is another commit: what was live in between is history all the same.
#[test]
fn a_commit_whose_run_died_before_its_line_is_noted_by_whatever_run_follows() {
    Lab::run("unnoted", |lab| {
        let first = apply(lab, &tree(80));
        let whole = fs::read(JOURNAL).unwrap();
        let unnoted = apply(lab, &tree(81));
        fs::write(JOURNAL, whole).unwrap();
        let last = apply(lab, &tree(82));
        let history = lab.reconcile(&["history", "-o", "json"]).json();
        let told = history["entries"].as_array().unwrap().iter();
        let told: Vec<_> = told.map(|e| e["commit"].as_str().unwrap()).collect();
        assert_eq!(told, [&last, &unnoted, &first]);
    });
}

/// `HEAD` is what was left first, and no run may bring it back because another was left since.
#[test]
fn whoever_goes_back_again_holds_both() {
    Lab::run("again", |lab| {
        let [old, middle, bad] = PORTS.map(|port| apply(lab, &tree(port)));
        lab.reconcile(&["rollback"]).succeed();
        says(&changes_nothing(lab, &["rollback"], 4), &["already"]);
        let run = lab.reconcile(&["rollback", "1"]).ended(0);
        says(&run, &[&middle[..12], "held"]);
        let status = lab.status(&lab.alpha());
        assert_eq!(
            (&status["held"], &status["commit"]),
            (&json!([middle, bad]), &json!(old))
        );
        says(
            &lab.reconcile(&["status"]).ended(0),
            &[&middle[..12], &bad[..12]],
        );
        for held in [&[][..], &["--rev", &middle], &["--rev", &bad]] {
            says(&changes_nothing(lab, held, 4), &["held"]);
        }
        says(&changes_nothing(lab, &["rollback"], 4), &["already"]);
        apply(lab, &tree(83));
        assert_eq!(lab.status(&lab.alpha())["held"], json!([]));
    });
}

#[test]
fn a_container_that_came_goes_by_an_ordinary_apply() {
    Lab::run("apply", |lab| {
        apply(lab, &tree(80));
        let _service = serve(lab);
        let held = Held::by(&lab.alpha()).counts();
        let bad = apply(lab, &tree(81).container(&Container::numbered("a/comes", 3)));
        let dry = changes_nothing(lab, &["rollback", "-n"], 0);
        says(
            &dry,
            &["by an apply", "container a/comes", "- container a/comes"],
        );
        let json = changes_nothing(lab, &["rollback", "-n", "-o", "json"], 0).json();
        assert_eq!(json["rollback"]["by"], "apply");
        // Guards are those of any run.
        let guarded = ["rollback", "--max-prune", "0"];
        says(
            &changes_nothing(lab, &guarded, 4),
            &["a/comes", "--max-prune"],
        );
        lab.reconcile(&["rollback"]).succeed();
        assert_eq!(reached(lab), [80, 80]);
        Held::once(&lab.alpha(), &held);
        says(&changes_nothing(lab, &[], 4), &[&bad[..12]]);
    });
}

#[test]
fn a_quota_that_changed_goes_back_by_an_ordinary_apply() {
    Lab::run("quota", |lab| {
        let quota = |n: u32| {
            let container = Container::numbered("a/web", 2).spec("connections", n.into());
            Tree::new().container(&container)
        };
        apply(lab, &quota(64));
        apply(lab, &quota(128));
        let dry = changes_nothing(lab, &["rollback", "-n"], 0);
        says(&dry, &["by an apply", "container a/web"]);
        lab.reconcile(&["rollback"]).succeed();
        assert_eq!(lab.status(&lab.alpha())["containers"][0]["quota"], 64);
    });
}

#[test]
fn a_directory_goes_back_by_the_copy_that_was_kept() {
    Lab::run("directory", |lab| {
        lab.repository().remove(".git");
        let apply = |port| {
            lab.repository().hold(&tree(port));
            lab.reconcile(&[]).succeed();
        };
        apply(80);
        apply(81);
        let _service = serve(lab);
        lab.reconcile(&["rollback"]).succeed();
        assert_eq!(reached(lab), [80, 80]);
        says(&changes_nothing(lab, &[], 4), &["held", "--lift-hold"]);
        lab.reconcile(&["--lift-hold"]).succeed();
        assert_eq!(reached(lab), [81, 81]);
        // Without the copy nobody knows what the slot should hold.
        fs::remove_dir_all(Path::new(STATE).join("trees")).unwrap();
        says(
            &changes_nothing(lab, &["rollback"], 3),
            &["cannot be read again", "no copy"],
        );
    });
}

#[test]
fn the_journal_names_generations_and_its_loss_costs_nothing_else() {
    Lab::run("journal", |lab| {
        says(
            &lab.reconcile(&["history"]).ended(0),
            &["the journal is empty"],
        );
        let ids = PORTS.map(|port| apply(lab, &tree(port)));
        lab.reconcile(&["rollback", "1"]).succeed();
        let history = lab.reconcile(&["history", "-o", "json"]).json();
        let told = history["entries"].as_array().unwrap();
        let told: Vec<_> = told
            .iter()
            .map(|e| {
                (
                    e["generation"].as_u64().unwrap(),
                    e["commit"].as_str().unwrap(),
                    &e["kind"],
                )
            })
            .collect();
        let (applied, back) = ("apply".into(), "rollback".into());
        let expected = [
            (4, &*ids[0], &back),
            (3, &*ids[2], &applied),
            (2, &*ids[1], &applied),
            (1, &*ids[0], &applied),
        ];
        assert_eq!(told, expected);
        let text = lab.reconcile(&["history", "4"]).ended(0).stdout;
        assert!(
            text.starts_with("4  20") && text.contains("rollback"),
            "{text}"
        );
        assert_eq!(text.lines().count(), 1);
        lab.reconcile(&["history", "9"]).ended(1).stderr.clear();
        says(
            &changes_nothing(lab, &["rollback", "9"], 4),
            &["9", "history"],
        );
        says(
            &changes_nothing(lab, &["rollback", "4"], 4),
            &["live already"],
        );

        // A line that a kill cut short is left out, and the next does not glue to it.
        let whole = fs::read(JOURNAL).unwrap();
        fs::write(JOURNAL, &whole[..whole.len() - 20]).unwrap();
        let history = lab.reconcile(&["history", "-o", "json"]).json();
        let entries = |history: &serde_json::Value| history["entries"].as_array().unwrap().len();
        assert_eq!((entries(&history), &history["cut"]), (3, &true.into()));
        // Whose run died before it could note it is noted by the next.
        lab.reconcile(&["--rev", &ids[0]]).succeed();
        let history = lab.reconcile(&["history", "-o", "json"]).json();
        assert_eq!((entries(&history), &history["cut"]), (4, &false.into()));
        assert_eq!(history["entries"][0]["generation"], 4);

        fs::remove_dir_all(STATE).unwrap();
        assert_eq!(lab.status(&lab.alpha())["held"], json!([ids[2]]));
        says(
            &changes_nothing(lab, &["rollback", "1"], 4),
            &["1", "--rev"],
        );
        says(&changes_nothing(lab, &["rollback"], 4), &["already"]);
        // The other slot's generation needs no journal.
        lab.reconcile(&["rollback", "3"]).succeed();
        assert_eq!(lab.status(&lab.alpha())["commit"], ids[2]);
    });
}

/// A disk that is full or cannot be written to keeps no commit from going live, and none from being
/// gone back from; what was not noted is told, and the next run that can notes it.
#[test]
fn a_journal_that_cannot_be_written_to_costs_its_lines_alone() {
    Lab::run("full", |lab| {
        let old = apply(lab, &tree(80));
        let _service = serve(lab);
        let ip = |line: &str| drop(lab.shell(&lab.alpha(), line).ended(0));
        for (make, why) in [
            (
                "mount -t tmpfs -o size=4k,mode=0700 none /var/lib/plumbline && \
             head -c 4096 /dev/zero >/var/lib/plumbline/full",
                "No space left",
            ),
            (
                "mount -t tmpfs -o ro,mode=0700 none /var/lib/plumbline",
                "Read-only",
            ),
        ] {
            ip(make);
            lab.repository().hold(&tree(81));
            let bad = lab.repository().commit("another");
            let run = lab.reconcile(&["--lift-hold"]).ended(6);
            says(&run, &["is live", "left behind", "state directory", why]);
            assert_eq!(lab.status(&lab.alpha())["commit"], bad);
            assert_eq!(reached(lab), [81, 81]);
            let run = lab.reconcile(&["rollback"]).ended(6);
            says(&run, &["is live", "left behind", "state directory", why]);
            assert_eq!(lab.status(&lab.alpha())["commit"], old);
            assert_eq!(reached(lab), [80, 80]);
            ip("umount /var/lib/plumbline");
        }
        lab.reconcile(&["--rev", &old]).succeed();
        let history = lab.reconcile(&["history", "-o", "json"]).json();
        let last = &history["entries"][0];
        assert_eq!(
            (&last["generation"], &last["commit"]),
            (&json!(5), &json!(old))
        );
    });
}

#[test]
fn there_is_nothing_to_go_back_to() {
    Lab::run("nothing", |lab| {
        lab.repository().hold(&tree(80));
        lab.repository().commit("a tree");
        says(&lab.reconcile(&["rollback"]).ended(4), &["nothing is live"]);
        lab.reconcile(&[]).succeed();
        says(
            &changes_nothing(lab, &["rollback"], 4),
            &["no commit that was live before"],
        );
        for wrong in ["--rev=HEAD", "--worktree"] {
            says(
                &changes_nothing(lab, &["rollback", wrong], 64),
                &["leave out"],
            );
        }
    });
}

/// The slot says that it is whole, and is not: somebody wrote to it (T2).
#[test]
fn a_slot_with_other_rows_than_it_was_made_from_is_written_anew() {
    Lab::run("rows", |lab| {
        apply(lab, &tree(80));
        let _service = serve(lab);
        apply(lab, &tree(81));
        let slot = kernel().record().slot.other();
        let outer = MapHandle::from_pinned_path(pins().join("policy")).unwrap();
        let id = outer.lookup(&slot.index().to_ne_bytes(), MapFlags::ANY);
        let id = u32::from_ne_bytes(id.unwrap().unwrap().try_into().unwrap());
        let table = MapHandle::from_map_id(id).unwrap();
        let row = table.keys().next().unwrap();
        table.delete(&row).unwrap();
        let dry = changes_nothing(lab, &["rollback", "-n"], 0);
        says(&dry, &["by an apply", "1 row of slot"]);
        lab.reconcile(&["rollback"]).succeed();
        assert_eq!(reached(lab), [80, 80]);
    });
}

/// Kills `rollback` at some of its system calls, or lets it end where it makes fewer.
#[test]
fn going_back_is_killed() {
    Lab::run("killed", |lab| {
        let old = apply(lab, &tree(80));
        let _service = serve(lab);
        let bad = apply(lab, &tree(81));
        let mut command = Command::new(binary().unwrap());
        command.arg("-C").arg(lab.repository().path());
        command.args(["--host", "alpha", "rollback"]);
        let Stepped::Ended { code: 0, calls } = killed_at(&mut command, usize::MAX) else {
            panic!("an undisturbed run ends well");
        };
        let held = Held::by(&lab.alpha()).counts();
        let mut random = Random::new();
        for part in 0..KILLS {
            lab.reconcile(&["--lift-hold"]).succeed();
            let at = calls * part / KILLS + random.below(calls / KILLS);
            killed_at(&mut command, at);
            let live = lab.status(&lab.alpha())["commit"].clone();
            let expected = if live == bad { [81, 81] } else { [80, 80] };
            assert_eq!(reached(lab), expected, "call {at} of {calls}: {live}");
            // Where it had come to its store, going back is over.
            let again = if live == bad { 0 } else { 4 };
            let run = lab.reconcile(&["rollback"]).ended(again);
            lab.reconcile(&["--rev", &old]).succeed();
            assert_eq!(reached(lab), [80, 80], "call {at} of {calls}: {run}");
            assert_eq!(
                lab.status(&lab.alpha())["held"],
                json!([bad]),
                "call {at} of {calls}"
            );
            let last = lab.reconcile(&["history", "-o", "json"]).json()["entries"][0].clone();
            assert_eq!(last["commit"], old, "call {at} of {calls}");
            assert_eq!(last["kind"], "rollback", "call {at} of {calls}");
            Held::once(&lab.alpha(), &held);
        }
    });
}
