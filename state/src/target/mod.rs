//! Desired, compiled: program builds, map entries, interfaces, routes. Typed entries, not bytes.
//!
//! [`compile`] is pure. What was found on the host ([`Located`]) and what the bytecode is
//! ([`Datapath`]) are values that are handed in.
//!
//! A target has the same shape as what is read back from the kernel ([`crate::live`]), so that a
//! diff compares like with like. What only exists once an interface has been made (its index) is
//! `None` until then, and shown as "known after apply".

use std::collections::BTreeMap;
use std::fmt;

use crate::desired::{Attach, Desired};
use crate::words::names::FullName;
use ids::Width;

pub mod datapath;
pub mod located;
pub mod constants;
pub mod tables;
pub mod programs;
pub mod host;
mod capacity;
mod ids;
mod endpoints;
mod regions;
mod identities;
mod rulesets;
mod policy;
mod memory;
pub mod judge;

pub use constants::Constants;
pub use datapath::Datapath;
pub use host::HostTarget;
pub use located::{Attachment, Located};
pub use memory::Memory;
pub use programs::ProgramSet;
pub use tables::Tables;

/// What the kernel is to hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The contents of a slot.
    pub tables: Tables,
    /// This host's containers.
    pub containers: BTreeMap<FullName, ContainerTarget>,
    /// What is not BPF and belongs to no single container.
    pub host: HostTarget,
}

/// One container of this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerTarget {
    /// What its programs hold as constants.
    pub constants: Constants,
    /// Its programs.
    pub programs: ProgramSet,
    /// Quota of established TCP connections: the size of that connection map.
    pub connections: u32,
    /// Its network namespace, veth pair, addresses and routes.
    pub network: host::Network,
    /// Why what it is attached to is not there, in words: it is absent, and has nothing but its
    /// connection maps, which keep its name and index.
    pub missing: Option<String>,
}

impl Target {
    /// What of others its containers are attached to.
    pub fn attachments(&self) -> BTreeMap<FullName, Attach> {
        let containers = self.containers.iter();
        let attached = containers.map(|(name, c)| (name.clone(), c.network.attach.clone()));
        attached
            .filter(|(_, attach)| *attach != Attach::Managed)
            .collect()
    }
}

/// Why a desired state cannot be compiled. The tree is refused whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CompileError {
    /// Two different contents have one 64-bit hash.
    Collision {
        /// What was hashed.
        hashed: Hashed,
        /// The hash.
        id: u64,
        /// One content, in words.
        first: String,
        /// The other.
        second: String,
    },
    /// The registry of endpoints has no place for a container.
    TooManyContainers {
        /// Containers of this host.
        here: usize,
        /// Places held by containers whose removal has not settled.
        leaving: usize,
        /// Places there are.
        most: u32,
    },
    /// A table would have more rows than a kernel should be asked for.
    TooManyRows {
        /// Which table.
        table: &'static str,
        /// Rows it may have.
        most: usize,
    },
    /// Ranges lie within each other in more ways than can be told apart.
    TooManyRanges {
        /// Ways they may.
        most: usize,
    },
    /// Two containers of this host would have one interface name.
    InterfaceName {
        /// The name.
        interface: String,
        /// One container.
        first: FullName,
        /// The other.
        second: FullName,
    },
}

/// What a content hash was made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Hashed {
    /// What policies can tell about an address.
    Identity,
    /// What isolates a container.
    Subject,
    /// What several rules allow together.
    Ruleset,
    /// A rule.
    Rule,
}

impl fmt::Display for Hashed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Identity => "identities",
            Self::Subject => "subjects",
            Self::Ruleset => "rulesets",
            Self::Rule => "rules",
        })
    }
}

impl CompileError {
    /// Whether the same tree may be compiled later, when the host has settled.
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::TooManyContainers { leaving, .. } if *leaving > 0)
    }
}

impl fmt::Display for CompileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Collision {
                hashed,
                id,
                first,
                second,
            } => write!(
                f,
                "two {hashed} have one hash, {id:016x}: '{first}' and '{second}'; change either \
                 (a label, a name, a port) and the hashes differ"
            ),
            Self::TooManyContainers {
                here,
                leaving,
                most,
            } => write!(
                f,
                "{here} containers are on this host and {leaving} are leaving it, and there is \
                 place for {most} in all: move some to another host (spec.host){}",
                if *leaving == 0 {
                    ""
                } else {
                    ", or apply their removal first"
                }
            ),
            Self::TooManyRows { table, most } => write!(
                f,
                "the {table} table would have more than {most} rows: too many containers that \
                 policies tell apart name too many peers each; name fewer ranges or label values, \
                 or let policies select more containers at once"
            ),
            Self::TooManyRanges { most } => write!(
                f,
                "the ranges that policies name lie within each other in more than {most} ways: \
                 name fewer of them, or let policies share their exceptions"
            ),
            Self::InterfaceName {
                interface,
                first,
                second,
            } => write!(
                f,
                "containers {first} and {second} would both have the interface {interface}: \
                 rename one"
            ),
        }
    }
}

