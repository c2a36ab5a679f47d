//! What DEL and GC find by the record, and whose it is.

use std::fs;
use std::os::unix::fs::symlink;

use serde_json::{Value, json};
use tests::config::changed;
use tests::{Failure, Look, Node, Pod};

use super::{BEFORE, RECORD, RECORDS, call, config, everything, exists, pod, record, records, shown, tuned};

#[test]
fn the_record_has_what_was_there_before_under_the_references_keys() {
    let (node, pod) = (Node::new(), pod("c1"));
    call(&node, &pod).add(&config(&pod, everything()));
    assert_eq!(records(&node), ["c1_eth0.json"]);
    let record = record();
    for (key, value) in [
        ("mac", json!(BEFORE)),
        ("mtu", json!(1500)),
        ("promisc", json!(false)),
        ("allmulti", json!(false)),
        ("txQLen", json!(1000)),
        ("network", json!("pods")),
    ] {
        assert_eq!(record[key], value, "{key}");
    }
    assert_eq!(node.look(&format!("stat -c %a {RECORD}")).trim(), "600");
}

#[test]
fn del_without_a_namespace_removes_the_record() {
    let node = Node::new();
    for netns in ["", "/run/netns/gone", "/etc/hostname"] {
        let pod = pod("c1");
        call(&node, &pod).add(&config(&pod, everything()));
        call(&node, &pod).with("CNI_NETNS", netns).del(&config(&pod, everything()));
        assert!(records(&node).is_empty(), "{netns:?}");
        call(&node, &pod).with("CNI_NETNS", netns).del(&config(&pod, everything()));
    }
}

/// The namespace's path is the next container's by now, which has the same interface with the same address.
#[test]
fn a_late_del_changes_nothing_in_the_next_containers_namespace() {
    let (node, next) = (Node::new(), pod("next"));
    call(&node, &next).add(&config(&next, everything()));
    let old = pod("c1");
    call(&node, &old).add(&config(&old, everything()));
    call(&node, &old).with("CNI_NETNS", next.netns()).del(&config(&old, everything()));
    assert_eq!(shown(&next), tuned());
    assert_eq!(records(&node), ["next_eth0.json"]);
}

#[test]
fn an_interface_that_was_made_anew_is_not_restored() {
    let (node, pod) = (Node::new(), pod("c1"));
    call(&node, &pod).add(&config(&pod, everything()));
    pod.shell("ip link del eth0; ip link add eth0 mtu 1234 type veth peer name peer0");
    call(&node, &pod).del(&config(&pod, everything()));
    assert_eq!(pod.link("eth0")["mtu"], 1234);
    assert!(records(&node).is_empty());
}

#[test]
fn an_interface_that_was_renamed_is_restored() {
    let (node, pod) = (Node::new(), pod("c1"));
    call(&node, &pod).add(&config(&pod, everything()));
    pod.shell("ip link set eth0 name net7");
    call(&node, &pod).del(&config(&pod, everything()));
    let link = pod.link("net7");
    assert_eq!((&link["mtu"], &link["address"]), (&json!(1500), &json!(BEFORE)));
}

#[test]
fn del_removes_a_record_that_cannot_be_read() {
    let (node, pod) = (Node::new(), pod("c1"));
    let before = shown(&pod);
    node.look(&format!("mkdir -p {RECORDS}"));
    for text in ["", "{\"mac\": \"02:0", "[]", "{\"mtu\": \"x\"}"] {
        fs::write(RECORD, text).unwrap();
        call(&node, &pod).del(&config(&pod, everything()));
        assert!(records(&node).is_empty(), "{text}");
        fs::write(RECORD, text).unwrap();
        call(&node, &pod).add(&config(&pod, everything()));
        call(&node, &pod).del(&config(&pod, everything()));
        assert_eq!(shown(&pod), before);
    }
}

/// No later DEL could restore it either, and the pod would stay. The reference ignores every such error.
#[test]
fn del_ends_well_when_the_kernel_refuses_what_was_there_before() {
    let (node, pod) = (Node::new(), Pod::new("c1"));
    pod.shell("ip link add parent type veth peer name peer0; ip link add eth0 link parent type macvlan");
    let before = pod.sysctl("net/core/somaxconn");
    let config = config(&pod, json!({"mtu": 1300, "sysctl": {"net.core.somaxconn": "500"}}));
    call(&node, &pod).add(&config);
    pod.shell("ip link set parent mtu 1400");
    call(&node, &pod).del(&config);
    assert_eq!((pod.link("eth0")["mtu"].clone(), pod.sysctl("net/core/somaxconn")), (json!(1300), before));
    assert!(records(&node).is_empty());
}

