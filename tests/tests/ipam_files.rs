//! `host-local` where names do not lead to what they promise, where a file system lacks something, and where GC runs at
//! the same moment.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed, its helpers included")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use serde_json::{Value, json};
use tests::config::{bridge, changed};
use tests::{Call, Failure, Look, Node, Pod, Process, eventually, shell};

const STORE: &str = "/var/lib/cni/networks/pods";

fn ipam(ipam: Value) -> Value {
    let mut config = json!({"cniVersion": "1.1.0", "name": "pods", "type": "host-local", "ipam": ipam});
    config["ipam"]["type"] = json!("host-local");
    config
}

fn call(node: &Node, id: &str) -> Call {
    node.call("host-local", &Pod::new(id))
}

fn address(node: &Node, id: &str, config: &Value) -> String {
    call(node, id).add(config)["ips"][0]["address"].as_str().unwrap().to_owned()
}

fn path(name: &str) -> PathBuf {
    PathBuf::from(format!("{STORE}/{name}"))
}

/// The reservations that are there.
fn held() -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(STORE)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with("10."))
        .collect();
    names.sort();
    names
}

/// A node whose host-local is started by `prefix`, such as a tracer, and not inside of `bridge`.
fn started_by(prefix: &str) -> Node {
    let node = Node::new();
    let executable = node.bin().join("host-local");
    node.with_script("host-local", &format!("exec {prefix} {}", executable.display()))
}

mod names_that_are_no_files {
    use super::*;

    /// Kinds of files, each with the command that creates it.
    const OTHERS: [&str; 5] = [
        "mkfifo",
        "ln -s /dev/zero",
        "ln -s /mnt/elsewhere",
        "mkdir",
        "sh -c 'head -c 1000000 /dev/zero | tr \"\\0\" a > $0'",
    ];

    #[test]
    fn a_resolver_file_that_never_ends_or_never_begins_is_refused() {
        let node = Node::new();
        shell("mkfifo /mnt/fifo; ln -s /dev/zero /mnt/link; head -c 3000000 /dev/zero > /mnt/long");
        for (file, reason) in [
            ("/dev/zero", "not a regular file"),
            ("/mnt/fifo", "not a regular file"),
            ("/mnt/link", "not a regular file"),
            ("/mnt", "not a regular file"),
            ("/mnt/long", "longer than 1048576 bytes"),
        ] {
            let config = ipam(json!({"subnet": "10.244.0.0/24", "resolvConf": file}));
            let failure = call(&node, "c1").verb("ADD", &config).unwrap_err();
            assert_eq!(failure.msg, format!("ipam.resolvConf: cannot read {file}: {reason}"));
        }
        fs::write("/mnt/stub", "nameserver 10.0.0.53\n").unwrap();
        shell("ln -s stub /mnt/resolv.conf");
        let config = ipam(json!({"subnet": "10.244.0.0/24", "resolvConf": "/mnt/resolv.conf"}));
        assert_eq!(call(&node, "c1").add(&config)["dns"], json!({"nameservers": ["10.0.0.53"]}));
    }

    #[test]
    fn in_the_place_of_a_reservation_cost_only_its_address() {
        for other in OTHERS {
            let node = Node::new();
            let config = ipam(json!({"subnet": "10.244.0.0/28"}));
            address(&node, "c0", &config);
            shell(&format!("{other} {STORE}/10.244.0.3"));
            assert_eq!(address(&node, "c1", &config), "10.244.0.4/28", "{other}");
            call(&node, "c1").verb("CHECK", &config).unwrap();
            call(&node, "c1").del(&config);
            let gc = changed(&config, json!({"cni.dev/valid-attachments": []}));
            call(&node, "c1").verb("GC", &gc).unwrap();
            assert_eq!(held(), ["10.244.0.3"], "{other}");
            assert!(!fs::exists("/mnt/elsewhere").unwrap());
        }
    }

    #[test]
    fn beside_the_reservations_are_neither_waited_for_nor_followed() {
        for (name, ipam_keys) in [
            ("last_reserved_ip.0", json!({})),
            (".index", json!({})),
            (".reservation", json!({})),
            (".released", json!({"reuseDelaySeconds": 60})),
            (".boot", json!({"reclaimAfterReboot": true})),
            (".boot.new", json!({"reclaimAfterReboot": true})),
        ] {
            // A folder is in the way of what must be written, and says so.
            for other in OTHERS.into_iter().filter(|other| *other != "mkdir") {
                let node = Node::new();
                let mut config = ipam(json!({"subnet": "10.244.0.0/28"}));
                for (key, value) in ipam_keys.as_object().unwrap() {
                    config["ipam"][key] = value.clone();
                }
                fs::create_dir_all(STORE).unwrap();
                shell(&format!("{other} {STORE}/{name}"));
                assert_eq!(address(&node, "c1", &config), "10.244.0.2/28", "{name}: {other}");
                call(&node, "c1").verb("STATUS", &config).unwrap();
                call(&node, "c1").del(&config);
                assert!(held().is_empty(), "{name}: {other}");
                assert!(!fs::exists("/mnt/elsewhere").unwrap(), "{name}: {other}");
            }
        }
    }

