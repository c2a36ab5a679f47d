//! ADD.

use attachment::{Addition, Result};
use cni::{AddResult, Answer, Request};
use linux::{Change, Link, sysctl};

use crate::{del, routes, settings};

pub(crate) fn add(request: &Request) -> Answer<AddResult> {
    let settings = settings(request)?;
    let mut addition = Addition::begin(request, &settings, del)?;
    let outcome = attach(&mut addition);
    if outcome.is_err() {
        addition.undo(|_| Ok(()));
    }
    Ok(outcome?)
}

fn attach(addition: &mut Addition<'_>) -> Result<AddResult> {
    let early = addition.assigned_early()?;
    let host_end = addition.create_pair(None, early.as_ref())?;
    raise(addition, &host_end)?;
    let assigned = addition.assigned(early)?;
    let (addressing, _) = &assigned;
    addition.configure(addressing, |pod_end| routes::of_pod(pod_end, addressing))?;
    addition.host.apply(&routes::of_host(&host_end, addressing))?;
    addition.masquerade(addressing)?;
    addition.wait_for_host_end()?;
    addition.enable_forwarding(addressing)?;
    addition.finish(assigned, None, None)
}

/// Brings the host's end up. It gets its link-local address [later](routes::of_host), where one is needed.
fn raise(addition: &mut Addition<'_>, host_end: &Link) -> Result<()> {
    // Router advertisements of the pod must not become routes of the host.
    sysctl::prefer(&format!("net/ipv6/conf/{}/accept_ra", host_end.name), "0");
    let (index, attachment) = (host_end.index, addition.request.attachment());
    Ok(addition.host.apply(&[
        Change::set_alias(index, &attachment.to_string()),
        Change::without_link_local_address(index),
        Change::set_up(index),
    ])?)
}
