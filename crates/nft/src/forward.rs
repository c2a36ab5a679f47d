//! Packets that arrive at a link go out of another one: `fwd to` in a chain of family netdev.
//!
//! What `nft list table netdev weir` shows for a pod behind `veth1c2d3e4f`, without and with exempt subnets:
//!
//! ```text
//! table netdev weir {
//!     chain veth1c2d3e4f {
//!         type filter hook ingress device "veth1c2d3e4f" priority 2147483647; policy accept;
//!         iif "veth1c2d3e4f" fwd to "bwpf0bca4ac77cd" comment "podnet/3fd…/eth0"
//!     }
//!     chain veth5a6b7c8d {
//!         type filter hook ingress device "veth5a6b7c8d" priority 2147483647; policy accept;
//!         meta protocol arp accept comment "podnet/91a…/eth0"
//!         ip6 nexthdr ipv6-icmp @nh,320,8 0x85-0x89 accept comment "podnet/91a…/eth0"
//!         ip daddr { 10.0.0.0/8 } accept comment "podnet/91a…/eth0"
//!         iif "veth5a6b7c8d" fwd to "bwp711c71c65137" comment "podnet/91a…/eth0"
//!     }
//! }
//! ```
//!
//! - The kernel runs these chains after the filters and programs of traffic control and of TCX: none of those can end
//!   the search before a chain is asked, and none is passed over. Among the chains of a link these are the last.
//! - A chain is named after its link. Since Linux 6.16 a chain outlives its link and takes up the next one of the same
//!   name (before, it went with the link). `iif` compares the index, so that such a chain never takes the packets of
//!   another link.
//! - The protocol of a frame with one VLAN tag is that of what the tag precedes; a frame with more is of protocol
//!   802.1Q or 802.1AD still, and is forwarded whatever is in it.
//! - One chain for each link, rather than one with a map of links: before Linux 6.5 a chain's links could not change.

use ipnetwork::IpNetwork;
use netlink_packet_core::NLM_F_EXCL;
use nix::errno::Errno;

use super::batch::Batch;
use super::expressions::{Comparison, Expressions, Side};
use super::forwarded::Forward;
use super::objects::{self, ChainKind, DataType};
use super::owner::Owner;
use super::records;
use super::subnet::octets;
use super::{Nftables, unsettled};
use crate::table::{Table, TableFamily};
use linux::Attempts;
use linux::Family;
use linux::Link;
use linux::{Error, Feature, Result};

pub(crate) const TABLE: Table = Table { family: TableFamily::Netdev, name: "weir" };

// uapi/linux/if_ether.h
pub(crate) const ETH_P_IP: u16 = 0x0800;
pub(crate) const ETH_P_IPV6: u16 = 0x86DD;
const ETH_P_ARP: u16 = 0x0806;
const ETH_P_8021Q: u16 = 0x8100;
const ETH_P_8021AD: u16 = 0x88A8;

/// Which packets are forwarded, by their receivers' addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Traffic {
    /// All, of whatever protocol.
    All,
    /// Those to these subnets, except neighbour discovery; and frames with more than one VLAN tag.
    Only(Vec<IpNetwork>),
    /// All but those to these subnets, ARP and neighbour discovery.
    AllBut(Vec<IpNetwork>),
}

impl Traffic {
    /// The same with its subnets sorted, and without those that lie in others: as it is read back.
    #[must_use]
    pub fn normalised(self) -> Self {
        match self {
            Self::All => Self::All,
            Self::Only(subnets) => Self::Only(outermost(subnets.into_iter())),
            Self::AllBut(subnets) => Self::AllBut(outermost(subnets.into_iter())),
        }
    }

    /// How many rules say it.
    pub(crate) fn rules(&self) -> usize {
        let families = |subnets: &[IpNetwork]| {
            usize::from(subnets.iter().any(IpNetwork::is_ipv4))
                + usize::from(subnets.iter().any(IpNetwork::is_ipv6))
        };
        match self {
            Self::All => 1,
            Self::Only(subnets) => 3 + families(subnets),
            Self::AllBut(subnets) => 3 + families(subnets),
        }
    }
}

