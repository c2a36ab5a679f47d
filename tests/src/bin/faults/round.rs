//! One fault: what is left of it, and whether the plugins' answers were true.

use crate::row::{Row, Variant, Verb};
use crate::stage::{Ended, Stage, State};
use crate::trace::{Fault, Kind};

/// The verb that removes the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repair {
    /// DEL of the chain, twice.
    Del,
    /// GC alone.
    Gc,
}

/// A fault after which something was wrong.
#[derive(Debug)]
pub struct Finding {
    pub row: Row,
    pub fault: String,
    /// The problem, and when it was found.
    pub wrong: String,
    pub facts: Vec<String>,
}

/// The outcome of a fault.
#[derive(Default)]
pub struct Outcome {
    pub disturbed: bool,
    pub findings: Vec<Finding>,
}

/// A stage and what its network looks like without the pod.
pub struct Rounds {
    row: Row,
    stage: Stage,
    /// For a node's first ADD: what belongs to the network.
    network: Option<State>,
}

impl Rounds {
    /// On a node of their own.
    pub fn new(row: Row, network: Option<State>) -> Self {
        Self { row, stage: Stage::new(row), network }
    }

    /// The fault, once with DELs after it and once, where it leaves something, with GC alone.
    pub fn run(&mut self, fault: &Fault) -> Outcome {
        let mut outcome = Outcome::default();
        for repair in [Repair::Del, Repair::Gc] {
            if self.row.variant == Variant::First && repair == Repair::Gc {
                self.renew();
            }
            let again = self.once(fault, repair, &mut outcome);
            if !outcome.findings.is_empty() {
                self.renew();
            }
            if !again {
                break;
            }
        }
        if self.row.variant == Variant::First {
            self.renew();
        }
        outcome
    }

    fn renew(&mut self) {
        self.stage = Stage::new(self.row);
    }

    /// Tells whether the fault left something for the other repair.
    fn once(&mut self, fault: &Fault, repair: Repair, outcome: &mut Outcome) -> bool {
        let row = self.row;
        let mut report = |wrong: String, facts: Vec<String>| {
            outcome.findings.push(Finding { row, fault: fault.to_string(), wrong, facts });
        };
        self.stage.prepare();
        let rest = self.network.as_ref().unwrap_or(&self.stage.rest).clone();
        let is_failing_add = row.verb == Verb::Add && fault.kind != Kind::Killed;
        let before =
            if is_failing_add && row.plugin != row.main() { self.stage.state() } else { rest.clone() };
        let ended =
            if fault.kind == Kind::Paused { self.stage.pause(fault) } else { self.stage.disturb(fault) };
        outcome.disturbed |= ended.disturbed;
        if ended.hung {
            report("hangs".to_owned(), Vec::new());
        }
        // Once is enough of what does not depend on the repair.
        let is_first = repair == Repair::Del;
        let unreserved = self.stage.unreserved();
        if !unreserved.is_empty() && is_first {
            report("addresses are free although the pod has them".to_owned(), unreserved);
        }
        let mut is_clean = false;
        match &ended {
            Ended { killed: true, .. } => is_clean = self.stage.state().left(&rest, row.variant).is_empty(),
            // GC went by the list, which does not have this pod, or it spared all of it.
            Ended { answer: Ok(_), .. } if fault.kind == Kind::Paused && self.stage.is_detached() => {
                let (_, left) = self.stage.left(&rest);
                if !left.is_empty() {
                    report("left of a pod without an interface".to_owned(), left);
                }
            }
            Ended { answer: Ok(result), .. } if row.verb == Verb::Add || fault.kind == Kind::Paused => {
                if let Err(error) = self.stage.check(result) {
                    report(format!("ADD succeeds, {error}"), Vec::new());
                }
            }
            Ended { answer: Ok(_), .. } if row.plugin == row.main() => {
                let (_, left) = self.stage.left(&rest);
                is_clean = left.is_empty();
                if !is_clean && is_first {
                    report(format!("left by {} that succeeded", row.verb.name()), left);
                }
            }
            Ended { answer: Err(error), .. } if fault.kind == Kind::Paused => {
                report(error.clone(), Vec::new())
            }
            Ended { answer: Err(error), .. } if row.verb == Verb::Add => {
                let (_, left) = self.stage.left(&before);
                is_clean = left.is_empty() && row.plugin == row.main();
                if !left.is_empty() && is_first {
                    report(format!("left by ADD that failed ({error})"), left);
                }
            }
            _ => {}
        }
        self.repair(repair, is_clean, &mut report);
        let (_, left) = self.stage.left(&rest);
        if !left.is_empty() {
            let end = match ended.answer {
                _ if ended.killed => "the kill".to_owned(),
                Ok(_) => "success".to_owned(),
                Err(error) => format!("the failure ({error})"),
            };
            report(format!("left after {end} and {repair:?}"), left);
        }
        if !self.stage.bystander_lives() {
            report("the bystander is cut off".to_owned(), Vec::new());
        }
        !is_clean && ended.disturbed && fault.kind != Kind::Paused
    }

    fn repair(&mut self, repair: Repair, is_clean: bool, report: &mut impl FnMut(String, Vec<String>)) {
        let times = if is_clean { 1 } else { 2 };
        match repair {
            Repair::Del => {
                for _ in 0..times {
                    if let Err(error) = self.stage.detach() {
                        report(error, Vec::new());
                    }
                }
            }
            Repair::Gc => {
                self.stage.forget();
                if let Err(error) = self.stage.collect() {
                    report(error, Vec::new());
                }
            }
        }
    }
}
