//! Whether this host can do it, and what stands in the way: tried, not guessed from versions.
//! Nothing of the host is changed.

use std::path::Path;

use bpf::doctor::{Feature, probe};
use rustix::thread::{CapabilitySet, capabilities};
use state::drift::Kind;
use state::target::host::INTERFACE_GROUP;

use crate::drift;
use crate::host::{mount, sysctls, trial};
use crate::live::{self, Dirs};
use crate::pipeline::{self, Failure, Request};
use crate::report::doctor::{Check, State};
use crate::run::suspended;
use crate::source;

/// Capabilities that applying takes (capabilities(7)).
const CAPABILITIES: &[(CapabilitySet, &str)] = &[
    (CapabilitySet::BPF, "CAP_BPF"),
    (CapabilitySet::NET_ADMIN, "CAP_NET_ADMIN"),
    (CapabilitySet::PERFMON, "CAP_PERFMON"),
    (CapabilitySet::SYS_ADMIN, "CAP_SYS_ADMIN"),
    (CapabilitySet::SYS_PTRACE, "CAP_SYS_PTRACE"),
];

/// Looks at everything. Without a request there is no tree to look at.
pub fn examine(request: Option<&Request>, dirs: &Dirs) -> Vec<Check> {
    let mut checks = vec![privileges(), compiler()];
    checks.extend(kernel());
    checks.push(pairs());
    checks.push(bpffs(&dirs.pin));
    checks.push(cgroups());
    checks.extend(sysctls_of_host(turns_on(request)));
    checks.extend(request.map(tree));
    checks.extend(host(request, dirs));
    checks.extend(suspension(&dirs.state));
    checks
}

fn privileges() -> Check {
    const WHAT: &str = "capabilities";
    let had = match capabilities(None) {
        Ok(sets) => sets.effective,
        Err(error) => return Check::new(WHAT, State::Lacking, error.to_string()),
    };
    let lacking = CAPABILITIES.iter().filter(|(one, _)| !had.contains(*one));
    let lacking: Vec<&str> = lacking.map(|(_, name)| *name).collect();
    match (live::may(), lacking.as_slice()) {
        (Ok(()), []) => Check::good(WHAT, "root, with all that is needed"),
        (Ok(()), lacking) => {
            let found = format!("root without {}", lacking.join(", "));
            Check::new(WHAT, State::Lacking, found).remedy(
                "leave them in the unit's CapabilityBoundingSet, or give them to the sandbox",
            )
        }
        (Err(_), _) => {
            Check::new(WHAT, State::Lacking, "this user is not root").remedy("run it by sudo")
        }
    }
}

fn compiler() -> Check {
    Check::good(
        "compiler",
        "none is needed: the programs' bytecode is part of this binary",
    )
}

/// Each feature builds on those before it.
fn kernel() -> Vec<Check> {
    let lack = probe().err();
    let lacking = lack.as_ref().map(|lack| (lack.feature(), lack.to_string()));
    let check = |feature: Feature| {
        let what = feature.to_string();
        match &lacking {
            Some((lacked, why)) if *lacked == feature => {
                // What is lacking, and what to do about it, is told in one.
                Check::new(&what, State::Lacking, why.as_str())
            }
            Some((lacked, _)) if *lacked < feature => {
                Check::new(&what, State::Untried, format!("not tried without {lacked}"))
            }
            _ => Check::good(&what, "tried, and taken"),
        }
    };
    Feature::ALL.into_iter().map(check).collect()
}

fn pairs() -> Check {
    const WHAT: &str = "pairs of interfaces";
    match trial::pair() {
        Ok(()) => Check::good(WHAT, "one was made between two new network namespaces"),
        Err(error) => Check::new(WHAT, State::Lacking, error.to_string()).remedy(
            "the kernel needs CONFIG_NET_NS and CONFIG_VETH or its module veth, and the caller \
             CAP_SYS_ADMIN and CAP_NET_ADMIN",
        ),
    }
}

fn bpffs(base: &Path) -> Check {
    const WHAT: &str = "bpffs";
    let place = base.display();
    let found = mount::is_mounted(base).and_then(|on| Ok((on, mount::check_base(base)?)));
    match found {
        Ok((true, true)) => Check::good(WHAT, format!("{place} is root's alone, on a bpffs")),
        Ok((true, false)) => {
            Check::good(WHAT, format!("mounted; the first run makes {place} on it"))
        }
        Ok((false, _)) => Check::good(WHAT, "not mounted: the first run mounts it"),
        // Each says what to do.
        Err(error) => Check::new(WHAT, State::Lacking, error.to_string()),
    }
}

fn cgroups() -> Check {
    const WHAT: &str = "cgroups";
    /// `CGROUP2_SUPER_MAGIC` of linux/magic.h.
    const CGROUP2: u64 = 0x6367_7270;
    let places = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"];
    let mounted = places.into_iter().find(|place| {
        let found = rustix::fs::statfs(*place);
        found.is_ok_and(|stat| u64::try_from(stat.f_type) == Ok(CGROUP2))
    });
    match mounted {
        Some(place) => Check::good(WHAT, format!("version 2 at {place}")),
        None => Check::good(
            WHAT,
            "version 2 is mounted at neither place that systemd uses; nothing here needs it",
        ),
    }
}

/// Whether a run turns on the forwarding that containers need. A tree that cannot be read is told
/// of elsewhere.
fn turns_on(request: Option<&Request>) -> bool {
    let read = request.and_then(|request| pipeline::understand(request).ok());
    read.is_none_or(|tree| tree.documents.config.forwarding)
}

