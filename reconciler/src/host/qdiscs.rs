//! Queueing disciplines, as far as they keep the guard from where it is to stand.

use std::collections::BTreeMap;

use rtnetlink::packet_core::Nla;
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::tc::{TcAttribute, TcMessage};

use super::netlink::{Netlink, NetlinkError};

/// `TCA_INGRESS_BLOCK` and `TCA_EGRESS_BLOCK` of linux/rtnetlink.h.
const SHARED: [u16; 2] = [13, 14];

/// Why no guard can stand on both sides of an interface, by its index, and the kind of qdisc.
pub(super) fn in_the_way(netlink: &Netlink) -> Result<BTreeMap<u32, String>, NetlinkError> {
    let message = RouteNetlinkMessage::GetQueueDiscipline(TcMessage::default());
    let found = netlink.list("list the qdiscs", &message)?;
    let found = found.into_iter().filter_map(|message| match message {
        RouteNetlinkMessage::NewQueueDiscipline(qdisc) => {
            let index = u32::try_from(qdisc.header.index).ok()?;
            Some((index, why(&qdisc)?))
        }
        _ => None,
    });
    Ok(found.collect())
}

fn why(qdisc: &TcMessage) -> Option<String> {
    let mut attributes = qdisc.attributes.iter();
    let kind = attributes.find_map(|attribute| match attribute {
        TcAttribute::Kind(kind) => Some(kind.as_str()),
        _ => None,
    })?;
    let shared = |a: &TcAttribute| matches!(a, TcAttribute::Other(a) if SHARED.contains(&a.kind()));
    let why = match kind {
        // It stands where clsact would, and has one list of filters for both sides, which only
        // what comes in passes (net/sched/sch_ingress.c).
        "ingress" => "beside which nothing can keep its other side closed",
        _ if qdisc.attributes.iter().any(shared) => "which shares its filters with others",
        _ => return None,
    };
    Some(format!("a qdisc of kind {kind}, {why}"))
}
