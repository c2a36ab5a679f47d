//! The attachment that owns a reservation.

use cni::Request;

use crate::holder::Holder;
use crate::index::key_of_attachment;

/// The attachment that owns a reservation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Owner<'a> {
    /// The container's ID.
    pub(crate) container_id: &'a str,
    /// The interface's name.
    pub(crate) interface: &'a str,
}

impl<'a> Owner<'a> {
    /// Returns the attachment that a call is about.
    pub(crate) fn of(request: &'a Request) -> Self {
        Self { container_id: request.container_id(), interface: request.interface() }
    }

    /// Returns the key of its reservations in the index.
    pub(super) fn key(&self) -> u64 {
        key_of_attachment(self.container_id, self.interface)
    }

    /// Returns whether the holder is this attachment or its container.
    pub(super) fn has(&self, holder: &Holder) -> bool {
        self.is(holder) || self.is_of(holder)
    }

    /// Returns whether the holder is this attachment.
    pub(super) fn is(&self, holder: &Holder) -> bool {
        matches!(holder, Holder::Attachment { container_id, interface }
            if container_id == self.container_id && interface == self.interface)
    }

    /// Returns whether the holder is its container, with no interface named.
    fn is_of(&self, holder: &Holder) -> bool {
        matches!(holder, Holder::Container { container_id } if container_id == self.container_id)
    }
}
