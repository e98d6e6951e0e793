//! Values to text and JSON. Nothing here asks the kernel or a source anything.

pub mod escape;
pub mod exit;
pub mod plural;
pub mod style;
pub mod out;
pub mod words;
pub mod explanation;
pub mod view;
pub mod drift;
pub mod status;
pub mod doctor;
mod container;
mod objects;
pub mod history;
pub mod reach;
pub mod text;
mod journal;
pub mod json;
pub mod problem;
