//! `weir ipam`, taking back after a reboot, and a disk that is full or read-only.
//!
//! An audit looks into every network namespace of the machine, those of other tests among them: each test has
//! networks and addresses that no other uses.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed, its helpers included")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use tests::config::bridge;
use tests::{Look, Node, Pod, Process, shell};

/// A network of a test's own, described where the operator's tool looks for it.
struct Network {
    node: Node,
    name: &'static str,
    config: Value,
}

impl Network {
    /// `third` is the third number of its addresses.
    fn new(name: &'static str, third: u8) -> Self {
        let node = Node::new();
        let config = bridge(json!({
            "name": name, "ipam": {"type": "host-local", "subnet": format!("198.18.{third}.0/29")},
        }));
        fs::create_dir("/mnt/net.d").unwrap();
        fs::create_dir_all("/var/lib/cni/results").unwrap();
        let conflist = json!({"cniVersion": "1.0.0", "name": name, "plugins": [config]});
        fs::write("/mnt/net.d/10-test.conflist", conflist.to_string()).unwrap();
        Self { node, name, config }
    }

    fn file(&self, address: &str) -> PathBuf {
        Path::new("/var/lib/cni/networks").join(self.name).join(address)
    }

    /// A reservation of an hour ago.
    fn reserve(&self, address: &str, text: &str) {
        fs::write(self.file(address), text).unwrap();
        let file = fs::File::options().append(true).open(self.file(address)).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(3600)).unwrap();
    }

    fn weir(&self, arguments: &str) -> Output {
        self.node.weir(&format!("ipam {arguments} --conf-dir /mnt/net.d"))
    }

    fn audit(&self) -> (Option<i32>, Value) {
        let output = self.weir(&format!("audit {} --json", self.name));
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        (output.status.code(), report["networks"][0].clone())
    }

    fn states(&self) -> Vec<(String, String)> {
        let (_, report) = self.audit();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let reservations = report["reservations"].as_array().unwrap();
        reservations.iter().map(|it| (text(&it["address"]), text(&it["state"]))).collect()
    }
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn an_audit_tells_attached_from_leaked() {
    let network = Network::new("audited", 1);
    let pod = Pod::new("c1");
    let call = network.node.call("bridge", &pod);
    call.add(&network.config);
    let (code, report) = network.audit();
    assert_eq!(code, Some(0), "{report}");
    assert_eq!(report["reservations"][0]["state"], "attached");
    assert_eq!(report["reservations"][0]["containerID"], "c1");
    assert!(report["reservations"][0]["carriers"][0].as_str().unwrap().starts_with("eth0 in "), "{report}");

    network.reserve("198.18.1.3", "gone\r\neth0");
    network.reserve("198.18.1.4", "");
    network.reserve("198.18.1.5", "remembered\r\neth0");
    fs::create_dir_all("/var/lib/cni/results").unwrap();
    fs::write("/var/lib/cni/results/audited-remembered-eth0", "{}").unwrap();
    let (code, report) = network.audit();
    assert_eq!(code, Some(3), "{report}");
    let range = &report["ranges"][0];
    assert_eq!(range["range"], "198.18.1.1-198.18.1.6");
    let numbers =
        ["size", "held", "free", "leaked", "torn", "duplicated"].map(|key| range[key].as_u64().unwrap());
    assert_eq!(numbers, [5, 3, 2, 1, 1, 0]);
    let expected = [("2", "attached"), ("3", "leaked"), ("4", "torn"), ("5", "remembered")];
    let expected = expected.map(|(last, state)| (format!("198.18.1.{last}"), state.to_owned()));
    assert_eq!(network.states(), expected);

    let table = said(&network.weir("audit audited"));
    assert!(table.contains("198.18.1.3: leaked, held for eth0 of container gone since 20"), "{table}");
    assert!(table.contains("(60 min)") && table.contains("something is wrong"), "{table}");
    assert!(!table.contains("198.18.1.2: "), "{table}");
}

