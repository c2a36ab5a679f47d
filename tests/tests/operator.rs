//! `weir` as an operator runs it.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed, its helpers included")]

use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use serde_json::{Value, json};
use tests::config::{bridge, host_local};
use tests::{Look, Node, Pod, installed};

const NAMES: [&str; 10] = [
    "bandwidth",
    "bridge",
    "firewall",
    "host-local",
    "loopback",
    "portmap",
    "ptp",
    "static",
    "tuning",
    "weir",
];

fn names_in(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn run(executable: impl AsRef<Path>, arguments: &[&str]) -> Output {
    Command::new(executable.as_ref()).args(arguments).output().unwrap()
}

fn install(folder: &Path) -> Output {
    run(installed().join("weir"), &["install", folder.to_str().unwrap()])
}

/// Returns weir's standard error after a failure.
fn refusal(output: &Output) -> String {
    assert!(!output.status.success(), "{output:?}");
    assert!(output.stdout.is_empty(), "{output:?}");
    String::from_utf8(output.stderr.clone()).unwrap()
}

mod installing {
    use super::*;

    #[test]
    fn a_new_folder_gets_one_file_under_all_names() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("opt/cni/bin");
        let output = install(&folder);
        assert!(output.status.success(), "{output:?}");
        assert_eq!(names_in(&folder), NAMES);
        let own = fs::metadata(folder.join("weir")).unwrap();
        assert_eq!((own.nlink(), own.mode() & 0o7777), (NAMES.len() as u64, 0o755));
        for name in NAMES {
            assert_eq!(fs::metadata(folder.join(name)).unwrap().ino(), own.ino());
        }
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(
            said.contains(folder.to_str().unwrap()) && NAMES.iter().all(|name| said.contains(name)),
            "{said}"
        );
    }

    #[test]
    fn files_of_others_in_the_folder_stay_and_old_plugins_are_replaced() {
        let place = tempfile::tempdir().unwrap();
        for name in ["bridge", "sbr"] {
            fs::write(place.path().join(name), "of the reference").unwrap();
        }
        assert!(install(place.path()).status.success());
        assert_eq!(fs::read(place.path().join("sbr")).unwrap(), b"of the reference");
        assert!(run(place.path().join("bridge"), &[]).status.success());
        assert_eq!(
            names_in(place.path()),
            [
                "bandwidth",
                "bridge",
                "firewall",
                "host-local",
                "loopback",
                "portmap",
                "ptp",
                "sbr",
                "static",
                "tuning",
                "weir"
            ]
        );
    }

    #[test]
    fn plugins_can_be_executed_at_every_moment_of_an_installation() {
        let place = tempfile::tempdir().unwrap();
        assert!(install(place.path()).status.success());
        let (done, executed) = (AtomicBool::new(false), AtomicU32::new(0));
        std::thread::scope(|scope| {
            for plugin in ["bridge", "host-local"] {
                let (place, done, executed) = (place.path(), &done, &executed);
                scope.spawn(move || {
                    while !done.load(Ordering::Relaxed) {
                        // Fails here when the file is busy, absent or not whole.
                        let output = run(place.join(plugin), &[]);
                        assert!(output.status.success(), "{output:?}");
                        assert!(
                            String::from_utf8_lossy(&output.stderr).starts_with(&format!("CNI {plugin} "))
                        );
                        executed.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
            for _ in 0..25 {
                let inode = fs::metadata(place.path().join("bridge")).unwrap().ino();
                let before = executed.load(Ordering::Relaxed);
                let output = run(place.path().join("weir"), &["install", place.path().to_str().unwrap()]);
                let is_new = fs::metadata(place.path().join("bridge")).unwrap().ino() != inode;
                // Whatever was found, the other threads must end.
                done.store(!output.status.success() || !is_new, Ordering::Relaxed);
                assert!(output.status.success() && is_new, "{output:?}");
                tests::eventually("a plugin is executed", || executed.load(Ordering::Relaxed) > before);
            }
            done.store(true, Ordering::Relaxed);
        });
        assert_eq!(names_in(place.path()), NAMES);
    }

    #[test]
    fn a_running_plugin_continues_while_it_is_replaced() {
        let (_node, pod) = (Node::new(), Pod::new("c1"));
        // `/tmp` is the same folder in the node's mount namespace.
        let place = tempfile::tempdir().unwrap();
        assert!(install(place.path()).status.success());
        let mut plugin = Command::new(place.path().join("bridge"))
            .envs([("CNI_COMMAND", "ADD"), ("CNI_CONTAINERID", "c1"), ("CNI_IFNAME", "eth0")])
            .env("CNI_NETNS", pod.netns())
            .env("CNI_PATH", place.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        assert!(install(place.path()).status.success());
        plugin.stdin.take().unwrap().write_all(bridge(json!({})).to_string().as_bytes()).unwrap();
        assert!(plugin.wait_with_output().unwrap().status.success());
        assert_eq!(pod.addresses("eth0"), ["10.244.0.2/24"]);
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_named() {
        let place = tempfile::tempdir().unwrap();
        fs::write(place.path().join("file"), "").unwrap();
        let folder = place.path().join("file/bin");
        let refusal = refusal(&install(&folder));
        assert!(refusal.contains(folder.to_str().unwrap()), "{refusal}");
    }
}

mod by_hand {
    use super::*;

    /// Types a command as people do it today, in a folder with the plugins in `bin`.
    fn typed(node: &Node, command: &str) -> Value {
        let folder = node.bin().parent().unwrap().display();
        let link = format!(
            "mkdir -p /mnt/home && ln -sfn {folder}/{} /mnt/home/bin",
            node.bin().file_name().unwrap().display()
        );
        serde_json::from_str(&node.look(&format!("{link} && cd /mnt/home && {command}"))).unwrap()
    }

    #[test]
    fn a_bridge_config_of_another_type_works() {
        let (node, pod) = (Node::new(), Pod::new("a"));
        let result = typed(
            &node,
            &format!(
                r#"echo '{{"cniVersion": "0.3.1","name": "mynet","type": "macvlan","bridge": "cni0","isGateway": true,"ipMasq": true,"ipam": {{"type": "host-local","subnet": "10.244.1.0/24","routes": [{{ "dst": "0.0.0.0/0" }}]}}}}' | CNI_COMMAND=ADD CNI_NETNS={} CNI_PATH=./bin CNI_IFNAME=eth0 CNI_CONTAINERID=a CNI_VERSION=0.3.1 ./bin/bridge"#,
                pod.netns()
            ),
        );
        assert_eq!(result["ips"][0]["address"], "10.244.1.2/24");
        assert!(pod.reaches("10.244.1.1", 56));
        assert_eq!(pod.look("ip route show default").trim(), "default via 10.244.1.1 dev eth0");
    }

    #[test]
    fn host_local_takes_a_subnet_with_host_bits() {
        let (node, pod) = (Node::new(), Pod::new("a"));
        let result = typed(
            &node,
            &format!(
                r#"echo '{{"cniVersion": "0.3.1","type":"IGNORED", "name": "a","ipam": {{"type": "host-local", "subnet":"10.1.2.3/24"}}}}' | CNI_COMMAND=ADD CNI_NETNS={} CNI_PATH=./bin CNI_IFNAME=a CNI_CONTAINERID=a CNI_VERSION=0.3.1 ./bin/host-local"#,
                pod.netns()
            ),
        );
        assert_eq!(result["ips"][0]["address"], "10.1.2.2/24");
    }
}

mod command_line {
    use super::*;

    #[test]
    fn help_names_the_commands() {
        let output = run(installed().join("weir"), &["--help"]);
        assert!(output.status.success());
        let help = String::from_utf8(output.stdout).unwrap();
        for command in ["install", "list", "attach", "check", "detach"] {
            assert!(help.contains(&format!("\n  {command}")), "{help}");
        }
        let output = run(installed().join("weir"), &["attach", "--help"]);
        let help = String::from_utf8(output.stdout).unwrap();
        for option in
            ["conflist", "netns", "container-id", "ifname", "annotation", "arg", "cap", "cni-path", "cache"]
        {
            assert!(help.contains(&format!("--{option} ")), "{help}");
        }
    }

    #[test]
    fn without_a_command_it_explains_itself_and_fails() {
        let said = refusal(&run(installed().join("weir"), &[]));
        assert!(said.contains("Usage") && said.contains("attach"), "{said}");
    }

    #[test]
    fn under_any_other_name_it_is_the_operators_tool() {
        let place = tempfile::tempdir().unwrap();
        for name in ["tool", "bridges", "mybridge"] {
            symlink(installed().join("weir"), place.path().join(name)).unwrap();
            let output = run(place.path().join(name), &["--version"]);
            let said = String::from_utf8(output.stdout).unwrap();
            assert!(output.status.success() && said.starts_with("weir "), "{name}: {said}");
        }
    }

    #[test]
    fn options_that_cannot_be_are_named() {
        let (node, pod) = (Node::new(), Pod::new("c1"));
        let conflist = node.file("net.conflist", &bridge(json!({})).to_string());
        let before = node.fingerprint();
        let attach =
            format!("attach --conflist {} --netns {} --container-id c1", conflist.display(), pod.netns());
        for (options, words) in [
            ("--arg nonsense", &["--arg", "\"nonsense\""][..]),
            ("--annotation nonsense", &["--annotation", "\"nonsense\""]),
            (
                "--annotation kubernetes.io/ingress-bandwidth=10Q",
                &["kubernetes.io/ingress-bandwidth", "\"10Q\""],
            ),
            ("--annotation kubernetes.io/egress-bandwidth=", &["kubernetes.io/egress-bandwidth", "\"\""]),
            (
                "--annotation kubernetes.io/egress-bandwidth=999",
                &["kubernetes.io/egress-bandwidth", "\"999\"", "1k"],
            ),
            (
                "--annotation kubernetes.io/egress-bandwidth=2P",
                &["kubernetes.io/egress-bandwidth", "\"2P\"", "1P"],
            ),
            (
                "--annotation kubernetes.io/egress-bandwidth=-1M",
                &["kubernetes.io/egress-bandwidth", "\"-1M\""],
            ),
            ("--cap ips", &["--cap", "\"ips\""]),
            ("--cap ips=[10.0.0.7]", &["--cap ips"]),
            ("--ifname a/b", &["\"a/b\"", "code 4"]),
        ] {
            let refusal = refusal(&node.weir(&format!("{attach} {options}")));
            for word in words {
                assert!(refusal.contains(word), "{options}: want {word}: {refusal}");
            }
        }
        assert_eq!(node.fingerprint(), before);
    }

    #[test]
    fn a_conflist_that_is_none_is_named_with_the_reason() {
        let node = Node::new();
        for (text, reason) in [
            ("{", "JSON"),
            ("[]", "want an object"),
            ("{}", "name is missing"),
            ("{\"name\": \"n\", \"plugins\": []}", "plugins is empty"),
            ("{\"name\": \"n\", \"plugins\": [{}]}", "type is missing"),
        ] {
            let file = node.file("net.conflist", text);
            let refusal = refusal(
                &node.weir(&format!("attach --conflist {} --netns x --container-id c1", file.display())),
            );
            assert!(
                refusal.contains(file.to_str().unwrap()) && refusal.contains(reason),
                "{text}: {refusal}"
            );
        }
        let refusal = refusal(&node.weir("attach --conflist /mnt/none.conflist --netns x --container-id c1"));
        assert!(refusal.contains("/mnt/none.conflist"), "{refusal}");
    }

    #[test]
    fn a_plugin_that_is_not_on_the_path_is_named() {
        let (node, pod) = (Node::new(), Pod::new("c1"));
        let file =
            node.file("net.conflist", &json!({"name": "n", "plugins": [{"type": "portmap"}]}).to_string());
        let options = format!("--conflist {} --netns {} --container-id c1", file.display(), pod.netns());
        let refusal = refusal(&node.weir(&format!("attach {options} --cni-path /mnt/bin")));
        assert!(refusal.contains("\"portmap\"") && refusal.contains("/mnt/bin"), "{refusal}");
    }
}

mod attaching {
    use super::*;

    /// A plugin that notes its calls in `/mnt/calls`, keeps what it got in `/mnt/VERB`, and passes the result on.
    const NOTING: &str = r#"
        echo "$CNI_COMMAND $CNI_IFNAME $CNI_ARGS" >> /mnt/calls
        cat > /mnt/$CNI_COMMAND
        [ $CNI_COMMAND != ADD ] || echo '{"cniVersion": "1.0.0", "ips": [{"address": "10.7.7.7/24"}], "dns": {}}'"#;
    const FAILING: &str = r#"
        echo "failing $CNI_COMMAND" >> /mnt/calls
        [ $CNI_COMMAND != ADD ] || { echo '{"code": 121, "msg": "out of luck", "details": "today"}'; exit 1; }"#;

    fn calls() -> Vec<String> {
        fs::read_to_string("/mnt/calls")
            .unwrap_or_default()
            .lines()
            .map(|line| line.trim().to_owned())
            .collect()
    }

    fn got(verb: &str) -> Value {
        serde_json::from_str(&fs::read_to_string(format!("/mnt/{verb}")).unwrap()).unwrap()
    }

    /// Writes a conflist of these plugins and returns the options for pod `c1`.
    fn options(node: &Node, pod: &Pod, version: &str, plugins: Value) -> String {
        let list = json!({"cniVersion": version, "name": "pods", "plugins": plugins});
        let file = node.file("pods.conflist", &list.to_string());
        format!("--conflist {} --netns {} --container-id c1", file.display(), pod.netns())
    }

    fn ours() -> Value {
        json!({"type": "bridge", "isGateway": true, "ipam": host_local(&["10.244.0.0/24"])})
    }

    #[test]
    fn a_repeated_attach_is_refused_and_harms_nothing() {
        let (node, pod) = (Node::new(), Pod::new("c1"));
        let options = options(&node, &pod, "1.0.0", json!([ours()]));
        assert!(node.weir(&format!("attach {options}")).status.success());
        let refusal = refusal(&node.weir(&format!("attach {options}")));
        assert!(refusal.contains("c1") && refusal.contains("already"), "{refusal}");
        assert!(node.weir(&format!("check {options}")).status.success());
        assert_eq!(pod.addresses("eth0"), ["10.244.0.2/24"]);
    }

    #[test]
    fn a_plugin_that_is_missing_is_noticed_before_the_first_one_runs() {
        let (node, pod) = (Node::new(), Pod::new("c1"));
        let options = options(&node, &pod, "1.0.0", json!([ours(), {"type": "absent"}]));
        let refusal = refusal(&node.weir(&format!("attach {options}")));
        assert!(refusal.contains("absent"), "{refusal}");
        assert!(pod.links().is_empty());
        assert_eq!(node.look("find /var/lib -name '10.244.0.*'"), "");
    }

    #[test]
    fn attach_undoes_itself_when_the_result_cannot_be_cached() {
        let (node, pod) = (Node::new(), Pod::new("c1"));
        let options = options(&node, &pod, "1.0.0", json!([ours()]));
        let file = node.file("no-folder", "");
        let refusal = refusal(&node.weir(&format!("attach {options} --cache {}/x", file.display())));
        assert!(refusal.contains("no-folder"), "{refusal}");
        assert!(pod.links().is_empty());
        assert_eq!(node.look("find /var/lib -name '10.244.0.*'"), "");
    }

    #[test]
    fn the_first_error_stops_and_undoes_the_plugins_before() {
        let (node, pod) = (Node::new(), Pod::new("c1"));
        let node = node.with_script("failing", FAILING).with_script("noting", NOTING);
        let plugins = json!([ours(), {"type": "failing"}, {"type": "noting"}]);
        let options = options(&node, &pod, "1.0.0", plugins);
        let refusal = refusal(&node.weir(&format!("attach {options}")));
        for words in ["failing", "ADD", "out of luck; today", "121"] {
            assert!(refusal.contains(words), "{refusal}");
        }
        assert_eq!(calls(), ["failing ADD", "DEL eth0", "failing DEL"]);
        assert!(pod.links().is_empty());
        assert_eq!(node.look("find /var/lib -name '10.244.0.*'"), "");
        let refusal = super::refusal(&node.weir(&format!("check {options}")));
        assert!(
            refusal.contains("c1") && refusal.contains("pods") && refusal.contains("not attached"),
            "{refusal}"
        );
    }

    #[test]
    fn arguments_and_capabilities_reach_the_plugins_that_declare_them() {
        let (node, pod) = (Node::new(), Pod::new("c1"));
        let node = node.with_script("noting", NOTING);
        let declared = json!({"ips": true, "mac": false, "bandwidth": true});
        let plugins = json!([{"type": "noting", "capabilities": declared}]);
        let options = options(&node, &pod, "1.0.0", plugins);
        let given = "--ifname net7 --arg A=1 --arg B=2 --cap ips=[\"10.7.7.7\"] --cap mac=\"02:00:00:00:00:01\" \
                     --annotation kubernetes.io/ingress-bandwidth=10M";
        assert!(node.weir(&format!("attach {options} {given}")).status.success());
        assert_eq!(calls(), ["ADD net7 A=1;B=2"]);
        // As containerd sends it: capitalised, and with the default burst.
        let bandwidth =
            json!({"IngressRate": 10_000_000, "IngressBurst": u32::MAX, "EgressRate": 0, "EgressBurst": 0});
        assert_eq!(got("ADD")["runtimeConfig"], json!({"ips": ["10.7.7.7"], "bandwidth": bandwidth}));
    }

    #[test]
    fn check_and_detach_use_the_cached_result() {
        let (node, pod) = (Node::new(), Pod::new("c1"));
        let node = node.with_script("noting", NOTING);
        let plugins = json!([{"type": "noting", "capabilities": {"ips": true}}]);
        let options = options(&node, &pod, "1.0.0", plugins);
        let output = node.weir(&format!("attach {options} --cap ips=[\"10.7.7.7\"]"));
        let result: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(result["ips"][0]["address"], "10.7.7.7/24");
        for (command, verb) in [("check", "CHECK"), ("detach", "DEL")] {
            assert!(node.weir(&format!("{command} {options}")).status.success());
            assert_eq!(got(verb)["prevResult"], result);
            assert_eq!(got(verb)["runtimeConfig"], json!({"ips": ["10.7.7.7"]}));
        }
        // The result is removed, and detaching again succeeds.
        assert!(node.weir(&format!("detach {options}")).status.success());
        assert_eq!(got("DEL").get("prevResult"), None);
        assert_eq!(node.look("find /var/lib/weir -type f"), "");
    }

    #[test]
    fn plugins_are_detached_in_reverse_order() {
        let (node, pod) = (Node::new(), Pod::new("c1"));
        let first = NOTING.replace("echo \"$CNI_COMMAND", "echo \"first $CNI_COMMAND");
        let last = NOTING.replace("echo \"$CNI_COMMAND", "echo \"last $CNI_COMMAND");
        let node = node.with_script("first", &first).with_script("last", &last);
        let options = options(&node, &pod, "1.0.0", json!([{"type": "first"}, {"type": "last"}]));
        for command in ["attach", "check", "detach"] {
            assert!(node.weir(&format!("{command} {options}")).status.success());
        }
        let expected = ["first ADD", "last ADD", "first CHECK", "last CHECK", "last DEL", "first DEL"];
        assert_eq!(calls(), expected.map(|call| format!("{call} eth0")));
    }

    #[test]
    fn versions_before_0_4_0_get_no_earlier_result_for_del() {
        let (node, pod) = (Node::new(), Pod::new("c1"));
        let node = node.with_script("noting", &NOTING.replace("1.0.0", "0.3.1"));
        let options = options(&node, &pod, "0.3.1", json!([{"type": "noting"}]));
        for command in ["attach", "detach"] {
            assert!(node.weir(&format!("{command} {options}")).status.success());
        }
        assert_eq!(got("DEL").get("prevResult"), None);
    }

    #[test]
    fn without_a_path_its_own_folder_is_the_path() {
        let (node, pod) = (Node::new(), Pod::new("c1"));
        let options = options(&node, &pod, "1.0.0", json!([ours()]));
        let arguments: Vec<_> = options.split(' ').collect();
        let run = |command: &str| {
            let mut weir = Command::new(node.bin().join("weir"));
            let output = weir.env_remove("CNI_PATH").arg(command).args(&arguments).output().unwrap();
            assert!(output.status.success(), "{output:?}");
        };
        run("attach");
        assert_eq!(pod.addresses("eth0"), ["10.244.0.2/24"]);
        run("check");
        run("detach");
        assert!(pod.links().is_empty());
    }

    #[test]
    fn check_fails_with_the_plugins_sentence() {
        let (node, pod) = (Node::new(), Pod::new("c1"));
        let options = options(&node, &pod, "1.0.0", json!([ours()]));
        assert!(node.weir(&format!("attach {options}")).status.success());
        assert!(node.weir(&format!("check {options}")).status.success());
        node.look("ip link delete cni0");
        let refusal = refusal(&node.weir(&format!("check {options}")));
        assert!(refusal.contains("bridge \"cni0\" does not exist any more"), "{refusal}");
    }

    #[test]
    fn results_may_be_kept_elsewhere() {
        let (node, pod) = (Node::new(), Pod::new("c1"));
        let options = options(&node, &pod, "1.0.0", json!([ours()])) + " --cache /mnt/kept";
        assert!(node.weir(&format!("attach {options}")).status.success());
        assert_eq!(node.look("find /mnt/kept -type f | wc -l").trim(), "1");
        assert!(!Path::new("/var/lib/weir").exists());
        assert!(node.weir(&format!("check {options}")).status.success());
        assert!(node.weir(&format!("detach {options}")).status.success());
        assert_eq!(node.look("find /mnt/kept -type f"), "");
    }

    /// Runs the command with its standard output at `/dev/full`, or a pipe without a reader.
    fn unprinted(node: &Node, arguments: &str, is_pipe: bool) -> Output {
        let mut weir = Command::new(node.bin().join("weir"));
        weir.args(arguments.split_whitespace()).env("CNI_PATH", node.path()).stderr(Stdio::piped());
        if is_pipe {
            let (reader, writer) = std::io::pipe().unwrap();
            drop(reader);
            weir.stdout(writer);
        } else {
            weir.stdout(fs::File::options().write(true).open("/dev/full").unwrap());
        }
        weir.output().unwrap()
    }

    #[test]
    fn attach_undoes_itself_when_the_result_cannot_be_printed() {
        for is_pipe in [false, true] {
            let (node, pod) = (Node::new(), Pod::new("c1"));
            let options = options(&node, &pod, "1.0.0", json!([ours()]));
            let output = unprinted(&node, &format!("attach {options}"), is_pipe);
            assert_eq!(output.status.code(), Some(1), "{output:?}");
            assert!(String::from_utf8_lossy(&output.stderr).contains("cannot print"), "{output:?}");
            assert!(pod.links().is_empty());
            assert_eq!(node.look("find /var/lib/cni -name '10.244.0.*'; find /var/lib/weir -type f"), "");
            assert!(node.weir(&format!("attach {options}")).status.success());
        }
    }

    #[test]
    fn a_full_disk_is_reported_and_a_closed_pipe_is_not() {
        let (node, pod) = (Node::new(), Pod::new("c1"));
        let options = options(&node, &pod, "1.0.0", json!([ours()]));
        assert!(node.weir(&format!("attach {options}")).status.success());
        for arguments in [
            &format!("check {options}"),
            "install /mnt/bin",
            "list",
            "list --json",
            "limit",
            "limit --prometheus -",
        ] {
            let output = unprinted(&node, arguments, false);
            assert_eq!(output.status.code(), Some(1), "{arguments}: {output:?}");
            assert!(
                String::from_utf8_lossy(&output.stderr).contains("No space left"),
                "{arguments}: {output:?}"
            );
            let output = unprinted(&node, arguments, true);
            assert!(output.status.success() && output.stderr.is_empty(), "{arguments}: {output:?}");
        }
    }

    #[test]
    fn a_conflist_that_never_ends_or_blocks_is_refused_and_standard_input_is_read() {
        let (node, pod) = (Node::new(), Pod::new("c1"));
        node.look("mkfifo /mnt/fifo");
        for file in ["/mnt/fifo", "/dev/zero", "/mnt"] {
            let refusal =
                refusal(&node.weir(&format!("attach --conflist {file} --netns x --container-id c1")));
            assert!(refusal.contains(file), "{refusal}");
        }
        let list = json!({"cniVersion": "1.0.0", "name": "pods", "plugins": [ours()]});
        let weir = node.bin().join("weir");
        let (weir, netns, path) = (weir.display(), pod.netns(), node.path());
        node.look(&format!(
            "echo '{list}' | CNI_PATH={path} {weir} attach --conflist - --netns {netns} --container-id c1"
        ));
        assert_eq!(pod.addresses("eth0"), ["10.244.0.2/24"]);
    }

    #[test]
    fn the_kept_result_follows_no_link_and_is_for_root_only() {
        let (node, pod) = (Node::new(), Pod::new("c1"));
        let secret = node.file("secret", "of root's");
        let options = options(&node, &pod, "1.0.0", json!([ours()]));
        let weir = node.bin().join("weir");
        node.look(&format!(
            "mkdir /mnt/kept; export CNI_PATH={path}; umask 0; sh -c 'ln -s {secret} /mnt/kept/pods-c1-eth0.$$.tmp; \
             exec {weir} attach {options} --cache /mnt/kept'",
            path = node.path(),
            secret = secret.display(),
            weir = weir.display(),
        ));
        assert_eq!(fs::read_to_string(secret).unwrap(), "of root's");
        assert_eq!(node.look("stat -c %a /mnt/kept/pods-c1-eth0").trim(), "600");
    }
}
