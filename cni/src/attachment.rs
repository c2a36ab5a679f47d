//! One container's interface in one network: the unit that ADD makes and DEL removes.

use std::fmt;

use serde::Deserialize;

/// Where libcni keeps the result of each attachment until its DEL, in files `<network>-<container ID>-<interface>`
/// (`libcni/api.go`, `CacheDir`).
pub const LIBCNI_RESULTS: &str = "/var/lib/cni/results";
/// Where `weir attach` keeps them, under the same names.
pub const OWN_RESULTS: &str = "/var/lib/weir/attachments";

/// Names an attachment, also on the kernel objects that belong to it.
///
/// Shown as `weir container=ID interface=NAME network=NAME pod=NAMESPACE/NAME`, which is the text of a
/// link's alias.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attachment {
    /// `name` of the network config.
    pub network: String,
    /// `CNI_CONTAINERID`.
    pub container_id: String,
    /// `CNI_IFNAME`.
    pub interface: String,
    /// `namespace/name` of the Kubernetes pod, where the runtime told. It ends with [`Attachment::CUT`] where an
    /// alias had no room for all of it.
    pub pod: Option<String>,
}

const SIGNATURE: &str = "weir ";
impl Attachment {
    /// Ends a pod's name of which only the beginning is known.
    pub const CUT: char = '…';

    /// The most bytes that the kernel holds of an alias (`IFALIASZ` in uapi/linux/if.h, less its zero).
    pub const ALIAS_MAX: usize = 255;

    /// Reads what [`Attachment`]'s text says; `None` for a text of somebody else. Where the kernel cut the text off,
    /// the pod's name ends with [`Attachment::CUT`].
    pub fn parse(alias: &str) -> Option<Self> {
        let mut attachment =
            Self { network: String::new(), container_id: String::new(), interface: String::new(), pod: None };
        let is_cut = alias.len() >= Self::ALIAS_MAX;
        for pair in alias.strip_prefix(SIGNATURE)?.split(' ') {
            match pair.split_once('=') {
                Some(("container", value)) => value.clone_into(&mut attachment.container_id),
                Some(("interface", value)) => value.clone_into(&mut attachment.interface),
                Some(("network", value)) => value.clone_into(&mut attachment.network),
                Some(("pod", value)) => attachment.pod = Some(value.to_owned()),
                Some(_) => {}
                // The beginning of a key.
                None if is_cut => {}
                None => return None,
            }
        }
        if let Some(pod) = attachment.pod.as_mut().filter(|pod| is_cut && !pod.ends_with(Self::CUT)) {
            pod.push(Self::CUT);
        }
        Some(attachment)
    }

    /// Whether only the beginning of the pod's name is known.
    pub fn pod_is_cut(&self) -> bool {
        self.pod.as_ref().is_some_and(|pod| pod.ends_with(Self::CUT))
    }

    /// Whether `text`, as `namespace/name`, is the pod, or begins as it does where more is not known.
    pub fn is_of_pod(&self, text: &str) -> bool {
        self.pod.as_deref().is_some_and(|pod| match pod.strip_suffix(Self::CUT) {
            Some(beginning) => !beginning.is_empty() && text.starts_with(beginning),
            None => pod == text,
        })
    }

    /// The text of an alias that says more than whose the object is: `notes` are pairs `KEY=VALUE`,
    /// separated by spaces. They stand before the pod's name, which is what the kernel cuts off.
    pub fn with_notes(&self, notes: &str) -> String {
        let without_pod = Self { pod: None, ..self.clone() };
        let pod = self.pod.as_ref().map(|pod| format!(" pod={pod}")).unwrap_or_default();
        format!("{without_pod} {notes}{pod}")
    }

    /// Whether `alias` names this attachment. The pod does not count: not every call tells it. What the
    /// kernel cut off does not count either.
    pub fn is_named_by(&self, alias: &str) -> bool {
        let without_pod = Self { pod: None, ..self.clone() }.to_string();
        let identity = &without_pod[..without_pod.floor_char_boundary(Self::ALIAS_MAX)];
        match alias.strip_prefix(identity) {
            Some(rest) => rest.is_empty() || rest.starts_with(' ') || alias.len() >= Self::ALIAS_MAX,
            None => false,
        }
    }
}