/// A node that runs in a container (kind) has pods of its own in the same subnet.
#[test]
fn a_pod_of_another_node_is_not_a_duplicate_and_a_second_pod_with_the_address_is() {
    let network = Network::new("shared", 7);
    let (pod, elsewhere) = (Pod::new("c1"), Pod::new("of-another-node"));
    network.node.call("bridge", &pod).add(&network.config);
    elsewhere.look("ip link add eth0 type veth peer name host0; ip addr add 198.18.7.2/29 dev eth0");
    let (code, report) = network.audit();
    assert_eq!((code, &report["reservations"][0]["duplicated"]), (Some(0), &json!(false)), "{report}");
    assert_eq!(report["reservations"][0]["carriers"].as_array().unwrap().len(), 2, "it is said all the same");

    let second = Pod::new("c2");
    network.node.call("bridge", &second).add(&network.config);
    second.look("ip addr add 198.18.7.2/29 dev eth0");
    let (code, report) = network.audit();
    assert_eq!((code, &report["reservations"][0]["duplicated"]), (Some(3), &json!(true)), "{report}");
}

#[test]
fn reclaim_frees_leaked_addresses_and_none_in_use() {
    let network = Network::new("reclaimed", 2);
    let pod = Pod::new("c1");
    let call = network.node.call("bridge", &pod);
    let result = call.add(&network.config);
    network.reserve("198.18.2.3", "gone\r\neth0");
    network.reserve("198.18.2.4", "");
    // Its ADD may still be at work.
    fs::write(network.file("198.18.2.5"), "young\r\neth0").unwrap();
    for arguments in ["reclaim reclaimed", "reclaim reclaimed --dry-run"] {
        let output = network.weir(arguments);
        assert!(said(&output).contains("reclaimed: would release 2; --yes does it"), "{}", said(&output));
        assert!(said(&output).contains("198.18.2.3: leaked"), "{}", said(&output));
        assert_eq!(network.states().len(), 4);
    }
    let output = network.weir("reclaim reclaimed --yes");
    assert!(output.status.success() && said(&output).contains("released 2"), "{}", said(&output));
    let left: Vec<_> = network.states().into_iter().map(|(address, _)| address).collect();
    assert_eq!(left, ["198.18.2.2", "198.18.2.5"]);
    call.check(&network.config, &result);
    assert!(said(&network.weir("reclaim reclaimed --yes")).contains("released 0"));
    assert_eq!(network.weir("audit reclaimed").status.code(), Some(0));
}

#[test]
fn release_lists_first_acts_with_yes_and_never_frees_an_address_in_use() {
    let network = Network::new("released", 3);
    let pod = Pod::new("c1");
    network.node.call("bridge", &pod).add(&network.config);
    network.reserve("198.18.3.3", "gone\r\neth0");
    network.reserve("198.18.3.4", "gone\r\neth1");
    for arguments in ["--address 198.18.3.2", "--container c1"] {
        let output = network.weir(&format!("release released {arguments} --yes"));
        assert_eq!(output.status.code(), Some(1));
        assert!(said(&output).contains("198.18.3.2 is in use (eth0 in "), "{}", said(&output));
    }
    let output = network.weir("release released --container gone");
    assert!(said(&output).contains("would release 2; --yes does it"), "{}", said(&output));
    assert_eq!(network.states().len(), 3);
    let output = network.weir("release released --address 198.18.3.4 --yes");
    assert!(said(&output).contains("released 1"), "{}", said(&output));
    let output = network.weir("release released --container gone --yes");
    assert!(said(&output).contains("released 1"), "{}", said(&output));
    assert_eq!(network.states(), [("198.18.3.2".to_owned(), "attached".to_owned())]);
    let output = network.weir("release released --container gone --yes");
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("nothing is reserved for container gone"), "{}", said(&output));
    let output = network.weir("audit nowhere");
    assert!(said(&output).contains("no network \"nowhere\""), "{}", said(&output));
}

