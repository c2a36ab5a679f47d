//! The contents of elements: the addresses of an attachment, and the holder of an address.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnetwork::IpNetwork;
use nft::{Claimant, Digest, FoundElement, UserData};

/// Kind of user data. Each address: one byte prefix length, four bytes.
const IPV4_ADDRESSES: u8 = 0x84;
/// Kind of user data. Each address: one byte prefix length, sixteen bytes.
const IPV6_ADDRESSES: u8 = 0x86;

/// Returns the user data of an attachment: its claimant's comment and the masqueraded addresses.
///
/// `None` if there are more addresses than fit beside the comment.
pub fn user_data(comment: &str, addresses: &[IpNetwork]) -> Option<UserData> {
    let mut data = UserData::of_comment(comment);
    for (kind, is_v4) in [(IPV4_ADDRESSES, true), (IPV6_ADDRESSES, false)] {
        let list: Vec<u8> = addresses
            .iter()
            .filter(|address| address.is_ipv4() == is_v4)
            .flat_map(|address| [vec![address.prefix()], nft::octets(address.ip())].concat())
            .collect();
        if data.bytes().len() + 2 + list.len() > UserData::CAPACITY {
            return None;
        }
        if !list.is_empty() {
            data = data.with(kind, &list);
        }
    }
    Some(data)
}

/// Reads the addresses of [`user_data`].
pub fn addresses(user_data: &[u8]) -> Vec<IpNetwork> {
    let list = |kind| UserData::find(user_data, kind).unwrap_or_default();
    let ipv4 = list(IPV4_ADDRESSES).chunks_exact(5);
    ipv4.chain(list(IPV6_ADDRESSES).chunks_exact(17)).filter_map(read_address).collect()
}

fn read_address(bytes: &[u8]) -> Option<IpNetwork> {
    let (prefix, address) = bytes.split_first()?;
    let address = match *address {
        [a, b, c, d] => Ipv4Addr::new(a, b, c, d).into(),
        _ => Ipv6Addr::from(<[u8; 16]>::try_from(address).ok()?).into(),
    };
    IpNetwork::new(address, *prefix).ok()
}

/// Reads the claimant of an element of the set `attachments`.
pub fn claimant(element: FoundElement<'_>) -> Option<Claimant> {
    let digest = Digest(element.key().try_into().ok()?);
    Some(Claimant { comment: UserData::comment(element.user_data()).unwrap_or_default(), digest })
}

/// The holder of an address: the data of an element of the map `owners`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holder {
    pub owner: Digest,
    /// The prefix length of the address's subnet.
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

/// Returns the key of an address in the map `owners`, which holds both families: IPv4 is mapped into IPv6.
pub fn owners_key(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    }
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
        let written = user_data("podnet/abc/eth0", &networks(3)).unwrap();
        assert_eq!(UserData::comment(written.bytes()).unwrap(), "podnet/abc/eth0");
        assert_eq!(addresses(written.bytes()), networks(3));
    }

    #[test]
    fn user_data_never_exceeds_what_the_kernel_keeps() {
        let text = "x".repeat(127);
        assert!(user_data(&text, &networks(20)).unwrap().bytes().len() <= UserData::CAPACITY);
        assert_eq!(user_data(&text, &networks(22)), None);
    }

    #[test]
    fn malformed_user_data_has_no_addresses() {
        for bytes in [&[][..], &[0], &[0, 9, 1], &[0x84, 3, 1, 2, 3], &[0x84, 5, 99, 1, 2, 3, 4]] {
            assert_eq!(addresses(bytes), []);
        }
    }
}
