//! What strangers and accidents do to a host between two runs.

use proptest::collection::vec;
use proptest::prelude::{Strategy, any};
use proptest::sample::{Index, select};
use state::live::{LostTable, SlotMark};
use state::target::tables::EndpointIndex;
use state::words::generation::{CommitRecord, Generation, Slot};

use super::world::{Container, World};

/// One thing that is done. What it is done to, the indices choose.
#[derive(Clone, Debug)]
pub(super) struct Damage {
    kind: Kind,
    container: Index,
    row: Index,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    // Slots.
    LosePolicy(Slot),
    LoseRuleset(Slot),
    LoseAddress(Slot),
    LoseEndpoint(Slot),
    TurnPolicy(Slot),
    AddRow(Slot),
    LoseTable(Slot),
    Swing,
    Rewind,
    RaiseBeyond,
    NameOtherSlot,
    // Containers.
    LoseInterface,
    LoseNamespace,
    SetDown,
    LoseAddressInside,
    AddAddressInside,
    LoseRoute,
    StaleResolvConf,
    SetMtu,
    LosePrograms,
    LoseOneProgram,
    StandBefore,
    LoseGuard,
    LosePins,
    TearPins,
    LoseContainer,
    // All of it.
    LoseRegistration,
    RegisterNobody,
    LoseBlocks,
    LoseMapPin,
    LoseBpffs,
    LoseRecord,
    SetSysctl,
}

const KINDS: [Kind; 41] = [
    Kind::LosePolicy(Slot::A),
    Kind::LosePolicy(Slot::B),
    Kind::LoseRuleset(Slot::A),
    Kind::LoseRuleset(Slot::B),
    Kind::LoseAddress(Slot::A),
    Kind::LoseAddress(Slot::B),
    Kind::LoseEndpoint(Slot::A),
    Kind::LoseEndpoint(Slot::B),
    Kind::TurnPolicy(Slot::A),
    Kind::TurnPolicy(Slot::B),
    Kind::AddRow(Slot::A),
    Kind::AddRow(Slot::B),
    Kind::LoseTable(Slot::A),
    Kind::LoseTable(Slot::B),
    Kind::Swing,
    Kind::Swing,
    Kind::Rewind,
    Kind::RaiseBeyond,
    Kind::NameOtherSlot,
    Kind::LoseInterface,
    Kind::LoseNamespace,
    Kind::SetDown,
    Kind::LoseAddressInside,
    Kind::AddAddressInside,
    Kind::LoseRoute,
    Kind::StaleResolvConf,
    Kind::SetMtu,
    Kind::LosePrograms,
    Kind::LoseOneProgram,
    Kind::StandBefore,
    Kind::LoseGuard,
    Kind::LosePins,
    Kind::TearPins,
    Kind::LoseContainer,
    Kind::LoseRegistration,
    Kind::RegisterNobody,
    Kind::LoseBlocks,
    Kind::LoseMapPin,
    Kind::LoseBpffs,
    Kind::LoseRecord,
    Kind::SetSysctl,
];

/// A few of them, or none.
pub(super) fn damages(most: usize) -> impl Strategy<Value = Vec<Damage>> {
    let one = (select(&KINDS[..]), any::<Index>(), any::<Index>());
    vec(
        one.prop_map(|(kind, container, row)| Damage {
            kind,
            container,
            row,
        }),
        0..=most,
    )
}

impl World {
    /// Does it, where there is something to do it to.
    pub(super) fn suffer(&mut self, damage: &Damage) {
        self.suffer_one(damage);
        self.forget_gone();
    }

    fn suffer_one(&mut self, damage: &Damage) {
        match damage.kind {
            Kind::LosePolicy(slot)
            | Kind::LoseRuleset(slot)
            | Kind::LoseAddress(slot)
            | Kind::LoseEndpoint(slot)
            | Kind::TurnPolicy(slot)
            | Kind::AddRow(slot) => self.suffer_rows(damage, slot),
            Kind::LoseTable(slot) => self.lose_table(slot),
            Kind::Swing => self.suffer_swing(),
            Kind::Rewind | Kind::RaiseBeyond | Kind::NameOtherSlot => {
                self.suffer_record(damage.kind);
            }
            Kind::LoseMapPin => {
                if let Some(base) = &mut self.base {
                    base.unpinned.insert("policy");
                }
            }
            Kind::LoseRegistration => {
                if let Some(base) = &mut self.base
                    && !base.registry.is_empty()
                {
                    let keys: Vec<EndpointIndex> = base.registry.keys().copied().collect();
                    base.registry.remove(damage.row.get(&keys));
                }
            }
            Kind::RegisterNobody => {
                let id = self.next_id();
                if let Some(base) = &mut self.base {
                    base.registry.entry(EndpointIndex(60)).or_insert(id);
                }
            }
            Kind::LoseBlocks => {
                if let Some(base) = &mut self.base {
                    base.sets.clear();
                }
            }
            Kind::LoseBpffs => self.lose_bpffs(),
            Kind::LoseRecord => self.lose_record(),
            Kind::SetSysctl => {
                let path = "net/ipv6/conf/all/forwarding".to_owned();
                self.sysctls.insert(path, "0".to_owned());
            }
            _ => self.suffer_container(damage),
        }
    }

