//! Exchanges that go on: numbered records there and back, over one TCP connection or one pair of
//! UDP ports, every byte checked, until a test ends them.
//!
//! ```text
//! let download = Exchange::tcp(&client, server);
//! …                                  // commits, regenerations
//! download.advance(100);             // it goes on
//! assert_eq!(download.end().failure, None);
//! ```

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::poll::PollFlags;

use super::{datagrams, fresh, ready, stream};
use crate::netns::Netns;
use crate::wait;

/// How long the next record waits after the last has come back. Two processors serve all tests.
const PACE: Duration = Duration::from_millis(1);

/// A running exchange with a [`super::service::Service`]. It ends when it is dropped.
#[derive(Debug)]
pub struct Exchange {
    progress: Arc<Mutex<Progress>>,
    own: SocketAddr,
    /// Hangs up on the thread.
    stop: Option<UnixStream>,
    thread: Option<JoinHandle<()>>,
}

/// How far an exchange has come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Records that have come back whole.
    pub records: u64,
    /// Datagrams that were sent again, because their echo did not come in time; never of TCP.
    pub repeated: u64,
    /// What ended it, if anything did: a reset, a close, bytes that came back changed.
    pub failure: Option<String>,
}

/// How a record ended.
pub(super) enum Round {
    Whole,
    Repeat,
    Stopped,
}

/// One record there and back, given its number and the stop that it must heed.
pub(super) trait Rounds {
    fn round(&mut self, number: u64, stopped: &UnixStream) -> Result<Round, String>;
}

impl Exchange {
    /// Connects, and exchanges records of 1 KiB.
    ///
    /// # Panics
    /// Where it cannot connect.
    #[track_caller]
    pub fn tcp(from: &Netns, to: SocketAddr) -> Self {
        Self::open(from, to, stream::connect)
    }

    /// Exchanges datagrams from one port.
    ///
    /// # Panics
    /// Where there is no route.
    #[track_caller]
    pub fn udp(from: &Netns, to: SocketAddr) -> Self {
        Self::open(from, to, datagrams::connect)
    }

    /// Exchanges datagrams, each from a port that was not used before: every one is a new flow. One
    /// that is not echoed in time counts as repeated, and its successor comes from another port.
    ///
    /// # Panics
    /// Where there is no route.
    #[track_caller]
    pub fn new_flows(from: &Netns, to: SocketAddr) -> Self {
        Self::open(from, to, fresh::echoed)
    }

    /// Sends datagrams, each from a port that was not used before, and waits for no echo: a record
    /// is one sent. What reached the other side, its service counts.
    ///
    /// # Panics
    /// Where there is no route.
    #[track_caller]
    pub fn unanswered(from: &Netns, to: SocketAddr) -> Self {
        Self::open(from, to, fresh::unanswered)
    }

    #[track_caller]
    fn open<R: Rounds + 'static>(
        from: &Netns,
        to: SocketAddr,
        connect: fn(SocketAddr) -> io::Result<(SocketAddr, R)>,
    ) -> Self {
        let progress = Arc::new(Mutex::new(Progress::default()));
        let (stop, stopped) = UnixStream::pair().expect("a pair of sockets");
        let (sender, opened) = channel();
        let shared = Arc::clone(&progress);
        let thread = from.spawn(move || {
            let (own, rounds) =
                connect(to).map_or_else(|e| (Err(e), None), |(a, r)| (Ok(a), Some(r)));
            sender.send(own).expect("the opener waits");
            if let Some(mut rounds) = rounds {
                go_on(&mut rounds, &stopped, &shared);
            }
        });
        let own = opened.recv().expect("the thread runs");
        let own = own.unwrap_or_else(|e| panic!("{} to {to}: {e}", from.name()));
        Self {
            progress,
            own,
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    /// Its own address and port.
    pub const fn own_address(&self) -> SocketAddr {
        self.own
    }

    /// How far it is.
    ///
    /// # Panics
    /// Where its thread has.
    pub fn progress(&self) -> Progress {
        self.progress.lock().expect("the exchange runs").clone()
    }

    /// Waits until so many more records have come back.
    ///
    /// # Panics
    /// Where they do not, or the exchange has failed.
    #[track_caller]
    pub fn advance(&self, records: u64) {
        let goal = self.progress().records + records;
        wait::holds("an exchange to go on", || {
            let now = self.progress();
            assert!(now.failure.is_none(), "an exchange failed: {now:?}");
            now.records >= goal
        });
    }

    /// Ends it, and says how far it came.
    ///
    /// # Panics
    /// Where its thread has.
    pub fn end(mut self) -> Progress {
        self.hang_up();
        self.progress()
    }

    fn hang_up(&mut self) {
        self.stop = None;
        let ended = self.thread.take().map(JoinHandle::join);
        if let Some(Err(panic)) = ended
            && !std::thread::panicking()
        {
            std::panic::resume_unwind(panic);
        }
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.hang_up();
    }
}

fn go_on(rounds: &mut impl Rounds, stopped: &UnixStream, progress: &Mutex<Progress>) {
    let mut number = 0;
    loop {
        let ended = rounds.round(number, stopped);
        let mut progress = progress.lock().expect("no reader panics");
        match ended {
            Ok(Round::Whole) => number += 1,
            Ok(Round::Repeat) => progress.repeated += 1,
            Ok(Round::Stopped) => return,
            Err(failure) => {
                progress.failure = Some(format!("record {number}: {failure}"));
                return;
            }
        }
        progress.records = number;
        drop(progress);
        if ready(
            &[(stopped.as_fd(), PollFlags::POLLIN)],
            Instant::now() + PACE,
        )[0]
        {
            return;
        }
    }
}
