//! What a plan may take away, what stands in the way of one, and who becomes open.

use std::collections::BTreeSet;

use proptest::prelude::{Strategy, any, prop_oneof};
use state::desired::resolve;
use state::documents::Documents;
use state::live::{Live, LiveHost};
use state::plan::collisions::{Collision, collisions};
use state::plan::guards::{Allowed, MaxPrune, Refusal, check};
use state::words::names::{FullName, NamespaceName};
use state::words::verdict::Direction;

use super::lab::{Lab, Planned};
use super::{hold_trees, law, show, trees::trees};
use crate::random;
use crate::random::run::hold;

fn max_prune() -> impl Strategy<Value = MaxPrune> {
    prop_oneof![
        (0..=100_u32).prop_map(MaxPrune::Percent),
        proptest::sample::select(vec![0, 50, 100]).prop_map(MaxPrune::Percent),
        (0..8_u32).prop_map(MaxPrune::Containers),
    ]
}

/// Containers of this host, and for each whether a direction is open, from the documents alone.
fn isolation(tree: &Documents) -> Vec<(FullName, [bool; 2])> {
    let (desired, _) = resolve(tree, &random::host());
    let here = desired.containers_here();
    let open = |container, direction| desired.isolating(container, direction).next().is_none();
    here.map(|c| {
        (
            c.name.clone(),
            Direction::ALL.map(|direction| open(c, direction)),
        )
    })
    .collect()
}

/// Who would be lost: removed, or open where it was not.
fn lost(old: &Documents, new: &Documents) -> BTreeSet<FullName> {
    let (old, new) = (isolation(old), isolation(new));
    let lost = old.into_iter().filter(|(name, was)| {
        let becomes = new.iter().find(|(other, _)| other == name);
        becomes.is_none_or(|(_, open)| (0..2).any(|d| open[d] && !was[d]))
    });
    lost.map(|(name, _)| name).collect()
}

#[test]
fn what_is_lost_is_counted_against_what_is_live() {
    let parts = (trees(2), max_prune(), any::<bool>());
    hold(
        2_000,
        parts,
        |(trees, ..)| show(trees),
        |(trees, max_prune, empty)| {
            let mut lab = Lab::default();
            lab.run(&trees[0], "c1")?;
            let planned = lab.plan(&trees[1], "c2");
            let allowed = Allowed {
                max_prune: *max_prune,
                empty: *empty,
                max_cut: None,
                held: false,
            };
            let refusal = check(&planned.plan, &planned.target, &planned.live, allowed).err();
            let live = isolation(&trees[0]).len();
            let lost = lost(&trees[0], &trees[1]);
            if isolation(&trees[1]).is_empty() && live > 0 {
                let expected = (!empty).then_some(Refusal::Empty { live });
                return law(refusal == expected, "an empty tree is refused, or allowed");
            }
            let too_many = match max_prune {
                MaxPrune::Percent(percent) => lost.len() * 100 > live * *percent as usize,
                MaxPrune::Containers(number) => lost.len() > *number as usize,
            };
            law(
                refusal.is_some() == too_many,
                "more than allowed is refused",
            )?;
            let Some(Refusal::Prune {
                removed,
                opened,
                live: counted,
                ..
            }) = refusal
            else {
                return Ok(());
            };
            law(counted == live, "live is counted")?;
            law(removed.is_disjoint(&opened), "nobody is counted twice")?;
            law(
                removed.union(&opened).cloned().collect::<BTreeSet<_>>() == lost,
                "all are named",
            )
        },
    );
}

/// 0 % and 0 let nothing be lost, 100 % all but everything.
#[test]
fn the_ends_of_max_prune() {
    hold_trees(500, 2, |trees| {
        let mut lab = Lab::default();
        lab.run(&trees[0], "c1")?;
        let Planned {
            plan, target, live, ..
        } = lab.plan(&trees[1], "c2");
        let refused = |max_prune| {
            let allowed = Allowed {
                max_prune,
                empty: true,
                max_cut: None,
                held: false,
            };
            check(&plan, &target, &live, allowed).is_err()
        };
        let nothing = lost(&trees[0], &trees[1]).is_empty() || target.containers.is_empty();
        law(
            refused(MaxPrune::Percent(0)) != nothing,
            "0 % lets nothing be lost",
        )?;
        law(refused(MaxPrune::Containers(0)) != nothing, "nor does 0")?;
        law(!refused(MaxPrune::Percent(100)), "100 % refuses nothing")
    });
}

/// What never was live may go, however much it is: what a first run that died has made.
#[test]
fn what_a_run_that_died_has_left_is_no_loss() {
    hold_trees(300, 1, |trees| {
        let mut lab = Lab::default();
        let nobody = Documents::default();
        lab.run(&nobody, "c0")?;
        let planned = lab.plan(&trees[0], "c1");
        for step in planned
            .plan
            .steps
            .iter()
            .take_while(|s| s.phase < state::plan::Phase::Commit)
        {
            lab.world.execute(step.phase, &step.operation, &planned)?;
        }
        let undo = lab.plan(&nobody, "c0");
        let allowed = Allowed {
            max_prune: MaxPrune::Containers(0),
            empty: false,
            max_cut: None,
            held: false,
        };
        let refusal = check(&undo.plan, &undo.target, &undo.live, allowed);
        law(refusal.is_ok(), "it is undone without a question")?;
        lab.run(&nobody, "c0").map(drop)
    });
}

