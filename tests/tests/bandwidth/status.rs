//! STATUS, and its requests to the kernel. CRI-O calls it every half second.

use serde_json::{Value, json};
use tests::{Node, Pod};

use crate::setting::{Setting, bandwidth_config, requested};

/// The requests of STATUS with these keys, as `strace` shows them.
fn requests(node: &Node, keys: Value) -> String {
    let words = "strace -f -qq -v -s 4096 -e trace=sendto,setns,unshare -o /mnt/trace";
    let words: Vec<_> = words.split(' ').map(str::to_owned).collect();
    let call = node.call("bandwidth", &Pod::new("none")).executed_by(&words);
    call.verb("STATUS", &bandwidth_config(keys)).unwrap();
    std::fs::read_to_string("/mnt/trace").unwrap()
}

fn exempting() -> Value {
    json!({"unshapedSubnets": ["10.0.0.0/8"]})
}

/// Has the kernel's files say that these modules are built in.
fn built_in(node: &Node, modules: &[&str]) {
    let lines: String = modules.iter().map(|module| format!("kernel/net/{module}.ko\n")).collect();
    let list = node.file("modules.builtin", &lines);
    tests::shell(&format!(
        "mkdir /mnt/upper /mnt/work; \
         mount -t overlay -o lowerdir=/usr/lib,upperdir=/mnt/upper,workdir=/mnt/work overlay /usr/lib; \
         mkdir -p /usr/lib/modules/$(uname -r); cp {} /usr/lib/modules/$(uname -r)/",
        list.display()
    ));
}

#[test]
fn status_tries_what_add_of_this_config_does() {
    let node = Node::new();
    let before = node.fingerprint();
    // What a pod sends goes by a chain of nf_tables here, for which no filter is needed. In another namespace than its own,
    // `strace` shows numbers: NFT_MSG_NEWCHAIN, RTM_NEWTFILTER, and the name "htb".
    let (chain, filter, classes) = ("nlmsg_type=0xa03", "nlmsg_type=0x2c", r"\x68\x74\x62\x00");
    let shaped = requests(&node, json!({}));
    assert!(shaped.contains(chain) && !shaped.contains(filter) && !shaped.contains(classes), "{shaped}");
    let exempting = requests(&node, exempting());
    assert!(exempting.contains(chain) && exempting.contains(classes), "{exempting}");
    assert_eq!(node.fingerprint(), before);
}

#[test]
fn status_tries_nothing_when_modules_prove_that_limits_work() {
    let node = Node::new();
    built_in(&node, &["ifb", "sch_tbf", "nf_tables", "nft_fwd_netdev"]);
    assert_eq!(requests(&node, json!({})), "");
    // A list of subnets needs more.
    assert!(requests(&node, exempting()).contains("unshare"));
}

#[test]
fn status_makes_no_namespace_when_a_pod_with_exempt_subnets_proves_that_they_work() {
    let setting = Setting::new();
    setting.shape(requested(8_000_000, 800_000));
    assert!(!requests(&setting.node, json!({})).contains("unshare"));
    assert!(requests(&setting.node, exempting()).contains("unshare"));
    let mut keys = requested(8_000_000, 800_000);
    keys["unshapedSubnets"] = json!(["10.0.0.0/8"]);
    setting.delete();
    let setting = Setting::new();
    setting.shape(keys);
    assert!(!requests(&setting.node, exempting()).contains("unshare"));
}
