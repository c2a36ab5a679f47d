//! Counts what the plugins ask of the kernel, ours and the reference's: system calls, netlink requests, files.
//!
//! Prints Markdown tables. Each plugin runs under `strace`, on a node where its network was used before.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use tests::config::{bridge, host_local};
use tests::{Node, Pod, REFERENCE, with_prev_result};

const TRACE: &str = "/mnt/trace";
/// The plugins of a container in the order of their ADDs, and what their calls are called here.
const CHAIN: [(&str, &str); 3] =
    [("loopback", "loopback"), ("bridge", "bridge + host-local"), ("bandwidth", "bandwidth")];

/// The system calls of one call.
struct Trace {
    system_calls: BTreeMap<String, usize>,
    processes: usize,
    requests: Vec<String>,
    files: Vec<String>,
}

impl Trace {
    /// Reads what `strace -f -v` wrote.
    fn read(text: &str) -> Self {
        let mut trace =
            Self { system_calls: BTreeMap::new(), processes: 0, requests: Vec::new(), files: Vec::new() };
        for line in text.lines() {
            // "PID NAME(ARGUMENTS) = RESULT"; the rest of a call that another thread interrupted has no name.
            let call = line.split_once(' ').map_or("", |(_, call)| call.trim_start());
            let Some((name, arguments)) = call.split_once('(') else { continue };
            if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
                continue;
            }
            *trace.system_calls.entry(name.to_owned()).or_default() += 1;
            match name {
                "execve" => trace.processes += 1,
                "sendto" | "sendmsg" => trace.requests.extend(requests(arguments)),
                "open" | "openat" => trace.files.extend(arguments.split('"').nth(1).map(str::to_owned)),
                _ => {}
            }
        }
        trace
    }

    fn all_system_calls(&self) -> usize {
        self.system_calls.values().sum()
    }
}

/// The types of the netlink messages that a call sends, in their order.
fn requests(arguments: &str) -> impl Iterator<Item = String> {
    arguments.split("nlmsg_type=").skip(1).map(|message| {
        let until = |text: &str, end: char| text.split(end).next().unwrap_or_default().to_owned();
        let kind = until(message, ',');
        let name = name(kind.rsplit("<<8|").next().unwrap_or_default());
        let flags = message.split_once("nlmsg_flags=").map_or(String::new(), |(_, flags)| until(flags, ','));
        let is_dump = flags.split('|').any(|flag| matches!(flag, "NLM_F_DUMP" | "0x300"));
        if is_dump { format!("{name} (dump)") } else { name.to_owned() }
    })
}

/// A type that `strace` shows as a number, since it does not know the protocol of a socket in another network
/// namespace (uapi/linux/rtnetlink.h).
fn name(kind: &str) -> &str {
    match kind.split(' ').next().unwrap_or_default() {
        "0x10" => "RTM_NEWLINK",
        "0x11" => "RTM_DELLINK",
        "0x12" => "RTM_GETLINK",
        "0x14" => "RTM_NEWADDR",
        "0x16" => "RTM_GETADDR",
        "0x18" => "RTM_NEWROUTE",
        "0x1a" => "RTM_GETROUTE",
        "0x3a" => "RTM_GETMULTICAST",
        name => name,
    }
}

/// One set of executables, each under `strace`.
struct Traced {
    node: Node,
    masquerade: bool,
}

impl Traced {
    fn new(executables: Option<&Path>, masquerade: bool) -> Self {
        let node = Node::new();
        let folder = executables.unwrap_or(node.bin()).to_owned();
        let node = CHAIN.iter().fold(node.prefer(&folder), |node, (plugin, _)| {
            let executable = folder.join(plugin);
            let strace = format!("exec strace -f -v -qq -e signal=none -o {TRACE} {}", executable.display());
            node.with_script(plugin, &strace)
        });
        Self { node, masquerade }
    }

    fn config(&self, plugin: &str) -> Value {
        match plugin {
            "loopback" => json!({"cniVersion": "1.0.0", "name": "lo", "type": plugin}),
            "bridge" => bridge(json!({
                "isDefaultGateway": true, "ipMasq": self.masquerade,
                "ipam": host_local(&["10.244.0.0/24", "fd00:244::/64"]),
            })),
            _ => json!({
                "cniVersion": "1.0.0", "name": "pods", "type": plugin,
                "ingressRate": 10_000_000, "ingressBurst": 1_000_000,
                "egressRate": 10_000_000, "egressBurst": 1_000_000,
            }),
        }
    }

