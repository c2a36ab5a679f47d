//! `weir limit`: the limits of running pods, shown and changed.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed, its helpers included")]

use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use tests::config::{bridge, with_prev_result};
use tests::{Call, Look, Node, Pod, REFERENCE};

/// As long as a runtime's.
const IDS: [&str; 2] = [
    "00008b1cd37a6e5f4d3c2b1a09f8e7d6c5b4a3928170605f4e3d2c1b0a998877",
    "11118b1cd37a6e5f4d3c2b1a09f8e7d6c5b4a3928170605f4e3d2c1b0a998877",
];

/// Pods `shop/web-0` and `shop/web-1`, the first with a limit of 10 Mbit/s in both directions.
struct Shop {
    node: Node,
    pods: [Pod; 2],
    results: [Value; 2],
}

impl Shop {
    fn new() -> Self {
        let node = Node::new();
        let pods = IDS.map(Pod::new);
        let results = [0, 1].map(|index| {
            let result = call(&node, "bridge", &pods[index], index).add(&bridge(json!({"isGateway": true})));
            call(&node, "bandwidth", &pods[index], index).add(&with_prev_result(&limits(index == 0), &result))
        });
        Self { node, pods, results }
    }

    /// Runs the command and returns what it printed, which is JSON.
    fn limit(&self, arguments: &str) -> Value {
        let output = self.node.weir(&format!("limit --json {arguments}"));
        assert!(output.status.success(), "{arguments}: {output:?}");
        serde_json::from_slice(&output.stdout).unwrap()
    }

    fn refusal(&self, arguments: &str) -> String {
        let output = self.node.weir(&format!("limit {arguments}"));
        assert!(!output.status.success(), "{arguments}: {output:?}");
        String::from_utf8(output.stderr).unwrap()
    }

    fn check(&self, index: usize) {
        call(&self.node, "bandwidth", &self.pods[index], index)
            .check(&limits(index == 0), &self.results[index]);
    }

    fn host_end(&self, index: usize) -> String {
        self.results[index]["interfaces"][1]["name"].as_str().unwrap().to_owned()
    }
}

fn call(node: &Node, plugin: &str, pod: &Pod, index: usize) -> Call {
    let arguments = format!("IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web-{index}");
    node.call(plugin, pod).with("CNI_ARGS", arguments)
}

/// The keys that containerd sends for the annotations `10M`, or for none.
fn limits(limited: bool) -> Value {
    let mut config = json!({"cniVersion": "1.0.0", "name": "pods", "type": "bandwidth"});
    if limited {
        config["runtimeConfig"]["bandwidth"] = json!({
            "IngressRate": 10_000_000, "IngressBurst": 4_294_967_295u64,
            "EgressRate": 10_000_000, "EgressBurst": 4_294_967_295u64,
        });
    }
    config
}

fn rates(shown: &Value) -> Value {
    json!([shown[0]["ingress"]["rateBitsPerSecond"], shown[0]["egress"]["rateBitsPerSecond"]])
}

#[test]
fn every_limited_pod_is_listed_with_both_directions() {
    let shop = Shop::new();
    let shown = shop.limit("");
    assert_eq!(shown.as_array().unwrap().len(), 1);
    assert_eq!(
        (&shown[0]["pod"], &shown[0]["containerId"], &shown[0]["hostInterface"]),
        (&json!("shop/web-0"), &json!(IDS[0]), &json!(shop.host_end(0)))
    );
    assert_eq!(rates(&shown), json!([10_000_000, 10_000_000]));
    let table = String::from_utf8(shop.node.weir("limit").stdout).unwrap();
    let rows: Vec<_> = table.lines().collect();
    assert_eq!(rows.len(), 3, "{table}");
    assert!(rows[1].contains("shop/web-0") && rows[1].contains("to pod") && rows[1].contains("10M"));
    assert!(rows[2].contains("from pod") && rows[2].contains("bwp"));
}

