//! The IPAM plugin of a DEL, which is asked once.

use cni::{Delegate, Request};

use crate::config::ipam_of;
use crate::error::Result;

/// The IPAM plugin, until it has released the addresses.
pub(crate) struct Ipam<'a> {
    request: &'a Request,
    /// Its name where the config has one, or the error in reading it.
    name: Option<Result<String>>,
}

impl<'a> Ipam<'a> {
    /// Reads the plugin's name from the config. [`Ipam::release`] returns an error in that, after everything else is
    /// done.
    pub fn of(request: &'a Request) -> Self {
        Self { request, name: ipam_of(request).transpose() }
    }

    /// Returns whether the plugin has not been asked yet.
    pub fn is_due(&self) -> bool {
        self.name.is_some()
    }

    /// Returns whether the plugin is to be asked while the interface is there. A plugin of this executable does not
    /// look at interfaces.
    pub fn needs_interface(&self) -> bool {
        let Some(Ok(name)) = &self.name else { return false };
        self.request.delegate(name).as_ref().is_ok_and(Delegate::is_executed)
    }

    /// Has the plugin release the addresses, unless that was done.
    ///
    /// # Errors
    /// The plugin's error, or the error in calling it.
    pub fn release(&mut self) -> Result<()> {
        match self.name.take() {
            Some(name) => Ok(self.request.delegate(&name?)?.del()?),
            None => Ok(()),
        }
    }
}
