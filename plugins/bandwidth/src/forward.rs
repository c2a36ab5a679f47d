//! Chains that forward what arrives at one link to another: `fwd to` in a chain of family netdev.
//!
//! The output of `nft list table netdev weir` for a pod behind `veth1c2d3e4f`, without and with exempt subnets:
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
//! - The kernel enters these chains after the filters and programs of traffic control and of TCX, whatever their verdict
//!   is unless they drop or redirect. Among the chains of a link these are the last.
//! - A chain is named after its link. Since Linux 6.16 a chain outlives its link and applies to the next link of this
//!   name (earlier kernels delete it with the link). `iif` compares the index, so that such a chain never takes the
//!   packets of another link.
//! - `meta protocol` of a frame with one VLAN tag is the protocol behind the tag; of a frame with more tags it is 802.1Q
//!   or 802.1AD, and such frames are always forwarded.
//! - There is one chain for each link, because before Linux 6.5 the links of a chain could not change.

use attachment::claimant_of;
use cni::Attachment;
use ipnetwork::IpNetwork;
use linux::{Attempts, Family, Feature, Link};
use nft::{
    Batch, Chain, ChainHook, ChainType, DataType, Expressions, Field, HookPoint, Nftables, OwnSet, Side,
    Table, TableFamily, TableState, UserData, Verdict, octets, unsettled,
};
use nix::errno::Errno;
use nix::libc;

use crate::forwarded::{self, Forward};
use crate::subnets::{Subnets, outermost};

pub(crate) const TABLE: Table = Table { family: TableFamily::Netdev, name: "weir" };

/// Forwards what arrives at `link`, as far as `subnets` says, to the link with index `to`. Replaces an earlier chain for a
/// link of this name. All of it happens at once or not at all, and no packet is lost.
///
/// Equivalent to `nft add chain netdev weir LINK { type filter hook ingress device LINK priority 2147483647; }`
/// and of `nft add rule netdev weir LINK iif LINK fwd to TO`.
///
/// # Errors
/// [`linux::Error::MissingFeature`] when the kernel cannot do that, [`linux::Error::Refused`] and [`linux::Error::Netlink`] for the
/// rest.
pub(crate) fn add(
    nftables: &mut Nftables,
    attachment: Option<&Attachment>,
    link: &Link,
    to: u32,
    subnets: &Subnets,
) -> linux::Result<()> {
    let operation = format_args!("forward what arrives at {}", link.name);
    let user_data = attachment.map_or_else(
        || UserData::of_comment("live"),
        |attachment| UserData::of_claimant(&claimant_of(attachment)),
    );
    let hook = ChainHook {
        device: Some(&link.name),
        ..ChainHook::new(ChainType::Filter, HookPoint::Ingress, i32::MAX)
    };
    let comment = "limited; after the filters and programs of tc";
    let mut earlier: Option<Option<Forward>> = None;
    for () in Attempts::default() {
        let mut batch = Batch::new(TABLE);
        batch.add_table(TableState::Unchanged, "what pods send goes through its limit, kept by weir");
        match &earlier {
            Some(Some(earlier)) => batch.delete_found_chain(&earlier.chain()),
            // One without rules.
            Some(None) => batch.delete_chain(&link.name),
            None => {}
        }
        batch.create_chain(&Chain { name: &link.name, hook: Some(hook), comment });
        Rules { batch: &mut batch, link, to, user_data: &user_data }.add(subnets);
        match nftables.transact(batch) {
            Ok(()) => return Ok(()),
            Err(failed) if failed.is_conflict() => earlier = Some(forwarded::find(nftables, &link.name)?),
            // It was deleted meanwhile.
            Err(failed) if failed.is(Errno::ENOENT) && earlier.is_some() => earlier = None,
            Err(failed) => return Err(failed.missing(Feature::NftablesForward, operation)),
        }
    }
    Err(unsettled(operation, TABLE))
}

/// Stops forwarding what arrives at a link, unless the chain was replaced since it was read. Returns whether the chain was
/// deleted.
///
/// Equivalent to `nft delete chain netdev weir LINK`. The kernel frees it when `nftables` is dropped: see [`Nftables`].
pub(crate) fn remove(nftables: &mut Nftables, forward: &Forward) -> linux::Result<bool> {
    nftables.delete_found_chain(&forward.chain()).map_err(|failed| {
        failed.during(format_args!("stop forwarding what arrives at {}", forward.link_name))
    })
}

/// The rules of one chain.
struct Rules<'a> {
    batch: &'a mut Batch,
    link: &'a Link,
    to: u32,
    user_data: &'a UserData,
}

