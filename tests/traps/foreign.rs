//! Programs of others on an interface.

use std::os::fd::{AsFd, OwnedFd};

use bpf::attached::{self, Hook};
use libbpf_rs::{MapCore, MapFlags, Object};
use rig::foreign::{PASSES, load};

/// Keeps a packet until flag 1 is set, but not for ever; flag 0 says that it is inside, flag 2 that
/// it has left.
const HOLDS: &str = r#"
#define SEC(name) __attribute__((section(name), used))
typedef unsigned int u32;
struct {
	int (*type)[2]; /* array */
	int (*max_entries)[3];
	u32 *key;
	u32 *value;
} flags SEC(".maps");
static void *(*lookup)(void *map, const void *key) = (void *)1;
static long (*loop)(u32 times, void *each, void *with, unsigned long long flags) = (void *)181;
static volatile u32 *flag(u32 index) { return lookup(&flags, &index); }
static long let_go(u32 time, void *with)
{
	volatile u32 *go = flag(1);

	return !go || *go;
}
static long look(u32 time, void *with)
{
	loop(1 << 20, let_go, 0, 0);
	return let_go(0, 0);
}
SEC("tc") int holds(void *skb)
{
	volatile u32 *inside = flag(0), *left = flag(2);

	if (inside)
		*inside = 1;
	loop(100, look, 0, 0);
	if (left)
		*left = 1;
	return 2;
}
char _license[] SEC("license") = "GPL";
"#;

/// A stranger's program that lets everything pass, first on both sides of an interface for as long
/// as it is held.
pub(crate) struct Passer {
    _links: [OwnedFd; 2],
}

impl Passer {
    pub(crate) fn before(ifindex: u32) -> Self {
        let object = load(PASSES);
        let program = object.progs().next().unwrap();
        let links = [Hook::Ingress, Hook::Egress]
            .map(|hook| attached::attach_first(program.as_fd(), ifindex, hook).unwrap());
        Self { _links: links }
    }
}

/// A program that keeps a packet inside.
pub(crate) struct Holder {
    object: Object,
    _link: OwnedFd,
}

impl Holder {
    /// On what an interface receives.
    pub(crate) fn on(ifindex: u32) -> Self {
        let object = load(HOLDS);
        let program = object.progs().next().unwrap();
        let link = attached::attach_first(program.as_fd(), ifindex, Hook::Ingress).unwrap();
        Self {
            _link: link,
            object,
        }
    }

    fn flag(&self, index: u32) -> bool {
        let flags = self.object.maps().next().unwrap();
        let value = flags.lookup(&index.to_ne_bytes(), MapFlags::ANY).unwrap();
        value.unwrap() != [0; 4]
    }

    pub(crate) fn was_inside(&self) -> bool {
        self.flag(0)
    }

    pub(crate) fn is_inside(&self) -> bool {
        self.flag(0) && !self.flag(2)
    }

    pub(crate) fn let_go(&self) {
        let flags = self.object.maps().next().unwrap();
        let (one, set) = (1_u32.to_ne_bytes(), 1_u32.to_ne_bytes());
        flags.update(&one, &set, MapFlags::ANY).unwrap();
    }
}
