//! CHECK: everything that the config asks for is as it asks.

use attachment::{Result, differs};
use cni::{Failure, Request};

use crate::target::Target;
use crate::tuning::Tuning;
use crate::{config, sysctls};

/// Compares everything that the config asks for.
pub(crate) fn check(request: &Request) -> Result<()> {
    let wanted = config::wanted(request)?;
    if request.prev_result.is_none() {
        return Err(Failure::no_prev_result().into());
    }
    if wanted == Tuning::default() {
        return Ok(());
    }
    let found = Target::open(request)?.current(request, &wanted)?;
    let netns = request.netns().unwrap_or_default();
    if let Some((key, wanted, found)) = wanted.difference(&found) {
        let interface = request.interface();
        return differs(format_args!(
            "{key} of interface {interface} in {netns} is {found}; ADD had set {wanted}"
        ));
    }
    // A parameter that the kernel does not show cannot be compared.
    let shown =
        wanted.sysctl.iter().filter_map(|(path, wanted)| Some((path, wanted, found.sysctl.get(path)?)));
    for (path, wanted, found) in shown {
        if !sysctls::is_same(wanted, found) {
            let name = sysctls::name(path);
            return differs(format_args!("sysctl {name} in {netns} is {found:?}; ADD had set {wanted:?}"));
        }
    }
    Ok(())
}
