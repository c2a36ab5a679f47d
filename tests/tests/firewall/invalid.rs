//! Input that cannot be: one sentence with key and value, and nothing changes.

use serde_json::json;
use tests::Node;
use tests::config::changed;

use super::{says, unattached};

#[test]
fn a_value_that_cannot_be_is_named_and_changes_nothing() {
    let node = Node::new();
    let before = node.fingerprint();
    let (_pod, call, config) = unattached(&node, "c1", &["10.1.2.3/24"]);
    for (keys, words) in [
        (json!({"ingressPolicy": "bogus"}), &["ingressPolicy", "\"bogus\"", "same-bridge"][..]),
        (json!({"ingressPolicy": 5}), &["ingressPolicy", "5"]),
        (json!({"backend": "pf"}), &["backend", "\"pf\""]),
        (json!({"backend": "firewalld"}), &["backend", "firewalld", "--add-source"]),
        (json!({"iptablesAdminChainName": "FORWARD"}), &["iptablesAdminChainName", "\"FORWARD\""]),
        (json!({"iptablesAdminChainName": "two words"}), &["iptablesAdminChainName", "\"two words\""]),
        (json!({"iptablesAdminChainName": "DROP"}), &["iptablesAdminChainName", "\"DROP\"", "target"]),
        (json!({"iptablesAdminChainName": "MASQUERADE"}), &["iptablesAdminChainName", "\"MASQUERADE\""]),
        (json!({"iptablesAdminChainName": "a'b"}), &["iptablesAdminChainName", "\"a'b\""]),
        (json!({"prevResult": null}), &["prevResult"]),
    ] {
        says(&call.verb("ADD", &changed(&config, keys)).unwrap_err(), 7, words);
    }
    let mut config = changed(&config, json!({"ingressPolicy": "same-bridge"}));
    config["prevResult"]["interfaces"] = json!([]);
    config["prevResult"]["ips"][0] = json!({"address": "10.1.2.3/24"});
    says(&call.verb("ADD", &config).unwrap_err(), 7, &["ingressPolicy", "bridge"]);
    assert_eq!(node.fingerprint(), before);
}

#[test]
fn more_addresses_than_fit_are_refused_and_nothing_is_left() {
    let node = Node::new();
    let before = node.fingerprint();
    let addresses: Vec<_> = (1..=40).map(|number| format!("10.1.2.{number}/24")).collect();
    let addresses: Vec<_> = addresses.iter().map(String::as_str).collect();
    let (_pod, call, config) = unattached(&node, "c1", &addresses);
    says(&call.verb("ADD", &config).unwrap_err(), 999, &["40 addresses"]);
    assert_eq!(node.fingerprint(), before);
}

#[test]
fn keys_in_any_case_and_every_backend_of_iptables_are_accepted() {
    let node = Node::new();
    for (number, keys) in [
        json!({"Backend": "iptables"}),
        json!({"backend": "nftables"}),
        json!({"backend": "", "firewalldZone": "trusted"}),
        json!({"INGRESSPOLICY": "open"}),
    ]
    .into_iter()
    .enumerate()
    {
        let (_pod, call, config) =
            unattached(&node, &format!("c{number}"), &[&format!("10.1.2.{}/24", number + 1)]);
        call.add(&changed(&config, keys));
    }
}
