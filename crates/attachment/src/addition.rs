//! ADD: the steps that every plugin takes, and how they are undone.
//!
//! A plugin calls them in its own order, with its own steps between them.

use cni::{AddResult, Answer, Delegate, Dns, Failure, Request};
use linux::{Change, Family, Link, Mac, Namespace, NewLink, NewLinkKind, Rtnetlink, VethPeer, sysctl};
use nft::Nftables;

use crate::addressing::Addressing;
use crate::claimant::claimant;
use crate::config::Settings;
use crate::error::{Error, Result, already_attached, interface_taken, internal, of_namespace};
use crate::host_end::{self, CANDIDATES, HostEnd};
use crate::masquerade;
use crate::pair::{delete, take_addresses};
use crate::pod_end::{CARRIER_PATIENCE, PodEnd};
use crate::pod_mac;
use crate::result::result;

/// One ADD: its sockets, and what it has made so far, or tried to make. A request may have been carried out although
/// its answer was lost.
pub struct Addition<'a> {
    /// The request.
    pub request: &'a Request,
    /// A socket of the host's namespace.
    pub host: Rtnetlink,
    pod: Rtnetlink,
    namespace: Namespace,
    settings: &'a Settings,
    ipam: Option<Delegate<'a>>,
    addressed: bool,
    tried_name: Option<String>,
    host_end: Option<Link>,
    /// The hardware address of the pod's end.
    pub pod_mac: Mac,
    masqueraded: bool,
}

/// The addresses of an attachment, and the resolver settings that the IPAM plugin named.
pub type Assigned = (Addressing, Dns);

impl<'a> Addition<'a> {
    /// Opens both namespaces and finds the IPAM plugin. `del` removes what a killed ADD of this attachment left.
    ///
    /// # Errors
    /// When the attachment is there already, or the pod has another interface of this name. The IPAM plugin must not be
    /// asked then: it may answer with the addresses that are in use, which undoing this ADD would release.
    pub fn begin(
        request: &'a Request,
        settings: &'a Settings,
        del: impl FnOnce(&Request) -> Answer<()>,
    ) -> Answer<Self> {
        let netns = request.netns().unwrap_or_default();
        let namespace = Namespace::open(netns).map_err(of_namespace)?;
        let mut pod = namespace.rtnetlink().map_err(of_namespace)?;
        let mut host = Rtnetlink::open().map_err(Error::from)?;
        let mut attached = host_end::find(&mut host, &request.attachment())?;
        if let Some(link) = &attached
            && host.is_abandoned(link).map_err(Error::from)?
        {
            del(request)?;
            attached = None;
        }
        if pod.link_by_name(request.interface()).map_err(Error::from)?.is_some() {
            return Err(interface_taken(request).into());
        }
        if let Some(link) = attached {
            return Err(already_attached(request, &link.name).into());
        }
        let ipam = settings.ipam.as_deref().map(|name| request.delegate(name)).transpose()?;
        Ok(Self {
            request,
            host,
            pod,
            namespace,
            settings,
            ipam,
            addressed: false,
            tried_name: None,
            host_end: None,
            pod_mac: Mac([0; 6]),
            masqueraded: false,
        })
    }

    /// Returns whether the IPAM plugin is executed: it may need the interface (`dhcp`).
    fn needs_interface(&self) -> bool {
        self.ipam.as_ref().is_some_and(Delegate::is_executed)
    }

    /// Gets the addresses from the IPAM plugin, unless it needs the interface. This comes before the pair, because a
    /// pod's hardware address follows from its IP address.
    ///
    /// # Errors
    /// As [`Addition::assigned`].
    pub fn assigned_early(&mut self) -> Result<Option<Assigned>> {
        if self.needs_interface() { Ok(None) } else { self.ask().map(Some) }
    }

    /// Gets the addresses from the IPAM plugin, unless that was done [early](Addition::assigned_early). A plugin that
    /// is executed finds the interface up.
    ///
    /// # Errors
    /// The IPAM plugin's, and what is wrong with its answer.
    pub fn assigned(&mut self, early: Option<Assigned>) -> Result<Assigned> {
        if let Some(early) = early {
            return Ok(early);
        }
        // `dhcp` raises it too, and waits for seconds when it cannot send at once.
        let index = self.pod_index();
        self.pod.apply(&[Change::set_up(index)])?;
        self.pod.wait_until_operational(Some(&self.namespace), index, CARRIER_PATIENCE)?;
        self.ask()
    }

