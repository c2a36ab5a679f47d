//! CHECK: the result of ADD agrees with the config.

use cni::{Answer, Failure, Request};

use crate::config::assigned;

/// Compares the gateways of those addresses that are in both: as in the reference, the config may name others than when
/// ADD was called.
pub(crate) fn check(request: &Request) -> Answer<()> {
    let wanted = assigned(request)?.ips;
    let previous = request.prev_result.as_ref().ok_or_else(Failure::no_prev_result)?;
    for ip in wanted.iter().filter(|ip| ip.gateway.is_some()) {
        let is_the_same = |found: &&cni::IpConfig| found.address.ip() == ip.address.ip();
        let Some(found) = previous.ips.iter().find(is_the_same).filter(|found| found.gateway != ip.gateway)
        else {
            continue;
        };
        let gateway =
            |ip: &cni::IpConfig| ip.gateway.map_or("none".to_owned(), |gateway| gateway.to_string());
        return Err(Failure::differs(format!(
            "static: Failed to match addr {} on interface {}: its gateway is {} in prevResult, {} in the config",
            ip.address.ip(),
            request.interface(),
            gateway(found),
            gateway(ip),
        )));
    }
    Ok(())
}
