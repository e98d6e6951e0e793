//! Runs on a simulated host: planned from what is read back, executed to the end or to a stop, and
//! looked at after every operation.

use proptest::prelude::{Strategy, any, prop_oneof};
use proptest::sample::Index;
use state::desired::resolve;
use state::diff::{Differences, diff};
use state::documents::Documents;
use state::live::{Live, SlotMark};
use state::plan::back::go_back;
use state::plan::{Kind, Operation, Origin, Phase, Plan, Step, plan};
use state::target::host::Network;
use state::target::{Datapath, Target, compile};
use state::words::generation::CommitRecord;

use super::law;
use super::world::{Container, World};
use crate::random;

/// A simulated host, and the datapath that runs on it.
#[derive(Clone, Debug)]
pub(super) struct Lab {
    pub(super) world: World,
    pub(super) datapath: Datapath,
}

/// A plan and what it was made from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Planned {
    pub(super) live: Live,
    pub(super) target: Target,
    pub(super) differences: Differences,
    pub(super) plan: Plan,
    pub(super) datapath: Datapath,
}

/// Where a run ends before its end.
#[derive(Clone, Debug)]
pub(super) enum Stop {
    /// Killed before one of its operations.
    Before(Index),
    /// Killed within one.
    Within(Index, u8),
    /// The check failed, and the store was taken back.
    CheckFails,
    /// One operation of settle failed; the rest was done, and settled is not marked.
    SettleFails(Index),
}

pub(super) fn stops() -> impl Strategy<Value = Stop> {
    prop_oneof![
        4 => any::<Index>().prop_map(Stop::Before),
        4 => (any::<Index>(), any::<u8>()).prop_map(|(at, much)| Stop::Within(at, much)),
        1 => any::<bool>().prop_map(|_| Stop::CheckFails),
        1 => any::<Index>().prop_map(Stop::SettleFails),
    ]
}

pub(super) fn origin(commit: &str) -> Origin {
    Origin {
        commit: commit.to_owned(),
        tree: format!("tree of {commit}"),
    }
}

impl Default for Lab {
    fn default() -> Self {
        Self {
            world: World::default(),
            datapath: Datapath {
                container_code: [1; 32],
                block_code: [2; 32],
                layout: 1,
                endpoints_most: 64,
            },
        }
    }
}

impl Lab {
    /// Plans what turns the host into a tree. Changes nothing.
    pub(super) fn plan(&self, tree: &Documents, commit: &str) -> Planned {
        let live = self.world.live(&self.datapath);
        let (desired, _) = resolve(tree, &random::host());
        let located = live.located(World::uplinks(), Default::default());
        let target = compile(&desired, &located, &self.datapath).expect("a small tree fits");
        let differences = diff(&target, &live, &self.datapath);
        let plan = plan(&target, &live, &differences, &origin(commit));
        Planned {
            live,
            target,
            differences,
            plan,
            datapath: self.datapath.clone(),
        }
    }

    /// Plans how to go back to a tree. Changes nothing.
    fn plan_back(&self, tree: &Documents, commit: &str) -> Planned {
        let mut planned = self.plan(tree, commit);
        planned.plan = go_back(planned.plan, &planned.live, &planned.differences);
        planned
    }

    /// What is read back.
    pub(super) fn live(&self) -> Live {
        self.world.live(&self.datapath)
    }

    /// Plans and applies a tree, and looks whether the host is what the tree asks then.
    pub(super) fn run(&mut self, tree: &Documents, commit: &str) -> Result<Planned, String> {
        self.carry_out(self.plan(tree, commit), tree, commit)
    }

    /// Goes back to a tree, and looks likewise.
    pub(super) fn back(&mut self, tree: &Documents, commit: &str) -> Result<Planned, String> {
        self.carry_out(self.plan_back(tree, commit), tree, commit)
    }

    fn carry_out(
        &mut self,
        planned: Planned,
        tree: &Documents,
        commit: &str,
    ) -> Result<Planned, String> {
        let told = |error| format!("{error}\nplan:\n{}", show_plan(&planned.plan));
        self.do_first(&planned, planned.plan.steps.len())?;
        self.is_whole(tree, commit).map_err(told)?;
        Ok(planned)
    }

