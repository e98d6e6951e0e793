//! The closed list: every reason there is stands in a row.

use std::collections::BTreeSet;

use bpf::conntrack::Reason;

use crate::row::{At, Row, reasons};
use crate::{entries, fragments, from_container, icmp, judge, neighbour, races, to_container};

fn tables() -> Vec<fn(At) -> Vec<Row>> {
    [
        from_container::tables().as_slice(),
        to_container::tables().as_slice(),
        judge::tables().as_slice(),
        entries::tables().as_slice(),
        icmp::tables().as_slice(),
        fragments::tables().as_slice(),
        neighbour::tables().as_slice(),
    ]
    .concat()
}

#[test]
fn every_reason_is_shown() {
    let rows = tables().into_iter().flat_map(reasons);
    let races = races::REASONS.map(|name| Reason::named(name).unwrap());
    let shown: BTreeSet<Reason> = rows.chain(races).collect();
    let all: BTreeSet<Reason> = Reason::all().collect();
    let missing: Vec<&str> = all.difference(&shown).map(|reason| reason.name()).collect();
    assert_eq!(missing, [""; 0], "reasons without a row");
}
