//! Protocols, port numbers and port names, as policies and containers write them.

use super::codes;
use super::fields::Context;
use super::suggest::one_of;
use super::yaml::{Node, shown};
use crate::words::ports::{PortName, Protocol, port_name};

/// Reads a protocol.
pub(super) fn protocol(node: &Node<'_>, context: &mut Context<'_>) -> Option<Protocol> {
    let text = context.text(node, "protocol")?;
    let protocol = match text {
        "TCP" => Protocol::Tcp,
        "UDP" => Protocol::Udp,
        "SCTP" => Protocol::Sctp,
        other => {
            let message = format!("{} is no protocol", shown(other));
            let help = one_of(other, &["TCP", "UDP", "SCTP"]);
            context.error_with(node.spot, codes::BAD_PORT, message, help);
            return None;
        }
    };
    Some(protocol)
}

/// Reads a port's number: 1 to 65535.
pub(super) fn number(node: &Node<'_>, what: &str, context: &mut Context<'_>) -> Option<u16> {
    let number = context.integer(node, what)?;
    match u16::try_from(number) {
        Ok(number) if number > 0 => Some(number),
        _ => {
            let message = format!("{what} must be from 1 to 65535");
            context.error(node.spot, codes::BAD_PORT, message);
            None
        }
    }
}

/// Reads a port's name.
pub(super) fn name(node: &Node<'_>, context: &mut Context<'_>) -> Option<PortName> {
    let text = context.text(node, "a port's name")?;
    match port_name(text) {
        Ok(name) => Some(name),
        Err(error) => {
            let message = format!("the port name {} {error}", shown(text));
            let number = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
            if number {
                let help = "write a port number without quotes";
                context.error_with(node.spot, codes::BAD_PORT, message, help);
            } else {
                context.error(node.spot, codes::BAD_PORT, message);
            }
            None
        }
    }
}
