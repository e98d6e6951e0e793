//! Creating, finding and completing what a host has once.

use crate::rig::{alone, tree};

#[test]
fn create_makes_everything_and_open_finds_it() {
    alone(|lab| {
        assert!(lab.open().is_none());
        assert!(!lab.base().exists(), "open changes nothing");
        let kernel = lab.create();
        assert_eq!(kernel.block_code(), bpf::object::datapath().block_code);
        assert_eq!(kernel.record().generation.0, 0);
        for (path, mode) in tree(&lab.base()) {
            let file = lab.base().join(&path);
            let expected = if file.is_dir() { 0o700 } else { 0o600 };
            assert_eq!(mode, expected, "{path}");
            println!("{path}");
        }
        let before = tree(&lab.base());
        let again = lab.create();
        assert_eq!(tree(&lab.base()), before);
        assert_eq!(again.block_code(), kernel.block_code());
        let found = lab.open().unwrap();
        assert_eq!(found.block_code(), kernel.block_code());
        assert!(found.unpinned().is_empty());
    });
}
