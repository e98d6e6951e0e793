//! What a commit changes of flows: by `diff` from git alone, and the same by a dry run.

use rig::lab::Lab;
use rig::program::Program;
use rig::tree::{Container, Policy, Rule, Tree};

fn tree(port: u16) -> Tree {
    let all = [("web", 1), ("client", 2), ("other", 3)];
    let tree = all.iter().fold(Tree::new(), |tree, (name, number)| {
        let container = Container::numbered(&format!("shop/{name}"), *number);
        tree.container(&container.label("app", name))
    });
    tree.policy(
        &Policy::new("shop/web")
            .select(&[("app", "web")])
            .ingress(&[Rule::new()
                .containers(&[("app", "client")])
                .port("TCP", port)]),
    )
}

#[test]
fn a_diff_is_what_a_dry_run_says_and_needs_no_root() {
    Lab::run("diff", |lab| {
        lab.repository().hold(&tree(80));
        lab.apply("80");
        lab.repository().hold(&tree(8080));
        lab.repository().commit("8080");
        let run = lab
            .reconcile(&["diff", "HEAD~1..", "--detailed-exitcode"])
            .ended(2);
        let (_, body) = run.stdout.split_once('\n').unwrap();
        assert_eq!(
            body,
            "\nto shop/web\n  \
             + from shop/client: 8080/TCP\n  \
             - from shop/client: 80/TCP\n\n\
             Flows: 1 pair more allowed, 1 pair more denied.\n"
        );
        let diff = lab
            .reconcile(&["diff", "HEAD~1..HEAD", "-o", "json"])
            .json();
        let plan = lab.reconcile(&["-n", "-o", "json"]).json();
        assert_eq!(diff["flows"], plan["flows"]);
        assert_eq!(diff["flows"].as_array().unwrap().len(), 2);
        let dry = lab.reconcile(&["-n"]).ended(0);
        assert!(
            dry.stdout.contains("  - from shop/client: 80/TCP\n"),
            "{dry}"
        );
        let markdown = lab
            .reconcile(&["diff", "HEAD~1", "-o", "markdown"])
            .ended(0);
        let row = "| `shop/web` | `shop/client` | `80/TCP`  | **denied** |";
        assert!(markdown.stdout.contains(row), "{markdown}");

        let same = lab
            .reconcile(&["diff", "HEAD..HEAD", "--detailed-exitcode"])
            .ended(0);
        assert!(same.stdout.contains("no flow changes"), "{same}");
        drop(lab.reconcile(&["diff", "HEAD..nosuch"]).ended(3));
        drop(lab.reconcile(&["diff", "HEAD..", "--worktree"]).ended(64));
        drop(lab.reconcile(&["-o", "markdown"]).ended(64));
        for (range, says) in [
            ("", "name one of them at least"),
            ("..", "name one of them at least"),
            ("HEAD~1...HEAD", "`git merge-base HEAD~1 HEAD`"),
            ("HEAD~1..HEAD..HEAD", "more than two commits"),
        ] {
            let run = lab.reconcile(&["diff", range]).ended(64);
            assert!(run.stderr.contains(says), "{range}: {run}");
        }
        let mistyped = lab.reconcile(&["diff", "HEAD~99.."]).ended(3);
        assert!(!mistyped.stderr.contains("fsck"), "{mistyped}");

        // As nobody, who may read the repository's objects.
        let line = "install -m 755 \"$(command -v reconcile)\" /run/lab/reconcile";
        lab.shell(&lab.alpha(), line).succeed();
        lab.shell(
            &lab.alpha(),
            "cp -r . /run/lab/mine && chown -R 65534 /run/lab/mine",
        )
        .succeed();
        let nobody = ["--reuid=65534", "--regid=65534", "--clear-groups"];
        let program = Program::new("setpriv")
            .args(nobody)
            .args(["/run/lab/reconcile"]);
        let program = program.args(["-C", "/run/lab/mine", "diff", "HEAD~1.."]);
        drop(lab.alpha().program(&program).ended(0));
    });
}

/// 60 clients of 60 servers in five tiers, each tier on a port of its own and with a server that
/// differs: 3,600 pairs lose one port and gain another.
#[test]
fn a_diff_of_thousands_of_pairs_stays_readable() {
    const EACH: u16 = 60;
    let tree = |port: u16| {
        let numbers = || 1..=EACH;
        let tree = numbers().fold(Tree::new(), |tree, number| {
            let tier = format!("t{}", number % 5);
            let server = Container::numbered(&format!("shop/server-{number}"), number);
            let client = Container::numbered(&format!("shop/client-{number}"), 1000 + number);
            let server = server.label("app", "server").label("tier", &tier);
            tree.container(&server)
                .container(&client.label("app", "client"))
        });
        (0..5).fold(tree, |tree, tier| {
            let rule = Rule::new().containers(&[("app", "client")]);
            let select = [("app", "server"), ("tier", &*format!("t{tier}"))];
            let policy = Policy::new(&format!("shop/t{tier}")).select(&select);
            tree.policy(&policy.ingress(&[rule.port("TCP", port + tier)]))
        })
    };
    Lab::run("diff of many", |lab| {
        for port in [80, 8080] {
            lab.repository().hold(&tree(port));
            lab.repository().commit(&port.to_string());
        }
        let text = lab.reconcile(&["diff", "HEAD~1.."]).ended(0).stdout;
        let told = "3600 pairs more allowed, 3600 pairs more denied.";
        assert!(text.contains(told), "{text}");
        assert!(
            text.contains("and 7 more\n") && text.contains("and 55 more: 8080/TCP"),
            "{text}"
        );
        // For each tier who is reached, what comes and what goes.
        assert_eq!(text.lines().count(), 4 + 5 * 3, "{text}");
        assert!(text.lines().all(|line| line.len() < 140), "{text}");
        let markdown = lab.reconcile(&["diff", "HEAD~1..", "-o", "markdown"]);
        let markdown = markdown.ended(0).stdout;
        assert!(markdown.contains(told), "{markdown}");
        assert_eq!(markdown.lines().count(), 6 + 5 * 2, "{markdown}");
        assert!(markdown.lines().all(|line| line.len() < 240), "{markdown}");
        let json = lab.reconcile(&["diff", "HEAD~1..", "-o", "json"]).json();
        assert_eq!(json["flows"].as_array().unwrap().len(), 10);
    });
}
