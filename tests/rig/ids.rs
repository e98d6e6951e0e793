//! What the kernel holds because of a host of a lab: BPF objects by their ids, pins, interfaces and
//! named namespaces. Taken before and after, it shows what was left behind.
//!
//! Ids of BPF objects are the machine's, and other labs run at the same time, so a host's objects
//! are found by what ties them to the host, in both directions, until nothing is added:
//!
//! - what is pinned in its bpffs, and the filters and links on its interfaces;
//! - the program of a link, the maps of a program, the inner maps of a map of maps, the programs of
//!   a program array;
//! - and backwards: **any** program of the machine that uses one of these maps, any link of one of
//!   these programs. So a program that nothing but a running timer holds is found, too.
//!
//! Nothing else can keep an object alive but a file descriptor, and the program under test has
//! exited. What was once the host's is remembered by a [`Ledger`]: an id is not given again, so
//! when the host has been taken down, each of them must be gone.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::os::fd::{AsFd, AsRawFd};
use std::path::Path;
use std::sync::Mutex;

use libbpf_rs::query::{LinkInfoIter, MapInfoIter, ProgInfoIter, ProgInfoQueryOptions};
use libbpf_rs::{Link, MapCore, MapFlags, MapHandle, MapType};

use crate::host::{Host, names_in};
use crate::program::Program;
use crate::wait;

/// What a host holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// BPF objects.
    pub objects: BTreeSet<Object>,
    /// Everything below its bpffs.
    pub pins: BTreeSet<String>,
    /// Its interfaces.
    pub interfaces: BTreeSet<String>,
    /// The network namespaces below `/run/netns`.
    pub namespaces: BTreeSet<String>,
}

/// A BPF object, by its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Object {
    /// A program.
    Program(u32),
    /// A map.
    Map(u32),
    /// A link.
    Link(u32),
}

impl Held {
    /// What a host holds now.
    pub fn by(host: &Host) -> Self {
        let mut pins = BTreeSet::new();
        host.run(|| walk(Path::new("/sys/fs/bpf"), &mut pins));
        let interfaces = host
            .net()
            .interfaces()
            .into_iter()
            .map(|interface| interface.name);
        let interfaces = interfaces.collect();
        let objects = Machine::now().closure(seeds(host, &pins, &interfaces), true);
        let namespaces = host.netns_names().into_iter().collect();
        Self {
            objects,
            pins,
            interfaces,
            namespaces,
        }
    }

    /// How many there are of each kind: what must be the same after a hundred commits that end in
    /// the same tree, though ids differ.
    pub fn counts(&self) -> BTreeMap<&'static str, usize> {
        let of_kind = |is: fn(&Object) -> bool| self.objects.iter().filter(|o| is(o)).count();
        BTreeMap::from([
            ("programs", of_kind(|o| matches!(o, Object::Program(_)))),
            ("maps", of_kind(|o| matches!(o, Object::Map(_)))),
            ("links", of_kind(|o| matches!(o, Object::Link(_)))),
            ("pins", self.pins.len()),
            ("interfaces", self.interfaces.len()),
            ("namespaces", self.namespaces.len()),
        ])
    }
}

impl Held {
    /// What a host holds, once no program uses its maps that is neither pinned nor attached: such a
    /// one is going. (The kernel frees objects a while after their last user has gone.) Where one
    /// stays, so it is.
    pub fn at_rest(host: &Host) -> Self {
        let rests = || {
            let held = Self::by(host);
            let seeds = seeds(host, &held.pins, &held.interfaces);
            let kept = Machine::now().closure(seeds, false);
            (kept == held.objects).then_some(held)
        };
        wait::within(wait::LIMIT, rests).unwrap_or_else(|| Self::by(host))
    }

    /// What a host holds, once there are so many of each kind. (The kernel frees objects a while
    /// after their last user has gone.)
    ///
    /// # Panics
    /// Where there are others and they stay.
    #[track_caller]
    pub fn once(host: &Host, counts: &BTreeMap<&'static str, usize>) -> Self {
        let as_many = || Some(Self::by(host)).filter(|held| held.counts() == *counts);
        wait::within(wait::LIMIT, as_many).unwrap_or_else(|| {
            let held = Self::by(host);
            panic!("{counts:?} are to be there, and there are {held}")
        })
    }
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:?}", self.counts())?;
        let sets = [&self.pins, &self.interfaces, &self.namespaces];
        sets.iter()
            .flat_map(|set| set.iter())
            .try_for_each(|name| writeln!(f, "    {name}"))?;
        self.objects
            .iter()
            .try_for_each(|object| writeln!(f, "    {object:?}"))
    }
}

