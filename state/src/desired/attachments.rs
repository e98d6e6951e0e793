//! What of others containers are attached to: one container each.

use std::collections::BTreeMap;

use super::Attach;
use crate::documents;
use crate::words::names::HostName;
use crate::words::problem::{Problem, Problems};

/// Two containers are attached to one interface or namespace.
pub(super) const TWICE: &str = "attached-twice";

/// What two containers of hosts that may be one are attached to.
pub(super) fn check(documents: &[documents::Container], problems: &mut Problems) {
    let mut users: BTreeMap<String, BTreeMap<Option<&HostName>, &documents::Container>> =
        BTreeMap::new();
    for container in documents {
        let to = match &container.attach {
            Attach::Managed => continue,
            Attach::Namespace(path) => format!("network namespace {path}"),
            Attach::Interface { name, .. } => format!("interface {name}"),
        };
        let host = container.host.as_ref();
        let others = users.entry(to.clone()).or_default();
        let other = match host {
            None => others.values().next(),
            Some(_) => others.get(&host).or_else(|| others.get(&None)),
        };
        if let Some(other) = other {
            let says = format!("{to} is that of {} already", other.name);
            let problem = Problem::error(container.place.clone(), TWICE, says)
                .help("what a packet says must be one container's: give each its own")
                .related(other.place.clone());
            problems.push(problem);
        }
        others.entry(host).or_insert(container);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::desired::sample::{container, resolved};
    use crate::documents::Container;

    fn found(containers: Vec<Container>) -> Vec<String> {
        let problems = resolved(containers, Vec::new()).1.sorted().into_iter();
        problems
            .map(|problem| format!("{}: {}", problem.code, problem.message))
            .collect()
    }

    fn attached(name: &str, host: Option<&str>, attach: Attach) -> Container {
        let number = name.len();
        Container {
            host: host.map(|host| HostName::new(host).unwrap()),
            attach,
            ..container(&format!("shop/{name}"), "", &format!("10.0.0.{number}"))
        }
    }

    #[test]
    fn what_two_containers_are_attached_to_is_a_finding() {
        let interface = |name: &str| Attach::Interface {
            name: name.to_owned(),
            mac: None,
        };
        let mine = || Attach::Namespace("/run/netns/mine".to_owned());
        let containers = vec![
            attached("a", None, interface("veth0")),
            attached("bb", Some("alpha"), interface("veth0")),
            attached("ccc", Some("alpha"), mine()),
            attached("dddd", Some("beta"), mine()),
            attached("eeeee", Some("beta"), mine()),
        ];
        assert_eq!(
            found(containers),
            [
                "attached-twice: interface veth0 is that of shop/a already",
                "attached-twice: network namespace /run/netns/mine is that of shop/dddd already",
            ]
        );
    }

    #[test]
    fn a_path_that_no_interface_can_be_marked_with_is_refused() {
        let path = |length| Attach::Namespace(format!("/{}", "a".repeat(length)));
        let fits = attached("a", None, path(245 - 6 - 2));
        let Attach::Namespace(longest) = &fits.attach else {
            panic!("a path");
        };
        assert_eq!(format!("plumbline:shop/a {longest}").len(), 255);
        assert_eq!(found(vec![fits]), [""; 0]);
        let too_long = found(vec![attached("a", None, path(245 - 6 - 1))]);
        assert!(too_long[0].starts_with("name-too-long: "), "{too_long:?}");
    }
}
