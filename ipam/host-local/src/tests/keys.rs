//! The keys that the reference does not have, and bad input.

use std::time::Duration;

use super::*;

#[test]
fn an_excluded_address_is_not_allocated_even_on_request() {
    let node = Node::new();
    let config = node.config(json!({
        "subnet": "10.1.2.0/28", "exclude": ["10.1.2.4", "10.1.2.6/31", "10.1.2.10/255.255.255.254", "10.9.0.0/16"],
    }));
    let mut given: Vec<_> = (0..8).map(|number| node.add(&format!("c{number}"), &config).remove(0)).collect();
    given.sort();
    let expected = [12, 13, 14, 2, 3, 5, 8, 9].map(|last| format!("10.1.2.{last}/28"));
    assert_eq!(given, expected);
    assert!(node.refused("c9", &config, "").msg.contains("no IP addresses available in range set"));
    assert_eq!(
        node.refused("c9", &config, "IP=10.1.2.7").msg,
        "failed to allocate for range 0: requested IP address 10.1.2.7 is excluded by ipam.exclude: 10.1.2.6/31"
    );
}

#[test]
fn an_address_has_a_cooldown_before_it_is_allocated_again() {
    let node = Node::new();
    let config = node.config(json!({"subnet": "10.1.2.0/29", "reuseDelaySeconds": 600}));
    let add = |id: &str| node.add(id, &config).remove(0);
    assert_eq!(add("a"), "10.1.2.2/29");
    for id in ["b", "c", "d"] {
        add(id);
    }
    for id in ["b", "a", "c"] {
        node.call("DEL", id, &config).unwrap();
    }
    // 10.1.2.6 was never released; then come the addresses in cooldown, the earliest first.
    assert_eq!(add("e"), "10.1.2.6/29");
    let rested = [add("f"), add("g"), add("h")];
    let mut all = rested.clone();
    all.sort();
    assert_eq!(all, ["10.1.2.2/29", "10.1.2.3/29", "10.1.2.4/29"]);
    assert!(node.refused("i", &config, "").msg.contains("no IP addresses available"));
    // Without the key there is no cooldown.
    node.call("DEL", "e", &config).unwrap();
    assert_eq!(node.add("j", &node.config(json!({"subnet": "10.1.2.0/29"}))), ["10.1.2.6/29"]);
}

#[test]
fn a_duplicate_says_since_when_and_what_to_do() {
    let node = Node::new();
    let config = node.config(json!({"subnet": "10.1.2.0/24"}));
    node.add("c1", &config);
    let failure = node.refused("c1", &config, "");
    let file = node.directory().join("10.1.2.2");
    assert!(failure.details.starts_with(&format!("reserved in {} since 20", file.display())), "{failure}");
    assert!(failure.details.contains("DEL for container c1"), "{failure}");
}

#[test]
fn the_lock_is_waited_for_no_longer_than_the_key_says() {
    let node = Node::new();
    let mut config = node.config(json!({"subnet": "10.1.2.0/24", "lockTimeoutSeconds": 0}));
    node.add("c1", &config);
    let lock = fs::File::open(node.directory().join("lock")).unwrap();
    lock.lock().unwrap();
    for verb in ["ADD", "CHECK", "DEL"] {
        let failure = node.call(verb, "c1", &config).unwrap_err();
        assert_eq!(failure.code, 11, "{failure}");
        let pid = std::process::id();
        assert!(failure.msg.contains("ipam.lockTimeoutSeconds"), "{failure}");
        assert!(failure.msg.contains(&format!("process {pid} (")), "{failure}");
    }
    // Somebody has it: the directory can be used.
    node.call("STATUS", "", &config).unwrap();
    config["ipam"]["lockTimeoutSeconds"] = json!(20);
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| node.call("DEL", "c1", &config));
        std::thread::sleep(Duration::from_millis(30));
        lock.unlock().unwrap();
        waiting.join().unwrap().unwrap();
    });
    assert!(node.held().is_empty());
}

#[test]
fn a_durable_reservation_is_one_like_others() {
    let node = Node::new();
    let config = node.config(json!({"subnet": "10.1.2.0/24", "durable": true}));
    assert_eq!(node.add("c1", &config), ["10.1.2.2/24"]);
    assert_eq!(fs::read(node.directory().join("10.1.2.2")).unwrap(), b"c1\r\neth0");
    node.call("DEL", "c1", &config).unwrap();
    assert!(node.held().is_empty());
}

