//! The two embedded objects: opened, given their constants and the maps they share, loaded.
//!
//! What comes out are descriptors; libbpf's own copy of the object is dropped at once, so what a
//! loaded container costs is what the kernel keeps. The build hash goes with the program as BPF
//! metadata, so the kernel says which build is live and `bpftool prog show` prints it.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Once;

use libbpf_rs::skel::{OpenSkel, Skel, SkelBuilder};
use libbpf_rs::{MapCore, OpenMapMut, PrintLevel};

use state::target::constants::Constants;
use state::target::datapath::Datapath;
use state::target::programs::BuildHash;

use crate::abi::blocks::BlocksSkelBuilder;
use crate::abi::container::ContainerSkelBuilder;
use crate::abi::{header, maps};
use crate::encode;
use crate::sys;

/// A description of the embedded datapath, for the compile step.
pub fn datapath() -> Datapath {
    Datapath {
        container_code: header::CONTAINER_CODE,
        block_code: header::BLOCK_CODE,
        layout: u32::try_from(header::PL_LAYOUT).unwrap_or(u32::MAX),
        endpoints_most: maps::ALL_ESTABLISHED.entries,
    }
}

/// What a container's programs are loaded with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Build {
    /// The container's constants, and the build hash of them.
    Plain(Constants, BuildHash),
    /// Two sets of constants, of slot A and of slot B, for the time of one commit.
    Transition([Constants; 2]),
}

impl Build {
    /// Whether it is for an interface of others.
    pub(crate) fn is_theirs(&self) -> bool {
        match self {
            Self::Plain(constants, _) => constants.theirs,
            Self::Transition(constants) => constants.iter().any(|c| c.theirs),
        }
    }
}

/// What stands in place of a build hash in a transition build.
pub(crate) const TRANSITION: &str = "transition";

/// Why an object could not be loaded.
#[derive(Debug, thiserror::Error)]
#[error("the kernel does not take {object}: {source}{}", shown(.log))]
pub struct LoadError {
    /// Which object.
    pub object: &'static str,
    /// libbpf's answer.
    pub source: libbpf_rs::Error,
    /// The end of what libbpf and the verifier said.
    pub log: Vec<String>,
}

/// Lines of the verifier's log that are kept.
const LOG_LINES: usize = 24;

fn shown(log: &[String]) -> String {
    log.iter().map(|line| format!("; {line}")).collect()
}

/// A container's two programs.
#[derive(Debug)]
pub(crate) struct ContainerPrograms {
    pub(crate) from_container: OwnedFd,
    pub(crate) to_container: OwnedFd,
}

/// The shared blocks: their programs, their table (not filled), and maps that were made for them.
#[derive(Debug)]
pub(crate) struct BlockPrograms {
    pub(crate) programs: BTreeMap<&'static str, OwnedFd>,
    pub(crate) table: OwnedFd,
    pub(crate) made: BTreeMap<String, OwnedFd>,
}

/// Loads a container's programs over these maps, by name.
pub(crate) fn load_container(
    build: &Build,
    maps: &BTreeMap<&str, BorrowedFd<'_>>,
    jiffies_per_second: u32,
) -> Result<ContainerPrograms, LoadError> {
    logged("a container's programs", || {
        let mut object = MaybeUninit::uninit();
        let mut open = ContainerSkelBuilder::default().open(&mut object)?;
        let constants = open.maps.rodata_data.as_deref_mut().ok_or_else(missing)?;
        constants.pl_hz = jiffies_per_second;
        match build {
            Build::Plain(own, hash) => {
                constants.pl_self = [encode::constants(own); 2];
                constants.bpf_metadata_build = metadata(&hash.to_string());
            }
            Build::Transition([a, b]) => {
                constants.pl_self = [encode::constants(a), encode::constants(b)];
                constants.pl_transition = 1;
                constants.bpf_metadata_build = metadata(TRANSITION);
            }
        }
        for map in open.open_object_mut().maps_mut() {
            reuse(map, maps)?;
        }
        let loaded = open.load()?;
        Ok(ContainerPrograms {
            from_container: typed(loaded.progs.from_container.as_fd())?,
            to_container: typed(loaded.progs.to_container.as_fd())?,
        })
    })
}

