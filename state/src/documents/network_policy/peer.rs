//! Peers: selectors, or a range of addresses.

use super::{Cidr, Context, Fields, Node, Peer, PeerKind, Problem, Spot, codes, selector, shown};
use crate::documents::addresses::{Written, cidr};

/// Reads one item of `from` or `to`.
pub(super) fn peer(node: &Node<'_>, context: &mut Context<'_>) -> Option<Peer> {
    let mut fields = Fields::of(node, "a peer", context)?;
    let pods = fields.take("podSelector");
    let namespaces = fields.take("namespaceSelector");
    let block = fields.take("ipBlock");
    let known = fields.finish(context);
    let selects = pods.is_some() || namespaces.is_some();
    let pods = pods.map(|node| selector(node, "podSelector", context));
    let namespaces = namespaces.map(|node| selector(node, "namespaceSelector", context));
    let kind = match block {
        Some(block) => {
            let kind = ip_block(block, context);
            if selects {
                let message = "a peer has ipBlock and a selector, and they exclude each other";
                let help = "make them two peers";
                context.error_with(block.spot, codes::BAD_PEER, message, help);
                return None;
            }
            kind?
        }
        None if selects => PeerKind::Containers { pods, namespaces },
        // A misspelt field says it all.
        None if !known => return None,
        None => {
            let message = "a peer has neither podSelector nor namespaceSelector nor ipBlock";
            let help = "write `podSelector: {}` for every container of the policy's namespace, or \
                        take the list of peers away to mean everybody";
            context.error_with(node.spot, codes::BAD_PEER, message, help);
            return None;
        }
    };
    Some(Peer {
        place: context.place(node.spot),
        kind,
    })
}

fn ip_block(node: &Node<'_>, context: &mut Context<'_>) -> Option<PeerKind> {
    let mut fields = Fields::of(node, "ipBlock", context)?;
    let range = fields.required("cidr", context);
    let except = fields.take("except");
    fields.finish(context);
    let range = range.and_then(|node| read(node, "cidr", context));
    let items = except.and_then(|node| context.list(node, "except"));
    let mut exceptions = Vec::new();
    for item in items.unwrap_or_default() {
        let Some(exception) = read(item, "an item of except", context) else {
            continue;
        };
        match range {
            Some(range) if !is_part(exception, range) => {
                let message = format!("{exception} is not a smaller part of {range}");
                let help = "an exception lies within `cidr` and has a longer prefix";
                context.error_with(item.spot, codes::BAD_EXCEPT, message, help);
            }
            _ => exceptions.push(exception),
        }
    }
    Some(PeerKind::Block {
        cidr: range?,
        except: exceptions,
    })
}

/// Whether `part` is within `whole` and smaller.
fn is_part(part: Cidr, whole: Cidr) -> bool {
    part.prefix_len() > whole.prefix_len() && whole.contains(&part.network())
}

/// Reads a range. Bits beyond its prefix length mean nothing, as in Kubernetes, and are a warning.
fn read(node: &Node<'_>, what: &str, context: &mut Context<'_>) -> Option<Cidr> {
    let text = context.text(node, what)?;
    match cidr(text) {
        Ok(Written { range, exact: true }) => Some(range),
        Ok(Written { range, .. }) => {
            warn_host_bits(node.spot, text, range, context);
            Some(range)
        }
        Err(error) => {
            let message = format!("{} {}", shown(text), error.message);
            context.error_with(node.spot, codes::BAD_CIDR, message, error.help);
            None
        }
    }
}

fn warn_host_bits(spot: Spot, text: &str, range: Cidr, context: &mut Context<'_>) {
    let message = format!("{} means {range}", shown(text));
    let place = context.place(spot);
    let problem = Problem::warning(place, codes::CIDR_HOST_BITS, message).help(format!(
        "write {range}, or a longer prefix if less is meant"
    ));
    context.problems.push(problem);
}
