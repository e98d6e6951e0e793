//! The traffic: a server that echoes or swallows, and a client that counts.
//!
//! Each end is a process of its own, as two containers' are: threads of one process would share a
//! table of file descriptors and an address space, which makes each call of theirs dearer and each
//! switch between them cheaper. One connection is open at a time, so both ends are plain loops.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, unshare};
use rig::processors::stay_on;
use rig::wait;
use serde::{Deserialize, Serialize};

use crate::arguments::End;
use crate::matrix::Workload;

/// The first byte of a connection says what it is for.
const ECHO: u8 = b'e';
const SWALLOW: u8 = b's';

/// How much a stream writes and reads in one call.
const CHUNK: usize = 128 << 10;

/// How long an answer may take before its connection counts as broken: far more than the kernel's
/// repetitions of a lost packet need.
const PATIENCE: Duration = Duration::from_secs(5);

/// A transaction of this length has lost a packet: the kernel repeats none earlier.
const STALL: Duration = Duration::from_millis(190);

/// Broken connections after which there is no point in going on.
const FAILURES_MOST: u64 = 3;

/// What a client counted.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Count {
    /// Transactions that were answered; bytes that have arrived, of a stream.
    pub(crate) done: u64,
    /// How long it took.
    pub(crate) seconds: f64,
    /// Connections that broke, or were not made.
    pub(crate) broken: u64,
    /// Transactions for which a packet had to be sent again.
    pub(crate) stalls: u64,
    /// The longest transaction.
    pub(crate) longest_us: u64,
    /// What broke first, in the kernel's words.
    pub(crate) failure: Option<String>,
}

/// Answers on a thread of its own until standard input ends, whatever ends it: nobody else is to be
/// there to stop it.
pub(crate) fn serve(end: End) -> io::Result<()> {
    stay_on(end.cpu);
    let any = match end.server.is_ipv4() {
        true => Ipv4Addr::UNSPECIFIED.into(),
        false => Ipv6Addr::UNSPECIFIED.into(),
    };
    let listener = TcpListener::bind(SocketAddr::new(any, end.server.port()))?;
    thread::spawn(move || {
        if let Err(error) = unshare(CloneFlags::CLONE_FILES) {
            return Err::<(), _>(io::Error::from(error));
        }
        let mut buffer = vec![0; CHUNK];
        loop {
            // Whoever breaks a connection counts it.
            answer(listener.accept()?.0, &mut buffer).ok();
        }
    });
    io::copy(&mut io::stdin(), &mut io::sink())?;
    Ok(())
}

fn answer(mut stream: TcpStream, buffer: &mut [u8]) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut byte = [0];
    if stream.read(&mut byte)? == 0 {
        return Ok(());
    }
    if byte[0] == SWALLOW {
        let mut total = 0_u64;
        loop {
            match stream.read(buffer)? {
                0 => return stream.write_all(&total.to_be_bytes()),
                some => total += some as u64,
            }
        }
    }
    loop {
        stream.write_all(&byte)?;
        if stream.read(&mut byte)? == 0 {
            return Ok(());
        }
    }
}

/// Asks as long and as often as it may.
pub(crate) fn ask(end: End, workload: Workload, limit: Duration, most: u64) -> Count {
    stay_on(end.cpu);
    // The server may not listen yet; and the neighbours are known after this.
    let reached = wait::within(PATIENCE, || connect(end.server).ok());
    if reached.is_none() {
        let failure = Some("nobody answers".to_owned());
        return Count {
            broken: 1,
            failure,
            ..Count::default()
        };
    }
    drop(reached);
    let mut counting = Counting::new(limit, most);
    match workload {
        Workload::Rr => counting.rr(end.server),
        Workload::Crr => counting.crr(end.server),
        Workload::Stream => counting.stream(end.server),
    }
    counting.count.seconds = counting.began.elapsed().as_secs_f64();
    counting.count
}

fn connect(server: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(server)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// A count that goes on.
struct Counting {
    count: Count,
    began: Instant,
    /// When the transaction under way began.
    last: Instant,
    limit: Duration,
    most: u64,
}

impl Counting {
    fn new(limit: Duration, most: u64) -> Self {
        let now = Instant::now();
        Self {
            count: Count::default(),
            began: now,
            last: now,
            limit,
            most,
        }
    }

    /// Counts a transaction; whether to go on.
    fn goes_on(&mut self, done: io::Result<()>) -> bool {
        let now = Instant::now();
        let took = now - self.last;
        self.last = now;
        match done {
            Ok(()) => self.count.done += 1,
            Err(error) => {
                self.count.broken += 1;
                self.count.failure.get_or_insert(error.to_string());
            }
        }
        self.count.stalls += u64::from(took >= STALL);
        let took_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.count.longest_us = self.count.longest_us.max(took_us);
        now - self.began < self.limit
            && self.count.done < self.most
            && self.count.broken < FAILURES_MOST
    }

    fn rr(&mut self, server: SocketAddr) {
        loop {
            let mut stream = connect(server);
            loop {
                let done = match &mut stream {
                    Ok(stream) => exchange(stream),
                    Err(error) => Err(io::Error::from(error.kind())),
                };
                let broke = done.is_err();
                if !self.goes_on(done) {
                    return;
                }
                if broke {
                    break;
                }
            }
        }
    }

    fn crr(&mut self, server: SocketAddr) {
        while self.goes_on(connect(server).and_then(|mut stream| exchange(&mut stream))) {}
    }

    fn stream(&mut self, server: SocketAddr) {
        match self.send(server) {
            Ok(total) => self.count.done = total,
            Err(error) => {
                self.count.broken += 1;
                self.count.failure = Some(error.to_string());
            }
        }
    }

    /// Sends until the time is over; gives the bytes that the server has read. The clock runs until
    /// it says so.
    fn send(&self, server: SocketAddr) -> io::Result<u64> {
        let mut stream = connect(server)?;
        stream.write_all(&[SWALLOW])?;
        let (chunk, mut sent) = (vec![0; CHUNK], 0);
        while self.began.elapsed() < self.limit && sent < self.most {
            stream.write_all(&chunk)?;
            sent += CHUNK as u64;
        }
        stream.shutdown(std::net::Shutdown::Write)?;
        let mut total = [0; 8];
        stream.read_exact(&mut total)?;
        Ok(u64::from_be_bytes(total))
    }
}

fn exchange(stream: &mut TcpStream) -> io::Result<()> {
    stream.write_all(&[ECHO])?;
    stream.read_exact(&mut [0])
}
