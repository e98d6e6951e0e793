//! A flow, as the question "may this begin?": who to whom, by which protocol, to which port.

use std::fmt;
use std::net::IpAddr;

use super::ports::Protocol;

/// The first packet of a flow. Replies follow their connection and are never asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Flow {
    /// The initiator's address.
    pub source: IpAddr,
    /// The responder's address, of the same family.
    pub destination: IpAddr,
    /// The protocol's number in the IP header.
    pub protocol: u8,
    /// The responder's port; 0 where the protocol has none.
    pub port: u16,
}

impl fmt::Display for Flow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} -> {} ", self.source, self.destination)?;
        match Protocol::from_number(self.protocol) {
            Some(protocol) => write!(f, "{}/{protocol}", self.port),
            None => write!(f, "protocol {}", self.protocol),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flow_reads_as_people_write_it() {
        let mut flow = Flow {
            source: "10.0.0.1".parse().unwrap(),
            destination: "10.0.0.2".parse().unwrap(),
            protocol: 6,
            port: 80,
        };
        assert_eq!(flow.to_string(), "10.0.0.1 -> 10.0.0.2 80/TCP");
        flow.protocol = 1;
        assert_eq!(flow.to_string(), "10.0.0.1 -> 10.0.0.2 protocol 1");
    }
}
