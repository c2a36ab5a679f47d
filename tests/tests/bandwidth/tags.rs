//! Exempt and limited traffic behind VLAN tags, by frames that a pod writes itself.

use serde_json::{Value, json};
use tests::{Look, Pod};

use crate::setting::{Setting, bridge_config, ifbs};

const EXEMPT: [&str; 2] = ["c0000201", "20010db8000100000000000000000001"];
const LIMITED: [&str; 2] = ["c6336401", "20010db8000200000000000000000001"];
/// Priority tags and others, of either protocol.
const TAGS: [&str; 5] = ["", "81000000", "81000007", "88a80000", "88a80007"];
const TWO_TAGS: &str = "8100000081000000";
const COUNT: u64 = 20;

struct Ends {
    setting: Setting,
    other: Pod,
}

impl Ends {
    fn new(list: &Value) -> Self {
        let setting = Setting::new();
        let mut keys = json!({
            "ingressRate": 40_000_000, "ingressBurst": 800_000,
            "egressRate": 40_000_000, "egressBurst": 800_000,
        });
        keys.as_object_mut().unwrap().extend(list.as_object().unwrap().clone());
        setting.shape(keys);
        let other = Pod::new("c2");
        setting.node.call("bridge", &other).add(&bridge_config());
        Self { setting, other }
    }

    /// Lets one pod send frames to the other, with the address as the one that counts.
    fn send(&self, to_pod: bool, tags: &str, address: &str) {
        let (sender, receiver) =
            if to_pod { (&self.other, &self.setting.pod) } else { (&self.setting.pod, &self.other) };
        let [from, to] = [sender, receiver].map(mac);
        let any = "00".repeat(address.len() / 2 - 1) + "09";
        let addresses = if to_pod { format!("{address}{any}") } else { format!("{any}{address}") };
        let packet = match address.len() {
            8 => format!("0800{}", with_checksum(&format!("450000140000000040110000{addresses}"))),
            _ => format!("86dd6000000000003b40{addresses}"),
        };
        let frame = format!("{to}{from}{tags}{packet}{}", "00".repeat(20));
        sender.shell(&format!(
            "perl -e 'socket(my $s, 17, 3, 0) or die $!; my $i = `ip -o link show eth0 | cut -d: -f1`; \
             for (1..{COUNT}) {{ send($s, pack(\"H*\", \"{frame}\"), 0, \
             pack(\"SnlSCCa8\", 17, 0, $i, 0, 0, 6, pack(\"H*\", \"{to}\"))) or die $! }}'"
        ));
    }

    /// Packets that came to a limit of the pod's.
    fn came(&self) -> u64 {
        let number = |device: &String| -> u64 {
            let qdiscs = tests::json(&format!("tc -s -j qdisc show dev {device}"));
            let tbf = qdiscs.as_array().unwrap().iter().find(|qdisc| qdisc["kind"] == "tbf");
            let counts = ["packets", "drops", "qlen"];
            tbf.map_or(0, |tbf| counts.iter().map(|key| tbf[key].as_u64().unwrap_or(0)).sum())
        };
        ifbs().iter().chain([&self.setting.host_end()]).map(number).sum()
    }
}

/// An IPv4 header with its checksum (RFC 791), without which a bridge's netfilter drops the packet.
fn with_checksum(header: &str) -> String {
    let word = |at: usize| u32::from_str_radix(&header[at..at + 4], 16).unwrap();
    let sum: u32 = (0..header.len()).step_by(4).map(word).sum();
    let folded = (sum & 0xFFFF) + (sum >> 16);
    format!("{}{:04x}{}", &header[..20], !folded & 0xFFFF, &header[24..])
}

/// The hardware address of a pod, in hexadecimal digits.
fn mac(pod: &Pod) -> String {
    pod.link("eth0")["address"].as_str().unwrap().replace(':', "")
}

/// A few packets of the kernel's own may come beside.
fn assert_came(ends: &Ends, to_pod: bool, frames: &[(&str, &str)], want: u64) {
    let before = ends.came();
    for (tags, address) in frames {
        ends.send(to_pod, tags, address);
    }
    let what = format!("{frames:?}, to the pod {to_pod}");
    tests::eventually(&what, || ends.came() >= before + want);
    let came = ends.came() - before;
    assert!(came < want + COUNT / 2, "{what}: {came} instead of {want}");
}

#[test]
fn a_tag_neither_exempts_nor_limits() {
    for list in [
        json!({"unshapedSubnets": ["192.0.2.0/24", "2001:db8:1::/48"]}),
        json!({"shapedSubnets": ["198.51.100.0/24", "2001:db8:2::/48"]}),
    ] {
        let ends = Ends::new(&list);
        for to_pod in [true, false] {
            for (exempt, limited) in EXEMPT.into_iter().zip(LIMITED) {
                for tags in TAGS {
                    assert_came(&ends, to_pod, &[(tags, exempt), (tags, limited)], COUNT);
                }
                // Behind two tags nothing is looked for.
                assert_came(&ends, to_pod, &[(TWO_TAGS, exempt), (TWO_TAGS, limited)], 2 * COUNT);
            }
        }
        ends.setting.node.call("bridge", &ends.other).del(&bridge_config());
        ends.setting.delete();
    }
}
