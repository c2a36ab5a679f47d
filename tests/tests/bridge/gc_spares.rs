//! GC spares running pods and ADDs at work that the list of valid attachments lacks.

use serde_json::{Value, json};
use tests::config::{bridge, changed, host_local};
use tests::{Call, Look, Node, Pod, Process, eventually};

fn config() -> Value {
    bridge(json!({"cniVersion": "1.1.0", "isGateway": true, "ipMasq": true, "macspoofchk": true}))
}

fn without_environment(node: &Node) -> Call {
    ["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME"]
        .into_iter()
        .fold(node.call("bridge", &Pod::new("none")), |call, name| call.with(name, ""))
}

/// Calls GC for a network without valid attachments, and returns its standard error.
fn gc(node: &Node, config: &Value) -> String {
    let config = changed(config, json!({"cni.dev/valid-attachments": [], "cni.dev/attachments": []}));
    let output = without_environment(node).raw("GC", &config.to_string());
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
    text(&output.stderr)
}

/// A process in the pod's namespace.
fn live_in(node: &Node, pod: &Pod) -> Process {
    let script = node.file("live", "echo here; exec sleep infinity");
    let mut process = Process::start(Some(&pod.netns()), &format!("sh {}", script.display()));
    process.wait_for("here");
    process
}

#[test]
fn gc_spares_the_network_of_a_pod_with_processes() {
    let node = Node::new();
    let (first, lived_in, left) = (Pod::new("c0"), Pod::new("c1"), Pod::new("c2"));
    node.call("bridge", &first).add(&config());
    node.call("bridge", &first).del(&config());
    let before = node.fingerprint();
    let result = node.call("bridge", &lived_in).add(&config());
    node.call("bridge", &left).add(&config());
    let address = result["ips"][0]["address"].as_str().unwrap().trim_end_matches("/24");
    let process = live_in(&node, &lived_in);
    for _ in 0..2 {
        let notes = gc(&node, &config());
        node.call("bridge", &lived_in).check(&config(), &result);
        assert!(lived_in.reaches("10.244.0.1", 56));
        assert!(left.links().is_empty());
        let port = result["interfaces"][1]["name"].as_str().unwrap();
        for word in ["c1", port, "gcRemovesRunning"] {
            assert!(notes.contains(word), "{notes}");
        }
        assert!(!notes.contains("c2"), "{notes}");
        assert_eq!(node.look("cd /var/lib/cni/networks/pods; grep -l . 10.*"), format!("{address}\n"));
    }
    drop(process);
    assert_eq!(gc(&node, &config()), "");
    assert_eq!(node.fingerprint(), before);
}

#[test]
fn gc_removes_the_network_of_a_pod_with_processes_if_configured() {
    let (node, pod) = (Node::new(), Pod::new("c1"));
    node.call("bridge", &pod).add(&config());
    let _process = live_in(&node, &pod);
    assert_eq!(gc(&node, &changed(&config(), json!({"gcRemovesRunning": true}))), "");
    assert!(pod.links().is_empty());
    assert_eq!(node.look("find /var/lib/cni -name '10.244.0.*'"), "");
}

#[test]
fn the_ipam_plugin_gets_the_spared_attachments_as_valid() {
    let node = Node::new().with_script("theirs", "cat > /mnt/stdin");
    let (valid, spared) = (Pod::new("c1"), Pod::new("c2"));
    node.call("bridge", &valid).add(&config());
    node.call("bridge", &spared).add(&config());
    let _process = live_in(&node, &spared);
    let c1 = json!({"containerID": "c1", "ifname": "eth0"});
    let config = changed(
        &config(),
        json!({"ipam": {"type": "theirs"}, "cni.dev/valid-attachments": [c1], "cni.dev/attachments": null}),
    );
    without_environment(&node).verb("GC", &config).unwrap();
    let passed: Value = serde_json::from_str(&node.look("cat /mnt/stdin")).unwrap();
    let both = json!([c1, {"containerID": "c2", "ifname": "eth0"}]);
    assert_eq!(passed, changed(&config, json!({"cni.dev/valid-attachments": both})));
}

#[test]
fn gc_spares_a_pod_with_a_name_that_looks_like_another_network() {
    let (node, pod) = (Node::new(), Pod::new("c1"));
    let other = changed(&config(), json!({"name": "net2", "ipam": host_local(&["10.9.0.0/24"])}));
    for arguments in [
        "K8S_POD_NAMESPACE=shop;K8S_POD_NAME=y network=net2",
        "K8S_POD_NAMESPACE=x network=net2;K8S_POD_NAME=y",
        "K8S_POD_NAME=y container=c2 interface=eth1 network=net2",
        "K8S_POD_NAME=y\nweir container=c1 interface=eth0 network=net2",
    ] {
        let call = || node.call("bridge", &pod).with("CNI_ARGS", format!("IgnoreUnknown=1;{arguments}"));
        let result = call().add(&config());
        gc(&node, &other);
        call().check(&config(), &result);
        gc(&node, &config());
        assert!(pod.links().is_empty(), "{arguments}");
        assert_eq!(node.look("find /var/lib/cni -name '10.244.0.*'"), "", "{arguments}");
    }
}

