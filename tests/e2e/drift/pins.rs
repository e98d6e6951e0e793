//! What others do to pins, links and programs.

use std::fs;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use bpf::attached::{Hook, attach_first};
use libbpf_rs::{Link, Xdp, XdpFlags};
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

pub(super) const HARMS: [Harm; 17] = [
    harm(
        "the pin of a table is deleted",
        |_| unpin(&pins().join("policy")),
        ("pin", "its pin is gone"),
        REPIN,
    ),
    harm(
        "the pin of the commit record is deleted",
        |_| unpin(&pins().join("commit")),
        ("pin", "its pin is gone"),
        REPIN,
    ),
    harm(
        "the pin of the timer's map is deleted",
        |_| unpin(&pins().join("sweep")),
        ("pin", "its pin is gone"),
        REPIN,
    ),
    harm(
        "the pin of a block is deleted",
        |_| unpin(&block("judge_out")),
        ("pin", "its pin is gone"),
        REPIN,
    ),
    harm(
        "the pin of the block table is deleted",
        |_| unpin(&block("table")),
        ("blocks", "no whole set"),
        NEW_BLOCKS,
    ),
    harm(
        "the pin of a connection map is deleted",
        |_| unpin(&db("established")),
        ("pin", "its pin is gone"),
        &["create connections shop/db"],
    ),
    harm(
        "the pin of a link is deleted",
        |_| unpin(&db("from_container")),
        ("pin", "its link has no pin"),
        ATTACH,
    ),
    harm(
        "a link is detached",
        |_| {
            drop(Link::open(db("to_container")).map(|link| link.detach()));
            Box::new(())
        },
        ("link", "its link is detached"),
        ATTACH,
    ),
    harm(
        "a link is replaced by another's",
        |_| replace(),
        ("link", "another link is pinned"),
        ATTACH_BOTH,
    ),
    opening(harm(
        "a program is swapped for another",
        |_| swap(),
        ("program", "another program stands under its link"),
        ATTACH_BOTH,
    )),
    harm(
        "all pins of a container are deleted",
        |_| {
            drop(fs::remove_dir_all(db("")));
            Box::new(())
        },
        ("pin", "are gone, or not registered"),
        &["create connections shop/db", "attach programs shop/db"],
    ),
    opening(harm(
        "a program of others stands before",
        stranger_before,
        ("stranger", "stands before ours"),
        ATTACH_BOTH,
    )),
    opening(harm(
        "links are detached and the guards are gone",
        nobody,
        ("link", "nobody judges it"),
        ATTACH_BOTH,
    )),
    harm(
        "an XDP program of others stands before",
        xdp,
        ("stranger", "XDP program"),
        &["ensure network shop/web", "open network shop/web"],
    ),
    harm(
        "all pins of links are deleted",
        |_| {
            unpin(&db("from_container"));
            unpin(&db("to_container"))
        },
        ("pin", "its link has no pin"),
        ATTACH,
    ),
    harm(
        "a bpffs is mounted over ours",
        |_| mount_over(),
        ("pin", "its pin is gone"),
        OVER,
    ),
    forgetting(harm(
        "the bpffs is unmounted, and mounted anew",
        |_| mount_anew(),
        ("bpffs", "nothing is pinned there"),
        ANEW,
    )),
];