/// `dataDir` may be a folder that others write to.
#[test]
fn a_record_that_leads_out_of_the_namespaces_parameters_is_not_restored() {
    let (node, pod) = (Node::new(), pod("c1"));
    let victim = node.file("victim", "1");
    let swappiness = || node.look("cat /proc/sys/vm/swappiness");
    let before = swappiness();
    for path in ["../../mnt/victim", "net/../../../mnt/victim", "/mnt/victim", "vm/swappiness"] {
        call(&node, &pod).add(&config(&pod, everything()));
        fs::write(RECORD, changed(&record(), json!({"sysctl": {path: "7"}})).to_string()).unwrap();
        call(&node, &pod).add(&config(&pod, everything()));
        assert!(!record().to_string().contains(path), "{path}");
        fs::write(RECORD, changed(&record(), json!({"sysctl": {path: "7"}})).to_string()).unwrap();
        call(&node, &pod).del(&config(&pod, everything()));
        assert_eq!(
            (fs::read_to_string(&victim).unwrap(), swappiness()),
            ("1".to_owned(), before.clone()),
            "{path}"
        );
        assert!(records(&node).is_empty(), "{path}");
    }
}

#[test]
fn what_is_not_a_file_in_the_place_of_a_record_is_neither_followed_nor_waited_for() {
    let (node, pod) = (Node::new(), pod("c1"));
    node.look(&format!("mkdir -p {RECORDS}; echo kept > /mnt/kept"));
    let places = [RECORD, "/run/cni/tuning/c1_eth0.tmp"];
    for make in [
        |place: &str| symlink("/mnt/kept", place).unwrap(),
        |place: &str| tests::shell(&format!("mkfifo {place}")).clear(),
    ] {
        for place in places {
            make(place);
            call(&node, &pod).add(&config(&pod, everything()));
            assert_eq!(record()["mtu"], 1500);
            call(&node, &pod).del(&config(&pod, everything()));
            make(place);
            call(&node, &pod).del(&config(&pod, everything()));
            assert!(records(&node).is_empty());
        }
    }
    assert_eq!(fs::read_to_string("/mnt/kept").unwrap(), "kept\n");
}

#[test]
fn a_record_that_cannot_be_written_leaves_everything_as_it_was() {
    let (node, pod) = (Node::new(), pod("c1"));
    let before = shown(&pod);
    node.look("mkdir /mnt/full; mount -t tmpfs -o size=4k tmpfs /mnt/full; dd if=/dev/zero of=/mnt/full/x bs=4096 count=1 status=none");
    for folder in ["/mnt/full", "/proc/tuning"] {
        let config = config(&pod, changed(&everything(), json!({"dataDir": folder})));
        let failure = call(&node, &pod).verb("ADD", &config).unwrap_err();
        assert!(failure.message.contains(folder), "{failure:?}");
        assert_eq!((failure.code, shown(&pod)), (5, before.clone()));
        call(&node, &pod).del(&config);
    }
    assert_eq!(node.look("ls /mnt/full").trim(), "x");
}

#[test]
fn records_are_kept_where_the_config_says() {
    let (node, pod) = (Node::new(), pod("c1"));
    let config = config(&pod, changed(&everything(), json!({"dataDir": "/mnt/a/b"})));
    call(&node, &pod).add(&config);
    assert_eq!(node.look("ls -A /mnt/a/b").trim(), "c1_eth0.json");
    call(&node, &pod).del(&config);
    assert_eq!(node.look("ls -A /mnt/a/b /run/cni"), "/mnt/a/b:\n\n/run/cni:\n");
}

/// `a_b` and `c` give the name that `a` and `b_c` give.
#[test]
fn the_record_of_another_container_with_the_same_file_name_stays() {
    let (node, pod) = (Node::new(), pod("a_b"));
    pod.shell("ip link set eth0 name c");
    call(&node, &pod).with("CNI_IFNAME", "c").add(&config(&pod, json!({"mtu": 1400})));
    let other = Pod::new("a");
    call(&node, &other).with("CNI_IFNAME", "b_c").del(&config(&other, json!({})));
    assert_eq!(records(&node), ["a_b_c.json"]);
}

/// Killed at each system call in turn.
#[test]
fn del_restores_what_a_killed_add_has_changed() {
    let (node, pod) = (Node::new(), pod("c1"));
    let (before, config) = (shown(&pod), config(&pod, everything()));
    let mut changed = 0;
    for when in 1.. {
        let fault = format!("inject=all:signal=SIGKILL:when={when}");
        let words = ["strace", "-qq", "-o", "/dev/null", "-e", &fault].map(str::to_owned);
        let ended = call(&node, &pod).executed_by(&words).raw("ADD", &config.to_string());
        assert!(when < 500, "{ended:?}");
        let (now, has_record) = (shown(&pod), exists(RECORD));
        assert!(now == before || has_record, "changed without a record at call {when}: {now}");
        assert!(!has_record || record()["mtu"] == 1500, "{when}");
        changed += u32::from(now != before);
        call(&node, &pod).del(&config);
        assert_eq!(shown(&pod), before, "{when}");
        assert!(records(&node).is_empty(), "{when}");
        if ended.status.success() {
            break;
        }
    }
    assert!(changed > 2, "{changed}");
}

