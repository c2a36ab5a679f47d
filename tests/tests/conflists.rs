//! Every file of `conf-examples/`, as a user runs it: attached, tried, checked, detached.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed, its helpers included")]

use std::fs;

use serde_json::{Value, json};
use tests::{Look, Node, Pod, repository};

/// The promises of an example.
struct Example {
    file: &'static str,
    /// Addresses at which each pod reaches its gateway.
    gateways: &'static [&'static str],
    limits: Limits,
}

enum Limits {
    None,
    /// Those of the pod's annotations.
    Annotated,
    /// Bits per second to and from every pod.
    Static(u64, u64),
}

const TO_POD: u64 = 10_000_000;
const FROM_POD: u64 = 20_000_000;

macro_rules! examples {
    ($($name:ident: $file:literal, $gateways:expr, $limits:expr;)*) => {
        const TESTED: &[&str] = &[$($file),*];
        $(#[test]
        fn $name() {
            works(&Example { file: $file, gateways: &$gateways, limits: $limits });
        })*
    };
}

examples! {
    bridge: "bridge.conflist", ["10.244.0.1"], Limits::None;
    bridge_with_limits_by_annotation: "bridge-bandwidth.conflist", ["10.244.0.1"], Limits::Annotated;
    bridge_with_static_limits:
        "bridge-bandwidth-static.conflist", ["10.244.0.1"], Limits::Static(10_000_000, 20_000_000);
    bridge_with_addresses_that_pods_name: "bridge-static.conflist", ["10.56.0.1"], Limits::None;
    bridge_with_firewall: "bridge-firewall.conflist", ["10.244.0.1", "fd00:10:244::1"], Limits::None;
    bridge_with_tuning: "bridge-tuning.conflist", ["10.244.0.1"], Limits::None;
    dual_stack: "dual-stack.conflist", ["10.244.0.1", "fd00:10:244::1"], Limits::Annotated;
    ptp: "ptp.conflist", ["10.244.0.1", "fd00:10:244::1"], Limits::Annotated;
    containerd: "containerd.conflist", ["10.88.0.1", "2001:4860:4860::1"], Limits::None;
    crio: "crio.conflist", ["10.85.0.1", "1100:200::1"], Limits::None;
    k3s_delegate: "k3s-delegate.conf", ["10.42.0.1"], Limits::None;
    calico_with_limits: "calico-bandwidth.conflist", ["169.254.1.1"], Limits::Annotated;
    nomad: "nomad.conflist", ["172.26.64.1"], Limits::None;
    loopback: "loopback.conf", ["127.0.0.1", "::1"], Limits::None;
}

/// Another main plugin: a veth pair of its own naming, routed, with a result of version 0.3.1.
const CALICO: &str = r#"
set -e
host=cali$(printf %s "$CNI_CONTAINERID" | cksum | cut -c1-8)
address=192.168.7.${CNI_CONTAINERID#c}
case $CNI_COMMAND in
ADD)
    ip link add $host type veth peer name $CNI_IFNAME netns $CNI_NETNS
    ip link set $host up
    ip addr add 169.254.1.1/32 dev $host
    nsenter --net=$CNI_NETNS sh -ec "
        ip link set $CNI_IFNAME up
        ip addr add $address/32 dev $CNI_IFNAME
        ip route add 169.254.1.1 dev $CNI_IFNAME
        ip route add default via 169.254.1.1"
    ip route add $address dev $host
    echo 1 > /proc/sys/net/ipv4/ip_forward
    cat << END
{"cniVersion": "0.3.1", "interfaces": [{"name": "$host"}],
 "ips": [{"version": "4", "address": "$address/32"}], "dns": {}}
END
    ;;
DEL) ip link delete $host 2> /dev/null || true ;;
esac"#;

/// A pod as `weir` attaches it.
struct Attached<'a> {
    node: &'a Node,
    pod: Pod,
    options: String,
    result: Value,
}

impl<'a> Attached<'a> {
    fn new(node: &'a Node, example: &Example, id: &str, annotations: &str) -> Self {
        let pod = Pod::new(id);
        let interface = if example.file.starts_with("loopback") { "lo" } else { "eth0" };
        // Only a plugin that declares the capability gets it.
        let number = id.trim_start_matches('c');
        let ip = format!("[\"10.56.0.{number}/24\"]");
        let ports = format!("[{{\"hostPort\":808{number},\"containerPort\":80,\"protocol\":\"tcp\"}}]");
        let options = format!(
            "--conflist {} --cap ips={ip} --cap portMappings={ports} --netns {} --container-id {id} --ifname {interface} \
             --arg IgnoreUnknown=1 --arg K8S_POD_NAMESPACE=default --arg K8S_POD_NAME={id}",
            repository().join("conf-examples").join(example.file).display(),
            pod.netns(),
        );
        let printed = weir(node, &format!("attach {options} {annotations}"));
        Self { node, pod, options, result: serde_json::from_str(&printed).unwrap() }
    }