impl Rules<'_> {
    fn add(mut self, subnets: &Subnets) {
        match subnets {
            Subnets::All => self.forward(|_| {}),
            Subnets::AllBut(subnets) => {
                self.accept(|rule| is_of_protocol(rule, libc::ETH_P_ARP));
                self.accept_neighbour_discovery();
                for (family, set) in self.sets(subnets) {
                    self.accept(|rule| is_to(rule, family, set));
                }
                self.forward(|_| {});
            }
            Subnets::Only(subnets) => {
                self.accept_neighbour_discovery();
                for (family, set) in self.sets(subnets) {
                    self.forward(|rule| is_to(rule, family, set));
                }
                for tagged in [libc::ETH_P_8021Q, libc::ETH_P_8021AD] {
                    self.forward(|rule| is_of_protocol(rule, tagged));
                }
            }
        }
    }

    fn forward(&mut self, which: impl FnOnce(&mut Expressions<'_, '_>)) {
        let (link, to) = (self.link.index, self.to);
        self.batch.add_rule(&self.link.name, self.user_data, |rule| {
            rule.is(Field::InputLink, &link.to_ne_bytes());
            which(rule);
            rule.forward_to(to);
        });
    }

    fn accept(&mut self, which: impl FnOnce(&mut Expressions<'_, '_>)) {
        self.batch.add_rule(&self.link.name, self.user_data, |rule| {
            which(rule);
            rule.decide(Verdict::Accept);
        });
    }

    /// ICMPv6 133 to 137 immediately after the IPv6 header.
    fn accept_neighbour_discovery(&mut self) {
        const NEXT_HEADER: u32 = 6;
        const ICMPV6: u8 = 58;
        const TYPE: u32 = 40;
        self.accept(|rule| {
            is_of_protocol(rule, libc::ETH_P_IPV6);
            rule.is(Field::NetworkByte(NEXT_HEADER), &[ICMPV6]);
            rule.load(&[Field::NetworkByte(TYPE)]);
            rule.is_between(&[133], &[137]);
        });
    }

    /// Adds a set for the subnets of each family, before the rules that use it.
    fn sets(&mut self, subnets: &[IpNetwork]) -> Vec<(Family, OwnSet)> {
        let mut sets = Vec::new();
        for (family, key) in [(Family::V4, DataType::IPV4_ADDRESS), (Family::V6, DataType::IPV6_ADDRESS)] {
            let ranges = ranges(subnets, family);
            if !ranges.is_empty() {
                sets.push((family, self.batch.add_own_ranges(key, &ranges)));
            }
        }
        sets
    }
}

/// Ends the rule unless the packet is of this protocol, an `ETH_P_*`.
fn is_of_protocol(rule: &mut Expressions<'_, '_>, protocol: i32) {
    let [.., high, low] = protocol.to_be_bytes();
    rule.is(Field::Protocol, &[high, low]);
}

/// Ends the rule unless the destination is in this set.
fn is_to(rule: &mut Expressions<'_, '_>, family: Family, set: OwnSet) {
    let protocol = match family {
        Family::V4 => libc::ETH_P_IP,
        Family::V6 => libc::ETH_P_IPV6,
    };
    is_of_protocol(rule, protocol);
    rule.load(&[Field::Address(family, Side::Destination)]);
    rule.is_in_own(set);
}

/// Returns the outermost subnets of a family, each with its first address and the one after its last.
fn ranges(subnets: &[IpNetwork], family: Family) -> Vec<(Vec<u8>, Option<Vec<u8>>)> {
    outermost(subnets.iter().filter(|subnet| Family::of_address(subnet.ip()) == family).copied())
        .into_iter()
        .map(|subnet| (octets(subnet.network()), after(octets(subnet.broadcast()))))
        .collect()
}

