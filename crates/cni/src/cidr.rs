//! The text of an address or subnet with its prefix length.

use std::net::IpAddr;
use std::str::FromStr;

use ipnetwork::{IpNetwork, IpNetworkError};

/// An address or subnet with its prefix length. [`IpNetwork`] alone parses an address without one as a subnet of one
/// address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cidr(pub IpNetwork);

/// Why a text is not a [`Cidr`].
#[derive(Debug, thiserror::Error)]
pub enum CidrError {
    /// It has no prefix length.
    #[error("the prefix length is missing: want ADDRESS/PREFIX, such as {address}/{}", if address.is_ipv4() { 24 } else { 64 })]
    NoPrefix {
        /// The address.
        address: IpAddr,
    },
    /// It is not an address, or the prefix length is out of range.
    #[error(transparent)]
    Other(#[from] IpNetworkError),
}

impl FromStr for Cidr {
    type Err = CidrError;

    fn from_str(text: &str) -> Result<Self, CidrError> {
        match text.parse() {
            Ok(address) => Err(CidrError::NoPrefix { address }),
            Err(_) => Ok(Self(text.parse()?)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_without_a_prefix_is_refused() {
        let error = "10.1.2.0".parse::<Cidr>().unwrap_err().to_string();
        assert_eq!(error, "the prefix length is missing: want ADDRESS/PREFIX, such as 10.1.2.0/24");
        assert!("fd00::".parse::<Cidr>().unwrap_err().to_string().contains("such as fd00::/64"));
        assert_eq!("10.1.2.0/24".parse::<Cidr>().unwrap().0.prefix(), 24);
        assert!("10.1.2.0/33".parse::<Cidr>().is_err());
    }
}
