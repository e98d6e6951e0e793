//! Protocols and ports.

use std::fmt;
use std::sync::Arc;

/// A protocol that a policy can name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// RFC 9293.
    Tcp,
    /// RFC 768.
    Udp,
    /// RFC 9260.
    Sctp,
}

impl Protocol {
    /// All of them, in order.
    pub const ALL: [Self; 3] = [Self::Tcp, Self::Udp, Self::Sctp];

    /// Its number in the IP header (IANA protocol numbers).
    pub fn number(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
            Self::Sctp => 132,
        }
    }

    /// The protocol of a number in the IP header, if a policy can name it.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|p| p.number() == number)
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
            Self::Sctp => "SCTP",
        })
    }
}

/// The name of a protocol by its number in the IP header, or that number.
pub fn name_of(protocol: u8) -> String {
    match (Protocol::from_number(protocol), protocol) {
        (Some(protocol), _) => protocol.to_string(),
        (None, 1) => "ICMP".to_owned(),
        (None, 58) => "ICMPv6".to_owned(),
        (None, number) => number.to_string(),
    }
}

/// A port's name: an IANA service name (RFC 6335, section 5.1): 1 to 15 of `[a-z0-9-]`.
pub type PortName = Arc<str>;

/// A port that a container gives a name. A container may use one name once for each protocol.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NamedPort {
    /// The name.
    pub name: PortName,
    /// The number, from 1.
    pub port: u16,
    /// The protocol.
    pub protocol: Protocol,
}

/// Why a port's name is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PortNameError {
    /// It is empty or has more than 15 characters.
    Length,
    /// A character may not stand there (the byte offset is given).
    Character(usize),
    /// It has no letter, so it could be taken for a number.
    NoLetter,
}

impl fmt::Display for PortNameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length => f.write_str("has not 1 to 15 characters"),
            Self::Character(at) => write!(
                f,
                "has a character at offset {at} that may not stand there (lower-case letters, \
                 digits and single '-' between them may)"
            ),
            Self::NoLetter => f.write_str("has no letter"),
        }
    }
}

impl std::error::Error for PortNameError {}

/// Checks and takes a port's name (RFC 6335, section 5.1; in lower case only, as Kubernetes asks).
pub fn port_name(text: &str) -> Result<PortName, PortNameError> {
    if text.is_empty() || text.len() > 15 {
        return Err(PortNameError::Length);
    }
    let bytes = text.as_bytes();
    for (at, byte) in bytes.iter().enumerate() {
        let between = at != 0 && at + 1 != bytes.len() && bytes[at - 1] != b'-';
        match byte {
            b'a'..=b'z' | b'0'..=b'9' => {}
            b'-' if between => {}
            _ => return Err(PortNameError::Character(at)),
        }
    }
    if !bytes.iter().any(u8::is_ascii_lowercase) {
        return Err(PortNameError::NoLetter);
    }
    Ok(text.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn port_names_are_service_names() {
        for name in ["http", "a", "8a", "http-alt-2", "abcdefghijklmno"] {
            assert!(port_name(name).is_ok(), "{name}");
        }
        for (name, error) in [
            ("", PortNameError::Length),
            ("abcdefghijklmnop", PortNameError::Length),
            ("HTTP", PortNameError::Character(0)),
            ("a--b", PortNameError::Character(2)),
            ("-a", PortNameError::Character(0)),
            ("a-", PortNameError::Character(1)),
            ("80", PortNameError::NoLetter),
        ] {
            assert_eq!(port_name(name), Err(error), "{name}");
        }
    }
}
