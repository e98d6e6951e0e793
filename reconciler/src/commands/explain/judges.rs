//! Who judges which side of a flow: this host, or for a container of another host, that one.
//!
//! Hosts that share a tree agree without talking, so what another host says follows from the tree.
//! Its tables are asked as it would compile them; which addresses are its own is not known here.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use state::desired::{self, Desired};
use state::documents::Documents;
use state::target::{self, CompileError, Located, Target, compile};
use state::words::flow::Flow;
use state::words::identity::RuleId;
use state::words::names::HostName;
use state::words::verdict::{ByDirection, Direction, Verdict};

/// The addresses of another host, which are not known here.
static UNKNOWN: BTreeSet<IpAddr> = BTreeSet::new();

/// One host's view of the tree.
#[derive(Clone, Copy)]
pub(super) struct Judge<'a> {
    pub(super) desired: &'a Desired,
    pub(super) target: &'a Target,
    /// The host's own addresses.
    pub(super) addresses: &'a BTreeSet<IpAddr>,
}

impl Judge<'_> {
    fn verdict(&self, flow: &Flow) -> Option<Verdict> {
        target::judge::verdict(self.desired, self.target, flow)
    }
}

/// This host, and the others that have a say.
pub(super) struct Judges<'a> {
    here: Judge<'a>,
    elsewhere: BTreeMap<HostName, (Desired, Target)>,
}

/// What was said of a flow, and by whom.
pub(super) struct Judged {
    pub(super) verdict: Verdict,
    /// All rules of the tree that allow it.
    pub(super) rules: ByDirection<Vec<RuleId>>,
    /// The host that judges each side, where it is another one.
    pub(super) hosts: ByDirection<Option<HostName>>,
}

impl<'a> Judges<'a> {
    /// Everybody whose container is an end of one of the flows.
    pub(super) fn of(
        here: Judge<'a>,
        documents: &Documents,
        flows: &[Flow],
    ) -> Result<Self, CompileError> {
        let mut elsewhere = BTreeMap::new();
        let ends = flows.iter().flat_map(|f| [f.source, f.destination]);
        for host in ends.filter_map(|end| other_host(here.desired, end)) {
            if !elsewhere.contains_key(host) {
                let (desired, _) = desired::resolve(documents, host);
                let target = compile(&desired, &Located::default(), &bpf::object::datapath())?;
                elsewhere.insert(host.clone(), (desired, target));
            }
        }
        Ok(Self { here, elsewhere })
    }

    /// Asks each side's judge. `None` where the tables of one name a container that is absent.
    pub(super) fn judge(&self, flow: &Flow) -> Option<Judged> {
        let ends = ByDirection {
            egress: flow.source,
            ingress: flow.destination,
        };
        let hosts = ByDirection::from_fn(|direction| {
            other_host(self.here.desired, *ends.get(direction)).cloned()
        });
        let judge = |direction| self.judge_of(hosts.get(direction).as_ref());
        let rules = ByDirection::from_fn(|direction| {
            let Judge {
                desired, addresses, ..
            } = judge(direction);
            let mut rules = desired::judge(desired, addresses, flow).rules;
            std::mem::take(rules.get_mut(direction))
        });
        let verdict = Verdict {
            egress: judge(Direction::Egress).verdict(flow)?.egress,
            ingress: judge(Direction::Ingress).verdict(flow)?.ingress,
        };
        Some(Judged {
            verdict,
            rules,
            hosts,
        })
    }

    fn judge_of(&self, host: Option<&HostName>) -> Judge<'_> {
        match host.and_then(|host| self.elsewhere.get(host)) {
            None => self.here,
            Some((desired, target)) => Judge {
                desired,
                target,
                addresses: &UNKNOWN,
            },
        }
    }
}

/// The host that has the container of an address, where that is not this one.
fn other_host(desired: &Desired, address: IpAddr) -> Option<&HostName> {
    let container = desired.container_at(address).filter(|c| !c.here)?;
    container.host.as_ref()
}
