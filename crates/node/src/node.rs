//! The veth pairs of this node: which attachment each belongs to, and its limits.

use bandwidth::Pair;
use linux::{Link, Rtnetlink};

use crate::cached_results::CachedResults;
use crate::error::{Error, Result};
use crate::target::Target;

/// The network namespace of this process, with what runtimes cache of its attachments. Each method asks the kernel
/// anew; the cached results are those of [`Node::open`].
pub struct Node {
    pub(crate) host: Rtnetlink,
    pub(crate) results: CachedResults,
}

impl Node {
    /// Opens a netlink socket and reads the cached results.
    ///
    /// # Errors
    /// [`Error::Kernel`] when there is no socket. Results that cannot be read are [`Node::unread`].
    pub fn open() -> Result<Self> {
        Ok(Self { host: Rtnetlink::open()?, results: CachedResults::read() })
    }

    /// Returns the folders of cached results that could not be read: attachments of other plugins may be without their
    /// names, or not found at all.
    pub fn unread(&self) -> &[Error] {
        &self.results.failures
    }

    /// Lists every veth pair of this namespace by its host's end, with its attachment where that is known.
    ///
    /// # Errors
    /// [`Error::Bandwidth`] with what the kernel says.
    pub fn pairs(&mut self) -> Result<Vec<Pair>> {
        let mut pairs = bandwidth::pairs(&mut self.host)?;
        for pair in &mut pairs {
            self.identify(pair);
        }
        Ok(pairs)
    }

    /// Lists the pairs that have a limit, in effect or not: all of them, or those of the pod that `target` names. A pod
    /// without limits gives none.
    ///
    /// # Errors
    /// As [`Node::pairs`]; with a target, as [`Node::find`].
    pub fn limited(&mut self, target: Option<&Target>) -> Result<Vec<Pair>> {
        let mut pairs = match target {
            Some(target) => self.find(target)?,
            None => self.pairs()?,
        };
        pairs.retain(Pair::is_limited);
        Ok(pairs)
    }

    /// Finds the pairs of the pod that `target` names; at least one.
    ///
    /// # Errors
    /// [`Error::UnknownTarget`]; when it is an interface but not a veth device; otherwise as [`Node::pairs`].
    pub fn find(&mut self, target: &Target) -> Result<Vec<Pair>> {
        let found = match self.host_interface(target)? {
            Some(host_end) => Vec::from_iter(self.pair(host_end)?),
            None => {
                let mut pairs = self.pairs()?;
                pairs.retain(|pair| {
                    pair.attachment.as_ref().is_some_and(|attachment| target.names(attachment))
                });
                pairs
            }
        };
        if found.is_empty() {
            return Err(Error::UnknownTarget(target.to_string()));
        }
        Ok(found)
    }

    /// Finds the only pair that `target` names.
    ///
    /// # Errors
    /// As [`Node::find`]; when there are several.
    pub fn find_one(&mut self, target: &Target) -> Result<Pair> {
        let mut found = self.find(target)?;
        if found.len() == 1 {
            return Ok(found.remove(0));
        }
        let candidates: Vec<_> = found.iter().map(candidate).collect();
        Err(Error::Other(format!(
            "\"{target}\" could be several: {}; name one of these host interfaces",
            candidates.join(", ")
        )))
    }

    /// The link that is called as the target, when that can be the name of one.
    fn host_interface(&mut self, target: &Target) -> Result<Option<Link>> {
        let Some(name) = target.as_interface() else { return Ok(None) };
        match self.host.link_by_name(name)? {
            Some(link) if !link.is("veth") => Err(Error::Other(format!(
                "{name} is a {} device; only veth pairs are supported, as bridge, ptp and Calico make them",
                link.kind.as_deref().unwrap_or("physical or loopback")
            ))),
            link => Ok(link),
        }
    }

    /// The pair of a host's end; none when it has gone meanwhile.
    fn pair(&mut self, host_end: Link) -> Result<Option<Pair>> {
        let mut pair = Pair::of(&mut self.host, host_end)?;
        if let Some(pair) = &mut pair {
            self.identify(pair);
        }
        Ok(pair)
    }

    fn identify(&mut self, pair: &mut Pair) {
        let alias = pair.attachment.take();
        pair.attachment = self.results.identify(&mut self.host, &pair.host_end, alias);
    }
}

/// The pair in a list that the operator is to choose from.
fn candidate(pair: &Pair) -> String {
    let name = &pair.host_end.name;
    match &pair.attachment {
        Some(attachment) => format!("{name} ({} in network {})", attachment.interface, attachment.network),
        None => name.clone(),
    }
}
