//! What can go wrong between us and the kernel, in words for the person who must mend it.

use std::io;
use std::path::PathBuf;

use nix::errno::Errno;

/// Result of a kernel operation.
pub type Result<T> = std::result::Result<T, Error>;

/// A kernel operation that failed: which one, on which object, why.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The netlink transport itself failed.
    #[error("cannot {operation}: {source}")]
    Netlink {
        /// What was to be done, as "verb object".
        operation: String,
        /// The system's error.
        source: io::Error,
    },
    /// The kernel refused a request.
    #[error("cannot {operation}: {}{}", errno.desc(), message.as_ref().map(|text| format!(" (kernel: {text})")).unwrap_or_default())]
    Refused {
        /// What was to be done, as "verb object".
        operation: String,
        /// The kernel's error number.
        errno: Errno,
        /// The kernel's own sentence, where it gave one.
        message: Option<String>,
    },
    /// The running kernel lacks a feature.
    #[error("cannot {operation}: this kernel has no {feature}")]
    MissingFeature {
        /// What was to be done, as "verb object".
        operation: String,
        /// The feature, with its config option and module.
        feature: Feature,
    },
    /// A request was accepted but its answer is not what the kernel's interface promises.
    #[error("cannot {operation}: the kernel's answer lacks {lacks}")]
    IncompleteReply {
        /// What was to be done, as "verb object".
        operation: String,
        /// The part that is missing.
        lacks: &'static str,
    },
    /// A network namespace cannot be opened.
    #[error("cannot open network namespace {}: {source}", path.display())]
    OpenNamespace {
        /// The path that was given.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// A path exists but is no network namespace.
    #[error("{} is not a network namespace", path.display())]
    NotANamespace {
        /// The path that was given.
        path: PathBuf,
    },
    /// A namespace cannot be entered or left.
    #[error("cannot enter network namespace {}: {source}", path.display())]
    EnterNamespace {
        /// The namespace's path.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The node's processes cannot be looked at.
    #[error("cannot find out in which network namespaces processes live: /proc: {source}")]
    Processes {
        /// The system's error.
        source: io::Error,
    },
    /// A kernel parameter cannot be read or set.
    #[error("cannot {verb} kernel parameter {key}: {source}")]
    Sysctl {
        /// "read" or "set".
        verb: &'static str,
        /// The parameter as `sysctl` names it.
        key: String,
        /// The system's error.
        source: io::Error,
    },
    /// A link did not get its carrier in time.
    #[error(
        "{link} has no carrier after {seconds} s: its other end is not up, or the kernel's work queue is stuck"
    )]
    NoCarrier {
        /// The link's name.
        link: String,
        /// How long it was waited for.
        seconds: u64,
    },
    /// Addresses stayed tentative: duplicate address detection did not end in time.
    #[error(
        "IPv6 address {address} on {interface} is still tentative after {seconds} s: duplicate address detection did not end"
    )]
    StillTentative {
        /// The address that is not usable yet.
        address: std::net::Ipv6Addr,
        /// The interface in the namespace.
        interface: String,
        /// How long was waited, in seconds.
        seconds: u64,
    },
    /// Duplicate address detection found another owner.
    #[error(
        "IPv6 address {address} on {interface} is already used by another node on this link (duplicate address detection failed)"
    )]
    DuplicateAddress {
        /// The address that is taken.
        address: std::net::Ipv6Addr,
        /// The interface in the namespace.
        interface: String,
    },
    /// What was read changed again before it could be acted on, time after time.
    #[error("cannot {operation}: {object} is incomplete, or others changed it again and again for seconds")]
    Unsettled {
        /// What was to be done, as "verb object".
        operation: String,
        /// What kept changing.
        object: String,
    },
    /// An attachment has more addresses than can be recorded with it.
    #[error("cannot {operation}: too many addresses")]
    TooManyAddresses {
        /// What was to be done, as "verb object".
        operation: String,
    },
    /// A link has an `ingress` qdisc of somebody else's, where a `clsact` one would be needed.
    #[error(
        "cannot look at what {interface} sends: its ingress qdisc has no egress hook, and hides clsact, which has one; whoever made it must use clsact"
    )]
    NoEgressHook {
        /// The link's name.
        interface: String,
    },
    /// More rules than a preference holds.
    #[error("cannot make more than {most} rules for one protocol at {interface}")]
    TooManyRules {
        /// The link's name.
        interface: String,
        /// How many there can be.
        most: u32,
    },
    /// The kernel did not let itself be waited for.
    #[error("cannot wait until packets that are under way have arrived (membarrier): {source}")]
    GracePeriod {
        /// The system's error.
        source: io::Error,
    },
}

