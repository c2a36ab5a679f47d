//! `weir ipam release`.

use std::time::Duration;

use host_local::{Audit, Evidence, Holder, Reserved, State};

use super::networks;
use super::{Chosen, Error, Places, report};
use crate::output;

/// Shows what is held for the address or the container; gives it back with `yes`, unless any of it is in use.
pub(super) fn release(name: &str, chosen: &Chosen, yes: bool, places: &Places) -> Result<(), Error> {
    let evidence = Evidence::gather();
    let mut count = 0;
    for network in networks::find(places, Some(name))?.networks {
        let failed = |source| Error::Store { network: name.to_owned(), source: Box::new(source) };
        let audit = Audit::of(&network, &evidence, Duration::ZERO).map_err(failed)?;
        let found: Vec<_> = audit.reservations.iter().filter(|reserved| chosen.is(reserved)).collect();
        let is_used = |reserved: &&&Reserved| matches!(reserved.state, State::Attached | State::Idle);
        if let Some(used) = found.iter().find(is_used) {
            let place = match used.carriers.is_empty() {
                true => "an interface says that it is its own".to_owned(),
                false => used.places().join(", "),
            };
            return Err(Error::InUse { address: used.address, place });
        }
        if let Some(young) = found.iter().find(|reserved| reserved.state == State::Young) {
            return Err(Error::JustReserved { address: young.address });
        }
        let lines = found.iter().map(|reserved| report::sentence(reserved) + "\n");
        // What cannot be shown is not done.
        output::print(&lines.collect::<String>())?;
        count += if yes { network.release(&found).map_err(failed)?.len() } else { found.len() };
    }
    if count == 0 {
        return Err(Error::NothingReserved { network: name.to_owned(), what: chosen.to_string() });
    }
    output::print(&(report::given_back(count, yes) + "\n"))?;
    Ok(())
}

impl Chosen {
    fn is(&self, reserved: &Reserved) -> bool {
        let of_container = |wanted: &String| match &reserved.holder {
            Holder::Attachment { container_id, .. } | Holder::Container { container_id } => {
                container_id == wanted
            }
            Holder::Stranger | Holder::Nobody => false,
        };
        self.address == Some(reserved.address) || self.container.as_ref().is_some_and(of_container)
    }
}

impl std::fmt::Display for Chosen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (&self.address, &self.container) {
            (Some(address), _) => write!(f, "{address}"),
            (None, container) => write!(f, "container {}", container.as_deref().unwrap_or_default()),
        }
    }
}
