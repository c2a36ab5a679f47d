//! `conditionsV4` and `conditionsV6`: which packets a mapping takes. The arguments are those of `iptables` or `nft`, as
//! the reference plugin hands them on to either program.

use cni::Failure;
use ipnetwork::IpNetwork;
use linux::Family;
use nft::{Comparison, Digest, Expressions, Field, Side, octets};

/// What a packet's addresses must be. Mappings without conditions have none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Conditions(Vec<Condition>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Condition {
    side: Side,
    comparison: Comparison,
    prefix: IpNetwork,
}

impl Conditions {
    /// Reads the arguments of `key`: `["!", "-d", "192.0.2.0/24"]`, or `["ip", "daddr", "!=", "192.0.2.0/24"]`.
    ///
    /// # Errors
    /// Code 7 for anything else.
    pub fn read(key: &str, family: Family, arguments: &[String]) -> Result<Self, Failure> {
        // One argument may hold several words.
        let mut words = arguments.iter().flat_map(|argument| argument.split_whitespace());
        let mut conditions = Vec::new();
        while let Some(first) = words.next() {
            let condition = Self::one(family, first, &mut words).ok_or_else(|| {
                let example = match family {
                    Family::V4 => {
                        "\"-s\" or \"-d\" with a prefix, \"!\" before it, \"ip saddr\" or \"ip daddr\""
                    }
                    Family::V6 => {
                        "\"-s\" or \"-d\" with a prefix, \"!\" before it, \"ip6 saddr\" or \"ip6 daddr\""
                    }
                };
                Failure::invalid_value(
                    key,
                    format_args!("{arguments:?}"),
                    format_args!("a list of {example}"),
                )
            })?;
            conditions.push(condition);
        }
        Ok(Self(conditions))
    }

    fn one<'a>(family: Family, first: &str, rest: &mut impl Iterator<Item = &'a str>) -> Option<Condition> {
        let ip = match family {
            Family::V4 => "ip",
            Family::V6 => "ip6",
        };
        let (side, comparison, value) = if first == ip {
            let side = match rest.next()? {
                "saddr" => Side::Source,
                "daddr" => Side::Destination,
                _ => return None,
            };
            match rest.next()? {
                "!=" => (side, Comparison::Different, rest.next()?),
                "==" => (side, Comparison::Equal, rest.next()?),
                value => (side, Comparison::Equal, value),
            }
        } else {
            let (option, comparison) = match first {
                "!" => (rest.next()?, Comparison::Different),
                option => (option, Comparison::Equal),
            };
            let side = match option {
                "-s" | "--source" | "--src" => Side::Source,
                "-d" | "--destination" | "--dst" => Side::Destination,
                _ => return None,
            };
            (side, comparison, rest.next()?)
        };
        let prefix: IpNetwork = value.parse().ok()?;
        let prefix = IpNetwork::new(prefix.network(), prefix.prefix()).ok()?;
        (Family::of_address(prefix.ip()) == family).then_some(Condition { side, comparison, prefix })
    }

    /// Returns a number that names the conditions in the table; 0 for none.
    pub fn id(&self) -> u32 {
        if self.0.is_empty() {
            return 0;
        }
        let texts: Vec<String> = self.0.iter().map(Condition::text).collect();
        let Digest([a, b, c, d, ..]) = Digest::of(&texts.iter().map(String::as_str).collect::<Vec<_>>());
        u32::from_be_bytes([a, b, c, d]).max(1)
    }

    /// Ends the rule unless the packet fulfils the conditions.
    pub fn match_in(&self, rule: &mut Expressions<'_, '_>) {
        for Condition { side, comparison, prefix } in &self.0 {
            rule.load(&[Field::Address(Family::of_address(prefix.ip()), *side)]);
            rule.mask(&octets(prefix.mask()));
            rule.compare(*comparison, &octets(prefix.ip()));
        }
    }
}

impl Condition {
    fn text(&self) -> String {
        format!("{:?} {:?} {}", self.side, self.comparison, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(family: Family, arguments: &[&str]) -> Result<Conditions, Failure> {
        Conditions::read(
            "conditionsV4",
            family,
            &arguments.iter().map(ToString::to_string).collect::<Vec<_>>(),
        )
    }

    #[test]
    fn both_programs_arguments_mean_the_same() {
        let expected = read(Family::V4, &["!", "-d", "192.0.2.0/24", "-s", "10.0.0.0/8"]).unwrap();
        for arguments in [
            &["ip", "daddr", "!=", "192.0.2.0/24", "ip", "saddr", "10.0.0.0/8"][..],
            &["! -d 192.0.2.0/24", "-s 10.0.0.0/8"],
            &["!", "--destination", "192.0.2.7/24", "--source", "10.0.0.0/8"],
        ] {
            assert_eq!(read(Family::V4, arguments).unwrap(), expected, "{arguments:?}");
        }
        assert_ne!(expected.id(), 0);
        assert_ne!(
            expected.id(),
            read(Family::V4, &["-d", "192.0.2.0/24", "-s", "10.0.0.0/8"]).unwrap().id()
        );
        assert_eq!(read(Family::V4, &[]).unwrap().id(), 0);
    }

    #[test]
    fn everything_else_is_refused_with_key_and_value() {
        for (family, arguments) in [
            (Family::V4, &["-i", "eth0"][..]),
            (Family::V4, &["-d"]),
            (Family::V4, &["-d", "fd00::/8"]),
            (Family::V4, &["ip6", "daddr", "fd00::/8"]),
            (Family::V6, &["-d", "10.0.0.0/8"]),
            (Family::V4, &["!", "!", "-d", "10.0.0.0/8"]),
        ] {
            let failure = read(family, arguments).unwrap_err();
            assert_eq!(failure.code, 7);
            assert!(failure.msg.starts_with("conditionsV4: "), "{}", failure.msg);
        }
    }
}
