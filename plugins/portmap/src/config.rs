//! The keys of a `portmap` config.

use std::net::IpAddr;

use attachment::Result;
use cni::{AddResult, Failure, Request};
use ipnetwork::IpNetwork;
use linux::Family;
use nix::libc;
use serde::Deserialize;

use crate::conditions::Conditions;
use crate::forward::{Forward, Sources};
use crate::table::Maps;

const PORT_MAPPINGS: &str = "runtimeConfig.portMappings";

#[derive(Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Keys {
    /// Whether packets get the node's address where answers would not come back otherwise.
    snat: Option<bool>,
    /// Whether all of them do.
    masq_all: bool,
    /// Which bit of a packet's mark the reference uses for itself. Weir needs none.
    mark_masq_bit: Option<i64>,
    /// The chain that the reference has set its mark. Weir needs none.
    external_set_mark_chain: Option<String>,
    #[serde(rename = "conditionsV4")]
    conditions_v4: Vec<String>,
    #[serde(rename = "conditionsV6")]
    conditions_v6: Vec<String>,
    /// `iptables` or `nftables`: the reference's choice. Weir always uses nf_tables.
    backend: Option<String>,
    /// Whether 127.0.0.1 has the ports, too.
    localhost: bool,
    runtime_config: RuntimeConfig,
}