/// Every object that was ever seen to be a host's.
#[derive(Debug, Default)]
pub struct Ledger {
    seen: Mutex<BTreeSet<Object>>,
}

impl Ledger {
    /// Nothing seen yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// What a host holds now, remembered.
    ///
    /// # Panics
    /// Where another thread has, with it.
    pub fn note(&self, host: &Host) -> Held {
        let held = Held::by(host);
        self.seen
            .lock()
            .expect("nobody panics with it")
            .extend(&held.objects);
        held
    }

    /// What the host holds beside what is given, and each object that was seen, is not in it and
    /// lives.
    ///
    /// # Panics
    /// Where another thread has, with it.
    pub fn left(&self, host: &Host, rest: &Held) -> Held {
        let now = Held::by(host);
        let seen = self.seen.lock().expect("nobody panics with it");
        let alive = Machine::now().alive();
        let objects = seen
            .union(&now.objects)
            .copied()
            .filter(|object| alive.contains(object));
        let more = |now: &BTreeSet<String>, rest| now.difference(rest).cloned().collect();
        Held {
            objects: objects
                .filter(|object| !rest.objects.contains(object))
                .collect(),
            pins: more(&now.pins, &rest.pins),
            interfaces: more(&now.interfaces, &rest.interfaces),
            namespaces: more(&now.namespaces, &rest.namespaces),
        }
    }

    /// Waits until nothing is [`left`](Self::left). (The kernel frees objects a while after their
    /// last user has gone.)
    ///
    /// # Panics
    /// Where anything stays, with its name.
    #[track_caller]
    pub fn only(&self, host: &Host, rest: &Held) {
        let is_clean = || (self.left(host, rest) == Held::default()).then_some(());
        let left = wait::within(wait::LIMIT, is_clean)
            .map_or_else(|| self.left(host, rest), |()| Held::default());
        assert!(
            left == Held::default(),
            "left behind on host {}: {left}",
            host.name()
        );
    }
}

/// What ties the objects of the machine together, at one moment.
struct Machine {
    /// Program and the maps that it uses.
    programs: BTreeMap<u32, Vec<u32>>,
    /// Map and its type.
    maps: BTreeMap<u32, MapType>,
    /// Link and its program.
    links: BTreeMap<u32, u32>,
}

impl Machine {
    fn now() -> Self {
        let with_maps = ProgInfoQueryOptions::default().include_map_ids(true);
        let programs = ProgInfoIter::with_query_opts(with_maps);
        Self {
            programs: programs
                .map(|program| (program.id, program.map_ids))
                .collect(),
            maps: MapInfoIter::default().map(|map| (map.id, map.ty)).collect(),
            links: LinkInfoIter::default()
                .map(|link| (link.id, link.prog_id))
                .collect(),
        }
    }

    fn alive(&self) -> BTreeSet<Object> {
        let programs = self.programs.keys().map(|&id| Object::Program(id));
        let maps = self.maps.keys().filter(|&&id| !self.is_husk(id));
        let maps = maps.map(|&id| Object::Map(id));
        let links = self.links.keys().map(|&id| Object::Link(id));
        programs.chain(maps).chain(links).collect()
    }

    /// Whether a map is a program array that holds nothing and that no program uses. The kernel may
    /// keep one for ever: when the last pin or descriptor goes, it empties the array in a work item
    /// and holds the map until that has run, and whoever opens the map by its id meanwhile (as
    /// `bpftool map show` does with every map of the machine, and a [`Machine`] too) and closes it
    /// makes it hold the map once more for the same item (`prog_array_map_clear` in
    /// kernel/bpf/arraymap.c; seen on 6.18). What is still pinned is found as a pin.
    fn is_husk(&self, id: u32) -> bool {
        self.maps.get(&id) == Some(&MapType::ProgArray)
            && !self.programs.values().any(|maps| maps.contains(&id))
            && self.inside(id).is_empty()
    }

