//! DEL, GC, and what a killed ADD leaves.

use std::os::unix::process::ExitStatusExt;

use serde_json::{Value, json};
use tests::config::{changed, ptp};
use tests::{Call, Look, Node, Pod, Snapshot, with_prev_result};

fn config() -> Value {
    ptp(json!({"cniVersion": "1.1.0", "ipMasq": true}))
}

/// A node on which the network was used before, and how that looks.
fn used() -> (Node, Snapshot) {
    let (node, pod) = (Node::new(), Pod::new("c0"));
    node.call("ptp", &pod).add(&config());
    node.call("ptp", &pod).del(&config());
    (node, Snapshot::of_node())
}

fn is_as_before(before: &Snapshot, what: &str) {
    assert_eq!(Snapshot::of_node().differences(before), Vec::<String>::new(), "{what}");
}

fn gc(node: &Node, valid: &[&str]) {
    let call = ["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME"]
        .into_iter()
        .fold(node.call("ptp", &Pod::new("none")), |call, name| call.with(name, ""));
    let valid: Vec<_> = valid.iter().map(|id| json!({"containerID": id, "ifname": "eth0"})).collect();
    call.verb("GC", &changed(&config(), json!({"cni.dev/valid-attachments": valid}))).unwrap();
}

/// A call of `ptp` that is killed at its system call number `when` of this name.
fn killed(node: &Node, pod: &Pod, name: &str, when: usize) -> Call {
    let ptp = node.bin().join("ptp");
    let script = format!(
        "#!/bin/sh\nexec strace -qq -o /dev/null -e trace={name} -e inject={name}:signal=KILL:when={when} {}\n",
        ptp.display()
    );
    let file = node.file("injecting", &script);
    node.look(&format!("mkdir -p /mnt/faulty; install -m 755 {} /mnt/faulty/ptp", file.display()));
    node.call_in("/mnt/faulty".as_ref(), "ptp", pod)
}

#[test]
fn del_removes_everything_with_and_without_namespace_and_result_and_twice() {
    for netns in [true, false] {
        for with_result in [true, false] {
            let (node, before) = used();
            let pod = Pod::new("c1");
            let result = node.call("ptp", &pod).add(&config());
            let call = node.call("ptp", &pod);
            let call = if netns { call } else { call.with("CNI_NETNS", "") };
            let config = if with_result { with_prev_result(&config(), &result) } else { config() };
            for _ in 0..2 {
                call.del(&config);
                is_as_before(&before, &format!("netns: {netns}, prevResult: {with_result}"));
                assert!(pod.links().is_empty());
            }
        }
    }
}

#[test]
fn del_of_one_pod_leaves_the_others_with_their_gateway() {
    let node = Node::new();
    let pods = ["c1", "c2"].map(Pod::new);
    let results = pods.each_ref().map(|pod| node.call("ptp", pod).add(&config()));
    node.call("ptp", &pods[0]).del(&config());
    assert!(pods[1].reaches("10.244.0.1", 56) && pods[1].reaches("fd00:244::1", 56));
    node.call("ptp", &pods[1]).check(&config(), &results[1]);
}

#[test]
fn gc_removes_what_is_not_valid() {
    let (node, before) = used();
    let pods = ["c1", "c2", "c3"].map(Pod::new);
    let results = pods.each_ref().map(|pod| node.call("ptp", pod).add(&config()));
    gc(&node, &["c2", "c9"]);
    let attached: Vec<_> =
        pods.iter().filter(|pod| !pod.links().is_empty()).map(|pod| pod.id().to_owned()).collect();
    assert_eq!(attached, ["c2"]);
    node.call("ptp", &pods[1]).check(&config(), &results[1]);
    gc(&node, &[]);
    is_as_before(&before, "nothing is valid");
}

#[test]
fn an_add_that_was_killed_at_any_request_is_removed_by_gc_by_del_and_by_the_next_add() {
    let (node, before) = used();
    let pod = Pod::new("c1");
    let call = node.call("ptp", &pod);
    for when in 1.. {
        let remains = killed(&node, &pod, "sendto", when).raw("ADD", &config().to_string());
        if remains.status.signal().is_none() && remains.status.code() == Some(0) {
            assert!(when > 8, "ADD makes many requests");
            call.del(&config());
            break;
        }
        match when % 3 {
            0 => gc(&node, &[]),
            1 => call.del(&config()),
            // Of the reservation alone only DEL or GC knows.
            _ if node.links().is_empty() => call.del(&config()),
            _ => {
                let result = call.add(&config());
                call.check(&config(), &result);
                call.del(&config());
            }
        }
        is_as_before(&before, &format!("killed at request {when}"));
        assert!(pod.links().is_empty(), "killed at request {when}");
    }
}

#[test]
fn an_add_that_was_killed_while_a_reservation_had_two_names_is_removed_by_gc() {
    let (node, before) = used();
    let pod = Pod::new("c1");
    // The last step of each reservation removes the name under which it was written.
    for when in [1, 2] {
        let ended = killed(&node, &pod, "unlink", when).raw("ADD", &config().to_string());
        assert!(ended.status.signal().is_some(), "{ended:?}");
        gc(&node, &[]);
        is_as_before(&before, &format!("killed at unlink {when}"));
    }
}

#[test]
fn a_del_that_was_killed_at_any_request_is_completed_by_the_next() {
    let (node, before) = used();
    let pod = Pod::new("c1");
    for when in 1.. {
        node.call("ptp", &pod).add(&config());
        let ended = killed(&node, &pod, "sendto", when).raw("DEL", &config().to_string());
        node.call("ptp", &pod).del(&config());
        is_as_before(&before, &format!("killed at request {when}"));
        if ended.status.code() == Some(0) {
            break;
        }
    }
}
