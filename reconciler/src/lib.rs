//! What we do: read sources and the kernel, plan, apply, report. The only crate with a clock, a
//! network and git.

pub mod source;
pub mod locate;
pub mod run;
pub mod host;
pub mod report;
