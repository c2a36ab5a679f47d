//! `shapedSubnets` and `unshapedSubnets`: the traffic that is limited.

use std::net::IpAddr;

use cni::Failure;
use ipnetwork::{IpNetwork, IpNetworkError};
use limits::Direction;
use linux::{End, Hook, Rule};
use serde::Deserialize;
use serde_json::Value;

use crate::error::Result;

/// Matched on the peer's address. Exempt traffic never waits in a queue.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Subnets {
    /// Everything is limited.
    #[default]
    All,
    /// Only traffic to and from these.
    Only(Vec<IpNetwork>),
    /// Everything but traffic to and from these, ARP and neighbour discovery.
    AllBut(Vec<IpNetwork>),
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Keys {
    shaped_subnets: Vec<String>,
    unshaped_subnets: Vec<String>,
}

impl Subnets {
    /// Reads the two keys of a plugin's config.
    ///
    /// # Errors
    /// An invalid subnet; both lists.
    pub fn of_config(config: &Value) -> Result<Self> {
        let keys: Keys = cni::decode(config).map_err(Failure::from)?;
        Self::from_keys(&keys.shaped_subnets, &keys.unshaped_subnets)
    }

    /// Reads the two keys; an empty list is the same as none.
    pub(crate) fn from_keys(shaped: &[String], unshaped: &[String]) -> Result<Self> {
        match (shaped, unshaped) {
            ([], []) => Ok(Self::All),
            (shaped, []) => parse("shapedSubnets", shaped).map(Self::Only),
            ([], unshaped) => parse("unshapedSubnets", unshaped).map(Self::AllBut),
            _ => Err(Failure::exclusive_keys(
                "shapedSubnets",
                "unshapedSubnets",
                "either lists what is limited, or what is not",
            )
            .into()),
        }
    }

    /// Returns the rules that redirect limited traffic to the device `ifb`, with and without a VLAN tag; frames with several
    /// are limited. At the root of the host's end, to [`Rule::CLASS`].
    pub(crate) fn rules(&self, direction: Direction, ifb: u32) -> Vec<Rule> {
        let end = match direction {
            Direction::Ingress => End::Source,
            Direction::Egress => End::Destination,
        };
        let (subnets, to) = match self {
            Self::All => return vec![Rule::everything(ifb)],
            Self::Only(subnets) => (subnets, Some(ifb)),
            Self::AllBut(subnets) => (subnets, None),
        };
        let mut untagged = vec![Rule::arp_passes()];
        untagged.extend(Rule::neighbour_discovery_passes());
        untagged.extend(subnets.iter().map(|subnet| Rule::subnet(*subnet, end, to)));
        let mut rules: Vec<Rule> = untagged.iter().flat_map(Rule::behind_tags).collect();
        rules.extend(untagged);
        match to {
            Some(ifb) => rules.extend(Rule::several_tags(ifb)),
            None => rules.push(Rule::everything(ifb)),
        }
        rules
    }

    /// Reads the subnets back from [`Subnets::rules`], also an earlier weir's; none when no rule redirects.
    pub(crate) fn of_rules(rules: &[Rule]) -> Option<Self> {
        let subnets = |limited: bool| -> Vec<IpNetwork> {
            let chosen = rules.iter().filter(|rule| rule.target().is_some() == limited);
            chosen.filter_map(Rule::addresses).collect()
        };
        if rules.iter().any(Rule::is_everything) {
            let exempt = subnets(false);
            return Some(if exempt.is_empty() { Self::All } else { Self::AllBut(exempt) });
        }
        Some(Self::Only(subnets(true))).filter(|only| *only != Self::Only(Vec::new()))
    }

    /// The same with its subnets sorted, and without those that lie in others: as it is read back.
    #[must_use]
    pub(crate) fn normalised(self) -> Self {
        match self {
            Self::All => Self::All,
            Self::Only(subnets) => Self::Only(outermost(subnets.into_iter())),
            Self::AllBut(subnets) => Self::AllBut(outermost(subnets.into_iter())),
        }
    }

