//! The interface and the namespace that a call is about.

use attachment::{Owner, Result, attached_mac, host_end_of, of_namespace};
use cni::{Failure, Request, code};
use linux::{Link, Namespace, Rtnetlink, sysctl};

use crate::record::Record;
use crate::sysctls;
use crate::tuning::Tuning;

/// A network namespace, and the pod's interface in it.
pub(crate) struct Target {
    namespace: Namespace,
    rtnetlink: Rtnetlink,
    link: Option<Link>,
}

impl Target {
    /// Opens what ADD and CHECK are called for.
    pub fn open(request: &Request) -> Result<Self> {
        let namespace = Namespace::open(request.netns().unwrap_or_default()).map_err(of_namespace)?;
        let mut rtnetlink = namespace.rtnetlink().map_err(of_namespace)?;
        let link = rtnetlink.link_by_name(request.interface())?;
        Ok(Self { namespace, rtnetlink, link })
    }

    /// Finds what `record` is about; none when the namespace is gone, or the one at `CNI_NETNS` is another container's by
    /// now.
    pub fn find(request: &Request, record: &Record) -> Result<Option<Self>> {
        let Some(netns) = request.netns() else { return Ok(None) };
        let found = Namespace::open_if_alive(netns).map_err(of_namespace)?;
        let Some((namespace, mut rtnetlink)) = found else { return Ok(None) };
        let link = match record.ifindex {
            Some(index) => rtnetlink.link_by_index(index)?,
            None => rtnetlink.link_by_name(request.interface())?,
        };
        let mut target = Self { namespace, rtnetlink, link };
        let is_the_one = match (record.netns_cookie, target.rtnetlink.namespace_cookie()) {
            (Some(recorded), Some(cookie)) => recorded == cookie,
            _ => target.is_of(request)?,
        };
        if !is_the_one {
            cni::note(format_args!(
                "tuning: DEL of container {} leaves interface {:?} in {netns} alone: it is another container's",
                request.container_id(),
                request.interface(),
            ));
        }
        Ok(Some(target).filter(|_| is_the_one))
    }

    /// Tells whether the interface is the attachment's: by the alias of the host's end, or by the hardware address
    /// that prevResult has.
    fn is_of(&mut self, request: &Request) -> Result<bool> {
        let Some(link) = &self.link else { return Ok(false) };
        let mut host = Rtnetlink::open()?;
        let host_end = host_end_of(&mut host, link, &self.namespace, &request.attachment())?;
        match host_end.map_or(Owner::Unknown, |(_, owner)| owner) {
            Owner::This | Owner::ThisShaped => Ok(true),
            Owner::Other(_) => Ok(false),
            Owner::Unknown => {
                let mac = attached_mac(request);
                Ok(mac.is_some() && mac == link.mac)
            }
        }
    }

    /// Returns the record of values `before`.
    pub fn record(&self, request: &Request, before: Tuning) -> Record {
        Record {
            before,
            network: request.network.clone(),
            container_id: request.container_id().to_owned(),
            ifname: request.interface().to_owned(),
            netns: request.netns().unwrap_or_default().to_owned(),
            netns_cookie: self.rtnetlink.namespace_cookie(),
            ifindex: self.link.as_ref().map(|link| link.index),
        }
    }

    /// Returns the present values of what `wanted` has.
    ///
    /// # Errors
    /// When there is no interface, or the namespace has no such parameter.
    pub fn current(&self, request: &Request, wanted: &Tuning) -> Result<Tuning> {
        let missing = || {
            let (interface, netns) = (request.interface(), request.netns().unwrap_or_default());
            let sentence = "the plugin before did not make it";
            Failure::new(
                code::INTERNAL,
                format!("no interface {interface} in network namespace {netns}: {sentence}"),
            )
        };
        let properties = match &self.link {
            Some(link) => Tuning::of(link, wanted),
            None if wanted.is_of_interface() => return Err(missing().into()),
            None => Tuning::default(),
        };
        let sysctl = match wanted.sysctl.is_empty() {
            true => wanted.sysctl.clone(),
            false => sysctls::read(&self.namespace, &wanted.sysctl)?,
        };
        Ok(Tuning { sysctl, ..properties })
    }

    /// Sets everything in `values`, also after something that is refused. Returns what was refused.
    pub fn apply(&mut self, values: &Tuning) -> Vec<Failure> {
        self.set(values, sysctl::set, |outcome| outcome)
    }

    /// As [`Target::apply`], for values that were there before. What is gone, or has its value, is left alone; a value that
    /// the kernel refuses by now is noted: no later DEL could restore it.
    pub fn restore(&mut self, before: &Tuning) -> Vec<Failure> {
        let set = |path: &str, value: &str| note_refused(sysctl::ensure_if_present(path, value));
        self.set(before, set, note_refused)
    }

    fn set(
        &mut self,
        values: &Tuning,
        set: fn(&str, &str) -> linux::Result<()>,
        outcome: fn(linux::Result<()>) -> linux::Result<()>,
    ) -> Vec<Failure> {
        let mut errors: Vec<Failure> = Vec::new();
        if let Some(link) = &self.link {
            let changed = outcome(self.rtnetlink.apply(&values.changes(link)));
            errors.extend(changed.err().map(|error| attachment::Error::from(error).into()));
        }
        if !values.sysctl.is_empty() {
            let refused = sysctls::set(&self.namespace, &values.sysctl, set);
            errors.extend(refused.unwrap_or_else(|error| vec![error.into()]));
        }
        errors
    }

    /// Looks at the interface again.
    pub fn refresh(&mut self) -> Result<()> {
        if let Some(link) = &self.link {
            self.link = self.rtnetlink.link_by_index(link.index)?;
        }
        Ok(())
    }
}

fn note_refused(outcome: linux::Result<()>) -> linux::Result<()> {
    match outcome {
        Err(error) if error.is_value_refused() => {
            cni::note(format_args!("tuning: not restored: {error}"));
            Ok(())
        }
        outcome => outcome,
    }
}
