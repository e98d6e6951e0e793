//! Why a flow is allowed or denied, for people and for programs.

use std::fmt::Write;

use serde::Serialize;
use state::desired::{Desired, describe};
use state::plan::Origin;
use state::words::flow::Flow;
use state::words::hash::short;
use state::words::identity::RuleId;
use state::words::names::HostName;
use state::words::ports::name_of;
use state::words::verdict::{ByDirection, Decision, Direction, Permit, Verdict};

use super::escape::escape;
use super::style::Style;

/// The answer.
#[derive(Clone, Debug, Serialize)]
pub struct Explanation {
    /// `allowed` where every flow asked about is, else `denied`.
    pub verdict: &'static str,
    /// The commit that says so, whole.
    pub commit: String,
    /// Whether the tables in the kernel were asked, and not the tree.
    pub live: bool,
    /// The flows: one for each address family.
    pub flows: Vec<FlowView>,
}

/// One flow.
#[derive(Clone, Debug, Serialize)]
pub struct FlowView {
    /// `allowed` or `denied`.
    pub verdict: &'static str,
    /// Who begins.
    pub from: End,
    /// With whom.
    pub to: End,
    /// The protocol's name, or its number.
    pub protocol: String,
    /// The port; 0 where the protocol has none.
    pub port: u16,
    /// What the initiator's egress says.
    pub egress: Side,
    /// What the responder's ingress says.
    pub ingress: Side,
}

/// One end of a flow.
#[derive(Clone, Debug, Serialize)]
pub struct End {
    /// `namespace/name`, where it is a container of the tree.
    pub container: Option<String>,
    /// Its address.
    pub address: String,
}

/// What one side says.
#[derive(Clone, Debug, Serialize)]
pub struct Side {
    /// In words.
    pub says: String,
    /// The host that judges it, where it is another one than this.
    pub host: Option<String>,
    /// The first policy, by name, that isolates it, where it denies.
    pub policy: Option<String>,
    /// The rules that allow it, the one it is attributed to first.
    pub rules: Vec<RuleView>,
}

/// One rule.
#[derive(Clone, Debug, Serialize)]
pub struct RuleView {
    /// Its id.
    pub id: String,
    /// Its policy.
    pub policy: String,
    /// In words.
    pub rule: String,
    /// The file it stands in.
    pub file: String,
    /// The line.
    pub line: u32,
}

impl Explanation {
    /// From its flows.
    pub fn of(origin: &Origin, live: bool, flows: Vec<FlowView>) -> Self {
        let allowed = flows.iter().all(|flow| flow.verdict == ALLOWED);
        let verdict = if allowed { ALLOWED } else { DENIED };
        Self {
            verdict,
            commit: origin.commit.clone(),
            live,
            flows,
        }
    }
}

const ALLOWED: &str = "allowed";
const DENIED: &str = "denied";

impl FlowView {
    /// From a verdict, all rules that allow the flow, and the host that judges each side, where it
    /// is another one.
    pub fn of(
        desired: &Desired,
        flow: &Flow,
        verdict: &Verdict,
        rules: &ByDirection<Vec<RuleId>>,
        hosts: &ByDirection<Option<HostName>>,
    ) -> Self {
        let end = |address| End {
            container: desired.container_at(address).map(|c| c.name.to_string()),
            address: address.to_string(),
        };
        let side = |direction| {
            let (says, policy) = says(verdict.get(direction));
            let rules = rules.get(direction).iter();
            Side {
                says,
                host: hosts.get(direction).as_ref().map(ToString::to_string),
                policy,
                rules: rules.filter_map(|id| rule(desired, *id)).collect(),
            }
        };
        Self {
            verdict: if verdict.allows() { ALLOWED } else { DENIED },
            from: end(flow.source),
            to: end(flow.destination),
            protocol: name_of(flow.protocol),
            port: flow.port,
            egress: side(Direction::Egress),
            ingress: side(Direction::Ingress),
        }
    }
}

/// What one side says, and the policy that denies.
fn says(decision: &Decision) -> (String, Option<String>) {
    let permit = match decision {
        Decision::Permit(permit) => permit,
        Decision::Deny { container, policy } => {
            let says = format!("{container} is isolated by {policy}, and no rule allows it");
            return (says, Some(policy.to_string()));
        }
    };
    let says = match permit {
        Permit::NoPolicy => "no container of the tree: no policy judges it",
        Permit::Open => "no policy isolates it",
        Permit::Itself => "a container reaches itself",
        Permit::Host => "a container and its host reach each other",
        Permit::Rule(_) => "a rule allows it",
    };
    (says.to_owned(), None)
}

fn rule(desired: &Desired, id: RuleId) -> Option<RuleView> {
    let (policy, rule) = desired.policies.rule(id)?;
    Some(RuleView {
        id: id.to_string(),
        policy: policy.name.to_string(),
        rule: describe::rule_in_words(desired, rule),
        file: rule.place.file.to_string(),
        line: rule.place.line,
    })
}

/// For people.
pub fn text(explanation: &Explanation, style: Style) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    for flow in &explanation.flows {
        let colour = if flow.verdict == ALLOWED { 32 } else { 31 };
        let verdict = style.paint(colour, flow.verdict);
        let (from, to) = (end(&flow.from), end(&flow.to));
        let port = match flow.port {
            0 => flow.protocol.clone(),
            port => format!("{port}/{}", flow.protocol),
        };
        let _ = writeln!(out, "{verdict}: {from} -> {to} {port}");
        for (name, side) in [("egress", &flow.egress), ("ingress", &flow.ingress)] {
            let host = side.host.as_deref();
            let by = host.map_or_else(String::new, |host| format!(" (judged by host {host})"));
            let _ = writeln!(out, "  {name}{by}: {}", escape(&side.says));
            for rule in &side.rules {
                let place = escape(&format!("{}:{}", rule.file, rule.line));
                let _ = writeln!(out, "    {place}: {} ({})", escape(&rule.rule), rule.policy);
            }
        }
    }
    let strangers = explanation
        .flows
        .iter()
        .flat_map(|flow| [&flow.from, &flow.to]);
    let strangers = strangers.filter(|end| end.container.is_none());
    for stranger in strangers.filter(|_| !explanation.live) {
        let _ = writeln!(
            out,
            "{} is taken for another machine's; --live knows this host's addresses",
            stranger.address
        );
    }
    let which = if explanation.live {
        "live tables, commit"
    } else {
        "commit"
    };
    let _ = writeln!(out, "by {which} {}", short(&explanation.commit));
    out
}

fn end(end: &End) -> String {
    match &end.container {
        Some(name) => format!("{name} ({})", end.address),
        None => end.address.clone(),
    }
}