impl Nftables {
    /// Sends what arrives at `link` out of the link with index `to`, as far as `traffic` says; what an earlier call
    /// made for a link of this name gives way. All of it happens at once or not at all, and no packet is lost.
    ///
    /// The effect of `nft add chain netdev weir LINK { type filter hook ingress device LINK priority 2147483647; }`
    /// and of `nft add rule netdev weir LINK iif LINK fwd to TO`.
    ///
    /// # Errors
    /// [`Error::MissingFeature`] when the kernel cannot forward so, [`Error::Refused`] and [`Error::Netlink`] for the
    /// rest.
    pub fn add_forward(
        &mut self,
        owner: Option<&Owner<'_>>,
        link: &Link,
        to: u32,
        traffic: &Traffic,
    ) -> Result<()> {
        let operation = format_args!("forward what arrives at {}", link.name);
        let user_data = owner.map_or_else(
            || records::comment("live"),
            |owner| records::owned(&owner.comment(), owner.digest()),
        );
        let mut earlier: Option<Option<Forward>> = None;
        for () in Attempts::default() {
            let mut batch = Batch::new(TABLE);
            objects::table_unless_there(&mut batch, "what pods send goes through its limit, kept by weir");
            if let Some(earlier) = &earlier {
                delete(&mut batch, &link.name, earlier.as_ref());
            }
            objects::base_chain(
                &mut batch,
                NLM_F_EXCL,
                &link.name,
                ChainKind::DeviceIngress(&link.name),
                "limited; after the filters and programs of tc",
            );
            Rules { batch: &mut batch, link, to, user_data: &user_data }.add(traffic);
            match self.transact(batch) {
                Ok(()) => return Ok(()),
                Err(failed) if failed.is_conflict() => earlier = Some(self.forward(&link.name)?),
                // It went meanwhile.
                Err(failed) if failed.is(Errno::ENOENT) && earlier.is_some() => earlier = None,
                Err(failed) => return Err(missing(failed.during(operation))),
            }
        }
        Err(unsettled(operation, TABLE))
    }

    /// Forwards no more what arrives at a link, unless that is another chain by now; tells whether it was there.
    ///
    /// The effect of `nft delete chain netdev weir LINK`. The kernel frees it when this value is dropped: see
    /// [`Nftables`].
    ///
    /// # Errors
    /// [`Error::Refused`] and [`Error::Netlink`].
    pub fn remove_forward(&mut self, forward: &Forward) -> Result<bool> {
        let mut batch = Batch::new(TABLE);
        delete(&mut batch, &forward.link_name, Some(forward));
        match self.transact(batch) {
            Ok(()) => Ok(true),
            Err(failed) if failed.is(Errno::ENOENT) => Ok(false),
            Err(failed) => {
                Err(failed.during(format_args!("forward no more what arrives at {}", forward.link_name)))
            }
        }
    }
}

/// Which refusals mean that the kernel was built without it.
fn missing(error: Error) -> Error {
    let refusals = [Errno::ENOENT, Errno::EOPNOTSUPP, Errno::EAFNOSUPPORT];
    error.or_missing(Feature::NftablesForward, &refusals)
}

/// Deletes a chain. To delete its rules by their numbers, which are never used again, asks whether it is still the
/// one that was read.
pub(crate) fn delete(batch: &mut Batch, name: &str, forward: Option<&Forward>) {
    for handle in forward.iter().flat_map(|forward| forward.handles()) {
        objects::delete_rule(batch, name, handle);
    }
    objects::delete_chain(batch, name);
}

/// The rules of one chain.
struct Rules<'a> {
    batch: &'a mut Batch,
    link: &'a Link,
    to: u32,
    user_data: &'a [u8],
}

impl Rules<'_> {
    fn add(mut self, traffic: &Traffic) {
        match traffic {
            Traffic::All => self.forward(|_| {}),
            Traffic::AllBut(subnets) => {
                self.accept(|rule| rule.of_protocol(ETH_P_ARP));
                self.accept_neighbour_discovery();
                for (family, set) in self.sets(subnets) {
                    self.accept(|rule| to_own(rule, family, set));
                }
                self.forward(|_| {});
            }
            Traffic::Only(subnets) => {
                self.accept_neighbour_discovery();
                for (family, set) in self.sets(subnets) {
                    self.forward(|rule| to_own(rule, family, set));
                }
                for tagged in [ETH_P_8021Q, ETH_P_8021AD] {
                    self.forward(|rule| rule.of_protocol(tagged));
                }
            }
        }
    }

    fn forward(&mut self, which: impl FnOnce(&mut Expressions<'_, '_>)) {
        let (link, to) = (self.link.index, self.to);
        objects::owned_rule(self.batch, &self.link.name, self.user_data, |rule| {
            rule.came_in_by(link);
            which(rule);
            rule.forward_to(to);
        });
    }

    fn accept(&mut self, which: impl FnOnce(&mut Expressions<'_, '_>)) {
        objects::owned_rule(self.batch, &self.link.name, self.user_data, |rule| {
            which(rule);
            rule.accept();
        });
    }

    /// ICMPv6 133 to 137 immediately after the IPv6 header.
    fn accept_neighbour_discovery(&mut self) {
        const NEXT_HEADER: u32 = 6;
        const ICMPV6: u8 = 58;
        const TYPE: u32 = 40;
        self.accept(|rule| {
            rule.of_protocol(ETH_P_IPV6);
            rule.load_byte(NEXT_HEADER);
            rule.compare(Comparison::Equal, &[ICMPV6]);
            rule.load_byte(TYPE);
            rule.compare(Comparison::AtLeast, &[133]);
            rule.compare(Comparison::AtMost, &[137]);
        });
    }

    /// A set for the subnets of each family that has some, declared before the rules that look into it.
    fn sets(&mut self, subnets: &[IpNetwork]) -> Vec<(Family, u32)> {
        let mut sets = Vec::new();
        for (family, keys) in [(Family::V4, DataType::IPV4_ADDRESS), (Family::V6, DataType::IPV6_ADDRESS)] {
            let ranges = ranges(subnets, family);
            if !ranges.is_empty() {
                sets.push((family, objects::own_ranges(self.batch, keys, &ranges)));
            }
        }
        sets
    }
}