#[test]
fn a_killed_del_is_finished_by_the_next() {
    let (node, pod) = (Node::new(), pod("c1"));
    let (before, config) = (shown(&pod), config(&pod, everything()));
    for when in 1.. {
        call(&node, &pod).add(&config);
        let fault = format!("inject=all:signal=SIGKILL:when={when}");
        let words = ["strace", "-qq", "-o", "/dev/null", "-e", &fault].map(str::to_owned);
        let ended = call(&node, &pod).executed_by(&words).raw("DEL", &config.to_string());
        assert!(when < 500, "{ended:?}");
        call(&node, &pod).del(&config);
        assert_eq!(shown(&pod), before, "{when}");
        assert!(records(&node).is_empty(), "{when}");
        if ended.status.success() {
            break;
        }
    }
}

mod gc {
    use super::*;

    fn gc(node: &Node, valid: Value) -> Result<Value, Failure> {
        let call = ["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME"]
            .into_iter()
            .fold(call(node, &Pod::new("none")), |call, name| call.with(name, ""));
        let config = json!({"cniVersion": "1.1.0", "name": "pods", "type": "tuning"});
        call.verb("GC", &changed(&config, valid))
    }

    fn none() -> Value {
        json!({"cni.dev/valid-attachments": []})
    }

    /// An attachment whose pod is gone.
    fn gone(node: &Node, id: &str, network: &str) {
        let pod = pod(id);
        call(node, &pod).add(&config(&pod, changed(&everything(), json!({"name": network}))));
    }

    #[test]
    fn records_of_attachments_that_are_gone_are_removed_and_no_others() {
        let node = Node::new();
        gc(&node, none()).unwrap();
        gone(&node, "gone", "pods");
        gone(&node, "valid", "pods");
        gone(&node, "other", "storage");
        let alive = pod("alive");
        call(&node, &alive).add(&config(&alive, everything()));
        // The reference's does not tell its network.
        fs::write(format!("{RECORDS}/reference_eth0.json"), "{\"mtu\": 1500}").unwrap();
        fs::write(format!("{RECORDS}/torn_eth0.json"), "{\"mtu\": 15").unwrap();
        fs::write(format!("{RECORDS}/notes"), "kept").unwrap();
        let kept = [
            "alive_eth0.json",
            "notes",
            "other_eth0.json",
            "reference_eth0.json",
            "torn_eth0.json",
            "valid_eth0.json",
        ];
        let valid = json!([{"containerID": "valid", "ifname": "eth0"}]);
        gc(&node, json!({"cni.dev/valid-attachments": valid})).unwrap();
        assert_eq!(records(&node), kept);
        gc(&node, json!({})).unwrap();
        assert_eq!(records(&node), kept);
        gc(&node, none()).unwrap();
        assert_eq!(
            records(&node),
            kept.into_iter().filter(|name| *name != "valid_eth0.json").collect::<Vec<_>>()
        );
        assert_eq!(shown(&alive), tuned());
    }

    #[test]
    fn a_namespace_that_another_containers_path_leads_to_is_not_the_records() {
        let node = Node::new();
        let (old, next) = (pod("old"), pod("next"));
        call(&node, &old).add(&config(&old, everything()));
        let file = format!("{RECORDS}/old_eth0.json");
        let text = fs::read_to_string(&file).unwrap();
        assert!(text.contains(&old.netns()));
        fs::write(&file, text.replace(&old.netns(), &next.netns())).unwrap();
        gc(&node, none()).unwrap();
        assert!(records(&node).is_empty());
    }

    /// GC of the main plugin has deleted the interface of a pod that nothing lives in.
    #[test]
    fn the_record_of_an_interface_that_is_gone_is_removed() {
        let (node, pod) = (Node::new(), pod("c1"));
        call(&node, &pod).add(&config(&pod, everything()));
        pod.shell("ip link del eth0");
        gc(&node, none()).unwrap();
        assert!(records(&node).is_empty());
    }

    #[test]
    fn the_record_that_a_killed_add_has_not_named_yet_is_removed() {
        let node = Node::new();
        gone(&node, "c1", "pods");
        fs::rename(RECORD, format!("{RECORDS}/c1_eth0.tmp")).unwrap();
        gc(&node, none()).unwrap();
        assert!(records(&node).is_empty());
    }

    #[test]
    fn a_record_that_cannot_be_removed_does_not_keep_the_others() {
        let node = Node::new();
        for id in ["a", "b", "c"] {
            gone(&node, id, "pods");
        }
        // A file that something is mounted on cannot be removed.
        let file = format!("{RECORDS}/b_eth0.json");
        node.look(&format!("cp {file} /mnt/record; mount --bind /mnt/record {file}"));
        let failure = gc(&node, none()).unwrap_err();
        assert!(failure.message.contains(&file), "{failure:?}");
        assert_eq!(records(&node), ["b_eth0.json"]);
    }
}
