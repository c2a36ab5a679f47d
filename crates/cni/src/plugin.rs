//! The table of a plugin's functions.

use crate::failure::Answer;
use crate::request::Request;
use crate::result::AddResult;

/// The function of a verb.
type Verb<T> = fn(&Request) -> Answer<T>;

/// A CNI plugin: its name and a function for each verb.
///
/// Each function gets a [`Request`] that was checked against the protocol; the plugin checks its own keys. Where its
/// functions return another error, the `From` that gives the errors their codes converts it: `add: |request|
/// Ok(add::add(request)?)`.
pub struct Plugin {
    /// The name that it is installed under.
    pub name: &'static str,
    /// Whether ADD creates an interface called `CNI_IFNAME`, which then must not be a name that the kernel reserves.
    pub makes_interface: bool,
    /// Attaches a container. On an error nothing of the attachment remains.
    pub add: Verb<AddResult>,
    /// Fails with the first difference from what ADD left.
    pub check: Verb<()>,
    /// Detaches a container; succeeds when nothing is left of it. Fails with what could not be removed.
    pub del: Verb<()>,
    /// Undoes an ADD that succeeded but could not print its result, which the runtime treats as failed. The request is
    /// a DEL with the result as its `prevResult`. Keeps what was there before this ADD; a plugin whose DEL removes no
    /// more than ADD created uses its `del`.
    pub undo_add: fn(&Request, &AddResult) -> Answer<()>,
    /// Removes what belongs to no valid attachment. Fails with what could not be removed.
    pub gc: Verb<()>,
    /// Fails with code 50 or 51 and what is missing when ADD cannot be served.
    pub status: Verb<()>,
}

impl Plugin {
    /// Returns the plugin that an executable of this name is: the plugin's name itself, or anything that ends in `-`
    /// and the name (`buildkit-cni-bridge`).
    pub fn of_executable<'a>(plugins: &'a [Self], executable: &str) -> Option<&'a Self> {
        plugins.iter().find(|plugin| {
            executable
                .strip_suffix(plugin.name)
                .is_some_and(|prefix| prefix.is_empty() || prefix.ends_with('-'))
        })
    }
}
