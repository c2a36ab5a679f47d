//! The IPAM plugin of a DEL: asked once, when nothing has the addresses any more.

use cni::{Delegate, Request};

use crate::config::ipam_of;
use crate::error::Result;

/// The IPAM plugin, until it was asked to release the addresses.
pub struct Ipam<'a> {
    request: &'a Request,
    /// Its name, where the config has one; why it cannot be read.
    name: Option<Result<String>>,
}

impl<'a> Ipam<'a> {
    /// The plugin that the config names. An error in that is returned by [`Ipam::release`], after everything else is
    /// done.
    pub fn of(request: &'a Request) -> Self {
        Self { request, name: ipam_of(request).transpose() }
    }

    /// Whether there is something to release.
    pub fn is_due(&self) -> bool {
        self.name.is_some()
    }

    /// Whether the plugin is to be asked while the interface is there. One of this executable assigns addresses
    /// without looking at interfaces.
    pub fn needs_interface(&self) -> bool {
        let Some(Ok(name)) = &self.name else { return false };
        self.request.delegate(name).as_ref().is_ok_and(Delegate::is_executed)
    }

    /// Asks for the release, unless that was done.
    ///
    /// # Errors
    /// The plugin's, or why it cannot be called.
    pub fn release(&mut self) -> Result<()> {
        match self.name.take() {
            Some(name) => Ok(self.request.delegate(&name?)?.del()?),
            None => Ok(()),
        }
    }
}
