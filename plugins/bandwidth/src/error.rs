//! What can go wrong, and the code that a runtime gets for it.

use cni::{Failure, code};
use linux::Feature;

use crate::effect::NotInEffect;

/// Result of a verb.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a verb failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The call or its config is wrong.
    #[error(transparent)]
    Protocol(#[from] cni::Error),
    /// The limit cannot be read, or is not allowed.
    #[error(transparent)]
    Limit(#[from] limits::Error),
    /// A key cannot be used.
    #[error(transparent)]
    Failure(#[from] Failure),
    /// The kernel refused.
    #[error(transparent)]
    Kernel(#[from] linux::Error),
    /// `CNI_NETNS` cannot be used.
    #[error("CNI_NETNS: {0}")]
    Namespace(linux::Error),
    /// There is no main plugin before this one.
    #[error(
        "must be called as chained plugin: the config has no prevResult of a plugin that made the interface"
    )]
    NotChained,
    /// The interface to be shaped does not exist.
    #[error("no interface {interface} in network namespace {netns}: the plugin before did not make it")]
    NoInterface {
        /// `CNI_IFNAME`.
        interface: String,
        /// `CNI_NETNS`.
        netns: String,
    },
    /// The interface is no end of a veth pair.
    #[error(
        "cannot shape {interface} in network namespace {netns}: it is a {kind} device; supported are veth pairs, as bridge, ptp and Calico make them"
    )]
    NotVeth {
        /// `CNI_IFNAME`.
        interface: String,
        /// `CNI_NETNS`.
        netns: String,
        /// The kernel's driver.
        kind: String,
    },
    /// The other end of the veth pair is somewhere else.
    #[error(
        "cannot shape {interface} in network namespace {netns}: the other end of its veth pair is not in the host's network namespace"
    )]
    NoHostEnd {
        /// `CNI_IFNAME`.
        interface: String,
        /// `CNI_NETNS`.
        netns: String,
    },
    /// The interface is another attachment's: the path of the namespace leads to another container's by now.
    #[error(
        "{interface} in network namespace {netns} belongs to another attachment: {host_end}, its end on the host, has the alias {owner:?}"
    )]
    OtherAttachment {
        /// `CNI_IFNAME`.
        interface: String,
        /// `CNI_NETNS`.
        netns: String,
        /// The host's end.
        host_end: String,
        /// What its alias says.
        owner: String,
    },
    /// CHECK: an interface has no token bucket filter.
    #[error("{interface} is not shaped: its root qdisc is {found}, ADD had made a token bucket filter (tbf)")]
    NotShaped {
        /// The host's end or the ifb.
        interface: String,
        /// Kind of the qdisc that is there.
        found: String,
    },
    /// CHECK: an interface has another token bucket filter.
    #[error("{interface} is shaped differently: its {what} is {shown} {unit}, ADD would program {want}")]
    Differs {
        /// The host's end or the ifb.
        interface: String,
        /// Which of the filter's numbers.
        what: &'static str,
        /// Its unit.
        unit: &'static str,
        /// What the kernel shows.
        shown: u64,
        /// What ADD would program.
        want: u64,
    },
    /// CHECK: the MTU was raised beyond what the filter lets pass at once.
    #[error(
        "no full packet passes {interface}: at the present MTU of the pod it has {packet} bytes with its Ethernet header, and the burst is {burst} bytes; `weir limit {host_end} --{direction} {rate_bits_per_sec}` sets a burst that fits. A plugin that sets the MTU belongs before bandwidth in the conflist"
    )]
    BurstBelowPacket {
        /// The host's end or the ifb.
        interface: String,
        /// The host's end.
        host_end: String,
        /// `ingress` or `egress`.
        direction: &'static str,
        /// A full packet in bytes.
        packet: u64,
        /// The burst in bytes.
        burst: u32,
        /// The limit that the pod has.
        rate_bits_per_sec: u64,
    },
    /// CHECK: the device that shapes a direction is gone.
    #[error("{direction} of {host_end} is not shaped: its ifb device is gone")]
    NoIfb {
        /// `ingress` (to the pod) or `egress` (from it).
        direction: &'static str,
        /// The host's end.
        host_end: String,
    },
    /// CHECK: the device that shapes a direction is down.
    #[error("{direction} is dropped: ifb device {ifb} is down")]
    IfbDown {
        /// `ingress` or `egress`.
        direction: &'static str,
        /// Its name.
        ifb: String,
    },
    /// CHECK: a direction without a limit goes to a device that is not there any more.
    #[error(
        "{direction} of {host_end} is dropped: the ifb device that its packets are led to is gone; `weir limit {host_end} --{direction} none` frees them"
    )]
    DeadEnd {
        /// `ingress` or `egress`.
        direction: &'static str,
        /// The host's end.
        host_end: String,
    },
    /// CHECK: packets do not go through the device that shapes them.
    #[error("{direction} of {host_end} is not shaped: nothing leads its packets to {ifb}")]
    NoRedirect {
        /// `ingress` or `egress`.
        direction: &'static str,
        /// The host's end.
        host_end: String,
        /// The ifb.
        ifb: String,
    },
    /// CHECK: the filter is there, but packets need not go through it.
    #[error("{direction} of {host_end} is not limited as it should be: {fault}")]
    NotInEffect {
        /// `ingress` or `egress`.
        direction: &'static str,
        /// The host's end.
        host_end: String,
        /// Why.
        fault: NotInEffect,
    },
    /// CHECK: other traffic is exempt than the config says.
    #[error(
        "{direction} of {host_end} is shaped differently: its {shown} rules are not the {want} that shapedSubnets or unshapedSubnets ask for"
    )]
    RulesDiffer {
        /// `ingress` or `egress`.
        direction: &'static str,
        /// The host's end.
        host_end: String,
        /// How many rules there are.
        shown: usize,
        /// How many ADD would make.
        want: usize,
    },
    /// CHECK: a limit was removed live, and is there again.
    #[error(
        "{interface} shapes {direction} to {rate_bytes_per_sec} bytes per second, but its limit was removed by a live change"
    )]
    StillShaped {
        /// `ingress` or `egress`.
        direction: &'static str,
        /// The host's end or the ifb.
        interface: String,
        /// The rate.
        rate_bytes_per_sec: u64,
    },
    /// A live change cannot be recorded, so that a CHECK would fail after it.
    #[error(
        "cannot record a change of {interface}: its alias is {alias:?}, where there is no room for it, and no ifb device; remove that alias first"
    )]
    NoPlaceForRecord {
        /// The host's end.
        interface: String,
        /// What its alias says.
        alias: String,
    },
    /// A live change cannot be recorded, for the names alone leave no room.
    #[error(
        "cannot record a change of {interface}: the alias {alias:?} has {} bytes, and the kernel holds {}; the names of network and container are too long",
        alias.len(),
        cni::Attachment::ALIAS_MAX
    )]
    RecordTooLong {
        /// The host's end.
        interface: String,
        /// What was to be its alias, or the ifb's.
        alias: String,
    },
    /// DEL and GC: several steps failed.
    #[error("{}", list(.0, "; "))]
    Several(Vec<Error>),
    /// STATUS: the kernel cannot be asked.
    #[error("cannot tell whether this kernel can shape pods: {0}")]
    Probe(linux::Error),
    /// STATUS: the kernel lacks something.
    #[error("this kernel cannot shape pods: it has no {}", list(.0, ", no "))]
    KernelLacks(Vec<Feature>),
}

