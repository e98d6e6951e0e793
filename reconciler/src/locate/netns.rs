//! Managed containers, found in what was read back.

use std::collections::BTreeMap;

use state::live::Live;
use state::target::located::{Located, Uplink};

/// Where the containers are, which endpoint index each has, and which may not be given out yet.
pub fn locate(live: &Live, uplinks: BTreeMap<String, Uplink>) -> Located {
    live.located(uplinks)
}
