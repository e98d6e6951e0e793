//! The rounds of an exchange over one TCP connection.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::time::Instant;

use nix::poll::PollFlags;

use super::exchange::{Round, Rounds};
use super::ready;
use crate::wait;

/// Bytes of a record: one segment in each family, so that a record is a packet each way.
const RECORD: usize = 1024;

pub(super) fn connect(to: SocketAddr) -> io::Result<(SocketAddr, TcpStream)> {
    let stream = TcpStream::connect_timeout(&to, wait::LIMIT)?;
    stream.set_nodelay(true)?;
    stream.set_nonblocking(true)?;
    Ok((stream.local_addr()?, stream))
}

impl Rounds for TcpStream {
    fn round(&mut self, number: u64, stopped: &UnixStream) -> Result<Round, String> {
        let record = record(number);
        let mut left = &record[..];
        let mut got = Vec::new();
        while got.len() < RECORD {
            let write = if left.is_empty() {
                PollFlags::empty()
            } else {
                PollFlags::POLLOUT
            };
            let waited = [
                (stopped.as_fd(), PollFlags::POLLIN),
                (self.as_fd(), PollFlags::POLLIN | write),
            ];
            if ready(&waited, Instant::now() + wait::LIMIT)[0] {
                return Ok(Round::Stopped);
            }
            let sent = done(self.write(left)).map_err(|e| format!("write: {e}"))?;
            left = &left[sent..];
            let mut bytes = [0; RECORD];
            match self.read(&mut bytes) {
                Ok(0) => return Err("closed by the other side".to_owned()),
                read => {
                    let count = done(read).map_err(|e| format!("read: {e}"))?;
                    got.extend_from_slice(&bytes[..count]);
                }
            }
        }
        if got != record {
            return Err("bytes came back changed, lost or doubled".to_owned());
        }
        Ok(Round::Whole)
    }
}

/// How many bytes went: none where none could without waiting.
fn done(result: io::Result<usize>) -> io::Result<usize> {
    match result {
        Err(e) if e.kind() == ErrorKind::WouldBlock => Ok(0),
        result => result,
    }
}

/// A record's bytes: its number, and what only this number gives.
fn record(number: u64) -> Vec<u8> {
    let mut state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = number.to_be_bytes().to_vec();
    while bytes.len() < RECORD {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend(state.to_be_bytes());
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_records_are_alike() {
        let records: std::collections::BTreeSet<Vec<u8>> = (0..1000).map(record).collect();
        assert_eq!(records.len(), 1000);
        assert!(records.iter().all(|record| record.len() == RECORD));
    }
}
