//! What others do to pins, links and programs.

use std::fs;
use std::os::fd::AsFd;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use bpf::attached::{Hook, attach_first};
use libbpf_rs::{Link, MapHandle, ProgramHandle, Xdp, XdpFlags};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use rig::foreign;
use rig::lab::Lab;
use rig::program::Program;
use state::target::host::interface_name;

use super::ENDS;
use super::harms::{Harm, Left, harm};
use crate::kernel::{named, pins};

const REPIN: &[&str] = &["restore pins"];
const ATTACH: &[&str] = &["attach programs shop/db"];
const ATTACH_BOTH: &[&str] = &["attach programs shop/db", "attach programs shop/web"];
/// What every container's programs reach is another table; the guard behind them needs none.
const NEW_BLOCKS: &[&str] = &[
    "replace blocks",
    "mark slot preparing",
    "swap programs shop/db",
    "swap programs shop/web",
    "write slot ROWS",
    "barrier",
    "verify slot",
    "store record",
    "barrier",
    "remove leftovers",
    "mark slot settled",
];
const ANEW: &[&str] = &[
    "create base",
    "mark slot preparing",
    "create connections shop/db",
    "create connections shop/web",
    "attach programs shop/db",
    "attach programs shop/web",
    "write slot ROWS",
    "verify slot",
    "store record",
    "barrier",
    "mark slot settled",
];
/// Its programs go on, so no verdict changes.
const OVER: &[&str] = &[
    "replace blocks",
    "create connections shop/db",
    "create connections shop/web",
    "attach programs shop/db",
    "attach programs shop/web",
    "barrier",
    "remove leftovers",
];

fn db(pin: &str) -> PathBuf {
    pins().join("containers/shop/db").join(pin)
}

/// Another harm may have taken it away.
fn unpin(path: &Path) -> Left {
    drop(fs::remove_file(path));
    Box::new(())
}

/// A pin of the set of blocks.
fn block(pin: &str) -> PathBuf {
    let mut sets = fs::read_dir(pins().join("blocks")).unwrap();
    sets.next().unwrap().unwrap().path().join(pin)
}

/// A program that lets everything pass, before ours on both sides of both interfaces.
pub(super) fn stranger_before(lab: &Lab) -> Left {
    let object = foreign::load(foreign::PASSES);
    let program = object.progs().next().unwrap();
    let own: Vec<String> = ENDS.map(|end| interface_name(&named(end))).into();
    let interfaces = lab.alpha().net().interfaces().into_iter();
    let interfaces = interfaces.filter(|interface| own.contains(&interface.name));
    let sides = interfaces.flat_map(|i| [(i.index, Hook::Ingress), (i.index, Hook::Egress)]);
    let attach = |(index, hook)| attach_first(program.as_fd(), index, hook).unwrap();
    Box::new(sides.map(attach).collect::<Vec<_>>())
}

/// By netlink, as `ip link set dev DEVICE xdp` does it, on the other container's interface.
fn xdp(lab: &Lab) -> Left {
    let object = foreign::load(foreign::DROPS);
    let program = object.progs().next().unwrap();
    let name = interface_name(&named(ENDS[0]));
    let mut interfaces = lab.alpha().net().interfaces().into_iter();
    // Another harm may have taken it away.
    if let Some(interface) = interfaces.find(|interface| interface.name == name) {
        let index = i32::try_from(interface.index).unwrap();
        Xdp::new(program.as_fd())
            .attach(index, XdpFlags::NONE)
            .unwrap();
    }
    Box::new(())
}

/// A link of each side of both, and the guards behind them.
fn nobody(lab: &Lab) -> Left {
    for end in ENDS {
        for link in ["from_container", "to_container"] {
            let pin = pins().join("containers").join(end).join(link);
            drop(Link::open(pin).map(|link| link.detach()));
        }
        let arguments = [
            "qdisc",
            "del",
            "dev",
            &interface_name(&named(end)),
            "clsact",
        ];
        drop(lab.alpha().program(&Program::new("tc").args(arguments)));
    }
    Box::new(())
}

/// It stands under the sender's link and the receiver's, which judge alike.
fn swap() -> Left {
    let object = foreign::load(foreign::PASSES);
    let program = object.progs().next().unwrap();
    for link in [
        pins().join("containers/shop/web/from_container"),
        db("to_container"),
    ] {
        if let Ok(mut link) = Link::open(link) {
            drop(link.update_prog(&program));
        }
    }
    Box::new(())
}

