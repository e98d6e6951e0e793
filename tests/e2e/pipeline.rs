//! The program under test as a library, on the lab's first host: for tests of so many commits that
//! starting a process for each would be most of what they do. It is the same way, from the objects
//! of a git commit to settled: what a process adds are arguments, the lock, the journal and the
//! report.

use std::path::PathBuf;

use reconciler::apply::Apply;
use reconciler::host::mounts::Mounts;
use reconciler::live::Dirs;
use reconciler::pipeline::{Memory, Planned, Request, make_plan};
use reconciler::source::SourceRequest;
use rig::lab::Lab;
use state::plan::Kind;
use state::plan::guards::{Allowed, MaxPrune};
use state::words::names::HostName;

use crate::kernel::BASE;

/// What applying a commit of the lab's repository asks.
pub(crate) fn request(lab: &Lab, commit: &str) -> Request {
    Request {
        source: SourceRequest {
            directory: lab.repository().path().to_owned(),
            rev: Some(commit.to_owned()),
            worktree: false,
        },
        host: HostName::new("alpha").unwrap(),
        dirs: Dirs {
            pin: PathBuf::from(BASE),
            run: PathBuf::from("/run/plumbline"),
            state: PathBuf::from("/var/lib/plumbline"),
            mounts: Mounts::default(),
        },
        memory: Memory::default(),
    }
}

/// The plan for a commit, with no guard in its way.
pub(crate) fn planned(request: &Request) -> Planned {
    let allowed = Allowed {
        max_prune: MaxPrune::Percent(100),
        empty: true,
        max_cut: None,
        held: false,
    };
    make_plan(request, allowed, |_| ()).unwrap()
}

/// Plans and applies a commit, which must be one that changes the target; leaves nothing behind.
pub(crate) fn apply(request: &Request) {
    let planned = planned(request);
    assert_eq!(planned.plan.kind, Kind::Commit, "{:?}", request.source);
    let settled = Apply::new(
        &planned.plan,
        &planned.target,
        &planned.live,
        &request.dirs,
        1,
    )
    .unwrap()
    .run();
    assert_eq!(settled.unwrap().left, [""; 0]);
}