fn list(items: &[impl ToString], separator: &str) -> String {
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join(separator)
}

impl Error {
    /// What went wrong with the namespace of `CNI_NETNS`. The variable is not to blame when this process may not open
    /// one more file, or gets no socket.
    pub(crate) fn of_namespace(error: linux::Error) -> Self {
        if error.is_bad_namespace() { Self::Namespace(error) } else { Self::Kernel(error) }
    }

    /// The outcome of several steps: the error, when only one failed.
    pub(crate) fn of_all(mut errors: Vec<Self>) -> Result<()> {
        match errors.len() {
            0 => Ok(()),
            1 => errors.pop().map_or(Ok(()), Err),
            _ => Err(Self::Several(errors)),
        }
    }
}

impl From<Error> for Failure {
    /// The one place that gives this plugin's errors their codes.
    fn from(error: Error) -> Self {
        let code = match error {
            Error::Protocol(error) => return error.into(),
            Error::Namespace(_) => code::INVALID_ENVIRONMENT,
            Error::Failure(failure) => return failure,
            Error::NotChained | Error::Limit(_) => code::INVALID_CONFIG,
            Error::Probe(_) | Error::KernelLacks(_) => code::NOT_AVAILABLE,
            Error::Kernel(_)
            | Error::NoInterface { .. }
            | Error::NotVeth { .. }
            | Error::NoHostEnd { .. }
            | Error::OtherAttachment { .. }
            | Error::NotShaped { .. }
            | Error::Differs { .. }
            | Error::BurstBelowPacket { .. }
            | Error::NoIfb { .. }
            | Error::IfbDown { .. }
            | Error::DeadEnd { .. }
            | Error::NoRedirect { .. }
            | Error::NotInEffect { .. }
            | Error::RulesDiffer { .. }
            | Error::StillShaped { .. }
            | Error::NoPlaceForRecord { .. }
            | Error::RecordTooLong { .. }
            | Error::Several(_) => code::INTERNAL,
        };
        Self::new(code, error.to_string())
    }
}