    /// How many rules of a chain of nf_tables say it.
    pub(crate) fn rules_of_chain(&self) -> usize {
        let families = |subnets: &[IpNetwork]| {
            usize::from(subnets.iter().any(IpNetwork::is_ipv4))
                + usize::from(subnets.iter().any(IpNetwork::is_ipv6))
        };
        match self {
            Self::All => 1,
            Self::Only(subnets) | Self::AllBut(subnets) => 3 + families(subnets),
        }
    }
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

/// Returns the hook of the host's end where packets of a direction pass.
pub(crate) fn hook(direction: Direction) -> Hook {
    match direction {
        Direction::Ingress => Hook::Egress,
        Direction::Egress => Hook::Ingress,
    }
}

fn parse(key: &str, subnets: &[String]) -> Result<Vec<IpNetwork>> {
    let mut parsed = Vec::with_capacity(subnets.len());
    for text in subnets {
        let given = text.trim().parse::<IpNetwork>();
        let subnet = given.and_then(normal).map_err(|_| {
            Failure::invalid_value(key, format_args!("{text:?}"), "a subnet, such as 10.0.0.0/8 or fd00::/8")
        })?;
        // A rule must not be there twice: the two could not be told apart.
        if !parsed.contains(&subnet) {
            parsed.push(subnet);
        }
    }
    Ok(parsed)
}

/// Returns the subnet without the bits beyond its prefix: 10.1.2.3/8 is 10.0.0.0/8. No packet on the wire has an IPv4-mapped
/// address (RFC 4291, section 2.5.5.2), so ::ffff:10.0.0.0/104 is 10.0.0.0/8 too.
fn normal(given: IpNetwork) -> std::result::Result<IpNetwork, IpNetworkError> {
    const MAPPED: u8 = 96;
    let (address, prefix) = (given.network(), given.prefix());
    match address.to_canonical() {
        IpAddr::V4(canonical) if address.is_ipv6() && prefix >= MAPPED => {
            IpNetwork::new(canonical.into(), prefix - MAPPED)
        }
        _ => IpNetwork::new(address, prefix),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(subnets: &[&str]) -> Vec<String> {
        subnets.iter().map(|subnet| (*subnet).to_owned()).collect()
    }

    #[test]
    fn one_list_or_the_other() {
        let (some, none) = (list(&["10.0.0.0/8", "fd00::/8"]), list(&[]));
        assert_eq!(Subnets::from_keys(&none, &none).unwrap(), Subnets::All);
        assert!(
            matches!(Subnets::from_keys(&some, &none).unwrap(), Subnets::Only(subnets) if subnets.len() == 2)
        );
        assert!(matches!(Subnets::from_keys(&none, &some).unwrap(), Subnets::AllBut(_)));
        assert_eq!(
            Subnets::from_keys(&list(&["10.1.2.3/8", "10.0.0.0/8"]), &none).unwrap(),
            Subnets::Only(vec!["10.0.0.0/8".parse().unwrap()])
        );
        assert_eq!(
            Subnets::from_keys(&list(&["::ffff:10.1.2.3/104", "::ffff:0:0/96", "::ffff:0:0/95"]), &none)
                .unwrap(),
            Subnets::Only(["10.0.0.0/8", "0.0.0.0/0", "::fffe:0:0/95"].map(|it| it.parse().unwrap()).into())
        );
        assert!(Subnets::from_keys(&some, &some).unwrap_err().to_string().contains("set only one"));
        let error = Subnets::from_keys(&none, &list(&["10.0.0.0/33"])).unwrap_err().to_string();
        assert!(error.contains("unshapedSubnets") && error.contains("10.0.0.0/33"), "{error}");
    }

    #[test]
    fn only_what_is_not_exempt_is_sent_to_the_device() {
        let subnets = list(&["10.0.0.0/8"]);
        let targets = |subnets: Subnets| -> Vec<_> {
            subnets.rules(Direction::Egress, 7).iter().map(Rule::target).collect()
        };
        assert_eq!(targets(Subnets::All), [Some(7)]);
        // ARP, neighbour discovery and the subnet; first behind tags of two protocols.
        let only = targets(Subnets::from_keys(&subnets, &[]).unwrap());
        assert_eq!(only[..10], [&[None; 8][..], &[Some(7); 2]].concat());
        assert_eq!(only[10..], [&[None; 4][..], &[Some(7)], &[Some(7); 4]].concat());
        let all_but = targets(Subnets::from_keys(&[], &subnets).unwrap());
        assert_eq!(all_but, [&[None; 15][..], &[Some(7)]].concat());
    }

    #[test]
    fn rules_tell_what_they_were_made_of() {
        let subnets = list(&["10.0.0.0/8", "192.168.7.9/32", "0.0.0.0/0", "fd00:1:2::/44", "::/0"]);
        for wanted in [
            Subnets::All,
            Subnets::from_keys(&subnets, &[]).unwrap(),
            Subnets::from_keys(&[], &subnets).unwrap(),
        ] {
            for direction in [Direction::Ingress, Direction::Egress] {
                let rules = wanted.rules(direction, 7);
                assert_eq!(Subnets::of_rules(&rules).unwrap(), wanted);
                let earlier: Vec<Rule> = rules.into_iter().filter(|rule| !rule.is_about_tags()).collect();
                assert_eq!(Subnets::of_rules(&earlier).unwrap(), wanted);
            }
        }
        assert_eq!(Subnets::of_rules(&[]), None);
    }
}
