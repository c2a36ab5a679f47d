//! STATUS: the kernel has what ADD needs, and so says the IPAM plugin.

use cni::Request;
use linux::{NewLinkKind, Rtnetlink};
use nft::Nftables;

use crate::config::Config;
use crate::device;
use crate::error::{Error, Result};

/// A runtime may ask every half second. So what is in use proves that the kernel has it, and only what is not is tried,
/// with requests that the kernel must refuse or that are never carried out.
pub(crate) fn status(request: &Request) -> Result<()> {
    let config = Config::read(request)?;
    let mut host = Rtnetlink::open()?;
    let bridge = match device::find(&mut host, &config.bridge) {
        Err(Error::Attachment(attachment::Error::Kernel(error))) => return Err(Error::NotReady(error)),
        found => found?,
    };
    if bridge.is_none() {
        host.probe(NewLinkKind::Bridge { vlan_filtering: false }).map_err(Error::NotReady)?;
    }
    host.probe(NewLinkKind::PROBE_VETH).map_err(Error::NotReady)?;
    if config.vlans.is_some() && !bridge.is_some_and(|bridge| bridge.vlans.filtering) {
        host.probe_vlan_filtering().map_err(Error::NotReady)?;
    }
    if config.settings.ip_masq {
        Nftables::open().and_then(|mut nftables| nftables.probe()).map_err(Error::NotReady)?;
    }
    if config.macspoofchk {
        Nftables::open().and_then(|mut nftables| nftables.probe_spoof_check()).map_err(Error::NotReady)?;
    }
    match &config.settings.ipam {
        Some(ipam) => Ok(request.delegate(ipam).map_err(Error::NoIpam)?.status()?),
        None => Ok(()),
    }
}
