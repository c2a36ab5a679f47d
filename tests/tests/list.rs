//! `weir list`: the attachments of a node, as the kernel has them now.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed, its helpers included")]

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use tests::config::{bridge, host_local, with_prev_result};
use tests::{Call, Look, Node, Pod, REFERENCE};

/// As long as a runtime's.
const IDS: [&str; 2] = [
    "00008b1cd37a6e5f4d3c2b1a09f8e7d6c5b4a3928170605f4e3d2c1b0a998877",
    "11118b1cd37a6e5f4d3c2b1a09f8e7d6c5b4a3928170605f4e3d2c1b0a998877",
];
const HEADER: [&str; 12] = [
    "NETWORK",
    "POD",
    "CONTAINER",
    "INTERFACE",
    "HOST",
    "BRIDGE",
    "MAKER",
    "MAC",
    "MTU",
    "BIT/S TO",
    "BIT/S FROM",
    "ADDRESSES",
];

const LIMIT_KEYS: [&str; 10] = [
    "device",
    "rateBitsPerSecond",
    "burstBytes",
    "queueLimitBytes",
    "passedBytes",
    "passedPackets",
    "droppedPackets",
    "delayedPackets",
    "waitingBytes",
    "waitingPackets",
];

fn list(node: &Node, arguments: &str) -> Vec<Value> {
    let output = node.weir(&format!("list --json {arguments}"));
    assert!(output.status.success() && output.stderr.is_empty(), "{arguments}: {output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn table(node: &Node, arguments: &str) -> String {
    let output = node.weir(&format!("list {arguments}"));
    assert!(output.status.success() && output.stderr.is_empty(), "{arguments}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The values of these keys, attachment by attachment.
fn of(listed: &[Value], keys: &[&str]) -> Vec<Value> {
    listed.iter().map(|each| keys.iter().map(|key| each[*key].clone()).collect()).collect()
}

/// A call for pod `shop/NAME`.
fn named(call: Call, name: &str) -> Call {
    call.with("CNI_ARGS", format!("IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME={name}"))
}

/// The keys that containerd sends for annotations of 10 and 20 Mbit/s.
fn limits(result: &Value) -> Value {
    let bandwidth = json!({
        "IngressRate": 10_000_000, "IngressBurst": 4_294_967_295u64,
        "EgressRate": 20_000_000, "EgressBurst": 4_294_967_295u64,
    });
    let config = json!({
        "cniVersion": "1.0.0", "name": "pods", "type": "bandwidth", "runtimeConfig": {"bandwidth": bandwidth},
    });
    with_prev_result(&config, result)
}

/// The host's end, by what the plugin answered.
fn host_end(result: &Value) -> &str {
    result["interfaces"][1]["name"].as_str().unwrap()
}

/// The result of an attachment that libcni keeps.
fn keep(network: &str, pod: &Pod, name: &str, result: &Value) {
    let kept = json!({
        "kind": "cniCacheV1", "containerId": pod.id(), "config": "e30=", "ifName": "eth0", "networkName": network,
        "netns": pod.netns(),
        "cniArgs": [["IgnoreUnknown", "1"], ["K8S_POD_NAMESPACE", "shop"], ["K8S_POD_NAME", name]],
        "result": result,
    });
    let folder = Path::new("/var/lib/cni/results");
    fs::create_dir_all(folder).unwrap();
    fs::write(folder.join(format!("{network}-{}-eth0", pod.id())), kept.to_string()).unwrap();
}

#[test]
fn an_attachment_is_shown_as_the_kernel_has_it_under_stable_keys() {
    let (node, pod) = (Node::new(), Pod::new(IDS[0]));
    let config = bridge(json!({"isGateway": true, "mtu": 1450}));
    let result = named(node.call("bridge", &pod), "web-0").add(&config);
    named(node.call("bandwidth", &pod), "web-0").add(&limits(&result));
    let mut listed = list(&node, "");
    assert_eq!(listed.len(), 1, "{listed:?}");
    for (direction, rate) in [("ingress", 10_000_000), ("egress", 20_000_000)] {
        let limit = listed[0][direction].take();
        assert_eq!(limit["rateBitsPerSecond"], rate, "{limit}");
        let keys = limit.as_object().unwrap().keys().collect::<Vec<_>>();
        assert_eq!(keys, LIMIT_KEYS, "as weir limit shows it");
    }
    let link = pod.link("eth0");
    assert_eq!(
        listed[0],
        json!({
            "network": "pods", "pod": "shop/web-0", "containerId": IDS[0], "interface": "eth0",
            "hostInterface": host_end(&result), "bridge": "cni0", "maker": "weir",
            "mac": link["address"], "mtuBytes": 1450, "addresses": ["10.244.0.2/24"],
            "ingress": null, "egress": null, "ingressNotInEffect": null, "egressNotInEffect": null,
        })
    );
}

#[test]
fn the_table_has_a_row_for_each_in_a_stable_order_and_an_empty_node_only_the_header() {
    let node = Node::new();
    let header = table(&node, "");
    assert_eq!(header.trim_end().split("  ").collect::<Vec<_>>(), HEADER);
    assert_eq!(list(&node, ""), Vec::<Value>::new());

    let pods = IDS.map(Pod::new);
    let config = bridge(json!({}));
    // The other order than by name.
    let results = [(0, "web-1"), (1, "web-0")].map(|(index, name)| {
        let call = named(node.call("bridge", &pods[index]), name);
        call.add(&config)
    });
    named(node.call("bandwidth", &pods[0]), "web-1").add(&limits(&results[0]));
    let text = table(&node, "");
    let rows: Vec<Vec<_>> = text.lines().skip(1).map(|row| row.split_whitespace().collect()).collect();
    let mac = |pod: &Pod| pod.link("eth0")["address"].as_str().unwrap().to_owned();
    let row = |index: usize, name: &'static str, rates: &'static str, address: &'static str| {
        let row = format!(
            "pods {name} {} eth0 {} cni0 weir {} 1500 {rates} {address}",
            &IDS[index][..13],
            host_end(&results[index]),
            mac(&pods[index])
        );
        row.split(' ').map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(rows.len(), 2, "{text}");
    assert_eq!(rows[0], row(1, "shop/web-0", "- -", "10.244.0.3/24"), "{text}");
    assert_eq!(rows[1], row(0, "shop/web-1", "10M 20M", "10.244.0.2/24"), "{text}");
    // Aligned: each column begins, or ends, at the same place in every line.
    let place = text.lines().next().unwrap().find("ADDRESSES").unwrap();
    assert!(text.lines().skip(1).all(|line| line[place..].starts_with("10.244.0.")), "{text}");

    for pod in &pods {
        node.call("bandwidth", pod).del(&config);
        node.call("bridge", pod).del(&config);
    }
    assert_eq!(table(&node, ""), header);
}

#[test]
fn a_container_in_several_networks_has_a_row_for_each_interface() {
    let (node, pod) = (Node::new(), Pod::new(IDS[0]));
    let dual = bridge(json!({"ipam": host_local(&["10.244.0.0/24", "fd00:244::/64"])}));
    let layer_2 = bridge(json!({"name": "storage", "bridge": "br-storage", "ipam": null}));
    let call = |interface: &str| named(node.call("bridge", &pod), "web-0").with("CNI_IFNAME", interface);
    call("net1").add(&layer_2);
    call("eth0").add(&dual);
    call("eth1").add(&dual);
    assert_eq!(
        of(&list(&node, ""), &["network", "interface", "bridge", "addresses"]),
        [
            json!(["pods", "eth0", "cni0", ["10.244.0.2/24", "fd00:244::2/64"]]),
            json!(["pods", "eth1", "cni0", ["10.244.0.3/24", "fd00:244::3/64"]]),
            json!(["storage", "net1", "br-storage", []]),
        ]
    );
    let only = list(&node, "--network storage");
    assert_eq!(of(&only, &["interface", "pod"]), [json!(["net1", "shop/web-0"])]);
    let row = table(&node, "--network storage").lines().nth(1).unwrap().to_owned();
    assert!(row.ends_with(" -"), "no address: {row}");
    assert_eq!(list(&node, "--network unknown"), Vec::<Value>::new());

    call("net1").del(&layer_2);
    call("eth1").del(&dual);
    assert_eq!(of(&list(&node, ""), &["interface"]), [json!(["eth0"])]);
}

#[test]
fn a_pod_is_chosen_by_its_name_its_container_or_its_interface_on_the_host() {
    let node = Node::new();
    let pods = IDS.map(Pod::new);
    let results = [0, 1].map(|index| {
        named(node.call("bridge", &pods[index]), &format!("web-{index}")).add(&bridge(json!({})))
    });
    for target in ["shop/web-1", IDS[1], &IDS[1][..13], host_end(&results[1])] {
        assert_eq!(of(&list(&node, target), &["pod"]), [json!(["shop/web-1"])], "{target}");
    }
    assert_eq!(list(&node, "shop/web-1 --network other"), Vec::<Value>::new());
    for target in ["shop/web-2", "cni0", "no-such-link"] {
        let output = node.weir(&format!("list {target}"));
        assert!(!output.status.success() && output.stdout.is_empty(), "{output:?}");
        assert!(String::from_utf8(output.stderr).unwrap().contains(target));
    }
}

#[test]
fn changes_inside_the_pod_are_shown() {
    let (node, pod) = (Node::new(), Pod::new(IDS[0]));
    let result = node.call("bridge", &pod).add(&bridge(json!({})));
    keep("pods", &pod, "web-0", &result);
    pod.look(
        "ip link set eth0 down; ip link set eth0 name uplink0 mtu 1300 address 0a:58:0a:01:00:07; ip link set uplink0 up; \
         ip addr flush dev uplink0; ip addr add 192.0.2.7/28 dev uplink0; ip addr add 2001:db8::7/64 dev uplink0 nodad",
    );
    let shown = list(&node, "");
    let keys = ["containerId", "interface", "mac", "mtuBytes", "addresses"];
    let now = json!([IDS[0], "uplink0", "0a:58:0a:01:00:07", 1300, ["192.0.2.7/28", "2001:db8::7/64"]]);
    assert_eq!(of(&shown, &keys), [now]);

    // Into a namespace that was made inside the pod, as for a virtual machine.
    let nested = Pod::new("nested");
    pod.look(&format!("ip link set uplink0 netns {}", nested.netns()));
    nested.look("ip addr add 192.0.2.9/28 dev uplink0");
    assert_eq!(of(&list(&node, ""), &["interface", "addresses"]), [json!(["uplink0", ["192.0.2.9/28"]])]);
    // The kernel removes what was in a namespace with it; its end on the host goes too.
    drop(nested);
    tests::eventually("the attachment is gone", || list(&node, "").is_empty());
}

#[test]
fn a_pair_with_both_ends_on_the_host_is_still_listed() {
    let (node, pod) = (Node::new(), Pod::new(IDS[0]));
    node.call("bridge", &pod).add(&bridge(json!({})));
    let host = format!("/proc/{}/task/{}/ns/net", std::process::id(), nix::unistd::gettid());
    pod.look(&format!("ip link set eth0 netns {host}"));
    node.look("ip addr add 10.244.0.99/24 dev eth0");
    let keys = ["containerId", "interface", "addresses"];
    assert_eq!(of(&list(&node, ""), &keys), [json!([IDS[0], "eth0", ["10.244.0.99/24"]])]);
}

/// Pods of the reference have no alias: libcni's results name the attachment.
#[test]
fn pods_of_the_reference_are_listed_by_name_where_libcnis_results_know_them() {
    let node = Node::new();
    let [ours, theirs, nameless] = ["ours", "theirs", "nameless"].map(Pod::new);
    named(node.call("bridge", &ours), "web-0").add(&bridge(json!({})));
    let reference = |pod: &Pod| {
        let call = node.call_in(Path::new(REFERENCE), "bridge", pod).with("CNI_PATH", REFERENCE);
        call.add(&bridge(json!({})))
    };
    let result = reference(&theirs);
    keep("pods", &theirs, "web-1", &result);
    reference(&nameless);
    let keys = ["pod", "network", "containerId", "interface", "addresses", "bridge", "maker"];
    let expected = [
        json!(["shop/web-0", "pods", "ours", "eth0", ["10.244.0.2/24"], "cni0", "weir"]),
        json!(["shop/web-1", "pods", "theirs", "eth0", ["10.244.0.3/24"], "cni0", null]),
        json!([null, null, null, "eth0", ["10.244.0.4/24"], "cni0", null]),
    ];
    assert_eq!(of(&list(&node, ""), &keys), expected);
    let row = table(&node, "").lines().last().unwrap().to_owned();
    assert!(row.starts_with("-  ") && row.ends_with("10.244.0.4/24"), "{row}");

    // A result without the host's end, as of version 0.2.0: the pod's namespace tells.
    keep("pods", &theirs, "web-1", &json!({"cniVersion": "0.2.0", "ip4": {"ip": "10.244.0.3/24"}}));
    assert_eq!(of(&list(&node, ""), &keys), expected);
    assert_eq!(of(&list(&node, "shop/web-1"), &["containerId"]), [json!(["theirs"])]);
    // Not what was kept counts, but what is there.
    theirs.look("ip link delete eth0");
    assert_eq!(of(&list(&node, ""), &keys), [expected[0].clone(), expected[2].clone()]);
}

/// A name as long as Kubernetes allows: the kernel has no room for it in an alias.
#[test]
fn a_name_that_was_cut_off_is_completed_where_libcnis_results_know_it_and_found_either_way() {
    let (node, pod) = (Node::new(), Pod::new(IDS[0]));
    let name = "w".repeat(253);
    let target = format!("shop/{name}");
    let result = named(node.call("bridge", &pod), &name).add(&bridge(json!({})));
    let shown = |arguments: &str| list(&node, arguments)[0]["pod"].as_str().unwrap().to_owned();
    for arguments in ["", &target] {
        let beginning = shown(arguments);
        assert!(target.starts_with(beginning.strip_suffix('…').unwrap()), "{beginning}");
    }
    keep("pods", &pod, &name, &result);
    for arguments in ["", &target] {
        assert_eq!(shown(arguments), target);
    }
    let other = format!("shop/{}x", &name[1..]);
    assert!(!node.weir(&format!("list {other}")).status.success());
}

#[test]
fn attachments_that_weir_attach_made_by_other_plugins_are_listed() {
    let (node, pod) = (Node::new().prefer(REFERENCE), Pod::new(IDS[0]));
    let conflist = json!({"cniVersion": "1.0.0", "name": "pods", "plugins": [bridge(json!({}))]});
    let file = node.file("pods.conflist", &conflist.to_string());
    let arguments =
        format!("--conflist {} --netns {} --container-id {}", file.display(), pod.netns(), IDS[0]);
    let names = "--arg IgnoreUnknown=1 --arg K8S_POD_NAMESPACE=shop --arg K8S_POD_NAME=web-0";
    let output = node.weir(&format!("attach {arguments} {names}"));
    assert!(output.status.success(), "{output:?}");
    let keys = ["pod", "containerId", "network", "maker"];
    assert_eq!(of(&list(&node, ""), &keys), [json!(["shop/web-0", IDS[0], "pods", null])]);
    assert!(node.weir(&format!("detach {arguments}")).status.success());
    assert_eq!(list(&node, ""), Vec::<Value>::new());
}

#[test]
fn pairs_without_an_attachment_are_not_listed_and_a_known_routed_pod_is() {
    let (node, pod) = (Node::new(), Pod::new(IDS[0]));
    node.look(&format!(
        "ip link add br0 type bridge; ip link add here0 type veth peer name here1; ip link set here0 master br0; \
         ip link add away0 type veth peer name eth7 netns {netns}; ip link add cali1 type veth peer name eth0 netns {netns}",
        netns = pod.netns()
    ));
    assert_eq!(list(&node, ""), Vec::<Value>::new());
    keep("calico", &pod, "web-0", &json!({"cniVersion": "0.3.1", "interfaces": [{"name": "cali1"}]}));
    let keys = ["hostInterface", "pod", "bridge", "addresses", "maker"];
    assert_eq!(of(&list(&node, ""), &keys), [json!(["cali1", "shop/web-0", null, [], null])]);
    // Asked for by name, it is listed.
    assert_eq!(of(&list(&node, "away0"), &["interface", "pod"]), [json!(["eth7", null])]);
}

#[test]
fn without_root_the_hosts_side_is_listed_and_the_rest_is_reported_missing() {
    let (node, pod) = (Node::new(), Pod::new(IDS[0]));
    let result = named(node.call("bridge", &pod), "web-0").add(&bridge(json!({})));
    keep("pods", &pod, "web-0", &result);
    // Only root may read the folder under test and libcni's results.
    node.look(&format!(
        "install -m 755 {} /mnt/weir; chmod 700 /var/lib/cni/results",
        node.bin().join("weir").display()
    ));
    let output = std::process::Command::new("setpriv")
        .args(["--reuid", "65534", "--regid", "65534", "--clear-groups", "/mnt/weir", "list", "--json"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let listed: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    let keys = ["pod", "interface", "hostInterface", "bridge", "mac", "mtuBytes", "addresses"];
    let shown = json!(["shop/web-0", "eth0", host_end(&result), "cni0", null, null, null]);
    assert_eq!(of(&listed, &keys), [shown]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("(pairs: 1)") && said.contains("only root"), "{said}");
    assert!(said.contains("/var/lib/cni/results"), "{said}");
}

#[test]
fn a_pod_with_thousands_of_addresses_is_one_row_and_json_has_them_all() {
    let (node, pods) = (Node::new(), IDS.map(Pod::new));
    for pod in &pods {
        node.call("bridge", pod).add(&bridge(json!({})));
    }
    let batch: String = (0..4_000u32)
        .map(|number| format!("addr add 2001:db8:aaaa:bbbb:cccc:dddd:{number:x}:eeee/128 dev eth0 nodad\n"))
        .collect();
    let batch = node.file("batch", &batch);
    pods[0].look(&format!("ip -batch {}", batch.display()));
    let text = table(&node, "");
    let rows: Vec<_> = text.lines().skip(1).collect();
    assert_eq!(rows.len(), 2, "{text}");
    assert!(rows[0].len() < 500 && rows[0].ends_with(",+3997"), "{text}");
    assert!(rows[1].ends_with("  10.244.0.3/24"), "{text}");
    let listed = list(&node, "");
    let counts: Vec<_> = listed.iter().map(|each| each["addresses"].as_array().unwrap().len()).collect();
    assert_eq!(counts, [4_001, 1]);
}

#[test]
fn a_pods_interface_name_has_no_effect_on_the_terminal() {
    let (node, pod) = (Node::new(), Pod::new(IDS[0]));
    node.call("bridge", &pod).add(&bridge(json!({})));
    pod.look("ip link set eth0 down; ip link set eth0 name \"$(printf 'a\\033[2J\\342\\200\\256b\\377')\"");
    let text = table(&node, "");
    assert!(text.contains("  a\\u{1b}[2J\\u{202e}b\u{fffd}  "), "{text}");
    assert!(!text.contains('\x1b'));
    assert_eq!(list(&node, "")[0]["interface"], "a\u{1b}[2J\u{202e}b\u{fffd}");
}

/// Text of a runtime's that reads like the alias's own.
#[test]
fn a_pods_name_cannot_name_another_network() {
    let (node, pod) = (Node::new(), Pod::new(IDS[0]));
    let config = bridge(json!({"name": "net1"}));
    named(node.call("bridge", &pod), "y network=net2 container=other \x1b[2J").add(&config);
    let keys = ["network", "containerId", "pod"];
    let name = "shop/y network=net2 container=other \u{1b}[2J";
    assert_eq!(of(&list(&node, ""), &keys), [json!(["net1", IDS[0], name])]);
    assert_eq!(list(&node, "--network net2"), Vec::<Value>::new());
    assert_eq!(list(&node, "--network net1").len(), 1);
    let text = table(&node, "");
    assert!(text.contains(r"shop/y network=net2 container=other \u{1b}[2J  "), "{text}");
}

#[test]
fn while_pods_come_and_go_each_list_is_whole() {
    let (node, stays) = (Node::new(), Pod::new(IDS[0]));
    let config = bridge(json!({}));
    node.call("bridge", &stays).add(&config);
    std::thread::scope(|scope| {
        let others = scope.spawn(|| {
            // The second one's pair goes with its namespace.
            for _ in 0..20 {
                let pods = ["detached", "dies"].map(Pod::new);
                for pod in &pods {
                    node.call("bridge", pod).add(&config);
                }
                node.call("bridge", &pods[0]).del(&config);
                drop(pods);
                node.call("bridge", &Pod::new("dies")).with("CNI_NETNS", "").del(&config);
            }
        });
        let mut seen = [0; 3];
        while !others.is_finished() {
            let listed = list(&node, "");
            assert!(listed.iter().any(|each| each["containerId"] == IDS[0]), "{listed:?}");
            assert!(listed.iter().all(|each| each["mtuBytes"] == 1500), "{listed:?}");
            seen[listed.len() - 1] += 1;
        }
        assert!(seen[1] + seen[2] > 0, "others were seen: {seen:?}");
    });
    assert_eq!(of(&list(&node, ""), &["containerId"]), [json!([IDS[0]])]);
}
