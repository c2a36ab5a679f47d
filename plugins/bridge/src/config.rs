//! The keys of a `bridge` config.

use attachment::{Result, Roles, Settings, unicast_mac};
use cni::{Failure, Request};
use linux::{BridgePort, DuplicateDetection, InterfaceName, Mac};
use serde::Deserialize;

use crate::vlan::{TrunkEntry, Vlans};

const DEFAULT_BRIDGE: &str = "cni0";

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Keys {
    bridge: String,
    is_gateway: bool,
    is_default_gateway: bool,
    force_address: bool,
    hairpin_mode: bool,
    promisc_mode: bool,
    enabledad: bool,
    disable_container_interface: bool,
    port_isolation: bool,
    vlan: i64,
    vlan_trunk: Vec<TrunkEntry>,
    preserve_default_vlan: bool,
    macspoofchk: bool,
    args: Arguments,
    runtime_config: RuntimeConfig,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Arguments {
    cni: CniArguments,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct CniArguments {
    mac: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RuntimeConfig {
    mac: String,
}

/// A checked config.
pub(crate) struct Config {
    /// Name of the bridge.
    pub bridge: InterfaceName,
    /// The settings that every plugin has.
    pub settings: Settings,
    /// Another address of the bridge is replaced.
    pub force_address: bool,
    /// Hairpin mode and isolation of the port.
    pub port: BridgePort,
    /// The VLANs that the port carries, where the config has any.
    pub vlans: Option<Vlans>,
    /// The bridge receives everything.
    pub promiscuous: bool,
    /// Frames with another source address than the pod's are dropped.
    pub macspoofchk: bool,
    /// The container's interface stays down and without addresses.
    pub disable_container_interface: bool,
}

impl Config {
    /// Reads and checks the keys.
    pub fn read(request: &Request) -> Result<Self> {
        let keys: Keys = request.config()?;
        let settings = Settings {
            roles: Roles {
                is_gateway: keys.is_gateway || keys.is_default_gateway,
                is_default_gateway: keys.is_default_gateway,
            },
            mac: requested_mac(request, &keys.args.cni.mac, &keys.runtime_config.mac)?,
            dad: if keys.enabledad { DuplicateDetection::Run } else { DuplicateDetection::Skip },
            ..Settings::read(request)?
        };
        if keys.hairpin_mode && keys.promisc_mode {
            let reason = "a frame would be received twice";
            return Err(Failure::exclusive_keys("hairpinMode", "promiscMode", reason).into());
        }
        if keys.disable_container_interface && settings.ipam.is_some() {
            let problem = "true cannot be combined with ipam.type";
            return Err(Failure::invalid_key("disableContainerInterface", problem).into());
        }
        let bridge = if keys.bridge.is_empty() { DEFAULT_BRIDGE.to_owned() } else { keys.bridge };
        let bridge =
            InterfaceName::try_from(bridge).map_err(|error| Failure::invalid_key("bridge", error))?;
        let vlans = Vlans::new(keys.vlan, &keys.vlan_trunk, keys.preserve_default_vlan)?;
        let has_gateway = settings.ipam.is_some() && settings.roles.is_gateway;
        if let (Some(vlans), true) = (&vlans, has_gateway) {
            vlans.check_gateway(&bridge)?;
        }
        Ok(Self {
            settings,
            bridge,
            force_address: keys.force_address,
            port: BridgePort { hairpin: keys.hairpin_mode, isolated: keys.port_isolation },
            vlans,
            promiscuous: keys.promisc_mode,
            macspoofchk: keys.macspoofchk,
            disable_container_interface: keys.disable_container_interface,
        })
    }
}

/// Returns the hardware address of the last of `CNI_ARGS`, `args.cni.mac` and `runtimeConfig.mac` that has one, as in
/// the reference.
fn requested_mac(request: &Request, args: &str, runtime: &str) -> Result<Option<Mac>> {
    let environment = request.environment.arguments.get("MAC")?.unwrap_or_default();
    let asked = [("runtimeConfig.mac", runtime), ("args.cni.mac", args), ("MAC in CNI_ARGS", environment)];
    let Some((key, text)) = asked.into_iter().find(|(_, text)| !text.is_empty()) else { return Ok(None) };
    unicast_mac(key, text).map(Some)
}
