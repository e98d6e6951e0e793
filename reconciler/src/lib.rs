//! What we do: read sources and the kernel, plan, apply, report. The only crate with a clock, a
//! network and git.

pub mod source;
pub mod run;
pub mod host;
pub mod live;
pub mod pipeline;
pub mod apply;
pub mod watch;
pub mod report;
pub mod applied;
pub mod back;
pub mod drift;
pub mod doctor;
pub mod commands;
