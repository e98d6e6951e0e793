//! Queueing disciplines, as far as they keep the guard from where it is to stand.

use std::collections::BTreeSet;

use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::tc::{TcAttribute, TcMessage};

use super::netlink::{Netlink, NetlinkError};

/// Interfaces with a qdisc of kind `ingress`. It stands where `clsact` would, and has one list of
/// filters for both sides, which only what comes in passes (net/sched/sch_ingress.c).
pub(super) fn of_one_side(netlink: &Netlink) -> Result<BTreeSet<u32>, NetlinkError> {
    let message = RouteNetlinkMessage::GetQueueDiscipline(TcMessage::default());
    let found = netlink.list("list the qdiscs", &message)?;
    let one_sided = found.into_iter().filter_map(|message| match message {
        RouteNetlinkMessage::NewQueueDiscipline(qdisc) => {
            let ingress = |a: &TcAttribute| matches!(a, TcAttribute::Kind(k) if k == "ingress");
            let index = u32::try_from(qdisc.header.index).ok()?;
            qdisc.attributes.iter().any(ingress).then_some(index)
        }
        _ => None,
    });
    Ok(one_sided.collect())
}