impl fmt::Display for Attachment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { network, container_id, interface, pod } = self;
        write!(f, "{SIGNATURE}container={container_id} interface={interface} network={network}")?;
        pod.as_ref().map_or(Ok(()), |pod| write!(f, " pod={pod}"))
    }
}

/// An entry of `cni.dev/valid-attachments`: an attachment that GC must leave alone.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ValidAttachment {
    /// The container's ID.
    #[serde(rename = "containerID")]
    pub container_id: String,
    /// The interface's name in the container.
    #[serde(rename = "ifname")]
    pub interface: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attachment(pod: Option<&str>) -> Attachment {
        Attachment {
            network: "cbr0".into(),
            container_id: "c1".into(),
            interface: "eth0".into(),
            pod: pod.map(str::to_owned),
        }
    }

    #[test]
    fn an_alias_reads_back() {
        let text = attachment(Some("shop/web-0")).to_string();
        assert_eq!(text, "weir container=c1 interface=eth0 network=cbr0 pod=shop/web-0");
        assert_eq!(Attachment::parse(&text), Some(attachment(Some("shop/web-0"))));
        assert_eq!(Attachment::parse("uplink to rack 7"), None);
    }

    #[test]
    fn an_alias_names_its_attachment_with_and_without_the_pod() {
        let alias = attachment(Some("shop/web-0")).to_string();
        assert!(attachment(None).is_named_by(&alias));
        assert!(attachment(Some("shop/web-0")).is_named_by(&attachment(None).to_string()));
    }

    #[test]
    fn notes_in_an_alias_change_nothing_of_whom_it_names() {
        let alias = attachment(Some("shop/web-0")).with_notes("ingress=none egress=5000/8");
        assert_eq!(
            alias,
            "weir container=c1 interface=eth0 network=cbr0 ingress=none egress=5000/8 pod=shop/web-0"
        );
        assert!(attachment(None).is_named_by(&alias));
        assert_eq!(Attachment::parse(&alias), Some(attachment(Some("shop/web-0"))));
    }

    #[test]
    fn another_attachment_is_not_named() {
        let mut other = attachment(None);
        other.network.push('1');
        assert!(!attachment(None).is_named_by(&other.to_string()));
        assert!(!other.is_named_by(&attachment(None).to_string()));
        assert!(!attachment(None).is_named_by(""));
    }

    #[test]
    fn of_a_pod_whose_name_was_cut_off_the_beginning_is_known() {
        let mut long = attachment(Some(&format!("shop/{}", "w".repeat(300))));
        let alias = &long.to_string()[..Attachment::ALIAS_MAX];
        let read = Attachment::parse(alias).unwrap();
        assert!(read.pod_is_cut() && !long.pod_is_cut());
        assert!(read.is_of_pod(long.pod.as_deref().unwrap()) && !read.is_of_pod("shop/web-0"));
        assert_eq!(Attachment::parse(&read.to_string()), Some(read), "what was cut stays cut");
        for missing in 1..=" pod=shop/".len() {
            long.network = "n".repeat(Attachment::ALIAS_MAX - long_head() - missing);
            let alias = &long.to_string()[..Attachment::ALIAS_MAX];
            let read = Attachment::parse(alias).unwrap();
            assert_eq!((read.network, read.container_id), (long.network.clone(), long.container_id.clone()));
            assert!(read.pod.is_none_or(|pod| pod.ends_with('…')), "{alias}");
        }
    }

    /// What stands before the network's name.
    fn long_head() -> usize {
        "weir container=c1 interface=eth0 network=".len()
    }

    #[test]
    fn an_alias_that_the_kernel_cut_off_still_names_its_attachment() {
        let mut long = attachment(Some("shop/web-0"));
        long.network = "n".repeat(300);
        let alias = &long.to_string()[..Attachment::ALIAS_MAX];
        assert!(long.is_named_by(alias));
    }
}
