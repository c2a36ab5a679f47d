//! What our elements carry: user data that `nft` shows as a comment, and what only we read.
//!
//! User data is a row of entries: one byte kind, one byte length, the value. Kind 0 is a comment for `nft`,
//! ended by a zero byte; `nft` passes over the kinds that it does not know (ours have the highest bit).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnetwork::IpNetwork;

use super::owner::Digest;
use super::subnet::octets;
use linux::Mac;

/// `NFT_USERDATA_MAXLEN` (uapi/linux/netfilter/nf_tables.h), in bytes.
const USER_DATA_CAPACITY: usize = 256;
const COMMENT: u8 = 0;
/// Each address: one byte prefix length, four bytes.
const IPV4_ADDRESSES: u8 = 0x84;
/// Each address: one byte prefix length, sixteen bytes.
const IPV6_ADDRESSES: u8 = 0x86;
const OWNER: u8 = 0x87;
const HARDWARE_ADDRESS: u8 = 0x88;

/// A comment for `nft` alone.
pub(crate) fn comment(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len() + 3);
    push(&mut bytes, COMMENT, &[text.as_bytes(), &[0]].concat());
    bytes
}

/// The user data of a set, whose kinds are others (`enum nftnl_udata_set_types` of libnftnl's udata.h).
pub(crate) fn set_comment(text: &str, has_keys_in_host_order: bool) -> Vec<u8> {
    const KEY_BYTE_ORDER: u8 = 0;
    const SET_COMMENT: u8 = 7;
    const HOST_ORDER: u32 = 1;
    let mut bytes = Vec::with_capacity(text.len() + 9);
    if has_keys_in_host_order {
        push(&mut bytes, KEY_BYTE_ORDER, &HOST_ORDER.to_ne_bytes());
    }
    push(&mut bytes, SET_COMMENT, &[text.as_bytes(), &[0]].concat());
    bytes
}

/// The comment among user data.
pub(crate) fn read_comment(user_data: &[u8]) -> Option<String> {
    entries(user_data).find(|(kind, _)| *kind == COMMENT).map(|(_, value)| comment_text(value))
}

/// The user data of an attachment: its owner's text and the addresses that it masquerades.
///
/// `None` when there are more addresses than fit beside the text.
pub(crate) fn attachment(text: &str, addresses: &[IpNetwork]) -> Option<Vec<u8>> {
    let mut bytes = comment(text);
    for (kind, is_v4) in [(IPV4_ADDRESSES, true), (IPV6_ADDRESSES, false)] {
        let list: Vec<u8> = addresses
            .iter()
            .filter(|address| address.is_ipv4() == is_v4)
            .flat_map(|address| [vec![address.prefix()], octets(address.ip())].concat())
            .collect();
        if bytes.len() + 2 + list.len() > USER_DATA_CAPACITY {
            return None;
        }
        if !list.is_empty() {
            push(&mut bytes, kind, &list);
        }
    }
    Some(bytes)
}

/// Reads back the owner's text and the addresses.
pub(crate) fn read_attachment(user_data: &[u8]) -> (String, Vec<IpNetwork>) {
    let (mut text, mut addresses) = (String::new(), Vec::new());
    for (kind, value) in entries(user_data) {
        match kind {
            COMMENT => text = comment_text(value),
            IPV4_ADDRESSES => addresses.extend(value.chunks_exact(5).filter_map(read_address)),
            IPV6_ADDRESSES => addresses.extend(value.chunks_exact(17).filter_map(read_address)),
            _ => {}
        }
    }
    (text, addresses)
}

/// Each entry's kind and value; a malformed tail is skipped.
fn entries(user_data: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    let mut rest = user_data;
    std::iter::from_fn(move || {
        let [kind, length, tail @ ..] = rest else { return None };
        let (value, tail) = tail.split_at_checked(usize::from(*length))?;
        rest = tail;
        Some((*kind, value))
    })
}

fn comment_text(value: &[u8]) -> String {
    String::from_utf8_lossy(value.strip_suffix(&[0]).unwrap_or(value)).into_owned()
}