/// A link of the other container's in its place.
fn replace() -> Left {
    let other = pins().join("containers/shop/web/to_container");
    drop(fs::rename(other, db("from_container")));
    Box::new(())
}

/// Another object's pin in the place of one. Another harm may have taken away either.
fn in_place(from: &Path, to: &Path) -> Left {
    let next = to.with_file_name("next");
    let pinned = match ProgramHandle::from_pinned_path(from) {
        Ok(program) => program.pin(&next).is_ok(),
        Err(_) => {
            let map = MapHandle::from_pinned_path(from);
            map.is_ok_and(|mut map| map.pin(&next).is_ok())
        }
    };
    if pinned {
        fs::rename(next, to).unwrap();
    }
    Box::new(())
}

/// The commit record's pin, moved, and a symbolic link in its place.
fn link_record() -> Left {
    let (record, moved) = (pins().join("commit"), Path::new("/sys/fs/bpf/moved"));
    if fs::rename(&record, moved).is_ok() {
        symlink(moved, record).unwrap();
    }
    Box::new(())
}

fn swap_blocks() -> Left {
    let (one, other) = (block("judge_in"), block("judge_out"));
    let next = one.with_file_name("next");
    if one.exists() && other.exists() {
        fs::rename(&one, &next).unwrap();
        fs::rename(&other, &one).unwrap();
        fs::rename(&next, &other).unwrap();
    }
    Box::new(())
}

fn mount_bpffs() {
    let data = Some("mode=0700");
    mount(
        Some("bpf"),
        "/sys/fs/bpf",
        Some("bpf"),
        MsFlags::empty(),
        data,
    )
    .unwrap();
}

fn mount_over() -> Left {
    mount_bpffs();
    Box::new(())
}

fn mount_anew() -> Left {
    // One may be over another.
    while umount2("/sys/fs/bpf", MntFlags::MNT_DETACH).is_ok() {}
    mount_bpffs();
    Box::new(())
}

const fn opening(harm: Harm) -> Harm {
    Harm {
        opens: true,
        ..harm
    }
}

const fn forgetting(harm: Harm) -> Harm {
    Harm {
        forgets: true,
        ..harm
    }
}

/// What is pinned of `shop/db`, and what is seen by it.
const OF_DB: &[&str] = &[
    "map of db",
    "map taken of db",
    "link",
    "link taken",
    "link replaced",
    "links of db",
    "other link",
    "guard",
];
/// What is seen by pins alone.
const PINNED: &[&str] = &[
    "policy taken",
    "map taken",
    "record taken",
    "block",
    "set",
    "map of db",
    "map taken of db",
    "link",
    "link taken",
    "link replaced",
    "links of db",
    "other link",
    "container",
    "program",
    "strangers",
    "links",
    "guard",
];
/// And what the kernel held.
const PINNED_AND_HELD: &[&str] = &[
    "mtu",
    "mac",
    "eth0",
    "host",
    "rows",
    "ruleset row",
    "entries",
    "name",
    "raised",
    "beyond",
    "lowered",
    "other slot",
    "table",
    "policy taken",
    "map taken",
    "record taken",
    "map",
    "block",
    "set",
    "map of db",
    "map taken of db",
    "link",
    "link taken",
    "link replaced",
    "links of db",
    "other link",
    "container",
    "program",
    "strangers",
    "links",
    "guard",
    "bpffs",
];
const TAKEN: (&str, &str) = ("pin", "something else stands in its place");

