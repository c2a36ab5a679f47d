//! What a plugin is.

use crate::failure::Answer;
use crate::request::Request;
use crate::result::AddResult;

/// The function of a verb.
type Verb<T> = fn(&Request) -> Answer<T>;

/// A CNI plugin: its name and a function for each verb.
///
/// Each function gets a [`Request`] that is valid as far as the protocol goes; the plugin checks its own keys. Its own
/// error becomes a [`Failure`](crate::Failure) by the one `From` that gives its errors their codes:
/// `add: |request| Ok(add::add(request)?)`.
pub struct Plugin {
    /// The name that it is installed under.
    pub name: &'static str,
    /// Whether ADD makes an interface called `CNI_IFNAME`; then it cannot be one of the kernel's own names.
    pub makes_interface: bool,
    /// Attaches a container. On an error nothing of the attachment remains.
    pub add: Verb<AddResult>,
    /// Fails with the first difference from what ADD left.
    pub check: Verb<()>,
    /// Detaches a container, as far as there is anything left of it. Fails with what could not be removed.
    pub del: Verb<()>,
    /// Takes back what an ADD made that succeeded, but could not answer: the runtime believes that it failed. The request
    /// is a DEL with the result as its `prevResult`. What was there before this ADD stays; a plugin's `del` serves where
    /// it removes no more than ADD made.
    pub undo_add: fn(&Request, &AddResult) -> Answer<()>,
    /// Removes what belongs to no valid attachment. Fails with what could not be removed.
    pub gc: Verb<()>,
    /// Fails with code 50 or 51 and what is missing when ADD cannot be served.
    pub status: Verb<()>,
}

impl Plugin {
    /// Returns the plugin that an executable of this name is: the plugin's name itself, or anything that ends in `-` and
    /// the name (`buildkit-cni-bridge`).
    pub fn of_executable<'a>(plugins: &'a [Self], executable: &str) -> Option<&'a Self> {
        plugins.iter().find(|plugin| {
            executable
                .strip_suffix(plugin.name)
                .is_some_and(|prefix| prefix.is_empty() || prefix.ends_with('-'))
        })
    }
}
