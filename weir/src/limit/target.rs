//! Which pod an operator means.

use cni::Attachment;
use linux::{Link, Rtnetlink};

use super::error::Error;
use super::pods::Pods;

/// What stands on the command line: a pod, a container or an interface.
pub(crate) struct Target(String);

/// A pod's end on the host.
pub(crate) struct Known {
    /// The host's end of its pair.
    pub host_end: Link,
    /// Whose it is, where anything tells.
    pub attachment: Option<Attachment>,
}

impl Target {
    pub fn new(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// Shortened container IDs are what `crictl` and `nerdctl` print; shorter ones than theirs name nobody.
    fn names(&self, attachment: &Attachment) -> bool {
        const SHORTEST_ID: usize = 8;
        let Self(text) = self;
        attachment.is_of_pod(text)
            || attachment.container_id == *text
            || (text.len() >= SHORTEST_ID && attachment.container_id.starts_with(text.as_str()))
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// The host's ends of the pods that `target` names; at least one.
pub(crate) fn find(host: &mut Rtnetlink, pods: &Pods, target: &Target) -> Result<Vec<Known>, Error> {
    let shaped = bandwidth::shaped(host)?;
    let by_ifb = |link: &Link| {
        let shaped = shaped.iter().find(|shaped| shaped.host_end.index == link.index);
        shaped.and_then(|shaped| shaped.attachment.clone())
    };
    let identify = |link: Link| {
        let attachment = bandwidth::attachment(&link).or_else(|| by_ifb(&link));
        let attachment = pods.identify(&link, attachment);
        Known { host_end: link, attachment }
    };
    if !target.0.contains('/')
        && let Some(link) = host.link_by_name(&target.0)?
    {
        if !link.is("veth") {
            return Err(Error::NotVeth {
                interface: link.name,
                kind: link.kind.unwrap_or_else(|| "physical or loopback".to_owned()),
            });
        }
        return Ok(vec![identify(link)]);
    }
    let known: Vec<_> = host
        .links_of_kind("veth")?
        .into_iter()
        .map(identify)
        .filter(|known| known.attachment.as_ref().is_some_and(|attachment| target.names(attachment)))
        .collect();
    if known.is_empty() {
        return Err(Error::Unknown { target: target.to_string() });
    }
    Ok(known)
}

/// The one pod's end that `target` names.
pub(crate) fn find_one(host: &mut Rtnetlink, pods: &Pods, target: &Target) -> Result<Known, Error> {
    let mut known = find(host, pods, target)?;
    match known.pop() {
        Some(only) if known.is_empty() => Ok(only),
        last => {
            known.extend(last);
            let candidates: Vec<_> = known
                .iter()
                .map(|known| {
                    let whose = known.attachment.as_ref().map(|attachment| {
                        format!(" ({} in network {})", attachment.interface, attachment.network)
                    });
                    format!("{}{}", known.host_end.name, whose.unwrap_or_default())
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
