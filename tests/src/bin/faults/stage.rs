//! A node with a network in use: a pod to be disturbed, and one that nothing may happen to.

use std::collections::BTreeSet;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Output;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tests::config::changed;
use tests::{Call, Failure, Look, Node, Pod, Snapshot, with_prev_result};

use crate::row::{Plugin, Row, Variant, Verb};
use crate::trace::{Fault, Kind, Trace};

const STRACE: &str = "/mnt/strace";
/// How long `host-local` waits for its lock; also said in the error when that is over.
const LOCK_TIMEOUT: &str = "lockTimeoutSeconds";
const NETWORK: &str = "/var/lib/cni/networks/pods";
/// A call that takes longer hangs, beside whatever else the machine does.
const PATIENCE: &str = "60";
/// Within this time the kernel finishes the work that it does by itself after a call.
const SETTLING: Duration = Duration::from_secs(1);

/// The state of the node and of both pods.
#[derive(Clone, Default)]
pub struct State {
    node: Snapshot,
    pod: Snapshot,
    bystander: Snapshot,
}

impl State {
    /// The differences from the state `before`; for the first ADD of a node, the network's own objects do not count.
    pub fn left(&self, before: &Self, variant: Variant) -> Vec<String> {
        let node = match variant {
            Variant::First => self.node.clone().without("cni0").added_to(&before.node),
            _ => self.node.differences(&before.node),
        };
        let pod = self.pod.differences(&before.pod).into_iter().map(|fact| format!("pod: {fact}"));
        let harm = self.bystander.differences(&before.bystander);
        node.into_iter().chain(pod).chain(harm.into_iter().map(|fact| format!("BYSTANDER: {fact}"))).collect()
    }
}

/// How a disturbed call ended.
pub struct Ended {
    /// Whether the fault happened: the calls before it may have become fewer.
    pub disturbed: bool,
    pub killed: bool,
    pub hung: bool,
    /// ADD's result, or what the plugin printed when it failed.
    pub answer: Result<Value, String>,
}

/// See the module.
pub struct Stage {
    row: Row,
    node: Node,
    pod: Pod,
    bystander: Option<Pod>,
    /// The result of the pod's ADD, as a runtime keeps it.
    result: Option<Value>,
    /// Without the pod.
    pub rest: State,
}

impl Stage {
    /// A new node for the calling thread.
    pub fn new(row: Row) -> Self {
        let mut stage = Self {
            row,
            node: Node::new(),
            pod: Pod::new("disturbed"),
            bystander: (row.variant != Variant::First).then(|| Pod::new("bystander")),
            result: None,
            rest: State::default(),
        };
        if let Some(bystander) = &stage.bystander {
            let result = stage.call(row.main(), bystander).add(&row.config(row.main()));
            let chained = with_prev_result(&row.bystanders(), &result);
            stage.call(row.chained(), bystander).add(&chained);
            // From here on, the network was used by more than one.
            stage.attach(true).expect("nothing disturbs it");
            stage.detach().expect("nothing disturbs it");
        }
        tests::eventually("the kernel has probed all addresses, and the bridge has its own", || {
            stage.node.look("ip -6 addr show tentative").is_empty()
                && (stage.bystander.is_none()
                    || row.main() != Plugin::Bridge
                    || !stage.node.look("ip -6 addr show dev cni0 scope link").is_empty())
        });
        stage.rest = stage.state();
        stage
    }

    /// The state of the node's network when its only pod is gone.
    pub fn used(row: Row) -> State {
        let mut stage = Self::new(row);
        stage.attach(true).expect("nothing disturbs it");
        stage.detach().expect("nothing disturbs it");
        stage.state()
    }

    fn call(&self, plugin: Plugin, pod: &Pod) -> Call {
        self.node.call(plugin.name(), pod)
    }

    fn given(&self, plugin: Plugin) -> Value {
        let config = self.row.config(plugin);
        self.result.as_ref().map_or_else(|| config.clone(), |result| with_prev_result(&config, result))
    }

    /// ADD of the whole chain, or of its main plugin.
    pub fn attach(&mut self, whole: bool) -> Result<(), Failure> {
        self.result = None;
        let main = self.row.main();
        self.result = Some(self.call(main, &self.pod).verb("ADD", &self.given(main))?);
        if whole {
            let chained = self.row.chained();
            self.result = Some(self.call(chained, &self.pod).verb("ADD", &self.given(chained))?);
        }
        Ok(())
    }

