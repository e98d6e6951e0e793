//! What the datapath costs the kernel: the verifier's work, sizes, time to load, memory.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::time::Instant;

use bpf::object::Build;
use libbpf_rs::query::{ProgInfoIter, ProgInfoQueryOptions, ProgramInfo};
use libbpf_rs::{MapCore, MapFlags, MapHandle, ObjectBuilder, OpenObject, ProgramHandle};
use serde_json::{Value, json};
use state::target::programs::BuildHash;

use crate::SIDES;
use crate::measure::Spread;
use crate::scene::{CROWD, FAR, NEAR, ONE, Scene, constants_of, name_of};

/// How often a program is loaded.
const LOADS: usize = 21;

/// The objects as they are embedded.
const OBJECTS: [(&str, &[u8], &[&str]); 2] = [
    (
        "container",
        include_bytes!(concat!(env!("OUT_DIR"), "/container.bpf.o")),
        &["from_container", "to_container"],
    ),
    (
        "blocks",
        include_bytes!(concat!(env!("OUT_DIR"), "/blocks.bpf.o")),
        &[
            "judge_out",
            "judge_in",
            "neighbour",
            "sweep_start",
            "plumbline_guard",
        ],
    ),
];

/// A container's own maps.
const OWN: [&str; 4] = ["established", "half_open", "datagrams", "counters"];

/// The machine and its kernel, in a line.
pub(crate) fn machine() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap();
    let cpus = read("/proc/cpuinfo");
    let model = cpus
        .lines()
        .find_map(|line| line.strip_prefix("model name\t: "));
    let count = cpus
        .lines()
        .filter(|line| line.starts_with("processor"))
        .count();
    let release = read("/proc/sys/kernel/osrelease");
    let load = read("/proc/loadavg");
    let load = load.split(' ').next().unwrap_or_default();
    format!(
        "{} CPUs {}, Linux {}, load {load}",
        count,
        model.unwrap_or("?"),
        release.trim()
    )
}

/// Memory of the kernel by its own count, in KiB.
#[derive(Clone, Copy, Debug)]
struct Kept {
    slab: i64,
    per_cpu: i64,
    vmalloc: i64,
}

impl Kept {
    fn now() -> Self {
        let text = std::fs::read_to_string("/proc/meminfo").unwrap();
        let of = |name: &str| {
            let line = text.lines().find(|line| line.starts_with(name)).unwrap();
            line.split_whitespace().nth(1).unwrap().parse().unwrap()
        };
        Self {
            slab: of("Slab:"),
            per_cpu: of("Percpu:"),
            vmalloc: of("VmallocUsed:"),
        }
    }

    fn since(self, before: Self) -> Self {
        Self {
            slab: self.slab - before.slab,
            per_cpu: self.per_cpu - before.per_cpu,
            vmalloc: self.vmalloc - before.vmalloc,
        }
    }

    const fn sum(self) -> i64 {
        self.slab + self.per_cpu + self.vmalloc
    }
}

/// What the kernel charges for a map or program, in bytes.
fn charged(fd: BorrowedFd<'_>) -> u64 {
    let path = format!("/proc/self/fdinfo/{}", fd.as_raw_fd());
    let text = std::fs::read_to_string(path).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("memlock:"));
    line.unwrap().trim().parse().unwrap()
}

/// Attaches the crowd; what each of it costs, by what maps and programs are charged for and by what
/// the kernel holds more.
pub(crate) fn memory_of_containers(scene: &Scene) -> Value {
    // The first one pays for what they share.
    scene.attach(0..1);
    scene.kernel.barrier().unwrap();
    let before = Kept::now();
    scene.attach(1..CROWD);
    scene.kernel.barrier().unwrap();
    let held = Kept::now().since(before);
    let count = i64::from(CROWD - 1);

    let mut parts = BTreeMap::new();
    for map in OWN {
        let own = scene.container_map(1, map);
        parts.insert(map.to_owned(), charged(own.as_fd()));
    }
    for (hook, says) in SIDES {
        let program = scene.program(1, hook);
        parts.insert(says.to_owned(), charged(program.as_fd()));
    }
    let constants = rodata(&scene.program(1, SIDES[0].0));
    parts.insert("constants".to_owned(), charged(constants.as_fd()));
    let sum: u64 = parts.values().sum();

    println!(
        "\nmemory of a container, idle, 8,192 connections, of {count}: {} KiB held \
         (slab {}, per CPU {}, vmalloc {}), {} KiB charged",
        held.sum() / count,
        held.slab / count,
        held.per_cpu / count,
        held.vmalloc / count,
        sum / 1024,
    );
    for (part, bytes) in &parts {
        println!("  {part:16}{:8.1} KiB", kibibytes(*bytes));
    }
    json!({
        "containers": count,
        "held_kib": held.sum() / count,
        "slab_kib": held.slab / count,
        "per_cpu_kib": held.per_cpu / count,
        "vmalloc_kib": held.vmalloc / count,
        "charged_bytes": sum,
        "charged_bytes_by_part": parts,
    })
}

/// Makes connections between two containers; what each costs with its entries on both sides.
pub(crate) fn memory_of_connections(scene: &Scene, connect: impl FnOnce() -> usize) -> Value {
    let charges = || -> u64 {
        let maps = [ONE, FAR].map(|number| scene.container_map(number, "established"));
        maps.iter().map(|map| charged(map.as_fd())).sum()
    };
    let (before, charged_before) = (Kept::now(), charges());
    let count = connect();
    let held = Kept::now().since(before).sum() * 1024 / i64::try_from(count).unwrap();
    let charged = (charges() - charged_before) / u64::try_from(count).unwrap();
    println!(
        "\nmemory of a connection between two containers (an entry at each), of {count}: \
         {held} B held, {charged} B charged"
    );
    json!({ "connections": count, "held_bytes": held, "charged_bytes": charged })
}