    #[test]
    fn in_the_place_of_the_lock_are_named() {
        for other in ["mkfifo", "ln -s /mnt/elsewhere", "mkdir"] {
            let node = Node::new();
            fs::create_dir_all(STORE).unwrap();
            shell(&format!("{other} {STORE}/lock"));
            for verb in ["ADD", "STATUS"] {
                let config = ipam(json!({"subnet": "10.244.0.0/24"}));
                let failure = call(&node, "c1").verb(verb, &config).unwrap_err();
                assert!(failure.msg.contains(&format!("cannot open {STORE}/lock: ")), "{other}: {failure:?}");
            }
            assert!(!fs::exists("/mnt/elsewhere").unwrap());
        }
    }
}

#[test]
fn only_the_owner_reads_the_files_whatever_the_umask() {
    for umask in ["000", "022", "077", "777"] {
        let node = Node::new();
        let script = format!("umask {umask}; exec {}/host-local", node.bin().display());
        let node = node.with_script("host-local", &script);
        let config = ipam(
            json!({"subnet": "10.244.0.0/24", "reuseDelaySeconds": 60, "reclaimAfterReboot": true, "durable": true}),
        );
        fs::create_dir_all(STORE).unwrap();
        address(&node, "c1", &config);
        address(&node, "c2", &config);
        call(&node, "c1").del(&config);
        let files: Vec<_> = fs::read_dir(STORE).unwrap().map(Result::unwrap).collect();
        assert!(files.len() >= 6, "{files:?}");
        for file in files {
            let mode = file.metadata().unwrap().permissions().mode();
            assert_eq!(mode & 0o7777, 0o600, "umask {umask}: {file:?}");
        }
    }
}

#[test]
fn an_entry_that_cannot_be_looked_at_costs_its_address_and_no_time() {
    // The error of a damaged disk, for one file.
    let spoiled = format!(
        "timeout 20 strace -f -qq -o /dev/null -P {STORE}/10.244.0.3 -P 10.244.0.3 \
         -e inject=newfstatat,statx,lstat,open,openat:error=EIO"
    );
    let node = started_by(&spoiled);
    let config = ipam(json!({"subnet": "10.244.0.0/29"}));
    fs::create_dir_all(STORE).unwrap();
    fs::write(path("10.244.0.3"), "c9\r\neth0").unwrap();
    for (id, expected) in [("c1", "10.244.0.2/29"), ("c2", "10.244.0.4/29")] {
        assert_eq!(address(&node, id, &config), expected);
        call(&node, id).verb("CHECK", &config).unwrap();
    }
    call(&node, "c1").del(&config);
    assert_eq!(held(), ["10.244.0.3", "10.244.0.4"]);
}

#[test]
fn a_file_system_without_hard_links_holds_addresses() {
    for error in ["EPERM", "EOPNOTSUPP", "ENOSYS", "EMLINK"] {
        let node = started_by(&format!("strace -f -qq -o /dev/null -e inject=link,linkat:error={error}"));
        let config = ipam(json!({"subnet": "10.244.0.0/29"}));
        assert_eq!(address(&node, "c1", &config), "10.244.0.2/29", "{error}");
        assert_eq!(fs::read(path("10.244.0.2")).unwrap(), b"c1\r\neth0");
        // Neither what is held nor what others left there is replaced; what holds nothing is.
        fs::write(path("10.244.0.3"), "c9\r\neth0").unwrap();
        fs::write(path("10.244.0.4"), "").unwrap();
        assert_eq!(address(&node, "c2", &config), "10.244.0.4/29", "{error}");
        let asking = changed(&config, json!({"runtimeConfig": {"ips": ["10.244.0.3"]}}));
        call(&node, "c3").verb("ADD", &asking).unwrap_err();
        assert_eq!(fs::read(path("10.244.0.3")).unwrap(), b"c9\r\neth0");
        assert!(!fs::exists(path(".reservation")).unwrap());
    }
}

