//! Notices that interfaces of the host or their addresses may have come, gone or changed
//! (rtnetlink(7)).

use futures_util::StreamExt;
use rtnetlink::{MulticastGroup, new_multicast_connection};

use super::NetlinkError;

const GROUPS: [MulticastGroup; 3] = [
    MulticastGroup::Link,
    MulticastGroup::Ipv4Ifaddr,
    MulticastGroup::Ipv6Ifaddr,
];

/// Calls `tell` for each change of an interface in the network namespace of the calling thread,
/// and where notices were lost for want of room. Needs a runtime; ends with the socket.
///
/// # Errors
///
/// No socket.
pub async fn of_interfaces(tell: impl Fn() + Send + 'static) -> Result<(), NetlinkError> {
    let opened = new_multicast_connection(&GROUPS);
    let (connection, _handle, mut messages) = opened.map_err(NetlinkError::Open)?;
    tokio::spawn(connection);
    while messages.next().await.is_some() {
        tell();
    }
    Ok(())
}
