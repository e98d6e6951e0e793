//! Where this host's containers are, as the compile step wants to know it.
//!
//! A managed container is where we made it: behind an interface of ours. Other ways to attach will
//! find theirs in files of their own beside this one.

mod netns;

pub use netns::locate;
