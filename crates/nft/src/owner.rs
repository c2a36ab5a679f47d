//! Whose masquerade it is: the text that people read and the digest that decides.

use sha2::{Digest as _, Sha256};

/// Longest comment that `nft` reads back (`NFTNL_UDATA_COMMENT_MAXLEN`), so that a saved ruleset loads.
const COMMENT_CAPACITY: usize = 127;
const CONTAINER_ID_CAPACITY: usize = 64;
/// `IFNAMSIZ` without its zero byte.
const INTERFACE_CAPACITY: usize = 15;
/// `~` and 32 bits of digest in hex, at the end of a part that was too long.
const SHORTENED_LEN: usize = 9;

/// The attachment that an address belongs to.
///
/// None of the parts holds a `/`, which separates them in the comments that `nft` shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner<'a> {
    /// Name of the network.
    pub network: &'a str,
    /// The runtime's name of the container.
    pub container_id: &'a str,
    /// Name of the interface inside the container.
    pub interface: &'a str,
}

/// The first 16 bytes of the SHA-256 of an owner's parts, each after its length: what equality rests on,
/// however long the parts are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Digest(pub [u8; Digest::LEN]);

impl Digest {
    pub const LEN: usize = 16;

    fn of(parts: &[&str]) -> Self {
        let mut hash = Sha256::new();
        for part in parts {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        let mut digest = [0; Self::LEN];
        digest.copy_from_slice(&hash.finalize()[..Self::LEN]);
        Self(digest)
    }
}

impl Owner<'_> {
    pub(crate) fn digest(&self) -> Digest {
        Digest::of(&[self.network, self.container_id, self.interface])
    }

    /// `network/container ID/interface`. Of what is longer than `nft` can show, the beginning and a digest.
    pub(crate) fn comment(&self) -> String {
        let container_id = shorten(self.container_id, CONTAINER_ID_CAPACITY);
        let interface = shorten(self.interface, INTERFACE_CAPACITY);
        format!("{}/{container_id}/{interface}", shorten_network(self.network))
    }
}

impl std::fmt::Display for Owner<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}/{}", self.network, self.container_id, self.interface)
    }
}

/// A network's name as the comments show it: it depends on nothing but the name, so that the attachments of
/// a network can be told from the others.
pub(crate) fn shorten_network(network: &str) -> String {
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
    fn a_usual_owner_is_readable_in_full() {
        let id = "0123456789abcdef".repeat(4);
        let owner = Owner { network: "podnet", container_id: &id, interface: "eth0" };
        assert_eq!(owner.comment(), format!("podnet/{id}/eth0"));
    }

    #[test]
    fn comments_fit_and_long_names_stay_apart() {
        let (network, id) = ("n".repeat(255), "c".repeat(255));
        let owner = Owner { network: &network, container_id: &id, interface: "a-long-interface" };
        let other_id = format!("{id}d");
        let other = Owner { container_id: &other_id, ..owner };
        assert!(owner.comment().len() <= COMMENT_CAPACITY);
        assert_ne!(owner.comment(), other.comment());
        assert_ne!(owner.digest(), other.digest());
    }

    #[test]
    fn moving_a_letter_between_parts_changes_the_digest() {
        let one = Owner { network: "ab", container_id: "c", interface: "eth0" };
        let two = Owner { network: "a", container_id: "bc", interface: "eth0" };
        assert_ne!(one.digest(), two.digest());
    }
}