/// Returns the next address; none after the last.
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

    use attachment::masquerade;
    use linux::Rtnetlink;
    use nix::sched::{CloneFlags, unshare};

    use super::*;
    use crate::forwarded::{find, list};

    fn blue() -> Attachment {
        let [network, container_id, interface] = ["podnet", "blue", "eth0"].map(str::to_owned);
        Attachment { network, container_id, interface, pod: None }
    }

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
        add(&mut nftables, Some(&blue()), &link, ifb.index, &Subnets::All).unwrap();
        let shown = run("nft list table netdev weir");
        for line in [
            "type filter hook ingress device \"host0\" priority 2147483647; policy accept;",
            "iif \"host0\" fwd to \"bwp0\" comment \"podnet/blue/eth0\"",
        ] {
            assert!(shown.contains(line), "{line} is not in\n{shown}");
        }
        let exempt = Subnets::AllBut(networks(&["10.0.0.0/8", "192.168.7.9/32", "fd00::/8"]));
        add(&mut nftables, Some(&blue()), &link, ifb.index, &exempt).unwrap();
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
    fn a_chain_reads_back_and_can_be_removed() {
        let (_, mut nftables, link, ifb) = node();
        assert_eq!(find(&mut nftables, "host0").unwrap(), None);
        let many: Vec<IpNetwork> =
            (0..1500u32).map(|n| format!("10.{}.{}.0/24", n >> 8, n & 255).parse().unwrap()).collect();
        for subnets in [
            Subnets::All,
            Subnets::Only(networks(&["10.0.0.0/8", "fd00::/8"])),
            Subnets::Only(networks(&["0.0.0.0/0"])),
            Subnets::AllBut(networks(&["10.1.0.0/16", "10.0.0.0/25", "10.0.0.128/25", "255.255.255.255/32"])),
            Subnets::AllBut(networks(&["::/0", "fd00::1/128", "10.0.0.0/8", "10.9.0.0/16"])),
            Subnets::AllBut(many),
        ] {
            add(&mut nftables, Some(&blue()), &link, ifb.index, &subnets).unwrap();
            let read = find(&mut nftables, "host0").unwrap().unwrap();
            assert_eq!(
                (read.link, read.to, read.claimant == Some(claimant_of(&blue()))),
                (link.index, ifb.index, true)
            );
            assert_eq!(forwarded::subnets(&mut nftables, &read).unwrap(), Some(subnets.normalised()));
            assert_eq!(list(&mut nftables).unwrap(), [read]);
        }
        let made = find(&mut nftables, "host0").unwrap().unwrap();
        assert!(remove(&mut nftables, &made).unwrap());
        assert!(!remove(&mut nftables, &made).unwrap());
        assert!(!run("nft list table netdev weir").contains("chain"));
    }

    #[test]
    fn a_chain_that_was_replaced_meanwhile_is_not_removed() {
        let (_, mut nftables, link, ifb) = node();
        add(&mut nftables, Some(&blue()), &link, ifb.index, &Subnets::All).unwrap();
        let before = find(&mut nftables, "host0").unwrap().unwrap();
        add(&mut nftables, Some(&blue()), &link, ifb.index, &Subnets::All).unwrap();
        assert!(!remove(&mut nftables, &before).unwrap());
        assert!(find(&mut nftables, "host0").unwrap().is_some());
        run("nft flush chain netdev weir host0");
        assert_eq!(find(&mut nftables, "host0").unwrap(), None);
        add(&mut nftables, None, &link, ifb.index, &Subnets::All).unwrap();
        assert_eq!(find(&mut nftables, "host0").unwrap().unwrap().claimant, None);
    }

    #[test]
    fn chains_are_deleted_with_a_masquerade_entry_and_without_one() {
        let (_, mut nftables, link, ifb) = node();
        let pod: Vec<IpNetwork> = networks(&["10.88.0.5/16"]);
        for (is_masqueraded, is_there) in [(true, true), (false, true), (true, false)] {
            add(&mut nftables, Some(&blue()), &link, ifb.index, &Subnets::All).unwrap();
            if is_masqueraded {
                masquerade::add(&mut nftables, &claimant_of(&blue()), &pod).unwrap();
            }
            let made = find(&mut nftables, "host0").unwrap().unwrap();
            if !is_there {
                // Another process replaced it: it stays, and the entry goes.
                add(&mut nftables, Some(&blue()), &link, ifb.index, &Subnets::All).unwrap();
            }
            let found =
                masquerade::remove_with(&mut nftables, &claimant_of(&blue()), &[made.chain()]).unwrap();
            assert_eq!(found, is_masqueraded);
            assert_eq!(find(&mut nftables, "host0").unwrap().is_some(), !is_there);
            assert_eq!(masquerade::list(&mut nftables).unwrap(), []);
        }
    }

    #[test]
    fn a_deleted_rule_and_a_dormant_table_are_noticed() {
        let (_, mut nftables, link, ifb) = node();
        let exempt = Subnets::AllBut(networks(&["10.0.0.0/8"]));
        for handle in ["arp", "10.0.0.0"] {
            add(&mut nftables, Some(&blue()), &link, ifb.index, &exempt).unwrap();
            run(&format!(
                "nft delete rule netdev weir host0 handle $(nft -a list table netdev weir | sed -n 's/.*{handle}.*handle //p')"
            ));
            let read = find(&mut nftables, "host0").unwrap().unwrap();
            assert_eq!(forwarded::subnets(&mut nftables, &read).unwrap(), None, "{handle}");
        }
        assert_eq!(nftables.is_dormant(TABLE).unwrap(), Some(false));
        run("nft 'add table netdev weir { flags dormant; }'");
        assert_eq!(nftables.is_dormant(TABLE).unwrap(), Some(true));
    }
}