#[test]
fn passed_packets_are_counted() {
    let shop = Shop::new();
    assert!(shop.pods[0].reaches("10.244.0.1", 1000));
    let shown = shop.limit("shop/web-0");
    for direction in ["ingress", "egress"] {
        let passed = shown[0][direction]["passedBytes"].as_u64().unwrap();
        assert!(passed >= 1042, "a ping of 1,000 bytes with its headers: {shown}");
        assert_eq!(shown[0][direction]["droppedPackets"], 0);
    }
}

#[test]
fn a_pod_is_found_by_its_name_its_container_and_its_interface_on_the_host() {
    let shop = Shop::new();
    for target in ["shop/web-0", IDS[0], &IDS[0][..13], &shop.host_end(0)] {
        assert_eq!(shop.limit(target)[0]["pod"], "shop/web-0", "{target}");
    }
    assert_eq!(shop.limit("shop/web-1"), json!([]));
    for target in ["shop/web-2", &IDS[0][1..], "cni0", "lo"] {
        assert!(shop.refusal(&format!("{target} --ingress 1M")).contains(target));
    }
}

/// A pod whose name is as long as Kubernetes allows: the kernel has no room for it in an alias.
#[test]
fn a_pod_with_a_long_name_is_found_by_it_before_and_after_a_change() {
    let (node, pod) = (Node::new(), Pod::new(IDS[0]));
    let name = |last: char| format!("shop/{}{last}", "w".repeat(252));
    let arguments = format!("K8S_POD_NAMESPACE=shop;K8S_POD_NAME={}", &name('a')["shop/".len()..]);
    let call = |plugin: &str| node.call(plugin, &pod).with("CNI_ARGS", arguments.clone());
    let attached = call("bridge").add(&bridge(json!({"isGateway": true})));
    let result = call("bandwidth").add(&with_prev_result(&limits(true), &attached));
    let shown = || -> Value {
        let output = node.weir(&format!("limit --json {}", name('a')));
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"))
    };
    for changes in ["", "--ingress 5M --ingress-burst 800k", "--egress none", "--ingress none"] {
        let output = node.weir(&format!("limit {} {changes}", name('a')));
        assert!(output.status.success(), "{changes}: {output:?}");
        call("bandwidth").check(&limits(true), &result);
    }
    node.weir(&format!("limit {} --egress 2M", name('a')));
    let beginning = shown()[0]["pod"].as_str().unwrap().to_owned();
    assert!(name('a').starts_with(beginning.strip_suffix('…').unwrap()), "{beginning}");
    let other = node.weir(&format!("limit shop/{} --egress 3M", "x".repeat(253)));
    assert!(!other.status.success(), "{other:?}");

    let cached = json!({
        "containerId": IDS[0], "ifName": "eth0", "networkName": "pods",
        "cniArgs": [["K8S_POD_NAMESPACE", "shop"], ["K8S_POD_NAME", &name('a')["shop/".len()..]]],
        "result": {},
    });
    node.look("mkdir -p /var/lib/cni/results");
    std::fs::write("/var/lib/cni/results/cached", cached.to_string()).unwrap();
    assert_eq!(shown()[0]["pod"], name('a').as_str());
    let other = node.weir(&format!("limit {} --egress 3M", name('b')));
    assert!(!other.status.success(), "{other:?}");
}

#[test]
fn a_container_with_two_interfaces_is_asked_which() {
    let shop = Shop::new();
    let second = call(&shop.node, "bridge", &shop.pods[0], 0).with("CNI_IFNAME", "eth1");
    second.add(&bridge(json!({"isGateway": true})));
    let refusal = shop.refusal("shop/web-0 --ingress 1M");
    for words in ["could be several", &shop.host_end(0), "eth0", "eth1"] {
        assert!(refusal.contains(words), "{refusal}");
    }
}

#[test]
fn limits_are_changed_added_and_removed_and_check_agrees() {
    let shop = Shop::new();
    let changed = shop.limit("shop/web-0 --ingress 5M --egress 2M");
    assert_eq!(rates(&changed), json!([5_000_000, 2_000_000]));
    shop.check(0);
    let added = shop.limit("shop/web-1 --egress 1M --egress-burst 400k");
    assert_eq!(rates(&added), json!([null, 1_000_000]));
    assert_eq!(added[0]["egress"]["burstBytes"], 50_000);
    shop.check(1);
    assert_eq!(rates(&shop.limit(&format!("{} --ingress none", IDS[0]))), json!([null, 2_000_000]));
    shop.check(0);
    assert_eq!(shop.limit(&format!("{} --egress none", IDS[0])), json!([]));
    shop.check(0);
    for pod in &shop.pods {
        assert!(pod.reaches("10.244.0.1", 1400));
    }
}

