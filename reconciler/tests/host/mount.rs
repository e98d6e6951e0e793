//! The bpffs and the base directory.

use std::fs;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, chown, symlink};
use std::path::Path;

use reconciler::host::mounts::Mounts;
use reconciler::host::{MountError, mount};

use crate::world::on_a_host;

const BASE: &str = "/sys/fs/bpf/plumbline";

#[test]
fn a_bpffs_is_mounted_once_and_for_root_alone() {
    on_a_host(|| {
        let base = Path::new(BASE);
        assert!(!mount::is_mounted(base).unwrap());
        assert!(matches!(
            mount::make_base(base),
            Err(MountError::NotBpffs { .. })
        ));
        // Whatever is there would be hidden.
        for tried in [
            mount::is_mounted(base).map(|_| ()),
            mount::mount(base, Mounts::default()),
        ] {
            assert!(matches!(tried, Err(MountError::InUse { .. })), "{tried:?}");
        }
        fs::remove_dir(base).unwrap();
        mount::mount(base, Mounts::default()).unwrap();
        mount::mount(base, Mounts::default()).unwrap();
        assert!(mount::is_mounted(base).unwrap());
        let mounts = fs::read_to_string("/proc/thread-self/mounts").unwrap();
        assert_eq!(mounts.lines().filter(|l| l.starts_with("bpf ")).count(), 1);
        let root = fs::metadata("/sys/fs/bpf").unwrap();
        assert_eq!(root.mode() & 0o777, 0o700);
        assert!(!mount::check_base(base).unwrap());
        mount::make_base(base).unwrap();
        mount::make_base(base).unwrap();
        assert!(mount::check_base(base).unwrap());
        assert_eq!(fs::metadata(base).unwrap().mode() & 0o7777, 0o700);
    });
}

#[test]
fn a_base_directory_that_others_could_have_used_is_refused() {
    on_a_host(|| {
        let base = Path::new(BASE);
        mount::mount(base, Mounts::default()).unwrap();
        fs::DirBuilder::new().mode(0o755).create(base).unwrap();
        assert!(matches!(
            mount::make_base(base),
            Err(MountError::Mode { mode: 0o755, .. })
        ));
        fs::set_permissions(base, fs::Permissions::from_mode(0o700)).unwrap();
        mount::make_base(base).unwrap();
        chown(base, Some(65534), None).unwrap();
        let error = mount::check_base(base).unwrap_err();
        assert!(matches!(error, MountError::Owner { owner: 65534, .. }));
        assert!(error.to_string().contains("belongs to user 65534"));
    });
}

#[test]
fn a_base_directory_elsewhere_is_refused() {
    on_a_host(|| {
        fs::create_dir("/run/plain").unwrap();
        let base = Path::new("/run/plain/base");
        assert!(matches!(
            mount::make_base(base),
            Err(MountError::NotBpffs { .. })
        ));
        mount::mount(Path::new("/run/elsewhere/base"), Mounts::default()).unwrap();
        mount::make_base(Path::new("/run/elsewhere/base")).unwrap();
        symlink("/run/elsewhere/base", "/run/plain/link").unwrap();
        assert!(matches!(
            mount::check_base(Path::new("/run/plain/link")),
            Err(MountError::NotADirectory { .. })
        ));
        for odd in ["/", "relative"] {
            assert!(matches!(
                mount::mount(Path::new(odd), Mounts::default()),
                Err(MountError::NoParent { .. })
            ));
        }
    });
}
