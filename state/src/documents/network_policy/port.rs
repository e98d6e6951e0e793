//! Ports: a protocol with a number, a range, a name or nothing.

use super::{Context, Fields, Node, Port, PortNumber, Protocol, codes};
use crate::documents::ports::{name, number, protocol};
use crate::documents::yaml::{Kind, Value};

/// Reads one item of `ports`.
pub(super) fn port(node: &Node<'_>, context: &mut Context<'_>) -> Option<Port> {
    let mut fields = Fields::of(node, "an item of ports", context)?;
    let protocol_node = fields.take("protocol");
    let port_node = fields.take("port");
    let end_node = fields.take("endPort");
    fields.finish(context);
    let protocol = match protocol_node {
        None => Some(Protocol::Tcp),
        Some(node) => protocol(node, context),
    };
    let number = numbers(port_node, end_node, context);
    Some(Port {
        place: context.place(node.spot),
        protocol: protocol?,
        number: number?,
    })
}

/// Reads `port` and `endPort`.
fn numbers(
    port: Option<&Node<'_>>,
    end: Option<&Node<'_>>,
    context: &mut Context<'_>,
) -> Option<PortNumber> {
    let Some(port) = port else {
        if let Some(end) = end {
            let help = "write the first port of the range as `port`";
            context.error_with(end.spot, codes::BAD_PORT, "endPort without port", help);
            return None;
        }
        return Some(PortNumber::Any);
    };
    if is_text(port) {
        if let Some(end) = end {
            let help = "a range needs a number as `port`";
            context.error_with(end.spot, codes::BAD_PORT, "endPort with a named port", help);
        }
        let name = name(port, context)?;
        return end.is_none().then_some(PortNumber::Named(name));
    }
    let first = number(port, "port", context);
    let Some(end) = end else {
        return first.map(|first| PortNumber::Range(first, first));
    };
    let last = number(end, "endPort", context);
    let (first, last) = (first?, last?);
    if last < first {
        let message = format!("endPort {last} is below port {first}");
        context.error(end.spot, codes::BAD_PORT, message);
        return None;
    }
    Some(PortNumber::Range(first, last))
}

fn is_text(node: &Node<'_>) -> bool {
    match &node.value {
        Value::Scalar(scalar) => matches!(scalar.kind(), Kind::Text),
        _ => false,
    }
}