pub(super) const HARMS: [Harm; 23] = [
    harm(
        "a program is pinned in the place of a table",
        |_| in_place(&block("guard"), &pins().join("policy")),
        TAKEN,
        REPIN,
    )
    .at("policy taken", &["links"]),
    harm(
        "a map of another kind is pinned in the place of a table",
        |_| in_place(&pins().join("slots"), &pins().join("rulesets")),
        TAKEN,
        REPIN,
    )
    .at("map taken", &["links"]),
    harm(
        "a symbolic link is in the place of the commit record",
        |_| link_record(),
        TAKEN,
        REPIN,
    )
    .at("record taken", &["links"]),
    harm(
        "the pins of two blocks are swapped",
        |_| swap_blocks(),
        TAKEN,
        REPIN,
    )
    .at("block", &[]),
    harm(
        "another container's connection map is pinned in the place of its own",
        |_| {
            let other = pins().join("containers/shop/web/established");
            in_place(&other, &db("established"))
        },
        TAKEN,
        &["create connections shop/db"],
    )
    .at("map taken of db", &[]),
    harm(
        "a program is pinned in the place of a link",
        |_| in_place(&block("guard"), &db("from_container")),
        ("link", "something else is pinned in its place"),
        ATTACH,
    )
    .at("link taken", &["guard"]),
    harm(
        "the pin of a table is deleted",
        |_| unpin(&pins().join("policy")),
        ("pin", "its pin is gone"),
        REPIN,
    )
    .at("map", &["policy taken", "links"]),
    harm(
        "the pin of the commit record is deleted",
        |_| unpin(&pins().join("commit")),
        ("pin", "its pin is gone"),
        REPIN,
    )
    .at("map", &["record taken", "links"]),
    harm(
        "the pin of the timer's map is deleted",
        |_| unpin(&pins().join("sweep")),
        ("pin", "its pin is gone"),
        REPIN,
    )
    .at("map", &["links"]),
    harm(
        "the pin of a block is deleted",
        |_| unpin(&block("judge_out")),
        ("pin", "its pin is gone"),
        REPIN,
    )
    .at("block", &[]),
    harm(
        "the pin of the block table is deleted",
        |_| unpin(&block("table")),
        ("blocks", "no whole set"),
        NEW_BLOCKS,
    )
    .at("set", &["block"]),
    harm(
        "the pin of a connection map is deleted",
        |_| unpin(&db("established")),
        ("pin", "its pin is gone"),
        &["create connections shop/db"],
    )
    .at("map of db", &["map taken of db"]),
    harm(
        "the pin of a link is deleted",
        |_| unpin(&db("from_container")),
        ("pin", "its link has no pin"),
        ATTACH,
    )
    .at("link", &["link taken", "guard"]),
    harm(
        "a link is detached",
        |_| {
            drop(Link::open(db("to_container")).map(|link| link.detach()));
            Box::new(())
        },
        ("link", "its link is detached"),
        ATTACH,
    )
    .at("other link", &["guard"]),
    harm(
        "a link is replaced by another's",
        |_| replace(),
        ("link", "something else is pinned in its place"),
        ATTACH_BOTH,
    )
    .at("link replaced", &["guard"]),
    opening(
        harm(
            "a program is swapped for another",
            |_| swap(),
            ("program", "another program stands under its link"),
            ATTACH_BOTH,
        )
        .at("program", &["guard", "map of db", "map taken of db"]),
    ),
    harm(
        "all pins of a container are deleted",
        |_| {
            drop(fs::remove_dir_all(db("")));
            Box::new(())
        },
        ("pin", "are gone, or not registered"),
        &["create connections shop/db", "attach programs shop/db"],
    )
    .at("container", OF_DB),
    opening(
        harm(
            "a program of others stands before",
            stranger_before,
            ("stranger", "stands before ours"),
            ATTACH_BOTH,
        )
        .at("strangers", &["links"]),
    ),
    opening(
        harm(
            "links are detached and the guards are gone",
            nobody,
            ("link", "nobody judges it"),
            ATTACH_BOTH,
        )
        .at("links", &["program", "strangers", "guard"]),
    ),
    harm(
        "an XDP program of others stands before",
        xdp,
        ("stranger", "XDP program"),
        &["ensure network shop/web", "open network shop/web"],
    )
    .at("xdp", &[]),
    harm(
        "all pins of links are deleted",
        |_| {
            unpin(&db("from_container"));
            unpin(&db("to_container"))
        },
        ("pin", "its link has no pin"),
        ATTACH,
    )
    .at(
        "links of db",
        &[
            "map of db",
            "map taken of db",
            "link taken",
            "link replaced",
            "other link",
            "guard",
        ],
    ),
    harm(
        "a bpffs is mounted over ours",
        |_| mount_over(),
        ("pin", "its pin is gone"),
        OVER,
    )
    .at("bpffs", PINNED),
    forgetting(
        harm(
            "the bpffs is unmounted, and mounted anew",
            |_| mount_anew(),
            ("bpffs", "nothing is pinned there"),
            ANEW,
        )
        .at("anew", PINNED_AND_HELD),
    ),
];