    /// The bpffs is unmounted, and with it goes what it alone held.
    pub(super) fn lose_bpffs(&mut self) {
        self.bpffs = false;
        self.base = None;
        // Programs go with their links, and no packet is in one when they have gone.
        (self.left, self.replaced) = (None, false);
        self.cached = Generation(0);
        for container in self.containers.values_mut() {
            container.maps = None;
            container.programs = [None, None];
        }
    }

    /// What all share is unpinned, and no program is left that would hold it; connection maps are.
    fn lose_record(&mut self) {
        self.base = None;
        (self.left, self.replaced) = (None, false);
        for container in self.containers.values_mut() {
            container.programs = [None, None];
        }
    }

    fn lose_table(&mut self, slot: Slot) {
        if let Some(base) = &mut self.base {
            let table = "policy".to_owned();
            base.lost.insert(LostTable { slot, table });
            base.slot(slot).tables.policy.clear();
        }
    }

    fn suffer_rows(&mut self, damage: &Damage, slot: Slot) {
        let Some(base) = &mut self.base else { return };
        let slot = base.slot(slot);
        let tables = &mut slot.tables;
        let lose = |len: usize| (len > 0).then(|| damage.row.index(len));
        match damage.kind {
            Kind::LosePolicy(_) => {
                if let Some(at) = lose(tables.policy.len()) {
                    let key = *tables.policy.keys().nth(at).expect("there are as many");
                    tables.policy.remove(&key);
                }
            }
            Kind::LoseRuleset(_) => {
                if let Some(at) = lose(tables.rulesets.len()) {
                    let key = *tables.rulesets.keys().nth(at).expect("there are as many");
                    tables.rulesets.remove(&key);
                }
            }
            Kind::LoseAddress(_) => {
                if let Some(at) = lose(tables.addresses.len()) {
                    let key = *tables.addresses.keys().nth(at).expect("there are as many");
                    tables.addresses.remove(&key);
                }
            }
            Kind::LoseEndpoint(_) => {
                if let Some(at) = lose(tables.endpoints.len()) {
                    let key = *tables.endpoints.keys().nth(at).expect("there are as many");
                    tables.endpoints.remove(&key);
                }
            }
            Kind::TurnPolicy(_) => {
                let rulesets: Vec<_> = tables.policy.values().copied().collect();
                if let Some(row) = tables.policy.values_mut().next() {
                    *row = *damage.row.get(&rulesets);
                }
            }
            _ => slot.foreign += 1,
        }
    }

    /// A store to the other slot, as one that goes back makes it.
    fn suffer_swing(&mut self) {
        let Some(base) = &self.base else { return };
        if !base.record.generation.is_reached() {
            return;
        }
        let record = CommitRecord {
            generation: base.record.generation.next(),
            slot: base.record.slot.other(),
        };
        // A slot that is being prepared is refused.
        let _refused = self.point(record);
    }

    /// Somebody writes the record of a host that has settled. (Where a run died between two builds
    /// of a program, either slot may be without its constants.)
    fn suffer_record(&mut self, kind: Kind) {
        let Some(base) = &mut self.base else { return };
        let was = base.record;
        let settled =
            base.live().mark == SlotMark::Settled && base.live().generation == was.generation;
        let other = base.slots[was.slot.other().index() as usize].generation;
        if !settled || other > was.generation {
            return;
        }
        match kind {
            Kind::Rewind if was.generation > Generation(1) => base.record.generation.0 -= 1,
            Kind::RaiseBeyond => base.record.generation.0 |= 1 << 62,
            Kind::NameOtherSlot if was.generation > Generation(1) => {
                base.record.slot = was.slot.other();
                self.left = Some(was.slot);
            }
            _ => {}
        }
    }

    fn suffer_container(&mut self, damage: &Damage) {
        if self.containers.is_empty() {
            return;
        }
        let at = damage.container.index(self.containers.len());
        let (name, container) = self
            .containers
            .iter_mut()
            .nth(at)
            .expect("there are as many");
        let name = name.clone();
        match damage.kind {
            Kind::LosePrograms => container.programs = [None, None],
            Kind::LoseOneProgram => container.programs[0] = None,
            Kind::StandBefore => container.first = false,
            Kind::LoseGuard => container.guarded = false,
            Kind::LosePins => container.maps = None,
            Kind::TearPins => {
                if let Some(maps) = &mut container.maps {
                    maps.torn = true;
                }
            }
            Kind::LoseContainer => {
                self.containers.remove(&name);
            }
            _ => suffer_wires(container, damage),
        }
    }
}

fn suffer_wires(container: &mut Container, damage: &Damage) {
    let Some(wires) = &mut container.wires else {
        return;
    };
    match damage.kind {
        Kind::LoseInterface => {
            wires.ifindex = None;
            container.programs = [None, None];
            container.guarded = false;
        }
        Kind::LoseNamespace => {
            container.wires = None;
            container.programs = [None, None];
            container.guarded = false;
        }
        Kind::SetDown => wires.up = false,
        Kind::LoseAddressInside => {
            let all: Vec<_> = wires.addresses.iter().copied().collect();
            if let [_, ..] = all[..] {
                wires.addresses.remove(damage.row.get(&all));
            }
        }
        Kind::AddAddressInside => {
            wires
                .addresses
                .insert("10.9.9.9".parse().expect("an address"));
        }
        Kind::LoseRoute => {
            wires.routes.pop_first();
        }
        Kind::StaleResolvConf => wires.resolv_conf = wires.resolv_conf.map(|_| false),
        Kind::SetMtu => wires.mtu = 1_400,
        _ => {}
    }
}
