//! What becomes of one container: its operations, gathered into what a person wants to know of it.

use std::collections::BTreeSet;
use std::net::IpAddr;

use state::diff::{Detached, NetworkDifference, Surplus};
use state::plan::{Operation, Phase, Plan};
use state::target::Constants;
use state::target::host::{Attach, Network};
use state::words::hash::short;
use state::words::names::FullName;
use state::words::verdict::ByDirection;

use super::view::{Action, Object};

/// What is done to one container.
#[derive(Default)]
pub(super) struct Touched<'a> {
    /// It is not live yet: whether it will be open.
    added: Option<ByDirection<bool>>,
    /// It is live, and will not be.
    removed: bool,
    /// What of others it is attached to.
    attached: Option<Attach>,
    /// It is taken down.
    taken_down: bool,
    network: Option<(&'a Network, &'a NetworkDifference)>,
    /// Addresses that are another container's until the store.
    taken: BTreeSet<IpAddr>,
    surplus: Option<&'a Surplus>,
    /// Other details, in the order of the operations.
    details: Vec<String>,
}

impl<'a> Touched<'a> {
    pub(super) fn new(plan: &Plan, name: &FullName) -> Self {
        Self {
            added: plan.added.get(name).copied(),
            removed: plan.removed.contains(name),
            attached: plan.attached.get(name).cloned(),
            details: match plan.closed.contains(name) {
                true => vec![CLOSED.to_owned()],
                false => Vec::new(),
            },
            ..Self::default()
        }
    }

    pub(super) fn take(&mut self, phase: Phase, operation: &'a Operation) {
        match operation {
            Operation::EnsureNetwork { network, lacks, .. } => match phase {
                Phase::Check => self.taken.extend(&lacks.lacks),
                _ => self.network = Some((network, lacks)),
            },
            Operation::TrimNetwork { surplus, .. } => self.surplus = Some(surplus),
            Operation::Remove { .. } => self.taken_down = true,
            Operation::CreateConnections {
                endpoint, quota, ..
            } => self.details.push(match self.added {
                Some(_) => format!("endpoint {endpoint}, up to {quota} TCP connections"),
                None => format!("connection maps are missing: up to {quota} TCP connections"),
            }),
            Operation::ResizeConnections { from, to, .. } => {
                let detail = format!("up to {from} -> {to} TCP connections");
                self.details.push(detail);
            }
            Operation::Attach {
                build,
                why,
                constants,
                ..
            } => {
                let build = build.to_string();
                let programs = format!("programs {}", short(&build));
                if let (Some(Attach::Interface { name, .. }), None) = (&self.attached, self.network)
                {
                    let mac = constants.mac;
                    let on = format!("on interface {name} of others, to MAC address {mac}");
                    self.details.push(on);
                }
                self.details.push(match self.added {
                    Some(_) => programs,
                    None => format!("{why}: attach {programs}"),
                });
            }
            Operation::Guard { .. } => self
                .details
                .push(format!("{}: put it there", Detached::Unguarded)),
            // In settle it ends what prepare began.
            Operation::Swap {
                build,
                from,
                constants,
                ..
            } if phase == Phase::Prepare => {
                if let Some(from) = from {
                    self.details.extend(constants_in_words(from, constants));
                }
                let build = build.to_string();
                self.details.push(format!("programs {}", short(&build)));
            }
            _ => {}
        }
    }

    /// The object, if there is anything to be said.
    pub(super) fn object(self, name: &FullName) -> Option<Object> {
        let named = |action| Object::new(action, "container", name.to_string());
        if self.removed || self.taken_down {
            let detail = match self.removed {
                true => "interface, network namespace, programs and connections",
                false => "what a run that died has made of it",
            };
            return Some(named(Action::Delete).saying(match &self.attached {
                Some(attach) if self.removed => leaves(attach),
                _ => detail.to_owned(),
            }));
        }
        let action = match self.added {
            Some(_) => Action::Create,
            None => Action::Update,
        };
        let mut object = named(action);
        object.open = self.added.map(Into::into);
        object.details = self.network_in_words();
        object.details.extend(self.details);
        let said = action == Action::Create || !object.details.is_empty();
        said.then_some(object)
    }

    fn network_in_words(&self) -> Vec<String> {
        let mut lines = Vec::new();
        let mut comes = self.taken.clone();
        if let Some((network, lacks)) = self.network {
            if lacks.missing {
                let addresses = network.addresses.iter().chain(&self.taken);
                lines.push(listed(addresses));
                lines.push(format!(
                    "network namespace {}, interface {}, MTU {}",
                    network.namespace_in_words(),
                    network.interface,
                    network.mtu
                ));
                comes.clear();
            }
            lines.extend(lacks.faults.iter().map(ToString::to_string));
            comes.extend(&lacks.lacks);
        }
        let mut goes = self
            .surplus
            .map(|s| s.addresses.clone())
            .unwrap_or_default();
        for address in comes {
            // One of its family goes for it: it is another address.
            let old = goes
                .iter()
                .find(|old| old.is_ipv4() == address.is_ipv4())
                .copied();
            lines.push(match old {
                Some(old) => format!("address {old} -> {address}"),
                None => format!("address {address} comes"),
            });
            goes.retain(|address| Some(*address) != old);
        }
        lines.extend(goes.iter().map(|address| format!("address {address} goes")));
        if !self.taken.is_empty() {
            let taken = listed(&self.taken);
            lines.push(format!("{taken} is another container's until the commit"));
        }
        if self.surplus.is_some_and(|surplus| surplus.resolv_conf) {
            lines.push("its resolv.conf goes".to_owned());
        }
        lines
    }
}

/// Of a container that is live and missing.
const CLOSED: &str = "closed until it is there again: nothing reaches it, and nothing leaves it";

/// What goes of a container that is attached to something of others, and what stays.
fn leaves(attach: &Attach) -> String {
    match attach {
        Attach::Managed => "interface, network namespace, programs and connections".to_owned(),
        Attach::Namespace(path) => {
            format!("interface, programs and connections; network namespace {path} stays")
        }
        Attach::Interface { name, .. } => {
            format!("programs and connections; interface {name} stays")
        }
    }
}

fn listed<'a>(addresses: impl IntoIterator<Item = &'a IpAddr>) -> String {
    let list: Vec<String> = addresses.into_iter().map(ToString::to_string).collect();
    list.join(" and ")
}

/// What differs between two sets of constants, beside the addresses, which its network tells.
fn constants_in_words(from: &Constants, to: &Constants) -> Vec<String> {
    fn pair<T: ToString + PartialEq>(what: &str, from: T, to: T) -> Option<String> {
        let changed = from != to;
        changed.then(|| format!("{what} {} -> {}", from.to_string(), to.to_string()))
    }
    [
        pair("endpoint", from.endpoint, to.endpoint),
        pair("MAC", from.mac, to.mac),
        pair("gateway MAC", from.gateway_mac, to.gateway_mac),
    ]
    .into_iter()
    .flatten()
    .collect()
}
