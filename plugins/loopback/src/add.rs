//! ADD: bring `lo` up, report its addresses.

use attachment::{Result, of_namespace};
use cni::{AddResult, Interface, IpConfig, Request};
use linux::{Change, Mac, Namespace};

use crate::{LOOPBACK, missing};

pub(crate) fn add(request: &Request) -> Result<AddResult> {
    let netns = request.netns().unwrap_or_default();
    let namespace = Namespace::open(netns).map_err(of_namespace)?;
    let mut rtnetlink = namespace.rtnetlink().map_err(of_namespace)?;
    let link = rtnetlink.link_by_name(LOOPBACK)?.ok_or_else(|| missing(netns))?;
    rtnetlink.apply(&[Change::set_up(link.index)])?;
    if let Some(previous) = &request.prev_result {
        return Ok(previous.clone());
    }
    let mac = link.mac.unwrap_or(Mac([0; 6])).to_string();
    let interface =
        Interface { name: LOOPBACK.to_owned(), mac, sandbox: netns.to_owned(), ..Interface::default() };
    let ips = rtnetlink
        .addresses(link.index)?
        .into_iter()
        .map(|address| IpConfig { interface: Some(0), address: address.network, gateway: None })
        .collect();
    Ok(AddResult { interfaces: vec![interface], ips, ..AddResult::default() })
}
