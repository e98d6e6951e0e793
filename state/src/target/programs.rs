//! Programs are disposable and known by what makes them.

use std::fmt;

use super::constants::Constants;
use super::datapath::Datapath;
use crate::words::canonical::Canonical;

/// blake3 over what makes a container's programs: instructions, constants, map layouts, attach
/// point. Two builds of the same source in two folders have the same one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BuildHash(pub [u8; 32]);

impl fmt::Display for BuildHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for BuildHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BuildHash({self})")
    }
}

/// A container's two programs, `from_container` and `to_container`: one build, one hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ProgramSet {
    /// The build.
    pub build: BuildHash,
}

/// Where the two programs are attached, as the kernel counts attach types (`BPF_TCX_INGRESS` and
/// `BPF_TCX_EGRESS` of `include/uapi/linux/bpf.h`): part of a build, for elsewhere it is another.
const ATTACH_POINTS: [u64; 2] = [46, 47];

impl ProgramSet {
    /// The build that has one set of constants.
    pub fn plain(datapath: &Datapath, constants: &Constants) -> Self {
        Self::of(datapath, &[constants])
    }

    /// The build that holds two, for slot A and for slot B: what a commit that changes a
    /// container's constants swaps in until it has settled.
    pub fn transition(datapath: &Datapath, constants: [&Constants; 2]) -> Self {
        Self::of(datapath, &constants)
    }

    fn of(datapath: &Datapath, constants: &[&Constants]) -> Self {
        let mut bytes = Canonical::default();
        bytes.raw(&datapath.container_code);
        bytes.number(datapath.layout.into());
        for point in ATTACH_POINTS {
            bytes.number(point);
        }
        bytes.length(constants.len());
        for constants in constants {
            constants.write(&mut bytes);
        }
        Self {
            build: BuildHash(blake3::derive_key("plumbline BuildHash", bytes.bytes())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::host::{GATEWAY_MAC, container_mac};
    use crate::target::tables::EndpointIndex;
    use crate::words::names::FullName;

    fn datapath() -> Datapath {
        Datapath {
            container_code: [1; 32],
            block_code: [2; 32],
            layout: 1,
            endpoints_most: 8,
        }
    }

    #[test]
    fn every_part_of_a_build_is_in_its_hash() {
        let name = FullName::from_slashed("shop/web").unwrap();
        let constants = Constants {
            endpoint: EndpointIndex(0),
            v4: Some("10.0.0.1".parse().unwrap()),
            v6: None,
            mac: container_mac(&name),
            gateway_mac: GATEWAY_MAC,
            theirs: false,
            passes: false,
            tap: false,
        };
        let plain = ProgramSet::plain(&datapath(), &constants);
        let mut code = datapath();
        code.container_code[31] = 0;
        let mut layout = datapath();
        layout.layout = 2;
        let mut others = vec![
            ProgramSet::plain(&code, &constants),
            ProgramSet::plain(&layout, &constants),
            ProgramSet::transition(&datapath(), [&constants, &constants]),
        ];
        for change in [
            |c: &mut Constants| c.endpoint = EndpointIndex(1),
            |c: &mut Constants| c.v4 = None,
            |c: &mut Constants| c.v6 = Some("::ffff:10.0.0.1".parse().unwrap()),
            |c: &mut Constants| c.mac.0[5] ^= 1,
            |c: &mut Constants| c.gateway_mac.0[5] ^= 1,
            |c: &mut Constants| c.theirs = true,
            |c: &mut Constants| c.passes = true,
            |c: &mut Constants| c.tap = true,
        ] {
            let mut changed = constants;
            change(&mut changed);
            others.push(ProgramSet::plain(&datapath(), &changed));
        }
        others.push(plain);
        others.sort();
        others.dedup();
        assert_eq!(others.len(), 12);
    }

    #[test]
    fn the_blocks_are_no_part_of_a_containers_build() {
        let constants = Constants {
            endpoint: EndpointIndex(0),
            v4: None,
            v6: None,
            mac: crate::words::address::Mac([2; 6]),
            gateway_mac: GATEWAY_MAC,
            theirs: false,
            passes: false,
            tap: false,
        };
        let mut blocks = datapath();
        blocks.block_code[0] = 9;
        assert_eq!(
            ProgramSet::plain(&datapath(), &constants),
            ProgramSet::plain(&blocks, &constants)
        );
    }
}
