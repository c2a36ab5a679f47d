//! The Container Network Interface: the protocol between runtimes and plugins.
//!
//! A plugin is a [`Plugin`], called by [`main`] or, as a delegate, by [`call`]. It gets a validated [`Request`] and
//! returns an [`AddResult`] in the newest shape or a [`Failure`]. Versions 0.1.0 to 1.1.0 of the specification are
//! supported, also between a plugin and its delegate.

mod alias_value;
mod arguments;
mod attachment;
mod cidr;
mod decode;
mod delegate;
mod environment;
mod error;
mod execute;
mod failure;
mod legacy;
mod note;
mod plugin;
mod printable;
mod request;
mod result;
mod serve;
mod version;

pub use arguments::Arguments;
pub use attachment::{Attachment, LIBCNI_RESULTS, OWN_RESULTS, ValidAttachment};
pub use cidr::{Cidr, CidrError};
pub use decode::{DecodeError, decode, optional};
pub use delegate::Delegate;
pub use environment::{Command, Environment, Variables};
pub use error::Error;
pub use execute::{execute, find};
pub use failure::{Answer, Failure, code, collected};
pub use note::note;
pub use plugin::Plugin;
pub use printable::printable;
pub use request::Request;
pub use result::{AddResult, Dns, Interface, IpConfig, Route};
pub use serve::{Outcome, call, main};
pub use version::Version;
