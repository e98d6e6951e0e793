//! The design's diagram as functions: the file to read first.
//!
//! ```text
//! source -> documents -> desired -> target --\
//!                                             diff -> plan
//! kernel --------------------------> live --/
//! ```

use std::collections::{BTreeSet, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bpf::conntrack::{Connection, ReadError, State, Subject};
use bpf::object::datapath;
use state::desired::{self, Desired};
use state::diff::diff;
use state::documents::tree::Tree;
use state::documents::{self, Documents};
use state::live::{Entry, HELD_MOST, Live};
use state::plan::collisions::{Collision, collisions};
use state::plan::connections::denied;
use state::plan::cuts::{Cuts, cuts};
use state::plan::guards::{self, Allowed, Refusal};
use state::plan::{Origin, Plan, back, plan};
use state::reach::View;
use state::target::{self, CompileError, Target, compile_again};
use state::words::generation::Generation;
use state::words::names::{FullName, HostName};
use state::words::problem::{Problem, Severity};
use thiserror::Error;

use crate::live::{self, Dirs, LiveError, Reading};
use crate::run::journal;
use crate::source::{self, Known, Source, SourceError, SourceRequest};

/// What a run is asked.
#[derive(Clone, Debug)]
pub struct Request {
    /// Which tree.
    pub source: SourceRequest,
    /// Which host this is.
    pub host: HostName,
    /// Where things are pinned and kept.
    pub dirs: Dirs,
    /// What trees have said before. Shared by who is asked the same, and changes no answer.
    pub memory: Memory,
}

/// What was read and compiled before: whoever reads one tree after the other reads again only what
/// has changed, and compares a tree that was the new one as the old one.
#[derive(Clone, Debug, Default)]
pub struct Memory(Arc<Mutex<Remembered>>);

#[derive(Debug, Default)]
struct Remembered {
    objects: Known,
    documents: documents::memory::Memory,
    compiled: target::Memory,
    /// The last trees that were planned, by host, folder and commit.
    trees: Last<(HostName, PathBuf, String), Understood>,
    /// The last trees that were compared, by their ids.
    views: Last<String, View>,
}

/// What the last trees came to: the live one and the next.
#[derive(Debug)]
struct Last<K, V>(VecDeque<(K, Arc<V>)>);

/// How many trees are known.
const TREES_MOST: usize = 2;

impl<K, V> Default for Last<K, V> {
    fn default() -> Self {
        Self(VecDeque::new())
    }
}

impl<K: PartialEq, V> Last<K, V> {
    fn get(&self, key: &K) -> Option<Arc<V>> {
        let found = self.0.iter().find(|(of, _)| of == key)?;
        Some(Arc::clone(&found.1))
    }

    fn keep(&mut self, key: K, value: &Arc<V>) {
        self.0.retain(|(of, _)| *of != key);
        self.0.push_back((key, Arc::clone(value)));
        while self.0.len() > TREES_MOST {
            self.0.pop_front();
        }
    }
}

impl Memory {
    fn held(&self) -> MutexGuard<'_, Remembered> {
        // Whoever broke off left something that was read, or nothing.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A tree that was planned, if it was one of the last.
    pub(crate) fn tree(&self, request: &Request, commit: &str) -> Option<Arc<Understood>> {
        self.held().trees.get(&key(request, commit))
    }

    /// Reads a commit that was applied before.
    pub(crate) fn read_commit(
        &self,
        directory: &Path,
        commit: &str,
    ) -> Result<Source, SourceError> {
        source::read_commit(directory, commit, &mut self.held().objects)
    }
}

/// What a planned tree is known by: a link may lead to another folder of the same commit.
fn key(request: &Request, commit: &str) -> (HostName, PathBuf, String) {
    let named = &request.source.directory;
    let folder = named.canonicalize().unwrap_or_else(|_| named.clone());
    (request.host.clone(), folder, commit.to_owned())
}

/// What a plan is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Errand {
    /// To make a tree live.
    Apply,
    /// To make one live that was live before.
    GoBack,
    /// To make live again what was live last, where nothing is.
    Again,
}

/// A tree that was read and understood, with whatever was found in it.
#[derive(Clone, Debug)]
pub struct Understood {
    /// What was read.
    pub source: Source,
    /// Its documents.
    pub documents: Documents,
    /// What they ask of this host. Not to be compiled where an error is among the problems.
    pub desired: Desired,
    /// All findings, in the order of their places.
    pub problems: Vec<Problem>,
}

/// A plan and everything it was made from.
#[derive(Debug)]
pub struct Planned {
    /// The tree.
    pub tree: Arc<Understood>,
    /// What the kernel is to hold.
    pub target: Target,
    /// What it holds.
    pub live: Live,
    /// What is to be done.
    pub plan: Plan,
    /// Which live connections that would cut.
    pub cuts: Cuts,
    /// What it is for.
    pub errand: Errand,
}

