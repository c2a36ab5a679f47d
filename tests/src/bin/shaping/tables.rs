//! The tables, printed row by row as they are measured.

use crate::bar::{self, Verdicts};
use crate::case::{Case, Direction, Load, Peer, Plugin, Runtime};
use crate::machine;
use crate::measure::measure;
use crate::options::Options;
use crate::outcome::Outcome;
use crate::patience;

const MEGABIT: u64 = 1_000_000;
const GIGABIT: u64 = 1000 * MEGABIT;
/// Below this rate ten seconds are too short for a TCP connection.
const LEAST_FOR_TCP: u64 = 64_000;
/// Beyond this rate one thread that sends UDP is the limit.
const MOST_FOR_UDP: u64 = GIGABIT;

/// Measures and prints everything that was asked for.
pub fn print(options: &Options) {
    println!("{}; load average {:.1} at the start.", machine::description(), machine::load_average());
    let mut verdicts = Verdicts::default();
    if options.wants("bar") {
        one_flow(options, &mut verdicts);
    }
    if options.wants("loads") {
        loads(options);
    }
    if options.wants("routed") {
        routed(options);
    }
    if options.wants("slow") {
        slow(options, &mut verdicts);
    }
    if options.wants("reference") {
        reference(options);
    }
    if !verdicts.0.is_empty() {
        summary(&verdicts);
    }
}

/// One cubic flow at every rate, with each runtime's burst where something is promised.
fn one_flow(options: &Options, verdicts: &mut Verdicts) {
    println!("\n## One flow\n");
    println!(
        "One TCP flow (cubic) between the node and the pod, {} seconds, {} runs: median (worst).\n",
        options.seconds, options.runs
    );
    println!(
        "| limit | direction | runtime | burst B | queue ms | part received | first second | ping ms, mean | ping ms, worst | dropped | cores busy | machine away ms | load |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|---|---|");
    for rate in options.rates_from(LEAST_FOR_TCP, u64::MAX) {
        let runtimes: &[Runtime] =
            if bar::is_exact(rate) { &[Runtime::Containerd, Runtime::Crio] } else { &[Runtime::Containerd] };
        for runtime in runtimes {
            for direction in Direction::BOTH {
                let case = Case { runtime: *runtime, ..Case::new(rate, direction) };
                let outcome = measure(&case, options.seconds, options.runs);
                println!("| {rate} | {direction} | {runtime} | {}", columns(&outcome));
                complain(&outcome);
                verdicts.judge(&case, &outcome);
            }
        }
    }
}

fn columns(outcome: &Outcome) -> String {
    let several = outcome.runs.len() > 1;
    let with_worst =
        |median: String, worst: String| if several { format!("{median} ({worst})") } else { median };
    let Some(first) = outcome.runs.first() else { return "| failed | | | | | | | | | |".to_owned() };
    format!(
        "{} | {:.0} | {} | {} | {:.1} | {} | {:.0} | {:.0} % | {:.0} | {:.1} |",
        first.burst,
        first.queue_milliseconds,
        with_worst(
            format!("{:.3}", outcome.median(|run| run.all)),
            format!("{:.3}", outcome.farthest(|run| run.all))
        ),
        with_worst(
            format!("{:.2}", outcome.median(|run| run.first_second)),
            format!("{:.2}", outcome.largest(|run| run.first_second))
        ),
        outcome.median(|run| run.ping_mean),
        with_worst(
            format!("{:.0}", outcome.median(|run| run.ping_worst)),
            format!("{:.0}", outcome.largest(|run| run.ping_worst))
        ),
        outcome.median(|run| run.dropped),
        outcome.median(|run| run.busy) * 100.0,
        outcome.largest(|run| run.late),
        outcome.median(|run| run.load_average),
    )
}

fn complain(outcome: &Outcome) {
    for complaint in &outcome.complaints {
        eprintln!("a run failed: {complaint}");
    }
}

/// Header of the tables of single runs.
fn single_header(first: &str) {
    println!(
        "| limit | direction | {first} | Mbit/s | part received | first second | ping ms, mean | worst | lost | dropped | cores busy | machine away ms |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|---|");
}

fn single_row(case: &Case, what: &str, options: &Options) {
    let outcome = measure(case, options.seconds, 1);
    match outcome.runs.first() {
        Some(run) => println!(
            "| {} | {} | {what} | {} | {:.3} | {:.2} | {:.1} | {:.0} | {} | {} | {:.0} % | {:.0} |",
            case.rate,
            case.direction,
            megabits(run.megabits),
            run.all,
            run.first_second,
            run.ping_mean,
            run.ping_worst,
            run.ping_lost,
            run.dropped,
            run.busy * 100.0,
            run.late,
        ),
        None => println!("| {} | {} | {what} | failed | | | | | | | | |", case.rate, case.direction),
    }
    complain(&outcome);
}

