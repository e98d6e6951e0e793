//! How large each program is and how much the verifier looks at: a baseline, and a ceiling a
//! twentieth above it. The figures are printed; only the ceilings are asserted.
//!
//! A kernel refuses a program for which it looks at a million instructions; what comes near a
//! quarter of that is to be split. How long a packet's way is, these numbers say without a clock.
//! They are those of one kernel and one compiler; they repeat there to the last one, and others
//! differ. Whoever raises a number says why in the commit.

use std::collections::BTreeMap;

use bpf::object::Build;
use libbpf_rs::ProgramHandle;
use libbpf_rs::query::{ProgInfoIter, ProgInfoQueryOptions};
use state::target::programs::BuildHash;

use crate::programs::attach;
use crate::rig::{Lab, alone, chain, constants, name};

/// What a program is.
#[derive(Clone, Copy, Debug)]
struct Size {
    /// Instructions that the verifier looked at.
    verified: usize,
    /// Instructions after it.
    instructions: usize,
    /// Bytes of machine code, on x86-64.
    machine_code: usize,
}

const fn size(verified: usize, instructions: usize, machine_code: usize) -> Size {
    Size {
        verified,
        instructions,
        machine_code,
    }
}

const BASELINE: [(&str, Size); 8] = [
    ("from_container", size(6_735, 1_546, 7_234)),
    ("from_container, in transition", size(8_602, 1_552, 7_261)),
    ("judge_in", size(36_078, 3_381, 16_333)),
    ("judge_out", size(115_454, 4_798, 22_328)),
    ("neighbour", size(542, 483, 2_107)),
    ("plumbline_guard", size(2, 2, 23)),
    ("sweep_start", size(421, 187, 837)),
    ("to_container", size(6_071, 1_191, 5_774)),
];

/// The most that a number may be.
const fn ceiling(baseline: usize) -> usize {
    baseline + baseline.div_ceil(20)
}

#[test]
fn no_program_grows_beyond_its_ceiling() {
    alone(|lab| {
        let kernel = lab.create();
        let ifindex = attach(lab, &kernel, "shop/web", 0);
        let mut programs = blocks(lab);
        for (side, name) in chain(ifindex)
            .iter()
            .zip(["from_container", "to_container"])
        {
            programs.insert(side[0].0, name.to_owned());
        }
        let mut found = sizes(&programs);
        let transition = Build::Transition([constants(0), constants(1)]);
        kernel.swap(&name("shop/web"), &transition).unwrap();
        let says = "from_container, in transition".to_owned();
        found.extend(sizes(&BTreeMap::from([(chain(ifindex)[0][0].0, says)])));
        let plain = Build::Plain(constants(0), BuildHash([1; 32]));
        kernel.swap(&name("shop/web"), &plain).unwrap();

        assert_eq!(found.len(), BASELINE.len(), "{found:?}");
        print(&found);
        for (name, baseline) in BASELINE {
            let found = found[name];
            let mut pairs = vec![
                ("verified", found.verified, baseline.verified),
                ("instructions", found.instructions, baseline.instructions),
            ];
            if cfg!(target_arch = "x86_64") {
                pairs.push(("machine code", found.machine_code, baseline.machine_code));
            }
            for (what, found, baseline) in pairs {
                let most = ceiling(baseline);
                assert!(found <= most, "{name}, {what}: {found} is above {most}");
            }
            assert!(
                ceiling(baseline.verified) <= 250_000,
                "{name} is to be split"
            );
        }
    });
}

/// The shared blocks, by number.
fn blocks(lab: &Lab) -> BTreeMap<u32, String> {
    let mut sets = lab.base().join("v1/blocks").read_dir().unwrap();
    let pins = sets.next().unwrap().unwrap().path().read_dir().unwrap();
    let programs = pins.map(|pin| ProgramHandle::from_pinned_path(pin.unwrap().path()));
    let programs = programs.filter_map(Result::ok);
    programs
        .map(|program| (program.id(), program.name().to_str().unwrap().to_owned()))
        .collect()
}

fn sizes(programs: &BTreeMap<u32, String>) -> BTreeMap<String, Size> {
    let options = ProgInfoQueryOptions::default()
        .include_xlated_prog_insns(true)
        .include_jited_prog_insns(true);
    let all = ProgInfoIter::with_query_opts(options);
    let ours = all.filter_map(|info| {
        let name = programs.get(&info.id)?.clone();
        let size = Size {
            verified: info.verified_insns as usize,
            instructions: info.xlated_prog_insns.len() / 8,
            machine_code: info.jited_prog_insns.len(),
        };
        Some((name, size))
    });
    ours.collect()
}

#[allow(clippy::print_stdout)]
fn print(found: &BTreeMap<String, Size>) {
    println!("program                         verified  instructions  machine code");
    for (name, size) in found {
        println!(
            "{name:30}{:10}{:14}{:14}",
            size.verified, size.instructions, size.machine_code
        );
    }
}