#[test]
fn a_full_pool_reclaims_addresses_from_before_a_reboot_if_configured() {
    // A pair of a container counts wherever it is on the machine: the IDs are those of no other test.
    let network = Network::new("rebooted", 4);
    let config = |is_on: bool| {
        json!({"cniVersion": "1.0.0", "name": "rebooted", "type": "host-local", "ipam": {
            "type": "host-local", "subnet": "198.18.4.0/29", "reclaimAfterReboot": is_on,
        }})
    };
    let add =
        |id: &str, is_on: bool| network.node.call("host-local", &Pod::new(id)).verb("ADD", &config(is_on));
    add("rebooted2", true).unwrap();
    // The reservations when another boot was noted for the last time.
    let boot = network.file(".boot");
    let text = fs::read_to_string(&boot).unwrap();
    fs::write(&boot, text.replacen(char::is_alphanumeric, "x", 1)).unwrap();
    network.reserve("198.18.4.3", "rebooted3\r\neth0");
    network.reserve("198.18.4.4", "rebooted4\r\neth0");
    network.reserve("198.18.4.5", "kept for the printer");
    let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    for last in 2..=5 {
        let file = fs::File::options().append(true).open(network.file(&format!("198.18.4.{last}"))).unwrap();
        file.set_modified(long_ago).unwrap();
    }
    add("rebooted6", true).unwrap();
    // No runtime keeps results here: nothing is known of any container.
    fs::remove_dir("/var/lib/cni/results").unwrap();
    assert!(add("rebooted7", true).unwrap_err().msg.contains("no IP addresses available"));
    fs::create_dir_all("/var/lib/cni/results").unwrap();
    fs::write("/var/lib/cni/results/other-rebooted4-eth0", "{}").unwrap();
    assert!(add("rebooted7", false).unwrap_err().msg.contains("no IP addresses available"));

    let start = network.node.call("host-local", &Pod::new("rebooted7")).raw("ADD", &config(true).to_string());
    assert!(start.status.success(), "{start:?}");
    let stderr = String::from_utf8_lossy(&start.stderr);
    for (address, id) in [("198.18.4.2", "rebooted2"), ("198.18.4.3", "rebooted3")] {
        let sentence =
            format!("released {address}, reserved since before the last boot for eth0 of container {id}");
        assert!(stderr.contains(&sentence), "{stderr}");
    }
    assert!(!stderr.contains("198.18.4.4") && !stderr.contains("198.18.4.5"), "{stderr}");
    add("rebooted8", true).unwrap();
    assert!(add("rebooted9", true).unwrap_err().msg.contains("no IP addresses available"));
    assert_eq!(fs::read(network.file("198.18.4.4")).unwrap(), b"rebooted4\r\neth0");
}

#[test]
fn a_full_or_read_only_disk_is_reported_and_loses_nothing() {
    let node = Node::new();
    shell("mkdir /mnt/small; mount -t tmpfs -o size=400k none /mnt/small");
    let config = json!({"cniVersion": "1.1.0", "name": "small", "type": "host-local", "ipam": {
        "type": "host-local", "subnet": "198.18.5.0/29", "dataDir": "/mnt/small",
    }});
    let call = |id: &str| node.call("host-local", &Pod::new(id));
    let held = || {
        fs::read_dir("/mnt/small/small")
            .unwrap()
            .filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().starts_with("198."))
            .count()
    };
    for id in ["c1", "c2"] {
        call(id).add(&config);
    }
    shell("dd if=/dev/zero of=/mnt/small/rest bs=4k 2>/dev/null || true");
    for verb in ["ADD", "STATUS"] {
        let failure = call("c3").verb(verb, &config).unwrap_err();
        assert_eq!(failure.code, if verb == "ADD" { 5 } else { 50 }, "{failure:?}");
        assert!(
            failure.msg.contains("cannot write /mnt/small/small")
                && failure.msg.contains("No space left on device"),
            "{failure:?}"
        );
    }
    assert_eq!(held(), 2);
    call("c1").del(&config);
    assert_eq!(held(), 1);
    shell("rm /mnt/small/rest");
    call("c3").add(&config);

    shell("mount -o remount,ro /mnt/small");
    for (verb, code) in [("ADD", 5), ("STATUS", 50), ("DEL", 5)] {
        let failure = call("c2").verb(verb, &config).unwrap_err();
        assert_eq!(failure.code, code, "{failure:?}");
        assert!(failure.msg.contains("Read-only file system"), "{failure:?}");
    }
    shell("mount -o remount,rw /mnt/small");
    assert_eq!(held(), 2);
    for id in ["c2", "c3"] {
        call(id).del(&config);
    }
    assert_eq!(held(), 0);
}

