//! A guest: systemd as process 1 of namespaces of its own, with a cgroup of its own, on a root that
//! is unpacked once and written to by nobody (each guest has a layer above it).

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rig::program::{Program, Run};
use rig::wait;
use tempfile::TempDir;

/// How long something that is bound to come may take: units wait for timers and each other.
const LIMIT: Duration = Duration::from_secs(90);

/// What process 1 needs, from nothing: run in new namespaces, with the root, its layer and a
/// cgroup.
const BOOT: &str = r#"
set -e
image=$1 disk=$2 root=$2/root
mkdir -p $disk/upper $disk/work $root
mount -t overlay overlay -o lowerdir=$image,upperdir=$disk/upper,workdir=$disk/work $root
mount -t proc proc $root/proc
mount -t sysfs sysfs $root/sys
mount -t cgroup2 cgroup2 $root/sys/fs/cgroup
mount -t bpf bpf $root/sys/fs/bpf -o mode=0700
mount -t tmpfs tmpfs $root/run -o mode=755
mount -t tmpfs tmpfs $root/tmp
mount -t tmpfs tmpfs $root/dev -o mode=755
mkdir $root/dev/pts $root/dev/shm
for device in null zero full random urandom tty; do
    touch $root/dev/$device
    mount --bind /dev/$device $root/dev/$device
done
mount -t devpts devpts $root/dev/pts -o newinstance,ptmxmode=0666
ln -s pts/ptmx $root/dev/ptmx
cd $root
mkdir -p old
pivot_root . old
umount -l /old
exec env -i container=plumbline PATH=/usr/sbin:/usr/bin:/sbin:/bin \
    /lib/systemd/systemd --log-target=null --show-status=no </dev/null
"#;

/// What a guest keeps when it goes down.
pub(crate) struct Disk(TempDir);

impl Disk {
    /// An empty one.
    pub(crate) fn new() -> Self {
        Self(
            tempfile::Builder::new()
                .prefix("plumbline-boot")
                .tempdir()
                .unwrap(),
        )
    }
}

/// A guest that is up. It goes down, as if by a loss of power, when this is dropped.
pub(crate) struct Guest {
    child: Child,
    init: u32,
    group: PathBuf,
}

impl Guest {
    /// Boots, and waits until all that is to be started has been.
    pub(crate) fn boot(disk: &Disk) -> Self {
        let image = std::env::var("PLUMBLINE_BOOT_IMAGE")
            .expect("./dev test-boot runs these, with what they need");
        let group = group();
        fs::create_dir(&group).unwrap();
        // The shell enters the group first: all that it starts is in it. Whoever goes, all below it
        // go.
        let enter = "echo $$ >$0/cgroup.procs; exec setpriv --pdeathsig KILL unshare --pid \
                     --mount --net --uts --ipc --cgroup --fork --kill-child --propagation private \
                     sh -c \"$1\" sh $2 $3";
        let console = disk.0.path().join("console");
        let mut command = Command::new("sh");
        command.args(["-c", enter]).arg(&group).arg(BOOT);
        command.arg(image).arg(disk.0.path());
        command.stdin(Stdio::null()).stdout(Stdio::null());
        command.stderr(fs::File::create(&console).unwrap());
        let child = command.spawn().unwrap();
        let children = format!("/proc/{0}/task/{0}/children", child.id());
        let mut guest = Self {
            child,
            init: 0,
            group,
        };
        let init = wait::within(LIMIT, || {
            let text = fs::read_to_string(&children).ok()?;
            let init = text.split_whitespace().next()?.parse().ok()?;
            let name = fs::read_to_string(format!("/proc/{init}/comm")).ok()?;
            (name == "systemd\n").then_some(init)
        });
        guest.init = init.unwrap_or_else(|| panic!("{}", fs::read_to_string(&console).unwrap()));
        guest.until(
            "the guest is up",
            "systemctl is-system-running | grep -E 'running|degraded'",
        );
        guest
    }

    /// The same with the package installed.
    pub(crate) fn with_package(disk: &Disk) -> Self {
        let guest = Self::boot(disk);
        guest.copy(&package(), "/root/plumbline.deb");
        guest.sh("dpkg -i /root/plumbline.deb");
        guest
    }

    /// Copies a file into it.
    pub(crate) fn copy(&self, from: &Path, to: &str) {
        let to = format!("/proc/{}/root{to}", self.init);
        fs::copy(from, to).unwrap();
    }

    /// Writes a file in it.
    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = PathBuf::from(format!("/proc/{}/root{path}", self.init));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Runs a shell script in it.
    pub(crate) fn run(&self, script: &str) -> Run {
        let init = self.init.to_string();
        let shell = ["-t", &init, "-a", "sh", "-c", script];
        Program::new("nsenter")
            .args(shell)
            .env("HOME", "/root")
            .limit(LIMIT)
            .run()
    }

    /// Runs one that must end with 0; what it printed, without the last line feed.
    #[track_caller]
    pub(crate) fn sh(&self, script: &str) -> String {
        let run = self.run(script).ended(0);
        run.stdout.trim_end().to_owned()
    }

    /// Runs one until it ends with 0.
    #[track_caller]
    pub(crate) fn until(&self, what: &str, script: &str) {
        let mut last = None;
        let found = wait::within(LIMIT, || {
            let run = self.run(script);
            let done = run.code == 0;
            last = Some(run);
            done.then_some(())
        });
        assert!(
            found.is_some(),
            "waited {LIMIT:?} in vain for: {what}: {}\n{}",
            last.unwrap(),
            self.run("journalctl --no-pager -n 80; systemctl --no-pager --failed")
                .stdout
        );
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        // With unshare(1) process 1 ends, and all others of its namespace with it.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let group = self.group.clone();
        let gone = wait::within(LIMIT, || remove_groups(&group).ok());
        assert!(
            gone.is_some() || std::thread::panicking(),
            "{} stays",
            group.display()
        );
    }
}

/// Removes a cgroup and those below it, once nobody is in them.
fn remove_groups(group: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(group)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_groups(&entry.path())?;
        }
    }
    fs::remove_dir(group)
}

/// A name for a cgroup where the host has them, version 2.
fn group() -> PathBuf {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    let mut mounts = mounts
        .lines()
        .map(|line| line.split(' ').collect::<Vec<_>>());
    let mount = mounts
        .find(|mount| mount[2] == "cgroup2")
        .expect("cgroups of version 2 are mounted");
    let name = format!("plumbline-boot-{}", std::process::id());
    Path::new(mount[1]).join(name)
}

/// The package, as it was built.
pub(crate) fn package() -> PathBuf {
    std::env::var_os("PLUMBLINE_BOOT_PACKAGE")
        .expect("./dev test-boot runs these, with what they need")
        .into()
}
