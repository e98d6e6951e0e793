//! The host's part on the real kernel: each test is a host of its own, in private network and
//! mount namespaces with its own `/run`, `/etc` and `/sys/fs/bpf`. Needs root.

#![expect(
    clippy::unwrap_used,
    reason = "clippy spares test functions, not what they share"
)]

mod world;
mod network;
mod namespaces;
mod drift;
mod live;
mod mount;
mod tenants;