#[test]
fn an_impossible_burst_is_reported_once() {
    let shop = Shop::new();
    let said = |changes: &str| {
        let output = shop.node.weir(&format!("limit shop/web-0 {changes}"));
        String::from_utf8(output.stderr).unwrap()
    };
    for (changes, words) in [
        ("--ingress 1M --ingress-burst 1k", "ingressBurst of 125 bytes is less than a packet; using 1514"),
        (
            "--egress 8k --egress-burst 8G",
            "egressBurst of 1000000000 bytes is more than the kernel holds; using 274877",
        ),
    ] {
        let said = said(changes);
        assert_eq!(said.matches(words).count(), 1, "{said}");
    }
    assert!(!said("--ingress 1M --egress 8k").contains("Burst of"));
}

#[test]
fn the_same_limit_twice_changes_nothing() {
    let shop = Shop::new();
    for (arguments, words) in
        [("shop/web-0 --ingress 5M", "changed"), ("shop/web-0 --ingress 5M", "as asked already")]
    {
        let output = shop.node.weir(&format!("limit {arguments}"));
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains(words), "{said}");
    }
}

#[test]
fn check_finds_that_a_limit_was_removed() {
    let shop = Shop::new();
    shop.limit("shop/web-0 --ingress 5M");
    shop.node.look(&format!("tc qdisc del dev {} root", shop.host_end(0)));
    let config = with_prev_result(&limits(true), &shop.results[0]);
    let failure = call(&shop.node, "bandwidth", &shop.pods[0], 0).verb("CHECK", &config).unwrap_err();
    assert!(failure.message.contains("not shaped"), "{failure:?}");
}

#[test]
fn after_a_change_del_still_removes_everything() {
    let shop = Shop::new();
    shop.limit("shop/web-0 --ingress 5M --egress none");
    shop.limit("shop/web-1 --ingress 5M --egress 5M");
    for (index, pod) in shop.pods.iter().enumerate() {
        call(&shop.node, "bandwidth", pod, index).del(&limits(index == 0));
        call(&shop.node, "bridge", pod, index).del(&bridge(json!({"isGateway": true})));
        assert!(pod.links().is_empty());
    }
    assert_eq!(shop.node.look("ip -o link show type ifb; ip -o link show type veth"), "");
    assert_eq!(shop.limit(""), json!([]));
}

#[test]
fn prometheus_gets_each_metric_with_help_type_and_labels() {
    let shop = Shop::new();
    let file = shop.node.file("weir.prom", "old");
    let output = shop.node.weir(&format!("limit --prometheus {}", file.display()));
    assert!(output.status.success() && output.stdout.is_empty(), "{output:?}");
    let text = std::fs::read_to_string(&file).unwrap();
    let labels = format!(
        "{{namespace=\"shop\",pod=\"web-0\",network=\"pods\",container=\"{}\",interface=\"eth0\",host_interface=\"{}\",direction=\"ingress\"}}",
        IDS[0],
        shop.host_end(0)
    );
    assert!(text.contains(&format!("\nweir_limit_rate_bytes_per_second{labels} 1250000\n")), "{text}");
    for metric in [
        "weir_limit_rate_bytes_per_second",
        "weir_limit_burst_bytes",
        "weir_limit_queue_limit_bytes",
        "weir_limit_passed_bytes_total",
        "weir_limit_passed_packets_total",
        "weir_limit_dropped_packets_total",
        "weir_limit_waiting_bytes",
        "weir_limit_waiting_packets",
    ] {
        let kind = if metric.ends_with("_total") { "counter" } else { "gauge" };
        assert!(text.contains(&format!("# HELP {metric} ")), "{text}");
        assert!(text.contains(&format!("# TYPE {metric} {kind}\n")), "{text}");
        assert_eq!(text.matches(&format!("\n{metric}{{")).count(), 2, "{metric} in both directions");
    }
    let folder = file.parent().unwrap();
    let left: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.contains("weir.prom"))
        .collect();
    assert_eq!(left, ["weir.prom"]);
}

