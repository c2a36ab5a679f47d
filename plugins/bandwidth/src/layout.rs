//! Limits a direction that has no limit yet: chooses where the filter sits, creates what it needs, and undoes that.

use cni::Attachment;
use limits::Direction;
use linux::{Change, Error, Link, Mac, NewLink, NewLinkKind, Rtnetlink, Tbf};

use crate::error::Result;
use crate::ifb;
use crate::kernel::Kernel;
use crate::redirection;
use crate::shaper::Root;
use crate::subnets::Subnets;

/// The result of [`Layout::make_ifb`].
pub(crate) struct Made {
    /// The device.
    pub ifb: Link,
    /// Whether the host's end had no hook before.
    pub made_hook: bool,
}

/// One direction of a pair that is to be limited.
#[derive(Clone, Copy)]
pub(crate) struct Layout<'a> {
    /// The host's end of the pair.
    pub host_end: &'a Link,
    /// The attachment that the pair belongs to; devices are named after it.
    pub attachment: Option<&'a Attachment>,
    /// The direction.
    pub direction: Direction,
    /// The traffic that is limited.
    pub subnets: &'a Subnets,
}

impl Layout<'_> {
    /// Limits the direction by `tbf`: packets to the pod at the root of the host's end, which no program can bypass, unless
    /// that has another qdisc; then, and for packets from the pod, at an ifb, which is returned.
    ///
    /// # Errors
    /// The kernel's refusal; then nothing of it is left.
    pub fn make(self, kernel: &mut Kernel<'_>, tbf: &Tbf) -> Result<Option<Made>> {
        if self.direction == Direction::Ingress {
            let root = Root::of(kernel.host, self.host_end)?;
            if self.make_at_root(kernel, &root, tbf)? {
                return Ok(None);
            }
        }
        self.make_ifb(kernel, tbf).map(Some)
    }

    /// Limits packets to the pod at the root of the host's end, where `root` is. Returns false where that is another
    /// qdisc, or where the kernel has no classes.
    pub fn make_at_root(self, kernel: &mut Kernel<'_>, root: &Root, tbf: &Tbf) -> Result<bool> {
        let (host, link) = (&mut *kernel.host, self.host_end.index);
        let limits_everything = *self.subnets == Subnets::All;
        match root {
            Root::Other => return Ok(false),
            // The kernel does not change the kind of a qdisc.
            Root::Filter(_) if !limits_everything => host.delete_root_qdisc(link)?,
            Root::Classes(_) if limits_everything => host.delete_root_qdisc(link)?,
            _ => {}
        }
        if limits_everything {
            host.apply(&[Change::set_root_tbf(link, tbf)])?;
            return Ok(true);
        }
        // No device: the rules redirect to the class.
        match host.set_root_classes(link, tbf, &self.subnets.rules(self.direction, linux::Rule::CLASS)) {
            Ok(()) => Ok(true),
            Err(Error::MissingFeature { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Creates an ifb, shapes it, and only then redirects packets of the direction to it: none of them is lost. The
    /// device is unfinished until the caller applies [`Change::finish`].
    ///
    /// # Errors
    /// The kernel's refusal; then nothing of it is left.
    pub fn make_ifb(self, kernel: &mut Kernel<'_>, tbf: &Tbf) -> Result<Made> {
        let Self { host_end, attachment, direction, subnets } = self;
        let host = &mut *kernel.host;
        let name = ifb::claim_name(host, host_end, attachment, direction)?;
        let mac = attachment.map_or_else(Mac::random, |attachment| ifb::mac(attachment, direction));
        // Down, so that it gets its filter without a moment in which the kernel stops it.
        let created = host.create(&NewLink {
            mac: Some(mac),
            mtu: Some(host_end.mtu),
            unfinished: true,
            ..NewLink::new(&name, NewLinkKind::Ifb)
        });
        let mut ifb = created.inspect_err(|_| undo(delete_unfinished(host, &name)))?;
        ifb.alias = attachment.map(|attachment| ifb::alias(attachment, host_end, direction));
        let mut changes: Vec<Change> =
            ifb.alias.iter().map(|alias| Change::set_alias(ifb.index, alias)).collect();
        changes.extend([
            Change::set_root_tbf(ifb.index, tbf),
            Change::without_link_local_address(ifb.index),
            Change::set_up(ifb.index),
        ]);
        let shaped = host
            .apply(&changes)
            .map_err(crate::Error::from)
            .and_then(|()| redirection::start(kernel, host_end, attachment, direction, subnets, ifb.index));
        match shaped {
            Ok(made_hook) => Ok(Made { ifb, made_hook }),
            Err(error) => {
                undo(redirection::stop(kernel, host_end, direction));
                undo(kernel.host.delete_link(ifb.index));
                Err(error)
            }
        }
    }
}

/// Deletes the device that this process creates, if there is one: the kernel may have created it although its answer was
/// lost.
fn delete_unfinished(host: &mut Rtnetlink, name: &str) -> linux::Result<()> {
    match host.link_by_name(name)? {
        Some(link) if host.is_maker_of(&link) => host.delete_link(link.index),
        _ => Ok(()),
    }
}

/// Undoes [`Layout::make_ifb`].
pub(crate) fn undo_ifb(kernel: &mut Kernel<'_>, host_end: &Link, direction: Direction, made: &Made) {
    undo(redirection::stop(kernel, host_end, direction));
    if made.made_hook {
        undo(kernel.host.delete_unused_hook(host_end.index));
    }
    undo(kernel.host.delete_link(made.ifb.index));
}

/// Logs a failed undo: the runtime gets the first error.
pub(crate) fn undo<E: std::fmt::Display>(outcome: std::result::Result<(), E>) {
    if let Err(error) = outcome {
        cni::note(format_args!("bandwidth: cannot undo a failed call: {error}"));
    }
}
