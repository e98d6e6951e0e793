//! What stands before the measured programs: it makes one packet many flows, and hands on.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::path::Path;

use libbpf_rs::{MapCore, MapFlags, Object, ObjectBuilder, ProgramInput, ProgramMut};
use state::target::constants::Constants;

use crate::clang::Clang;

/// How many flows there may be.
pub(crate) const FLOWS_MOST: usize = 65_536;
/// How many programs there may be to hand on to.
const SENDERS_MOST: u32 = 256;

/// One of the flows of a walk: whose, and its port.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Flow {
    pub(crate) sender: u16,
    pub(crate) port: u16,
}

/// Which program of the driver makes the packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// They are the senders'.
    Sends,
    /// They are the receiver's, to the senders.
    Answers,
    /// They are the senders', and before each the generation is raised.
    Commits,
}

/// To whom they are handed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum To {
    /// To the programs that are measured.
    Programs,
    /// To one that does nothing: what remains is what the harness costs.
    Nothing,
}

/// What came of a run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ran {
    /// What the program said of the last packet.
    pub(crate) answer: u32,
    /// Nanoseconds for each packet.
    pub(crate) ns: u64,
}

/// The driver, loaded.
#[derive(Debug)]
pub(crate) struct Driver {
    object: Object,
    flows: usize,
    receiver: u32,
}

impl Driver {
    /// Compiles and loads it over the datapath's commit record.
    pub(crate) fn load(commit: BorrowedFd<'_>) -> Self {
        let out = tempfile::tempdir().unwrap();
        let compiled = out.path().join("driver.o");
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/packet");
        let clang = Clang::find(out.path()).unwrap();
        clang
            .compile(&folder, Path::new("driver.bpf.c"), &compiled)
            .unwrap();
        let mut open = ObjectBuilder::default().open_file(&compiled).unwrap();
        for mut map in open.maps_mut() {
            if map.name() == "commit" {
                map.reuse_fd(commit).unwrap();
            }
        }
        let driver = Self {
            object: open.load().unwrap(),
            flows: 0,
            receiver: 0,
        };
        for index in 0..SENDERS_MOST {
            let nothing = driver.program("nothing");
            driver.put_target(SENDERS_MOST + index, nothing.as_fd());
        }
        driver
    }

    fn program(&self, name: &str) -> ProgramMut<'_> {
        let mut programs = self.object.progs_mut();
        programs.find(|program| program.name() == name).unwrap()
    }

    fn write(&self, map: &str, value: &[u8]) {
        let mut maps = self.object.maps();
        let map = maps.find(|found| found.name() == map).unwrap();
        map.update(&[0; 4], value, MapFlags::ANY).unwrap();
    }

    fn put_target(&self, index: u32, program: BorrowedFd<'_>) {
        let mut maps = self.object.maps();
        let targets = maps.find(|found| found.name() == "targets").unwrap();
        let value = program.as_raw_fd().to_ne_bytes();
        targets
            .update(&index.to_ne_bytes(), &value, MapFlags::ANY)
            .unwrap();
    }

    /// Says whose programs there are, by their number.
    pub(crate) fn put_senders(&self, senders: &[(u16, Constants, BorrowedFd<'_>)]) {
        let mut rows = vec![0; 32 * SENDERS_MOST as usize];
        for (number, constants, program) in senders {
            let row = &mut rows[32 * usize::from(*number)..][..32];
            row[..16].copy_from_slice(&constants.v6.unwrap().octets());
            row[16..20].copy_from_slice(&constants.v4.unwrap().octets());
            row[20..26].copy_from_slice(&constants.mac.0);
            self.put_target((*number).into(), *program);
        }
        self.write("senders", &rows);
    }

    /// Says which flows packets are made of, one after the other: a power of two.
    pub(crate) fn put_flows(&mut self, flows: &[Flow]) {
        assert!(flows.len().is_power_of_two() && flows.len() <= FLOWS_MOST);
        let mut rows = vec![0; 4 * FLOWS_MOST];
        for (row, flow) in rows.chunks_exact_mut(4).zip(flows) {
            row[..2].copy_from_slice(&flow.port.to_be_bytes());
            row[2..].copy_from_slice(&flow.sender.to_ne_bytes());
        }
        self.write("flows", &rows);
        self.flows = flows.len();
    }

    /// Says whose program gets what the other end sends.
    pub(crate) fn put_receiver(&mut self, number: u16) {
        self.receiver = number.into();
    }

    /// How many flows there are.
    pub(crate) const fn flow_count(&self) -> usize {
        self.flows
    }

    /// Runs packets, beginning with those of this flow.
    pub(crate) fn run(&self, way: Way, to: To, frame: &[u8], first: usize, packets: usize) -> Ran {
        let number = |value: usize| u32::try_from(value).unwrap();
        let base = if to == To::Programs { 0 } else { SENDERS_MOST };
        let control = [number(first), number(self.flows - 1), base, self.receiver];
        self.write("control", &control.map(u32::to_ne_bytes).concat());
        let way = match way {
            Way::Sends => "sends",
            Way::Answers => "answers",
            Way::Commits => "commits",
        };
        let family = if frame[12..14] == [0x86, 0xdd] { 6 } else { 4 };
        let input = ProgramInput {
            data_in: Some(frame),
            repeat: number(packets),
            ..ProgramInput::default()
        };
        let program = self.program(&format!("{way}_v{family}"));
        let output = program.test_run(input).unwrap();
        Ran {
            answer: output.return_value,
            ns: output.duration.as_nanos().try_into().unwrap(),
        }
    }
}
