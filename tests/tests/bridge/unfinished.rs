//! The remains of a killed ADD are collected by GC alone, and replaced by the next ADD; a lost answer leaves nothing.

use std::os::unix::process::ExitStatusExt;

use serde_json::{Value, json};
use tests::config::{bridge, changed};
use tests::{Call, Look, Node, Pod};

fn config() -> Value {
    bridge(json!({"cniVersion": "1.1.0", "isGateway": true, "ipMasq": true, "macspoofchk": true}))
}

/// A node on which the network was used before, and how that looks.
fn used() -> (Node, String) {
    let (node, pod) = (Node::new(), Pod::new("c0"));
    node.call("bridge", &pod).add(&config());
    node.call("bridge", &pod).del(&config());
    let before = node.fingerprint();
    (node, before)
}

fn gc(node: &Node) {
    let call = ["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME"]
        .into_iter()
        .fold(node.call("bridge", &Pod::new("none")), |call, name| call.with(name, ""));
    call.verb("GC", &changed(&config(), json!({"cni.dev/valid-attachments": []}))).unwrap();
}

/// A call of `bridge` that is disturbed at system call number `when` of this name.
fn injecting(node: &Node, pod: &Pod, fault: &str, when: usize) -> Call {
    let (name, what) = fault.split_once(':').unwrap();
    let bridge = node.bin().join("bridge");
    let script = format!(
        "#!/bin/sh\nexec strace -qq -o /dev/null -e trace={name} -e inject={name}:{what}:when={when} {}\n",
        bridge.display()
    );
    let file = node.file("injecting", &script);
    node.look(&format!("mkdir -p /mnt/faulty; install -m 755 {} /mnt/faulty/bridge", file.display()));
    node.call_in("/mnt/faulty".as_ref(), "bridge", pod)
}

#[test]
fn an_add_that_was_killed_at_any_request_is_collected_by_gc_alone() {
    let (node, before) = used();
    let pod = Pod::new("c1");
    for when in 1.. {
        let output = injecting(&node, &pod, "sendto:signal=KILL", when).raw("ADD", &config().to_string());
        if output.status.signal().is_none() && output.status.code() == Some(0) {
            assert!(when > 8, "ADD makes many requests");
            node.call("bridge", &pod).del(&config());
            break;
        }
        gc(&node);
        assert_eq!(node.fingerprint(), before, "killed at request {when}");
        assert!(pod.links().is_empty(), "killed at request {when}");
    }
}

#[test]
fn an_add_that_was_killed_at_any_request_is_replaced_by_the_next_once_its_pair_was_there() {
    let (node, before) = used();
    let pod = Pod::new("c1");
    let call = node.call("bridge", &pod);
    let mut replaced = 0;
    for when in 1.. {
        let output = injecting(&node, &pod, "sendto:signal=KILL", when).raw("ADD", &config().to_string());
        if output.status.code() == Some(0) {
            call.del(&config());
            break;
        }
        if node.ports("cni0").is_empty() {
            // Of the reservation alone only DEL or GC knows.
            call.del(&config());
            continue;
        }
        replaced += 1;
        let result = call.add(&config());
        call.check(&config(), &result);
        assert_eq!(node.ports("cni0").len(), 1);
        call.del(&config());
        assert_eq!(node.fingerprint(), before, "killed at request {when}");
    }
    assert!(replaced > 3);
}

#[test]
fn a_failed_call_leaves_nothing_when_one_answer_is_lost() {
    for error in ["ENOBUFS", "EINTR", "ENOMEM"] {
        let (node, before) = used();
        let pod = Pod::new("c1");
        for when in 1.. {
            let faulty = injecting(&node, &pod, &format!("recvfrom:error={error}"), when);
            match faulty.verb("ADD", &config()) {
                Ok(result) => node.call("bridge", &pod).check(&config(), &result),
                Err(_) => {
                    assert_eq!(node.fingerprint(), before, "{error} at answer {when} of ADD");
                    assert!(pod.links().is_empty(), "{error} at answer {when} of ADD");
                    node.call("bridge", &pod).add(&config());
                }
            }
            if faulty.verb("DEL", &config()).is_err() {
                node.call("bridge", &pod).del(&config());
            }
            assert_eq!(node.fingerprint(), before, "{error} at answer {when} of DEL");
            if when > 40 {
                break;
            }
        }
    }
}
