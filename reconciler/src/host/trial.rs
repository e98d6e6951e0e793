//! What only the kernel can tell: whether it makes what containers are attached by.

use std::os::fd::AsFd;

use state::words::address::Mac;

use super::links::{self, Pair, Setting};
use super::netlink::Netlink;
use super::{HostError, namespaces};

/// Makes a pair of interfaces between two new network namespaces, which go as this returns. Nothing
/// of the host is touched.
///
/// # Errors
///
/// What the kernel refused.
pub fn pair() -> Result<(), HostError> {
    const NAME: &str = "trial";
    let [here, there] = [namespaces::create(NAME)?, namespaces::create(NAME)?];
    let netlink = Netlink::inside(here.as_fd())?;
    let pair = Pair {
        name: NAME,
        group: 1,
        mac: Mac([2, 0, 0, 0, 0, 1]),
        namespace: there.as_fd(),
        inside_name: NAME,
        inside_mac: Mac([2, 0, 0, 0, 0, 2]),
        mtu: 1500,
    };
    links::create(&netlink, &pair)?;
    let vanished = || HostError::Vanished {
        interface: NAME.to_owned(),
    };
    let link = links::find(&netlink, NAME)?.ok_or_else(vanished)?;
    let settings = [Setting::Alias(NAME), Setting::NoGeneratedAddresses];
    let changes = settings.map(|setting| links::set(link.index, NAME, setting));
    Ok(netlink.changes(changes.into())?)
}
