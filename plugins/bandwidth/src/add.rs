//! ADD: shape both directions, or neither.

use cni::{AddResult, Interface, Request};
use linux::{Ifb, Link, Mac, Rtnetlink, Tbf};

use crate::burst::Burst;
use crate::choice::Choice;
use crate::config::{Limit, Limits};
use crate::error::{Error, Result};
use crate::{host_end, ifb, shaping};

pub(crate) fn add(request: &Request) -> Result<AddResult> {
    let limits = Limits::of(request)?;
    let mut result = request.prev_result.clone().ok_or(Error::NotChained)?;
    if limits.is_empty() {
        return Ok(result);
    }
    let mut host = Rtnetlink::open()?;
    let host_end = host_end::find(request, &mut host)?;
    if let Some(limit) = limits.ingress {
        host.set_root_tbf(host_end.index, &numbers("ingress", &limit, host_end.mtu, &limits.choice))?;
    }
    if let Some(limit) = limits.egress {
        let ifb = shape_egress(request, &mut host, &host_end, &limit, &limits.choice).inspect_err(|_| {
            if limits.ingress.is_some() {
                undo(host.delete_root_qdisc(host_end.index));
            }
        })?;
        // At the end: addresses refer to the interfaces before by their place.
        result.interfaces.push(Interface {
            name: ifb.name,
            mac: ifb.mac.map(|mac| mac.to_string()).unwrap_or_default(),
            ..Interface::default()
        });
    }
    Ok(result)
}

/// Makes the ifb, shapes it, and only then sends the pod's packets through it: none of them is lost.
fn shape_egress(
    request: &Request,
    host: &mut Rtnetlink,
    host_end: &Link,
    limit: &Limit,
    choice: &Choice,
) -> Result<Link> {
    let attachment = request.attachment();
    let name = ifb::claim_name(host, &attachment)?;
    let alias = attachment.to_string();
    let mac = Mac::random()?;
    let ifb = host.create_ifb(&Ifb { name: &name, mac, mtu: host_end.mtu, alias: &alias })?;
    let shaped = host
        .set_root_tbf(ifb.index, &numbers("egress", limit, host_end.mtu, choice))
        .and_then(|()| host.redirect_ingress(host_end.index, ifb.index));
    match shaped {
        Ok(()) => Ok(ifb),
        Err(error) => {
            undo(host.delete_redirect(host_end.index));
            undo(host.delete_link(ifb.index));
            Err(error.into())
        }
    }
}

/// The first error is the one that a runtime is told; what cannot be undone is for the log.
fn undo(outcome: linux::Result<()>) {
    if let Err(error) = outcome {
        eprintln!("bandwidth: undoing a failed ADD: {error}");
    }
}

/// The filter's numbers; says so when a burst that was chosen cannot be had.
fn numbers(direction: &str, limit: &Limit, mtu: u32, choice: &Choice) -> Tbf {
    let tbf = shaping::tbf(limit, mtu, choice);
    if let Burst::Chosen { bits } = limit.burst {
        let (asked, used) = (bits / 8, tbf.burst_bytes);
        if asked < used.into() {
            eprintln!("bandwidth: {direction}Burst of {asked} bytes is less than a packet; using {used}");
        } else if asked > used.into() {
            eprintln!(
                "bandwidth: {direction}Burst of {asked} bytes is more than the kernel holds; using {used}"
            );
        }
    }
    tbf
}
