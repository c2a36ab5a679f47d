//! The owner of a pair and its limits: another attachment's are never touched, and the attachment's own are found.

use serde_json::{Value, json};
use tests::{Node, Pod, with_prev_result};

use crate::pairs::{alias, calico};
use crate::setting::{Setting, bandwidth_config, ifbs, requested, tbf};

/// The shaping of `cali1234`, as the kernel shows it.
fn shown() -> String {
    tests::shell(
        "tc qdisc show dev cali1234; ip link show cali1234 | grep alias; \
         for hook in ingress egress; do tc filter show dev cali1234 $hook; done; nft list ruleset",
    )
}

#[test]
fn a_late_del_of_another_container_leaves_the_limit_alone() {
    let (node, pod) = (Node::new(), Pod::new("new"));
    let attached = calico(&pod, "cali1234", "eth0");
    let config = bandwidth_config(requested(8_000_000, 800_000));
    let call = || node.call("bandwidth", &pod);
    let result = call().add(&with_prev_result(&config, &attached));
    let before = (shown(), ifbs());
    for interface in ["eth0", "eth1"] {
        let late = call().with("CNI_CONTAINERID", "old").with("CNI_IFNAME", interface);
        late.del(&with_prev_result(&config, &attached));
        late.del(&bandwidth_config(json!({})));
    }
    let mut other_network = bandwidth_config(json!({}));
    other_network["name"] = json!("net2");
    call().del(&other_network);
    assert_eq!((shown(), ifbs()), before);
    call().check(&config, &result);

    let failure = call()
        .with("CNI_CONTAINERID", "old")
        .verb("CHECK", &with_prev_result(&config, &attached))
        .unwrap_err();
    assert!(failure.message.contains("container=new"), "{failure:?}");
    let failure =
        call().with("CNI_CONTAINERID", "old").verb("ADD", &with_prev_result(&config, &attached)).unwrap_err();
    assert!(failure.message.contains("another attachment"), "{failure:?}");
    assert_eq!((shown(), ifbs()), before);
}

#[test]
fn a_pair_without_an_owner_stays_when_it_has_another_address_than_prev_result() {
    let (node, pod) = (Node::new(), Pod::new("new"));
    let mut attached = calico(&pod, "cali1234", "eth0");
    assert!(node.weir("limit cali1234 --ingress 8M --egress 8M").status.success());
    assert!(alias("cali1234").starts_with("weir-shaped ingress="));
    let before = (shown(), ifbs());
    let late = node.call("bandwidth", &pod).with("CNI_CONTAINERID", "old");
    attached["interfaces"][1]["mac"] = json!("0a:00:00:00:00:01");
    late.del(&with_prev_result(&bandwidth_config(json!({})), &attached));
    assert_eq!((shown(), ifbs()), before);
    attached["interfaces"][1]["mac"] = pod.json("ip -j link show eth0")[0]["address"].clone();
    late.del(&with_prev_result(&bandwidth_config(json!({})), &attached));
    assert_eq!((ifbs(), alias("cali1234")), (vec![], String::new()));
}

/// A virtual machine's pod: its interface has another name, and another one has its name.
fn renamed(pod: &Pod) {
    pod.shell("ip link set eth0 down name eth0-nic; ip link set eth0-nic up; ip link add eth0 type bridge");
}

#[test]
fn a_limit_is_found_although_the_interface_was_renamed_in_the_pod() {
    let setting = Setting::new();
    let keys = requested(8_000_000, 800_000);
    let result = setting.shape(keys.clone());
    let call = setting.call();
    renamed(&setting.pod);
    call.check(&bandwidth_config(keys.clone()), &result);
    tests::shell(&format!("tc qdisc del dev {} root", setting.host_end()));
    let altered = with_prev_result(&bandwidth_config(keys), &result);
    let failure = call.verb("CHECK", &altered).unwrap_err();
    assert!(failure.message.contains("not shaped"), "{failure:?}");
    setting.delete();
}