/// A part of the kernel that can be absent: built without it, or a module that is not installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Feature {
    /// Bridge devices.
    Bridge,
    /// VLANs of a bridge's ports.
    BridgeVlanFiltering,
    /// Reading the VLANs of one port.
    BridgeVlanList,
    /// Virtual Ethernet pairs.
    Veth,
    /// Links that share another one's frames by hardware address.
    Macvlan,
    /// Intermediate functional block devices, which shape what a pod sends.
    Ifb,
    /// The token bucket filter.
    Tbf,
    /// The ingress and clsact qdiscs.
    Ingress,
    /// The u32 classifier.
    U32,
    /// The mirred action.
    Mirred,
    /// Network address translation in nf_tables.
    NftablesNat,
    /// nf_tables for frames that bridges forward.
    NftablesBridge,
    /// nf_tables that sends what arrives at a link out of another one.
    NftablesForward,
    /// The hierarchical token bucket, as a classifier before a token bucket filter.
    Htb,
    /// IPv6.
    Ipv6,
}

impl std::fmt::Display for Feature {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Bridge => "bridge devices (CONFIG_BRIDGE, module bridge)",
            Self::BridgeVlanFiltering => "bridge VLAN filtering (CONFIG_BRIDGE_VLAN_FILTERING)",
            Self::BridgeVlanList => {
                "list of one port's VLANs (RTM_GETVLAN: CONFIG_BRIDGE_VLAN_FILTERING, in Linux 5.6 or later)"
            }
            Self::Veth => "veth devices (CONFIG_VETH, module veth)",
            Self::Macvlan => "macvlan devices (CONFIG_MACVLAN, module macvlan)",
            Self::Ifb => "ifb devices (CONFIG_IFB, module ifb)",
            Self::Tbf => "token bucket filter (CONFIG_NET_SCH_TBF, module sch_tbf)",
            Self::Ingress => "ingress qdisc (CONFIG_NET_SCH_INGRESS, module sch_ingress)",
            Self::U32 => "u32 classifier (CONFIG_NET_CLS_U32, module cls_u32)",
            Self::Mirred => "mirred action (CONFIG_NET_ACT_MIRRED, module act_mirred)",
            Self::NftablesNat => {
                "nf_tables address translation (CONFIG_NF_TABLES_INET, CONFIG_NFT_NAT and CONFIG_NFT_MASQ, modules nf_tables, nft_chain_nat and nft_masq)"
            }
            Self::NftablesBridge => "nf_tables for bridges (CONFIG_NF_TABLES_BRIDGE, module nf_tables)",
            Self::NftablesForward => {
                "nf_tables for what arrives at a link (CONFIG_NF_TABLES_NETDEV and CONFIG_NFT_FWD_NETDEV, modules nf_tables and nft_fwd_netdev)"
            }
            Self::Htb => "hierarchical token bucket (CONFIG_NET_SCH_HTB, module sch_htb)",
            Self::Ipv6 => "IPv6 (CONFIG_IPV6, or it is switched off by ipv6.disable=1)",
        })
    }
}

impl Error {
    /// A refusal with this number and, where the kernel gave one, its sentence.
    pub fn refused(operation: String, errno: Errno, message: Option<String>) -> Self {
        Self::Refused { operation, errno, message }
    }

    /// The kernel's error number, if it was the kernel that refused.
    pub fn errno(&self) -> Option<Errno> {
        match self {
            Self::Refused { errno, .. } => Some(*errno),
            _ => None,
        }
    }

    /// Whether a name is in use already (`EEXIST`).
    pub fn is_taken(&self) -> bool {
        self.errno() == Some(Errno::EEXIST)
    }

    /// Whether the kernel wants a privilege that this process has not (`EACCES`, `EPERM`).
    pub fn is_denied(&self) -> bool {
        matches!(self.errno(), Some(Errno::EACCES | Errno::EPERM))
    }

    /// Whether a next hop is out of reach (`ENETUNREACH`, `EHOSTUNREACH`).
    pub fn is_unreachable(&self) -> bool {
        matches!(self.errno(), Some(Errno::ENETUNREACH | Errno::EHOSTUNREACH))
    }

    /// Whether the path that was given for a namespace is to blame: not a limit or a privilege of this process, and not
    /// the kernel.
    pub fn is_bad_namespace(&self) -> bool {
        match self {
            Self::NotANamespace { .. } => true,
            Self::OpenNamespace { source, .. } | Self::EnterNamespace { source, .. } => {
                let errno = source.raw_os_error().map(Errno::from_raw);
                !matches!(errno, Some(Errno::EMFILE | Errno::ENFILE | Errno::ENOMEM | Errno::EPERM))
            }
            _ => false,
        }
    }

    /// Whether the bridge has no free port (`EXFULL`).
    pub fn is_full(&self) -> bool {
        self.errno() == Some(Errno::EXFULL)
    }

    /// Turns a refusal with one of `errnos` into [`Error::MissingFeature`]; every other error stays.
    ///
    /// Which numbers mean "not there" depends on the request: `RTM_NEWLINK` of an unknown kind answers
    /// `EOPNOTSUPP`, `RTM_NEWQDISC` of one answers `ENOENT`.
    pub fn or_missing(self, feature: Feature, errnos: &[Errno]) -> Self {
        match self {
            Self::Refused { operation, errno, .. } if errnos.contains(&errno) => {
                Self::MissingFeature { operation, feature }
            }
            other => other,
        }
    }
}
