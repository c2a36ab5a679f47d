//! Results in the shapes of versions before 1.0.0 of the specification.

use std::net::IpAddr;

use ipnetwork::IpNetwork;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::decode::{DecodeError, decode, optional};
use crate::result::{AddResult, Dns, IpConfig, Route};

/// Converts to 0.3.0 to 0.4.0: each address has its family in `version`; an interface has `name`, `mac` and `sandbox`.
pub(crate) fn to_versioned_addresses(result: &AddResult) -> Value {
    let mut object = json!(result);
    if let Some(ips) = object["ips"].as_array_mut() {
        for (ip, config) in ips.iter_mut().zip(&result.ips) {
            if let Value::Object(fields) = ip {
                let family = if config.address.is_ipv4() { "4" } else { "6" };
                fields.shift_insert(0, "version".to_owned(), family.into());
            }
        }
    }
    if let Some(interfaces) = object["interfaces"].as_array_mut() {
        for interface in interfaces.iter_mut().filter_map(Value::as_object_mut) {
            interface.retain(|key, _| matches!(key.as_str(), "name" | "mac" | "sandbox"));
        }
    }
    if let Value::Object(fields) = &mut object {
        fields.retain(|_, value| !value.is_null());
    }
    object
}

/// Converts to 0.1.0 and 0.2.0: `ip4` and `ip6` have the first address of each family with the routes of that family.
pub(crate) fn to_single_addresses(result: &AddResult) -> Value {
    let mut object = json!({});
    for (key, is_ipv4) in [("ip4", true), ("ip6", false)] {
        let Some(config) = result.ips.iter().find(|config| config.address.is_ipv4() == is_ipv4) else {
            continue;
        };
        let mut ip = json!({ "ip": config.address });
        if let Some(gateway) = config.gateway {
            ip["gateway"] = json!(gateway);
        }
        let routes: Vec<_> = result.routes.iter().filter(|route| route.dst.is_ipv4() == is_ipv4).collect();
        if !routes.is_empty() {
            ip["routes"] = json!(routes);
        }
        object[key] = ip;
    }
    object["dns"] = json!(result.dns);
    object
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct SingleAddresses {
    ip4: Option<SingleAddress>,
    ip6: Option<SingleAddress>,
    dns: Dns,
}

#[derive(Deserialize)]
struct SingleAddress {
    ip: IpNetwork,
    #[serde(default, deserialize_with = "optional")]
    gateway: Option<IpAddr>,
    #[serde(default)]
    routes: Vec<Route>,
}

/// Parses a result of 0.1.0 or 0.2.0.
pub(crate) fn from_single_addresses(value: &Value) -> Result<AddResult, DecodeError> {
    let single: SingleAddresses = decode(value)?;
    let mut result = AddResult { dns: single.dns, ..AddResult::default() };
    for address in [single.ip4, single.ip6].into_iter().flatten() {
        result.ips.push(IpConfig { interface: None, address: address.ip, gateway: address.gateway });
        result.routes.extend(address.routes);
    }
    Ok(result)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::tests::sample;
    use crate::version::Version;

    #[test]
    fn version_0_4_0_says_the_family_of_each_address() {
        let json = sample().to_json(Version::V0_4_0);
        assert_eq!(
            json["ips"],
            json!([
                {"version": "4", "interface": 2, "address": "10.1.0.7/24", "gateway": "10.1.0.1"},
                {"version": "6", "interface": 2, "address": "2001:db8::7/64"},
            ])
        );
        assert_eq!(json["cniVersion"], "0.4.0");
    }

    #[test]
    fn version_0_4_0_knows_no_mtu_of_an_interface() {
        let mut result = sample();
        result.interfaces[0].mtu = Some(1450);
        assert_eq!(
            result.to_json(Version::V0_4_0)["interfaces"][0],
            json!({"name": "cni0", "mac": "0a:58:0a:01:00:07"})
        );
        assert_eq!(result.to_json(Version::V1_0_0)["interfaces"][0]["mtu"], 1450);
    }

    #[test]
    fn an_empty_result_has_no_empty_lists() {
        assert_eq!(AddResult::default().to_json(Version::V0_3_1), json!({"cniVersion": "0.3.1", "dns": {}}));
    }

    #[test]
    fn version_0_2_0_has_one_address_of_each_family() {
        let json = sample().to_json(Version::V0_2_0);
        assert_eq!(
            json,
            json!({
                "cniVersion": "0.2.0",
                "ip4": {"ip": "10.1.0.7/24", "gateway": "10.1.0.1",
                        "routes": [{"dst": "0.0.0.0/0", "gw": "10.1.0.1"}]},
                "ip6": {"ip": "2001:db8::7/64", "routes": [{"dst": "::/0"}]},
                "dns": {"nameservers": ["10.1.0.53"]},
            })
        );
        let read = AddResult::from_json(&json, Version::V0_2_0).unwrap();
        assert_eq!(read.routes, sample().routes);
        assert_eq!(
            read.ips.iter().map(|ip| ip.address).collect::<Vec<_>>(),
            [sample().ips[0].address, sample().ips[1].address]
        );
    }
}