#[test]
fn an_exhausted_pool_is_not_ready_only_when_the_config_says_so() {
    let node = Node::new();
    let mut config = node.config(json!({"subnet": "10.1.2.0/30"}));
    let status = |config: &Value| node.call("STATUS", "", config);
    config["ipam"]["statusReportsExhaustion"] = json!(true);
    status(&config).unwrap();
    node.add("c1", &config);
    let failure = status(&config).unwrap_err();
    assert_eq!(failure.code, 50);
    assert!(failure.msg.contains("no IP addresses available in range set: 10.1.2.1-10.1.2.2"), "{failure}");
    config["ipam"]["statusReportsExhaustion"] = json!(false);
    status(&config).unwrap();
}

#[test]
fn a_subnet_without_a_prefix_is_refused_with_what_is_missing() {
    let node = Node::new();
    let failure = node.refused("c1", &node.config(json!({"ranges": [[{"subnet": "10.1.2.0"}]]})), "");
    assert_eq!(failure.code, 7);
    assert!(failure.msg.contains("ipam.ranges[0][0].subnet: the prefix length is missing"), "{failure}");
    assert!(failure.msg.contains("(got \"10.1.2.0\")"), "{failure}");
}

#[test]
fn a_bad_value_of_weirs_own_keys_is_named_and_stops_no_del() {
    let node = Node::new();
    let good = node.config(json!({"subnet": "10.1.2.0/24"}));
    for (key, value) in [
        ("exclude", json!(["10.1.2.300"])),
        ("exclude", json!("10.1.2.3")),
        ("reuseDelaySeconds", json!(-1)),
        ("lockTimeoutSeconds", json!("soon")),
        ("durable", json!("yes")),
        ("reclaimAfterReboot", json!(1)),
        ("statusReportsExhaustion", json!([])),
    ] {
        node.add("c1", &good);
        let mut bad = good.clone();
        bad["ipam"][key] = value;
        let failure = node.refused("c2", &bad, "");
        assert_eq!(failure.code, 7, "{failure}");
        assert!(failure.msg.contains(&format!("ipam.{key}")), "{failure}");
        node.call("DEL", "c1", &bad).unwrap();
        assert!(node.held().is_empty(), "{key}");
    }
}

#[test]
fn a_data_directory_that_is_a_file_is_named() {
    let node = Node::new();
    fs::write(node.data_dir(), "").unwrap();
    let config = node.config(json!({"subnet": "10.1.2.0/24"}));
    let failure = node.refused("c1", &config, "");
    assert_eq!(failure.code, 5);
    assert!(failure.msg.starts_with("ipam.dataDir: ") && failure.msg.contains("net1"), "{failure}");
    node.call("DEL", "c1", &config).unwrap();
}

#[test]
fn a_file_that_is_no_reservation_is_kept_and_costs_only_its_own_address() {
    let node = Node::new();
    let config = node.config(json!({"subnet": "10.1.2.0/29"}));
    node.add("c1", &config);
    fs::create_dir(node.directory().join("10.1.2.3")).unwrap();
    fs::write(node.directory().join("10.1.2.4"), "kept for the printer").unwrap();
    fs::write(node.directory().join("10.9.9.9"), "moved\r\neth0").unwrap();
    assert_eq!(node.add("c2", &config), ["10.1.2.5/29"]);
    assert_eq!(node.add("c3", &config), ["10.1.2.6/29"]);
    assert!(node.refused("c4", &config, "").msg.contains("no IP addresses available"));
    for id in ["c1", "c2", "c3", "moved"] {
        node.call("CHECK", id, &config).unwrap();
        node.call("DEL", id, &config).unwrap();
    }
    assert_eq!(node.held(), ["10.1.2.3", "10.1.2.4"]);
}

#[test]
fn gc_takes_either_name_and_does_nothing_without_a_list() {
    let node = Node::new();
    let config = node.config(json!({"subnet": "10.1.2.0/24"}));
    let keep = json!([{"containerID": "c1", "ifname": "eth0"}]);
    for (name, list, expected) in [
        ("cni.dev/valid-attachments", keep.clone(), 1),
        ("cni.dev/attachments", keep, 1),
        ("cni.dev/valid-attachments", json!(null), 0),
        ("cni.dev/attachments", json!([]), 0),
        ("cni.dev/else", json!([]), 3),
    ] {
        let old = node.directory().join("10.1.2.200");
        for id in ["c1", "c2"] {
            node.add(id, &config);
        }
        fs::write(&old, "c3").unwrap();
        let mut gc = node.config(json!({}));
        gc[name] = list.clone();
        node.call("GC", "", &gc).unwrap();
        assert_eq!(node.held().len(), expected, "{name}: {list}");
        let files = names(&node.directory());
        assert!(files.contains(&"lock".to_owned()) && files.contains(&"last_reserved_ip.0".to_owned()));
        gc = node.config(json!({"cni.dev/attachments": []}));
        gc["cni.dev/attachments"] = json!([]);
        node.call("GC", "", &gc).unwrap();
        assert!(node.held().is_empty());
    }
}
