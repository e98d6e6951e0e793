//! What a packet costs: nanoseconds for each, by runs of the real programs over real maps
//! (`BPF_PROG_TEST_RUN`), on one CPU, less the harness; and what the programs cost the kernel.
//!
//! Nothing here fails for a time. What does fail it: a packet that takes another way than the one
//! that is to be measured.
//!
//! A test run repeats one packet on one CPU. So another program ([`driver`]) stands before the
//! measured one, makes the packet one of the next flow, and calls it by a tail call. What the same
//! costs with a program behind it that does nothing is measured between the batches, and taken off.
//! What overlaps with the harness in the processor is taken off with it: what remains is the least
//! that a packet costs.
//!
//! `cargo bench --profile dev -p plumbline-bpf --bench packet -- [--json FILE] [--only TEXT]`, as
//! root. The compiler of the datapath optimises in every profile. With `--only` nothing is measured
//! but packets of cases whose description holds the text.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

use std::os::fd::AsFd;
use std::process::Command;

use bpf::attached::Hook;
use serde_json::{Value, json};

// A part of the build script: how C is compiled.
#[allow(dead_code)]
#[path = "../../build/clang.rs"]
mod clang;
// What the loader's tests stand on.
#[allow(dead_code)]
#[path = "../../tests/loader/rig.rs"]
mod rig;
// The one builder of packets; it imports nothing.
#[allow(dead_code, unreachable_pub, unused_imports)]
#[path = "../../../tests/rig/packet/mod.rs"]
mod packet;
mod driver;
mod scene;
mod measure;
mod cases;
mod costs;

use cases::Kind;
use driver::Driver;
use measure::{Measured, Spread};
use scene::{CROWD, Scene};

const INSIDE: &str = "PLUMBLINE_BENCH_INSIDE";
/// The CPU that everything runs on.
const CPU: &str = "1";

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if std::env::var_os(INSIDE).is_none() {
        return outside(&arguments);
    }
    let after = |option: &str| arguments.iter().skip_while(|said| *said != option).nth(1);
    let (file, only) = (after("--json"), after("--only"));
    let measured = inside(only.map(String::as_str));
    if let Some(file) = file {
        let text = serde_json::to_string_pretty(&measured).unwrap();
        std::fs::write(file, text + "\n").unwrap();
    }
}

/// Runs this again, in namespaces of its own and on one CPU.
fn outside(arguments: &[String]) {
    let last = std::thread::available_parallelism().map_or(1, usize::from) - 1;
    let cpu = CPU.parse().map_or(last, |cpu: usize| cpu.min(last));
    let status = Command::new("unshare")
        .args(["--net", "--mount", "--propagation", "private", "--"])
        .args(["taskset", "-c", &cpu.to_string()])
        .arg(std::env::current_exe().unwrap())
        .args(arguments)
        .env(INSIDE, "1")
        .status();
    let status = status.expect("unshare and taskset, of util-linux");
    assert!(status.success(), "{status}");
}

fn inside(only: Option<&str>) -> Value {
    let lab = rig::Lab::new();
    let machine = costs::machine();
    println!("{machine}");
    let scene = Scene::bare(&lab);
    let rest = (CROWD..=scene::NEAR).chain([scene::FAR, scene::NEXT]);
    if let Some(only) = only {
        scene.attach((0..CROWD).chain(rest));
        scene.commit();
        let packets = packets(&scene, &mut driver_of(&scene), only);
        return json!({ "machine": machine, "packets": packets });
    }
    let memory = costs::memory_of_containers(&scene);
    scene.attach(rest);
    scene.commit();
    let programs = costs::programs(&scene);
    let mut driver = driver_of(&scene);
    let connect = || cases::connect(&mut driver);
    let connections = costs::memory_of_connections(&scene, connect);
    scene.forget([scene::ONE, scene::FAR]);
    let packets = packets(&scene, &mut driver, "");
    json!({
        "machine": machine,
        "memory": memory,
        "connections": connections,
        "programs": programs,
        "packets": packets,
    })
}

/// The driver with every program that it may hand on to.
fn driver_of(scene: &Scene) -> Driver {
    let driver = Driver::load(scene.pinned("commit").as_fd());
    let sides: Vec<_> = cases::sides()
        .map(|(target, number, hook)| (target, number, scene.program(number, hook)))
        .collect();
    let rows = sides
        .iter()
        .map(|(target, number, program)| (*target, scene::constants_of(*number), program.as_fd()));
    driver.put_senders(&rows.collect::<Vec<_>>());
    driver
}

fn packets(scene: &Scene, driver: &mut Driver, only: &str) -> Vec<Value> {
    println!(
        "\nns a packet, less the harness (least, median, most of {} batches; then the harness)",
        measure::ROUNDS
    );
    let mut all = Vec::new();
    for kind in Kind::ALL {
        cases::measure(kind, scene, driver, only, |case, measured| {
            let Measured { net, harness, .. } = measured;
            println!(
                "{:9}{:52}{:6.0}{:6.0}{:6.0}  ({:.0})",
                kind.name(),
                case.says,
                net.least,
                net.median,
                net.most,
                harness.median
            );
            all.push(json!({
                "kind": kind.name(),
                "case": case.says,
                "flows": case.flows.len(),
                "ns": shown(net),
                "whole_ns": shown(measured.whole),
                "harness_ns": shown(harness),
            }));
        });
    }
    all
}

fn shown(spread: Spread) -> Value {
    json!({ "min": spread.least, "median": spread.median, "max": spread.most })
}

/// The two sides of a container's interface.
const SIDES: [(Hook, &str); 2] = [
    (Hook::Ingress, "from_container"),
    (Hook::Egress, "to_container"),
];
