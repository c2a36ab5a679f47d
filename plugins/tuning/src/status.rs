//! STATUS: whether the config's keys are ones that ADD takes, and records can be written.

use std::io::ErrorKind;

use cni::{Answer, Failure, Request, code};

use crate::{config, record};

/// Fails with the first thing that ADD would refuse.
pub(crate) fn status(request: &Request) -> Answer<()> {
    let unready = |failure: attachment::Error| Failure { code: code::NOT_AVAILABLE, ..failure.into() };
    config::wanted(request).map_err(unready)?;
    let folder = record::folder(request);
    for existing in folder.ancestors() {
        match linux::could_make_file(existing) {
            // ADD makes it.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => {
                let sentence = format!("dataDir: cannot write to {}: {error}", existing.display());
                return Err(Failure::not_ready(sentence));
            }
            Ok(()) => break,
        }
    }
    Ok(())
}
