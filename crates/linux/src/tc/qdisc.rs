//! Queueing disciplines, read and deleted.

use netlink_packet_core::NLM_F_ECHO;
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::tc::TcHandle;
use nix::errno::Errno;
use nix::libc::{RTM_NEWQDISC, TCA_KIND, TCA_OPTIONS, TCA_STATS2};

use super::{Tbf, request, tbf};
use crate::change::Change;
use crate::constants::{TCA_STATS_BASIC, TCA_STATS_PKT64, TCA_STATS_QUEUE, TCMSG_LEN};
use crate::error::Result;
use crate::netlink::{Reply, attributes, read_text, read_u32};
use crate::rtnetlink::Rtnetlink;

/// A queueing discipline as the kernel describes it (`tc -statistics qdisc show`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Qdisc {
    /// Such as `tbf`, `noqueue` or `pfifo_fast`.
    pub kind: String,
    /// Major number in the upper 16 bits; 0 for one that the kernel chose.
    pub handle: u32,
    /// Parent: `u32::MAX` for the root, or a class.
    pub parent: u32,
    /// Its parameters, when it is a token bucket filter.
    pub tbf: Option<Tbf>,
    /// Whether the filter's rate has the link layer of Ethernet, as `tc` and [`Change::set_root_tbf`] set it. It
    /// does not change what passes, but the reference plugin does not set it.
    pub tells_ethernet: bool,
    /// Counters.
    pub statistics: QdiscStatistics,
}

/// Counters of a queueing discipline since it was added (`TCA_STATS2`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct QdiscStatistics {
    /// Bytes that passed, with Ethernet headers.
    pub bytes: u64,
    /// Packets that passed.
    pub packets: u64,
    /// Packets that were dropped.
    pub drops: u32,
    /// How often a packet had to wait for the rate.
    pub overlimits: u32,
    /// Bytes in the queue.
    pub backlog_bytes: u32,
    /// Packets in the queue.
    pub backlog_packets: u32,
}

impl Qdisc {
    fn parse(reply: &Reply<'_>) -> Option<Self> {
        if reply.kind != RTM_NEWQDISC {
            return None;
        }
        let (handle, parent) = (read_u32(reply.payload.get(8..)?)?, read_u32(reply.payload.get(12..)?)?);
        let mut qdisc = Self {
            kind: String::new(),
            handle,
            parent,
            tbf: None,
            tells_ethernet: false,
            statistics: QdiscStatistics::default(),
        };
        let mut options = None;
        for attribute in attributes(reply.payload, TCMSG_LEN) {
            let value = attribute.value();
            match attribute.kind() {
                TCA_KIND => qdisc.kind = read_text(value),
                TCA_OPTIONS => options = Tbf::parse(value),
                TCA_STATS2 => qdisc.statistics = QdiscStatistics::parse(value),
                _ => {}
            }
        }
        if let Some((tbf, tells_ethernet)) = options.filter(|_| qdisc.kind == tbf::KIND) {
            qdisc.tbf = Some(tbf);
            qdisc.tells_ethernet = tells_ethernet;
        }
        Some(qdisc)
    }
}

impl QdiscStatistics {
    fn parse(nest: &[u8]) -> Self {
        let mut statistics = Self::default();
        for attribute in attributes(nest, 0) {
            let value = attribute.value();
            let number = |offset| value.get(offset..).and_then(read_u32).unwrap_or_default();
            let large = || value.first_chunk().copied().map(u64::from_ne_bytes).unwrap_or_default();
            match attribute.kind() {
                TCA_STATS_BASIC => {
                    statistics.bytes = large();
                    statistics.packets = statistics.packets.max(number(8).into());
                }
                TCA_STATS_PKT64 => statistics.packets = large(),
                TCA_STATS_QUEUE => {
                    statistics.backlog_packets = number(0);
                    statistics.backlog_bytes = number(4);
                    statistics.drops = number(8);
                    statistics.overlimits = number(16);
                }
                _ => {}
            }
        }
        statistics
    }
}

impl Rtnetlink {
    /// Returns the root qdisc of one link; none for a link that never had one, such as an ifb before it is up. As `tc
    /// -statistics qdisc show dev NAME root`.
    ///
    /// The kernel sends the answer to `RTM_GETQDISC` to the listeners of `tc monitor`, and to the requester only with
    /// `NLM_F_ECHO`. A dump would hold the qdiscs of every link: it cannot be filtered.
    ///
    /// # Errors
    /// The kernel's refusal; `ENODEV` when there is no such link.
    pub fn root_qdisc(&mut self, link: u32) -> Result<Option<Qdisc>> {
        self.qdisc_at(link, TcHandle::ROOT)
    }

    pub(super) fn qdisc_at(&mut self, link: u32, parent: TcHandle) -> Result<Option<Qdisc>> {
        let message = request(link, parent, None);
        let mut found = None;
        match self.attempt(RouteNetlinkMessage::GetQueueDiscipline(message), NLM_F_ECHO, |reply| {
            found = Qdisc::parse(&reply);
        }) {
            Ok(()) => Ok(found),
            Err(failure) if failure.errno() == Some(Errno::ENOENT) => Ok(None),
            Err(failure) => Err(self.failed(failure, link, |name| format!("look up a qdisc of {name}"))),
        }
    }

    /// Deletes the root qdisc of a link, with the packets in its queue; the kernel puts its default there. An absent
    /// qdisc or link is not an error. As `tc qdisc delete dev NAME root`.
    ///
    /// # Errors
    /// Any refusal but "no such qdisc" and "no such device".
    pub fn delete_root_qdisc(&mut self, link: u32) -> Result<()> {
        let message = request(link, TcHandle::ROOT, None);
        let deletion = Change::new(RouteNetlinkMessage::DelQueueDiscipline(message), 0, link, |name| {
            format!("delete the root qdisc of {name}")
        });
        self.apply(&[deletion.ignoring(&[Errno::ENOENT, Errno::ENODEV])])
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;
    use crate::testing::namespace_with_veth;

    #[test]
    fn a_link_that_never_had_a_qdisc_has_none() {
        let (mut rtnetlink, veth) = namespace_with_veth();
        assert_eq!(rtnetlink.root_qdisc(veth.index).unwrap(), None);
        assert_eq!(rtnetlink.root_qdisc(4711).unwrap_err().errno(), Some(Errno::ENODEV));
    }

    #[test]
    fn passed_and_dropped_packets_are_counted() {
        let (mut rtnetlink, _) = namespace_with_veth();
        const LOOPBACK: u32 = 1;
        rtnetlink.apply(&[Change::set_up(LOOPBACK)]).unwrap();
        let tbf = Tbf { rate_bytes_per_sec: 1_000, burst_bytes: 2_000, limit_bytes: 2_000 };
        rtnetlink.apply(&[Change::set_root_tbf(LOOPBACK, &tbf)]).unwrap();
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        for _ in 0..8 {
            socket.send_to(&[0; 958], socket.local_addr().unwrap()).unwrap();
        }
        let counted = rtnetlink.root_qdisc(LOOPBACK).unwrap().unwrap().statistics;
        assert_eq!((counted.bytes, counted.packets), (2_000, 2));
        assert_eq!((counted.backlog_bytes, counted.backlog_packets), (2_000, 2));
        assert_eq!(counted.drops, 4);
        assert!(counted.overlimits > 0);
    }
}