    /// The pod's addresses, as the result says.
    fn addresses(&self) -> Vec<String> {
        let ips = self.result["ips"].as_array().unwrap().iter();
        ips.map(|ip| ip["address"].as_str().unwrap().split('/').next().unwrap().to_owned()).collect()
    }

    /// The pod's limits in the kernel, in bits per second to and from it.
    fn limits(&self) -> (Option<u64>, Option<u64>) {
        let host_end = self.host_end();
        let chain = self.node.look(&format!("nft list chain netdev weir {host_end} 2>&1 || true"));
        let ifb = chain.split("fwd to \"").nth(1).map(|rest| rest.split('"').next().unwrap());
        (self.rate(&host_end), ifb.and_then(|ifb| self.rate(ifb)))
    }

    fn host_end(&self) -> String {
        let index = &self.pod.link("eth0")["link_index"];
        let links = self.node.ip("link");
        links.iter().find(|link| &link["ifindex"] == index).unwrap()["ifname"].as_str().unwrap().to_owned()
    }

    fn rate(&self, link: &str) -> Option<u64> {
        let qdiscs: Value =
            serde_json::from_str(&self.node.look(&format!("tc -j qdisc show dev {link} root"))).unwrap();
        let tbf = qdiscs.as_array().unwrap().iter().find(|qdisc| qdisc["kind"] == "tbf")?;
        Some(tbf["options"]["rate"].as_u64().unwrap() * 8)
    }

    fn check(&self) {
        // Versions before 0.4.0 have no CHECK.
        if self.result["cniVersion"].as_str().unwrap() >= "0.4.0" {
            weir(self.node, &format!("check {}", self.options));
        }
    }

    fn detach(self) {
        weir(self.node, &format!("detach {}", self.options));
        assert!(self.pod.links().is_empty());
    }
}

/// Runs `weir`, which must succeed, and returns what it printed.
fn weir(node: &Node, arguments: &str) -> String {
    let output = node.weir(arguments);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "weir {arguments}: {error}");
    String::from_utf8(output.stdout).unwrap()
}

fn works(example: &Example) {
    let node = Node::new().with_script("calico", CALICO);
    Attached::new(&node, example, "c5", "").detach();
    let before = node.fingerprint();

    let annotations = format!(
        "--annotation kubernetes.io/ingress-bandwidth={TO_POD} --annotation kubernetes.io/egress-bandwidth=20M"
    );
    let limited = Attached::new(&node, example, "c7", &annotations);
    let plain = Attached::new(&node, example, "c8", "");
    for gateway in example.gateways {
        assert!(limited.pod.reaches(gateway, 56) && plain.pod.reaches(gateway, 56), "{gateway}");
    }
    for (from, to) in [(&limited, &plain), (&plain, &limited)] {
        assert_eq!(to.addresses().len(), example.gateways.len());
        for address in to.addresses() {
            assert!(from.pod.reaches(&address, 56), "{address}");
        }
    }
    if !example.file.starts_with("loopback") {
        let (of_limited, of_plain) = match example.limits {
            Limits::None => ((None, None), (None, None)),
            Limits::Annotated => ((Some(TO_POD), Some(FROM_POD)), (None, None)),
            Limits::Static(to, from) => ((Some(to), Some(from)), (Some(to), Some(from))),
        };
        assert_eq!((limited.limits(), plain.limits()), (of_limited, of_plain));
    }
    limited.check();
    plain.check();
    limited.detach();
    plain.check();
    plain.detach();
    assert_eq!(node.fingerprint(), before);
}

#[test]
fn every_example_is_tested_and_explained() {
    let folder = repository().join("conf-examples");
    let mut files: Vec<_> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name != "README.md")
        .collect();
    let mut tested = TESTED.to_vec();
    files.sort();
    tested.sort_unstable();
    assert_eq!(files, tested);
    let readme = fs::read_to_string(folder.join("README.md")).unwrap();
    for file in files {
        assert!(
            readme.contains(&format!("| `{file}` | ")),
            "conf-examples/README.md does not explain {file}"
        );
    }
}

#[test]
fn detach_needs_only_the_network() {
    // As after a reboot: no kept result, no namespace.
    let node = Node::new();
    let file = repository().join("conf-examples/dual-stack.conflist");
    let options = format!("--conflist {} --container-id c1", file.display());
    let pod = Pod::new("c0");
    weir(&node, &format!("attach {} --netns {}", options.replace("c1", "c0"), pod.netns()));
    weir(&node, &format!("detach {}", options.replace("c1", "c0")));
    let before = node.fingerprint();
    let pod = Pod::new("c1");
    let limit = "--annotation kubernetes.io/egress-bandwidth=1M";
    weir(&node, &format!("attach {options} --netns {} {limit}", pod.netns()));
    node.look("rm -r /var/lib/weir");
    weir(&node, &format!("detach {options}"));
    assert_eq!(node.fingerprint(), before);
    assert_eq!(json!(pod.links()), json!([]));
}
