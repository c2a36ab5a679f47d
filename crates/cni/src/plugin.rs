//! What a plugin is.

use crate::failure::Failure;
use crate::request::Request;
use crate::result::AddResult;

/// A CNI plugin: one function for each verb.
///
/// Each verb gets a [`Request`] that is valid as far as the protocol goes; the plugin checks its own keys.
pub trait Plugin {
    /// The name it is installed under.
    const NAME: &'static str;
    /// Whether ADD makes an interface called `CNI_IFNAME`; then it cannot be one of the kernel's own names.
    const MAKES_INTERFACE: bool = false;
    /// What can go wrong; turned into a [`Failure`] in one place.
    type Error: Into<Failure>;

    /// Attaches a container. On an error nothing of it remains.
    ///
    /// # Errors
    /// Whatever kept the attachment from being made.
    fn add(request: &Request) -> Result<AddResult, Self::Error>;

    /// Tells whether the attachment is still as ADD left it.
    ///
    /// # Errors
    /// The first difference.
    fn check(request: &Request) -> Result<(), Self::Error>;

    /// Detaches a container, as far as there is anything left of it.
    ///
    /// # Errors
    /// Whatever could not be removed.
    fn del(request: &Request) -> Result<(), Self::Error>;

    /// Takes back what an ADD made that succeeded, but could not answer: the runtime believes that it failed.
    /// `request` is a DEL with `result` as its `prevResult`. Nothing goes that was there before this ADD; a plugin
    /// whose DEL removes more says here what its ADD made.
    ///
    /// # Errors
    /// Whatever could not be removed.
    fn undo_add(request: &Request, _result: &AddResult) -> Result<(), Self::Error> {
        Self::del(request)
    }

    /// Removes what belongs to no valid attachment.
    ///
    /// # Errors
    /// Whatever could not be removed.
    fn gc(request: &Request) -> Result<(), Self::Error>;

    /// Tells whether ADD can be served.
    ///
    /// # Errors
    /// Code 50 or 51 with what is missing.
    fn status(request: &Request) -> Result<(), Self::Error>;
}

/// A plugin of this executable, as the dispatcher sees it.
pub struct Entry {
    /// [`Plugin::NAME`].
    pub name: &'static str,
    pub(crate) makes_interface: bool,
    pub(crate) add: fn(&Request) -> Result<AddResult, Failure>,
    pub(crate) check: fn(&Request) -> Result<(), Failure>,
    pub(crate) del: fn(&Request) -> Result<(), Failure>,
    pub(crate) undo_add: fn(&Request, &AddResult) -> Result<(), Failure>,
    pub(crate) gc: fn(&Request) -> Result<(), Failure>,
    pub(crate) status: fn(&Request) -> Result<(), Failure>,
}

impl Entry {
    /// The entry of plugin `P`.
    pub const fn of<P: Plugin>() -> Self {
        Self {
            name: P::NAME,
            makes_interface: P::MAKES_INTERFACE,
            add: |request| P::add(request).map_err(Into::into),
            check: |request| P::check(request).map_err(Into::into),
            del: |request| P::del(request).map_err(Into::into),
            undo_add: |request, result| P::undo_add(request, result).map_err(Into::into),
            gc: |request| P::gc(request).map_err(Into::into),
            status: |request| P::status(request).map_err(Into::into),
        }
    }

    /// The plugin that an executable of this name is: `NAME` itself, or anything that ends in `-NAME`
    /// (`buildkit-cni-bridge`).
    pub fn called<'a>(plugins: &'a [Self], executable: &str) -> Option<&'a Self> {
        plugins.iter().find(|plugin| {
            executable
                .strip_suffix(plugin.name)
                .is_some_and(|prefix| prefix.is_empty() || prefix.ends_with('-'))
        })
    }
}
