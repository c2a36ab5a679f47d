//! The text of a subnet in the config.

use std::str::FromStr;

use ipnetwork::{IpNetwork, IpNetworkError};

/// A subnet whose prefix length was written down: an address alone would be a subnet of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Subnet(pub(crate) IpNetwork);

/// Why a text is no subnet.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SubnetError {
    #[error("the prefix length is missing: want ADDRESS/PREFIX, such as {0}/24 for 256 addresses")]
    NoPrefix(std::net::Ipv4Addr),
    #[error("the prefix length is missing: want ADDRESS/PREFIX, such as {0}/64")]
    NoPrefix6(std::net::Ipv6Addr),
    #[error(transparent)]
    Other(#[from] IpNetworkError),
}

impl FromStr for Subnet {
    type Err = SubnetError;

    fn from_str(text: &str) -> Result<Self, SubnetError> {
        match text.parse() {
            Ok(std::net::IpAddr::V4(address)) => Err(SubnetError::NoPrefix(address)),
            Ok(std::net::IpAddr::V6(address)) => Err(SubnetError::NoPrefix6(address)),
            Err(_) => Ok(Self(text.parse()?)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_without_a_prefix_is_no_subnet() {
        let error = "10.1.2.0".parse::<Subnet>().unwrap_err().to_string();
        assert_eq!(
            error,
            "the prefix length is missing: want ADDRESS/PREFIX, such as 10.1.2.0/24 for 256 addresses"
        );
        assert!("fd00::".parse::<Subnet>().unwrap_err().to_string().contains("such as fd00::/64"));
        assert_eq!("10.1.2.0/24".parse::<Subnet>().unwrap().0.prefix(), 24);
        assert!("10.1.2.0/33".parse::<Subnet>().is_err());
    }
}
