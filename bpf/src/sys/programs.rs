//! Programs: described, bound, run.

use std::io;
use std::mem;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::ptr;

use libbpf_rs::libbpf_sys as raw;

use super::{check, info, length, name_of, options, owned};
use crate::abi::PacketContext;

/// What the kernel says of a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ProgramInfo {
    /// The kernel's number.
    pub(crate) id: u32,
    /// The function's name, 15 characters at most.
    pub(crate) name: String,
    /// The kernel's hash of the instructions, without the maps they name.
    pub(crate) tag: [u8; 8],
    /// Instructions that the verifier looked at.
    pub(crate) verified: u32,
    /// Instructions after the verifier.
    pub(crate) instructions: u32,
    /// Bytes of machine code.
    pub(crate) machine_code: u32,
    /// Maps it uses or is bound to.
    pub(crate) maps: Vec<u32>,
    /// Number of its types.
    pub(crate) btf: u32,
}

pub(crate) fn program_info(fd: BorrowedFd<'_>) -> io::Result<ProgramInfo> {
    let mut maps = vec![0_u32; 64];
    loop {
        let mut program = raw::bpf_prog_info {
            nr_map_ids: length(&maps)?,
            map_ids: maps.as_mut_ptr() as u64,
            ..Default::default()
        };
        // SAFETY: a program's descriptor: it comes from `program_by_id`, from libbpf, or from a pin
        // whose kind was checked. `map_ids` has room for `nr_map_ids` numbers; the other pointers
        // are null.
        unsafe { info(fd, &mut program)? };
        let count = program.nr_map_ids as usize;
        if count > maps.len() {
            maps.resize(count, 0);
            continue;
        }
        maps.truncate(count);
        return Ok(ProgramInfo {
            id: program.id,
            name: name_of(&program.name),
            tag: program.tag,
            verified: program.verified_insns,
            instructions: program.xlated_prog_len / 8,
            machine_code: program.jited_prog_len,
            maps,
            btf: program.btf_id,
        });
    }
}

pub(crate) fn program_by_id(id: u32) -> io::Result<OwnedFd> {
    // SAFETY: no pointers.
    owned(unsafe { raw::bpf_prog_get_fd_by_id(id) })
}

/// Makes a program hold a map that its instructions do not name (`BPF_PROG_BIND_MAP`).
pub(crate) fn bind_map(program: BorrowedFd<'_>, map: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: null means no options.
    let bound =
        check(unsafe { raw::bpf_prog_bind_map(program.as_raw_fd(), map.as_raw_fd(), ptr::null()) });
    match bound {
        Err(error) if error.raw_os_error() != Some(libc::EEXIST) => Err(error),
        _ => Ok(()),
    }
}

/// The types of a program or map, as the kernel holds them.
pub(crate) fn btf_bytes(id: u32) -> io::Result<Vec<u8>> {
    // SAFETY: no pointers.
    let fd = owned(unsafe { raw::bpf_btf_get_fd_by_id(id) })?;
    let mut btf = raw::bpf_btf_info::default();
    // SAFETY: the descriptor is of types, and the pointers are null.
    unsafe { info(fd.as_fd(), &mut btf)? };
    let mut bytes = vec![0_u8; btf.btf_size as usize];
    let mut btf = raw::bpf_btf_info {
        btf: bytes.as_mut_ptr() as u64,
        btf_size: length(&bytes)?,
        ..Default::default()
    };
    // SAFETY: as above; `btf` has room for `btf_size` bytes.
    unsafe { info(fd.as_fd(), &mut btf)? };
    Ok(bytes)
}

/// What a program made of a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    /// Its return value.
    pub(crate) answer: u32,
    /// The packet after it.
    pub(crate) packet: Vec<u8>,
    /// Its mark after it.
    pub(crate) mark: u32,
}

/// Room for what a program may add to a packet: ours add nothing.
const ROOM: usize = 256;

/// Runs a program on a packet. The context is `__sk_buff` as the kernel takes it.
pub(crate) fn test_run(
    program: BorrowedFd<'_>,
    packet: &[u8],
    ingress_ifindex: u32,
    mark: u32,
) -> io::Result<Run> {
    // Bytes, for the kernel refuses a context whose padding is not zero.
    let mut context = [0_u8; mem::size_of::<PacketContext>()];
    let mut put = |at: usize, value: u32| context[at..at + 4].copy_from_slice(&value.to_ne_bytes());
    put(
        mem::offset_of!(PacketContext, ingress_ifindex),
        ingress_ifindex,
    );
    put(mem::offset_of!(PacketContext, mark), mark);
    let mut context_after = [0_u8; mem::size_of::<PacketContext>()];
    let mut after = vec![0; packet.len() + ROOM];
    let mut options = options!(raw::bpf_test_run_opts, repeat: 1);
    options.data_in = packet.as_ptr().cast();
    options.data_size_in = length(packet)?;
    options.data_out = after.as_mut_ptr().cast();
    options.data_size_out = length(&after)?;
    options.ctx_in = context.as_ptr().cast();
    options.ctx_size_in = length(&context)?;
    options.ctx_out = context_after.as_mut_ptr().cast();
    options.ctx_size_out = length(&context_after)?;
    // SAFETY: packet, contexts and `after` live until the call returns, with the sizes given.
    check(unsafe { raw::bpf_prog_test_run_opts(program.as_raw_fd(), &raw mut options) })?;
    after.truncate(options.data_size_out as usize);
    let at = mem::offset_of!(PacketContext, mark);
    let mut mark = [0; 4];
    mark.copy_from_slice(&context_after[at..at + 4]);
    Ok(Run {
        answer: options.retval,
        packet: after,
        mark: u32::from_ne_bytes(mark),
    })
}
