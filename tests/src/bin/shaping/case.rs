//! The parameters of a run.

use std::fmt;
use std::str::FromStr;

use serde_json::{Value, json};

/// Bits per second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate(pub u64);

const SUFFIXES: [(&str, u64); 3] = [("G", 1_000_000_000), ("M", 1_000_000), ("k", 1_000)];

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (digits, factor) = SUFFIXES
            .iter()
            .find_map(|(suffix, factor)| Some((text.strip_suffix(suffix)?, *factor)))
            .unwrap_or((text, 1));
        let rate = digits.parse::<u64>().ok().and_then(|number| number.checked_mul(factor));
        rate.filter(|rate| *rate > 0)
            .map(Self)
            .ok_or_else(|| format!("{text} is no rate such as 64k, 10M or 1G"))
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scaled = SUFFIXES.iter().find(|(_, factor)| self.0 >= *factor);
        match scaled {
            Some((suffix, factor)) if self.0.is_multiple_of(*factor) => {
                write!(formatter, "{} {suffix}bit/s", self.0 / factor)
            }
            _ => write!(formatter, "{} bit/s", self.0),
        }
    }
}

/// Which way the load goes. The pod is limited both ways in all cases, as by two annotations with one value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// To the pod, `ingress`.
    In,
    /// From the pod, `egress`.
    Out,
}

impl Direction {
    pub const BOTH: [Self; 2] = [Self::In, Self::Out];
}

impl fmt::Display for Direction {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::In => "in",
            Self::Out => "out",
        })
    }
}

/// The runtime, which has its own value for a burst that was not chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Runtime {
    Containerd,
    Crio,
}

impl Runtime {
    /// `runtimeConfig.bandwidth` as this runtime writes it.
    pub fn bandwidth(self, rate: Rate) -> Value {
        let Rate(rate) = rate;
        match self {
            Self::Containerd => json!({
                "IngressRate": rate, "IngressBurst": 4_294_967_295_u64,
                "EgressRate": rate, "EgressBurst": 4_294_967_295_u64,
            }),
            Self::Crio => json!({
                "ingressRate": rate, "ingressBurst": 34_359_738_359_u64,
                "egressRate": rate, "egressBurst": 34_359_738_359_u64,
            }),
        }
    }
}

impl fmt::Display for Runtime {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Containerd => "containerd",
            Self::Crio => "CRI-O",
        })
    }
}

/// The traffic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Load {
    /// By this congestion control, with so many connections.
    Tcp { control: &'static str, flows: u32 },
    /// At twice the limit.
    Udp,
}

impl Load {
    pub const CUBIC: Self = Self::Tcp { control: "cubic", flows: 1 };

    /// The part of a full Ethernet frame of 1,514 bytes that is payload: what can be received of a rate.
    pub fn payload(self) -> f64 {
        match self {
            // 20 bytes of IP, 20 of TCP, 12 of its timestamps.
            Self::Tcp { .. } => 1448.0 / 1514.0,
            Self::Udp => 1472.0 / 1514.0,
        }
    }
}

impl fmt::Display for Load {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { control, flows } => {
                write!(formatter, "{control}, {flows} flow{}", if *flows == 1 { "" } else { "s" })
            }
            Self::Udp => formatter.write_str("UDP at twice the rate"),
        }
    }
}

/// The peer of the load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// The node itself: the sender's socket notices how much waits in the queue.
    Node,
    /// One behind the node, which routes: the sender notices nothing but what is lost, as between machines.
    Routed,
}

/// The implementation of `bandwidth`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plugin {
    Weir,
    Reference,
}

/// One run.
#[derive(Debug, Clone, Copy)]
pub struct Case {
    pub rate: Rate,
    pub direction: Direction,
    pub runtime: Runtime,
    pub load: Load,
    pub peer: Peer,
    pub plugin: Plugin,
}

impl Case {
    /// One cubic flow between the node and a pod that weir limited, as annotations under containerd do.
    pub fn new(rate: Rate, direction: Direction) -> Self {
        Self {
            rate,
            direction,
            runtime: Runtime::Containerd,
            load: Load::CUBIC,
            peer: Peer::Node,
            plugin: Plugin::Weir,
        }
    }
}
