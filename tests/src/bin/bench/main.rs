//! Times the chain bridge + host-local + bandwidth, ours and the reference's, interleaved on one node.
//!
//! Prints Markdown tables. Each plugin is executed as libcni does; what is timed is from the start of the
//! first process to the end of the last.

mod contender;
mod times;

use std::path::Path;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tests::{Node, Pod, REFERENCE};

use contender::{Attachment, Contender};
use times::Times;

const ALONE: usize = 100;
const TOGETHER: usize = 100;
const AT_ONCE: [usize; 2] = [16, 64];
/// Pods that are there while one more comes.
const CROWD: usize = 500;
/// How many come one after the other, before and in the crowd.
const COMERS: usize = 40;
/// Between one who came and went and the next: what pods report of themselves goes to every port, and what the kernel
/// does after a DEL takes its time.
const PAUSE: Duration = Duration::from_millis(200);
/// The kernel takes a namespace apart after it was closed, and holds RTNL for that now and then: a hundred are gone
/// within a second. None is closed while anything is timed.
const CLOSING: Duration = Duration::from_secs(3);
/// New pods ask for routers after about 1, 5, 13, 29 and 61 s (RFC 7559), each time by a frame to every port: a second
/// of work in all for the crowd, between which the others come.
const SETTLING: Duration = Duration::from_secs(33);

/// A table by its name on the command line.
type Table = (&'static str, fn(&[Contender<'_>; 2]));

const TABLES: [Table; 3] = [("alone", print_alone), ("together", print_together), ("crowd", print_crowd)];

/// Prints the tables that are named, or all.
fn main() -> ExitCode {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    if let Some(unknown) = wanted.iter().find(|wanted| TABLES.iter().all(|(name, _)| name != wanted)) {
        eprintln!("bench: no table {unknown}: there are {}", TABLES.map(|(name, _)| name).join(", "));
        return ExitCode::from(2);
    }
    let node = Node::new();
    let contenders = [
        Contender { node: &node, bin: node.bin().to_owned(), name: "weir", network: 20 },
        Contender { node: &node, bin: Path::new(REFERENCE).to_owned(), name: "reference", network: 30 },
    ];
    for (name, print) in TABLES {
        if wanted.is_empty() || wanted.iter().any(|wanted| wanted == name) {
            print(&contenders);
        }
    }
    ExitCode::SUCCESS
}

