//! How much the verifier looks at, program by program: a baseline, and a ceiling a tenth above it.
//!
//! A kernel refuses a program for which it looks at a million instructions; what comes near a
//! quarter of that is to be split. The numbers are those of the kernel and compiler that made the
//! baseline; others differ by a few per cent, which the ceiling allows.

use std::collections::BTreeMap;

use bpf::object::Build;
use libbpf_rs::query::ProgInfoIter;
use state::target::programs::BuildHash;

use crate::programs::attach;
use crate::rig::{alone, chain, constants, name};

const BASELINE: [(&str, u32); 8] = [
    ("from_container", 6_493),
    ("from_container, in transition", 8_287),
    ("judge_in", 51_958),
    ("judge_out", 114_154),
    ("neighbour", 542),
    ("plumbline_guard", 2),
    ("sweep_start", 421),
    ("to_container", 6_079),
];

#[test]
fn no_program_grows_beyond_its_ceiling() {
    alone(|lab| {
        let kernel = lab.create();
        let ifindex = attach(lab, &kernel, "shop/web", 0);
        let mut programs = BTreeMap::new();
        let blocks = lab
            .base()
            .join("v1/blocks")
            .read_dir()
            .unwrap()
            .next()
            .unwrap()
            .unwrap();
        for pin in blocks.path().read_dir().unwrap() {
            let path = pin.unwrap().path();
            if let Ok(program) = libbpf_rs::ProgramHandle::from_pinned_path(&path) {
                programs.insert(program.id(), program.name().to_str().unwrap().to_owned());
            }
        }
        for (side, name) in chain(ifindex)
            .iter()
            .zip(["from_container", "to_container"])
        {
            programs.insert(side[0].0, name.to_owned());
        }
        let plain = Build::Plain(constants(0), BuildHash([1; 32]));
        let mut found = verified(&programs);
        kernel
            .swap(
                &name("shop/web"),
                &Build::Transition([constants(0), constants(1)]),
            )
            .unwrap();
        let transition = chain(ifindex)[0][0].0;
        let says = "from_container, in transition".to_owned();
        found.extend(verified(&BTreeMap::from([(transition, says)])));
        kernel.swap(&name("shop/web"), &plain).unwrap();

        assert_eq!(found.len(), BASELINE.len(), "{found:?}");
        for (name, baseline) in BASELINE {
            let ceiling = baseline + baseline / 10;
            assert!(
                found[name] <= ceiling,
                "{name} is above {ceiling}: {found:?}"
            );
            assert!(ceiling <= 250_000, "{name} is to be split");
        }
    });
}

fn verified(programs: &BTreeMap<u32, String>) -> BTreeMap<String, u32> {
    let all = ProgInfoIter::default();
    let ours = all.filter_map(|info| Some((programs.get(&info.id)?.clone(), info.verified_insns)));
    ours.collect()
}