/// Runs `weir limit --prometheus FILE` by a shell, so that a test can say what was there before and after.
fn export(node: &Node, before: &str, file: &str, after: &str) -> (bool, String) {
    let weir = node.bin().join("weir");
    let script = format!("set -e; cd /mnt; {before}\n{} limit --prometheus {file} {after}", weir.display());
    let output = Command::new("sh").args(["-c", &script]).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(said).unwrap())
}

const METRIC: &str = "# HELP weir_limit_rate_bytes_per_second";

#[test]
fn the_owner_of_the_textfile_folder_cannot_have_another_file_overwritten() {
    let node = Node::new();
    let secret = node.file("secret", "of root's");
    // The shell becomes weir, with the shell's process ID: every temporary name that a number tells is a link.
    let plant = "mkdir textfile; chown 65534 textfile; \
                 for name in weir.prom .weir.prom.$$.tmp .weir.prom.$$ weir.prom.$$.tmp weir.prom.tmp; do \
                     ln -s /mnt/secret textfile/$name; chown -h 65534 textfile/$name; \
                 done; exec ";
    let (done, said) = export(&node, plant, "textfile/weir.prom", "");
    assert!(!done && said.contains("textfile/weir.prom") && said.contains("symbolic link"), "{said}");
    let (done, said) = export(
        &node,
        "rm textfile/weir.prom; ln -s /mnt/secret textfile/.weir.prom.$$.tmp; exec",
        "textfile/weir.prom",
        "",
    );
    assert!(done, "{said}");
    assert_eq!(std::fs::read_to_string(secret).unwrap(), "of root's");
    assert!(node.look("cat /mnt/textfile/weir.prom").starts_with(METRIC));
}

#[test]
fn prometheus_keeps_the_files_mode_and_owner() {
    let node = Node::new();
    let (done, said) = export(
        &node,
        "echo old > weir.prom; chown 1234:4321 weir.prom; chmod 640 weir.prom",
        "weir.prom",
        "",
    );
    assert!(done, "{said}");
    assert_eq!(node.look("stat -c '%u %g %a' /mnt/weir.prom").trim(), "1234 4321 640");
    assert!(node.look("cat /mnt/weir.prom").starts_with(METRIC));
}

#[test]
fn prometheus_writes_to_devices_and_fifos_and_to_standard_output_for_a_dash() {
    let node = Node::new();
    for (before, file, after) in [
        ("", "-", ""),
        ("", "/dev/stdout", ""),
        ("", "/dev/stdout", "| cat"),
        ("mkfifo fifo; cat fifo & ", "fifo", "; wait"),
        ("ln -s real.prom link.prom", "link.prom", "; cat real.prom; test -L link.prom"),
    ] {
        let (done, said) = export(&node, before, file, after);
        assert!(done && said.starts_with(METRIC), "{file}: {said}");
    }
    // Of the test's own: a mistake would take the machine's.
    let (done, said) = export(&node, "mknod null c 1 3; mknod full c 1 7", "null", "; test -c null");
    assert!(done, "{said}");
    assert!(!node.look("ls -A /mnt").lines().any(|name| name == "-" || name.contains(".tmp")));
    let (done, said) = export(&node, "", "full", "");
    assert!(!done && said.contains("full") && said.contains("No space left"), "{said}");
    let (done, said) = export(&node, "", "- --json", "");
    assert!(!done && said.contains("--json"), "{said}");
}

