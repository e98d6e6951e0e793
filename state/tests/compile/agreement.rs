//! The oracle, the judge of the desired state and the judge of the tables give one verdict, by the
//! same rules.

use std::collections::BTreeMap;

use proptest::strategy::{Strategy, ValueTree as _};
use proptest::test_runner::TestRunner;
use state::desired::judge::Judgement;
use state::desired::{self, Desired, Rule};
use state::target;
use state::words::flow::Flow;
use state::words::identity::RuleId;
use state::words::verdict::{ByDirection, Decision, Direction, Permit};

use super::{compiled, show};
use crate::oracle::{Opinion, Oracle, Written};
use crate::random::run::hold;
use crate::random::{self, Case, HERE};

/// At least ten thousand pairs of tree and packet.
#[test]
fn the_oracle_and_both_judges_agree() {
    hold(4_000, random::case(24), show, three_agree);
}

fn oracle(case: &Case) -> Oracle<'_> {
    Oracle {
        documents: &case.documents,
        host: HERE,
        host_addresses: &case.host_addresses,
    }
}

fn opinions(case: &Case, flow: &Flow) -> ByDirection<Opinion> {
    ByDirection::from_fn(|direction| oracle(case).opinion(flow, direction))
}

pub(super) fn three_agree(case: &Case) -> Result<(), String> {
    let (desired, target) = compiled(&case.documents, case);
    for flow in &case.flows {
        let expected = judgement(&desired, &opinions(case, flow));
        let judged = desired::judge(&desired, &case.host_addresses, flow);
        if judged != expected {
            return Err(format!(
                "{flow}\noracle:  {expected:?}\ndesired: {judged:?}"
            ));
        }
        let by_tables = target::judge::verdict(&desired, &target, flow);
        if by_tables.as_ref() != Some(&expected.verdict) {
            let expected = expected.verdict;
            return Err(format!(
                "{flow}\noracle: {expected:?}\ntarget: {by_tables:?}"
            ));
        }
    }
    Ok(())
}

/// What two opinions make together, in the words of the judges.
fn judgement(desired: &Desired, opinions: &ByDirection<Opinion>) -> Judgement {
    let mut rules = ByDirection::<Vec<RuleId>>::default();
    let verdict = ByDirection::from_fn(|direction| {
        Decision::Permit(match opinions.get(direction) {
            Opinion::NotOurs => Permit::NoPolicy,
            Opinion::Itself => Permit::Itself,
            Opinion::Host => Permit::Host,
            Opinion::Open => Permit::Open,
            Opinion::Rules(written) => {
                let ids = ids_of(desired, written, direction);
                let first = ids[0];
                *rules.get_mut(direction) = ids;
                Permit::Rule(first)
            }
            Opinion::Denied(container, policy) => {
                return Decision::Deny {
                    container: container.clone(),
                    policy: policy.clone(),
                };
            }
        })
    });
    Judgement { verdict, rules }
}

/// The rules that the oracle names, by the ids that the compile step gave them.
fn ids_of(desired: &Desired, written: &[Written], direction: Direction) -> Vec<RuleId> {
    let policies = &desired.policies;
    let find = |w: &Written| {
        let same = |rule: &&Rule| {
            policies.list[rule.policy].name == w.policy
                && (rule.direction, rule.item, rule.peer_item) == (direction, w.item, w.peer)
        };
        let rule = policies.rules.iter().find(same);
        rule.expect("every written rule was resolved").id
    };
    written.iter().map(find).collect()
}

/// A law over flows that are all denied shows little: every outcome must be common.
#[test]
fn random_flows_reach_every_outcome() {
    let mut runner = TestRunner::deterministic();
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    for _ in 0..400 {
        let case = random::case(24).new_tree(&mut runner);
        let case = case.expect("no value is left out").current();
        for flow in &case.flows {
            let opinions = opinions(&case, flow);
            for direction in Direction::ALL {
                let outcome = match opinions.get(direction) {
                    Opinion::NotOurs => "not ours",
                    Opinion::Itself => "itself",
                    Opinion::Host => "host",
                    Opinion::Open => "open",
                    Opinion::Rules(rules) if rules.len() > 1 => "several rules",
                    Opinion::Rules(_) => "one rule",
                    Opinion::Denied(..) => "denied",
                };
                *seen.entry(outcome).or_default() += 1;
            }
        }
    }
    assert_eq!(seen.len(), 7, "{seen:?}");
    assert!(seen.values().all(|count| *count >= 100), "{seen:?}");
}
