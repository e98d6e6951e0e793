//! What all containers share: the bpffs, pins, blocks and the commit record.

use super::container::becomes;
use super::{Finding, Kind};
use crate::live::{Base, Guarded, Instead, Live, LostPin, LostTable, SlotMark};
use crate::target::{Datapath, Target};
use crate::words::hash::short;
use crate::words::verdict::Direction;

pub(super) fn findings(target: Option<&Target>, live: &Live, datapath: &Datapath) -> Vec<Finding> {
    let stray = live.stray_guards(target).into_iter();
    let mut found: Vec<Finding> = stray
        .map(|(name, guard)| stray_guard(name, guard))
        .collect();
    let Some(base) = &live.base else {
        if !live.containers.is_empty() {
            found.push(lost(live));
        }
        return found;
    };
    if !live.bpffs {
        let finding = Finding::new(Kind::Bpffs, "bpffs", "is not mounted");
        found.push(finding.means(HELD));
    }
    found.extend(base.unpinned.iter().map(|pin| {
        Finding::new(Kind::Pin, &pin.name, lost_pin(pin)).means(match pin.name.as_str() {
            "sweep" => "none yet: expired connections are not reclaimed, and fill their maps",
            _ => HELD,
        })
    }));
    found.extend(base.lost.iter().map(|lost| lost_table(base, lost)));
    found.extend(blocks(base, datapath));
    found.extend(record(base));
    if base.live_slot().foreign > 0 {
        let rows = base.live_slot().foreign;
        let what = format!("holds {rows} that nothing of ours writes");
        let finding = Finding::new(Kind::Row, format!("slot {}", base.record.slot), what);
        found.push(finding.means("packets may be judged by them"));
    }
    if live.leftovers {
        let what = "blocks or registrations that nothing reaches any more";
        let finding = Finding::new(Kind::Leftover, "pins", what);
        found.push(finding.means("none"));
    }
    found
}

/// What has become of a pin.
pub(super) fn lost_pin(pin: &LostPin) -> &'static str {
    match pin.taken {
        true => "its pin is gone, and something else stands in its place",
        false => "its pin is gone",
    }
}

fn stray_guard(interface: &str, guard: &Guarded) -> Finding {
    let what = "a guard of ours stands there, and no container is attached to it";
    let open = guard.instead.values().any(|is| *is != Instead::Guard);
    let traffic = match open {
        false => "whatever passes there is dropped".to_owned(),
        true => {
            let sides = guard.instead.iter().map(|(side, is)| match side {
                Direction::Egress => becomes("what comes in there", is),
                Direction::Ingress => becomes("what goes out there", is),
            });
            sides.collect::<Vec<_>>().join("; ")
        }
    };
    Finding::new(Kind::Leftover, interface, what).means(traffic)
}

const HELD: &str = "none yet: attached programs hold it, and with the last of them it is lost";

fn lost(live: &Live) -> Finding {
    let what = match live.bpffs {
        true => "nothing is pinned there, and containers are left",
        false => "is not mounted, and containers are left",
    };
    let containers = live.containers.len();
    Finding::new(Kind::Bpffs, "bpffs", what).means(format!(
        "guards, where they stand, drop everything of {containers} containers; connections are \
         forgotten"
    ))
}

fn lost_table(base: &Base, lost: &LostTable) -> Finding {
    let place = format!("slot {}, {}", lost.slot, lost.table);
    let live = lost.slot == base.record.slot;
    Finding::new(Kind::Row, place, "the whole table is gone").means(match live {
        true => "packets are judged as if it had no rows",
        false => "none yet: the next commit is written to that slot",
    })
}

fn blocks(base: &Base, datapath: &Datapath) -> Option<Finding> {
    let finding = |what: &str| Finding::new(Kind::Blocks, "blocks", what);
    if base.block_code == [0; 32] {
        let traffic = "new flows, and known ones under a new generation, may be dropped";
        return Some(finding("there is no whole set").means(traffic));
    }
    let other = base.block_code != datapath.block_code;
    let what = "are another version's; the next run replaces them";
    other.then(|| finding(what).means("none").harmless())
}

/// The record against what the slots say of themselves.
fn record(base: &Base) -> Option<Finding> {
    let (slot, generation) = (base.record.slot, base.record.generation);
    let live = base.live_slot();
    let says = format!("says generation {generation}, slot {slot}");
    let finding = |what: String| Finding::new(Kind::Record, "commit record", what);
    if base.is_beyond() {
        let what = format!("{says}, where no store gets");
        return Some(finding(what).means(format!("slot {slot} judges every flow anew")));
    }
    if base.is_rewound() {
        let highest = base.highest();
        let what = format!("{says}, and generation {highest} was live after it");
        let traffic = "slot {} judges new flows; entries may be believed that other tables gave";
        return Some(finding(what).means(traffic.replace("{}", &slot.to_string())));
    }
    if base.is_settled() {
        return None;
    }
    let stored = live.mark == SlotMark::Ready && live.generation == generation;
    if stored || swung_back(base) {
        let what = "the last run ended before it had settled".to_owned();
        return Some(finding(what).means("none: what its commit removed may be left"));
    }
    let what = format!("{says}, whose commit was generation {}", live.generation);
    Some(finding(what).means(format!("slot {slot} judges every flow anew")))
}

/// The name that the live slot bears, where the journal has another for the same generation.
pub(super) fn misnamed(base: &Base, journal: &str) -> Finding {
    let place = format!("slot {}", base.record.slot);
    let (is, noted) = (short(&base.live_slot().commit), short(journal));
    let what = match is {
        "" => format!("names no commit, and the journal names {noted} for its generation"),
        is => format!("names commit {is}, and the journal names {noted} for its generation"),
    };
    Finding::new(Kind::Record, place, what)
        .means("none: its rows are compared with the commit that the journal names")
}

/// A check that fails stores the former slot under the number after the failed one's.
fn swung_back(base: &Base) -> bool {
    let failed = base.other_slot();
    failed.mark == SlotMark::Ready && failed.generation.next() == base.record.generation
}
