//! Chains of table `netdev weir` that forward nothing, as `nft flush table netdev weir` leaves them.

use netlink_packet_core::NLM_F_DUMP;
use nix::errno::Errno;

use super::Nftables;
use super::attributes::{find, text};
use super::batch::Batch;
use super::forward::TABLE;
use super::objects::{
    self, NFT_MSG_GETCHAIN, NFTA_CHAIN_HANDLE, NFTA_CHAIN_HOOK, NFTA_CHAIN_NAME, NFTA_CHAIN_TABLE,
};
use linux::Result;

/// A chain of a link that forwards nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdleChain {
    /// Name of the link, and of the chain.
    pub link_name: String,
    /// The chain's number, which is never used again.
    handle: u64,
}

impl Nftables {
    /// The chains that forward nothing. Since Linux 6.16 they outlive their links.
    ///
    /// The effect of `nft -a list chains netdev`.
    ///
    /// # Errors
    /// [`Error::Refused`](linux::Error::Refused) and [`Error::Netlink`](linux::Error::Netlink).
    pub fn idle_chains(&mut self) -> Result<Vec<IdleChain>> {
        let mut chains = Vec::new();
        let listed = self.read(
            TABLE,
            NFT_MSG_GETCHAIN,
            NLM_F_DUMP,
            |_| {},
            |chain| {
                let is_of_table = find(chain, NFTA_CHAIN_TABLE).map(text) == Some(TABLE.name.as_bytes());
                let has_hook = find(chain, NFTA_CHAIN_HOOK).is_some();
                let handle = find(chain, NFTA_CHAIN_HANDLE).and_then(|handle| handle.try_into().ok());
                let name = find(chain, NFTA_CHAIN_NAME).map(text);
                if let (true, Some(name), Some(handle)) = (is_of_table && has_hook, name, handle) {
                    let link_name = String::from_utf8_lossy(name).into_owned();
                    chains.push(IdleChain { link_name, handle: u64::from_be_bytes(handle) });
                }
            },
        );
        match listed {
            // Among others that come and go, one may be missing. It is there the next time.
            Err(failed) if failed.is(Errno::EINTR) => {}
            Err(failed) if failed.is(Errno::ENOENT) || failed.is_missing_subsystem() => return Ok(Vec::new()),
            listed => listed.map_err(|failed| failed.during(format_args!("list the chains of {TABLE}")))?,
        }
        if !chains.is_empty() {
            let forwards = self.forwards()?;
            chains.retain(|chain| forwards.iter().all(|forward| forward.link_name != chain.link_name));
        }
        Ok(chains)
    }

    /// Removes a chain; one that is gone already is fine, and another one of its name stays.
    ///
    /// The effect of `nft delete chain netdev weir handle HANDLE`.
    ///
    /// # Errors
    /// [`Error::Refused`](linux::Error::Refused) and [`Error::Netlink`](linux::Error::Netlink).
    pub fn remove_idle_chain(&mut self, chain: &IdleChain) -> Result<()> {
        let mut batch = Batch::new(TABLE);
        objects::delete_chain_by_handle(&mut batch, chain.handle);
        match self.transact(batch) {
            Err(failed) if !failed.is(Errno::ENOENT) => {
                Err(failed.during(format_args!("delete chain {} of {TABLE}", chain.link_name)))
            }
            _ => Ok(()),
        }
    }
}
