//! Kills the plugins at every system call, and has every system call fail with each error that the kernel may give
//! there; afterwards nothing may be left, and nothing of another pod may have changed.
//!
//! Prints a Markdown table and what was left; exits with 1 if anything was.

mod errnos;
mod options;
mod round;
mod row;
mod stage;
mod trace;

use std::process::ExitCode;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use options::Options;
use round::{Finding, Rounds};
use row::{ROWS, Row, Variant};
use stage::{Stage, State};
use trace::{Fault, Kind};

/// So many faults come one after the other on a node before it is made anew.
const ON_A_NODE: usize = 24;

/// The numbers in a row of the table.
#[derive(Default)]
struct Line {
    calls: usize,
    kills: usize,
    errors: usize,
    pauses: usize,
    missed: usize,
    findings: Vec<Finding>,
}

fn main() -> ExitCode {
    let options = match Options::read(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(mistake) => {
            eprintln!("faults: {mistake}\n{}", options::USAGE);
            return ExitCode::from(2);
        }
    };
    println!("| verb and plugin | system calls | kills | errors | pauses | not reached | left over |");
    println!("|---|---|---|---|---|---|---|");
    let (mut findings, start) = (Vec::new(), Instant::now());
    let rows: Vec<_> = ROWS.into_iter().filter(|row| options.wants(&row.to_string())).collect();
    for (place, row) in (1u32..).zip(&rows) {
        // Each row has its part of the time, and of what those before it did not need.
        let share = |time: Duration| start + time * place / u32::try_from(rows.len()).unwrap_or(1);
        let mut line = tried(*row, &options, options.time.map(share));
        let Line { calls, kills, errors, pauses, missed, .. } = line;
        let wrong = line.findings.len();
        println!("| {row} | {calls} | {kills} | {errors} | {pauses} | {missed} | {wrong} |");
        findings.append(&mut line.findings);
    }
    for finding in &findings {
        show(finding, options.width);
    }
    if findings.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn show(Finding { row, fault, wrong, facts }: &Finding, width: usize) {
    println!("\n{row}, {fault}\n  {wrong}");
    for fact in facts {
        println!("    {}", fact.chars().take(width).collect::<String>());
    }
}

/// Everything that can go wrong in a row.
fn tried(row: Row, options: &Options, deadline: Option<Instant>) -> Line {
    // A node is a thread's.
    let on_a_node = move || {
        let network = (row.variant == Variant::First).then(|| Stage::used(row));
        let trace = Stage::new(row).trace();
        (network, trace)
    };
    let (network, trace) = thread::spawn(on_a_node).join().expect("nothing disturbs it");
    let faults: Vec<_> = trace.faults.into_iter().skip(options.from - 1).step_by(options.every).collect();
    let queue = Mutex::new(faults.chunks(ON_A_NODE));
    let line = Mutex::new(Line { calls: trace.calls, ..Line::default() });
    let next = || queue.lock().expect("no worker panics").next();
    thread::scope(|scope| {
        for _ in 0..options.jobs {
            scope.spawn(|| {
                while let Some(faults) = next() {
                    let (network, line) = (network.clone(), &line);
                    let work = move || some(row, network, faults, deadline, line);
                    thread::scope(|scope| scope.spawn(work).join()).expect("no worker panics");
                }
            });
        }
    });
    line.into_inner().expect("no worker panics")
}

fn some(row: Row, network: Option<State>, faults: &[Fault], deadline: Option<Instant>, line: &Mutex<Line>) {
    let is_over = || deadline.is_some_and(|deadline| Instant::now() > deadline);
    if is_over() {
        return;
    }
    let mut rounds = Rounds::new(row, network);
    for fault in faults.iter().take_while(|_| !is_over()) {
        let outcome = rounds.run(fault);
        let mut line = line.lock().expect("no worker panics");
        match (outcome.disturbed, fault.kind) {
            (false, _) => line.missed += 1,
            (true, Kind::Killed) => line.kills += 1,
            (true, Kind::Refused(_)) => line.errors += 1,
            (true, Kind::Paused) => line.pauses += 1,
        }
        line.findings.extend(outcome.findings);
    }
}