fn to_own(rule: &mut Expressions<'_, '_>, family: Family, set: u32) {
    rule.of_protocol(protocol(family));
    rule.load_address(family, Side::Destination);
    rule.is_in_own(set);
}

fn protocol(family: Family) -> u16 {
    match family {
        Family::V4 => ETH_P_IP,
        Family::V6 => ETH_P_IPV6,
    }
}

/// The subnets of a family without those that lie in others, each with its first address and that after its last.
fn ranges(subnets: &[IpNetwork], family: Family) -> Vec<(Vec<u8>, Option<Vec<u8>>)> {
    outermost(subnets.iter().filter(|subnet| Family::of_address(subnet.ip()) == family).copied())
        .into_iter()
        .map(|subnet| (octets(subnet.network()), after(octets(subnet.broadcast()))))
        .collect()
}

/// Sorted, without those that lie in others: of two subnets one lies in the other, or they have no address in common.
pub(crate) fn outermost(subnets: impl Iterator<Item = IpNetwork>) -> Vec<IpNetwork> {
    let mut sorted: Vec<IpNetwork> = subnets.collect();
    sorted.sort_by_key(|subnet| (subnet.network(), subnet.prefix()));
    let mut kept: Vec<IpNetwork> = Vec::with_capacity(sorted.len());
    for subnet in sorted {
        if !kept.last().is_some_and(|last| last.contains(subnet.network())) {
            kept.push(subnet);
        }
    }
    kept
}

