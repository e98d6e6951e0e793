//! What a watcher is told, what it does, and how fast.

use std::time::Duration;

/// How fast things go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// How long nothing more must have been noticed before a look.
    pub quiet: Duration,
    /// How long after the first notice a look is made all the same.
    pub patience: Duration,
    /// How long after a run another one is made though nothing was noticed.
    pub backstop: Duration,
    /// How often to look where nothing gives notice.
    pub poll: Option<Duration>,
    /// How long after a failure the run is tried again; doubled each time.
    pub retry: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            quiet: Duration::from_millis(50),
            patience: Duration::from_secs(1),
            backstop: Duration::from_secs(300),
            poll: None,
            retry: Duration::from_secs(1),
        }
    }
}

/// What a look found. What differs from what the last run began with is worth another one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// The commit that the revision names, and where; or why it names none.
    pub tree: String,
    /// What of the host containers are attached to.
    pub host: String,
    /// Whether applying is suspended.
    pub suspended: bool,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// What was asked for is live, or was not to be applied now.
    Well,
    /// It may go better the next time.
    Failed,
    /// It will end so again as long as the tree is the same.
    Invalid,
}

/// Why a run is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It is the first, or somebody asked for it.
    Asked,
    /// The tree is another one, or applying is not suspended any more.
    Changed,
    /// What containers are attached to is another.
    Host,
    /// The one before failed.
    Again,
    /// It has been long since the last.
    Backstop,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Look at tree and host.
    Look,
    /// Look, and run.
    Run(Reason),
    /// Wait for a notice, until then at most.
    Wait(Duration),
}
