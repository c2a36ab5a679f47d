//! Waiting for a link's carrier.

use std::time::Duration;

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{LinkAttribute, LinkExtentMask};
use nix::libc::{self, IF_OPER_UP, IFLA_OPERSTATE, RTNLGRP_LINK};

use crate::constants::IFINFOMSG_LEN;
use crate::error::{Error, Result};
use crate::link_change::link_message;
use crate::namespace::Namespace;
use crate::netlink::attributes;
use crate::rtnetlink::Rtnetlink;

impl Rtnetlink {
    /// Returns whether a link carries packets (`operstate` is `UP`).
    ///
    /// When both ends of a pair are up, a kernel work queue sets their carrier a moment later; on a busy node, much
    /// later. Until then the end that went up first drops packets, and a bridge does not forward to it. Since Linux
    /// 6.8 the kernel does this before it answers.
    ///
    /// As `ip link show dev NAME`.
    fn is_operational(&mut self, link: u32) -> Result<bool> {
        let mut message = link_message(link);
        message.attributes.push(LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats]));
        let mut state = None;
        let outcome = self.attempt(RouteNetlinkMessage::GetLink(message), 0, |reply| {
            let found = attributes(reply.payload, IFINFOMSG_LEN)
                .find(|attribute| attribute.kind() == IFLA_OPERSTATE)
                .and_then(|attribute| attribute.value().first().copied().map(libc::c_int::from));
            state = found.or(state);
        });
        outcome.map_err(|failure| failure.during(format_args!("look up the state of link {link}")))?;
        Ok(state == Some(IF_OPER_UP))
    }

    /// Waits until a link carries packets, for at most `patience`. `namespace` is this socket's; the thread's when
    /// absent. As `ip monitor link`.
    ///
    /// # Errors
    /// When the time is up; otherwise the kernel's refusal.
    pub fn wait_until_operational(
        &mut self,
        namespace: Option<&Namespace>,
        link: u32,
        patience: Duration,
    ) -> Result<()> {
        let pending = self.wait_while(namespace, RTNLGRP_LINK, patience, |rtnetlink| {
            Ok((!rtnetlink.is_operational(link)?).then_some(()))
        })?;
        match pending {
            None => Ok(()),
            Some(()) => Err(Error::Other(format!(
                "{} has no carrier after {} s: its peer is not up, or the kernel's work queue is stuck",
                self.name_of(link),
                patience.as_secs()
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use nix::sched::{CloneFlags, setns};

    use super::*;
    use crate::Change;
    use crate::testing::{new_namespace, veth};

    #[test]
    fn a_link_is_waited_for_until_its_other_end_is_up() {
        let mut rtnetlink = new_namespace();
        let here = std::fs::File::open("/proc/thread-self/ns/net").unwrap();
        let pair = veth(&mut rtnetlink, "one", "other", None);
        let (one, other) = (pair.index, pair.peer.unwrap());
        rtnetlink.apply(&[Change::set_up(one)]).unwrap();
        assert!(!rtnetlink.is_operational(one).unwrap());
        let refused = rtnetlink.wait_until_operational(None, one, Duration::ZERO).unwrap_err().to_string();
        assert!(refused.contains("one") && refused.contains("carrier"), "{refused}");
        let waiting = std::thread::spawn(move || {
            setns(here, CloneFlags::CLONE_NEWNET).unwrap();
            Rtnetlink::open().unwrap().wait_until_operational(None, one, Duration::from_secs(60))
        });
        rtnetlink.apply(&[Change::set_up(other)]).unwrap();
        waiting.join().unwrap().unwrap();
        assert!(rtnetlink.is_operational(one).unwrap());
    }
}