/// Loads the shared blocks over these maps, by name; those that are missing are made.
pub(crate) fn load_blocks(
    maps: &BTreeMap<&str, BorrowedFd<'_>>,
    jiffies_per_second: u32,
) -> Result<BlockPrograms, LoadError> {
    logged("the shared blocks", || {
        let mut object = MaybeUninit::uninit();
        let mut open = BlocksSkelBuilder::default().open(&mut object)?;
        let constants = open.maps.rodata_data.as_deref_mut().ok_or_else(missing)?;
        constants.pl_hz = jiffies_per_second;
        constants.bpf_metadata_build = metadata(&BuildHash(header::BLOCK_CODE).to_string());
        for map in open.open_object_mut().maps_mut() {
            reuse(map, maps)?;
        }
        let loaded = open.load()?;
        let programs = [
            ("judge_out", loaded.progs.judge_out.as_fd()),
            ("judge_in", loaded.progs.judge_in.as_fd()),
            ("neighbour", loaded.progs.neighbour.as_fd()),
            ("sweep_start", loaded.progs.sweep_start.as_fd()),
            ("guard", loaded.progs.plumbline_guard.as_fd()),
        ];
        let mut blocks = BlockPrograms {
            programs: BTreeMap::new(),
            table: kept(loaded.maps.blocks.as_fd())?,
            made: BTreeMap::new(),
        };
        for (name, program) in programs {
            blocks.programs.insert(name, typed(program)?);
        }
        for map in loaded.object().maps() {
            let name = map.name().to_string_lossy().into_owned();
            if !maps.contains_key(name.as_str()) {
                blocks.made.insert(name, kept(map.as_fd())?);
            }
        }
        Ok(blocks)
    })
}

fn reuse(mut map: OpenMapMut<'_>, maps: &BTreeMap<&str, BorrowedFd<'_>>) -> libbpf_rs::Result<()> {
    match maps.get(map.name().to_string_lossy().as_ref()) {
        Some(fd) => map.reuse_fd(*fd),
        None => Ok(()),
    }
}

fn kept(fd: BorrowedFd<'_>) -> libbpf_rs::Result<OwnedFd> {
    Ok(fd.try_clone_to_owned()?)
}

/// A program whose types the kernel has taken. libbpf goes on without them where it has not, as
/// where memory was short, and what such a program holds could never be read back.
fn typed(program: BorrowedFd<'_>) -> libbpf_rs::Result<OwnedFd> {
    match sys::program_info(program)?.btf {
        0 => Err(std::io::Error::other("the kernel did not take their types (BTF)").into()),
        _ => kept(program),
    }
}

fn missing() -> libbpf_rs::Error {
    std::io::Error::other("the object has no constants").into()
}

/// A string as C has it, cut to the room there is.
fn metadata(text: &str) -> [i8; 72] {
    let mut room = [0; 72];
    for (to, from) in room.iter_mut().zip(text.bytes().take(71)) {
        *to = from.cast_signed();
    }
    room
}

// ---- What libbpf says ----

thread_local! {
    /// What libbpf has said on this thread since somebody began to listen.
    static SAID: RefCell<Option<Vec<String>>> = const { RefCell::new(None) };
}

/// Makes libbpf say nothing on standard error: a message is an error's, or nobody's.
pub(crate) fn quiet() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        libbpf_rs::set_print(Some((PrintLevel::Warn, |_, message| {
            SAID.with_borrow_mut(|said| {
                if let Some(said) = said {
                    said.extend(message.lines().map(str::to_owned));
                }
            });
        })));
    });
}

fn logged<T>(
    object: &'static str,
    load: impl FnOnce() -> libbpf_rs::Result<T>,
) -> Result<T, LoadError> {
    quiet();
    SAID.set(Some(Vec::new()));
    let loaded = load();
    let said = SAID.take().unwrap_or_default();
    loaded.map_err(|source| LoadError {
        object,
        source,
        log: said[said.len().saturating_sub(LOG_LINES)..].to_vec(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::map_create;

    /// Needs root, as every test of this crate that asks the kernel.
    #[test]
    fn a_refused_program_says_what_the_verifier_said() {
        let no_table = map_create(&maps::COUNTERS, 1).unwrap();
        let build = Build::Transition(
            [Constants {
                endpoint: state::target::tables::EndpointIndex(0),
                v4: None,
                v6: None,
                mac: state::words::address::Mac([2; 6]),
                gateway_mac: state::words::address::Mac([2; 6]),
                theirs: false,
                passes: false,
                tap: false,
            }; 2],
        );
        let over = BTreeMap::from([(maps::BLOCKS.name, no_table.as_fd())]);
        let refused = load_container(&build, &over, 250).unwrap_err();
        assert!(refused.log.len() > 3 && refused.log.len() <= LOG_LINES);
        let text = refused.to_string();
        assert!(
            text.starts_with("the kernel does not take a container's programs"),
            "{text}"
        );
        assert!(text.contains("prog 'from_container'"), "{text}");
        assert!(text.contains("tail_call"), "{text}");
    }

    #[test]
    fn a_hash_fits_the_metadata() {
        let text = BuildHash([0xab; 32]).to_string();
        let metadata = metadata(&text);
        assert_eq!(metadata[63].cast_unsigned(), b'b');
        assert_eq!(metadata[64], 0);
    }
}
