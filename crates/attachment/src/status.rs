//! STATUS: the kernel has what ADD needs, and the IPAM plugin is ready.

use std::fmt::Display;

use cni::{Answer, Failure, Request};
use linux::{NewLinkKind, Rtnetlink};
use nft::Nftables;

use crate::config::Settings;
use crate::masquerade;

/// Checks what ADD of every plugin needs: pairs, masquerading where the config asks for it, the IPAM plugin.
///
/// A runtime may ask every half second. So what is in use proves that the kernel has it, and only what is not is tried,
/// with requests that the kernel must refuse or that are never carried out.
///
/// # Errors
/// The first that is missing, and what the IPAM plugin says.
pub fn status(request: &Request, settings: &Settings, host: &mut Rtnetlink) -> Answer<()> {
    host.probe(NewLinkKind::PROBE_VETH).map_err(|error| not_ready(request, error))?;
    if settings.ip_masq {
        Nftables::open()
            .and_then(|mut nftables| masquerade::probe(&mut nftables))
            .map_err(|error| not_ready(request, error))?;
    }
    match &settings.ipam {
        Some(ipam) => Ok(request.delegate(ipam).map_err(|error| not_ready(request, error))?.status()?),
        None => Ok(()),
    }
}

/// Returns the failure of a plugin that cannot serve ADD.
pub fn not_ready(request: &Request, reason: impl Display) -> Failure {
    Failure::not_ready(format!("{} cannot attach containers: {reason}", request.plugin()))
}