/// The user data of a port whose frames are checked: its owner's text and digest, and the address that is allowed.
pub(crate) fn port(text: &str, owner: Digest, mac: Mac) -> Vec<u8> {
    let mut bytes = comment(text);
    push(&mut bytes, OWNER, &owner.0);
    push(&mut bytes, HARDWARE_ADDRESS, &mac.0);
    bytes
}

/// Reads back the owner's digest and the allowed address; `None` for what we did not write.
pub(crate) fn read_port(user_data: &[u8]) -> Option<(Digest, Mac)> {
    let value = |wanted| entries(user_data).find(|(kind, _)| *kind == wanted).map(|(_, value)| value);
    let (owner, mac) = (value(OWNER)?.try_into().ok()?, value(HARDWARE_ADDRESS)?.try_into().ok()?);
    Some((Digest(owner), Mac(mac)))
}

/// The user data of a rule of an attachment's: its owner's text and digest.
pub(crate) fn owned(text: &str, owner: Digest) -> Vec<u8> {
    let mut bytes = comment(text);
    push(&mut bytes, OWNER, &owner.0);
    bytes
}

/// Reads back the owner's digest.
pub(crate) fn read_owner(user_data: &[u8]) -> Option<Digest> {
    let owner = entries(user_data).find(|(kind, _)| *kind == OWNER).map(|(_, value)| value);
    Some(Digest(owner?.try_into().ok()?))
}

/// Who holds an address: the data of an element of the map `owners`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Holder {
    pub owner: Digest,
    /// The prefix length, which says in which subnet's set the address is.
    pub prefix: u8,
}

impl Holder {
    /// Length of the data, in bytes.
    pub const LEN: usize = Digest::LEN + 4;

    pub fn to_bytes(self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        bytes[..Digest::LEN].copy_from_slice(&self.owner.0);
        // `nft` shows the field as a number of the host's byte order.
        bytes[Digest::LEN..].copy_from_slice(&u32::from(self.prefix).to_ne_bytes());
        bytes
    }

    pub fn read(bytes: &[u8]) -> Option<Self> {
        let (owner, prefix) = bytes.split_first_chunk()?;
        let prefix = u32::from_ne_bytes(prefix.try_into().ok()?);
        Some(Self { owner: Digest(*owner), prefix: u8::try_from(prefix).ok()? })
    }
}

/// The key of an address in the map `owners`, which holds both families: IPv4 is mapped into IPv6.
pub(crate) fn owners_key(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    }
}

fn read_address(bytes: &[u8]) -> Option<IpNetwork> {
    let (prefix, address) = bytes.split_first()?;
    let address = match *address {
        [a, b, c, d] => Ipv4Addr::new(a, b, c, d).into(),
        _ => Ipv6Addr::from(<[u8; 16]>::try_from(address).ok()?).into(),
    };
    IpNetwork::new(address, *prefix).ok()
}

fn push(bytes: &mut Vec<u8>, kind: u8, value: &[u8]) {
    // Callers keep within USER_DATA_CAPACITY, of which the two bytes of each entry are a part.
    bytes.extend([kind, u8::try_from(value.len()).unwrap_or(u8::MAX)]);
    bytes.extend(value);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn networks(count: u8) -> Vec<IpNetwork> {
        let v4 = (0..count).map(|n| format!("10.88.0.{n}/16").parse().unwrap());
        v4.chain([("fd00::5/64".parse().unwrap())]).collect()
    }

    #[test]
    fn what_is_written_is_read() {
        let addresses = networks(3);
        let bytes = attachment("podnet/abc/eth0", &addresses).unwrap();
        assert_eq!(read_attachment(&bytes), ("podnet/abc/eth0".to_owned(), addresses));
    }

    #[test]
    fn user_data_never_exceeds_what_the_kernel_keeps() {
        let text = "x".repeat(127);
        assert!(attachment(&text, &networks(20)).unwrap().len() <= USER_DATA_CAPACITY);
        assert_eq!(attachment(&text, &networks(22)), None);
    }

    #[test]
    fn foreign_user_data_is_no_attachment_and_no_panic() {
        for bytes in [&[][..], &[0], &[0, 9, 1], &[0x84, 3, 1, 2, 3], &[0x84, 5, 99, 1, 2, 3, 4]] {
            assert_eq!(read_attachment(bytes).1, []);
        }
    }
}
