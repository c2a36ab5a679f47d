//! The result of ADD: the attachment's interfaces, and behind them those of `prevResult`.

use cni::{AddResult, Interface, IpConfig, Request};
use linux::{Link, Mac};

use crate::addition::Assigned;
use crate::config::Settings;

/// Returns the result with the interfaces in the reference's order: the host's links `before` the pod's end, the pod's
/// end, and the host's link `after` it. Those of `prevResult` come last, so that the indices in `ips` stay.
pub(crate) fn result(
    request: &Request,
    settings: &Settings,
    (addressing, ipam_dns): Assigned,
    before: impl Iterator<Item = Link>,
    pod_mac: Mac,
    after: Option<Link>,
) -> AddResult {
    let on_host = |link: Link| Interface {
        mac: link.mac.map(|mac| mac.to_string()).unwrap_or_default(),
        name: link.name,
        ..Interface::default()
    };
    let mut interfaces: Vec<_> = before.map(on_host).collect();
    let pod_end = Some(interfaces.len());
    interfaces.push(Interface {
        name: request.interface().to_owned(),
        mac: pod_mac.to_string(),
        sandbox: request.netns().unwrap_or_default().to_owned(),
        ..Interface::default()
    });
    interfaces.extend(after.map(on_host));
    let ips = addressing.ips.into_iter().map(|ip| IpConfig { interface: pod_end, ..ip }).collect();
    let dns = if settings.dns.is_empty() { ipam_dns } else { settings.dns.clone() };
    let mut result = AddResult { interfaces, ips, routes: addressing.routes, dns };
    if let Some(previous) = &request.prev_result {
        append(&mut result, previous);
    }
    result
}

/// Appends `prevResult` (Nomad and buildkit run `loopback` first) without its loopback addresses: the next plugins take
/// every address of the result for the pod's.
fn append(result: &mut AddResult, previous: &AddResult) {
    let offset = result.interfaces.len();
    result.interfaces.extend(previous.interfaces.iter().cloned());
    let passed = previous.ips.iter().filter(|ip| !ip.address.ip().is_loopback());
    result.ips.extend(
        passed.map(|ip| IpConfig { interface: ip.interface.map(|index| index + offset), ..ip.clone() }),
    );
    result.routes.extend(previous.routes.iter().cloned());
    if result.dns.is_empty() {
        result.dns = previous.dns.clone();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_loopback_made_comes_after_ours_and_without_its_addresses() {
        let interface = |name: &str| Interface { name: name.into(), ..Interface::default() };
        let ip = |address: &str, interface| IpConfig {
            interface: Some(interface),
            address: address.parse().unwrap(),
            gateway: None,
        };
        let mut result = AddResult {
            interfaces: ["cni0", "veth1", "eth0"].map(interface).to_vec(),
            ips: vec![ip("10.1.2.7/24", 2)],
            ..AddResult::default()
        };
        let previous = AddResult {
            interfaces: ["lo", "net1"].map(interface).to_vec(),
            ips: vec![ip("127.0.0.1/8", 0), ip("192.168.7.2/24", 1)],
            ..AddResult::default()
        };
        append(&mut result, &previous);
        let names: Vec<_> = result.interfaces.iter().map(|interface| interface.name.as_str()).collect();
        assert_eq!(names, ["cni0", "veth1", "eth0", "lo", "net1"]);
        assert_eq!(result.ips, [ip("10.1.2.7/24", 2), ip("192.168.7.2/24", 4)]);
    }
}
