//! Times the chain bridge + host-local + bandwidth, ours and the reference's, interleaved on one node.
//!
//! Prints Markdown tables. Each plugin is executed as libcni does; what is timed is from the start of the
//! first process to the end of the last.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tests::{Call, Node, Pod, REFERENCE, with_prev_result};

const ALONE: usize = 100;
const TOGETHER: usize = 100;
const AT_ONCE: usize = 16;

/// One of the two sets of executables, with a network of its own.
struct Contender<'a> {
    node: &'a Node,
    bin: PathBuf,
    name: &'static str,
    network: u8,
}

/// What a chain's calls are about: one pod's configs and calls.
struct Attachment {
    configs: [Value; 2],
    calls: [Call; 2],
    result: Value,
    /// How much of the last ADD was `bandwidth`'s.
    shaping: Duration,
}

impl Contender<'_> {
    fn attachment(&self, pod: &Pod, masquerade: bool) -> Attachment {
        let common = |plugin: Value| {
            let mut config = plugin;
            config["cniVersion"] = json!("1.0.0");
            config["name"] = json!(format!("{}{}", self.name, u8::from(masquerade)));
            config
        };
        let bridge = common(json!({
            "type": "bridge", "bridge": format!("{}{}", self.name, u8::from(masquerade)),
            "isDefaultGateway": true, "ipMasq": masquerade,
            "ipam": {"type": "host-local", "ranges": [[{"subnet": format!("10.{}.0.0/16", self.network + u8::from(masquerade))}]]},
        }));
        let bandwidth = common(json!({
            "type": "bandwidth", "ingressRate": 10_000_000, "ingressBurst": 1_000_000,
            "egressRate": 10_000_000, "egressBurst": 1_000_000,
        }));
        let call = |plugin: &str| {
            self.node
                .call_in(&self.bin, plugin, pod)
                .with("CNI_PATH", self.bin.display().to_string())
                .with("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        };
        Attachment {
            configs: [bridge, bandwidth],
            calls: [call("bridge"), call("bandwidth")],
            result: Value::Null,
            shaping: Duration::ZERO,
        }
    }
}

impl Attachment {
    fn add(&mut self) -> Duration {
        let start = Instant::now();
        let first = self.calls[0].add(&self.configs[0]);
        let attached = start.elapsed();
        self.result = self.calls[1].add(&with_prev_result(&self.configs[1], &first));
        self.shaping = start.elapsed() - attached;
        start.elapsed()
    }

    fn check(&self) -> Duration {
        let start = Instant::now();
        for (call, config) in self.calls.iter().zip(&self.configs) {
            call.check(config, &self.result);
        }
        start.elapsed()
    }

    fn del(&self) -> Duration {
        let start = Instant::now();
        for (call, config) in self.calls.iter().zip(&self.configs).rev() {
            call.del(&with_prev_result(config, &self.result));
        }
        start.elapsed()
    }
}

/// The times of one verb.
#[derive(Default)]
struct Times(Vec<Duration>);

impl Times {
    fn quantile(&mut self, percent: usize) -> f64 {
        self.0.sort_unstable();
        let index = (self.0.len() * percent / 100).min(self.0.len() - 1);
        self.0[index].as_secs_f64() * 1000.0
    }
}

fn main() {
    let node = Node::new();
    let contenders = [
        Contender { node: &node, bin: node.bin().to_owned(), name: "weir", network: 20 },
        Contender { node: &node, bin: Path::new(REFERENCE).to_owned(), name: "reference", network: 30 },
    ];
    println!("One pod at a time, {ALONE} pods each, in turn (ms):\n");
    println!("| chain | verb | weir p50 | weir p99 | reference p50 | reference p99 | ratio of p50 |");
    println!("|---|---|---|---|---|---|---|");
    for masquerade in [false, true] {
        alone(&contenders, masquerade);
    }
    println!("\n{TOGETHER} pods, {AT_ONCE} at once:\n");
    println!(
        "| chain | verb | weir p50 ms | weir p99 ms | weir pods/s | reference p50 ms | reference p99 ms | reference pods/s | times faster |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    for masquerade in [false, true] {
        together(&contenders, masquerade);
    }
}

fn chain_name(masquerade: bool) -> &'static str {
    if masquerade { "ipMasq" } else { "no ipMasq" }
}

fn alone(contenders: &[Contender<'_>; 2], masquerade: bool) {
    let mut times: [[Times; 4]; 2] = Default::default();
    // The first round makes bridges and tables and is not counted.
    for round in 0..=ALONE {
        for (contender, times) in contenders.iter().zip(&mut times) {
            let pod = Pod::new(&format!("{}-{round}", contender.name));
            let mut attachment = contender.attachment(&pod, masquerade);
            let add = attachment.add();
            let taken = [add, attachment.shaping, attachment.check(), attachment.del()];
            if round > 0 {
                for (times, taken) in times.iter_mut().zip(taken) {
                    times.0.push(taken);
                }
            }
        }
    }
    let [ours, theirs] = &mut times;
    let verbs = ["ADD", "ADD, bandwidth alone", "CHECK", "DEL"];
    for (verb, (ours, theirs)) in verbs.iter().zip(ours.iter_mut().zip(theirs)) {
        println!(
            "| {} | {verb} | {:.2} | {:.2} | {:.2} | {:.2} | 1/{:.1} |",
            chain_name(masquerade),
            ours.quantile(50),
            ours.quantile(99),
            theirs.quantile(50),
            theirs.quantile(99),
            theirs.quantile(50) / ours.quantile(50),
        );
    }
}

/// Runs `work` on every attachment with [`AT_ONCE`] threads; returns each one's time and the whole.
fn at_once(
    attachments: &[Mutex<Attachment>],
    work: impl Fn(&mut Attachment) -> Duration + Sync,
) -> (Times, Duration) {
    let next = AtomicUsize::new(0);
    let times = Mutex::new(Times::default());
    let start = Instant::now();
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(attachment) = attachments.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let taken = work(&mut attachment.lock().expect("no thread panicked"));
                    times.lock().expect("no thread panicked").0.push(taken);
                }
            });
        }
    });
    (times.into_inner().expect("no thread panicked"), start.elapsed())
}

fn together(contenders: &[Contender<'_>; 2], masquerade: bool) {
    let mut rows: Vec<Vec<(f64, f64, f64)>> = Vec::new();
    for contender in contenders {
        let pods: Vec<_> =
            (0..TOGETHER).map(|pod| Pod::new(&format!("{}-many-{pod}", contender.name))).collect();
        let attachments: Vec<_> =
            pods.iter().map(|pod| Mutex::new(contender.attachment(pod, masquerade))).collect();
        let added = at_once(&attachments, Attachment::add);
        let deleted = at_once(&attachments, |attachment| attachment.del());
        rows.push(
            [added, deleted]
                .into_iter()
                .map(|(mut times, whole)| {
                    #[expect(clippy::cast_precision_loss, reason = "a hundred pods")]
                    let per_second = TOGETHER as f64 / whole.as_secs_f64();
                    (times.quantile(50), times.quantile(99), per_second)
                })
                .collect(),
        );
    }
    for (verb, (ours, theirs)) in ["ADD", "DEL"].iter().zip(rows[0].iter().zip(&rows[1])) {
        println!(
            "| {} | {verb} | {:.1} | {:.1} | {:.0} | {:.1} | {:.1} | {:.0} | {:.1} |",
            chain_name(masquerade),
            ours.0,
            ours.1,
            ours.2,
            theirs.0,
            theirs.1,
            theirs.2,
            ours.2 / theirs.2,
        );
    }
}
