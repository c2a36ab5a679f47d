//! All that the kernel and the disk show of a node, one fact in a line.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Deserializer, Value, json};

use crate::pod::Pod;

/// The state of a network namespace at one moment, to be compared with another one of the same namespace.
///
/// Left out is what changes by itself: timers, carrier, the state of a port, duplicate address detection, the routes
/// that the kernel makes for addresses, handles of nf_tables and all counters; and what `host-local` keeps beside the
/// reservations.
#[derive(Debug, Clone, Default)]
pub struct Snapshot(BTreeSet<String>);

impl Snapshot {
    /// The calling thread's node: links, addresses, rules, routes, traffic control, nf_tables, files below `/var/lib`.
    ///
    /// # Panics
    /// When a witness fails.
    pub fn of_node() -> Self {
        let mut facts = BTreeSet::new();
        let links = batch(Command::new("ip").args(["-d", "-j"]), "link show\n");
        let names: Vec<_> = links.iter().filter_map(|link| link["ifname"].as_str()).collect();
        let filters: String = names
            .iter()
            .flat_map(|name| ["root", "ingress", "egress"].map(|hook| filters(name, hook)))
            .collect();
        note(&mut facts, "filter", batch(Command::new("tc").arg("-j"), &filters));
        note(&mut facts, "qdisc", batch(Command::new("tc").arg("-j"), "qdisc show\n"));
        note(&mut facts, "nftables", ruleset());
        facts.extend(addressing(|| Command::new("ip")));
        note(&mut facts, "link", links);
        files(Path::new("/var/lib"), &mut facts);
        Self(facts)
    }

    /// A pod's namespace: links, addresses, rules, routes.
    ///
    /// # Panics
    /// When a witness fails.
    pub fn of_pod(pod: &Pod) -> Self {
        let ip = || {
            let mut command = Command::new("nsenter");
            command.arg(format!("--net={}", pod.netns())).arg("ip");
            command
        };
        let mut facts = addressing(ip);
        note(&mut facts, "link", batch(ip().args(["-d", "-j"]), "link show\n"));
        Self(facts)
    }

    /// The facts that are new since `before`, and those that are gone: one in each line.
    pub fn differences(&self, before: &Self) -> Vec<String> {
        let new = self.added_to(before).into_iter().map(|fact| format!("new: {fact}"));
        new.chain(before.added_to(self).into_iter().map(|fact| format!("gone: {fact}"))).collect()
    }

    /// The facts that are new since `before`.
    pub fn added_to(&self, before: &Self) -> Vec<String> {
        self.0.difference(&before.0).cloned().collect()
    }

    /// The facts that are not about this link, for one that two nodes have in common.
    pub fn without(mut self, link: &str) -> Self {
        let signs =
            [format!("\"ifname\":\"{link}\""), format!("\"dev\":\"{link}\""), format!("address [\"{link}\"")];
        self.0.retain(|fact| !signs.iter().any(|sign| fact.contains(sign)));
        self
    }
}

fn filters(link: &str, hook: &str) -> String {
    format!("filter show dev {link} {hook}\n")
}

/// Addresses, rules and routes of both families.
fn addressing(ip: impl Fn() -> Command) -> BTreeSet<String> {
    let mut facts = BTreeSet::new();
    for link in batch(ip().arg("-j"), "addr show\n") {
        let infos = link["addr_info"].as_array().into_iter().flatten();
        note(&mut facts, "address", infos.map(|info| json!([link["ifname"], info])).collect());
    }
    for (option, family) in [("-4", "IPv4"), ("-6", "IPv6")] {
        let shown = batch(ip().args([option, "-j"]), "rule show\nroute show table all\n");
        note(&mut facts, family, shown);
    }
    facts
}

fn note(facts: &mut BTreeSet<String>, what: &str, values: Vec<Value>) {
    let values = values.into_iter().map(lasting);
    facts.extend(
        values
            .filter(|value| value.as_object().is_none_or(|members| !members.is_empty()))
            .filter(|value| value["table"] != "local" || value["protocol"] != "kernel")
            .map(|value| format!("{what} {value}")),
    );
}

/// The items of all lists that a command of iproute2 prints.
fn batch(command: &mut Command, lines: &str) -> Vec<Value> {
    let mut child = command
        .args(["-batch", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the witness starts");
    let mut input = child.stdin.take().expect("standard input is a pipe");
    input.write_all(lines.as_bytes()).expect("the witness reads");
    drop(input);
    let output = child.wait_with_output().expect("the witness ends");
    // A link that went between two looks is one of the differences.
    let lists = Deserializer::from_slice(&output.stdout).into_iter::<Vec<Value>>();
    lists.flat_map(|list| list.unwrap_or_else(|error| panic!("{command:?} of {lines}: {error}"))).collect()
}

/// The objects of nf_tables, and each element of a set as an object of its own.
fn ruleset() -> Vec<Value> {
    let mut objects = Vec::new();
    let shown = crate::json("nft -j list ruleset");
    for mut object in shown["nftables"].as_array().into_iter().flatten().cloned() {
        for kind in ["set", "map"] {
            let elements = object[kind].as_object_mut().and_then(|set| set.remove("elem"));
            let name = object[kind]["name"].clone();
            let elements = elements.iter().filter_map(Value::as_array).flatten();
            objects.extend(elements.map(|element| json!([name, element])));
            if object[kind].is_null() {
                object.as_object_mut().map(|members| members.remove(kind));
            }
        }
        objects.push(object);
    }
    objects
}

/// Names and texts of files.
fn files(folder: &Path, facts: &mut BTreeSet<String>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        let is_cache = name == "lock" || name == ".index" || name.starts_with("last_reserved_ip.");
        let kind = entry.file_type().ok();
        if kind.is_some_and(|kind| kind.is_dir()) {
            facts.insert(format!("folder {}", path.display()));
            files(&path, facts);
        } else if !is_cache {
            let text = kind.filter(fs::FileType::is_file).and_then(|_| fs::read(&path).ok());
            let text = text.as_deref().map(String::from_utf8_lossy).unwrap_or_default();
            facts.insert(format!("file {} {text:?}", path.display()));
        }
    }
}

/// The value without what changes by itself. A label of an address is rewritten when the link is renamed.
fn lasting(mut value: Value) -> Value {
    match &mut value {
        Value::Object(members) => {
            members.retain(|key, value| match key.as_str() {
                "label" | "operstate" | "tentative" | "dadfailed" | "packets" | "bytes" => false,
                "metainfo" | "direct_packets_stat" => false,
                "state" => !value.is_string(),
                "handle" => !value.is_number(),
                key => !key.ends_with("_timer"),
            });
            members.values_mut().for_each(|member| *member = lasting(member.take()));
        }
        Value::Array(items) => {
            items.retain(|item| {
                !matches!(item.as_str(), Some("NO-CARRIER" | "LOWER_UP" | "M-DOWN" | "linkdown" | "dead"))
            });
            items.iter_mut().for_each(|item| *item = lasting(item.take()));
        }
        _ => {}
    }
    value
}
