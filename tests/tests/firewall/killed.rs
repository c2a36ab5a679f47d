//! ADDs that are killed or fail half-way.

use serde_json::{Value, json};
use tests::config::changed;
use tests::{Call, Look, Node};

use super::life::{ADDRESSES, gc};
use super::{Network, iptables, unattached};

#[test]
fn what_a_killed_add_leaves_is_removed_by_del_and_by_gc() {
    for has_result in [true, false] {
        let node = Node::new();
        let (_pod, call, config) = unattached(&node, "c1", &ADDRESSES);
        call.add(&config);
        // It was killed before it wrote its record.
        node.look("nft flush set inet weir-firewall attachments");
        call.del(&if has_result { config } else { changed(&config, json!({"prevResult": null})) });
        assert!(!iptables(&node).contains("-j ACCEPT"), "{}", iptables(&node));
    }
    let node = Node::new();
    let (_pod, call, config) = unattached(&node, "c1", &ADDRESSES);
    call.add(&config);
    node.look("nft flush set inet weir-firewall attachments");
    call.verb("GC", &gc("pods", &[])).map(drop).unwrap();
    assert!(!iptables(&node).contains("-j ACCEPT"), "{}", iptables(&node));
}

#[test]
fn an_add_that_is_killed_at_any_moment_leaves_nothing_after_del() {
    let node = Node::new();
    let (_pod, call, config) = unattached(&node, "c1", &ADDRESSES);
    call.add(&config);
    call.del(&config);
    let before = (iptables(&node), node.fingerprint());
    for micros in (0..6000).step_by(200) {
        call.kill_after("ADD", &config, std::time::Duration::from_micros(micros));
        call.del(&changed(&config, json!({"prevResult": null})));
        assert_eq!((iptables(&node), node.fingerprint()), before, "{micros}");
    }
}

/// Ends ADD at each of its sends to the kernel in turn, and calls `then` after it.
fn killed_at_each_send(call: impl Fn() -> Call, config: &Value, then: impl Fn(usize)) {
    disturbed_at_each_send("signal=KILL", call, config, then);
}

/// Has `strace` disturb ADD at each of its sends to the kernel in turn, and calls `then` after it.
fn disturbed_at_each_send(by: &str, call: impl Fn() -> Call, config: &Value, then: impl Fn(usize)) {
    for send in 1.. {
        let strace = format!("strace -f -o /mnt/trace -e trace=sendto -e inject=sendto:{by}:when={send}");
        let command: Vec<String> = strace.split(' ').map(str::to_owned).collect();
        if call().executed_by(&command).raw("ADD", &config.to_string()).status.success() {
            assert!(send > 4, "ADD ended by itself after {send} sends");
            return;
        }
        then(send);
    }
}

#[test]
fn an_add_that_is_killed_and_repeated_leaves_nothing_after_del() {
    let node = Node::new();
    let (pod, call, config) = unattached(&node, "c1", &ADDRESSES);
    call.add(&config);
    call.del(&config);
    let before = (iptables(&node), node.fingerprint());
    let without_result = changed(&config, json!({"prevResult": null}));
    killed_at_each_send(
        || node.call("firewall", &pod),
        &config,
        |send| {
            call.add(&config);
            assert_eq!(iptables(&node).matches("-j ACCEPT").count(), 4, "{send}: {}", iptables(&node));
            call.del(&without_result);
            assert_eq!((iptables(&node), node.fingerprint()), before, "{send}");
            // The repeated one is killed.
            call.add(&config);
        },
    );
    call.del(&without_result);
    assert_eq!((iptables(&node), node.fingerprint()), before);
}

#[test]
fn an_add_that_fails_takes_its_rules_and_its_record_back() {
    let node = Node::new();
    let (pod, call, config) = unattached(&node, "c1", &ADDRESSES);
    call.add(&config);
    call.del(&config);
    let before = (iptables(&node), node.fingerprint());
    disturbed_at_each_send(
        "error=ENOBUFS",
        || node.call("firewall", &pod),
        &config,
        |send| {
            assert_eq!((iptables(&node), node.fingerprint()), before, "{send}");
        },
    );
}

#[test]
fn gc_spares_an_add_at_work_whose_pair_has_no_alias() {
    let node = Node::new();
    let attached = Network::new("br1", 61, json!({})).attach(&node, node.bin(), "c1");
    attached.call(node.bin()).del(&attached.config);
    let host_end = attached.result["interfaces"][1]["name"].as_str().unwrap();
    node.look(&format!("ip link set {host_end} alias another"));
    let call = || attached.call(node.bin());
    killed_at_each_send(call, &attached.config, |send| {
        let before = iptables(&node);
        call().verb("GC", &gc("br1", &[])).map(drop).unwrap();
        assert_eq!(iptables(&node), before, "{send}");
        call().del(&attached.config);
    });
}