fn print_alone(contenders: &[Contender<'_>; 2]) {
    println!("One pod at a time, {ALONE} pods each, in turn (ms):\n");
    println!("| chain | verb | weir p50 | weir p99 | reference p50 | reference p99 | ratio of p50 |");
    println!("|---|---|---|---|---|---|---|");
    for masquerade in [false, true] {
        alone(contenders, masquerade);
    }
}

fn print_together(contenders: &[Contender<'_>; 2]) {
    println!("\n{TOGETHER} pods, several at once:\n");
    println!(
        "| at once | chain | verb | weir p50 ms | weir p99 ms | weir pods/s | reference p50 ms | reference p99 ms | reference pods/s | times faster |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|");
    for threads in AT_ONCE {
        for masquerade in [false, true] {
            together(contenders, threads, masquerade);
        }
    }
}

fn print_crowd(contenders: &[Contender<'_>; 2]) {
    println!("\nADD of one more pod, and its DEL, with {CROWD} pods on the bridge (p50 of {COMERS}, ms):\n");
    println!(
        "| chain | | ADD, no other pods | ADD, {CROWD} others | ratio | DEL, no other pods | DEL, {CROWD} others | ratio |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    for masquerade in [false, true] {
        for contender in contenders {
            crowded(contender, masquerade);
        }
    }
}

fn chain_name(masquerade: bool) -> &'static str {
    if masquerade { "ipMasq" } else { "no ipMasq" }
}

fn alone(contenders: &[Contender<'_>; 2], masquerade: bool) {
    let mut times: [[Times; 4]; 2] = Default::default();
    let pods = contenders.each_ref().map(|contender| pods(contender, "alone", 1 + ALONE));
    // The first round makes bridges and tables and is not counted.
    for round in 0..=ALONE {
        for ((contender, pods), times) in contenders.iter().zip(&pods).zip(&mut times) {
            let mut attachment = contender.attachment(&pods[round], masquerade);
            let add = attachment.add();
            let taken = [add, attachment.shaping, attachment.check(), attachment.del()];
            if round > 0 {
                for (times, taken) in times.iter_mut().zip(taken) {
                    times.0.push(taken);
                }
            }
        }
    }
    close(pods);
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

/// Runs `work` on every attachment with so many threads; returns each one's time and the whole.
fn at_once(
    attachments: &[Mutex<Attachment>],
    threads: usize,
    work: impl Fn(&mut Attachment) -> Duration + Sync,
) -> (Times, Duration) {
    let next = AtomicUsize::new(0);
    let times = Mutex::new(Times::default());
    let start = Instant::now();
    thread::scope(|scope| {
        for _ in 0..threads {
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

fn together(contenders: &[Contender<'_>; 2], threads: usize, masquerade: bool) {
    let mut rows: Vec<Vec<(f64, f64, f64)>> = Vec::new();
    let pods = contenders.each_ref().map(|contender| pods(contender, "together", TOGETHER));
    for (contender, pods) in contenders.iter().zip(&pods) {
        let attachments = attachments(contender, pods, masquerade);
        let added = at_once(&attachments, threads, Attachment::add);
        let deleted = at_once(&attachments, threads, |attachment| attachment.del());
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
    close(pods);
    for (verb, (ours, theirs)) in ["ADD", "DEL"].iter().zip(rows[0].iter().zip(&rows[1])) {
        println!(
            "| {threads} | {} | {verb} | {:.1} | {:.1} | {:.0} | {:.1} | {:.1} | {:.0} | {:.1} |",
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

fn pods(contender: &Contender<'_>, group: &str, count: usize) -> Vec<Pod> {
    (0..count).map(|pod| Pod::new(&format!("{}-{group}-{pod}", contender.name))).collect()
}

/// Closes pods, and waits until the kernel has taken their namespaces apart.
fn close<T>(pods: T) {
    drop(pods);
    thread::sleep(CLOSING);
}

fn attachments(contender: &Contender<'_>, pods: &[Pod], masquerade: bool) -> Vec<Mutex<Attachment>> {
    pods.iter().map(|pod| Mutex::new(contender.attachment(pod, masquerade))).collect()
}

fn crowded(contender: &Contender<'_>, masquerade: bool) {
    let [add, del] = one_more(contender, masquerade);
    let pods = pods(contender, "crowd", CROWD);
    let attachments = attachments(contender, &pods, masquerade);
    at_once(&attachments, AT_ONCE[0], Attachment::add);
    thread::sleep(SETTLING);
    let [add_crowded, del_crowded] = one_more(contender, masquerade);
    at_once(&attachments, AT_ONCE[0], |attachment| attachment.del());
    close(pods);
    println!(
        "| {} | {} | {add:.2} | {add_crowded:.2} | {:.2} | {del:.2} | {del_crowded:.2} | {:.2} |",
        chain_name(masquerade),
        contender.name,
        add_crowded / add,
        del_crowded / del,
    );
}

/// The p50 of ADD and DEL of pods that come and go one after the other.
fn one_more(contender: &Contender<'_>, masquerade: bool) -> [f64; 2] {
    let mut times: [Times; 2] = Default::default();
    let pods = pods(contender, "comer", COMERS);
    for pod in &pods {
        let mut attachment = contender.attachment(pod, masquerade);
        times[0].0.push(attachment.add());
        times[1].0.push(attachment.del());
        thread::sleep(PAUSE);
    }
    close(pods);
    times.map(|mut times| times.quantile(50))
}