    /// The first steps of a plan.
    pub(super) fn do_first(&mut self, planned: &Planned, steps: usize) -> Result<(), String> {
        let told = |error| format!("{error}\nplan:\n{}", show_plan(&planned.plan));
        for step in &planned.plan.steps[..steps] {
            self.step(step, planned).map_err(told)?;
        }
        Ok(())
    }

    /// Plans a tree and applies it up to a stop.
    pub(super) fn run_to(
        &mut self,
        tree: &Documents,
        commit: &str,
        stop: &Stop,
    ) -> Result<Planned, String> {
        self.carry_out_to(self.plan(tree, commit), stop)
    }

    /// Goes back to a tree up to a stop.
    pub(super) fn back_to(
        &mut self,
        tree: &Documents,
        commit: &str,
        stop: &Stop,
    ) -> Result<Planned, String> {
        self.carry_out_to(self.plan_back(tree, commit), stop)
    }

    fn carry_out_to(&mut self, planned: Planned, stop: &Stop) -> Result<Planned, String> {
        let steps = &planned.plan.steps;
        let told = |error| format!("{error}\nstopped plan:\n{}", show_plan(&planned.plan));
        let (done, last) = match stop {
            Stop::Before(at) => (at.index(steps.len() + 1), None),
            Stop::Within(at, much) if !steps.is_empty() => {
                let at = at.index(steps.len());
                (at, Some((&steps[at], *much)))
            }
            Stop::Within(..) | Stop::SettleFails(_) => (steps.len(), None),
            Stop::CheckFails => {
                let check = steps.iter().position(|step| step.phase == Phase::Check);
                let stored = steps.iter().position(|step| step.phase == Phase::Commit);
                (
                    check.or(stored.map(|at| at + 1)).unwrap_or(steps.len()),
                    None,
                )
            }
        };
        let skipped = match stop {
            Stop::SettleFails(at) => self.fails(steps, at),
            _ => Vec::new(),
        };
        for (number, step) in steps[..done].iter().enumerate() {
            if !skipped.contains(&number) {
                self.step(step, &planned).map_err(told)?;
            }
        }
        if let Some((step, much)) = last {
            self.part_of(step, &planned, much).map_err(told)?;
        }
        if matches!(stop, Stop::CheckFails) && planned.plan.kind == Kind::Commit {
            let record = CommitRecord {
                generation: planned.plan.to.generation.next(),
                slot: planned.plan.from.slot,
            };
            self.world.point(record).map_err(told)?;
        }
        Ok(planned)
    }

    /// The steps that are left out where one of settle fails: it, and the mark.
    fn fails(&self, steps: &[Step], at: &Index) -> Vec<usize> {
        let numbered = || steps.iter().enumerate();
        let fallible = |step: &Step| {
            matches!(
                step.operation,
                Operation::Swap { .. }
                    | Operation::TrimNetwork { .. }
                    | Operation::Remove { .. }
                    | Operation::RemoveLeftovers
            )
        };
        let settle = numbered().filter(|(_, s)| s.phase == Phase::Settle && fallible(s));
        let settle: Vec<usize> = settle.map(|(number, _)| number).collect();
        if settle.is_empty() {
            return Vec::new();
        }
        let marks =
            numbered().filter(|(_, s)| matches!(s.operation, Operation::MarkSettled { .. }));
        let marks = marks.map(|(number, _)| number);
        marks.chain([*at.get(&settle)]).collect()
    }

    fn step(&mut self, step: &Step, planned: &Planned) -> Result<(), String> {
        let seen = self.world.seen(&self.datapath);
        let done = self.world.execute(step.phase, &step.operation, planned);
        done.map_err(|error| format!("{error}\nat {}", show_step(step)))?;
        self.look(&seen, step)
    }

    fn part_of(&mut self, step: &Step, planned: &Planned, much: u8) -> Result<(), String> {
        let seen = self.world.seen(&self.datapath);
        let done = self.world.begin(step.phase, &step.operation, planned, much);
        done.map_err(|error| format!("{error}\nwithin {}", show_step(step)))?;
        self.look(&seen, step)
    }

