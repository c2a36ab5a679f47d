//! What a kernel must have to shape pods, asked by shaping something.

use std::path::Path;

use nix::sched::{CloneFlags, unshare};

use super::{Hook, Rule, Tbf};
use crate::error::{Error, Result};
use crate::feature::Feature;
use crate::modules::are_loaded;
use crate::new_link::NewLinkKind;
use crate::rtnetlink::Rtnetlink;

const MODULES: [&str; 5] = ["ifb", "sch_tbf", "sch_ingress", "cls_u32", "act_mirred"];

/// The features without which no pod can be shaped and that the running kernel lacks: ifb, tbf, clsact, u32
/// and mirred. Empty when all are there.
///
/// An ifb with a token bucket filter proves that pods can be shaped. So do the modules, where they are loaded. Otherwise, as whether a classifier is known can only be asked of a link that has an ingress
/// hook, `lo` of a network namespace that ends with this call is shaped as a pod would be; nothing else is touched.
///
/// # Errors
/// [`Error::EnterNamespace`] when no namespace can be made; any refusal that does not mean "not there".
pub fn missing_shaping_features() -> Result<Vec<Feature>> {
    if are_loaded(&MODULES) || is_in_use(&mut Rtnetlink::open()?)? {
        return Ok(Vec::new());
    }
    let failed = |source| Error::EnterNamespace { path: Path::new("(new)").to_owned(), source };
    // A namespace belongs to a thread, and a new one goes away with it.
    let thread = std::thread::Builder::new()
        .spawn(move || {
            unshare(CloneFlags::CLONE_NEWNET).map_err(|errno| failed(errno.into()))?;
            probe(&mut Rtnetlink::open()?)
        })
        .map_err(failed)?;
    thread.join().unwrap_or_else(|_| Err(failed(std::io::Error::other("the probe's thread ended early"))))
}

fn is_in_use(rtnetlink: &mut Rtnetlink) -> Result<bool> {
    for ifb in rtnetlink.links_of_kind("ifb")? {
        // One that has gone meanwhile has none.
        if rtnetlink.root_qdisc(ifb.index).is_ok_and(|qdisc| qdisc.is_some_and(|qdisc| qdisc.tbf.is_some())) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn probe(rtnetlink: &mut Rtnetlink) -> Result<Vec<Feature>> {
    /// `lo` is the first link of every namespace.
    const LOOPBACK: u32 = 1;
    let tbf = Tbf { rate_bytes_per_sec: 1_000_000, burst_bytes: 100_000, limit_bytes: 100_000 };
    let attempts = [
        rtnetlink.probe(NewLinkKind::Ifb),
        rtnetlink.set_root_tbf(LOOPBACK, &tbf),
        rtnetlink.set_rules(LOOPBACK, Hook::Ingress, &[Rule::everything(LOOPBACK)]).map(|_| ()),
    ];
    let mut missing = Vec::new();
    for attempt in attempts {
        match attempt {
            Ok(()) => {}
            Err(Error::MissingFeature { feature, .. }) => missing.push(feature),
            Err(error) => return Err(error),
        }
    }
    Ok(missing)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::ifb;
    use crate::testing::namespace_with_veth;

    #[test]
    fn a_kernel_that_can_shape_lacks_nothing_and_nothing_is_left() {
        let (mut rtnetlink, _) = namespace_with_veth();
        assert_eq!(missing_shaping_features().unwrap(), []);
        assert!(rtnetlink.links_of_kind("ifb").unwrap().is_empty());
        assert!(rtnetlink.root_qdisc(1).unwrap().is_none_or(|qdisc| qdisc.tbf.is_none()));
    }

    #[test]
    fn an_ifb_with_a_filter_proves_that_pods_can_be_shaped() {
        let (mut rtnetlink, _) = namespace_with_veth();
        let ifb = ifb(&mut rtnetlink, "ifb7");
        assert!(!is_in_use(&mut rtnetlink).unwrap());
        let tbf = Tbf { rate_bytes_per_sec: 1_000_000, burst_bytes: 100_000, limit_bytes: 100_000 };
        rtnetlink.set_root_tbf(ifb.index, &tbf).unwrap();
        assert!(is_in_use(&mut rtnetlink).unwrap());
    }
}
