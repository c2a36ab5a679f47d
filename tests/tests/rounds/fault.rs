//! The faults in a round.

use serde_json::json;
use tests::{Look, Pod, Random};

use crate::chain::{Chain, Durations};

/// The events of a container between its ADD and its last DEL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    Nothing,
    MissingNamespace,
    TakenInterface,
    TakenHostName,
    FullPool,
    BadConfig,
    RefusedRoute,
    BadLimit,
    RepeatedAdd,
    KilledAdd,
    KilledDel,
    KilledAddAndDel,
    NamespaceGone,
    DelTwice,
    OtherBridgeInConfig,
    RenamedBridge,
}

const ALL: [Fault; 16] = [
    Fault::Nothing,
    Fault::MissingNamespace,
    Fault::TakenInterface,
    Fault::TakenHostName,
    Fault::FullPool,
    Fault::BadConfig,
    Fault::RefusedRoute,
    Fault::BadLimit,
    Fault::RepeatedAdd,
    Fault::KilledAdd,
    Fault::KilledDel,
    Fault::KilledAddAndDel,
    Fault::NamespaceGone,
    Fault::DelTwice,
    Fault::OtherBridgeInConfig,
    Fault::RenamedBridge,
];

impl Fault {
    /// One that may happen while other containers come and go, or one that needs the node for itself.
    pub fn any(random: &mut Random, alone: bool) -> Self {
        let fault = *random.choose(&ALL);
        if alone || fault != Self::RenamedBridge { fault } else { Self::Nothing }
    }

    /// Attaches the container, lets the fault happen, and detaches it: nothing of it must remain. Tells whether a
    /// plugin was killed before it ended by itself.
    pub fn happen(self, mut chain: Chain<'_>, durations: &Durations, mut random: Random) -> bool {
        let random = &mut random;
        let remaining: &[&str] = if self == Self::TakenInterface { &["eth0"] } else { &[] };
        let killed = self.attach(&mut chain, durations, random);
        if random.one_in(4) {
            chain.netns.clear();
        }
        chain.del(!random.one_in(3));
        if self == Self::DelTwice {
            chain.del(random.one_in(2));
        }
        if self == Self::RenamedBridge {
            chain.node.look("ip link set cni9 name cni0");
        }
        assert_eq!(chain.pod.links(), remaining);
        killed
    }

    fn attach(self, chain: &mut Chain<'_>, durations: &Durations, random: &mut Random) -> bool {
        let fails = |chain: &mut Chain<'_>| assert!(chain.add().is_err(), "ADD succeeds");
        match self {
            Self::MissingNamespace => {
                chain.netns = "/run/netns/gone".to_owned();
                fails(chain);
            }
            Self::TakenInterface => {
                chain.pod.look("ip link add eth0 type ifb");
                fails(chain);
            }
            Self::FullPool => {
                chain.main["ipam"]["ranges"].as_array_mut().unwrap().push(pool_for_one());
                fails(chain);
            }
            Self::BadConfig => {
                let changes = [json!({"isGateway": 7}), json!({"mtu": 9}), json!({"bridge": "lo"})];
                chain.change(random.choose(&changes).clone());
                fails(chain);
            }
            Self::RefusedRoute => {
                chain.main["ipam"]["routes"] = json!([{"dst": "192.0.2.0/24", "gw": "10.99.0.1"}, {"dst": "fd00:9::/64", "gw": "fd00:8::1"}]);
                fails(chain);
            }
            Self::BadLimit => {
                chain.shaping = Chain::full(chain.node, "config").shaping;
                chain.shaping.as_mut().unwrap()["egressBurst"] = json!(null);
                fails(chain);
            }
            Self::KilledAdd => return chain.kill_add(durations, random),
            Self::KilledAddAndDel => {
                let killed = chain.kill_add(durations, random);
                return chain.kill_del(durations, random) || killed;
            }
            Self::KilledDel => {
                chain.add().unwrap();
                return chain.kill_del(durations, random);
            }
            Self::TakenHostName => {
                chain.add().unwrap();
                let name = chain.host_end();
                chain.del(true);
                chain.node.look(&format!("ip link add {name} type ifb"));
                chain.add().unwrap();
                assert_ne!(chain.host_end(), name);
                // The other link keeps the name until the container is gone.
                chain.del(random.one_in(2));
                chain.node.look(&format!("ip link delete {name}"));
            }
            _ => {
                chain.add().unwrap();
                chain.check();
                self.disturb(chain);
            }
        }
        false
    }

    /// The faults of an attached container.
    fn disturb(self, chain: &mut Chain<'_>) {
        match self {
            Self::RepeatedAdd => {
                chain.add_again().unwrap_err();
                chain.check();
            }
            Self::NamespaceGone => {
                // Another one: the path of the first may soon be another container's.
                chain.pod = Pod::new(chain.pod.id());
                chain.netns = "/run/netns/gone".to_owned();
            }
            Self::OtherBridgeInConfig => chain.change(json!({"bridge": "cni7", "ipMasq": false})),
            Self::RenamedBridge => drop(chain.node.look("ip link set cni0 name cni9")),
            _ => {}
        }
    }
}

/// A range set with one address, which is held.
pub fn pool_for_one() -> serde_json::Value {
    json!([{"subnet": "10.245.0.0/24", "rangeStart": "10.245.0.9", "rangeEnd": "10.245.0.9"}])
}
