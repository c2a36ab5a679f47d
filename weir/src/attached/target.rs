//! Which pod an operator means.

use bandwidth::Pair;
use cni::Attachment;
use linux::{Link, Rtnetlink};

use super::error::Error;
use super::pods::Pods;

/// What stands on the command line: a pod, a container or an interface.
pub(crate) struct Target(String);

impl Target {
    pub fn new(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// Shortened container IDs are what `crictl` and `nerdctl` print; shorter ones than theirs name nobody.
    fn names(&self, attachment: &Attachment) -> bool {
        const SHORTEST_ID: usize = 8;
        let Self(text) = self;
        attachment.is_of_pod(text)
            || attachment.is_same(&Attachment { container_id: text.clone(), ..attachment.clone() })
            || (text.len() >= SHORTEST_ID && attachment.container_id.starts_with(text.as_str()))
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// The pairs of the pods that `target` names; at least one.
pub(crate) fn find(host: &mut Rtnetlink, pods: &Pods, target: &Target) -> Result<Vec<Pair>, Error> {
    let found = match interface(host, target)? {
        Some(link) => Vec::from_iter(super::pair(host, pods, link)?),
        None => {
            let mut pairs = super::pairs(host, pods)?;
            pairs.retain(|pair| pair.attachment.as_ref().is_some_and(|attachment| target.names(attachment)));
            pairs
        }
    };
    if found.is_empty() {
        return Err(Error::Unknown { target: target.to_string() });
    }
    Ok(found)
}

/// The host's end of a pair that is called so.
fn interface(host: &mut Rtnetlink, target: &Target) -> Result<Option<Link>, Error> {
    if target.0.contains('/') {
        return Ok(None);
    }
    match host.link_by_name(&target.0)? {
        Some(link) if !link.is("veth") => Err(Error::NotVeth {
            interface: link.name,
            kind: link.kind.unwrap_or_else(|| "physical or loopback".to_owned()),
        }),
        link => Ok(link),
    }
}

/// The one pair that `target` names.
pub(crate) fn find_one(host: &mut Rtnetlink, pods: &Pods, target: &Target) -> Result<Pair, Error> {
    let mut found = find(host, pods, target)?;
    match found.pop() {
        Some(only) if found.is_empty() => Ok(only),
        last => {
            found.extend(last);
            let candidates: Vec<_> = found
                .iter()
                .map(|pair| {
                    let whose = pair.attachment.as_ref().map(|attachment| {
                        format!(" ({} in network {})", attachment.interface, attachment.network)
                    });
                    format!("{}{}", pair.host_end.name, whose.unwrap_or_default())
                })
                .collect();
            Err(Error::Ambiguous { target: target.to_string(), candidates: candidates.join(", ") })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_is_named_by_its_name_its_container_or_the_beginning_of_that() {
        let attachment = Attachment {
            network: "cbr0".into(),
            container_id: "8f2b1cd37a6e".into(),
            interface: "eth0".into(),
            pod: Some("shop/web-0".into()),
        };
        let names = |text: &str| Target::new(text).names(&attachment);
        assert!(names("shop/web-0") && names("8f2b1cd37a6e") && names("8f2b1cd3"));
        assert!(!names("shop/web-1") && !names("8f2b1cd") && !names("shop/web") && !names(""));
    }
}