impl Default for Keys {
    fn default() -> Self {
        Self {
            snat: None,
            masq_all: false,
            mark_masq_bit: None,
            external_set_mark_chain: None,
            conditions_v4: Vec::new(),
            conditions_v6: Vec::new(),
            backend: None,
            localhost: true,
            runtime_config: RuntimeConfig::default(),
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct RuntimeConfig {
    port_mappings: Vec<PortMapping>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct PortMapping {
    host_port: i64,
    container_port: i64,
    protocol: String,
    #[serde(rename = "hostIP")]
    host_ip: String,
}

/// What a config asks for.
pub(crate) struct Settings {
    mappings: Vec<Mapping>,
    conditions: [Conditions; 2],
    sources: Sources,
}

/// A mapping as the runtime gives it.
struct Mapping {
    /// Its place in the list.
    index: usize,
    host: Option<IpAddr>,
    protocol: u8,
    host_port: u16,
    container_port: u16,
}

impl Settings {
    /// Reads the config.
    ///
    /// # Errors
    /// Code 7 with the first key that cannot be what it says.
    pub fn of(request: &Request) -> Result<Self> {
        let keys: Keys = request.config()?;
        if let Some(bit) = keys.mark_masq_bit {
            if keys.external_set_mark_chain.is_some() {
                let reason = "either says how packets are marked";
                return Err(Failure::exclusive_keys("externalSetMarkChain", "markMasqBit", reason).into());
            }
            if !(0..=31).contains(&bit) {
                return Err(Failure::invalid_value("markMasqBit", bit, "between 0 and 31").into());
            }
        }
        if let Some(backend) =
            keys.backend.filter(|backend| !["", "iptables", "nftables"].contains(&&**backend))
        {
            let allowed = "iptables or nftables; weir uses nf_tables with either";
            return Err(Failure::invalid_value("backend", format_args!("{backend:?}"), allowed).into());
        }
        let snat = keys.snat.unwrap_or(true);
        let conditions = [
            Conditions::read("conditionsV4", Family::V4, &keys.conditions_v4)?,
            Conditions::read("conditionsV6", Family::V6, &keys.conditions_v6)?,
        ];
        let mappings = keys.runtime_config.port_mappings.iter().enumerate();
        Ok(Self {
            mappings: mappings.map(|(index, mapping)| mapping.read(index)).collect::<Result<_>>()?,
            conditions,
            sources: Sources { subnet: snat, all: snat && keys.masq_all, loopback: snat && keys.localhost },
        })
    }

    /// Returns whether nothing is to be forwarded.
    pub fn is_empty(&self) -> bool {
        self.mappings.is_empty()
    }

    fn conditions(&self, family: Family) -> &Conditions {
        &self.conditions[usize::from(family == Family::V6)]
    }

    /// Returns the maps of mappings with conditions, of each family that has some.
    pub fn conditional(&self) -> impl Iterator<Item = (Maps, &Conditions)> {
        let maps =
            |family| (Maps { family, conditions: self.conditions(family).id() }, self.conditions(family));
        [Family::V4, Family::V6].map(maps).into_iter().filter(|(maps, _)| maps.conditions != 0)
    }

    /// Returns the ports to forward to the pod of `previous`, to its first address of each family.
    ///
    /// # Errors
    /// Code 7 when the pod has no address of a mapping's family, and when two mappings contradict each other.
    pub fn forwards(&self, request: &Request, previous: &AddResult) -> Result<Vec<Forward>> {
        let pods = [Family::V4, Family::V6].map(|family| pod_address(request, previous, family));
        let mut forwards: Vec<Forward> = Vec::new();
        for mapping in &self.mappings {
            if mapping.host.is_some_and(|host| host.is_ipv6() && host.is_loopback()) {
                cni::note(format_args!(
                    "portmap: {PORT_MAPPINGS}[{}]: the kernel forwards nothing from ::1, so this mapping has no effect",
                    mapping.index
                ));
                continue;
            }
            let wanted = pods.iter().flatten().filter(|pod| mapping.is_of_family_of(pod.ip()));
            let count = forwards.len();
            for pod in wanted {
                let forward = self.forward(mapping, *pod)?;
                match forwards.iter().find(|known| known.is_same_port(&forward)) {
                    None => forwards.push(forward),
                    Some(known) if *known == forward => {}
                    Some(known) => {
                        let problem =
                            format_args!("{} leads to port {} already", known.name(), known.container_port);
                        return Err(mapping.invalid("hostPort", problem).into());
                    }
                }
            }
            let is_missing = forwards.len() == count
                && !pods.iter().flatten().any(|pod| mapping.is_of_family_of(pod.ip()));
            match mapping.host.filter(|host| !host.is_unspecified() || pods == [None, None]) {
                Some(host) if is_missing => {
                    let problem = format_args!(
                        "prevResult has no address of {host}'s family for {}",
                        request.interface()
                    );
                    return Err(mapping.invalid("hostIP", problem).into());
                }
                None if pods == [None, None] => {
                    let problem = format_args!(
                        "has no address for {}, which ports could be forwarded to",
                        request.interface()
                    );
                    return Err(Failure::invalid_key("prevResult.ips", problem).into());
                }
                _ => {}
            }
        }
        Ok(forwards)
    }

    fn forward(&self, mapping: &Mapping, pod: IpNetwork) -> Result<Forward> {
        let family = Family::of_address(pod.ip());
        let host = mapping.host.filter(|host| !host.is_unspecified());
        let is_of_loopback = host.is_none_or(|host| host.is_loopback()) && family == Family::V4;
        if host.is_some_and(|host| host.is_loopback()) && self.sources.subnet && !self.sources.loopback {
            return Err(mapping
                .invalid("hostIP", "localhost is false, so 127.0.0.0/8 has no forwarded ports")
                .into());
        }
        Ok(Forward {
            host,
            protocol: mapping.protocol,
            host_port: mapping.host_port,
            pod,
            container_port: mapping.container_port,
            sources: Sources { loopback: self.sources.loopback && is_of_loopback, ..self.sources },
            conditions: self.conditions(family).id(),
        })
    }
}

impl PortMapping {
    fn read(&self, index: usize) -> Result<Mapping> {
        let key = |key: &str| format!("{PORT_MAPPINGS}[{index}].{key}");
        let port = |name: &str, port: i64| {
            let valid = u16::try_from(port).ok().filter(|port| *port != 0);
            valid.ok_or_else(|| Failure::invalid_value(key(name), port, "between 1 and 65535"))
        };
        let protocol = match self.protocol.to_ascii_lowercase().as_str() {
            "" | "tcp" => libc::IPPROTO_TCP,
            "udp" => libc::IPPROTO_UDP,
            "sctp" => libc::IPPROTO_SCTP,
            _ => {
                let value = format_args!("{:?}", self.protocol);
                return Err(Failure::invalid_value(key("protocol"), value, "tcp, udp or sctp").into());
            }
        };
        let host = match self.host_ip.as_str() {
            "" => None,
            text => Some(text.parse().map_err(|_| {
                Failure::invalid_value(key("hostIP"), format_args!("{text:?}"), "an IPv4 or IPv6 address")
            })?),
        };
        let (host_port, container_port) =
            (port("hostPort", self.host_port)?, port("containerPort", self.container_port)?);
        let protocol = u8::try_from(protocol).unwrap_or_default();
        Ok(Mapping { index, host, protocol, host_port, container_port })
    }
}

impl Mapping {
    fn is_of_family_of(&self, pod: IpAddr) -> bool {
        self.host.is_none_or(|host| host.is_ipv4() == pod.is_ipv4())
    }

    fn invalid(&self, key: &str, problem: impl std::fmt::Display) -> Failure {
        let value = match key {
            "hostIP" => self.host.map(|host| host.to_string()).unwrap_or_default(),
            _ => self.host_port.to_string(),
        };
        Failure::invalid_key(
            format_args!("{PORT_MAPPINGS}[{}].{key}", self.index),
            format_args!("{value}: {problem}"),
        )
    }
}

/// Returns the first address of the pod's interface of this family.
fn pod_address(request: &Request, previous: &AddResult, family: Family) -> Option<IpNetwork> {
    let is_the_pods = |index: usize| {
        let made = previous.interfaces.get(index);
        made.is_none_or(|made| made.name == request.interface() && !made.sandbox.is_empty())
    };
    let mut ips = previous.ips.iter().filter(|ip| ip.interface.is_none_or(is_the_pods));
    ips.find(|ip| Family::of_address(ip.address.ip()) == family).map(|ip| ip.address)
}