/// The map of a program's constants.
fn rodata(program: &ProgramHandle) -> MapHandle {
    let options = ProgInfoQueryOptions::default().include_map_ids(true);
    let mut all = ProgInfoIter::with_query_opts(options);
    let info = all.find(|info| info.id == program.id()).unwrap();
    let maps = info
        .map_ids
        .iter()
        .map(|id| MapHandle::from_map_id(*id).unwrap());
    let mut constants = maps.filter(|map| map.name().to_string_lossy().ends_with(".rodata"));
    constants.next().unwrap()
}

/// Verifier, sizes and time to load, program by program.
pub(crate) fn programs(scene: &Scene) -> Value {
    let sides = SIDES.map(|(hook, _)| scene.program(NEAR, hook));
    let programs: Vec<ProgramHandle> = sides.into_iter().chain(scene.blocks()).collect();
    let options = ProgInfoQueryOptions::default()
        .include_xlated_prog_insns(true)
        .include_jited_prog_insns(true);
    let ids: Vec<u32> = programs.iter().map(ProgramHandle::id).collect();
    let infos = ProgInfoIter::with_query_opts(options).filter(|info| ids.contains(&info.id));
    let infos: BTreeMap<String, ProgramInfo> = infos
        .map(|info| (info.name.to_string_lossy().into_owned(), info))
        .collect();

    println!("\nprogram           verified  instructions  machine code  charged  to load (ms)");
    let mut all = Vec::new();
    for (object, bytes, names) in OBJECTS {
        for name in names {
            let info = &infos[*name];
            let handle = programs
                .iter()
                .find(|program| program.id() == info.id)
                .unwrap();
            let time_ms = load_ms(scene, bytes, &[name]);
            let (instructions, code) = (
                info.xlated_prog_insns.len() / 8,
                info.jited_prog_insns.len(),
            );
            println!(
                "{name:18}{:8}{instructions:14}{code:14}{:9}{:14.2}",
                info.verified_insns,
                charged(handle.as_fd()),
                time_ms.median,
            );
            all.push(json!({
                "program": name,
                "verified": info.verified_insns,
                "instructions": instructions,
                "machine_code_bytes": code,
                "charged_bytes": charged(handle.as_fd()),
                "load_ms": crate::shown(time_ms),
            }));
        }
        let time_ms = load_ms(scene, bytes, names);
        println!("{:63}{:14.2}", format!("all of {object}"), time_ms.median);
        all.push(json!({ "object": object, "load_ms": crate::shown(time_ms) }));
    }
    let build = Build::Plain(constants_of(NEAR), BuildHash([1; 32]));
    let swap_ms = timed(|| scene.kernel.swap(&name_of(NEAR), &build).unwrap());
    println!(
        "{:63}{:14.2}",
        "a container's two, loaded, read back and swapped in", swap_ms.median
    );
    all.push(json!({ "object": "swap", "load_ms": crate::shown(swap_ms) }));
    Value::Array(all)
}

/// How long the kernel takes for some programs of an object, over maps that are there.
fn load_ms(scene: &Scene, object: &[u8], programs: &[&str]) -> Spread {
    let constants = rodata(&scene.program(NEAR, SIDES[0].0));
    let constants = constants.lookup(&[0; 4], MapFlags::ANY).unwrap().unwrap();
    let mut maps: BTreeMap<String, MapHandle> = scene.shared_maps().into_iter().collect();
    for map in OWN {
        maps.insert(map.to_owned(), scene.container_map(NEAR, map));
    }
    maps.insert("blocks".to_owned(), scene.block_table());
    let times = (0..LOADS).map(|_| {
        let open = opened(object, programs, &maps, &constants);
        let began = Instant::now();
        let loaded = open.load().unwrap();
        let took = began.elapsed();
        drop(loaded);
        took.as_secs_f64() * 1e3
    });
    Spread::of(times.collect())
}

fn opened(
    object: &[u8],
    programs: &[&str],
    maps: &BTreeMap<String, MapHandle>,
    constants: &[u8],
) -> OpenObject {
    let mut open = ObjectBuilder::default().open_memory(object).unwrap();
    for mut map in open.maps_mut() {
        let name = map.name().to_string_lossy().into_owned();
        if let Some(there) = maps.get(&name) {
            map.reuse_fd(there.as_fd()).unwrap();
        } else if programs.contains(&"from_container") || programs.contains(&"to_container") {
            assert!(name.ends_with(".rodata"), "{name}");
            map.set_initial_value(constants).unwrap();
        }
    }
    for mut program in open.progs_mut() {
        let wanted = programs.contains(&program.name().to_str().unwrap());
        program.set_autoload(wanted);
    }
    open
}

fn timed(mut run: impl FnMut()) -> Spread {
    let times = (0..LOADS).map(|_| {
        let began = Instant::now();
        run();
        began.elapsed().as_secs_f64() * 1e3
    });
    Spread::of(times.collect())
}

/// Exact below 2^53.
#[allow(clippy::cast_precision_loss)]
fn kibibytes(bytes: u64) -> f64 {
    bytes as f64 / 1024.0
}