/// The next address; none after the last.
fn after(mut address: Vec<u8>) -> Option<Vec<u8>> {
    for byte in address.iter_mut().rev() {
        *byte = byte.wrapping_add(1);
        if *byte != 0 {
            return Some(address);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;
    use linux::Rtnetlink;
    use nix::sched::{CloneFlags, unshare};

    const OWNER: Owner<'_> = Owner { network: "podnet", container_id: "blue", interface: "eth0" };

    fn run(command: &str) -> String {
        let output = Command::new("sh").args(["-c", command]).output().unwrap();
        assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Two sockets in a new namespace, with host0, an end of a veth pair, and the ifb bwp0.
    fn node() -> (Rtnetlink, Nftables, Link, Link) {
        unshare(CloneFlags::CLONE_NEWNET).expect("kernel tests need root");
        run("ip link add host0 type veth peer name pod0; ip link add bwp0 type ifb");
        let mut host = Rtnetlink::open().unwrap();
        let ifb = host.link_by_name("bwp0").unwrap().unwrap();
        let link = host.link_by_name("host0").unwrap().unwrap();
        (host, Nftables::open().unwrap(), link, ifb)
    }

    fn networks(list: &[&str]) -> Vec<IpNetwork> {
        list.iter().map(|network| network.parse().unwrap()).collect()
    }

    #[test]
    fn nft_shows_chains_that_explain_themselves() {
        let (_, mut nftables, link, ifb) = node();
        nftables.add_forward(Some(&OWNER), &link, ifb.index, &Traffic::All).unwrap();
        let shown = run("nft list table netdev weir");
        for line in [
            "type filter hook ingress device \"host0\" priority 2147483647; policy accept;",
            "iif \"host0\" fwd to \"bwp0\" comment \"podnet/blue/eth0\"",
        ] {
            assert!(shown.contains(line), "{line} is not in\n{shown}");
        }
        let exempt = Traffic::AllBut(networks(&["10.0.0.0/8", "192.168.7.9/32", "fd00::/8"]));
        nftables.add_forward(Some(&OWNER), &link, ifb.index, &exempt).unwrap();
        let shown = run("nft list table netdev weir");
        for line in [
            "meta protocol arp accept",
            "ip6 nexthdr ipv6-icmp @nh,320,8 0x85-0x89 accept",
            "ip daddr { 10.0.0.0/8, 192.168.7.9 } accept",
            "ip6 daddr { fd00::/8 } accept",
        ] {
            assert!(shown.contains(line), "{line} is not in\n{shown}");
        }
        assert_eq!(shown.matches("chain ").count(), 1, "{shown}");
    }

    #[test]
    fn what_was_made_reads_back_and_goes_again() {
        let (_, mut nftables, link, ifb) = node();
        assert_eq!(nftables.forward("host0").unwrap(), None);
        let many: Vec<IpNetwork> =
            (0..1500u32).map(|n| format!("10.{}.{}.0/24", n >> 8, n & 255).parse().unwrap()).collect();
        for traffic in [
            Traffic::All,
            Traffic::Only(networks(&["10.0.0.0/8", "fd00::/8"])),
            Traffic::Only(networks(&["0.0.0.0/0"])),
            Traffic::AllBut(networks(&["10.1.0.0/16", "10.0.0.0/25", "10.0.0.128/25", "255.255.255.255/32"])),
            Traffic::AllBut(networks(&["::/0", "fd00::1/128", "10.0.0.0/8", "10.9.0.0/16"])),
            Traffic::AllBut(many),
        ] {
            nftables.add_forward(Some(&OWNER), &link, ifb.index, &traffic).unwrap();
            let read = nftables.forward("host0").unwrap().unwrap();
            assert_eq!((read.link, read.to, read.is_of(&OWNER)), (link.index, ifb.index, true));
            assert!(!read.is_of(&Owner { container_id: "red", ..OWNER }));
            assert_eq!(nftables.forwarded_traffic(&read).unwrap(), Some(traffic.normalised()));
            assert_eq!(nftables.forwards().unwrap(), [read]);
        }
        let made = nftables.forward("host0").unwrap().unwrap();
        assert!(nftables.remove_forward(&made).unwrap());
        assert!(!nftables.remove_forward(&made).unwrap());
        assert!(!run("nft list table netdev weir").contains("chain"));
    }

    #[test]
    fn a_chain_that_was_made_anew_meanwhile_is_not_removed() {
        let (_, mut nftables, link, ifb) = node();
        nftables.add_forward(Some(&OWNER), &link, ifb.index, &Traffic::All).unwrap();
        let before = nftables.forward("host0").unwrap().unwrap();
        nftables.add_forward(Some(&OWNER), &link, ifb.index, &Traffic::All).unwrap();
        assert!(!nftables.remove_forward(&before).unwrap());
        assert!(nftables.forward("host0").unwrap().is_some());
        run("nft flush chain netdev weir host0");
        assert_eq!(nftables.forward("host0").unwrap(), None);
        nftables.add_forward(None, &link, ifb.index, &Traffic::All).unwrap();
        assert_eq!(nftables.forward("host0").unwrap().unwrap().attachment, None);
    }

    #[test]
    fn chains_go_together_with_a_masquerade_entry_and_also_without_one() {
        let (_, mut nftables, link, ifb) = node();
        let pod: Vec<IpNetwork> = networks(&["10.88.0.5/16"]);
        for (is_masqueraded, is_there) in [(true, true), (false, true), (true, false)] {
            nftables.add_forward(Some(&OWNER), &link, ifb.index, &Traffic::All).unwrap();
            if is_masqueraded {
                nftables.add_masquerade(&OWNER, &pod).unwrap();
            }
            let made = nftables.forward("host0").unwrap().unwrap();
            if !is_there {
                // Another process made it anew: it stays, and the entry goes all the same.
                nftables.add_forward(Some(&OWNER), &link, ifb.index, &Traffic::All).unwrap();
            }
            let found = nftables.remove_masquerade_and_forwards(&OWNER, std::slice::from_ref(&made)).unwrap();
            assert_eq!(found, is_masqueraded);
            assert_eq!(nftables.forward("host0").unwrap().is_some(), !is_there);
            assert_eq!(nftables.attachments().unwrap(), []);
        }
    }

    #[test]
    fn a_deleted_rule_is_missed_and_a_dormant_table_is_told() {
        let (_, mut nftables, link, ifb) = node();
        let exempt = Traffic::AllBut(networks(&["10.0.0.0/8"]));
        for handle in ["arp", "10.0.0.0"] {
            nftables.add_forward(Some(&OWNER), &link, ifb.index, &exempt).unwrap();
            run(&format!(
                "nft delete rule netdev weir host0 handle $(nft -a list table netdev weir | sed -n 's/.*{handle}.*handle //p')"
            ));
            let read = nftables.forward("host0").unwrap().unwrap();
            assert_eq!(nftables.forwarded_traffic(&read).unwrap(), None, "{handle}");
        }
        assert!(!nftables.forwarding_is_dormant().unwrap());
        run("nft 'add table netdev weir { flags dormant; }'");
        assert!(nftables.forwarding_is_dormant().unwrap());
    }
}
