//! What the bytecode is, as far as a build hash needs to know: handed in by `bpf` as a value.

/// A description of the embedded datapath.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Datapath {
    /// Hash over what makes the container programs (instructions, map layouts, BTF-independent),
    /// without constants.
    pub container_code: [u8; 32],
    /// The same of the shared blocks.
    pub block_code: [u8; 32],
    /// Version of the layouts of pinned maps.
    pub layout: u32,
    /// How many endpoints the registry holds.
    pub endpoints_most: u32,
}