impl std::error::Error for CompileError {}

/// Compiles what a tree asks of this host. It must have been resolved without errors.
pub fn compile(
    desired: &Desired,
    located: &Located,
    datapath: &Datapath,
) -> Result<Target, CompileError> {
    compile_again(desired, located, datapath, &mut Memory::default())
}

/// The same for one tree after the other: rows whose rules and peers are as they were are not made
/// again. What it gives does not depend on what is remembered.
///
/// # Errors
///
/// As [`compile`].
pub fn compile_again(
    desired: &Desired,
    located: &Located,
    datapath: &Datapath,
    memory: &mut Memory,
) -> Result<Target, CompileError> {
    compile_hashed(desired, located, datapath, Width::WHOLE, memory)
}

fn compile_hashed(
    desired: &Desired,
    located: &Located,
    datapath: &Datapath,
    width: Width,
    memory: &mut Memory,
) -> Result<Target, CompileError> {
    memory.begin();
    check_interfaces(desired, host::interface_name)?;
    let indices = endpoints::indices(desired, located, datapath.endpoints_most)?;
    let identities = identities::identify(desired, &located.host_addresses, &indices, width)?;
    let rows = policy::rows(desired, &identities, width, memory)?;
    let containers = desired.containers_here().filter_map(|container| {
        let found = located.attachments.get(&container.name);
        let index = *indices.get(&container.name)?;
        let constants = Constants::of(container, index, found);
        let compiled = ContainerTarget {
            constants,
            programs: ProgramSet::plain(datapath, &constants),
            connections: container.connections,
            network: host::Network {
                mac: constants.mac,
                ..host::Network::of(container, desired.config.dns)
            },
            missing: missing(found),
        };
        Some((container.name.clone(), compiled))
    });
    let containers: BTreeMap<_, _> = containers.collect();
    Ok(Target {
        tables: Tables {
            endpoints: endpoints::rows(desired, located, &containers, &rows.subjects),
            addresses: identities.addresses,
            policy: rows.policy,
            rulesets: rows.rulesets,
        },
        host: HostTarget::of(desired, located),
        containers,
    })
}

/// Why a container is missing, if it is. Where nobody looked, as in a question about a tree alone,
/// all are there.
fn missing(found: Option<&Attachment>) -> Option<String> {
    match found {
        Some(Attachment::Missing(why)) => Some(why.clone()),
        Some(Attachment::Namespace | Attachment::Interface { .. }) | None => None,
    }
}