fn sysctls_of_host(turns_on: bool) -> Vec<Check> {
    let forwarding = |path: &str, family: &str| {
        let what = format!("forwarding of {family}");
        match sysctls::read(path) {
            Ok(Some(value)) if value != "0" => Check::good(&what, format!("{path} is {value}")),
            Ok(Some(_)) if turns_on => Check::good(
                &what,
                format!("{path} is 0: a run whose containers need it sets it"),
            ),
            Ok(Some(_)) => Check::new(
                &what,
                State::Attention,
                format!(
                    "{path} is 0, and plumbline.yaml says `forwarding: false`: containers reach \
                     nobody beyond this host"
                ),
            )
            .remedy(format!("sysctl -w {path}=1")),
            Ok(None) => Check::new(
                &what,
                State::Attention,
                format!("there is no sysctl {path}: containers can have no {family} addresses"),
            ),
            Err(error) => Check::new(&what, State::Attention, error.to_string()),
        }
    };
    let mut checks = vec![
        forwarding("net/ipv4/ip_forward", "IPv4"),
        forwarding("net/ipv6/conf/all/forwarding", "IPv6"),
    ];
    let jit = sysctls::read("net/core/bpf_jit_enable").ok().flatten();
    checks.push(match jit.as_deref() {
        Some("0") => Check::new(
            "JIT compiler",
            State::Attention,
            "net/core/bpf_jit_enable is 0: programs are interpreted, at many times the cost",
        )
        .remedy("sysctl -w net.core.bpf_jit_enable=1"),
        Some(value) => Check::good(
            "JIT compiler",
            format!("net/core/bpf_jit_enable is {value}"),
        ),
        None => Check::good("JIT compiler", "always on"),
    });
    let open = sysctls::read("kernel/unprivileged_bpf_disabled")
        .ok()
        .flatten();
    checks.push(match open.as_deref() {
        Some("0") => Check::new(
            "unprivileged bpf",
            State::Attention,
            "kernel/unprivileged_bpf_disabled is 0: every user may load programs",
        )
        .remedy("sysctl -w kernel.unprivileged_bpf_disabled=2"),
        _ => Check::good("unprivileged bpf", "disabled"),
    });
    checks
}

fn tree(request: &Request) -> Check {
    const WHAT: &str = "tree";
    let place = request.source.directory.display();
    let found = source::check_owner(&request.source.directory);
    match found.and_then(|()| source::current(&request.source)) {
        Ok(named) => Check::good(WHAT, format!("{} of {place}", named.commit)),
        Err(error) => {
            let check = Check::new(WHAT, State::Lacking, error.to_string());
            check.remedy(error.remedy().unwrap_or_default())
        }
    }
}

/// What live traffic meets besides us.
fn host(request: Option<&Request>, dirs: &Dirs) -> Vec<Check> {
    let found = match drift::find(request, dirs) {
        Ok(found) => found,
        Err(failure) => return vec![unread(&failure)],
    };
    let mut checks = Vec::new();
    for chain in &found.reading.live.host.forward_drops {
        checks.push(
            Check::new(
                "netfilter",
                State::Attention,
                format!(
                    "chain {chain} drops forwarded packets by policy: traffic of containers \
                     beyond this host does not pass unless it accepts them"
                ),
            )
            .remedy(accepting(chain)),
        );
    }
    if checks.is_empty() {
        checks.push(Check::good(
            "netfilter",
            "no chain drops forwarded packets by policy",
        ));
    }
    let (strangers, others): (Vec<_>, Vec<_>) = found
        .findings
        .iter()
        .partition(|finding| finding.kind == Kind::Stranger);
    for stranger in &strangers {
        let whose = stranger.container.as_ref().map(ToString::to_string);
        let found = format!(
            "{}, {}: {}; traffic: {}",
            whose.unwrap_or_default(),
            stranger.place,
            stranger.what,
            stranger.traffic
        );
        checks.push(
            Check::new("programs of others", State::Attention, found)
                .remedy("detach it where it is not wanted: `bpftool net` shows who stands where"),
        );
    }
    if strangers.is_empty() {
        checks.push(Check::good("programs of others", "none on our interfaces"));
    }
    let others = others.iter().filter(|finding| !finding.harmless).count();
    checks.push(match others {
        0 => Check::good("drift", "none"),
        count => Check::new("drift", State::Attention, format!("{count} found"))
            .remedy("reconcile drift"),
    });
    checks
}

fn unread(failure: &Failure) -> Check {
    let why = match failure {
        Failure::Live(error) => error.to_string(),
        Failure::Connections(error) => error.to_string(),
        _ => "what is live cannot be read".to_owned(),
    };
    Check::new("what is live", State::Lacking, why)
}

/// The line that lets packets of containers through a chain: whether they may pass is judged by
/// our programs.
fn accepting(chain: &str) -> String {
    format!(
        "nft 'insert rule {chain} iifgroup {INTERFACE_GROUP} accept; insert rule {chain} oifgroup \
         {INTERFACE_GROUP} accept'"
    )
}

fn suspension(state: &Path) -> Option<Check> {
    let found = match suspended::read(state) {
        Ok(None) => return None,
        Ok(Some(suspended)) => format!("by {}: {}", suspended.by, suspended.reason),
        Err(error) => error.to_string(),
    };
    let check = Check::new("suspended", State::Attention, found);
    Some(check.remedy("reconcile resume"))
}
