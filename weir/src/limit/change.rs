//! Setting the limits of a running pod.

use linux::Rtnetlink;

use super::error::Error;
use super::options::Options;
use super::pods::Pods;
use super::target::{self, Target};

/// Changes what the options name and says on standard error what was done.
pub(crate) fn change(target: &Target, options: &Options) -> Result<(), Error> {
    let mut host = Rtnetlink::open()?;
    let known = target::find_one(&mut host, &Pods::read(), target)?;
    let [ingress, egress] = options.changes();
    let changed = bandwidth::change(&mut host, &known.host_end, known.attachment.as_ref(), ingress, egress)?;
    let what = if changed { "changed the limits" } else { "the limits are as asked already" };
    cni::note(format_args!("weir: {target} ({}): {what}", known.host_end.name));
    Ok(())
}
