//! The keys of a `tuning` config.

use std::collections::BTreeMap;

use attachment::{Result, check_mtu_for, ethernet_mtu, unicast_mac};
use cni::{Failure, Request};
use linux::Mac;
use serde::Deserialize;

use crate::allowlist::Allowlist;
use crate::sysctls;
use crate::tuning::Tuning;

/// The keys that stand at the top of a config and in `args.cni`, where they win.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Keys {
    mac: Option<String>,
    promisc: Option<bool>,
    mtu: Option<i64>,
    allmulti: Option<bool>,
    #[serde(rename = "txQLen")]
    tx_queue_length: Option<u32>,
    sysctl: BTreeMap<String, String>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Others {
    args: Arguments,
    runtime_config: RuntimeConfig,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Arguments {
    cni: Keys,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RuntimeConfig {
    mac: String,
}

/// Returns what the call asks for.
pub(crate) fn wanted(request: &Request) -> Result<Tuning> {
    let top: Keys = request.config()?;
    let Others { args: Arguments { cni: args }, runtime_config } = request.config()?;
    Ok(Tuning {
        mac: mac(request, &top, &args, &runtime_config)?,
        // False asks for nothing, as in the reference.
        promisc: args.promisc.or(top.promisc).filter(|on| *on),
        mtu: mtu(request, args.mtu.or(top.mtu))?,
        allmulti: args.allmulti.or(top.allmulti),
        tx_queue_length: args.tx_queue_length.or(top.tx_queue_length),
        sysctl: sysctl(request, [top.sysctl, args.sysctl])?,
    })
}

/// Reads the hardware address. The last of `mac`, `CNI_ARGS`, `runtimeConfig.mac` and `args.cni.mac` wins, as in the
/// reference. An empty `args.cni.mac` leaves the interface its address.
fn mac(request: &Request, top: &Keys, args: &Keys, runtime: &RuntimeConfig) -> Result<Option<Mac>> {
    let environment = request.environment.arguments.get("MAC")?;
    let given = [
        ("runtimeConfig.mac", Some(&*runtime.mac)),
        ("MAC in CNI_ARGS", environment),
        ("mac", top.mac.as_deref()),
    ];
    let given =
        given.into_iter().filter_map(|(key, text)| Some((key, text.filter(|text| !text.is_empty())?)));
    let args = args.mac.as_deref().map(|text| ("args.cni.mac", text));
    let Some((key, text)) = args.into_iter().chain(given).next().filter(|(_, text)| !text.is_empty()) else {
        return Ok(None);
    };
    unicast_mac(key, text).map(Some)
}

/// Reads the MTU. Zero asks for nothing, as in the reference.
fn mtu(request: &Request, mtu: Option<i64>) -> Result<Option<u32>> {
    let Some(mtu) = mtu.filter(|mtu| *mtu != 0).map(ethernet_mtu).transpose()? else { return Ok(None) };
    let ips = request.prev_result.iter().flat_map(|previous| &previous.ips);
    ips.into_iter().try_for_each(|ip| check_mtu_for(ip.address, mtu))?;
    Ok(Some(mtu))
}

/// Returns the values by path; those of the second map win. The node's list is of keys as the config has them.
fn sysctl(request: &Request, given: [BTreeMap<String, String>; 2]) -> Result<BTreeMap<String, String>> {
    let mut values = BTreeMap::new();
    if given.iter().all(BTreeMap::is_empty) {
        return Ok(values);
    }
    let allowlist = Allowlist::read()?;
    for given in given {
        let mut keys = BTreeMap::new();
        for (key, value) in given {
            let path = sysctls::path(&key, request.interface())?;
            allowlist.check(&key)?;
            values.insert(path.clone(), value);
            if let Some(other) = keys.insert(path, key.clone()) {
                let keys = [other, key].map(|key| format!("sysctl.{key}"));
                return Err(Failure::exclusive_keys(&keys[0], &keys[1], "they are the same parameter").into());
            }
        }
    }
    Ok(values)
}
