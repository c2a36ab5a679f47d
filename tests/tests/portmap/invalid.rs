//! Bad input: one sentence with key and value, and nothing changed.

use serde_json::{Value, json};
use tests::config::changed;
use tests::{Look, Node, Pod, REFERENCE, with_prev_result};

use super::{NODE, NODE_V6, attached, config, forward, forward_in, mapping, says, with_host_ip};

#[test]
fn bad_mappings_and_keys_are_refused_with_key_and_value() {
    let node = Node::new();
    let (pod, result) = attached(&node, "c1");
    let port = mapping("tcp", 8080, 80);
    let before = node.fingerprint();
    let second = |keys: Value| json!([port, changed(&port, keys)]);
    for (mappings, keys, words) in [
        (
            second(json!({"hostPort": 0})),
            json!({}),
            &["portMappings[1].hostPort: 0 is not between 1 and 65535"][..],
        ),
        (second(json!({"hostPort": 65_536})), json!({}), &["portMappings[1].hostPort: 65536"]),
        (second(json!({"hostPort": -1})), json!({}), &["portMappings[1].hostPort: -1"]),
        (second(json!({"containerPort": 0})), json!({}), &["portMappings[1].containerPort: 0"]),
        (
            second(json!({"protocol": "icmp"})),
            json!({}),
            &["portMappings[1].protocol: \"icmp\"", "tcp, udp or sctp"],
        ),
        (second(json!({"hostIP": "localhost"})), json!({}), &["portMappings[1].hostIP: \"localhost\""]),
        (
            second(json!({"containerPort": 81})),
            json!({}),
            &["portMappings[1].hostPort: 8080", "port 80 already"],
        ),
        (
            second(json!({"hostIP": "127.0.0.1"})),
            json!({"localhost": false}),
            &["portMappings[1].hostIP: 127.0.0.1"],
        ),
        (json!([port]), json!({"markMasqBit": 32}), &["markMasqBit: 32 is not between 0 and 31"]),
        (
            json!([port]),
            json!({"markMasqBit": 3, "externalSetMarkChain": "X"}),
            &["externalSetMarkChain and markMasqBit"],
        ),
        (json!([port]), json!({"backend": "ipvs"}), &["backend: \"ipvs\""]),
        (json!([port]), json!({"conditionsV4": ["-i", "eth0"]}), &["conditionsV4: [\"-i\", \"eth0\"]"]),
        (json!([port]), json!({"conditionsV6": ["-d", "10.0.0.0/8"]}), &["conditionsV6: "]),
    ] {
        let failure = forward(&node, &pod, &config(mappings, keys), &result).unwrap_err();
        says(&failure, 7, words);
    }
    assert_eq!(node.fingerprint(), before);
}

#[test]
fn a_mapping_for_a_family_that_the_pod_does_not_have_is_refused_or_skipped() {
    let node = Node::new();
    let (pod, result) = attached(&node, "c1");
    let port = mapping("tcp", 8080, 80);
    let v4_only = changed(&result, json!({"ips": [result["ips"][0]]}));
    let v6 = config(json!([with_host_ip(NODE_V6, &port)]), json!({}));
    says(
        &forward(&node, &pod, &v6, &v4_only).unwrap_err(),
        7,
        &["portMappings[0].hostIP: 2001:db8::1", "eth0"],
    );
    // Runtimes give one mapping for each family, whatever the pod has.
    let both = json!([with_host_ip("0.0.0.0", &port), with_host_ip("::", &port)]);
    forward(&node, &pod, &config(both, json!({})), &v4_only).unwrap();
    let none = changed(&result, json!({"ips": []}));
    for mappings in
        [json!([port]), json!([with_host_ip(NODE, &port)]), json!([with_host_ip("0.0.0.0", &port)])]
    {
        let failure = forward(&node, &pod, &config(mappings, json!({})), &none).unwrap_err();
        says(&failure, 7, &["prevResult", "eth0"]);
    }
}

#[test]
fn it_is_called_behind_another_plugin() {
    let node = Node::new();
    let pod = Pod::new("c1");
    let config = config(json!([mapping("tcp", 8080, 80)]), json!({}));
    says(&node.call("portmap", &pod).verb("ADD", &config).unwrap_err(), 7, &["chained plugin"]);
    says(&node.call("portmap", &pod).verb("CHECK", &config).unwrap_err(), 7, &["prevResult"]);
}

#[test]
fn without_mappings_the_result_is_handed_on_and_nothing_changed() {
    let node = Node::new();
    let (pod, result) = attached(&node, "c1");
    let before = node.fingerprint();
    for config in [
        config(json!(null), json!({})),
        config(json!([]), json!({})),
        config(json!([]), json!({"runtimeConfig": null})),
    ] {
        assert_eq!(forward(&node, &pod, &config, &result).unwrap(), result);
        node.call("portmap", &pod).check(&config, &result);
        node.call("portmap", &pod).del(&with_prev_result(&config, &result));
    }
    assert_eq!(node.fingerprint(), before);
}

#[test]
fn mappings_as_each_runtime_writes_them_mean_the_same() {
    let node = Node::new();
    for mapping in [
        json!({"HostPort": 8080, "ContainerPort": 80, "Protocol": "tcp", "HostIP": ""}),
        json!({"hostPort": 8080, "containerPort": 80, "protocol": "TCP"}),
        json!({"hostPort": 8080.0, "containerPort": 80, "protocol": "tcp", "hostIP": null}),
    ] {
        let (pod, result) = attached(&node, "c1");
        forward(&node, &pod, &config(json!([mapping]), json!({})), &result).unwrap();
        assert!(node.look("nft list map inet weir-portmap ports-ipv4").contains("tcp . 8080 : "));
        node.call("portmap", &pod).del(&config(json!(null), json!({})));
        node.call("bridge", &pod).del(&super::network());
    }
}

#[test]
fn the_reference_refuses_port_0_too() {
    let node = Node::new();
    let (pod, result) = attached(&node, "c1");
    let config = config(json!([mapping("tcp", 0, 80)]), json!({}));
    for folder in [node.bin(), REFERENCE.as_ref()] {
        assert!(forward_in(&node, folder, &pod, &config, &result).is_err(), "{folder:?}");
    }
}