#[test]
fn del_releases_a_renamed_pair_of_another_plugin() {
    for theirs in ["", "theirs"] {
        let (node, pod) = (Node::new(), Pod::new("c1"));
        let attached = calico(&pod, "cali1234", "eth0");
        tests::shell(&format!("ip link set cali1234 alias '{theirs}'"));
        let config = bandwidth_config(json!({"egressRate": 8_000_000, "egressBurst": 800_000}));
        let call = || node.call("bandwidth", &pod);
        let result = call().add(&with_prev_result(&config, &attached));
        renamed(&pod);
        call().check(&config, &result);
        call().del(&config);
        assert_eq!((ifbs(), alias("cali1234")), (vec![], theirs.to_owned()));
        for hook in ["ingress", "egress"] {
            assert_eq!(tests::shell(&format!("tc filter show dev cali1234 {hook}")), "");
        }
    }
}

#[test]
fn a_pair_that_ends_in_a_third_namespace_is_not_taken_for_the_pods() {
    let node = Node::new();
    let (pod, other, router) = (Pod::new("c1"), Pod::new("c2"), Pod::new("router"));
    let attached = calico(&pod, "cali1234", "eth0");
    let index = |link: Value| link[0]["ifindex"].as_u64().unwrap();
    let host_end = index(tests::json("ip -j link show cali1234"));
    let pod_end = index(pod.json("ip -j link show eth0"));
    // The same numbers at both ends as those of c1's pair.
    tests::shell(&format!(
        "ip link add vr index {host_end} netns {} type veth peer name eth0 index {pod_end} netns {}",
        router.netns(),
        other.netns()
    ));
    let config = bandwidth_config(requested(8_000_000, 800_000));
    let mut prev_result = attached.clone();
    prev_result["interfaces"] = json!([{"name": "eth0", "sandbox": other.netns()}]);
    let failure =
        node.call("bandwidth", &other).verb("ADD", &with_prev_result(&config, &prev_result)).unwrap_err();
    assert!(failure.message.contains("not in the host's network namespace"), "{failure:?}");
    assert_eq!((tbf("cali1234"), ifbs()), (None, vec![]));
}

#[test]
fn add_asks_once_for_the_number_of_the_pods_namespace() {
    let setting = Setting::new();
    let words = "strace -qq -v -e trace=sendto -o /mnt/trace".split(' ').map(str::to_owned);
    let config = with_prev_result(&bandwidth_config(requested(8_000_000, 800_000)), &setting.attached);
    setting.call().executed_by(&words.collect::<Vec<_>>()).add(&config);
    let trace = std::fs::read_to_string("/mnt/trace").unwrap();
    assert_eq!(trace.matches("RTM_GETNSID").count(), 1, "{trace}");
}

#[test]
fn attachments_with_long_and_odd_names_are_collected_and_removed_and_no_others() {
    for (id, name) in
        [("c".repeat(215), "web-0"), ("c".repeat(250), "y network=net2"), ("c1".into(), "y\u{1b}[2J%20")]
    {
        for verb in ["DEL", "GC"] {
            let (node, pod) = (Node::new(), Pod::new(&id));
            let attached = calico(&pod, "cali1234", "eth0");
            let call = || {
                let arguments = format!("K8S_POD_NAME={name};IgnoreUnknown=1;K8S_POD_NAMESPACE=shop");
                node.call("bandwidth", &pod).with("CNI_ARGS", arguments)
            };
            let config = bandwidth_config(requested(8_000_000, 800_000));
            let result = call().add(&with_prev_result(&config, &attached));
            call().check(&config, &result);
            assert!(alias("cali1234").bytes().all(|byte| byte.is_ascii_graphic() || byte == b' '));
            let before = (shown(), ifbs());
            let gc = |network: &str, valid: Value| {
                let config = json!({
                    "cniVersion": "1.1.0", "name": network, "type": "bandwidth", "cni.dev/valid-attachments": valid,
                });
                call().verb("GC", &config).unwrap();
            };
            gc("net2", json!([]));
            gc("pods", json!([{"containerID": id, "ifname": "eth0"}]));
            call().with("CNI_CONTAINERID", format!("{id}0")).del(&config);
            assert_eq!((shown(), ifbs()), before);
            match verb {
                "DEL" => call().del(&config),
                _ => gc("pods", json!([])),
            }
            assert_eq!((ifbs(), alias("cali1234"), tbf("cali1234")), (vec![], String::new(), None));
        }
    }
}
