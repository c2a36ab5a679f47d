//! The keys of a `bridge` config.

use cni::{Dns, Request};
use linux::{BridgePort, DuplicateDetection, InterfaceName, Mac};
use serde::Deserialize;

use crate::error::{Error, Result};
use crate::vlan::{TrunkEntry, Vlans};

const DEFAULT_BRIDGE: &str = "cni0";
/// Smallest MTU that the kernel takes for Ethernet (`ETH_MIN_MTU` in uapi/linux/if_ether.h).
const SMALLEST_MTU: u32 = 68;
/// Largest MTU that the kernel's virtual devices take (`ETH_MAX_MTU` in uapi/linux/if_ether.h).
const LARGEST_MTU: u32 = 65_535;

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Keys {
    bridge: String,
    is_gateway: bool,
    is_default_gateway: bool,
    force_address: bool,
    ip_masq: bool,
    ip_masq_backend: String,
    mtu: i64,
    hairpin_mode: bool,
    promisc_mode: bool,
    enabledad: bool,
    disable_container_interface: bool,
    port_isolation: bool,
    vlan: i64,
    vlan_trunk: Vec<TrunkEntry>,
    preserve_default_vlan: bool,
    macspoofchk: bool,
    dns: Dns,
    ipam: Ipam,
    args: Arguments,
    runtime_config: RuntimeConfig,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Ipam {
    r#type: String,
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

/// What the bridge is for the pods.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Roles {
    /// The bridge has the gateways' addresses.
    pub is_gateway: bool,
    /// A default route by the gateway is added for each family.
    pub is_default_gateway: bool,
}

/// A checked config.
pub(crate) struct Config {
    /// Name of the bridge.
    pub bridge: InterfaceName,
    /// What the bridge is for the pods.
    pub roles: Roles,
    /// Another address of the bridge is replaced.
    pub force_address: bool,
    /// What leaves the subnet gets the host's address.
    pub ip_masq: bool,
    /// Largest packet in bytes; the kernel's choice when absent.
    pub mtu: Option<u32>,
    /// Hairpin mode and isolation of the port.
    pub port: BridgePort,
    /// The VLANs that the port carries, where the config names any.
    pub vlans: Option<Vlans>,
    /// The bridge receives everything.
    pub promiscuous: bool,
    /// Frames with another source address than the pod's are dropped.
    pub macspoofchk: bool,
    /// Whether the pod's IPv6 addresses are probed first.
    pub dad: DuplicateDetection,
    /// The container's interface stays down and without addresses.
    pub disable_container_interface: bool,
    /// Resolver settings that replace the IPAM plugin's.
    pub dns: Dns,
    /// The IPAM plugin; without one the attachment is layer 2 only.
    pub ipam: Option<String>,
    /// Hardware address of the container's interface that someone asked for.
    pub mac: Option<Mac>,
}

impl Config {
    pub fn read(request: &Request) -> Result<Self> {
        let keys: Keys = request.config()?;
        if keys.hairpin_mode && keys.promisc_mode {
            return Err(Error::HairpinAndPromiscuous);
        }
        let ipam = Some(keys.ipam.r#type).filter(|name| !name.is_empty());
        if keys.disable_container_interface && ipam.is_some() {
            return Err(Error::IpamWithoutContainerInterface);
        }
        let bridge = if keys.bridge.is_empty() { DEFAULT_BRIDGE.to_owned() } else { keys.bridge };
        let bridge = InterfaceName::try_from(bridge)?;
        let vlans = Vlans::new(keys.vlan, &keys.vlan_trunk, keys.preserve_default_vlan)?;
        let has_gateway = ipam.is_some() && (keys.is_gateway || keys.is_default_gateway);
        if let (Some(vlans), true) = (&vlans, has_gateway) {
            vlans.check_gateway(&bridge)?;
        }
        if keys.ip_masq && keys.ip_masq_backend == "iptables" {
            cni::note(format_args!(
                "bridge: ipMasqBackend \"iptables\": weir masquerades with nf_tables in any case"
            ));
        }
        Ok(Self {
            bridge,
            roles: Roles {
                is_gateway: keys.is_gateway || keys.is_default_gateway,
                is_default_gateway: keys.is_default_gateway,
            },
            force_address: keys.force_address,
            ip_masq: keys.ip_masq,
            mtu: mtu(keys.mtu)?,
            port: BridgePort { hairpin: keys.hairpin_mode, isolated: keys.port_isolation },
            vlans,
            promiscuous: keys.promisc_mode,
            macspoofchk: keys.macspoofchk,
            dad: if keys.enabledad { DuplicateDetection::Run } else { DuplicateDetection::Skip },
            disable_container_interface: keys.disable_container_interface,
            dns: keys.dns,
            ipam,
            mac: requested_mac(request, &keys.args.cni.mac, &keys.runtime_config.mac)?,
        })
    }
}

/// Zero and less leave the choice to the kernel, as in the reference.
fn mtu(value: i64) -> Result<Option<u32>> {
    if value <= 0 {
        return Ok(None);
    }
    let mtu = u32::try_from(value).ok().filter(|mtu| (SMALLEST_MTU..=LARGEST_MTU).contains(mtu));
    mtu.map(Some).ok_or(Error::Mtu { mtu: value, smallest: SMALLEST_MTU, largest: LARGEST_MTU })
}

/// The last of `CNI_ARGS`, `args.cni.mac` and `runtimeConfig.mac` wins, as in the reference.
fn requested_mac(request: &Request, args: &str, runtime: &str) -> Result<Option<Mac>> {
    let environment = request.environment.arguments.get("MAC")?.unwrap_or_default();
    let asked = [("runtimeConfig.mac", runtime), ("args.cni.mac", args), ("MAC in CNI_ARGS", environment)];
    let Some((key, text)) = asked.into_iter().find(|(_, text)| !text.is_empty()) else { return Ok(None) };
    match text.parse::<Mac>() {
        Ok(mac) if mac.is_assignable() => Ok(Some(mac)),
        Ok(_) => Err(Error::MacNotAssignable { key, value: text.to_owned() }),
        Err(reason) => Err(Error::Mac { key, value: text.to_owned(), reason }),
    }
}

/// What DEL and GC need of a config: they must not fail for a key that is none of their business.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Remains {
    ipam: Ipam,
}

/// The IPAM plugin that the config names, for the verbs that never refuse because of a config.
///
/// # Errors
/// When the name cannot be read: to be reported after everything else is done.
pub(crate) fn ipam_of(request: &Request) -> Result<Option<String>> {
    let remains: Remains = request.config()?;
    Ok(Some(remains.ipam.r#type).filter(|name| !name.is_empty()))
}

/// What DEL looks for only where the config asks for it.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Asked {
    /// The config masquerades.
    pub ip_masq: bool,
    /// The config checks source addresses of frames.
    pub macspoofchk: bool,
}

impl Asked {
    /// What this config asks for; what cannot be read is not asked for.
    pub fn of(request: &Request) -> Self {
        request.config().unwrap_or_default()
    }
}

/// The config's keys for GC.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Collection {
    gc_removes_running: bool,
}

/// Whether GC also removes what belongs to a network namespace in which processes live; not where the key cannot be
/// read.
pub(crate) fn gc_removes_running(request: &Request) -> bool {
    request.config::<Collection>().unwrap_or_default().gc_removes_running
}
