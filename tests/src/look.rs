//! The links, addresses and routes of a network namespace, as `ip` shows them.

use serde_json::Value;

/// A network namespace that can be looked at.
pub trait Look {
    /// Runs a witness in the namespace and returns what it printed.
    ///
    /// # Panics
    /// When it fails.
    fn look(&self, command: &str) -> String;

    /// Returns the list that `ip` prints for these arguments.
    ///
    /// # Panics
    /// When it fails.
    fn ip(&self, arguments: &str) -> Vec<Value> {
        let text = self.look(&format!("ip -j -d {arguments}"));
        // For an empty list some versions print nothing, some an empty list with empty objects in it.
        let list: Vec<Value> = match text.trim() {
            "" => Vec::new(),
            text => {
                serde_json::from_str(text).unwrap_or_else(|error| panic!("ip {arguments}: {error}: {text}"))
            }
        };
        list.into_iter().filter(|item| item.as_object().is_some_and(|item| !item.is_empty())).collect()
    }

    /// A link's details.
    ///
    /// # Panics
    /// When there is no such link.
    fn link(&self, name: &str) -> Value {
        self.ip(&format!("link show dev {name}")).remove(0)
    }

    /// The names of all links but `lo`.
    fn links(&self) -> Vec<String> {
        names(&self.ip("link")).into_iter().filter(|name| name != "lo").collect()
    }

    /// The names of a bridge's ports.
    fn ports(&self, bridge: &str) -> Vec<String> {
        names(&self.ip(&format!("link show master {bridge}")))
    }

    /// The link's addresses with their prefix lengths, without those that the kernel gives by itself.
    fn addresses(&self, link: &str) -> Vec<String> {
        let shown = self.ip(&format!("addr show dev {link} scope global"));
        let infos = shown.iter().filter_map(|link| link["addr_info"].as_array()).flatten();
        infos
            .filter(|info| info.get("local").is_some())
            .map(|info| format!("{}/{}", info["local"].as_str().unwrap_or_default(), info["prefixlen"]))
            .collect()
    }

    /// The value of a kernel parameter, such as `net/ipv4/ip_forward`.
    fn sysctl(&self, key: &str) -> String {
        self.look(&format!("cat /proc/sys/{key}")).trim().to_owned()
    }
}

fn names(links: &[Value]) -> Vec<String> {
    links.iter().filter_map(|link| link["ifname"].as_str()).map(str::to_owned).collect()
}
