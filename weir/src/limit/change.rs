//! Setting the limits of a running pod.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use linux::Rtnetlink;

use crate::attached::{self, Pods, Target};

use super::error::Error;
use super::options::{Options, Rate};

/// Held while a record is read, changed and written; gone with the process.
const LOCK: &str = "/run/weir/limit.lock";

/// Changes what the options name and says on standard error what was done.
pub(crate) fn change(target: &Target, options: &Options) -> Result<(), Error> {
    for (option, rate, burst) in [
        ("--ingress", options.ingress, options.ingress_burst),
        ("--egress", options.egress, options.egress_burst),
    ] {
        if rate == Some(Rate::None) && burst.is_some() {
            return Err(Error::BurstOfNone { option });
        }
    }
    let _lock = lock(Path::new(LOCK)).map_err(|source| Error::Lock { path: LOCK.into(), source })?;
    let mut host = Rtnetlink::open()?;
    let pods = Pods::read();
    let pair = attached::find_one(&mut host, &pods, target)?;
    let attachment = pair.attachment.as_ref();
    let subnets = attachment.and_then(|attachment| pods.subnets(attachment));
    let pod = bandwidth::Known { host_end: &pair.host_end, attachment, subnets: subnets.as_ref() };
    let [ingress, egress] = options.changes();
    let changed = bandwidth::change(&mut host, &pod, ingress, egress)?;
    let what = if changed { "changed the limits" } else { "the limits are as asked already" };
    cni::note(format_args!("weir: {target} ({}): {what}", pair.host_end.name));
    Ok(())
}

fn lock(path: &Path) -> io::Result<File> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let file = File::options().create(true).append(true).open(path)?;
    file.lock()?;
    Ok(file)
}