#[test]
fn a_network_name_that_no_file_can_have_is_named_and_stops_no_del() {
    let node = Node::new();
    for length in [255, 256, 1000] {
        let config = changed(&ipam(json!({"subnet": "10.244.0.0/24"})), json!({"name": "n".repeat(length)}));
        let outcomes: Vec<Result<Value, Failure>> =
            ["ADD", "STATUS", "DEL"].map(|verb| call(&node, "c1").verb(verb, &config)).into();
        assert_eq!(outcomes[0].is_ok(), length == 255);
        for failure in outcomes[..2].iter().filter_map(|outcome| outcome.as_ref().err()) {
            assert!(failure.msg.contains("name") && failure.msg.contains("too long"), "{failure:?}");
        }
        assert_eq!(outcomes[1].is_ok(), length == 255);
        outcomes[2].as_ref().unwrap();
    }
}

#[test]
fn many_exclusions_cost_little() {
    // The processor's time, not the clock's: it is the same on a busy machine.
    let node = started_by("prlimit --cpu=5");
    let exclude: Vec<_> = (0..=u16::MAX).map(|number| format!("fd00:0:0:0:{number:x}::/80")).collect();
    let config = ipam(json!({"subnet": "fd00::/48", "exclude": exclude}));
    assert_eq!(address(&node, "c1", &config), "fd00:0:0:1::/48");
    let exclude: Vec<_> = (0..50_000u32)
        .map(|number| format!("10.{}.{}.{}", number / 32768, number / 128 % 256, number % 128 * 2))
        .collect();
    let config = ipam(json!({"subnet": "10.0.0.0/8", "exclude": exclude}));
    assert_eq!(address(&node, "c2", &config), "10.0.0.3/8");
    call(&node, "c2").verb("STATUS", &changed(&config, json!({"cniVersion": "1.1.0"}))).unwrap();
}

#[test]
fn a_whole_family_can_be_excluded() {
    let node = Node::new();
    for (subnet, exclude, reason) in [
        ("fd00::/64", "::/0", "no IP addresses available"),
        ("10.244.0.0/24", "0.0.0.0/0", "no IP addresses available"),
        ("ffff:ffff:ffff:ffff::/64", "ffff::/16", "no IP addresses available"),
        ("255.255.255.248/29", "255.255.255.0/24", "no IP addresses available"),
    ] {
        let config = ipam(json!({"subnet": subnet, "exclude": [exclude]}));
        let failure = call(&node, "c1").verb("ADD", &config).unwrap_err();
        assert!(failure.msg.contains(reason), "{exclude}: {failure:?}");
        fs::create_dir_all("/mnt/net.d").unwrap();
        fs::write("/mnt/net.d/10.conf", config.to_string()).unwrap();
        let audit = node.weir("ipam audit pods --json --conf-dir /mnt/net.d");
        let report: Value = serde_json::from_slice(&audit.stdout).unwrap();
        assert_eq!(report["networks"][0]["ranges"][0]["size"], 0, "{exclude}: {report}");
    }
}

mod gc {
    use super::*;

    fn with_list(config: &Value, list: Value) -> Value {
        changed(config, json!({"cniVersion": "1.1.0", "cni.dev/valid-attachments": list}))
    }

    #[test]
    fn reports_an_unreadable_reservation_and_frees_the_others() {
        for call_and_error in ["open,openat:error=EMFILE", "newfstatat,statx,lstat:error=EIO"] {
            let spoiled = format!(
                "timeout 20 strace -f -qq -o /dev/null -P {STORE}/10.244.0.3 -P 10.244.0.3 -e inject={call_and_error}"
            );
            let node = started_by(&spoiled);
            let config = with_list(&ipam(json!({"subnet": "10.244.0.0/29"})), json!([]));
            fs::create_dir_all(STORE).unwrap();
            for (name, id) in [("10.244.0.3", "c9"), ("10.244.0.4", "c8")] {
                fs::write(path(name), format!("{id}\r\neth0")).unwrap();
            }
            let failure = call(&node, "any").verb("GC", &config).unwrap_err();
            assert!(failure.message.contains("10.244.0.3"), "{failure:?}");
            assert_eq!(held(), ["10.244.0.3"], "{call_and_error}");
            fs::remove_dir_all(STORE).unwrap();
        }
    }

    #[test]
    fn keeps_everything_when_namespaces_cannot_be_read() {
        // The error of a process that may open no more sockets.
        let blind = "timeout 20 strace -f -qq -o /dev/null -e trace=socket -e inject=socket:error=EMFILE";
        let node = started_by(blind);
        let config = with_list(&ipam(json!({"subnet": "10.244.0.0/29"})), json!([]));
        fs::create_dir_all(STORE).unwrap();
        fs::write(path("10.244.0.3"), "c9\r\neth0").unwrap();
        let failure = call(&node, "any").verb("GC", &config).unwrap_err();
        assert!(failure.message.contains("stay reserved"), "{failure:?}");
        assert_eq!(held(), ["10.244.0.3"]);
    }

