//! Addresses that the caller requests.

use std::net::IpAddr;

use cni::Failure;
use ipnetwork::IpNetwork;

use crate::error::{Result, unfulfilled};
use crate::range_set::RangeSet;

/// Returns the addresses of `CNI_ARGS` (`IP=`), `args.cni.ips` and `runtimeConfig.ips`, each once. A prefix length is
/// ignored, and so is an empty text.
pub(crate) fn addresses(
    of_environment: Option<&str>,
    of_args: &[Option<String>],
    of_runtime: &[Option<String>],
) -> Result<Vec<IpAddr>> {
    let listed = |key: &'static str, texts: &[Option<String>]| -> Vec<_> {
        let named = texts.iter().enumerate();
        named.map(|(index, text)| (format!("{key}[{index}]"), text.clone().unwrap_or_default())).collect()
    };
    let environment = of_environment.map(|text| ("CNI_ARGS: IP".to_owned(), text.to_owned())).into_iter();
    let mut addresses = Vec::new();
    for (key, text) in environment
        .chain(listed("args.cni.ips", of_args))
        .chain(listed("runtimeConfig.ips", of_runtime))
        .filter(|(_, text)| !text.trim().is_empty())
    {
        let Some(address) = parse(text.trim()) else {
            return Err(Failure::invalid_value(key, format_args!("{text:?}"), "an IP address"));
        };
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    Ok(addresses)
}

fn parse(text: &str) -> Option<IpAddr> {
    let address: IpAddr = match text.contains('/') {
        true => text.parse::<IpNetwork>().ok()?.ip(),
        false => text.parse().ok()?,
    };
    Some(address.to_canonical())
}

/// Returns the requested address of each range set.
///
/// # Errors
/// When an address is in no set, or in the same set as another.
pub(crate) fn assign(requested: &[IpAddr], sets: &[RangeSet]) -> Result<Vec<Option<IpAddr>>> {
    let mut assigned = vec![None; sets.len()];
    let mut unassigned = Vec::new();
    for &address in requested {
        match sets.iter().position(|set| set.range_of(address).is_some()) {
            Some(set) if assigned[set].is_none() => assigned[set] = Some(address),
            _ => unassigned.push(address),
        }
    }
    if unassigned.is_empty() { Ok(assigned) } else { Err(unfulfilled(&unassigned, sets)) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::range_set::tests::set;

    fn some(texts: &[&str]) -> Vec<Option<String>> {
        texts.iter().map(|text| Some((*text).to_owned())).collect()
    }

    #[test]
    fn addresses_come_from_all_three_places_with_or_without_a_prefix() {
        let runtime = [None, Some(String::new()), Some("fd00::5/64".to_owned())];
        let addresses = addresses(Some("10.0.0.5"), &some(&["10.0.0.5/24", "10.0.0.6"]), &runtime).unwrap();
        assert_eq!(
            addresses,
            ["10.0.0.5", "10.0.0.6", "fd00::5"].map(|text| text.parse::<IpAddr>().unwrap())
        );
    }

    #[test]
    fn an_invalid_address_is_named_with_its_key() {
        let error = addresses(None, &[], &some(&["10.0.0.5", "10.0.0"])).unwrap_err();
        assert_eq!(error.to_string(), "runtimeConfig.ips[1]: \"10.0.0\" is not an IP address");
        let error = addresses(Some("zz"), &[], &[]).unwrap_err();
        assert_eq!(error.to_string(), "CNI_ARGS: IP: \"zz\" is not an IP address");
    }

    #[test]
    fn each_set_gets_its_own() {
        let sets =
            [set(&["10.0.0.0/24"]).unwrap(), set(&["10.1.0.0/24"]).unwrap(), set(&["fd00::/64"]).unwrap()];
        let asked: Vec<IpAddr> = ["fd00::5", "10.0.0.5"].map(|text| text.parse().unwrap()).into();
        assert_eq!(assign(&asked, &sets).unwrap(), [Some(asked[1]), None, Some(asked[0])]);
    }

    #[test]
    fn an_address_that_no_set_can_give_is_named() {
        let sets = [set(&["10.0.0.0/24"]).unwrap()];
        let asked: Vec<IpAddr> =
            ["10.0.0.5", "10.9.0.1", "10.0.0.6"].map(|text| text.parse().unwrap()).into();
        assert_eq!(
            assign(&asked, &sets).unwrap_err().msg,
            "failed to allocate all requested IPs: 10.9.0.1 10.0.0.6"
        );
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in ".{0,40}", address in "[0-9a-f:./]{0,24}") {
            let _ = addresses(Some(&text), &some(&[&address]), &some(&[&text]));
        }
    }
}