#[test]
fn containers_with_the_longest_ids_are_told_apart() {
    for length in [100, 127, 200, 215, 240] {
        let node = Node::new();
        let first = Pod::new("c0");
        node.call("bridge", &first).add(&config());
        node.call("bridge", &first).del(&config());
        let before = node.fingerprint();
        let [valid, stale] = ["1", "2"].map(|end| Pod::new(&("c".repeat(length) + end)));
        let result = node.call("bridge", &valid).add(&config());
        node.call("bridge", &stale).add(&config());
        let listed = json!([{"containerID": valid.id(), "ifname": "eth0"}]);
        let config_of_gc = changed(&config(), json!({"cni.dev/valid-attachments": listed}));
        without_environment(&node).verb("GC", &config_of_gc).unwrap();
        node.call("bridge", &valid).check(&config(), &result);
        assert!(stale.links().is_empty(), "{length}");
        gc(&node, &config());
        assert_eq!(node.fingerprint(), before, "{length}");
    }
}

#[test]
fn gc_spares_a_running_pod_of_a_network_with_a_long_name_and_nothing_else() {
    let node = Node::new();
    let config = changed(&config(), json!({"name": "network-".repeat(31)}));
    let [running, stale] = ["a", "b"].map(|digit| Pod::new(&digit.repeat(64)));
    let result = node.call("bridge", &running).add(&config);
    node.call("bridge", &stale).add(&config);
    let _process = live_in(&node, &running);
    gc(&node, &config);
    node.call("bridge", &running).check(&config, &result);
    assert!(stale.links().is_empty());
    assert_eq!(node.look("find /var/lib/cni -name '10.244.0.*' -printf '%f\\n'"), "10.244.0.2\n");
}

#[test]
fn gc_spares_the_pair_of_an_add_at_work() {
    // An IPAM plugin that waits: the pair is there, and not finished.
    let node = Node::new().with_script(
        "waiting",
        "[ \"$CNI_COMMAND\" != ADD ] || { touch /mnt/asked; until [ -e /mnt/go ]; do sleep 0.01; done; \
         echo '{\"cniVersion\": \"1.0.0\", \"ips\": [{\"address\": \"10.244.0.5/24\"}]}'; }",
    );
    let pod = Pod::new("c1");
    let config = changed(&config(), json!({"ipam": {"type": "waiting"}}));
    let call = node.call("bridge", &pod);
    let running = call.start("ADD", &config);
    eventually("the IPAM plugin is asked", || std::path::Path::new("/mnt/asked").exists());
    assert_eq!(node.ports("cni0").len(), 1);
    assert_eq!(gc(&node, &config), "");
    let other = changed(&config, json!({"name": "other"}));
    assert_eq!(gc(&node, &other), "");
    let failure = call.verb("ADD", &config).unwrap_err();
    assert!(failure.message.contains("c1"), "{failure:?}");
    node.file("go", "");
    let result = running.answer().unwrap();
    call.check(&config, &result);
    assert!(pod.reaches("10.244.0.1", 56));
}

#[test]
fn gc_spares_an_add_that_begins_and_ends_beside_it() {
    // GC has looked at the pairs, and stops before it takes the lock of the addresses, before it looks at them, or while it
    // looks at nf_tables.
    for stop in [
        "-P /var/lib/cni/networks/pods/lock -e inject=open,openat:signal=SIGSTOP:when=1",
        "-P /var/lib/cni/networks/pods -e inject=open,openat:signal=SIGSTOP:when=1",
        "-e inject=sendto:signal=SIGSTOP:when=2",
    ] {
        let node = Node::new();
        let (before, pod) = (Pod::new("c1"), Pod::new("c2"));
        node.call("bridge", &before).add(&config());
        let stopping = format!("strace -D -f -o /mnt/seen {stop}");
        let words: Vec<_> = stopping.split(' ').map(str::to_owned).collect();
        let config_of_gc = changed(&config(), json!({"cni.dev/valid-attachments": []}));
        let mut running = without_environment(&node).executed_by(&words).start("GC", &config_of_gc);
        eventually("GC stands still", || {
            std::fs::read_to_string("/mnt/seen").is_ok_and(|seen| seen.contains("--- stopped by SIGSTOP"))
        });
        let result = node.call("bridge", &pod).add(&config());
        eventually("GC goes on to its end", || running.has_ended_after("CONT"));
        running.answer().unwrap();
        node.call("bridge", &pod).check(&config(), &result);
        assert!(before.links().is_empty());
        let held = node.look("find /var/lib/cni -name '10.244.0.*' -printf '%f\n'");
        assert_eq!(held, "10.244.0.3\n", "{stop}");
    }
}
