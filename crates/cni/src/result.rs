//! What ADD returns, in the newest shape (specification 1.1.0, section 5, "ADD Success").

use std::net::IpAddr;

use ipnetwork::IpNetwork;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::decode::{DecodeError, decode, optional};
use crate::legacy;
use crate::version::Version;

/// The outcome of ADD, and the `prevResult` of the next plugin.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AddResult {
    /// The interfaces that were created, on the host and in the container. [`IpConfig::interface`] is an index into
    /// this list.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub interfaces: Vec<Interface>,
    /// The addresses that were assigned.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ips: Vec<IpConfig>,
    /// The routes that were added, or are to be added.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub routes: Vec<Route>,
    /// The settings of the container's resolver.
    pub dns: Dns,
}

/// A network interface.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// Its hardware address.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub mac: String,
    /// Its MTU in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u32>,
    /// `CNI_NETNS` for an interface in the container, empty for one on the host.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub sandbox: String,
    /// Path of a socket file that belongs to the interface.
    #[serde(rename = "socketPath", skip_serializing_if = "String::is_empty")]
    pub socket_path: String,
    /// PCI address of the device behind the interface.
    #[serde(rename = "pciID", skip_serializing_if = "String::is_empty")]
    pub pci_id: String,
}

/// An address of an interface.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IpConfig {
    /// The index in [`AddResult::interfaces`] of the interface with the address; absent in an IPAM plugin's result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interface: Option<usize>,
    /// The address with its subnet's prefix length.
    pub address: IpNetwork,
    /// The subnet's gateway.
    #[serde(default, deserialize_with = "optional", skip_serializing_if = "Option::is_none")]
    pub gateway: Option<IpAddr>,
}

/// A route in the container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// Destination prefix.
    pub dst: IpNetwork,
    /// Next hop; the address's gateway when absent.
    #[serde(default, deserialize_with = "optional", skip_serializing_if = "Option::is_none")]
    pub gw: Option<IpAddr>,
    /// MTU in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u32>,
    /// The TCP MSS to advertise, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub advmss: Option<u32>,
    /// Metric; the smallest is preferred.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<u32>,
    /// Routing table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<u32>,
    /// Scope as rtnetlink counts it (0 global, 253 link, 254 host).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<u8>,
}

impl Route {
    /// Returns a route to `dst` via `gw`.
    pub fn new(dst: IpNetwork, gw: Option<IpAddr>) -> Self {
        Self { dst, gw, mtu: None, advmss: None, priority: None, table: None, scope: None }
    }
}

/// Resolver settings.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Dns {
    /// Name servers' addresses, in order of preference.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub nameservers: Vec<String>,
    /// The local domain.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub domain: String,
    /// Domains to search, in order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub search: Vec<String>,
    /// Options for the resolver.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<String>,
}

impl Dns {
    /// Returns whether nothing is set.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl AddResult {
    /// Converts the result to the shape of `version`, with its `cniVersion`.
    ///
    /// Before 0.3.0 a result has one address of each family and no interfaces.
    pub fn to_json(&self, version: Version) -> Value {
        let mut object = match version {
            Version::V0_1_0 | Version::V0_2_0 => legacy::to_single_addresses(self),
            Version::V0_3_0 | Version::V0_3_1 | Version::V0_4_0 => legacy::to_versioned_addresses(self),
            Version::V1_0_0 | Version::V1_1_0 => json!(self),
        };
        if let Value::Object(fields) = &mut object {
            fields.shift_insert(0, "cniVersion".to_owned(), version.as_str().into());
        }
        object
    }

    /// Parses a result in the shape of `version`.
    ///
    /// # Errors
    /// [`DecodeError`] with the first invalid key and its value.
    pub(crate) fn from_json(value: &Value, version: Version) -> Result<Self, DecodeError> {
        match version {
            Version::V0_1_0 | Version::V0_2_0 => legacy::from_single_addresses(value),
            _ => decode(value),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    pub(crate) fn sample() -> AddResult {
        let host = |name: &str| Interface {
            name: name.into(),
            mac: "0a:58:0a:01:00:07".into(),
            ..Interface::default()
        };
        AddResult {
            interfaces: vec![
                host("cni0"),
                host("veth12345678"),
                Interface { sandbox: "/var/run/netns/a".into(), ..host("eth0") },
            ],
            ips: vec![
                IpConfig {
                    interface: Some(2),
                    address: "10.1.0.7/24".parse().unwrap(),
                    gateway: Some(IpAddr::from([10, 1, 0, 1])),
                },
                IpConfig { interface: Some(2), address: "2001:db8::7/64".parse().unwrap(), gateway: None },
            ],
            routes: vec![
                Route::new("0.0.0.0/0".parse().unwrap(), Some(IpAddr::from([10, 1, 0, 1]))),
                Route::new("::/0".parse().unwrap(), None),
            ],
            dns: Dns { nameservers: vec!["10.1.0.53".into()], ..Dns::default() },
        }
    }

    #[test]
    fn the_newest_shape_is_the_specifications() {
        assert_eq!(
            sample().to_json(Version::V1_1_0),
            json!({
                "cniVersion": "1.1.0",
                "interfaces": [
                    {"name": "cni0", "mac": "0a:58:0a:01:00:07"},
                    {"name": "veth12345678", "mac": "0a:58:0a:01:00:07"},
                    {"name": "eth0", "mac": "0a:58:0a:01:00:07", "sandbox": "/var/run/netns/a"},
                ],
                "ips": [
                    {"interface": 2, "address": "10.1.0.7/24", "gateway": "10.1.0.1"},
                    {"interface": 2, "address": "2001:db8::7/64"},
                ],
                "routes": [{"dst": "0.0.0.0/0", "gw": "10.1.0.1"}, {"dst": "::/0"}],
                "dns": {"nameservers": ["10.1.0.53"]},
            })
        );
    }

    proptest! {
        #[test]
        fn every_version_since_0_3_0_reads_back_what_it_wrote(
            octets in any::<[u8; 4]>(), prefix in 0u8..=32, interface in 0usize..3, mtu in any::<Option<u32>>(),
        ) {
            let mut result = sample();
            result.ips[0].address = IpNetwork::new(IpAddr::from(octets), prefix).unwrap();
            result.ips[0].interface = Some(interface);
            result.routes[0].mtu = mtu;
            for version in Version::ALL.into_iter().filter(|version| *version >= Version::V0_3_0) {
                let json = result.to_json(version);
                prop_assert_eq!(&json["cniVersion"], version.as_str());
                prop_assert_eq!(&AddResult::from_json(&json, version).unwrap(), &result);
            }
        }
    }
}
