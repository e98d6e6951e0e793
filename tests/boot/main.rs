//! Units, cron and the package, in guests: a root, processes, mounts, network and a systemd of
//! their own, on this kernel. `./dev test-boot` makes what they need and runs them; `./dev test`
//! leaves them out.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "clippy spares test functions, not what they share"
)]

mod guest;
mod tree;
mod traffic;
mod units;
mod watch;
mod reboot;
mod cron;
mod package;
mod readme;
mod remote;
mod latency;