/// Two trees on one host: one of another repository is a tree in which nobody of the first is.
#[test]
fn another_tree_is_refused_for_what_it_would_remove() {
    hold_trees(300, 2, |trees| {
        let mut other = trees[1].clone();
        for container in &mut other.containers {
            container.name.namespace = NamespaceName::new("c").expect("a name");
        }
        let mut lab = Lab::default();
        lab.run(&trees[0], "c1")?;
        let planned = lab.plan(&other, "other");
        let live = isolation(&trees[0]).len();
        let refusal = check(
            &planned.plan,
            &planned.target,
            &planned.live,
            Allowed::default(),
        );
        law(refusal.is_err() == (live > 0), "all would be removed")?;
        lab.run(&other, "other").map(drop)
    });
}

/// Where the base is lost, all that is there counts as live.
#[test]
fn a_lost_base_is_no_leave_to_remove_everything() {
    hold_trees(300, 2, |trees| {
        let mut lab = Lab::default();
        lab.run(&trees[0], "c1")?;
        lab.world.lose_bpffs();
        let Planned {
            plan, target, live, ..
        } = lab.plan(&trees[1], "c2");
        let kept: BTreeSet<FullName> = target.containers.keys().cloned().collect();
        let had = isolation(&trees[0]);
        let gone = had.iter().filter(|(name, _)| !kept.contains(name)).count();
        let refusal = check(&plan, &target, &live, Allowed::default());
        law(live.count() == had.len(), "all are counted")?;
        law(plan.removed.len() == gone, "those that go are counted")?;
        law(
            refusal.is_err() == (gone * 2 > had.len() || (kept.is_empty() && !had.is_empty())),
            "half of them may go",
        )
    });
}

/// Openness is told from tables; it must be what the documents say.
#[test]
fn who_becomes_open_or_isolated_is_told() {
    hold_trees(1_000, 2, |trees| {
        let mut lab = Lab::default();
        lab.run(&trees[0], "c1")?;
        let planned = lab.plan(&trees[1], "c2");
        let (old, new) = (isolation(&trees[0]), isolation(&trees[1]));
        let mut expected = Vec::new();
        for (name, becomes) in &new {
            let Some((_, was)) = old.iter().find(|(other, _)| other == name) else {
                let open = planned.plan.added.get(name).ok_or("who is new is told")?;
                law(
                    [open.ingress, open.egress] == *becomes,
                    "and whether it is open",
                )?;
                continue;
            };
            for (at, direction) in Direction::ALL.into_iter().enumerate() {
                if was[at] != becomes[at] {
                    expected.push((name.clone(), direction, becomes[at]));
                }
            }
        }
        let opens = planned.plan.opens.iter();
        let told: Vec<_> = opens
            .map(|c| (c.container.clone(), c.direction, c.open))
            .collect();
        law(
            told == expected,
            "every change of openness is told, and no other",
        )
    });
}

#[test]
fn whatever_others_have_is_a_collision() {
    hold_trees(500, 1, |trees| {
        let lab = Lab::default();
        let Planned { target, live, .. } = lab.plan(&trees[0], "c1");
        law(
            collisions(&target, &live).is_empty(),
            "nothing stands in the way",
        )?;
        let Some((name, container)) = target.containers.iter().next() else {
            return Ok(());
        };
        let network = &container.network;
        let address = network.addresses[0];
        let container = || name.clone();
        let clear = live.host.clone();
        let seen = |host: LiveHost| {
            let live = Live {
                host,
                ..live.clone()
            };
            collisions(&target, &live)
        };
        let mut host = clear.clone();
        host.foreign_namespaces.insert(network.namespace.clone());
        let expected = Collision::Namespace {
            container: container(),
            name: network.namespace.clone(),
        };
        law(seen(host) == [expected], "a namespace of others")?;
        let mut host = clear.clone();
        host.foreign_interfaces
            .insert(network.interface.clone(), 99);
        let expected = Collision::Interface {
            container: container(),
            name: network.interface.clone(),
        };
        law(seen(host) == [expected], "an interface of others")?;
        let mut host = clear.clone();
        host.foreign_routes.insert(address);
        let route = Collision::Route {
            container: container(),
            address,
        };
        law(seen(host.clone()) == [route], "a route of others")?;
        host.subnet_addresses.insert(address);
        let subnet = Collision::SubnetAddress {
            container: container(),
            address,
        };
        law(
            seen(host.clone()) == [subnet],
            "an address that a subnet keeps",
        )?;
        host.addresses.insert(address);
        let own = Collision::HostAddress {
            container: container(),
            address,
        };
        law(seen(host) == [own], "an address of the host")
    });
}

#[test]
fn a_resolv_conf_of_others_is_a_collision_where_ours_is_wanted() {
    hold_trees(500, 1, |trees| {
        let lab = Lab::default();
        let Planned {
            target, mut live, ..
        } = lab.plan(&trees[0], "c1");
        let mut expected = Vec::new();
        for (name, container) in &target.containers {
            let namespace = &container.network.namespace;
            live.host.foreign_resolvers.insert(namespace.clone());
            if container.network.resolv_conf {
                expected.push(Collision::Resolver {
                    container: name.clone(),
                    name: namespace.clone(),
                });
            }
        }
        law(collisions(&target, &live) == expected, "as many")
    });
}