    fn ask(&mut self) -> Result<Assigned> {
        let Some(ipam) = &self.ipam else { return Ok(Default::default()) };
        let answer = ipam.add();
        // A plugin that reported a failure has assigned no address. One that gave an unreadable answer may have.
        self.addressed = !matches!(answer, Err(cni::Error::Plugin(_)));
        let answer = answer?;
        if answer.ips.is_empty() {
            return Err(internal(format_args!(
                "IPAM plugin {:?} returned missing IP config: want at least one address",
                self.settings.ipam.as_deref().unwrap_or_default()
            )));
        }
        Ok((Addressing::new(&answer, self.settings.roles, self.settings.mtu)?, answer.dns))
    }

    /// Creates the pair, both ends down, and returns the host's end, a port of the bridge `master` where there is one.
    /// The pod's end gets the hardware address of the config, or else one that follows from `early`, or from the
    /// attachment.
    ///
    /// # Errors
    /// The kernel's refusal; when every name for the host's end is taken; when another ADD of this attachment was
    /// faster.
    pub fn create_pair(&mut self, master: Option<u32>, early: Option<&Assigned>) -> Result<Link> {
        self.pod_mac = self.settings.mac.unwrap_or_else(|| match early {
            Some((addressing, _)) => pod_mac::following(self.request, addressing),
            None => pod_mac::of_attachment(self.request),
        });
        let attachment = self.request.attachment();
        let mut tried = String::new();
        for attempt in 0..CANDIDATES {
            let candidate = HostEnd::candidate(&attachment, attempt);
            let peer = VethPeer {
                name: self.request.interface(),
                mac: Some(self.pod_mac),
                namespace: Some(&self.namespace),
            };
            let pair = NewLink {
                mac: Some(candidate.mac),
                mtu: self.settings.mtu,
                master,
                unfinished: true,
                ..NewLink::new(&candidate.name, NewLinkKind::Veth(peer))
            };
            self.tried_name = Some(candidate.name.clone());
            match self.host.create(&pair) {
                Ok(link) => {
                    self.host_end = Some(link.clone());
                    return Ok(link);
                }
                Err(error) if error.is_taken() => match self.host.link_by_name(&candidate.name)? {
                    None => return Err(interface_taken(self.request)),
                    // Another ADD of this attachment was faster: the addresses are its.
                    Some(link) if candidate.is(&link, &attachment) => {
                        self.addressed = false;
                        return Err(already_attached(self.request, &link.name));
                    }
                    Some(_) => tried = candidate.name,
                },
                Err(error) => return Err(error.into()),
            }
        }
        let cni::Attachment { container_id, interface, .. } = attachment;
        Err(internal(format_args!(
            "no free name for the host's end of container {container_id}, interface {interface:?}: {tried} is taken by another link"
        )))
    }

    fn pod_index(&self) -> u32 {
        self.host_end.as_ref().and_then(|link| link.peer).unwrap_or_default()
    }

    /// Adds addresses and routes to the pod's end, and brings it up. `last` gets its index and returns changes of the
    /// plugin that come after the routes.
    ///
    /// # Errors
    /// The kernel's refusal, and when the interface is not usable in time.
    pub fn configure(
        &mut self,
        addressing: &Addressing,
        last: impl FnOnce(u32) -> Vec<Change>,
    ) -> Result<()> {
        let (index, is_up) = (self.pod_index(), self.needs_interface());
        PodEnd {
            namespace: &self.namespace,
            rtnetlink: &mut self.pod,
            index,
            name: self.request.interface(),
            is_known: self.settings.mac.is_none() && !is_up,
        }
        .configure(addressing, self.settings.dad, last(index))?;
        if is_up && let Err(error) = self.pod.apply(&[Change::set_mac(index, self.pod_mac)]) {
            // The kernel announces addresses when an interface goes up, for which it was too early, and when its
            // hardware address is set.
            let plugin = self.request.plugin();
            cni::note(format_args!("{plugin}: neighbours learn of the addresses only by asking: {error}"));
        }
        Ok(())
    }

