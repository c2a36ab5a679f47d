//! One container's interface in one network: the unit of ADD and DEL.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::alias_value;

/// The folder in which libcni caches the result of each attachment until DEL, in files `<network>-<container
/// ID>-<interface>` (`libcni/api.go`, `CacheDir`).
pub const LIBCNI_RESULTS: &str = "/var/lib/cni/results";
/// The folder in which `weir attach` caches them, under the same names.
pub const OWN_RESULTS: &str = "/var/lib/weir/attachments";

/// The identity of an attachment, also on its kernel objects.
///
/// It is displayed as `weir container=ID interface=NAME network=NAME pod=NAMESPACE/NAME`, the text of a link's alias.
/// The values are escaped, so that none of them can be parsed as another key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attachment {
    /// `name` of the network config.
    pub network: String,
    /// `CNI_CONTAINERID`.
    pub container_id: String,
    /// `CNI_IFNAME`.
    pub interface: String,
    /// `namespace/name` of the Kubernetes pod, if the runtime sends it. It ends with [`Attachment::CUT`] where an alias
    /// had no room for all of it.
    pub pod: Option<String>,
}

const SIGNATURE: &str = "weir ";
const POD: &str = "pod=";

impl Attachment {
    /// Ends a truncated pod name. A `…` in the name itself is escaped.
    pub const CUT: char = '…';

    /// The most bytes of an alias in the kernel (`IFALIASZ` in uapi/linux/if.h, less its zero).
    pub const ALIAS_MAX: usize = 255;

    /// The most bytes of container, interface and network in an alias, unless the interface's name needs many escapes.
    /// The rest is for notes and the pod.
    const IDENTITY_MAX: usize = 148;

    /// Parses an alias that weir wrote; `None` for any other text. Container, interface and network come first and in
    /// this order, so the notes and the pod's name after them cannot change them.
    ///
    /// A container ID or network name that did not fit is returned shortened: compare with
    /// [`Attachment::is_same`] and [`Attachment::is_in`].
    pub fn parse(alias: &str) -> Option<Self> {
        let mut rest = alias.strip_prefix(SIGNATURE)?;
        let mut value = |key: &str| {
            let (pair, after) = rest.split_once(' ').unwrap_or((rest, ""));
            rest = after;
            pair.strip_prefix(key)?.strip_prefix('=').map(alias_value::unescape)
        };
        let (container_id, interface, network) =
            (value("container")?, value("interface")?, value("network")?);
        let pod = match rest.split_once(POD) {
            Some((notes, pod)) if notes.is_empty() || notes.ends_with(' ') => {
                // An escape or a character may have been cut in two before the mark.
                let (beginning, mark) = match pod.strip_suffix(Self::CUT) {
                    Some(beginning) => (beginning, "…"),
                    None => (pod, ""),
                };
                Some(alias_value::unescape(beginning) + mark)
            }
            _ => None,
        };
        let is_cut = alias.len() >= Self::ALIAS_MAX;
        let pod = pod.map(|pod| if is_cut && !pod.ends_with(Self::CUT) { pod + "…" } else { pod });
        Some(Self { network, container_id, interface, pod })
    }

    /// Returns whether the pod's name is truncated.
    pub fn pod_is_cut(&self) -> bool {
        self.pod.as_ref().is_some_and(|pod| pod.ends_with(Self::CUT))
    }

    /// Returns whether `text`, as `namespace/name`, is the pod; for a truncated name, whether it begins with it.
    pub fn is_of_pod(&self, text: &str) -> bool {
        self.pod.as_deref().is_some_and(|pod| match pod.strip_suffix(Self::CUT) {
            Some(beginning) => !beginning.is_empty() && text.starts_with(beginning),
            None => pod == text,
        })
    }

    /// Returns the text of an alias with `notes`, pairs `KEY=VALUE` separated by spaces. They precede the pod's name,
    /// which is the part that is truncated.
    pub fn with_notes(&self, notes: &str) -> String {
        let identity = self.identity();
        let pod =
            self.pod.as_ref().map(|pod| format!(" {POD}{}", alias_value::escape(pod))).unwrap_or_default();
        format!("{identity} {notes}{pod}")
    }

    /// Returns whether `alias` names this attachment. Notes and the pod are ignored: not every call names the pod.
    pub fn is_named_by(&self, alias: &str) -> bool {
        Self::parse(alias).is_some_and(|named| self.is_same(&named))
    }

    /// Returns whether both are the same interface of the same container in the same network. The pod is ignored.
    pub fn is_same(&self, other: &Self) -> bool {
        self.identity() == other.identity()
    }

    /// Returns whether this is an attachment of `network`.
    pub fn is_in(&self, network: &str) -> bool {
        self.network == network || self.network == alias_value::shorten(network)
    }

    /// Returns whether this is an attachment of the container with this ID.
    pub fn is_of_container(&self, container_id: &str) -> bool {
        self.container_id == container_id || self.container_id == alias_value::shorten(container_id)
    }

    /// Returns whether `valid`, the list of `network`'s valid attachments, contains this one.
    pub fn is_listed(&self, network: &str, valid: &[ValidAttachment]) -> bool {
        valid.iter().any(|valid| valid.in_network(network).is_same(self))
    }

