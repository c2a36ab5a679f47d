//! Deleting links, one or several at once.

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{LinkAttribute, LinkMessage};
use nix::errno::Errno;

use crate::change::Change;
use crate::error::Result;
use crate::link_change::link_message;
use crate::rtnetlink::Rtnetlink;

impl Rtnetlink {
    /// Deletes a link. An absent link is not an error. As `ip link delete dev NAME`.
    ///
    /// The kernel answers after two RCU grace periods, about 20 ms.
    ///
    /// # Errors
    /// Any refusal but "no such device".
    pub fn delete_link(&mut self, link: u32) -> Result<()> {
        self.apply(&[deletion(link, link_message(link), |name| format!("delete {name}"))])
    }

    /// Deletes several links at once, so that the kernel waits once for all of them: about 17 ms for two, where one
    /// after the other takes 40. They are put into a group first.
    ///
    /// As `ip link set dev NAME group N` for each, then `ip link delete group N`.
    ///
    /// # Errors
    /// The kernel's refusal. Absent links are not an error.
    pub fn delete_links(&mut self, links: &[u32]) -> Result<()> {
        let [first, _, ..] = links else {
            return links.iter().try_for_each(|link| self.delete_link(*link));
        };
        let group = DELETION_GROUP | first;
        let grouped = links.iter().map(|link| Change::set_group(*link, group).ignoring(&[Errno::ENODEV]));
        let mut message = LinkMessage::default();
        message.attributes.push(LinkAttribute::Group(group));
        let deleted = deletion(*first, message, |name| format!("delete {name} and what goes with it"));
        self.apply(&grouped.chain([deleted]).collect::<Vec<_>>())
    }
}

/// Returns the deletion of the links that the message names; `link` is the one that an error names.
fn deletion(link: u32, message: LinkMessage, operation: fn(&str) -> String) -> Change {
    Change::new(RouteNetlinkMessage::DelLink(message), 0, link, operation).ignoring(&[Errno::ENODEV])
}

/// The groups in which links are deleted: this bit and the index of the first link, which makes them unique.
/// Administrators number groups from 0, in `/etc/iproute2/group`.
const DELETION_GROUP: u32 = 1 << 31;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{bridge, new_namespace};

    fn bridges(rtnetlink: &mut Rtnetlink, names: &[&str]) -> Vec<u32> {
        names.iter().map(|name| bridge(rtnetlink, name).index).collect()
    }

    #[test]
    fn several_links_are_deleted_and_no_other() {
        let mut rtnetlink = new_namespace();
        let made = bridges(&mut rtnetlink, &["br0", "br1", "br2"]);
        rtnetlink.delete_links(&made[..2]).unwrap();
        rtnetlink.delete_links(&made[..2]).unwrap();
        let left = rtnetlink.links_of_kind("bridge").unwrap();
        assert_eq!(left.iter().map(|link| link.name.as_str()).collect::<Vec<_>>(), ["br2"]);
    }

    #[test]
    fn a_link_that_is_gone_does_not_keep_the_others() {
        let mut rtnetlink = new_namespace();
        let made = bridges(&mut rtnetlink, &["br0", "br1"]);
        rtnetlink.delete_link(made[0]).unwrap();
        rtnetlink.delete_links(&made).unwrap();
        assert_eq!(rtnetlink.links_of_kind("bridge").unwrap(), []);
    }
}