    /// Masquerades packets that leave the pod's subnets, if the config has `ipMasq`.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub fn masquerade(&mut self, addressing: &Addressing) -> Result<()> {
        if self.settings.ip_masq && !addressing.ips.is_empty() {
            self.masqueraded = true;
            masquerade::add(&mut Nftables::open()?, &claimant(self.request), &addressing.addresses())?;
        }
        Ok(())
    }

    /// Waits until the host's end carries packets.
    ///
    /// # Errors
    /// When that takes too long.
    pub fn wait_for_host_end(&mut self) -> Result<()> {
        let index = self.host_end.as_ref().map(|link| link.index).unwrap_or_default();
        Ok(self.host.wait_until_operational(None, index, CARRIER_PATIENCE)?)
    }

    /// Enables forwarding on the host for the address families of the gateways.
    ///
    /// # Errors
    /// When the kernel parameter cannot be set.
    pub fn enable_forwarding(&mut self, addressing: &Addressing) -> Result<()> {
        for (family, is_ipv4, key) in
            [(Family::V4, true, "net/ipv4/ip_forward"), (Family::V6, false, "net/ipv6/conf/all/forwarding")]
        {
            let is_needed = addressing.gateways.iter().any(|gateway| gateway.is_ipv4() == is_ipv4);
            if is_needed && !self.host.forwards(family) {
                sysctl::ensure(key, "1")?;
            }
        }
        Ok(())
    }

    /// Marks the pair as finished and returns the result. Its interfaces are, in the reference's order, the host's link
    /// `before` the pair, the host's end, the pod's end, and the host's link `after` it. Those of `prevResult` come
    /// last, so that the indices in `ips` stay.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub fn finish(
        &mut self,
        assigned: Assigned,
        before: Option<Link>,
        after: Option<Link>,
    ) -> Result<AddResult> {
        let host_end = self.host_end.clone();
        let finished: Vec<_> = host_end.iter().map(|link| Change::finish(link.index)).collect();
        self.host.apply(&finished)?;
        let before = before.into_iter().chain(host_end);
        Ok(result(self.request, self.settings, assigned, before, self.pod_mac, after))
    }

    /// Removes what this ADD made, and nothing that was there before, in the order of DEL. A step that fails does not
    /// keep the others from being tried, and is noted: the error that led here is the one to report. `undo_own` gets
    /// the host's end and undoes the plugin's own steps, after the device is gone.
    pub fn undo(mut self, undo_own: impl FnOnce(Option<&Link>) -> Answer<()>) {
        let masquerade = if self.masqueraded { remove_masquerade(self.request) } else { Ok(()) };
        let mut ipam = self.ipam.take().filter(|_| self.addressed);
        let needs_interface = ipam.as_ref().is_some_and(Delegate::is_executed);
        let mut release = |wanted: bool| match ipam.take_if(|_| wanted) {
            Some(ipam) => ipam.del().map_err(Error::from),
            None => Ok(()),
        };
        let found = self.made();
        let mut early = Ok(());
        let pair = match found {
            Ok(Some(link)) => {
                let index = link.peer.unwrap_or_default();
                let is_off = needs_interface && take_addresses(&mut self.pod, index).is_ok();
                early = release(is_off);
                delete(&mut self.host, link.index)
            }
            found => found.map(drop),
        };
        let own = undo_own(self.host_end.as_ref());
        // While the device may be there, its addresses stay reserved.
        let late = release(pair.is_ok());
        let [masquerade, early, pair, late] =
            [masquerade, early, pair, late].map(|outcome| outcome.err().map(Failure::from));
        for error in [masquerade, early, pair, own.err(), late].into_iter().flatten() {
            let (plugin, container) = (self.request.plugin(), self.request.container_id());
            cni::note(format_args!("{plugin}: while undoing a failed ADD of container {container}: {error}"));
        }
    }

    /// Returns the host's end if this ADD made it, also where the kernel's answer was lost.
    fn made(&mut self) -> Result<Option<Link>> {
        match (&self.host_end, &self.tried_name) {
            (Some(link), _) => Ok(Some(link.clone())),
            (None, Some(name)) => {
                Ok(self.host.link_by_name(name)?.filter(|link| self.host.is_maker_of(link)))
            }
            (None, None) => Ok(None),
        }
    }
}

fn remove_masquerade(request: &Request) -> Result<()> {
    masquerade::remove(&mut Nftables::open()?, &claimant(request))?;
    Ok(())
}
