//! One attachment, in the result and in the kernel.

use serde_json::{Value, json};
use tests::config::{bridge, host_local};
use tests::{Look, Node, Pod, with_prev_result};

fn has_flag(link: &Value, flag: &str) -> bool {
    link["flags"].as_array().unwrap().iter().any(|found| found == flag)
}

#[test]
fn the_result_names_bridge_host_end_and_pod_end() {
    let (node, pod) = (Node::new(), Pod::new("c1"));
    let result = node.call("bridge", &pod).add(&bridge(json!({})));
    let interfaces = result["interfaces"].as_array().unwrap();
    let names: Vec<_> = interfaces.iter().map(|interface| interface["name"].as_str().unwrap()).collect();
    let digits = names[1].strip_prefix("veth").unwrap();
    assert!(digits.len() == 8 && u32::from_str_radix(digits, 16).is_ok(), "{names:?}");
    assert_eq!((names[0], names[2], names.len()), ("cni0", "eth0", 3));
    for (interface, link) in interfaces.iter().zip([node.link("cni0"), node.link(names[1]), pod.link("eth0")])
    {
        assert_eq!(interface["mac"], link["address"]);
    }
    assert_eq!(interfaces[2]["sandbox"], pod.netns());
    assert!(interfaces[..2].iter().all(|interface| interface.get("sandbox").is_none()));
    // IPAM hands out no gateway to the bridge, but says which it is.
    let ip = json!([{"interface": 2, "address": "10.244.0.2/24", "gateway": "10.244.0.1"}]);
    assert_eq!((&result["ips"], result.get("routes")), (&ip, None));
}

#[test]
fn both_ends_are_up_and_the_hosts_is_in_the_bridge() {
    let (node, pod) = (Node::new(), Pod::new("c1"));
    node.call("bridge", &pod).add(&bridge(json!({})));
    let ports = node.ports("cni0");
    assert_eq!(ports.len(), 1);
    let (bridge, host_end, pod_end) = (node.link("cni0"), node.link(&ports[0]), pod.link("eth0"));
    for link in [&bridge, &host_end, &pod_end] {
        assert!(has_flag(link, "UP"), "{link}");
    }
    assert_eq!(bridge["linkinfo"]["info_kind"], "bridge");
    assert_eq!(host_end["linkinfo"]["info_kind"], "veth");
    assert_eq!(host_end["link_index"], pod_end["ifindex"]);
    assert_eq!(pod_end["link_index"], host_end["ifindex"]);
    assert_eq!(pod.links(), ["eth0"]);
    assert_eq!(pod.addresses("eth0"), ["10.244.0.2/24"]);
}

#[test]
fn the_alias_of_the_hosts_end_names_the_attachment() {
    let (node, pod) = (Node::new(), Pod::new("c1"));
    let call = node.call("bridge", &pod);
    call.with("CNI_ARGS", "IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web-0")
        .add(&bridge(json!({})));
    let alias = node.link(&node.ports("cni0")[0])["ifalias"].as_str().unwrap().to_owned();
    for word in ["container=c1", "interface=eth0", "network=pods", "pod=shop/web-0"] {
        assert!(alias.split(' ').any(|found| found == word), "{alias}");
    }
}

#[test]
fn the_alias_without_a_pod_name_names_the_rest() {
    let (node, pod) = (Node::new(), Pod::new("c1"));
    node.call("bridge", &pod).add(&bridge(json!({})));
    let alias = node.link(&node.ports("cni0")[0])["ifalias"].as_str().unwrap().to_owned();
    assert!(alias.contains("container=c1") && !alias.contains("pod="), "{alias}");
}

#[test]
fn the_mtu_is_that_of_both_ends_and_of_a_new_bridge() {
    let (node, pod) = (Node::new(), Pod::new("c1"));
    node.call("bridge", &pod).add(&bridge(json!({"mtu": 1450})));
    assert_eq!(node.link(&node.ports("cni0")[0])["mtu"], 1450);
    assert_eq!(pod.link("eth0")["mtu"], 1450);
    assert_eq!(node.link("cni0")["mtu"], 1450);
}

#[test]
fn hairpin_mode_and_port_isolation_are_the_ports() {
    let node = Node::new();
    for (number, (hairpin, isolated)) in
        [(false, false), (true, false), (false, true), (true, true)].into_iter().enumerate()
    {
        let name = format!("br{number}");
        let config = bridge(json!({"bridge": name, "hairpinMode": hairpin, "portIsolation": isolated}));
        let pod = Pod::new(&format!("c{number}"));
        node.call("bridge", &pod).add(&config);
        let port = node.link(&node.ports(&name)[0]);
        let flags = &port["linkinfo"]["info_slave_data"];
        assert_eq!((&flags["hairpin"], &flags["isolated"]), (&json!(hairpin), &json!(isolated)));
    }
}

#[test]
fn promiscuous_mode_is_the_bridges() {
    let (node, pod) = (Node::new(), Pod::new("c1"));
    node.call("bridge", &pod).add(&bridge(json!({"promiscMode": true})));
    assert!(has_flag(&node.link("cni0"), "PROMISC"));
}

