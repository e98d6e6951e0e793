//! Who may reach whom: what two trees say of every flow, and where they differ.
//!
//! ```text
//! old tree -> View --\
//!                      changes
//! new tree -> View --/
//! ```
//!
//! A flow is allowed where the initiator's egress and the responder's ingress allow it, each as the
//! host of that container judges ([`crate::target::judge`]). Containers are compared by name,
//! whatever their addresses; everyone else by address. A container that only one tree has is
//! reached by nobody in the other. What always holds is left out: a container and itself, a
//! container and its host.
//!
//! Containers that neither tree tells apart are compared once, and so are addresses.

mod ports;
mod regions;
mod view;
mod compare;

pub use compare::{Became, Change, Party, changes};
pub use ports::PortSet;
pub use regions::Range;
pub use view::View;
