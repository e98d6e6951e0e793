//! What is pinned is root's alone: one write to the commit record would swap policy.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use libbpf_rs::Link;
use rig::ids::Held;
use rig::lab::Lab;
use rig::tree::{Container, Tree};
use rustix::process::{Gid, Uid};
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};

/// What of it the caller can open. [`Link::open`] opens a pin of any kind.
fn openable(pins: &[String]) -> Vec<&String> {
    pins.iter().filter(|pin| Link::open(pin).is_ok()).collect()
}

/// Makes the calling thread nobody, for good.
fn become_nobody() {
    let (uid, gid) = (Uid::from_raw(65_534), Gid::from_raw(65_534));
    set_thread_groups(&[]).unwrap();
    set_thread_res_gid(gid, gid, gid).unwrap();
    set_thread_res_uid(uid, uid, uid).unwrap();
}

#[test]
fn no_other_user_can_open_a_pin() {
    Lab::run("privilege", |lab| {
        let tree = [1, 2].map(|number| Container::numbered(&format!("shop/c{number}"), number));
        lab.repository()
            .hold(&tree.iter().fold(Tree::new(), Tree::container));
        lab.apply("two containers");
        let host = lab.alpha();
        let ours = |pin: &String| pin.starts_with("/sys/fs/bpf/plumbline");
        let pins: Vec<String> = Held::by(&host).pins.into_iter().filter(ours).collect();
        let by_root = host.run(|| openable(&pins).len());
        assert!(by_root > 20, "{by_root} of {pins:#?}");
        let mode = |pin: &String| host.run(|| fs::metadata(pin).unwrap().permissions().mode());
        for pin in &pins {
            assert_eq!(mode(pin) & 0o077, 0, "{pin}");
        }
        let nobody = host.run(|| {
            become_nobody();
            openable(&pins).into_iter().cloned().collect::<Vec<_>>()
        });
        assert_eq!(nobody, [""; 0]);
        // Each pin by itself, should somebody open the folders.
        host.run(|| {
            let folders = pins.iter().map(Path::new).filter(|pin| pin.is_dir());
            for folder in folders.chain([Path::new("/sys/fs/bpf")]) {
                fs::set_permissions(folder, PermissionsExt::from_mode(0o755)).unwrap();
            }
        });
        let nobody = host.run(|| {
            become_nobody();
            assert!(pins.iter().all(|pin| fs::metadata(pin).is_ok()));
            openable(&pins).into_iter().cloned().collect::<Vec<_>>()
        });
        assert_eq!(nobody, [""; 0]);
    });
}
