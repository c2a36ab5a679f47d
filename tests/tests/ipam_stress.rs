//! `host-local` beside the reference's on one directory, many at once, also killed at any moment.
//!
//! `WEIR_STRESS_SECONDS` says for how long; 20 when absent.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed, its helpers included")]

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::io::{Read, Write};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tests::{Node, REFERENCE};

const PROCESSES: usize = 64;
/// How many the IPv4 range has to give.
const ADDRESSES: usize = 125;
const DIRECTORY: &str = "/mnt/networks/stress";

fn seconds() -> u64 {
    std::env::var("WEIR_STRESS_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(20)
}

fn config() -> Value {
    json!({
        "cniVersion": "1.0.0", "name": "stress", "type": "none",
        "ipam": {
            "type": "host-local", "dataDir": "/mnt/networks",
            "ranges": [[{"subnet": "198.51.100.0/25"}], [{"subnet": "2001:db8::/64"}]],
        },
    })
}

/// The outcome of a call.
enum Answer {
    Done(Value),
    Failed(String),
    Killed,
}

/// The processes that run at this moment, one for each place.
struct Processes(Vec<Mutex<Option<Child>>>);

impl Processes {
    fn place(&self, place: usize) -> MutexGuard<'_, Option<Child>> {
        self.0[place].lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn call(&self, place: usize, executable: &Path, verb: &str, id: &str) -> Answer {
        let mut child = Command::new(executable)
            .env_clear()
            .envs([("CNI_COMMAND", verb), ("CNI_CONTAINERID", id), ("CNI_NETNS", "/nowhere")])
            .envs([("CNI_IFNAME", "eth0"), ("CNI_PATH", REFERENCE)])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let (mut stdin, mut stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        *self.place(place) = Some(child);
        // One that was killed reads nothing.
        stdin.write_all(config().to_string().as_bytes()).ok();
        drop(stdin);
        let mut text = String::new();
        stdout.read_to_string(&mut text).unwrap();
        let status = self.place(place).take().unwrap().wait().unwrap();
        match status.code() {
            None => Answer::Killed,
            Some(0) => Answer::Done(serde_json::from_str(&text).unwrap_or(Value::Null)),
            Some(_) => Answer::Failed(text),
        }
    }

    fn kill(&self, place: usize) {
        if let Some(child) = self.place(place).as_mut() {
            child.kill().unwrap();
        }
    }
}

struct Stress {
    executables: [PathBuf; 2],
    processes: Processes,
    held: Mutex<HashMap<String, String>>,
    added: AtomicUsize,
    killed: AtomicUsize,
    end: Instant,
}

impl Stress {
    fn new(node: &Node) -> Self {
        Self {
            executables: [node.bin().join("host-local"), Path::new(REFERENCE).join("host-local")],
            processes: Processes((0..PROCESSES).map(|_| Mutex::new(None)).collect()),
            held: Mutex::default(),
            added: AtomicUsize::new(0),
            killed: AtomicUsize::new(0),
            end: Instant::now() + Duration::from_secs(seconds()),
        }
    }

    /// Adds and deletes at all places at once until the time is over, and kills one every `pause`.
    fn run(&self, pause: Option<Duration>) {
        thread::scope(|scope| {
            let workers: Vec<_> = (0..PROCESSES).map(|place| scope.spawn(move || self.work(place))).collect();
            let mut seed: usize = 12345;
            while let Some(pause) = pause.filter(|_| workers.iter().any(|worker| !worker.is_finished())) {
                thread::sleep(pause);
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                self.processes.kill((seed >> 33) % PROCESSES);
            }
        });
    }

    fn work(&self, place: usize) {
        for round in 0.. {
            if Instant::now() > self.end {
                break;
            }
            let id = format!("c{place}-{round}");
            // Half of the calls are the reference's, and every place comes to both.
            let addresses = match self.call(place, place + round, "ADD", &id) {
                Answer::Done(result) => self.take(&result, &id),
                Answer::Failed(text) => panic!("ADD: {text}"),
                Answer::Killed => Vec::new(),
            };
            for address in addresses {
                self.held.lock().unwrap().remove(&address);
            }
            for turn in 0.. {
                match self.call(place, place + round / 2 + turn, "DEL", &id) {
                    Answer::Done(_) => break,
                    Answer::Failed(text) => panic!("DEL: {text}"),
                    Answer::Killed => {}
                }
            }
        }
    }

    fn take(&self, result: &Value, id: &str) -> Vec<String> {
        self.added.fetch_add(1, Ordering::Relaxed);
        let ips = result["ips"].as_array().unwrap();
        let addresses: Vec<_> = ips.iter().map(|ip| ip["address"].to_string()).collect();
        assert_eq!(addresses.len(), 2);
        for address in &addresses {
            let other = self.held.lock().unwrap().insert(address.clone(), id.to_owned());
            assert_eq!(other, None, "{address} was given to {id} too");
        }
        addresses
    }

    fn call(&self, place: usize, turn: usize, verb: &str, id: &str) -> Answer {
        let answer = self.processes.call(place, &self.executables[turn % 2], verb, id);
        if matches!(answer, Answer::Killed) {
            self.killed.fetch_add(1, Ordering::Relaxed);
        }
        answer
    }

    /// Holds every address of the IPv4 range, so that a lost one would be missed.
    fn fill(&self) {
        let given: HashSet<String> = (0..ADDRESSES)
            .map(|number| match self.call(0, 0, "ADD", &format!("last-{number}")) {
                Answer::Done(result) => result["ips"][0]["address"].to_string(),
                Answer::Failed(text) => panic!("ADD {number}: {text}"),
                Answer::Killed => panic!("no call is killed"),
            })
            .collect();
        assert_eq!(given.len(), ADDRESSES);
        assert!(
            matches!(self.call(0, 0, "ADD", "one-too-many"), Answer::Failed(text) if text.contains("no IP addresses"))
        );
    }
}

/// The texts of what is still held.
fn left() -> BTreeMap<String, String> {
    let entries = fs::read_dir(DIRECTORY).unwrap().map(Result::unwrap);
    let texts = entries.filter_map(|entry| {
        let name = entry.file_name().to_string_lossy().into_owned();
        name.parse::<IpAddr>().ok()?;
        Some((name, fs::read_to_string(entry.path()).unwrap()))
    });
    texts.collect()
}

#[test]
fn no_address_is_given_twice_lost_or_left() {
    let node = Node::new();
    let stress = Stress::new(&node);
    stress.run(None);
    assert_eq!(left(), BTreeMap::new());
    eprintln!("{} ADDs by {PROCESSES} at once", stress.added.load(Ordering::Relaxed));
    stress.fill();
}

#[test]
fn del_frees_everything_that_a_killed_call_left() {
    let node = Node::new();
    let stress = Stress::new(&node);
    stress.run(Some(Duration::from_millis(50)));
    // The reference makes a file before it writes into it. An empty one holds no address.
    let held: Vec<_> = left().into_iter().filter(|(_, text)| !text.is_empty()).collect();
    assert_eq!(held, []);
    let count = |counter: &AtomicUsize| counter.load(Ordering::Relaxed);
    eprintln!("{} ADDs by {PROCESSES} at once, {} killed", count(&stress.added), count(&stress.killed));
    assert!(count(&stress.killed) > 0);
    stress.fill();
}
