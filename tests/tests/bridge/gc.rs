//! GC and STATUS.

use serde_json::{Value, json};
use tests::config::{bridge, changed, host_local};
use tests::{Call, Look, Node, Pod};

fn config() -> Value {
    bridge(json!({"cniVersion": "1.1.0", "isDefaultGateway": true, "ipMasq": true}))
}

/// GC as libcni calls it: nothing in the environment but the path.
fn gc(node: &Node, changes: Value) {
    let call = ["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME"]
        .into_iter()
        .fold(node.call("bridge", &Pod::new("none")), |call, name| call.with(name, ""));
    assert_eq!(call.verb("GC", &changed(&config(), changes)).unwrap(), Value::Null);
}

fn valid(key: &str, containers: &[&str]) -> Value {
    let list: Vec<_> = containers.iter().map(|id| json!({"containerID": id, "ifname": "eth0"})).collect();
    json!({ key: list })
}

/// Returns the pods that are still attached: with pair, address and masquerading, or none of them.
fn attached<'a>(node: &Node, pods: &'a [Pod]) -> Vec<&'a str> {
    let table = node.look("nft list table inet weir");
    let files = node.look(
        "cd /var/lib/cni/networks/pods; grep -l . 10.* 2>/dev/null | xargs -r head -n 1 -q | tr -d '\\r'",
    );
    let held = |pod: &&Pod| {
        let signs = [
            !pod.links().is_empty(),
            table.contains(&format!("\"pods/{}/eth0\"", pod.id())),
            files.lines().any(|line| line == pod.id()),
        ];
        assert!(signs == [true; 3] || signs == [false; 3], "{}: {signs:?}\n{table}{files}", pod.id());
        signs[0]
    };
    pods.iter().filter(held).map(Pod::id).collect()
}

fn three(node: &Node) -> [Pod; 3] {
    let pods = ["c1", "c2", "c3"].map(Pod::new);
    pods.iter().for_each(|pod| drop(node.call("bridge", pod).add(&config())));
    assert_eq!(attached(node, &pods), ["c1", "c2", "c3"]);
    pods
}

#[test]
fn gc_removes_invalid_attachments_under_either_name_of_the_key() {
    for key in ["cni.dev/valid-attachments", "cni.dev/attachments"] {
        let node = Node::new();
        let pods = three(&node);
        gc(&node, valid(key, &["c2", "c9"]));
        assert_eq!(attached(&node, &pods), ["c2"], "{key}");
    }
}

#[test]
fn null_and_an_empty_list_mean_that_nothing_is_valid() {
    for list in [json!([]), Value::Null] {
        let node = Node::new();
        let pods = three(&node);
        // `changed` takes a key with null away.
        let mut config = config();
        config["cni.dev/valid-attachments"] = list;
        node.call("bridge", &pods[0]).verb("GC", &config).unwrap();
        assert!(attached(&node, &pods).is_empty());
    }
}

#[test]
fn without_a_list_nothing_is_removed() {
    let node = Node::new();
    let pods = three(&node);
    gc(&node, json!({}));
    assert_eq!(attached(&node, &pods), ["c1", "c2", "c3"]);
}

#[test]
fn gc_tells_interfaces_of_a_container_apart() {
    let node = Node::new();
    let pod = Pod::new("c1");
    let call = |name: &'static str| node.call("bridge", &pod).with("CNI_IFNAME", name);
    for name in ["eth0", "eth1"] {
        call(name).add(&config());
    }
    gc(&node, valid("cni.dev/valid-attachments", &["c1"]));
    assert_eq!(pod.links(), ["eth0"]);
}

#[test]
fn other_networks_and_foreign_links_stay() {
    let node = Node::new();
    let pods = three(&node);
    let other =
        changed(&config(), json!({"name": "other", "bridge": "cni1", "ipam": host_local(&["10.9.0.0/24"])}));
    let pod = Pod::new("c4");
    let result = node.call("bridge", &pod).add(&other);
    node.look("ip link add veth00000000 type veth peer name peer0; ip link set veth00000000 master cni0");
    gc(&node, valid("cni.dev/valid-attachments", &[]));
    assert!(attached(&node, &pods).is_empty());
    assert!(node.links().contains(&"veth00000000".to_owned()));
    node.call("bridge", &pod).check(&other, &result);
}

#[test]
fn objects_of_other_networks_and_tools_with_similar_names_stay() {
    let (node, first) = (Node::new(), Pod::new("c0"));
    node.call("bridge", &first).add(&config());
    node.call("bridge", &first).del(&config());
    // Networks with similar names, and similar aliases and comments.
    let networks = ["pod", "pods2", "my-pods", "Pods"];
    let theirs = networks.map(|_| Pod::new("c1"));
    for (number, (network, pod)) in networks.into_iter().zip(&theirs).enumerate() {
        let ipam = host_local(&[&format!("10.{}.0.0/24", number + 1)]);
        let bridge = format!("other{number}");
        let other = changed(&config(), json!({"name": network, "bridge": bridge, "ipam": ipam}));
        node.call("bridge", pod).add(&other);
    }
    node.look(
        "for alias in 'container=c1 interface=eth0 network=pods' 'weir of the harbour' \
             'weir container=c1 interface=eth0 network=pods2 pod=pods/pods'; do \
             number=$((number + 1)); ip link add theirs$number type veth peer name peer$number; \
             ip link set theirs$number up master cni0 alias \"$alias\"; \
         done; \
         ip link add bwp0123456789ab type ifb; \
         nft add table inet theirs; nft add set inet theirs pods-10.244.0.0/24 '{ type ipv4_addr; }'; \
         nft add element inet theirs pods-10.244.0.0/24 '{ 10.244.0.2 comment \"pods/c1/eth0\" }'; \
         mkdir /var/lib/cni/networks/pods.old; printf 'c1\\r\\neth0' > /var/lib/cni/networks/pods.old/10.244.0.2; \
         echo mine > /var/lib/cni/networks/pods/README",
    );
    let before = node.fingerprint();
    let pods = three(&node);
    gc(&node, json!({"cni.dev/valid-attachments": []}));
    assert!(attached(&node, &pods).is_empty());
    assert_eq!(node.fingerprint(), before);
}