    /// Everything that is tied to the seeds, with or without the users of maps.
    fn closure(&self, seeds: BTreeSet<Object>, users: bool) -> BTreeSet<Object> {
        let mut all = BTreeSet::new();
        let mut new = seeds;
        while !new.is_empty() {
            all.extend(&new);
            let tied = new.iter().flat_map(|object| self.tied_to(*object, users));
            new = tied.filter(|object| !all.contains(object)).collect();
        }
        all
    }

    fn tied_to(&self, object: Object, users: bool) -> Vec<Object> {
        match object {
            Object::Link(id) => self
                .links
                .get(&id)
                .map(|&id| Object::Program(id))
                .into_iter()
                .collect(),
            Object::Program(id) => {
                let maps = self.programs.get(&id).into_iter().flatten();
                let links = self.links.iter().filter(|(_, program)| **program == id);
                maps.map(|&id| Object::Map(id))
                    .chain(links.map(|(&id, _)| Object::Link(id)))
                    .collect()
            }
            Object::Map(id) => {
                let programs = self.programs.iter().filter(|_| users);
                let programs = programs.filter(|(_, maps)| maps.contains(&id));
                programs
                    .map(|(&id, _)| Object::Program(id))
                    .chain(self.inside(id))
                    .collect()
            }
        }
    }

    /// The objects that a map holds.
    fn inside(&self, id: u32) -> Vec<Object> {
        let held: fn(u32) -> Object = match self.maps.get(&id) {
            Some(MapType::ArrayOfMaps | MapType::HashOfMaps) => Object::Map,
            Some(MapType::ProgArray) => Object::Program,
            _ => return Vec::new(),
        };
        // It may have gone since it was listed.
        let Ok(map) = MapHandle::from_map_id(id) else {
            return Vec::new();
        };
        let values = map
            .keys()
            .filter_map(|key| map.lookup(&key, MapFlags::ANY).ok().flatten());
        values
            .filter_map(|value| Some(held(u32::from_ne_bytes(value.try_into().ok()?))))
            .collect()
    }
}

/// What others are found by: what is pinned, and the filters of interfaces.
fn seeds(host: &Host, pins: &BTreeSet<String>, interfaces: &BTreeSet<String>) -> BTreeSet<Object> {
    let pinned = host.run(|| pinned(pins)).into_iter();
    pinned.chain(filters(host, interfaces)).collect()
}

fn walk(folder: &Path, found: &mut BTreeSet<String>) {
    for name in names_in(folder) {
        let path = folder.join(name);
        found.insert(path.display().to_string());
        walk(&path, found);
    }
}

/// The objects behind pins. [`Link::open`] opens a pin of any kind (and closes it when dropped, no
/// more); which kind it is stands in `/proc`, beside its descriptor (the thread's: it may have a
/// table of its own).
fn pinned(pins: &BTreeSet<String>) -> BTreeSet<Object> {
    let opened = pins.iter().filter_map(|pin| Link::open(pin).ok());
    let object = |link: Link| {
        let path = format!("/proc/thread-self/fdinfo/{}", link.as_fd().as_raw_fd());
        let info = fs::read_to_string(path).expect("an open descriptor has information");
        let id = |field: &str| {
            let value = info.lines().find_map(|line| line.strip_prefix(field))?;
            value.trim().parse().ok()
        };
        // A link's names its program, too.
        let link = id("link_id:").map(Object::Link);
        let map = || id("map_id:").map(Object::Map);
        link.or_else(map)
            .or_else(|| id("prog_id:").map(Object::Program))
    };
    opened.filter_map(object).collect()
}

/// The programs of the filters on a host's interfaces.
fn filters(host: &Host, interfaces: &BTreeSet<String>) -> BTreeSet<Object> {
    let directions = ["ingress", "egress"];
    let questions = interfaces.iter().flat_map(|interface| {
        directions.map(|direction| format!("filter show dev {interface} {direction}\n"))
    });
    let program = Program::new("tc")
        .args(["-force", "-batch", "-"])
        .input(questions.collect::<String>());
    let shown = host.net().program(&program).stdout;
    let words: Vec<&str> = shown.split_whitespace().collect();
    let ids = words
        .windows(2)
        .filter(|pair| pair[0] == "id")
        .map(|pair| pair[1]);
    ids.filter_map(|id| Some(Object::Program(id.parse().ok()?)))
        .collect()
}