#[test]
fn an_address_in_a_namespace_without_a_process_is_listed_as_idle_and_kept() {
    let network = Network::new("idle", 8);
    let (empty, lived_in) = (Pod::new("c1"), Pod::new("c2"));
    let mut process = Process::start(Some(&lived_in.netns()), "tail -f /etc/passwd");
    process.wait_for(":");
    for pod in [&empty, &lived_in] {
        network.node.call("bridge", pod).add(&network.config);
    }
    // Its containers may not have been started yet.
    let states = |states: [&str; 2]| {
        [("198.18.8.2", states[0]), ("198.18.8.3", states[1])].map(|(a, s)| (a.to_owned(), s.to_owned()))
    };
    assert_eq!(network.states(), states(["attached", "attached"]));
    for last in [2, 3] {
        let file = fs::File::options().append(true).open(network.file(&format!("198.18.8.{last}"))).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(3600)).unwrap();
    }
    assert_eq!(network.states(), states(["idle", "attached"]));
    let output = network.weir("audit idle");
    let table = said(&output);
    assert!(
        output.status.success() && table.contains("198.18.8.2: idle, held for eth0 of container c1"),
        "{table}"
    );
    assert!(table.contains("1 held in network namespaces without a process"), "{table}");
    assert!(!table.contains("nothing is wrong"), "{table}");
    for arguments in ["reclaim idle --yes", "release idle --container c1 --yes"] {
        network.weir(arguments);
        assert_eq!(network.states(), states(["idle", "attached"]), "{arguments}");
    }
}

