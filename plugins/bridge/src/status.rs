//! STATUS: the kernel has what ADD needs, and the IPAM plugin is ready.

use attachment::{Error, not_ready};
use cni::{Answer, Request};
use linux::{NewLinkKind, Rtnetlink};
use nft::Nftables;

use crate::config::Config;
use crate::device;
use crate::spoof_check;

pub(crate) fn status(request: &Request) -> Answer<()> {
    let config = Config::read(request)?;
    let mut host = Rtnetlink::open().map_err(Error::from)?;
    let bridge = match device::find(&mut host, &config.bridge) {
        Err(Error::Kernel(error)) => return Err(not_ready(request, error)),
        found => found?,
    };
    if bridge.is_none() {
        host.probe(NewLinkKind::Bridge { vlan_filtering: false })
            .map_err(|error| not_ready(request, error))?;
    }
    if config.vlans.is_some() && !bridge.is_some_and(|bridge| bridge.vlans.filtering) {
        host.probe_vlan_filtering().map_err(|error| not_ready(request, error))?;
    }
    if config.macspoofchk {
        Nftables::open()
            .and_then(|mut nftables| spoof_check::probe(&mut nftables))
            .map_err(|error| not_ready(request, error))?;
    }
    attachment::status(request, &config.settings, &mut host)
}
