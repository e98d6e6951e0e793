//! A machine behind a tap, as a virtual machine stands behind one: a program holds the tap and
//! carries every frame between it and the machine's own interface, which is a tap as well, in a
//! namespace that stands for the machine. So its stack is the kernel's, and nothing of the host's
//! leads there but the tap.
//!
//! Frames go as a virtual machine's do, with the header that hands on what segmentation and
//! checksums are still to be done (`struct virtio_net_hdr` of linux/virtio_net.h).
#![allow(
    unsafe_code,
    reason = "a tap has no other way to its program than an ioctl"
)]

use std::ffi::c_ulong;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::OpenOptionsExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::netns::Netns;

/// `TUNSETIFF`, `TUNSETOFFLOAD` and what they take (linux/if_tun.h).
const SET_INTERFACE: c_ulong = 0x4004_54ca;
const SET_OFFLOAD: c_ulong = 0x4004_54d0;
const TAP: i16 = 0x0002;
const NO_INFORMATION: i16 = 0x1000;
const HEADER: i16 = 0x4000;
/// Checksums, TCP over IPv4 and over IPv6.
const OFFLOADS: c_ulong = 0x01 | 0x02 | 0x04;

/// How often the pump looks whether it is to end.
const TICK_MS: u16 = 50;

/// A tap on a host and the machine behind it. When it is dropped the machine is off, and its tap
/// has gone.
#[derive(Debug)]
pub struct Machine {
    ends: Arc<AtomicBool>,
    pump: Option<JoinHandle<()>>,
}

impl Machine {
    /// Makes a tap of this name on the host and an interface `eth0` in the machine's namespace.
    /// Neither is up yet.
    ///
    /// # Panics
    /// Where the kernel refuses it.
    #[track_caller]
    pub fn start(host: &Netns, tap: &str, machine: &Netns) -> Self {
        let open = |net: &Netns, name: &str| {
            let opened = net.run(|| open(name));
            opened.unwrap_or_else(|e| panic!("{name} in {}: no tap: {e}", net.name()))
        };
        let (outer, inner) = (open(host, tap), open(machine, "eth0"));
        let ends = Arc::new(AtomicBool::new(false));
        let ending = Arc::clone(&ends);
        let pump = machine.spawn(move || pump(&outer, &inner, &ending));
        Self {
            ends,
            pump: Some(pump),
        }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
        if let Some(pump) = self.pump.take() {
            // What it panicked with it has said.
            pump.join().ok();
        }
    }
}

/// A tap of the calling thread's namespace, which lives as long as the file is open.
fn open(name: &str) -> io::Result<File> {
    let mut options = OpenOptions::new();
    let options = options.read(true).write(true);
    let file = options
        .custom_flags(libc::O_NONBLOCK)
        .open("/dev/net/tun")?;
    // SAFETY: all zeroes is a value of it.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *to = from.cast_signed();
    }
    request.ifr_ifru.ifru_flags = TAP | NO_INFORMATION | HEADER;
    // SAFETY: the kernel reads and writes an `ifreq`, which outlives the call.
    check(unsafe { libc::ioctl(file.as_raw_fd(), SET_INTERFACE, &raw mut request) })?;
    // SAFETY: it takes a number.
    check(unsafe { libc::ioctl(file.as_raw_fd(), SET_OFFLOAD, OFFLOADS) })?;
    Ok(file)
}

fn check(returned: i32) -> io::Result<()> {
    match returned {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Carries frames both ways until it is to end.
fn pump(outer: &File, inner: &File, ends: &AtomicBool) {
    let mut bytes = vec![0; 1 << 17];
    while !ends.load(Ordering::Relaxed) {
        let mut waited = [outer, inner].map(|file| PollFd::new(file.as_fd(), PollFlags::POLLIN));
        // A signal may end the wait early.
        poll(&mut waited, PollTimeout::from(TICK_MS)).ok();
        carry(outer, inner, &mut bytes);
        carry(inner, outer, &mut bytes);
    }
}

/// Carries what is there, as much as makes a turn. What the other side does not take is lost, as on
/// a wire: it may be down.
fn carry(mut from: &File, mut to: &File, bytes: &mut [u8]) {
    for _ in 0..64 {
        let Ok(count) = from.read(bytes) else {
            return;
        };
        to.write_all(&bytes[..count]).ok();
    }
}
