//! The disturbed call: a verb of a plugin, and its config.

use serde_json::{Value, json};
use tests::config::{bridge, changed, host_local, ptp};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plugin {
    Bridge,
    Ptp,
    Bandwidth,
    Firewall,
    Tuning,
    Portmap,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    Add,
    Del,
    Gc,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Variant {
    /// Both families, masquerading and spoof check; limits in both directions.
    Full,
    /// The first ADD of a node, which makes what is the network's.
    First,
    /// Limits for some subnets, which need an ifb in each direction.
    Subnets,
    /// As `Full`, an ADD beside a GC or a GC beside an ADD. GC does not know of an attachment while its first plugin is at
    /// work.
    Beside,
}

/// A line of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    pub plugin: Plugin,
    pub verb: Verb,
    pub variant: Variant,
}

const fn row(plugin: Plugin, verb: Verb, variant: Variant) -> Row {
    Row { plugin, verb, variant }
}

pub const ROWS: [Row; 26] = [
    row(Plugin::Bridge, Verb::Add, Variant::Full),
    row(Plugin::Bridge, Verb::Add, Variant::First),
    row(Plugin::Bridge, Verb::Add, Variant::Beside),
    row(Plugin::Bridge, Verb::Del, Variant::Full),
    row(Plugin::Bridge, Verb::Gc, Variant::Full),
    row(Plugin::Bridge, Verb::Gc, Variant::Beside),
    row(Plugin::Ptp, Verb::Add, Variant::Full),
    row(Plugin::Ptp, Verb::Add, Variant::Beside),
    row(Plugin::Ptp, Verb::Del, Variant::Full),
    row(Plugin::Ptp, Verb::Gc, Variant::Full),
    row(Plugin::Bandwidth, Verb::Add, Variant::Full),
    row(Plugin::Bandwidth, Verb::Add, Variant::Subnets),
    row(Plugin::Bandwidth, Verb::Add, Variant::Beside),
    row(Plugin::Bandwidth, Verb::Del, Variant::Full),
    row(Plugin::Bandwidth, Verb::Del, Variant::Subnets),
    row(Plugin::Bandwidth, Verb::Gc, Variant::Full),
    row(Plugin::Bandwidth, Verb::Gc, Variant::Subnets),
    row(Plugin::Firewall, Verb::Add, Variant::Full),
    row(Plugin::Firewall, Verb::Del, Variant::Full),
    row(Plugin::Firewall, Verb::Gc, Variant::Full),
    row(Plugin::Tuning, Verb::Add, Variant::Full),
    row(Plugin::Tuning, Verb::Del, Variant::Full),
    row(Plugin::Tuning, Verb::Gc, Variant::Full),
    row(Plugin::Portmap, Verb::Add, Variant::Full),
    row(Plugin::Portmap, Verb::Del, Variant::Full),
    row(Plugin::Portmap, Verb::Gc, Variant::Full),
];

impl Plugin {
    pub fn name(self) -> &'static str {
        match self {
            Self::Bridge => "bridge",
            Self::Ptp => "ptp",
            Self::Bandwidth => "bandwidth",
            Self::Firewall => "firewall",
            Self::Tuning => "tuning",
            Self::Portmap => "portmap",
        }
    }
}

impl Verb {
    /// `CNI_COMMAND`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Add => "ADD",
            Self::Del => "DEL",
            Self::Gc => "GC",
        }
    }
}

impl std::fmt::Display for Row {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.verb.name(), self.plugin.name())?;
        match self.variant {
            Variant::Full => Ok(()),
            Variant::First => write!(f, ", first of the node"),
            Variant::Subnets => write!(f, ", subnets"),
            Variant::Beside if self.verb == Verb::Gc => write!(f, " beside ADD"),
            Variant::Beside => write!(f, " beside GC"),
        }
    }
}

impl Row {
    /// The plugin that makes the interface.
    pub fn main(&self) -> Plugin {
        if self.plugin == Plugin::Ptp { Plugin::Ptp } else { Plugin::Bridge }
    }

    /// The config of a plugin of the chain.
    pub fn config(&self, plugin: Plugin) -> Value {
        match plugin {
            Plugin::Bridge => bridge(json!({
                "cniVersion": "1.1.0", "isDefaultGateway": true, "ipMasq": true, "macspoofchk": true,
                "ipam": host_local(&["10.244.0.0/24", "fd00:244::/64"]),
            })),
            Plugin::Ptp => ptp(json!({"cniVersion": "1.1.0", "ipMasq": true})),
            Plugin::Firewall => json!({
                "cniVersion": "1.1.0", "name": "pods", "type": "firewall", "ingressPolicy": "isolated",
            }),
            Plugin::Tuning => json!({
                "cniVersion": "1.1.0", "name": "pods", "type": "tuning", "dataDir": "/var/lib/cni/tuning",
                "mtu": 1400, "promisc": true, "allmulti": true, "txQLen": 500,
                "sysctl": {"net.ipv4.conf.IFNAME.rp_filter": "2"},
            }),
            Plugin::Portmap => json!({
                "cniVersion": "1.1.0", "name": "pods", "type": "portmap",
                "runtimeConfig": {"portMappings": [
                    {"hostPort": 8080, "containerPort": 80, "protocol": "tcp"},
                    {"hostPort": 8053, "containerPort": 53, "protocol": "udp"},
                ]},
            }),
            Plugin::Bandwidth => {
                let limits = json!({
                    "cniVersion": "1.1.0", "name": "pods", "type": "bandwidth",
                    "ingressRate": 10_000_000, "ingressBurst": 1_000_000,
                    "egressRate": 10_000_000, "egressBurst": 1_000_000,
                });
                match self.variant {
                    Variant::Subnets => {
                        changed(&limits, json!({"unshapedSubnets": ["10.96.0.0/12", "fd00:96::/112"]}))
                    }
                    _ => limits,
                }
            }
        }
    }

    /// The config of the plugin behind the main one for another pod, which cannot have the same ports.
    pub fn bystanders(&self) -> Value {
        let mut config = self.config(self.chained());
        for (port, mapping) in
            (9000..).zip(config["runtimeConfig"]["portMappings"].as_array_mut().into_iter().flatten())
        {
            mapping["hostPort"] = json!(port);
        }
        config
    }

    /// The plugin behind the main one.
    pub fn chained(&self) -> Plugin {
        match self.plugin {
            Plugin::Firewall | Plugin::Tuning | Plugin::Portmap => self.plugin,
            _ => Plugin::Bandwidth,
        }
    }

    /// Whether the chain is attached before the verb is called, and whether that is the whole chain.
    pub fn needs(&self) -> (bool, bool) {
        let is_add = self.verb == Verb::Add || self.variant == Variant::Beside;
        let is_main = self.plugin == self.main();
        (!(is_add && is_main), !is_add && !is_main)
    }
}