/// Why there is no plan.
#[derive(Debug, Error)]
pub enum Failure {
    /// The tree cannot be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The tree is invalid.
    #[error("the tree is invalid")]
    Invalid(Arc<Understood>),
    /// It cannot be compiled.
    #[error(transparent)]
    Compile(#[from] CompileError),
    /// The kernel or the host cannot be read.
    #[error(transparent)]
    Live(#[from] LiveError),
    /// The live connections cannot be read.
    #[error(transparent)]
    Connections(#[from] ReadError),
    /// Something of others stands in the way.
    #[error("something that is not ours stands in the way")]
    Collisions(Vec<Collision>),
    /// A guard refuses it. The plan is there to be shown.
    #[error("{refusal}")]
    Refused {
        /// Why.
        refusal: Refusal,
        /// What was refused.
        planned: Box<Planned>,
    },
}

/// Reads a tree and everything that is to be found in it.
pub fn understand(request: &Request) -> Result<Understood, SourceError> {
    let source = source::read(&request.source, &mut request.memory.held().objects)?;
    Ok(understood(source, request))
}

/// Everything that is to be found in a tree that was read.
pub fn understood(mut source: Source, request: &Request) -> Understood {
    let mut memory = request.memory.held();
    let (mut documents, mut problems) =
        documents::parse_again(&mut source.tree, &mut memory.documents);
    drop(memory);
    for problem in source.problems.iter() {
        if !source.tree.is_ignored(&problem.place.file) {
            documents.incomplete |= problem.severity == Severity::Error;
            problems.push(problem.clone());
        }
    }
    let (desired, of_desired) = desired::resolve(&documents, &request.host);
    problems.extend(of_desired);
    Understood {
        source,
        documents,
        desired,
        problems: problems.sorted(),
    }
}

impl Understood {
    /// Whether it may be compiled.
    pub fn is_valid(&self) -> bool {
        self.problems.iter().all(|p| p.severity != Severity::Error)
    }

    /// What slots and the journal call it.
    pub fn origin(&self) -> Origin {
        let id = &self.source.id;
        Origin {
            commit: id.commit().to_owned(),
            tree: id.tree().to_owned(),
        }
    }
}

/// What a valid tree says of every flow, as each host that it names judges it.
///
/// # Errors
///
/// As [`compile_again`].
pub fn reach(tree: &Understood, memory: &Memory) -> Result<Arc<View>, CompileError> {
    let id = tree.source.id.tree().to_owned();
    let mut remembered = memory.held();
    if let Some(view) = remembered.views.get(&id) {
        return Ok(view);
    }
    let (documents, desired) = (&tree.documents, &tree.desired);
    let view = View::of(documents, desired, &datapath(), &mut remembered.compiled)?;
    let view = Arc::new(view);
    remembered.views.keep(id, &view);
    Ok(view)
}

/// From source and kernel to plan. Changes nothing. `understood`: who hears of the tree, whatever
/// becomes of the plan.
pub fn make_plan(
    request: &Request,
    allowed: Allowed,
    understood: impl FnOnce(&Arc<Understood>),
) -> Result<Planned, Failure> {
    let tree = Arc::new(understand(request)?);
    understood(&tree);
    if !tree.is_valid() {
        return Err(Failure::Invalid(tree));
    }
    let commit = tree.source.id.commit();
    tracing::info!(
        commit,
        containers = tree.desired.containers.len(),
        "tree read"
    );
    let read = live::read(&request.dirs, &tree.desired.attachments())?;
    tracing::info!(
        containers = read.live.containers.len(),
        "kernel and host read"
    );
    plan_for(request, tree, read, Errand::Apply, allowed)
}

/// The same errand once more, for the very tree that a plan was made for, from what kernel and host
/// hold by now. Whatever has moved in git meanwhile is the next run's.
pub fn plan_again(
    request: &Request,
    planned: &Planned,
    allowed: Allowed,
) -> Result<Planned, Failure> {
    let tree = Arc::clone(&planned.tree);
    let read = live::read(&request.dirs, &tree.desired.attachments())?;
    plan_for(request, tree, read, planned.errand, allowed)
}

/// From a valid tree and what was read of kernel and host to plan.
pub fn plan_for(
    request: &Request,
    tree: Arc<Understood>,
    mut read: Reading,
    errand: Errand,
    allowed: Allowed,
) -> Result<Planned, Failure> {
    read.live.held_before = held_before(&request.dirs.state, &read.live);
    let (origin, datapath) = (tree.origin(), datapath());
    let mut remembered = request.memory.held();
    let key = key(request, &origin.commit);
    remembered.trees.keep(key, &tree);
    let memory = &mut remembered.compiled;
    let target = compile_again(&tree.desired, &read.located, &datapath, memory)?;
    drop(remembered);
    let collisions = collisions(&target, &read.live);
    if !collisions.is_empty() {
        return Err(Failure::Collisions(collisions));
    }
    let mut differences = diff(&target, &read.live, &datapath);
    let (entries, cached) = entries(&request.dirs, &read.live)?;
    read.live.cached = cached;
    if !differences.needs_commit() {
        differences.denied = denied(&entries, &read.live, &target.tables).len();
    }
    let mut plan = plan(&target, &read.live, &differences, &origin);
    let held = match errand {
        Errand::Apply => {
            // The files of the work tree say nothing of `HEAD` either.
            let named = request.source.rev.is_some() || request.source.worktree;
            plan.held = back::held_after(&read.live, &origin.commit, named);
            back::check_hold(&read.live, &origin.commit, allowed.held)
        }
        Errand::Again => {
            plan.held = back::held_after(&read.live, &origin.commit, true);
            Ok(())
        }
        Errand::GoBack => {
            plan = back::go_back(plan, &read.live, &differences);
            Ok(())
        }
    };
    tracing::info!(operations = plan.steps.len(), "plan made");
    let cuts = cuts(&plan, &entries, &read.live, &target);
    let refusal = held
        .and_then(|()| guards::check(&plan, &target, &read.live, allowed))
        .and_then(|()| guards::check_cuts(&cuts, allowed))
        .err();
    let planned = Planned {
        tree,
        target,
        live: read.live,
        plan,
        cuts,
        errand,
    };
    match refusal {
        None => Ok(planned),
        Some(refusal) => Err(Failure::Refused {
            refusal,
            planned: Box::new(planned),
        }),
    }
}

/// What was held when nothing was live any more: a boot takes away what the kernel knows of that,
/// and the journal ends with going back then.
fn held_before(state: &Path, live: &Live) -> Vec<String> {
    let base = live.base.as_ref();
    if base.is_some_and(|base| base.record.generation != Generation(0)) {
        return Vec::new();
    }
    let entries = journal::read(state).map_or_else(|_| Vec::new(), |history| history.entries);
    let Some(last) = entries.last() else {
        return Vec::new();
    };
    let pairs = entries.windows(2).rev();
    let backs = pairs.take_while(|pair| pair[1].kind == journal::Kind::Rollback);
    let left = backs.map(|pair| &pair[0].commit);
    let left = left.filter(|commit| **commit != last.commit);
    left.take(HELD_MOST).cloned().collect()
}

/// The connections of all live containers, and every generation that a record of any container
/// names, a missing one's and one of fragments included: what they have cached counts once more as
/// soon as they are there. A container whose maps are missing has none.
pub(crate) fn entries(dirs: &Dirs, live: &Live) -> Result<(Vec<Entry>, BTreeSet<u64>), Failure> {
    let (mut entries, mut cached) = (Vec::new(), BTreeSet::new());
    let Some(kernel) = live::open(dirs)? else {
        return Ok((entries, cached));
    };
    for (container, found) in &live.containers {
        let listed = live.endpoint(container).map(|(endpoint, _)| endpoint);
        let Some(endpoint) = listed.or(found.endpoint) else {
            continue;
        };
        let connections = match kernel.connections_at(container, endpoint) {
            Err(ReadError::NoConnections(_)) => continue,
            connections => connections?,
        };
        cached.extend(connections.iter().map(|connection| connection.generation));
        if listed.is_some() {
            entries.extend(connections.iter().filter_map(|c| entry(container, c)));
        }
    }
    Ok((entries, cached))
}

/// `None` where it has expired, or is a record of fragments.
fn entry(container: &FullName, connection: &Connection) -> Option<Entry> {
    let Subject::Flow {
        peer_port,
        own_port,
    } = connection.subject
    else {
        return None;
    };
    (connection.expires_in_s >= 0).then(|| Entry {
        container: container.clone(),
        peer: connection.peer,
        protocol: connection.protocol,
        own_port,
        peer_port,
        initiator: connection.initiator,
        established: connection.state == State::Established,
        ended: connection.reset || connection.closed == (true, true),
        generation: connection.generation,
        from_host: connection.ingress == 0,
        deliver_to: connection.deliver_to,
    })
}

/// The tree's directory: `-C`, else the working directory where it holds `plumbline.yaml`.
pub fn tree_directory(given: Option<PathBuf>) -> Option<PathBuf> {
    given.or_else(|| {
        let here = PathBuf::from(".");
        here.join(Tree::CONFIG).is_file().then_some(here)
    })
}
