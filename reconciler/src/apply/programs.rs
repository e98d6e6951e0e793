//! Programs are loaded before they are attached or swapped in, for several containers at once: what
//! the verifier does takes longer than all else that a container needs.

use bpf::object::Build;
use bpf::programs::{AttachError, Loaded};
use state::plan::Operation;
use state::words::generation::Slot;
use state::words::names::FullName;

use super::Apply;
use super::error::{NotOpen, SwapError};
use crate::host::threads;

/// For how many containers programs are loaded before the first of them are attached: enough for
/// every processor, and few enough for all of them to be held.
pub(super) const AHEAD: usize = 16;

/// What became of loading.
pub(super) type Loading = Result<Loaded, AttachError>;

impl Apply<'_> {
    /// Loads what operations attach or swap in, of containers that are not lost. In their order.
    pub(super) fn load<'o>(
        &self,
        operations: &[&'o Operation],
    ) -> Result<Vec<(&'o Operation, Loading)>, NotOpen> {
        let kernel = self.kernel()?;
        let wanted = operations.iter().filter_map(|operation| {
            let (container, build) = self.wanted(operation)?;
            (!self.lost.contains_key(container)).then_some((*operation, container, build))
        });
        let wanted: Vec<_> = wanted.collect();
        let loaded = threads::each(&wanted, |(_, container, build)| {
            kernel.load(container, build)
        });
        Ok(wanted.iter().map(|wanted| wanted.0).zip(loaded).collect())
    }

    /// Whose programs an operation puts somewhere, and which: a plain build, or one that holds the
    /// constants of both slots.
    fn wanted<'o>(&self, operation: &'o Operation) -> Option<(&'o FullName, Build)> {
        let (Operation::Attach {
            container,
            from,
            constants,
            build,
            ..
        }
        | Operation::Swap {
            container,
            from,
            constants,
            build,
        }) = operation
        else {
            return None;
        };
        let build = match from {
            None => Build::Plain(*constants, *build),
            Some(from) => Build::Transition(match self.plan.to.slot {
                Slot::A => [*constants, *from],
                Slot::B => [*from, *constants],
            }),
        };
        Some((container, build))
    }

    /// Swaps programs in.
    pub(super) fn swap(&self, container: &FullName, loaded: Loading) -> Result<(), SwapError> {
        let kernel = self.kernel()?;
        let swapped = loaded.and_then(|loaded| kernel.swap_loaded(container, &loaded));
        // Who leaves the tree may have lost its interface meanwhile, and needs nothing then.
        if self.target.containers.contains_key(container) {
            swapped?;
        } else if let Err(error) = swapped {
            tracing::info!("{container} leaves, and its programs were left: {error}");
        }
        Ok(())
    }
}