#[test]
fn an_unreadable_folder_or_config_fails_the_audit() {
    let network = Network::new("unread", 9);
    network.node.call("bridge", &Pod::new("c1")).add(&network.config);
    for arguments in ["audit", "reclaim", "release unread --address 198.18.9.2"] {
        for option in ["--conf-dir", "--data-dir"] {
            let output = network.node.weir(&format!("ipam {arguments} {option} /mnt/absent"));
            assert_eq!(output.status.code(), Some(1), "{arguments} {option}");
            assert!(said(&output).contains("cannot read folder /mnt/absent: "), "{}", said(&output));
        }
    }
    assert_eq!(network.weir("audit").status.code(), Some(0));
    for (text, words) in [
        ("{", "/mnt/net.d/20.conf"),
        (r#"{"name": "x", "ipam": {"type": "host-local", "subnet": 7}}"#, "ipam.subnet"),
    ] {
        fs::write("/mnt/net.d/20.conf", text).unwrap();
        let output = network.weir("audit");
        assert_eq!(output.status.code(), Some(1), "{}", said(&output));
        assert!(
            said(&output).contains(words) && !said(&output).contains("nothing is wrong"),
            "{}",
            said(&output)
        );
    }
}

#[test]
fn unwritable_output_is_an_error_and_a_closed_pipe_is_not() {
    let network = Network::new("printed", 10);
    network.node.call("bridge", &Pod::new("c1")).add(&network.config);
    network.reserve("198.18.10.3", "");
    for arguments in ["audit", "audit --json", "reclaim --yes", "release printed --address 198.18.10.3 --yes"]
    {
        let command = format!("{}/weir ipam {arguments} --conf-dir /mnt/net.d", network.node.bin().display());
        let code = network.node.look(&format!("set +e; {command} > /dev/full 2> /mnt/said; echo $?"));
        assert_eq!(code, "1\n", "{arguments}");
        let said = fs::read_to_string("/mnt/said").unwrap();
        assert!(said.contains("cannot print: No space left on device"), "{arguments}: {said}");
        // A release that could not be printed did not happen.
        assert!(network.file("198.18.10.3").exists(), "{arguments}");
        let text = network.node.look(&format!(
            "set +e; mkfifo /mnt/pipe; true < /mnt/pipe & exec 3> /mnt/pipe; wait; rm /mnt/pipe; {command} >&3; echo $? >&2; exec 3>&-"
        ) .replace("echo $? >&2", "echo $? > /mnt/code"));
        assert_eq!(text, "");
        let expected = if arguments.starts_with("audit") { "3\n" } else { "0\n" };
        assert_eq!(fs::read_to_string("/mnt/code").unwrap(), expected, "{arguments}");
        network.reserve("198.18.10.3", "");
    }
}

#[test]
fn the_size_of_a_64_is_shown_exactly() {
    let network = Network::new("large", 11);
    for (subnet, size) in
        [("fd00:18::/64", "2^64"), ("fd00:18::/32", "2^96"), ("fd00:18::/112", "65534"), ("::/0", "2^128")]
    {
        let config = json!({"cniVersion": "1.0.0", "name": "large", "type": "bridge",
            "ipam": {"type": "host-local", "subnet": subnet}});
        fs::write("/mnt/net.d/10-test.conflist", config.to_string()).unwrap();
        let table = said(&network.weir("audit large"));
        let line = table.lines().find(|line| line.contains("ffff")).unwrap();
        let cells: Vec<_> = line.split_whitespace().skip(1).collect();
        assert_eq!((cells[0], cells[2]), (size, size), "{table}");
    }
}

#[test]
fn status_writes_nothing() {
    let network = Network::new("asked", 12);
    let config = |changes: Value| {
        let mut ipam =
            json!({"type": "host-local", "subnet": "198.18.12.0/30", "statusReportsExhaustion": true});
        ipam.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        json!({"cniVersion": "1.1.0", "name": "asked", "type": "host-local", "ipam": ipam})
    };
    let call = |id: &str| network.node.call("host-local", &Pod::new(id));
    let traced = network.node.bin().join("host-local");
    let status = |config: &Value| {
        fs::write("/mnt/config", config.to_string()).unwrap();
        let command = format!(
            "CNI_COMMAND=STATUS CNI_PATH=/ strace -f -qq -o /mnt/trace \
             -e trace=openat,open,creat,mkdir,mkdirat,unlink,unlinkat,rename,renameat,renameat2,link,linkat,pwrite64,utimensat \
             {} < /mnt/config > /mnt/answer || true",
            traced.display()
        );
        network.node.look(&command);
        let trace = fs::read_to_string("/mnt/trace").unwrap();
        let writes = |line: &&str| !line.contains("open") || line.contains("O_CREAT");
        assert_eq!(trace.lines().filter(writes).collect::<Vec<_>>(), Vec::<&str>::new());
        fs::read_to_string("/mnt/answer").unwrap()
    };
    assert_eq!(status(&config(json!({}))), "");
    assert!(!Path::new("/var/lib/cni/networks").exists());
    call("c1").add(&config(json!({})));
    // As after a change by another program, the index is not believed.
    fs::write(network.file("198.18.12.9"), "c9\r\neth0").unwrap();
    assert!(status(&config(json!({}))).contains("no IP addresses available"));
    assert_eq!(status(&config(json!({"statusReportsExhaustion": false}))), "");
}

#[test]
fn an_audit_needs_no_descriptor_for_each_namespace() {
    let network = Network::new("many", 13);
    let pods: Vec<_> = (0..60).map(|number| Pod::new(&format!("c{number}"))).collect();
    network.node.call("bridge", &pods[0]).add(&network.config);
    network.reserve("198.18.13.3", "gone\r\neth0");
    let command = format!(
        "set +e; ulimit -n 40; {}/weir ipam audit many --conf-dir /mnt/net.d",
        network.node.bin().display()
    );
    let table = network.node.look(&format!("{command}; true"));
    assert!(table.contains("198.18.13.3: leaked"), "{table}");
}
