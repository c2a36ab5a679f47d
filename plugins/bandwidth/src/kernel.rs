//! The kernel's two sides of a limit: links and traffic control, and nf_tables.

use linux::{Error, Rtnetlink};
use nft::Nftables;

use crate::error::Result;

/// A socket for links and traffic control, and one for nf_tables, which is opened when it is first asked for.
pub(crate) struct Kernel<'a> {
    pub host: &'a mut Rtnetlink,
    /// `None` before the first look.
    nftables: Option<Option<Nftables>>,
    /// Whether this process may not look into nf_tables.
    pub is_denied: bool,
}

impl<'a> Kernel<'a> {
    pub fn new(host: &'a mut Rtnetlink) -> Self {
        Self { host, nftables: None, is_denied: false }
    }

    /// As on a kernel that was built without nf_tables.
    #[cfg(test)]
    pub fn without_nftables(host: &'a mut Rtnetlink) -> Self {
        Self { host, nftables: Some(None), is_denied: false }
    }

    /// Returns the nf_tables socket; none where the kernel has no nf_tables.
    ///
    /// # Errors
    /// When the kernel gives no socket for another reason.
    pub fn nftables(&mut self) -> Result<Option<&mut Nftables>> {
        if self.nftables.is_none() {
            self.nftables = match Nftables::open() {
                Ok(nftables) => Some(Some(nftables)),
                Err(Error::MissingFeature { .. }) => Some(None),
                Err(error) => return Err(error.into()),
            };
        }
        Ok(self.nftables.as_mut().and_then(Option::as_mut))
    }
}
