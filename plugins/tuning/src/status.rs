//! STATUS: whether the config's keys are ones that ADD takes, and records can be written.

use cni::{Answer, Failure, Request, code};

use crate::{config, record};

/// Fails with the first thing that ADD would refuse.
pub(crate) fn status(request: &Request) -> Answer<()> {
    let unready = |failure: attachment::Error| Failure { code: code::NOT_AVAILABLE, ..failure.into() };
    config::wanted(request).map_err(unready)?;
    let folder = record::folder(request);
    linux::could_make_file(&folder).map_err(|error| {
        Failure::not_ready(format!("dataDir: cannot write to {}: {error}", folder.display()))
    })
}
