//! Times `host-local`, ours and the reference's, with ever more addresses held: each on a directory of its own
//! on the disk, in turn within one run. Prints Markdown tables.
//!
//! A whole call is timed, from the start of the process to its end.

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tests::{Call, Node, Pod, REFERENCE};

const HELD: [u32; 5] = [0, 100, 1_000, 10_000, 60_000];
const ROUNDS: usize = 200;
/// The reference's calls with many addresses held take part only in every so many rounds.
const SELDOM: usize = 10;
const MANY: u32 = 10_000;

/// One executable on one directory.
struct Contender {
    call: Call,
    config: Value,
    directory: PathBuf,
    add: Vec<Duration>,
    del: Vec<Duration>,
}

impl Contender {
    fn new(node: &Node, pod: &Pod, bin: &Path, data_dir: &Path, held: u32) -> Self {
        let directory = data_dir.join("bench");
        fs::create_dir_all(&directory).expect("the directory can be made");
        for number in 0..held {
            let address = Ipv4Addr::from(u32::from(Ipv4Addr::new(10, 0, 0, 2)) + number);
            let text = format!("{number:064x}\r\neth0");
            fs::write(directory.join(address.to_string()), text).expect("a reservation can be written");
        }
        let config = json!({
            "cniVersion": "1.0.0", "name": "bench", "type": "none",
            "ipam": {"type": "host-local", "dataDir": data_dir, "subnet": "10.0.0.0/16"},
        });
        let call = node.call_in(bin, "host-local", pod);
        let mut contender = Self { call, config, directory, add: Vec::new(), del: Vec::new() };
        // Not counted: programs and files get into memory, ours builds its index.
        contender.round();
        contender.add.clear();
        contender.del.clear();
        contender
    }

    fn with(mut self, key: &str, value: Value) -> Self {
        self.config["ipam"][key] = value;
        self
    }

    fn round(&mut self) {
        let start = Instant::now();
        self.call.add(&self.config);
        self.add.push(start.elapsed());
        let start = Instant::now();
        self.call.del(&self.config);
        self.del.push(start.elapsed());
    }

    /// As [`Contender::round`], after a program without an index made a reservation.
    fn round_after_a_change(&mut self, number: usize) {
        let file = self.directory.join(format!("10.0.255.{}", number % 200));
        fs::write(file, "another\r\neth0").expect("a reservation can be written");
        self.round();
    }
}

/// In milliseconds.
fn quantile(times: &mut [Duration], percent: usize) -> f64 {
    times.sort_unstable();
    let index = (times.len() * percent / 100).min(times.len() - 1);
    times[index].as_secs_f64() * 1000.0
}

fn main() {
    let node = Node::new();
    let pod = Pod::new("bench");
    // Not in the node's own folders, which are in memory.
    let disk = tempfile::tempdir_in("/var/tmp").expect("/var/tmp can be written");
    let contender = |bin: &Path, name: &str, held: u32| {
        Contender::new(&node, &pod, bin, &disk.path().join(format!("{name}{held}")), held)
    };
    let mut ours: Vec<_> = HELD.iter().map(|held| contender(node.bin(), "ours", *held)).collect();
    let mut theirs: Vec<_> =
        HELD.iter().map(|held| contender(Path::new(REFERENCE), "theirs", *held)).collect();
    let mut durable = contender(node.bin(), "durable", 100).with("durable", json!(true));
    for round in 0..ROUNDS {
        // Each size comes after each other one as often: what runs before leaves its traces in the caches.
        for turn in 0..HELD.len() {
            ours[(turn + round) % HELD.len()].round();
        }
        for (held, theirs) in HELD.iter().zip(&mut theirs) {
            if *held < MANY || round % SELDOM == 0 {
                theirs.round();
            }
        }
    }
    // Not in turn with the others, who would wait for the disk with it.
    (0..ROUNDS).for_each(|_| durable.round());
    println!("One call (ms), 10.0.0.0/16, {ROUNDS} rounds, each size and each executable in turn:\n");
    println!(
        "| held | weir ADD p50 | p99 | weir DEL p50 | p99 | reference ADD p50 | p99 | reference DEL p50 | p99 | ADD | DEL |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|");
    for ((held, ours), theirs) in HELD.iter().zip(&mut ours).zip(&mut theirs) {
        let cells = [&mut ours.add, &mut ours.del, &mut theirs.add, &mut theirs.del]
            .map(|times| (quantile(times, 50), quantile(times, 99)));
        let shown: Vec<_> = cells.iter().map(|(p50, p99)| format!("{p50:.2} | {p99:.2}")).collect();
        let [ours_add, ours_del, theirs_add, theirs_del] = cells.map(|(p50, _)| p50);
        let ratios = format!("1/{:.1} | 1/{:.1}", theirs_add / ours_add, theirs_del / ours_del);
        println!("| {held} | {} | {ratios} |", shown.join(" | "));
    }
    let against_hundred = |times: fn(&mut Contender) -> &mut Vec<Duration>, ours: &mut [Contender]| {
        let [_, hundred, .., most] = ours else { return 0.0 };
        quantile(times(most), 50) / quantile(times(hundred), 50)
    };
    println!(
        "\nWith 60,000 held against 100 held, p50: ADD {:.2} times, DEL {:.2} times.",
        against_hundred(|contender| &mut contender.add, &mut ours),
        against_hundred(|contender| &mut contender.del, &mut ours),
    );
    println!(
        "With \"durable\" and 100 held, p50: ADD {:.2} ms, DEL {:.2} ms.",
        quantile(&mut durable.add, 50),
        quantile(&mut durable.del, 50),
    );
    for (held, ours) in HELD.iter().zip(&mut ours) {
        ours.add.clear();
        (0..20).for_each(|number| ours.round_after_a_change(number));
        let p50 = quantile(&mut ours.add, 50);
        println!("With {held} held, ADD after another program changed the directory, p50: {p50:.2} ms.");
    }
}