    /// DEL of the chain, as a runtime does: each plugin, whatever became of the one before.
    pub fn detach(&mut self) -> Result<(), String> {
        let del = |plugin| {
            let answer = self.call(plugin, &self.pod).verb("DEL", &self.given(plugin));
            answer.map(drop).map_err(|failure| format!("{} DEL: {}", plugin.name(), failure.message))
        };
        let (chained, main) = (del(self.row.chained()), del(self.row.main()));
        chained.and(main)
    }

    /// The runtime has no result of a failed ADD.
    pub fn forget(&mut self) {
        self.result = None;
    }

    fn gc_call(&self, plugin: Plugin) -> (Call, Value) {
        let call = ["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME"]
            .into_iter()
            .fold(self.call(plugin, &self.pod), |call, name| call.with(name, ""));
        // A runtime knows of a pod whose first plugin has made its interface.
        let is_known = self.row.variant == Variant::Beside && self.row.plugin != self.row.main();
        let pods = self.bystander.iter().chain(is_known.then_some(&self.pod));
        let valid = pods.map(|pod| json!({"containerID": pod.id(), "ifname": "eth0"}));
        let valid = json!({"cni.dev/valid-attachments": valid.collect::<Vec<_>>()});
        let mut config = changed(&self.row.config(plugin), valid);
        if self.row.variant == Variant::Beside && plugin == self.row.main() {
            config["ipam"][LOCK_TIMEOUT] = json!(0);
        }
        (call, config)
    }

    /// The config of a plugin that does not wait for the lock.
    fn impatient(&self, plugin: Plugin) -> Value {
        let mut config = self.row.config(plugin);
        config["ipam"][LOCK_TIMEOUT] = json!(0);
        config
    }

    /// Whether the pod has no interface but its own `lo`.
    pub fn is_detached(&self) -> bool {
        self.pod.links().is_empty()
    }

    /// GC of the chain, for which only the bystander is attached.
    pub fn collect(&self) -> Result<(), String> {
        let gc = |plugin: Plugin| {
            let (call, config) = self.gc_call(plugin);
            let answer = call.verb("GC", &config);
            answer.map(drop).map_err(|failure| format!("{} GC: {}", plugin.name(), failure.message))
        };
        let (main, chained) = (gc(self.row.main()), gc(self.row.chained()));
        main.and(chained)
    }

    /// CHECK of what is attached, with this result.
    pub fn check(&self, result: &Value) -> Result<(), String> {
        let (main, last) = (self.row.main(), self.row.plugin);
        for plugin in [main].into_iter().chain((last != main).then_some(last)) {
            let config = with_prev_result(&self.row.config(plugin), result);
            let answer = self.call(plugin, &self.pod).verb("CHECK", &config);
            answer.map_err(|failure| format!("{} CHECK: {}", plugin.name(), failure.message))?;
        }
        Ok(())
    }

    /// Calls the row's verb under `strace` with these options.
    fn traced(&self, options: &[String]) -> Output {
        let plugin = self.row.plugin;
        let (call, config) = match self.row.verb {
            Verb::Gc => self.gc_call(plugin),
            Verb::Add | Verb::Del => (self.call(plugin, &self.pod), self.given(plugin)),
        };
        let words = ["timeout", "--foreground", "-s", "TERM", "-k", "2", PATIENCE, "strace", "-o", STRACE];
        let words: Vec<_> = words.into_iter().map(str::to_owned).chain(options.iter().cloned()).collect();
        call.executed_by(&words).raw(self.row.verb.name(), &config.to_string())
    }

    /// The system calls of the verb when nothing disturbs it.
    pub fn trace(&mut self) -> Trace {
        self.prepare();
        let output = self.traced(&["-v".to_owned(), "-s16".to_owned()]);
        assert!(output.status.success(), "{}: {output:?}", self.row);
        let seen = std::fs::read_to_string(STRACE).expect("strace wrote its output");
        Trace::read(&seen, self.row)
    }

    /// Attaches what the verb is for.
    pub fn prepare(&mut self) {
        self.result = None;
        let (attached, whole) = self.row.needs();
        if attached {
            self.attach(whole).unwrap_or_else(|failure| panic!("{}: {failure:?}", self.row));
        }
    }