#[test]
fn a_watch_may_stand_before_the_pod_that_it_is_about() {
    let shop = Shop::new();
    for arguments in
        ["--watch shop/web-0", "--watch 0.1 shop/web-0", "shop/web-0 --watch", "shop/web-0 --watch=0.1"]
    {
        let mut watch = Command::new(shop.node.bin().join("weir"))
            .arg("limit")
            .args(arguments.split(' '))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(watch.stdout.take().unwrap()).lines().map(Result::unwrap);
        let first: Vec<_> = lines.take(3).collect();
        assert!(first.len() == 3 && first[1].starts_with("shop/web-0 "), "{arguments}: {first:?}");
        assert!(watch.wait().unwrap().success(), "the pipe has no reader");
    }
    let refusal = shop.refusal("--watch shop/web-0 shop/web-1");
    assert!(refusal.contains("shop/web-0") && refusal.contains("shop/web-1"), "{refusal}");
    assert!(shop.refusal("--watch --ingress 1M").contains("name the pod to limit"));
}

#[test]
fn a_watch_ends_with_its_reader_and_with_a_signal() {
    let shop = Shop::new();
    let start = || {
        Command::new(shop.node.bin().join("weir"))
            .args(["limit", "--watch", "0.1"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    };
    let mut watch = start();
    let mut lines = BufReader::new(watch.stdout.take().unwrap()).lines();
    let headers = lines.by_ref().map(Result::unwrap).filter(|line| line.starts_with("POD")).take(3).count();
    assert_eq!(headers, 3, "it looks again and again");
    drop(lines);
    assert!(watch.wait().unwrap().success(), "the pipe has no reader");

    for signal in ["INT", "TERM"] {
        let mut watch = start();
        let mut first = [0; 3];
        watch.stdout.as_mut().unwrap().read_exact(&mut first).unwrap();
        assert_eq!(&first, b"POD", "no control characters in a pipe");
        tests::shell(&format!("kill -{signal} {}", watch.id()));
        assert!(watch.wait().unwrap().success(), "SIG{signal}");
    }
}

#[test]
fn a_watch_shows_a_change_of_an_interface_before_its_interval_ends() {
    let shop = Shop::new();
    let weir = shop.node.bin().join("weir");
    // A watch that does not end fails the test instead of keeping it.
    let mut watch = Command::new("timeout")
        .args(["300", weir.to_str().unwrap(), "limit", "--watch=86400"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(watch.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.by_ref().take(3).any(|line| line.contains("from pod")));
    shop.node.look(&format!("ip link set {} mtu 1400", shop.host_end(0)));
    assert!(lines.any(|line| line.contains("from pod")), "it looks again");
    tests::shell(&format!("kill {}", watch.id()));
    watch.wait().unwrap();
}

/// The reference writes no alias; libcni's results name the attachment.
#[test]
fn a_pod_of_the_reference_is_listed_by_name_and_changed_and_removed_by_us() {
    let (node, pod) = (Node::new(), Pod::new("container-0000"));
    let reference = std::path::Path::new(REFERENCE);
    let theirs = |plugin: &str| node.call_in(reference, plugin, &pod).with("CNI_PATH", REFERENCE);
    let attached = theirs("bridge").add(&bridge(json!({"isGateway": true})));
    let result = theirs("bandwidth").add(&with_prev_result(&limits(true), &attached));
    node.look("mkdir -p /var/lib/cni/results");
    let cached = json!({
        "kind": "cniCacheV1", "containerId": "container-0000", "config": "e30=", "ifName": "eth0",
        "networkName": "pods", "cniArgs": [["K8S_POD_NAMESPACE", "shop"], ["K8S_POD_NAME", "web-0"]],
        "result": result,
    });
    std::fs::write("/var/lib/cni/results/pods-container-0000-eth0", cached.to_string()).unwrap();

    let limit = |arguments: &str| -> Value {
        let output = node.weir(&format!("limit --json {arguments}"));
        assert!(output.status.success(), "{output:?}");
        serde_json::from_slice(&output.stdout).unwrap()
    };
    assert_eq!(limit("")[0]["pod"], "shop/web-0");
    assert_eq!(rates(&limit("shop/web-0 --ingress 3M --egress 4M")), json!([3_000_000, 4_000_000]));
    node.call("bandwidth", &pod).check(&limits(true), &result);
    for plugin in ["bandwidth", "bridge"] {
        node.call(plugin, &pod).del(&bridge(json!({"isGateway": true})));
    }
    assert_eq!(node.look("ip -o link show type ifb; ip -o link show type veth"), "");
}

/// A pair that another main plugin made, with its own text as alias or with none.
fn foreign(alias: &str) -> (Node, Pod, Value) {
    let (node, pod) = (Node::new(), Pod::new(IDS[0]));
    node.look(&format!(
        "ip link add cali1 up type veth peer name eth0; ip link set eth0 netns {}",
        pod.netns()
    ));
    pod.look("ip link set eth0 up");
    if !alias.is_empty() {
        node.look(&format!("ip link set cali1 alias {alias}"));
    }
    let result = json!({"cniVersion": "1.0.0", "interfaces": [{"name": "cali1"}], "dns": {}});
    (node, pod, with_prev_result(&limits(true), &result))
}

#[test]
fn del_restores_a_pair_of_another_plugin_however_often() {
    for alias in ["", "uplink"] {
        let (node, pod, config) = foreign(alias);
        let before = node.look("tc qdisc show dev cali1 root; ip -d link show cali1 | grep alias || true");
        let call = call(&node, "bandwidth", &pod, 0);
        call.add(&config);
        assert!(node.weir("limit cali1 --ingress 3M --egress 2M").status.success());
        call.check(&limits(true), &config["prevResult"]);
        for _ in 0..2 {
            call.del(&config);
            assert_eq!(node.look("ip -o link show type ifb"), "", "alias {alias:?}");
        }
        let after = node.look("tc qdisc show dev cali1 root; ip -d link show cali1 | grep alias || true");
        assert!(alias == "uplink" || after == before, "{after}");
        let leads = node.look("tc filter show dev cali1 ingress; nft list ruleset | grep fwd || true");
        assert_eq!(leads, "", "nothing leads to a device that is gone");
        assert!(node.weir("limit").status.success());
    }
}

/// As libcni keeps an attachment whose result tells no interface of the host.
fn remember(pod: &Pod) {
    let cached = json!({
        "kind": "cniCacheV1", "containerId": IDS[0], "ifName": "eth0", "networkName": "pods",
        "netns": pod.netns(), "cniArgs": [["K8S_POD_NAMESPACE", "shop"], ["K8S_POD_NAME", "web-0"]],
        "result": {"cniVersion": "0.2.0", "ip4": {"ip": "10.1.0.7/32"}, "dns": {}},
    });
    tests::shell("mkdir -p /var/lib/cni/results");
    std::fs::write(format!("/var/lib/cni/results/pods-{}-eth0", IDS[0]), cached.to_string()).unwrap();
}

#[test]
fn del_by_name_and_container_id_removes_a_live_limit_of_an_unlimited_pod_of_another_plugin() {
    let (node, pod, config) = foreign("");
    let call = call(&node, "bandwidth", &pod, 0);
    call.add(&with_prev_result(&limits(false), &config["prevResult"]));
    remember(&pod);
    assert!(node.weir("limit shop/web-0 --ingress 3M --egress 2M").status.success());
    call.check(&limits(false), &config["prevResult"]);
    assert_eq!(node.look("ip -o link show type ifb | wc -l"), "1\n");
    // The namespace went, and the pair with it.
    node.look("ip link delete cali1");
    call.with("CNI_NETNS", "").del(&limits(false));
    assert_eq!(node.look("ip -o link show type ifb"), "");
}

#[test]
fn weir_limit_reports_that_del_will_need_the_namespace() {
    let (node, _pod, _) = foreign("");
    let said = node.weir("limit cali1 --egress 2M").stderr;
    let said = String::from_utf8(said).unwrap();
    assert!(said.contains("cali1") && said.contains("bwp") && said.contains("by hand"), "{said}");
}

#[test]
fn a_pair_with_a_foreign_alias_is_found_by_container_and_changed_in_any_order() {
    let (node, pod, config) = foreign("uplink");
    call(&node, "bandwidth", &pod, 0).add(&config);
    for change in ["--ingress 1M", "--egress 1M", "--ingress 5M", "--egress 2M"] {
        let output = node.weir(&format!("limit shop/web-0 {change}"));
        assert!(output.status.success(), "{change}: {output:?}");
        call(&node, "bandwidth", &pod, 0).check(&limits(true), &config["prevResult"]);
    }
    // The record stands in the device's alias: so the device stays, and lets everything through.
    assert!(node.weir("limit shop/web-0 --egress none").status.success());
    call(&node, "bandwidth", &pod, 0).check(&limits(true), &config["prevResult"]);
    let shown = node.weir("limit --json cali1").stdout;
    assert_eq!(rates(&serde_json::from_slice(&shown).unwrap()), json!([5_000_000, null]));
    assert!(node.weir("limit shop/web-0 --egress 3M").status.success());
    call(&node, "bandwidth", &pod, 0).check(&limits(true), &config["prevResult"]);
}

#[test]
fn a_root_qdisc_of_others_is_not_replaced_and_an_ifb_limits_what_the_pod_receives() {
    let (node, pod, config) = foreign("");
    node.look("tc qdisc add dev cali1 root handle 10: htb");
    let qdiscs = || node.look("tc qdisc show dev cali1 | sed 's/ direct_packets_stat.*//'");
    let call = call(&node, "bandwidth", &pod, 0);
    let before = qdiscs();
    let result = call.add(&config);
    call.check(&limits(true), &result);
    assert!(qdiscs().starts_with("qdisc htb 10: root"));
    assert_eq!(node.look("ip -o link show type ifb | wc -l"), "2\n");
    call.del(&config);
    assert_eq!(node.look("ip -o link show type ifb"), "");
    assert_eq!(qdiscs(), before, "the hook that weir made is gone");
}

#[test]
fn a_limit_that_is_not_in_effect_is_a_state_of_its_own_with_its_own_exit_code() {
    let shop = Shop::new();
    let state = || {
        let shown = shop.node.weir(&format!("limit {}", shop.host_end(0)));
        let json: Value =
            serde_json::from_slice(&shop.node.weir(&format!("limit --json {}", shop.host_end(0))).stdout)
                .unwrap();
        let metrics = String::from_utf8(shop.node.weir("limit --prometheus -").stdout).unwrap();
        let host_end = format!("host_interface=\"{}\",direction=\"egress\"", shop.host_end(0));
        let metric =
            metrics.lines().find(|line| line.starts_with("weir_limit_in_effect") && line.contains(&host_end));
        let in_effect = metric.unwrap().ends_with("} 1");
        let table = String::from_utf8(shown.stdout).unwrap();
        (shown.status.code(), json[0]["egressNotInEffect"].clone(), in_effect, table)
    };
    let (code, reason, in_effect, table) = state();
    assert_eq!((code, reason, in_effect), (Some(0), Value::Null, true), "{table}");
    shop.node.look(&format!("nft delete chain netdev weir {}", shop.host_end(0)));
    let (code, reason, in_effect, table) = state();
    assert_eq!((code, in_effect), (Some(3), false), "{table}");
    let reason = reason.as_str().unwrap();
    assert!(
        reason.contains("nothing redirects its packets") && table.contains(&format!("no: {reason}")),
        "{table}"
    );
    assert_eq!(shop.node.weir(&format!("limit {} --egress 5M", shop.host_end(0))).status.code(), Some(0));
}

#[test]
fn a_deleted_device_hides_no_other_limit_and_is_created_again() {
    let shop = Shop::new();
    let device = shop.limit("")[0]["egress"]["device"].as_str().unwrap().to_owned();
    shop.node.look(&format!("ip link delete {device}"));
    let output = shop.node.weir("limit --json");
    let shown: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((output.status.code(), rates(&shown)), (Some(3), json!([10_000_000, null])));
    assert!(shown[0]["egressNotInEffect"].as_str().is_some_and(|why| why.contains("is gone")), "{shown}");
    let failure = call(&shop.node, "bandwidth", &shop.pods[0], 0)
        .verb("CHECK", &with_prev_result(&limits(true), &shop.results[0]))
        .unwrap_err();
    assert!(failure.message.contains("egress"), "{failure:?}");
    assert_eq!(rates(&shop.limit("shop/web-0 --egress 4M")), json!([10_000_000, 4_000_000]));
    shop.check(0);
}
