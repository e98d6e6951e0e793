//! The whole chain on the real kernel: a commit, `reconcile`, packets between namespaces.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

mod kernel;
mod pipeline;
mod examples;
mod readme;
mod established;
mod atomicity;
mod leaks;
mod after_exit;
mod bad_day;
mod refuse;
mod attach;
mod moves;
mod tenants;
mod tap;
mod theirs;
mod beside;
mod carried;
mod vanish;
mod again;
mod closed;
mod privilege;
mod faults;
mod json;
mod diff;
mod cuts;
mod quota;
mod many;
mod minimal;
mod executed;
mod rollback;
mod drift;
mod told;
mod watch;
mod doctor;