    #[test]
    fn leaves_the_address_of_an_add_at_work() {
        let node = Node::new();
        let config = bridge(json!({"isGateway": true}));
        // It stops when it has the address, and gives the kernel the rest afterwards.
        let stopping = "strace -D -f -qq -o /dev/null -P /proc/sys/net/ipv4/ip_forward \
                        -e inject=open,openat:signal=SIGSTOP:when=1";
        let bridge = node.bin().join("bridge");
        let adding = node.with_script("bridge", &format!("exec {stopping} {}", bridge.display()));
        let pod = Pod::new("c1");
        let mut running = adding.call("bridge", &pod).start("ADD", &config);
        eventually("the address is reserved", || fs::exists(path("10.244.0.2")).unwrap());
        let alone = with_list(&ipam(config["ipam"].clone()), json!([]));
        let output = call(&adding, "any").raw("GC", &alone.to_string());
        assert!(output.status.success(), "{output:?}");
        assert_eq!(held(), ["10.244.0.2"]);
        eventually("ADD goes on to its end", || running.has_ended_after("CONT"));
        running.answer().unwrap();
        assert_eq!(pod.addresses("eth0"), ["10.244.0.2/24"]);
        // From now on it is an address like any other: it stays as long as its interface is there.
        call(&adding, "any").verb("GC", &alone).unwrap();
        assert_eq!(held(), ["10.244.0.2"]);
        pod.shell("ip link del eth0");
        call(&adding, "any").verb("GC", &alone).unwrap();
        assert!(held().is_empty());
    }

    #[test]
    fn leaves_the_address_of_an_add_that_begins_and_ends_while_gc_waits_for_the_lock() {
        let node = Node::new();
        let config = ipam(json!({"subnet": "10.244.0.0/24"}));
        address(&node, "c1", &config);
        let lock = fs::File::open(path("lock")).unwrap();
        lock.lock().unwrap();
        let running = call(&node, "any").start("GC", &with_list(&config, json!([])));
        let waits = format!("-> FLOCK  ADVISORY  WRITE {} ", running.id());
        eventually("GC waits", || fs::read_to_string("/proc/locks").unwrap().contains(&waits));
        // The reservation of an ADD that had the lock in between.
        fs::write(path("10.244.0.3"), "c2\r\neth0").unwrap();
        drop(lock);
        running.answer().unwrap();
        assert_eq!(held(), ["10.244.0.3"]);
    }

    #[test]
    fn del_frees_the_address_of_an_add_at_work() {
        let node = Node::new();
        let config = ipam(json!({"subnet": "10.244.0.0/24"}));
        address(&node, "c1", &config);
        // The lock that ADD holds.
        let file = fs::File::open(path("10.244.0.2")).unwrap();
        file.lock_shared().unwrap();
        call(&node, "c1").verb("GC", &with_list(&config, json!([]))).unwrap();
        assert_eq!(held(), ["10.244.0.2"]);
        call(&node, "c1").del(&config);
        assert!(held().is_empty());
    }

    #[test]
    fn leaves_addresses_in_a_namespace_with_processes_unless_configured_otherwise() {
        for keys in [json!({"gcRemovesRunning": true}), json!({"ipam": {"gcRemovesRunning": true}})] {
            let node = Node::new();
            let (lived_in, empty) = (Pod::new("c1"), Pod::new("c2"));
            let mut config = bridge(json!({"ipam": {"type": "host-local", "subnet": "10.244.0.0/29"}}));
            // A process that says when it is there.
            let mut process = Process::start(Some(&lived_in.netns()), "tail -f /etc/passwd");
            process.wait_for(":");
            for pod in [&lived_in, &empty] {
                node.call("bridge", pod).add(&config);
            }
            config = with_list(&ipam(config["ipam"].clone()), json!([]));
            let output = call(&node, "any").raw("GC", &config.to_string());
            assert!(output.status.success(), "{output:?}");
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(said.contains("10.244.0.2 to eth0 of container c1"), "{said}");
            assert!(!said.contains("10.244.0.3"), "{said}");
            // The other one's interface is there: it is for `bridge` to remove it.
            assert_eq!(held(), ["10.244.0.2", "10.244.0.3"]);
            // Whatever maker: the reference's pairs say nothing of themselves.
            node.look("for link in $(ip -br link show type veth | cut -d@ -f1); do ip link set $link alias ''; done");
            call(&node, "any").verb("GC", &config).unwrap();
            assert_eq!(held(), ["10.244.0.2"]);
            for (key, value) in keys.as_object().unwrap() {
                match value.as_object() {
                    Some(_) => config[key]["gcRemovesRunning"] = json!(true),
                    None => config[key] = value.clone(),
                }
            }
            call(&node, "any").verb("GC", &config).unwrap();
            assert!(held().is_empty());
        }
    }
}
