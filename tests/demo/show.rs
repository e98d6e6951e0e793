//! What is shown, step by step.

use std::net::SocketAddr;
use std::path::Path;

use rig::lab::Lab;
use rig::probe::Cast;
use rig::traffic::{Exchange, Protocol};
use rig::tree::{Container, containers_in};
use rig::wait;

/// Lines of a program's output that are shown before it is cut.
const LINES_MAX: usize = 40;

/// Columns of a line that are shown.
const COLUMNS_MAX: usize = 110;

/// Shows it all.
pub(crate) fn show(lab: &Lab) {
    lab.outside();
    first_commit(lab);
    let cast = cast(lab);
    step("Who can talk to whom? Each cell is a real connection, over IPv4 and over IPv6.");
    print!("{}", indented(&cast.matrix().to_string()));
    edit(lab, &cast);
    drop(cast);
    step("What the kernel holds, read back from it:");
    typed(lab, "reconcile status");
    step("And everything away again:");
    typed(lab, "reconcile detach");
    typed(
        lab,
        "ip netns list; ls /sys/fs/bpf | grep plumbline; ip -brief link | grep ^pl",
    );
    println!("\nNothing of Plumbline's is left: no namespace, no pin, no interface, no process.");
}

/// Says what to do where something could not be shown.
pub(crate) fn failed(lab: &Lab) {
    eprintln!("\ndemo: stopped. What the kernel held then, for a report:");
    eprintln!("{}", lab.shell(&lab.alpha(), "reconcile status"));
}

fn first_commit(lab: &Lab) {
    step(
        "A web shop in git: ten services as containers, everything denied, and one policy per \
         service\n(examples/shop). This happens in namespaces of the demo's own, on a host named \
         alpha.",
    );
    let shop = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/shop");
    lab.repository().hold_copy(&shop, "");
    typed(
        lab,
        "git add . && git commit -q -m 'the shop' && git log --oneline",
    );
    typed(lab, "cat services/cart.yaml");
    step("One command reads the commit, compiles it, and makes the kernel enforce it:");
    typed(lab, "reconcile");
}

/// The shop's services, by the names that fit a table, each listening at its port; `outside` asks.
fn cast(lab: &Lab) -> Cast {
    let mut cast = Cast::new();
    for container in containers_in(lab.repository().path()) {
        let name = container.name.rsplit('/').next().expect("a name");
        let net = lab.alpha().container(&container.name);
        cast.add(name, &net, &container.addresses, &ports(&container));
    }
    let outside = lab.outside();
    cast.add("outside", &outside, &lab.addresses(&outside), &[]);
    cast
}

fn ports(container: &Container) -> Vec<(Protocol, u16)> {
    container
        .named_ports()
        .into_iter()
        .map(|port| (Protocol::Tcp, port))
        .collect()
}

/// An edit, its diff, and its commit beside two running connections.
fn edit(lab: &Lab, cast: &Cast) {
    step("Two connections run from now on: front downloads from cart, and so does orders.");
    let cart = SocketAddr::new(cast.address("cart", true), 8080);
    let kept = Exchange::tcp(cast.net("front"), cart);
    let cut = Exchange::tcp(cast.net("orders"), cart);
    kept.advance(10);
    cut.advance(10);
    println!(
        "  front  -> cart: {} records so far",
        kept.progress().records
    );
    println!(
        "  orders -> cart: {} records so far",
        cut.progress().records
    );

    step("Somebody decides that orders has no business with cart:");
    let line = "        - podSelector: {matchLabels: {app: orders}}\n";
    let text = lab.repository().read("services/cart.yaml");
    assert!(text.contains(line), "services/cart.yaml lets orders in");
    lab.repository()
        .write("services/cart.yaml", text.replace(line, ""));
    typed(
        lab,
        "git commit -q -a -m 'cart: orders has no business here' && git show --format=%s -U1",
    );
    step("What would change? Nothing is touched by asking:");
    typed(lab, "reconcile --dry-run");
    step("Apply it, under the running connections:");
    let denied_then = lab.drops(&lab.alpha()).denied();
    typed(lab, "reconcile");

    let (kept_then, cut_then) = (kept.progress().records, cut.progress().records);
    kept.advance(100);
    wait::holds("a packet between orders and cart to be denied", || {
        lab.drops(&lab.alpha()).denied() > denied_then
    });
    let since = kept.progress().records - kept_then;
    println!("  front  -> cart: went on, {since} records since the commit, no byte lost");
    assert_eq!(cut.progress().records, cut_then, "orders -> cart went on");
    println!("  orders -> cart: stopped with the commit; what it sends is dropped and counted");
    let ended = kept.end();
    assert!(ended.failure.is_none(), "front -> cart: {ended:?}");

    step("Why? The verdict names the rule that gave it, or what denies:");
    typed(
        lab,
        "reconcile explain --from shop/front --to shop/cart --port 8080/TCP",
    );
    typed(
        lab,
        "reconcile explain --from shop/orders --to shop/cart --port 8080/TCP",
    );
}

fn step(text: &str) {
    println!("\n\u{2500}\u{2500} {text}\n");
}

/// Types a line on alpha, and shows it and what it printed: cut where it is long or wide.
fn typed(lab: &Lab, line: &str) {
    println!("  # {line}");
    let run = lab.shell(&lab.alpha(), line);
    let shown = format!("{}{}", run.stdout, run.stderr);
    let lines: Vec<&str> = shown.lines().collect();
    let (first, last) = match lines.len() {
        many if many > LINES_MAX => (&lines[..LINES_MAX - 4], &lines[many - 3..]),
        _ => (&lines[..], &[][..]),
    };
    print!("{}", indented(&first.join("\n")));
    if !last.is_empty() {
        let left_out = lines.len() - first.len() - last.len();
        print!(
            "  \u{2502} … {left_out} more lines …\n{}",
            indented(&last.join("\n"))
        );
    }
}

fn indented(text: &str) -> String {
    let line = |line: &str| match line.char_indices().nth(COLUMNS_MAX) {
        None => format!("  \u{2502} {line}\n"),
        Some((end, _)) => format!("  \u{2502} {}…\n", &line[..end]),
    };
    text.lines().map(line).collect()
}
