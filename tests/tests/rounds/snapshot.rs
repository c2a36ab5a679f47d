//! All that the kernel and the disk show of a node, one fact in a line.

use std::collections::BTreeSet;

use serde_json::Value;
use tests::{Look, Node};

/// To be compared with another one of the same node.
pub struct Snapshot(BTreeSet<String>);

impl Snapshot {
    pub fn of(node: &Node) -> Self {
        let mut facts = BTreeSet::new();
        for command in [
            "ip -j -d link show",
            "ip -j addr show",
            "ip -j rule show",
            "ip -j -6 rule show",
            "ip -j -4 route show table all",
            "ip -j -6 route show table all",
            "tc -j qdisc show",
        ] {
            facts.extend(items(command).into_iter().map(|item| format!("{command}: {item}")));
        }
        for link in node.links() {
            for place in ["root", "ingress", "egress"] {
                let command = format!("tc -j filter show dev {link} {place}");
                facts.extend(items(&command).into_iter().map(|item| format!("{command}: {item}")));
            }
        }
        for item in ruleset() {
            facts.insert(format!("nft: {item}"));
        }
        facts.extend(node.look(FILES).lines().map(|file| format!("file: {file}")));
        Self(facts)
    }

    /// What is there now and was not, and what was there and is not.
    pub fn differences(&self, before: &Self) -> Vec<String> {
        let new = self.0.difference(&before.0).map(|fact| format!("new: {fact}"));
        new.chain(before.0.difference(&self.0).map(|fact| format!("gone: {fact}"))).collect()
    }
}

/// Names and texts, but only the names of what changes with every call: the lock, the index, and where the next
/// search begins.
const FILES: &str = "cd /var/lib; find . -type d -printf '%p/\\n'; \
    find . -type f | while read file; do case $file in \
    */lock | */.index | */last_reserved_ip.*) echo \"$file\";; \
    *) echo \"$file: $(tr -d '\\r' < \"$file\" | tr '\\n' ' ')\";; esac; done; \
    find . ! -type d ! -type f";

/// What a command prints, a list.
fn items(command: &str) -> Vec<Value> {
    let text = tests::shell(command);
    let list = if text.trim().is_empty() { Vec::new() } else { serde_json::from_str(&text).unwrap() };
    list.into_iter().map(lasting).collect()
}

/// The objects of nf_tables, and each element of a set as an object of its own.
fn ruleset() -> Vec<Value> {
    let mut objects = Vec::new();
    let shown = tests::json("nft -j list ruleset");
    for mut object in shown["nftables"].as_array().into_iter().flatten().cloned().map(lasting) {
        for kind in ["set", "map"] {
            let elements = object[kind].as_object_mut().and_then(|set| set.remove("elem"));
            let name = object[kind]["name"].clone();
            let elements = elements.iter().filter_map(Value::as_array).flatten();
            objects.extend(elements.map(|element| serde_json::json!([name, element])));
        }
        objects.push(object);
    }
    objects
}

/// The value without what changes by itself: timers of a bridge, numbers that nf_tables gives, labels of addresses,
/// which the kernel rewrites when the link is renamed.
fn lasting(mut value: Value) -> Value {
    match &mut value {
        Value::Object(members) => {
            members.retain(|key, value| match key.as_str() {
                "label" => false,
                "handle" => !value.is_number(),
                key => !key.ends_with("_timer"),
            });
            members.values_mut().for_each(|member| *member = lasting(member.take()));
        }
        Value::Array(items) => items.iter_mut().for_each(|item| *item = lasting(item.take())),
        _ => {}
    }
    value
}