fn megabits(megabits: f64) -> String {
    if megabits < 100.0 { format!("{megabits:.2}") } else { format!("{megabits:.0}") }
}

/// Other senders.
fn loads(options: &Options) {
    println!("\n## More flows, another congestion control, UDP\n");
    println!("Between the node and the pod, containerd's burst, {} seconds, one run.\n", options.seconds);
    let controls = machine::congestion_controls();
    let bbr = controls.split(' ').any(|control| control == "bbr");
    if !bbr {
        println!("This kernel has no bbr, only {controls}.\n");
    }
    single_header("load");
    for rate in options.rates_from(LEAST_FOR_TCP, u64::MAX) {
        let mut loads = vec![Load::Tcp { control: "cubic", flows: 8 }];
        if bbr {
            loads.extend([1, 8].map(|flows| Load::Tcp { control: "bbr", flows }));
        }
        if rate.0 <= MOST_FOR_UDP {
            loads.push(Load::Udp);
        }
        for load in loads {
            for direction in Direction::BOTH {
                single_row(&Case { load, ..Case::new(rate, direction) }, &load.to_string(), options);
            }
        }
    }
}

/// Traffic that only passes the node.
fn routed(options: &Options) {
    println!("\n## Through the node\n");
    println!(
        "The other end is behind the node, which routes; containerd's burst, {} seconds, one run.\n",
        options.seconds
    );
    single_header("load");
    for rate in options.rates_from(MEGABIT, 5 * GIGABIT) {
        for load in [Load::CUBIC, Load::Tcp { control: "cubic", flows: 8 }, Load::Udp] {
            if load == Load::Udp && rate.0 > MOST_FOR_UDP {
                continue;
            }
            for direction in Direction::BOTH {
                let case = Case { load, peer: Peer::Routed, ..Case::new(rate, direction) };
                single_row(&case, &load.to_string(), options);
            }
        }
    }
}

/// Limits at which single packets count.
fn slow(options: &Options, verdicts: &mut Verdicts) {
    println!("\n## Full-size packets at slow limits\n");
    println!(
        "{} pings of 1,514 bytes at once to an idle pod; each passes the limit on its way there, and its answer on the way back. The ends know each other's link address: the answers of ARP would wait as well.\n",
        patience::PACKETS
    );
    println!("| limit | one packet takes | answered | first after ms | last after ms |");
    println!("|---|---|---|---|---|");
    for rate in options.rates_from(0, MEGABIT) {
        let trips = patience::full_packets(rate);
        let takes = patience::packet_milliseconds(rate);
        let first = trips.iter().map(|trip| trip.worst).fold(f64::NAN, f64::min);
        let last = trips.iter().map(|trip| trip.worst).fold(f64::NAN, f64::max);
        let answered = format!("{} of {}", trips.len(), patience::PACKETS);
        println!("| {rate} | {takes:.0} ms | {answered} | {first:.0} | {last:.0} |");
        verdicts.judge_full_packets(rate, trips.len());
    }
}

/// The reference with what the same runtimes send.
fn reference(options: &Options) {
    println!("\n## The reference plugin\n");
    println!(
        "Debian's `bandwidth` with what the same runtimes send; one TCP flow (cubic), {} seconds, one run.\n",
        options.seconds
    );
    single_header("runtime");
    for rate in options.rates_from(MEGABIT, 100 * MEGABIT) {
        for runtime in [Runtime::Containerd, Runtime::Crio] {
            for direction in Direction::BOTH {
                let case = Case { runtime, plugin: Plugin::Reference, ..Case::new(rate, direction) };
                single_row(&case, &runtime.to_string(), options);
            }
        }
    }
}

/// The promises, with the worst of the directions and runtimes.
fn summary(verdicts: &Verdicts) {
    println!("\n## What is promised\n");
    println!(
        "The worst direction and runtime of each rate. Met is what the median of its runs meets; it is said where a run did not.\n"
    );
    println!("| limit | what | median | worst run | |");
    println!("|---|---|---|---|---|");
    for verdict in &verdicts.0 {
        let word = match (verdict.is_met(), verdict.is_met_by_all()) {
            (true, true) => "met",
            (true, false) => "met, not by every run",
            (false, _) => "NOT MET",
        };
        let (precision, median, worst) = (verdict.precision, verdict.median, verdict.worst_run);
        println!(
            "| {} | {} | {median:.precision$} | {worst:.precision$} | {word} |",
            verdict.rate, verdict.promise
        );
    }
    let met = verdicts.0.iter().filter(|verdict| verdict.is_met()).count();
    println!("\n{met} of {} met; load average {:.1} at the end.", verdicts.0.len(), machine::load_average());
}
