//! ADD: shape both directions, or neither.

use cni::{AddResult, Interface, Request};
use linux::{Link, Rtnetlink};

use crate::config::Limits;
use crate::direction::Direction;
use crate::error::{Error, Result};
use crate::host_end;
use crate::record;
use crate::shaper::{self, make_ifb, refuse_other_root, undo, undo_ifb};
use crate::subnets::Subnets;

pub(crate) fn add(request: &Request) -> Result<AddResult> {
    let limits = Limits::of_call(request)?;
    let mut result = request.prev_result.clone().ok_or(Error::NotChained)?;
    if limits.is_empty() {
        return Ok(result);
    }
    let mut host = Rtnetlink::open()?;
    let host_end = host_end::find(request, &mut host)?;
    let attachment = request.attachment();
    let (to_pod, from_pod) = (Direction::Ingress, Direction::Egress);
    let mut made = Vec::new();
    if let Some(limit) = limits.ingress {
        let tbf = shaper::numbers(to_pod, &limit, host_end.mtu, &limits.choice);
        if limits.subnets == Subnets::All {
            refuse_other_root(&mut host, &host_end)?;
            host.set_root_tbf(host_end.index, &tbf)?;
        } else {
            let rules = |ifb| limits.subnets.rules(to_pod, ifb);
            made.push(make_ifb(&mut host, &host_end, Some(&attachment), to_pod, &tbf, rules)?);
        }
    }
    if let Some(limit) = limits.egress {
        let tbf = shaper::numbers(from_pod, &limit, host_end.mtu, &limits.choice);
        let rules = |ifb| limits.subnets.rules(from_pod, ifb);
        match make_ifb(&mut host, &host_end, Some(&attachment), from_pod, &tbf, rules) {
            Ok(ifb) => made.insert(0, ifb),
            Err(error) => {
                match made.first() {
                    Some(made) => undo_ifb(&mut host, &host_end, to_pod, made),
                    None if limits.ingress.is_some() => undo(host.delete_root_qdisc(host_end.index)),
                    None => {}
                }
                return Err(error);
            }
        }
    }
    if let Err(error) = record::identify(&mut host, &host_end, &attachment) {
        cni::note(format_args!(
            "bandwidth: {} is shaped, but does not say whose it is: {error}",
            host_end.name
        ));
    }
    // At the end: addresses refer to the interfaces before by their place.
    result.interfaces.extend(made.into_iter().map(|made| interface(made.ifb)));
    Ok(result)
}

fn interface(ifb: Link) -> Interface {
    Interface {
        name: ifb.name,
        mac: ifb.mac.map(|mac| mac.to_string()).unwrap_or_default(),
        ..Interface::default()
    }
}
