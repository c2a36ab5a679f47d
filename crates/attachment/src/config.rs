//! The keys of every plugin that attaches pods, for the verbs that never refuse because of a config.

use cni::{Dns, Failure, Request};
use ipnetwork::IpNetwork;
use linux::{DuplicateDetection, Mac};
use serde::Deserialize;

use crate::addressing::{Roles, SMALLEST_MTU_OF_IPV6};
use crate::error::Result;

/// Smallest MTU that the kernel takes for Ethernet (`ETH_MIN_MTU` in uapi/linux/if_ether.h).
const SMALLEST_MTU: u32 = 68;
/// Largest MTU that the kernel's virtual devices take (`ETH_MAX_MTU` in uapi/linux/if_ether.h).
const LARGEST_MTU: u32 = 65_535;

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Keys {
    ip_masq: bool,
    ip_masq_backend: String,
    mtu: i64,
    dns: Dns,
    ipam: Ipam,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Ipam {
    r#type: String,
}

/// The settings of an attachment that every plugin has.
pub struct Settings {
    /// The roles of the host for the pod.
    pub roles: Roles,
    /// Packets that leave the pod's subnets get the host's address.
    pub ip_masq: bool,
    /// Largest packet in bytes; the kernel's default when absent.
    pub mtu: Option<u32>,
    /// Resolver settings that replace the IPAM plugin's.
    pub dns: Dns,
    /// The IPAM plugin; without one the pod gets no addresses.
    pub ipam: Option<String>,
    /// Hardware address of the pod's interface that was requested.
    pub mac: Option<Mac>,
    /// Duplicate address detection for the pod's IPv6 addresses.
    pub dad: DuplicateDetection,
}

impl Settings {
    /// Reads `ipMasq`, `ipMasqBackend`, `mtu`, `dns` and `ipam.type`. The other settings are the plugin's choice.
    ///
    /// # Errors
    /// When a key cannot be used.
    pub fn read(request: &Request) -> Result<Self> {
        let keys: Keys = request.config()?;
        if keys.ip_masq && keys.ip_masq_backend == "iptables" {
            cni::note(format_args!(
                "{}: ipMasqBackend \"iptables\": weir masquerades with nf_tables in any case",
                request.plugin()
            ));
        }
        Ok(Self {
            roles: Roles { is_gateway: true, is_default_gateway: false },
            ip_masq: keys.ip_masq,
            mtu: mtu(keys.mtu)?,
            dns: keys.dns,
            ipam: Some(keys.ipam.r#type).filter(|name| !name.is_empty()),
            mac: None,
            dad: DuplicateDetection::Skip,
        })
    }
}

/// Zero and less leave the choice to the kernel, as in the reference.
fn mtu(value: i64) -> Result<Option<u32>> {
    if value <= 0 {
        return Ok(None);
    }
    ethernet_mtu(value).map(Some)
}

/// Checks the value of `mtu` against what the kernel takes.
///
/// # Errors
/// When it is too small or too large.
pub fn ethernet_mtu(value: i64) -> Result<u32> {
    let mtu = u32::try_from(value).ok().filter(|mtu| (SMALLEST_MTU..=LARGEST_MTU).contains(mtu));
    let allowed = format_args!("between {SMALLEST_MTU} and {LARGEST_MTU}, which is what the kernel takes");
    Ok(mtu.ok_or_else(|| Failure::invalid_value("mtu", value, allowed))?)
}

/// Checks the value of `mtu` against one of the pod's addresses.
///
/// # Errors
/// When the address is an IPv6 one, and the MTU too small for it: the kernel would take the address away.
pub fn check_mtu_for(address: IpNetwork, mtu: u32) -> Result<()> {
    if !address.is_ipv6() || mtu >= SMALLEST_MTU_OF_IPV6 {
        return Ok(());
    }
    let problem = format_args!(
        "{mtu} is less than {SMALLEST_MTU_OF_IPV6}, which IPv6 needs (RFC 8200, section 5), and the pod gets {address}"
    );
    Err(Failure::invalid_key("mtu", problem).into())
}

/// Reads the hardware address that stands at `key`.
///
/// # Errors
/// When it is not one, or one that an interface cannot have.
pub fn unicast_mac(key: &str, text: &str) -> Result<Mac> {
    let problem = match text.parse::<Mac>() {
        Ok(mac) if mac.is_assignable() => return Ok(mac),
        Ok(_) => format!("{text:?} is a multicast or zero address; an interface needs a unicast one"),
        Err(reason) => format!("{text:?} is not a hardware address: {reason}"),
    };
    Err(Failure::invalid_key(key, problem).into())
}

/// The keys that DEL and GC need. They must not fail because of any other key.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Removal {
    ipam: Ipam,
}

/// Returns the IPAM plugin that the config names, for the verbs that do not refuse a config.
///
/// # Errors
/// When the name cannot be read. DEL and GC report that after everything else is done.
pub(crate) fn ipam_of(request: &Request) -> Result<Option<String>> {
    let removal: Removal = request.config()?;
    Ok(Some(removal.ipam.r#type).filter(|name| !name.is_empty()))
}

/// The keys for which DEL looks for objects of an unknown maker.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Asked {
    /// `ipMasq`.
    pub ip_masq: bool,
    /// `macspoofchk`.
    pub macspoofchk: bool,
}

impl Asked {
    /// Reads the config. A key that cannot be read counts as false.
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

/// Returns whether GC also removes attachments with processes in their network namespace. A key that cannot be read
/// counts as false.
pub(crate) fn gc_removes_running(request: &Request) -> bool {
    request.config::<Collection>().unwrap_or_default().gc_removes_running
}