    /// Calls the verb and has the fault happen.
    pub fn disturb(&mut self, fault: &Fault) -> Ended {
        let start = Instant::now();
        let injection = fault.injection();
        let options = ["-e", &format!("trace={}", fault.call), "-e", &injection].map(str::to_owned);
        let output = self.traced(&options);
        let seen = std::fs::read_to_string(STRACE).unwrap_or_default();
        let hung = start.elapsed() >= Duration::from_secs(PATIENCE.parse().unwrap_or_default());
        let killed = seen.contains("+++ killed by") || output.status.signal().is_some();
        let disturbed = match fault.kind {
            Kind::Killed => seen.contains("+++ killed by SIGKILL"),
            Kind::Refused(_) | Kind::Paused => seen.contains("(INJECTED)"),
        };
        let printed = String::from_utf8_lossy(&output.stdout);
        let answer = if output.status.success() {
            let result = serde_json::from_str(&printed).unwrap_or_default();
            if self.row.verb == Verb::Add {
                self.result = Some(result);
            }
            Ok(self.result.clone().unwrap_or_default())
        } else {
            let error: Value = serde_json::from_str(&printed).unwrap_or_default();
            let text = |key: &str| error[key].as_str().unwrap_or_default().to_owned();
            Err(format!(
                "{} {} {}",
                text("msg"),
                text("details"),
                String::from_utf8_lossy(&output.stderr).trim()
            ))
        };
        Ended { disturbed, killed, hung, answer }
    }

    /// Calls ADD or GC, has the other run while it stands still after the fault's system call, and lets it go on.
    pub fn pause(&mut self, fault: &Fault) -> Ended {
        let plugin = self.row.plugin;
        let injection = fault.injection();
        let words = ["strace", "-f", "-o", STRACE, "-e", &format!("trace={}", fault.call), "-e", &injection];
        let is_add = self.row.verb == Verb::Add;
        let (call, config) =
            if is_add { (self.call(plugin, &self.pod), self.given(plugin)) } else { self.gc_call(plugin) };
        // Of the call before it.
        std::fs::remove_file(STRACE).ok();
        let running = call.executed_by(&words.map(str::to_owned)).start(self.row.verb.name(), &config);
        let mut paused = None;
        tests::eventually("the plugin stands still or has ended", || {
            let seen = std::fs::read_to_string(STRACE).unwrap_or_default();
            let stopped = seen.lines().find(|line| line.contains("--- stopped by SIGSTOP"));
            paused = stopped.and_then(|line| line.split(' ').next()).map(str::to_owned);
            paused.is_some() || seen.contains("+++")
        });
        let (mut added, mut collected) = (Ok(Value::Null), Ok(()));
        if is_add {
            collected = self.collect();
        } else {
            let call = self.call(plugin, &self.pod);
            added = call.verb("ADD", &self.impatient(plugin)).map_err(|failure| failure.message);
        }
        if let Some(process) = &paused {
            self.node.look(&format!("kill -CONT {process}"));
        }
        let ended = running.answer().map_err(|failure| failure.message);
        if is_add {
            added = ended;
        } else {
            collected = ended.map(drop);
        }
        // The stopped plugin may hold the lock.
        let is_serious = |error: &String| !error.contains(LOCK_TIMEOUT);
        self.result = added.as_ref().ok().filter(|result| !result.is_null()).cloned();
        let answer = match (added, collected) {
            (Ok(_), Err(error)) if is_serious(&error) => Err(error),
            (Err(error), _) if !is_add && !is_serious(&error) => Ok(Value::Null),
            (added, _) => added,
        };
        Ended { disturbed: paused.is_some(), killed: false, hung: false, answer }
    }

    /// The state as it is now.
    pub fn state(&self) -> State {
        State {
            node: Snapshot::of_node(),
            pod: Snapshot::of_pod(&self.pod),
            bystander: self.bystander.as_ref().map(Snapshot::of_pod).unwrap_or_default(),
        }
    }

    /// The state, and what is left in it, when the kernel has settled.
    pub fn left(&self, before: &State) -> (State, Vec<String>) {
        let deadline = Instant::now() + SETTLING;
        loop {
            let state = self.state();
            let left = state.left(before, self.row.variant);
            if left.is_empty() || Instant::now() > deadline {
                return (state, left);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The pod's addresses that are not reserved although the pod has them.
    pub fn unreserved(&self) -> Vec<String> {
        let links: BTreeSet<String> = self.pod.links().into_iter().collect();
        let addresses = links.iter().flat_map(|link| self.pod.addresses(link));
        addresses
            .filter_map(|address| address.split('/').next().map(str::to_owned))
            .filter(|address| !Path::new(NETWORK).join(address).exists())
            .collect()
    }

    /// Returns whether the bystander's packets get through.
    pub fn bystander_lives(&self) -> bool {
        let Some(bystander) = &self.bystander else { return true };
        let deadline = Instant::now() + Duration::from_secs(10);
        while !bystander.reaches("10.244.0.1", 56) {
            if Instant::now() > deadline {
                return false;
            }
        }
        true
    }
}
