//! Programs of others, from a few lines of C.

use libbpf_rs::{Object, ObjectBuilder};

use crate::program::Program;

/// Lets everything pass, and keeps it from who stands behind (`TC_ACT_OK`).
pub const PASSES: &str = r#"
__attribute__((section("tc"), used)) int passes(void *skb) { return 0; }
char _license[] __attribute__((section("license"), used)) = "GPL";
"#;

/// Bears the name of our guard, and lets everything pass.
pub const NAMESAKE: &str = r#"
__attribute__((section("tc"), used)) int plumbline_guard(void *skb) { return 0; }
char _license[] __attribute__((section("license"), used)) = "GPL";
"#;

/// Drops everything, where nothing of ours has seen it (`XDP_DROP`).
pub const DROPS: &str = r#"
__attribute__((section("xdp"), used)) int drops(void *context) { return 1; }
char _license[] __attribute__((section("license"), used)) = "GPL";
"#;

/// Compiles and loads it.
///
/// # Panics
/// Where clang or the kernel refuses it.
pub fn load(source: &str) -> Object {
    let folder = tempfile::tempdir().expect("a folder");
    let [source_path, object] = ["foreign.c", "foreign.o"].map(|name| folder.path().join(name));
    std::fs::write(&source_path, source).expect("a file in it");
    let clang = Program::new("clang")
        .args(["-target", "bpf", "-mcpu=v3", "-O2", "-g", "-c", "-o"])
        .args([&object, &source_path]);
    clang.run().succeed();
    let mut builder = ObjectBuilder::default();
    let opened = builder.open_file(&object).expect("clang wrote an object");
    opened.load().expect("the kernel takes it")
}