/// Interface names are 48 bits of a hash: two containers of one are refused.
fn check_interfaces(
    desired: &Desired,
    name_of: impl Fn(&FullName) -> String,
) -> Result<(), CompileError> {
    let mut owners = BTreeMap::new();
    for container in desired.containers_here() {
        let interface = name_of(&container.name);
        if let Some(first) = owners.insert(interface.clone(), &container.name) {
            return Err(CompileError::InterfaceName {
                interface,
                first: first.clone(),
                second: container.name.clone(),
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::desired::sample::{
        block, container, egress, ingress, name, named, pods, resolved, rule,
    };
    use crate::target::tables::{Address, Owner};
    use crate::words::address::Cidr;
    use crate::words::identity::IdentityId;

    fn datapath() -> Datapath {
        Datapath {
            container_code: [1; 32],
            block_code: [2; 32],
            layout: 1,
            endpoints_most: 8_192,
        }
    }

    /// Containers and policies with more than two of everything that is hashed.
    fn shop() -> Desired {
        let mut db = container("shop/db", "app=db", "10.0.0.1 fd00::1");
        db.ports = vec![named("sql", 5_432)];
        let containers = vec![
            db,
            container("shop/web", "app=web", "10.0.0.2"),
            container("shop/job", "app=job", "10.0.0.3"),
        ];
        let rules = vec![
            rule(
                vec![pods("app=web"), block("192.0.2.0/24", "192.0.2.128/25")],
                &["sql"],
            ),
            rule(vec![pods("app=job")], &["1-1024"]),
        ];
        let policies = vec![
            ingress("shop/db", "app=db", rules),
            egress("shop/web", "app=web", vec![rule(vec![], &["443"])]),
        ];
        resolved(containers, policies).0
    }

    fn narrowed(desired: &Desired, width: u64) -> Result<Target, CompileError> {
        let located = Located::default();
        let mut memory = Memory::default();
        compile_hashed(desired, &located, &datapath(), Width(width), &mut memory)
    }

    fn named_in_collision(error: &CompileError, kind: Hashed) -> bool {
        let CompileError::Collision {
            hashed,
            first,
            second,
            ..
        } = error
        else {
            return false;
        };
        let text = error.to_string();
        *hashed == kind && first != second && text.contains(first) && text.contains(second)
    }

    /// With hashes of fewer bits every kind is found to collide, both contents named; with the
    /// whole hash none is.
    #[test]
    fn two_contents_of_one_hash_are_refused_by_name() {
        let desired = shop();
        assert!(narrowed(&desired, u64::MAX).is_ok());
        // Masks of two and three bits, each somewhere else in the hash, meet every kind.
        let errors: Vec<CompileError> = (0..60)
            .flat_map(|shift| [0b11_u64 << shift, 0b111 << shift])
            .filter_map(|width| narrowed(&desired, width).err())
            .collect();
        for kind in [
            Hashed::Identity,
            Hashed::Subject,
            Hashed::Ruleset,
            Hashed::Rule,
        ] {
            let found = errors.iter().any(|error| named_in_collision(error, kind));
            assert!(found, "no collision of {kind} was found: {errors:?}");
        }
    }

    #[test]
    fn two_containers_of_one_interface_name_are_refused() {
        let desired = shop();
        assert_eq!(check_interfaces(&desired, host::interface_name), Ok(()));
        let refused = check_interfaces(&desired, |_| "plsame".to_owned());
        let expected = CompileError::InterfaceName {
            interface: "plsame".to_owned(),
            first: name("shop/db"),
            second: name("shop/job"),
        };
        assert_eq!(refused, Err(expected));
    }

    #[test]
    fn tables_of_too_many_rows_are_refused_while_they_are_counted() {
        let containers: Vec<_> = (0..=255)
            .map(|n| {
                container(
                    &format!("a/c{n}"),
                    &format!("n={n}"),
                    &format!("10.0.0.{n}"),
                )
            })
            .collect();
        let ranges = |n: u32| {
            let ranges = (0..16_500_u32).map(|i| {
                let i = i + n;
                block(
                    &format!("{}.{}.{}.0/24", 20 + (i >> 16), (i >> 8) & 255, i & 255),
                    "",
                )
            });
            vec![rule(ranges.collect(), &[])]
        };
        let mut policies = vec![ingress("a/everyone", "", ranges(0))];
        // One policy each, so that each container is a subject of its own.
        policies.extend((0..=255).map(|n| {
            ingress(
                &format!("a/one{n}"),
                &format!("n={n}"),
                vec![rule(vec![], &["80"])],
            )
        }));
        let (desired, _) = resolved(containers, policies);
        let refused = compile(&desired, &Located::default(), &datapath());
        let expected = CompileError::TooManyRows {
            table: "policy",
            most: capacity::ROWS_MOST,
        };
        assert_eq!(refused.map(|_| ()), Err(expected));
    }

    #[test]
    fn the_address_table_says_whose_an_address_is() {
        let located = Located {
            host_addresses: ["10.0.0.254", "192.0.2.7"]
                .map(|a| a.parse().unwrap())
                .into(),
            ..Located::default()
        };
        let mut elsewhere = container("shop/db", "app=db", "192.0.2.7");
        elsewhere.host = Some(crate::words::names::HostName::new("beta").unwrap());
        let containers = vec![container("shop/web", "app=web", "192.0.2.1"), elsewhere];
        let rules = vec![rule(
            vec![
                block("192.0.2.0/24", "192.0.2.128/25"),
                block("192.0.2.0/25", ""),
                block("198.51.100.0/24", "198.51.100.0/25"),
                pods("app=db"),
            ],
            &[],
        )];
        let (desired, _) = resolved(containers, vec![ingress("shop/web", "", rules)]);
        let target = compile(&desired, &located, &datapath()).unwrap();
        let rows = &target.tables.addresses;
        let shown: Vec<String> = rows
            .iter()
            .map(|(cidr, row)| format!("{cidr} {:?} {}", row.owner, row.identity.0 != 0))
            .collect();
        assert_eq!(
            shown,
            [
                "10.0.0.254/32 Host true",
                // 192.0.2.0/24 holds nothing but what stands below it.
                "192.0.2.0/24 Elsewhere true",
                "192.0.2.0/25 Elsewhere true",
                "192.0.2.1/32 Endpoint(EndpointIndex(0)) true",
                // A container of another host cannot take this host's address.
                "192.0.2.7/32 Host true",
                "192.0.2.128/25 Elsewhere false",
                "198.51.100.0/24 Elsewhere true",
                "198.51.100.0/25 Elsewhere false",
            ]
        );
        let any: Cidr = "198.51.100.0/25".parse().unwrap();
        let nobody = Address {
            identity: IdentityId::ANY,
            owner: Owner::Elsewhere,
        };
        assert_eq!(rows[&any], nobody);
    }
}