    fn call(&self, pod: &Pod, plugin: &str, verb: &str, config: &Value) -> (Value, Trace) {
        let call = self.node.call(plugin, pod).with("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        let call = if plugin == "loopback" { call.with("CNI_IFNAME", "lo") } else { call };
        let answer = call.verb(verb, config).unwrap_or_else(|failure| panic!("{plugin} {verb}: {failure:?}"));
        let seen = fs::read_to_string(TRACE).expect("strace wrote its output");
        (answer, Trace::read(&seen.replace(&pod.netns(), "(CNI_NETNS)")))
    }

    /// Each call of a container's life.
    fn life(&self, id: &str) -> Vec<(&'static str, &'static str, Trace)> {
        let pod = Pod::new(id);
        let (mut traces, mut results, mut last) = (Vec::new(), Vec::new(), None);
        for (plugin, title) in CHAIN {
            let config = self.config(plugin);
            let config = match &last {
                Some(result) if plugin == "bandwidth" => with_prev_result(&config, result),
                _ => config,
            };
            let (result, trace) = self.call(&pod, plugin, "ADD", &config);
            traces.push(("ADD", title, trace));
            results.push(result.clone());
            last = Some(result);
        }
        let final_result = |plugin: usize| if plugin == 0 { &results[0] } else { &results[2] };
        for (number, (plugin, title)) in CHAIN.iter().enumerate() {
            let config = with_prev_result(&self.config(plugin), final_result(number));
            traces.push(("CHECK", title, self.call(&pod, plugin, "CHECK", &config).1));
        }
        for (number, (plugin, title)) in CHAIN.iter().enumerate().rev() {
            let config = with_prev_result(&self.config(plugin), final_result(number));
            traces.push(("DEL", title, self.call(&pod, plugin, "DEL", &config).1));
        }
        // Without shaping, the pair and its masquerade entry are left to bridge's DEL.
        let (result, _) = self.call(&pod, "bridge", "ADD", &self.config("bridge"));
        let config = with_prev_result(&self.config("bridge"), &result);
        let alone = self.call(&pod, "bridge", "DEL", &config).1;
        traces.push(("DEL", "bridge + host-local, not shaped", alone));
        traces
    }
}

/// Joins repeated lines into one with their number.
fn repeated(names: &[String]) -> Vec<String> {
    let runs = names.chunk_by(|one, other| one == other);
    runs.map(|run| if run.len() == 1 { run[0].clone() } else { format!("{} ({}×)", run[0], run.len()) })
        .collect()
}

fn counted(names: &BTreeMap<String, usize>) -> String {
    let mut names: Vec<_> = names.iter().collect();
    names.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    names.iter().map(|(name, count)| format!("{name} {count}")).collect::<Vec<_>>().join(", ")
}

/// Ours and the reference's, each call beside the other.
fn lives(masquerade: bool) -> [Vec<(&'static str, &'static str, Trace)>; 2] {
    [None, Some(Path::new(REFERENCE))].map(|executables| {
        let life = move || {
            let traced = Traced::new(executables, masquerade);
            // The first container makes the bridge and its rules.
            traced.life("c1");
            traced.life("c2")
        };
        // A node is a thread's.
        std::thread::spawn(life).join().expect("each call succeeds")
    })
}

fn main() {
    let both = [false, true].map(lives);
    println!(
        "| verb | plugin | ipMasq | system calls | netlink requests | files opened | reference: system calls | netlink requests | files opened | processes |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|");
    for (masquerade, [ours, theirs]) in [false, true].into_iter().zip(&both) {
        for ((verb, plugin, ours), (_, _, theirs)) in ours.iter().zip(theirs) {
            if masquerade && !plugin.starts_with("bridge") {
                continue;
            }
            println!(
                "| {verb} | {plugin} | {} | {} | {} | {} | {} | {} | {} | {} |",
                if masquerade { "yes" } else { "no" },
                ours.all_system_calls(),
                ours.requests.len(),
                ours.files.len(),
                theirs.all_system_calls(),
                theirs.requests.len(),
                theirs.files.len(),
                theirs.processes,
            );
        }
    }
    // With masquerading, which is all of the other and more.
    for (verb, plugin, trace) in &both[1][0] {
        println!("\n### {verb}, {plugin}\n");
        println!("- requests: {}", repeated(&trace.requests).join(", "));
        println!("- files: {}", repeated(&trace.files).join(", "));
        println!("- system calls: {}", counted(&trace.system_calls));
    }
}