    /// Returns the entry for this one in a list of valid attachments; `None` when the container ID comes from an alias
    /// that had no room for it. Such an ID is longer than the 64 bytes of the known runtimes.
    pub fn as_valid(&self) -> Option<ValidAttachment> {
        (!self.container_id.contains(alias_value::SHORTENED)).then(|| ValidAttachment {
            container_id: self.container_id.clone(),
            interface: self.interface.clone(),
        })
    }

    /// Returns the beginning of an alias.
    fn identity(&self) -> String {
        let Self { network, container_id, interface, .. } = self;
        let text = |container_id: &str, network: &str| {
            let [container_id, interface, network] =
                [container_id, interface, network].map(alias_value::escape);
            format!("{SIGNATURE}container={container_id} interface={interface} network={network}")
        };
        // The network's name is shortened first: GC knows it, and passes container IDs on to the IPAM plugin.
        let (short_container_id, short_network) =
            (alias_value::shorten(container_id), alias_value::shorten(network));
        [text(container_id, network), text(container_id, &short_network)]
            .into_iter()
            .find(|text| text.len() <= Self::IDENTITY_MAX)
            .unwrap_or_else(|| text(&short_container_id, &short_network))
    }
}

impl fmt::Display for Attachment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.identity())?;
        self.pod.as_ref().map_or(Ok(()), |pod| write!(f, " {POD}{}", alias_value::escape(pod)))
    }
}

/// An entry of `cni.dev/valid-attachments`: an attachment that GC must keep.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
pub struct ValidAttachment {
    /// The container's ID.
    #[serde(rename = "containerID")]
    pub container_id: String,
    /// The interface's name in the container.
    #[serde(rename = "ifname")]
    pub interface: String,
}

impl ValidAttachment {
    /// Returns the attachment that an entry of `network`'s list names.
    pub fn in_network(&self, network: &str) -> Attachment {
        Attachment {
            network: network.to_owned(),
            container_id: self.container_id.clone(),
            interface: self.interface.clone(),
            pod: None,
        }
    }
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
    fn notes_in_an_alias_do_not_change_its_attachment() {
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
    fn the_beginning_of_a_truncated_pod_name_is_known() {
        let long = attachment(Some(&format!("shop/{}", "w".repeat(300))));
        let alias = &long.to_string()[..Attachment::ALIAS_MAX];
        let read = Attachment::parse(alias).unwrap();
        assert!(read.pod_is_cut() && !long.pod_is_cut());
        assert!(read.is_of_pod(long.pod.as_deref().unwrap()) && !read.is_of_pod("shop/web-0"));
    }

    #[test]
    fn no_pod_or_interface_name_makes_an_alias_name_another_attachment() {
        for pod in [
            "y network=net2",
            "y container=c2 interface=eth1 network=net2",
            "y ingress=none",
            "y\nweir container=c2",
            "y\u{1b}[2J",
            "100%",
            "%20 network=net2",
            "pod=z",
            "é…",
        ] {
            let pod = format!("shop/{pod}");
            for alias in [attachment(Some(&pod)).to_string(), attachment(Some(&pod)).with_notes("ingress=5")]
            {
                assert_eq!(Attachment::parse(&alias), Some(attachment(Some(&pod))), "{alias:?}");
                assert!(alias.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' '), "{alias:?}");
                assert!(!alias.contains("ingress=none"));
            }
        }
        let odd = Attachment { interface: "e network=n".into(), ..attachment(None) };
        assert_eq!(Attachment::parse(&odd.to_string()), Some(odd));
    }

    #[test]
    fn an_alias_that_was_written_without_escapes_keeps_its_network() {
        let read = Attachment::parse("weir container=c1 interface=eth0 network=cbr0 pod=shop/y network=net2");
        assert_eq!(read, Some(attachment(Some("shop/y network=net2"))));
        for other in ["weir network=n container=c interface=i", "weir container=c interface=i", "weir "] {
            assert_eq!(Attachment::parse(other), None, "{other}");
        }
    }

    #[test]
    fn container_ids_and_networks_of_any_length_are_told_apart() {
        for (container, network) in [(64, 4), (64, 80), (215, 4), (300, 4), (64, 255), (4000, 255)] {
            let long = |last: &str| Attachment {
                network: "n".repeat(network),
                container_id: "c".repeat(container) + last,
                interface: "fifteen-bytes-x".into(),
                pod: Some("shop/web-0".into()),
            };
            let (one, other) = (long("1"), long("2"));
            let alias = one.to_string();
            let kept = &alias[..alias.len().min(Attachment::ALIAS_MAX)];
            let read = Attachment::parse(kept).unwrap();
            assert!(one.is_named_by(kept) && !other.is_named_by(kept), "{kept}");
            assert!(read.is_same(&one) && !read.is_same(&other));
            let Attachment { container_id, interface, network, .. } = &one;
            let whole = format!("weir container={container_id} interface={interface} network={network}");
            assert!(one.is_named_by(&whole) && !other.is_named_by(&whole), "as written without shortening");
            assert!(read.is_in(&one.network) && !read.is_in("n"));
            let listed = |attachment: &Attachment| {
                let Attachment { container_id, interface, .. } = attachment.clone();
                read.is_listed(&one.network, &[ValidAttachment { container_id, interface }])
            };
            assert!(listed(&one) && !listed(&other));
            let as_valid = read.as_valid();
            assert!(as_valid.is_none() || as_valid == one.as_valid(), "{as_valid:?}");
        }
    }
}