    fn look(&self, seen: &super::seen::Seen, step: &Step) -> Result<(), String> {
        if step.phase >= Phase::Commit {
            return Ok(());
        }
        let now = self.world.seen(&self.datapath);
        let unchanged = seen.is_unchanged(&now);
        unchanged.map_err(|error| format!("{error}\nafter {}", show_step(step)))
    }

    // ---- What is there in the end ----

    /// Whether the host is what a tree asks, to the last thing, and a second plan is nothing.
    fn is_whole(&self, tree: &Documents, commit: &str) -> Result<(), String> {
        let second = self.plan(tree, commit);
        law(
            second.plan.kind == Kind::Nothing && second.plan.is_empty(),
            "a second plan is nothing",
        )
        .map_err(|error| format!("{error}: {:#?}", second.differences))?;
        let target = &second.target;
        let base = self.world.base.as_ref().ok_or("there is no base")?;
        let slot = base.live();
        law(
            slot.tables == target.tables && slot.foreign == 0,
            "the live slot is the target",
        )?;
        law(slot.mark == SlotMark::Settled, "it has settled")?;
        law(
            slot.generation == base.record.generation,
            "as its generation",
        )?;
        law(slot.commit == commit, "under its name")?;
        law(
            base.sets.len() == 1 && base.sets[0].code == self.datapath.block_code,
            "one set of blocks is left",
        )?;
        law(
            base.registry.len() == target.containers.len(),
            "each container is registered once",
        )?;
        law(
            self.world.containers.len() == target.containers.len(),
            "no container is left",
        )?;
        for (name, wanted) in &target.containers {
            let found = self
                .world
                .containers
                .get(name)
                .ok_or("a container is missing")?;
            let is = self.is_container(found, wanted, base.sets[0].id);
            is.map_err(|error| format!("{name}: {error}: {found:#?}"))?;
        }
        for (path, value) in &target.host.sysctls {
            law(
                self.world.sysctls.get(path) == Some(value),
                "sysctls are set",
            )?;
        }
        Ok(())
    }

    fn is_container(
        &self,
        found: &Container,
        wanted: &state::target::ContainerTarget,
        blocks: u32,
    ) -> Result<(), String> {
        let base = self.world.base.as_ref().ok_or("there is no base")?;
        let maps = found.maps.ok_or("no maps")?;
        law(
            maps.quota == wanted.connections && !maps.torn,
            "maps of the quota",
        )?;
        let endpoint = wanted.constants.endpoint;
        law(base.registry.get(&endpoint) == Some(&maps.id), "registered")?;
        law(found.first && found.guarded, "first and guarded")?;
        let wires = found.wires.as_ref().ok_or("no network")?;
        for program in &found.programs {
            let program = program.as_ref().ok_or("no program")?;
            law(
                program.constants == [wanted.constants; 2],
                "plain constants",
            )?;
            law(program.build == Some(wanted.programs.build), "the build")?;
            law(
                program.blocks == blocks && program.maps == maps.id,
                "what it reaches",
            )?;
            law(Some(program.ifindex) == wires.ifindex, "its interface")?;
        }
        let row = base.live().tables.endpoints.get(&endpoint);
        law(
            row.and_then(|row| row.ifindex) == wires.ifindex,
            "the row's interface",
        )?;
        let Network {
            addresses,
            mtu,
            resolv_conf,
            ..
        } = &wanted.network;
        let addresses = addresses.iter().copied().collect();
        law(wires.up && wires.mtu == *mtu, "up")?;
        law(
            wires.addresses == addresses && wires.routes == addresses,
            "addresses",
        )?;
        law(wires.neighbours == addresses, "neighbours")?;
        law(
            wires.resolv_conf == resolv_conf.then_some(true),
            "resolv.conf",
        )
    }
}

pub(super) fn show_step(step: &Step) -> String {
    format!("{:?} {:?}", step.phase, step.operation)
}

/// A plan, a line for each step.
pub(super) fn show_plan(plan: &Plan) -> String {
    let steps = plan.steps.iter().map(show_step);
    format!("{:?}\n{}", plan.kind, steps.collect::<Vec<_>>().join("\n"))
}
