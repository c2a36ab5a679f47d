//! A kernel without VLANs is named, and nothing else happens.

use serde_json::{Value, json};
use tests::config::{bridge, host_local};
use tests::{Look, Node, Pod, with_prev_result};

/// Returns whether `ip` can create a bridge with VLAN filtering.
fn has_filtering(node: &Node) -> bool {
    node.look(
        "if ip link add witness type bridge vlan_filtering 1 2>/dev/null; then ip link delete witness; echo yes; fi",
    ) == "yes\n"
}

const KEYS: [fn() -> Value; 3] = [
    || json!({"vlan": 100, "isDefaultGateway": true}),
    || json!({"vlan": 100, "vlanTrunk": [{"minID": 200, "maxID": 210}]}),
    || json!({"vlanTrunk": [{"id": 300}], "preserveDefaultVlan": true}),
];

/// ADD does what the kernel can; where it cannot, the error says what is missing, and everything is as before.
fn add_attaches_or_names_the_missing_feature(node: &Node, pod: &Pod, keys: Value) {
    let (config, before) = (bridge(keys), node.fingerprint());
    match node.call("bridge", pod).verb("ADD", &config) {
        Ok(result) => {
            assert!(has_filtering(node));
            node.call("bridge", pod).check(&config, &result);
        }
        Err(failure) => {
            assert!(!has_filtering(node), "{failure:?}");
            assert_eq!(failure.code, 999, "{failure:?}");
            for word in ["cni0", "this kernel has no", "CONFIG_BRIDGE_VLAN_FILTERING"] {
                assert!(failure.message.contains(word), "want {word:?}: {failure:?}");
            }
            assert_eq!(node.fingerprint(), before);
        }
    }
    node.call("bridge", pod).del(&config);
    node.call("bridge", pod).del(&config);
    assert!(pod.links().is_empty());
}

#[test]
fn a_kernel_without_vlans_is_named_and_nothing_remains() {
    for keys in KEYS {
        let (node, pod) = (Node::new(), Pod::new("c1"));
        add_attaches_or_names_the_missing_feature(&node, &pod, keys());
    }
}

#[test]
fn a_bridge_that_is_there_stays_as_it_is_on_a_kernel_without_vlans() {
    for keys in KEYS {
        let (node, pod) = (Node::new(), Pod::new("c1"));
        node.look("ip link add cni0 type bridge; ip addr add 10.244.0.1/24 dev cni0; ip link set cni0 up");
        add_attaches_or_names_the_missing_feature(&node, &pod, keys());
    }
}

#[test]
fn the_address_is_free_again() {
    let (node, pod) = (Node::new(), Pod::new("c1"));
    let mut ipam = host_local(&["10.244.0.0/24"]);
    ipam["ranges"][0][0]["rangeStart"] = json!("10.244.0.9");
    ipam["ranges"][0][0]["rangeEnd"] = json!("10.244.0.9");
    let with = |keys: Value| {
        let mut config = bridge(keys);
        config["ipam"] = ipam.clone();
        config
    };
    if node.call("bridge", &pod).verb("ADD", &with(json!({"vlan": 100}))).is_ok() {
        assert!(has_filtering(&node));
        node.call("bridge", &pod).del(&with(json!({"vlan": 100})));
    }
    let other = Pod::new("c2");
    let result = node.call("bridge", &other).add(&with(json!({"bridge": "cni1"})));
    assert_eq!(result["ips"][0]["address"], "10.244.0.9/24");
}

#[test]
fn status_says_whether_there_are_vlans_and_makes_nothing() {
    let (node, pod) = (Node::new(), Pod::new("c1"));
    let status = |keys: Value| {
        let mut config = bridge(keys);
        config["cniVersion"] = json!("1.1.0");
        node.call("bridge", &pod).verb("STATUS", &config)
    };
    status(json!({})).unwrap();
    for keys in KEYS {
        match status(keys()) {
            Ok(_) => assert!(has_filtering(&node)),
            Err(failure) => {
                assert!(!has_filtering(&node), "{failure:?}");
                assert_eq!(failure.code, 50, "{failure:?}");
                assert!(failure.message.contains("CONFIG_BRIDGE_VLAN_FILTERING"), "{failure:?}");
            }
        }
    }
    assert!(node.links().is_empty());
}

#[test]
fn keys_without_a_vlan_have_no_effect() {
    for keys in [
        json!({"vlan": 0, "preserveDefaultVlan": true}),
        json!({"vlan": null, "vlanTrunk": null, "preserveDefaultVlan": false}),
        json!({"vlanTrunk": []}),
    ] {
        let (node, pod) = (Node::new(), Pod::new("c1"));
        let config = bridge(keys);
        let result = node.call("bridge", &pod).add(&config);
        node.call("bridge", &pod).check(&config, &result);
        assert!(!super::filters(&node, "cni0"));
        assert_eq!(result["interfaces"].as_array().unwrap().len(), 3);
    }
}

#[test]
fn check_fails_for_a_bridge_without_vlan_filtering() {
    let (node, pod) = (Node::new(), Pod::new("c1"));
    let result = node.call("bridge", &pod).add(&bridge(json!({})));
    let config = with_prev_result(&bridge(json!({"vlan": 100})), &result);
    let failure = node.call("bridge", &pod).verb("CHECK", &config).unwrap_err();
    for word in ["\"cni0\"", "vlan_filtering"] {
        assert!(failure.message.contains(word), "want {word:?}: {failure:?}");
    }
}

#[test]
fn an_invalid_vlan_is_refused_with_key_value_and_range() {
    let (node, pod) = (Node::new(), Pod::new("c1"));
    let before = node.fingerprint();
    for (keys, words) in [
        (json!({"vlan": 4095}), &["vlan: 4095", "0 and 4094"][..]),
        (json!({"vlan": -1}), &["vlan: -1", "0 and 4094"]),
        (json!({"vlan": "7"}), &["vlan", "\"7\""]),
        (json!({"vlanTrunk": [{"id": 7}, {"id": 4095}]}), &["vlanTrunk[1].id: 4095", "1 and 4094"]),
        (json!({"vlanTrunk": [{"minID": 0, "maxID": 9}]}), &["vlanTrunk[0].minID: 0", "1 and 4094"]),
        (json!({"vlanTrunk": [{"minID": 1, "maxID": 4095}]}), &["vlanTrunk[0].maxID: 4095", "1 and 4094"]),
        (json!({"vlanTrunk": [{"minID": 9, "maxID": 8}]}), &["vlanTrunk[0]", "minID 9", "maxID 8"]),
        (json!({"vlanTrunk": [{"minID": 9}]}), &["vlanTrunk[0]", "maxID is missing"]),
        (json!({"vlanTrunk": [{"maxID": 9}]}), &["vlanTrunk[0]", "minID is missing"]),
        (json!({"vlanTrunk": [{}]}), &["vlanTrunk[0]", "id"]),
        (json!({"vlanTrunk": [{"minID": "a", "maxID": 9}]}), &["vlanTrunk[0].minID", "\"a\""]),
        (
            json!({"vlan": 4094, "isGateway": true, "bridge": "eleven-byte"}),
            &["\"eleven-byte\"", "\"eleven-byte.4094\"", "15"],
        ),
    ] {
        let failure = node.call("bridge", &pod).verb("ADD", &bridge(keys)).unwrap_err();
        assert_eq!(failure.code, 7, "{failure:?}");
        for word in words {
            assert!(failure.message.contains(word), "want {word:?}: {failure:?}");
        }
        assert_eq!(node.fingerprint(), before, "{failure:?}");
    }
}
