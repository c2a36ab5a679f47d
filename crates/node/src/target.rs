//! The pod, container or interface that an operator names.

use std::fmt;

use cni::Attachment;

/// `NAMESPACE/POD`, a container ID or its beginning, or an interface of the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target(String);

impl Target {
    /// Takes the text as the operator wrote it.
    pub fn new(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// Returns the text as the name of an interface, when it can be one.
    pub(crate) fn as_interface(&self) -> Option<&str> {
        (!self.0.contains('/')).then_some(self.0.as_str())
    }

    /// Tells whether this names the pod or the container of an attachment. `crictl` and `nerdctl` print shortened
    /// container IDs; the beginning of an ID counts when it is as long as theirs.
    pub(crate) fn names(&self, attachment: &Attachment) -> bool {
        const SHORTEST_ID: usize = 8;
        let Self(text) = self;
        attachment.is_of_pod(text)
            || attachment.is_same(&Attachment { container_id: text.clone(), ..attachment.clone() })
            || (text.len() >= SHORTEST_ID && attachment.container_id.starts_with(text.as_str()))
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
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
