//! Attachments as the claimants of objects in nf_tables.

use cni::{Attachment, Request};
use nft::{Claimant, Digest};

/// The longest comment that `nft` reads back (`NFTNL_UDATA_COMMENT_MAXLEN`), so that a saved ruleset loads.
const COMMENT_CAPACITY: usize = 127;
const CONTAINER_ID_CAPACITY: usize = 64;
/// `IFNAMSIZ` without its zero byte.
const INTERFACE_CAPACITY: usize = 15;
/// `~` and 32 bits of digest in hex, at the end of a part that was too long.
const SHORTENED_LEN: usize = 9;

/// Returns the claimant of a request's objects in nf_tables.
pub fn claimant(request: &Request) -> Claimant {
    of_parts(&request.network, request.container_id(), request.interface())
}

/// Returns an attachment as the claimant of objects in nf_tables.
pub fn claimant_of(attachment: &Attachment) -> Claimant {
    of_parts(&attachment.network, &attachment.container_id, &attachment.interface)
}

/// Returns whether a claimant is an attachment of the network of this name, however long the name is.
pub fn is_claimant_in(claimant: &Claimant, network: &str) -> bool {
    claimant.comment.split('/').next() == Some(&shorten_network(network))
}

/// The comment is `network/container ID/interface`; none of the parts has a `/`. Of what is longer than `nft` can show,
/// it has the beginning and a digest.
pub(crate) fn of_parts(network: &str, container_id: &str, interface: &str) -> Claimant {
    let digest = Digest::of(&[network, container_id, interface]);
    let container_id = shorten(container_id, CONTAINER_ID_CAPACITY);
    let interface = shorten(interface, INTERFACE_CAPACITY);
    Claimant { comment: format!("{}/{container_id}/{interface}", shorten_network(network)), digest }
}

/// A network's name as the comments show it: it depends on nothing but the name, so that the attachments of a network
/// can be told from the others.
fn shorten_network(network: &str) -> String {
    shorten(network, COMMENT_CAPACITY - CONTAINER_ID_CAPACITY - INTERFACE_CAPACITY - 2)
}

fn shorten(part: &str, capacity: usize) -> String {
    if part.len() <= capacity {
        return part.to_owned();
    }
    let mut end = capacity - SHORTENED_LEN;
    while !part.is_char_boundary(end) {
        end -= 1;
    }
    let Digest([a, b, c, d, ..]) = Digest::of(&[part]);
    format!("{}~{a:02x}{b:02x}{c:02x}{d:02x}", &part[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_usual_claimant_is_readable_in_full() {
        let id = "0123456789abcdef".repeat(4);
        assert_eq!(of_parts("podnet", &id, "eth0").comment, format!("podnet/{id}/eth0"));
    }

    #[test]
    fn comments_fit_and_long_names_stay_apart() {
        let (network, id) = ("n".repeat(255), "c".repeat(255));
        let one = of_parts(&network, &id, "a-long-interface");
        let other = of_parts(&network, &format!("{id}d"), "a-long-interface");
        assert!(one.comment.len() <= COMMENT_CAPACITY);
        assert_ne!(one.comment, other.comment);
        assert_ne!(one.digest, other.digest);
        assert!(is_claimant_in(&one, &network) && !is_claimant_in(&one, &format!("{network}n")));
    }
}
