//! Whom an address is held for.

use crate::holder::Holder;
use crate::index::key_of_attachment;

/// The attachment that an address is held for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner<'a> {
    /// The container's ID.
    pub container_id: &'a str,
    /// The interface's name.
    pub interface: &'a str,
}

impl Owner<'_> {
    /// What the index has its reservations under.
    pub(super) fn key(&self) -> u64 {
        key_of_attachment(self.container_id, self.interface)
    }

    /// Whether a reservation is held for this attachment, or for its container.
    pub(super) fn has(&self, holder: &Holder) -> bool {
        self.is(holder) || self.is_of(holder)
    }

    /// Whether a reservation is this attachment's.
    pub(super) fn is(&self, holder: &Holder) -> bool {
        matches!(holder, Holder::Attachment { container_id, interface }
            if container_id == self.container_id && interface == self.interface)
    }

    /// Whether a reservation is this attachment's container's, with no interface named.
    fn is_of(&self, holder: &Holder) -> bool {
        matches!(holder, Holder::Container { container_id } if container_id == self.container_id)
    }
}
