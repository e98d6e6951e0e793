//! Who to whom, on which port: from the command line's words to flows.

use std::net::IpAddr;
use std::num::NonZeroU16;

use state::desired::{Container, Desired};
use state::words::address::Family;
use state::words::flow::Flow;
use state::words::names::FullName;
use state::words::ports::Protocol;

use crate::commands::arguments::ExplainArguments;

/// The number of ICMP in the IP header, by family (IANA protocol numbers).
const ICMP: [u8; 2] = [1, 58];

/// The flows that are asked about: one for each family that both ends have.
pub(super) struct Question {
    pub(super) flows: Vec<Flow>,
}

/// One end.
enum End<'a> {
    Container(&'a Container),
    Address(IpAddr),
}

impl End<'_> {
    fn address(&self, family: Family) -> Option<IpAddr> {
        match self {
            Self::Container(c) => c
                .addresses
                .iter()
                .copied()
                .find(|a| Family::of(*a) == family),
            Self::Address(address) => (Family::of(*address) == family).then_some(*address),
        }
    }
}

impl Question {
    /// Reads the question. An error says what of it cannot be understood.
    pub(super) fn of(desired: &Desired, arguments: &ExplainArguments) -> Result<Self, String> {
        let from = end(desired, &arguments.from)?;
        let to = end(desired, &arguments.to)?;
        let mut flows = Vec::new();
        for (family, icmp) in Family::ALL.into_iter().zip(ICMP) {
            let (Some(source), Some(destination)) = (from.address(family), to.address(family))
            else {
                continue;
            };
            let destination_container = desired.container_at(destination);
            let (protocol, port) = port(&arguments.port, icmp, destination_container)?;
            flows.push(Flow {
                source,
                destination,
                protocol,
                port,
            });
        }
        if flows.is_empty() {
            return Err(format!(
                "{} and {} have no address family in common",
                arguments.from, arguments.to
            ));
        }
        Ok(Self { flows })
    }
}

fn end<'a>(desired: &'a Desired, text: &str) -> Result<End<'a>, String> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(End::Address(address));
    }
    let name = FullName::from_slashed(text)
        .map_err(|_| format!("'{text}' is neither NAMESPACE/NAME nor an address"))?;
    let container = desired.containers.get(&name);
    container
        .map(End::Container)
        .ok_or_else(|| format!("the tree has no container {name}"))
}

/// Protocol number and port of `80/TCP`, `http/TCP`, `80` or `icmp`.
fn port(text: &str, icmp: u8, to: Option<&Container>) -> Result<(u8, u16), String> {
    if text.eq_ignore_ascii_case("icmp") {
        return Ok((icmp, 0));
    }
    let (port, protocol) = text.split_once('/').unwrap_or((text, "TCP"));
    let protocol = Protocol::ALL
        .into_iter()
        .find(|p| p.to_string().eq_ignore_ascii_case(protocol))
        .ok_or_else(|| format!("'{protocol}' is no protocol of policies: TCP, UDP or SCTP"))?;
    if let Ok(number) = port.parse::<NonZeroU16>() {
        return Ok((protocol.number(), number.get()));
    }
    let named = to.and_then(|c| {
        c.ports
            .iter()
            .find(|p| p.protocol == protocol && p.name.as_ref() == port)
    });
    let found = named.ok_or_else(|| {
        format!("'{port}' is neither a port number nor a {protocol} port of the destination")
    })?;
    Ok((protocol.number(), found.port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_numbers_with_a_protocol_and_0_is_none() {
        let asked = |text| port(text, 1, None);
        assert_eq!(asked("80"), Ok((6, 80)));
        assert_eq!(asked("53/udp"), Ok((17, 53)));
        assert_eq!(asked("ICMP"), Ok((1, 0)));
        for refused in [
            "0", "0/UDP", "65536", "-1", "", "/TCP", "80/", "80/ICMP", "http",
        ] {
            assert!(asked(refused).is_err(), "{refused}");
        }
    }
}