#[test]
fn hairpin_and_promiscuous_mode_exclude_each_other() {
    let (node, pod) = (Node::new(), Pod::new("c1"));
    let config = bridge(json!({"promiscMode": true, "hairpinMode": true}));
    let failure = node.call("bridge", &pod).verb("ADD", &config).unwrap_err();
    assert!(
        failure.message.contains("hairpinMode") && failure.message.contains("promiscMode"),
        "{failure:?}"
    );
    assert!(node.links().is_empty());
}

#[test]
fn without_ipam_the_pod_is_on_the_wire_without_an_address() {
    let (node, pod) = (Node::new(), Pod::new("c1"));
    let config = bridge(json!({"ipam": null, "isGateway": true}));
    for ipam in [json!(null), json!({})] {
        let call = node.call("bridge", &pod);
        let config = tests::config::changed(&config, json!({"ipam": ipam}));
        let result = call.add(&config);
        assert_eq!((result["interfaces"].as_array().unwrap().len(), result.get("ips")), (3, None));
        assert!(has_flag(&pod.link("eth0"), "UP"));
        assert!(pod.addresses("eth0").is_empty() && node.addresses("cni0").is_empty());
        call.check(&config, &result);
        call.del(&config);
    }
}

#[test]
fn a_disabled_container_interface_is_there_and_down() {
    let (node, pod) = (Node::new(), Pod::new("c1"));
    let call = node.call("bridge", &pod);
    let config = bridge(json!({"ipam": null, "disableContainerInterface": true}));
    let result = call.add(&config);
    assert!(!has_flag(&pod.link("eth0"), "UP"));
    assert_eq!(node.ports("cni0").len(), 1);
    call.check(&config, &result);
    call.del(&config);

    let with_ipam = bridge(json!({"disableContainerInterface": true}));
    let failure = call.verb("ADD", &with_ipam).unwrap_err();
    assert!(failure.message.contains("disableContainerInterface"), "{failure:?}");
    assert!(pod.links().is_empty());
}

#[test]
fn dns_in_the_config_wins_over_that_of_ipam() {
    let (node, pod) = (Node::new(), Pod::new("c1"));
    let file = node.file("resolv.conf", "nameserver 10.0.0.53\nsearch node.example\n");
    let mut ipam = host_local(&["10.244.0.0/24"]);
    ipam["resolvConf"] = json!(file);
    let call = node.call("bridge", &pod);
    let from_ipam = json!({"nameservers": ["10.0.0.53"], "search": ["node.example"]});
    assert_eq!(call.add(&bridge(json!({"ipam": ipam})))["dns"], from_ipam);
    call.del(&bridge(json!({"ipam": ipam})));
    let dns = json!({"nameservers": ["10.96.0.10"], "domain": "cluster.local", "options": ["ndots:5"]});
    assert_eq!(call.add(&bridge(json!({"ipam": ipam, "dns": dns})))["dns"], dns);
}

#[test]
fn loopbacks_interface_is_passed_on_behind_bridges() {
    // Nomad and buildkit chain loopback and bridge under one name.
    let (node, pod) = (Node::new(), Pod::new("c1"));
    let loopback = json!({"cniVersion": "0.4.0", "name": "nomad", "type": "loopback"});
    let before = node.call("loopback", &pod).add(&loopback);
    let config = bridge(json!({"cniVersion": "0.4.0", "name": "nomad", "isGateway": true}));
    let call = node.call("bridge", &pod);
    let result = call.add(&with_prev_result(&config, &before));

    let interfaces = result["interfaces"].as_array().unwrap();
    let names: Vec<_> = interfaces.iter().map(|interface| &interface["name"]).collect();
    assert_eq!(
        (names[0], names[2], names[3], names.len()),
        (&json!("cni0"), &json!("eth0"), &json!("lo"), 4)
    );
    assert_eq!(interfaces[3], before["interfaces"][0]);
    // Plugins behind us take every address of the result for the pod's.
    let ips = json!([{"version": "4", "interface": 2, "address": "10.244.0.2/24", "gateway": "10.244.0.1"}]);
    assert_eq!(result["ips"], ips);
    call.check(&config, &result);
    node.call("loopback", &pod).check(&loopback, &result);
    call.del(&with_prev_result(&config, &result));
}

#[test]
fn a_container_may_have_several_interfaces_in_one_network_and_in_others() {
    let (node, pod) = (Node::new(), Pod::new("c1"));
    let other = bridge(json!({"name": "other", "bridge": "cni1", "ipam": host_local(&["10.9.0.0/24"])}));
    let attachments = [("eth0", bridge(json!({}))), ("eth1", bridge(json!({}))), ("net1", other)];
    let results = attachments
        .clone()
        .map(|(name, config)| node.call("bridge", &pod).with("CNI_IFNAME", name).add(&config));
    assert_eq!(pod.links(), ["eth0", "eth1", "net1"]);
    assert_eq!(pod.addresses("eth1"), ["10.244.0.3/24"]);
    assert_eq!(pod.addresses("net1"), ["10.9.0.2/24"]);
    for ((name, config), result) in attachments.iter().zip(&results) {
        node.call("bridge", &pod).with("CNI_IFNAME", *name).check(config, result);
    }
    node.call("bridge", &pod).with("CNI_IFNAME", "eth1").del(&attachments[1].1);
    assert_eq!(pod.links(), ["eth0", "net1"]);
    node.call("bridge", &pod).check(&attachments[0].1, &results[0]);
}