/// Another IPAM plugin that notes its calls and ends as told.
fn noting(node: Node, end: &str) -> Node {
    node.with_script("theirs", &format!("echo \"$CNI_COMMAND $CNI_CONTAINERID\" >> /mnt/calls; {end}"))
}

#[test]
fn gc_is_passed_on_to_ipam_whatever_the_list_says() {
    for (changes, list) in [
        (json!({}), Value::Null),
        (json!({"cni.dev/valid-attachments": []}), json!([])),
        (valid("cni.dev/valid-attachments", &["c1"]), json!([{"containerID": "c1", "ifname": "eth0"}])),
    ] {
        let node = noting(Node::new(), "cat > /mnt/stdin");
        gc(&node, changed(&changes, json!({"ipam": {"type": "theirs"}})));
        assert_eq!(node.look("cat /mnt/calls"), "GC \n");
        let passed: Value = serde_json::from_str(&node.look("cat /mnt/stdin")).unwrap();
        assert_eq!(passed["cni.dev/valid-attachments"], list);
    }
}

#[test]
fn when_ipam_fails_the_rest_is_removed_and_its_failure_reported() {
    let node = noting(
        Node::new(),
        r#"echo '{"cniVersion": "1.1.0", "code": 117, "msg": "the address server is away"}'; exit 1"#,
    );
    let pod = Pod::new("c1");
    node.call("bridge", &pod).add(&config());
    let theirs = changed(&config(), json!({"ipam": {"type": "theirs"}, "cni.dev/valid-attachments": []}));
    let failure = status(&node).verb("GC", &theirs).unwrap_err();
    assert_eq!((failure.code, failure.msg.as_str()), (117, "the address server is away"));
    assert!(pod.links().is_empty());
    assert!(!node.look("nft list table inet weir").contains("c1"));

    let failure = status(&node).verb("STATUS", &theirs).unwrap_err();
    assert_eq!((failure.code, failure.msg.as_str()), (117, "the address server is away"));
}

#[test]
fn gc_follows_the_kernels_objects_and_not_the_config() {
    let node = Node::new();
    let pods = three(&node);
    gc(
        &node,
        changed(&valid("cni.dev/valid-attachments", &["c1"]), json!({"bridge": "cni7", "ipMasq": false})),
    );
    assert_eq!(attached(&node, &pods), ["c1"]);
}

fn status(node: &Node) -> Call {
    ["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME"]
        .into_iter()
        .fold(node.call("bridge", &Pod::new("none")), |call, name| call.with(name, ""))
}

#[test]
fn status_is_silent_when_all_is_well_and_changes_nothing() {
    let node = Node::new();
    let before = node.fingerprint();
    assert_eq!(status(&node).verb("STATUS", &config()).unwrap(), Value::Null);
    assert_eq!(node.fingerprint(), before);
}

#[test]
fn status_names_the_reason_why_add_would_fail() {
    let node = Node::new();
    let nowhere = changed(&config(), json!({"ipam": {"type": "nowhere"}}));
    let failure = status(&node).verb("STATUS", &nowhere).unwrap_err();
    assert_eq!(failure.code, 50, "{failure:?}");
    assert!(failure.message.contains("\"nowhere\""), "{failure:?}");
    node.file("networks", "a file where a folder should be");
    let mut ipam = host_local(&["10.244.0.0/24"]);
    ipam["dataDir"] = json!("/mnt/networks");
    let failure = status(&node).verb("STATUS", &changed(&config(), json!({ "ipam": ipam }))).unwrap_err();
    assert_eq!(failure.code, 50, "{failure:?}");
    assert!(failure.message.contains("/mnt/networks"), "{failure:?}");
}

#[test]
fn status_names_the_missing_kernel_feature() {
    // The kernel's answer to the second request (the first looks for the bridge), the third: -EOPNOTSUPP (struct nlmsghdr, without the sender's
    // number, and struct nlmsgerr, uapi/linux/netlink.h).
    let refused = |answer: u8| {
        let header = format!("24000000020000010{answer}00000000000000");
        format!("recvfrom:poke_exit=@arg2={header}a1ffffff:when={answer}")
    };
    for (tampering, words) in [
        (refused(2), ["bridge", "CONFIG_BRIDGE"]),
        (refused(3), ["veth", "CONFIG_VETH"]),
        ("socket:error=EPROTONOSUPPORT:when=2+".to_owned(), ["nf_tables", "CONFIG_NFT_NAT"]),
    ] {
        let bridge = Node::new().bin().join("bridge");
        let tampered = format!("exec strace -qq -o /dev/null -e inject={tampering} {}", bridge.display());
        let node = Node::new().with_script("bridge", &tampered);
        let failure = status(&node).verb("STATUS", &config()).unwrap_err();
        assert_eq!(failure.code, 50, "{failure:?}");
        assert!(words.iter().all(|word| failure.message.contains(word)), "{failure:?}");
    }
}
