//! One container's attachment: the plugins of the chain as a runtime calls them.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tests::config::{bridge, changed, host_local};
use tests::{Call, Failure, Node, Pod, Random, with_prev_result};

/// How long the calls take, in the order in which a runtime makes them.
#[derive(Clone, Copy)]
pub struct Durations {
    add: Duration,
    shape: Duration,
    unshape: Duration,
    del: Duration,
}

/// A container, its config, and what ADD answered.
pub struct Chain<'a> {
    pub node: &'a Node,
    pub pod: Pod,
    /// `CNI_NETNS`.
    pub netns: String,
    /// The config of `bridge`.
    pub main: Value,
    /// The config of `bandwidth`, if that is part of the chain.
    pub shaping: Option<Value>,
    result: Option<Value>,
}

impl Durations {
    /// How long the calls take when they wait for those of so many containers.
    pub fn shared(self, containers: u32) -> Self {
        let Self { add, shape, unshape, del } = self;
        let [add, shape, unshape, del] = [add, shape, unshape, del].map(|alone| alone * containers);
        Self { add, shape, unshape, del }
    }
}

impl<'a> Chain<'a> {
    /// Both families, masqueraded, limited in both directions.
    pub fn full(node: &'a Node, id: &str) -> Self {
        let pod = Pod::new(id);
        Self {
            node,
            netns: pod.netns(),
            pod,
            main: bridge(json!({
                "ipam": host_local(&["10.244.0.0/24", "fd00:244::/64"]), "isDefaultGateway": true, "ipMasq": true,
            })),
            shaping: Some(json!({
                "cniVersion": "1.0.0", "name": "pods", "type": "bandwidth",
                "ingressRate": 10_000_000, "ingressBurst": 1_000_000,
                "egressRate": 10_000_000, "egressBurst": 1_000_000,
            })),
            result: None,
        }
    }

    /// One that leaves out some of it.
    pub fn any(node: &'a Node, id: &str, random: &mut Random) -> Self {
        let mut chain = Self::full(node, id);
        let families: &[&[&str]] =
            &[&["10.244.0.0/24", "fd00:244::/64"], &["10.244.0.0/24"], &["fd00:244::/64"]];
        let subnets: &&[&str] = random.choose(families);
        chain.change(json!({
            "ipam": host_local(subnets),
            "isDefaultGateway": !random.one_in(4),
            "ipMasq": !random.one_in(4),
            "hairpinMode": random.one_in(2),
        }));
        let both = chain.shaping.take();
        let limits = [
            None,
            Some(json!({})),
            Some(json!({"ingressRate": null, "ingressBurst": null})),
            Some(json!({"egressRate": null, "egressBurst": null})),
            Some(json!({"unshapedSubnets": ["10.96.0.0/12", "fd00:96::/112"]})),
        ];
        chain.shaping = both.zip(random.choose(&limits).clone()).map(|(both, some)| changed(&both, some));
        chain
    }

    /// Puts other values into the config of `bridge`.
    pub fn change(&mut self, changes: Value) {
        self.main = changed(&self.main, changes);
    }

    /// How long each call takes when nothing else happens. Leaves nothing.
    pub fn durations(node: &'a Node) -> Durations {
        let mut chain = Self::full(node, "measured");
        let took = |chain: &mut Self, call: fn(&mut Self)| {
            let start = Instant::now();
            call(chain);
            start.elapsed()
        };
        let add = took(&mut chain, |chain| chain.add_main().unwrap());
        let shape = took(&mut chain, |chain| chain.add_shaping().unwrap());
        // That takes the pair along.
        let unshape = took(&mut chain, |chain| chain.del(true));
        chain.shaping = None;
        chain.add_main().unwrap();
        let del = took(&mut chain, |chain| chain.del(true));
        Durations { add, shape, unshape, del }
    }

    fn call(&self, plugin: &str) -> Call {
        self.node.call(plugin, &self.pod).with("CNI_NETNS", &self.netns)
    }

    /// With ADD's result, if there is one.
    fn given(&self, config: &Value) -> Value {
        self.result.as_ref().map_or_else(|| config.clone(), |result| with_prev_result(config, result))
    }

    fn add_main(&mut self) -> Result<(), Failure> {
        self.result = Some(self.call("bridge").verb("ADD", &self.main)?);
        Ok(())
    }

    fn add_shaping(&mut self) -> Result<(), Failure> {
        if let Some(shaping) = &self.shaping {
            self.result = Some(self.call("bandwidth").verb("ADD", &self.given(shaping))?);
        }
        Ok(())
    }

    /// ADD of the whole chain.
    pub fn add(&mut self) -> Result<(), Failure> {
        self.add_main()?;
        self.add_shaping()
    }

    /// ADD of the main plugin alone, whose result is forgotten.
    pub fn add_again(&self) -> Result<Value, Failure> {
        self.call("bridge").verb("ADD", &self.main)
    }

    /// CHECK of the whole chain, which must succeed.
    pub fn check(&self) {
        self.call("bridge").verb("CHECK", &self.given(&self.main)).unwrap();
        if let Some(shaping) = &self.shaping {
            self.call("bandwidth").verb("CHECK", &self.given(shaping)).unwrap();
        }
    }

    /// DEL of the whole chain, which must succeed, as a runtime does that remembers ADD's result, or not.
    pub fn del(&mut self, remembers: bool) {
        if !remembers {
            self.result = None;
        }
        if let Some(shaping) = &self.shaping {
            self.call("bandwidth").del(&self.given(shaping));
        }
        self.call("bridge").del(&self.given(&self.main));
    }

    /// ADD of the whole chain, one of whose plugins is killed at any moment; tells whether that came in time.
    pub fn kill_add(&mut self, durations: &Durations, random: &mut Random) -> bool {
        if self.shaping.is_some() && random.one_in(2) && self.add_main().is_ok() {
            let shaping = self.shaping.as_ref().map(|shaping| self.given(shaping)).unwrap_or_default();
            self.call("bandwidth").kill_after("ADD", &shaping, random.moment(durations.shape))
        } else {
            self.call("bridge").kill_after("ADD", &self.main, random.moment(durations.add))
        }
    }

    /// DEL of the whole chain, one of whose plugins is killed at any moment, after which the runtime stops; tells
    /// whether that came in time.
    pub fn kill_del(&mut self, durations: &Durations, random: &mut Random) -> bool {
        let shaping = self.shaping.as_ref().map(|shaping| self.given(shaping));
        match shaping {
            Some(shaping) if random.one_in(2) => {
                self.call("bandwidth").kill_after("DEL", &shaping, random.moment(durations.unshape))
            }
            shaping => {
                shaping.iter().for_each(|shaping| self.call("bandwidth").del(shaping));
                let main = self.given(&self.main);
                self.call("bridge").kill_after("DEL", &main, random.moment(durations.del))
            }
        }
    }

    /// The name of the host's end, from ADD's result.
    pub fn host_end(&self) -> String {
        let result = self.result.as_ref().expect("ADD answered");
        result["interfaces"][1]["name"].as_str().expect("an interface has a name").to_owned()
    }
}
