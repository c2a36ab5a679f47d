//! The promises, and whether the numbers keep them.

use crate::case::{Case, Rate};
use crate::outcome::Outcome;

/// The rates of which an exact goodput is promised.
const EXACT: [u64; 5] = [1_000_000, 10_000_000, 100_000_000, 1_000_000_000, 5_000_000_000];
const GOODPUT: Bound = Bound::NearOne { deviation: 0.03 };
const FIRST_SECOND: Bound = Bound::AtMost(1.15);

/// Returns whether the goodput at this rate is promised.
pub fn is_exact(rate: Rate) -> bool {
    EXACT.contains(&rate.0)
}

/// The longest ping beside one cubic flow, in milliseconds.
fn worst_ping(rate: Rate) -> Option<Bound> {
    match rate.0 {
        100_000_000.. => Some(Bound::AtMost(60.0)),
        10_000_000.. => Some(Bound::AtMost(100.0)),
        _ => None,
    }
}

/// The condition for a number.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Bound {
    NearOne { deviation: f64 },
    AtMost(f64),
    AtLeast(f64),
}

impl Bound {
    fn holds(self, value: f64) -> bool {
        match self {
            Self::NearOne { deviation } => (value - 1.0).abs() <= deviation,
            Self::AtMost(most) => value <= most,
            Self::AtLeast(least) => value >= least,
        }
    }

    /// The one that is worse.
    fn worse(self, left: f64, right: f64) -> f64 {
        let badness = |value: f64| match self {
            Self::NearOne { .. } => (value - 1.0).abs(),
            Self::AtMost(_) => value,
            Self::AtLeast(_) => -value,
        };
        // NaN means that nothing was measured, which is worst.
        if right.is_nan() || badness(right) > badness(left) { right } else { left }
    }
}

/// One promise beside what was measured, the worst of the cases that it is about.
pub struct Verdict {
    pub rate: Rate,
    pub promise: &'static str,
    pub bound: Bound,
    /// Digits behind the point.
    pub precision: usize,
    pub median: f64,
    pub worst_run: f64,
}

impl Verdict {
    /// Returns whether the median keeps it.
    pub fn is_met(&self) -> bool {
        self.bound.holds(self.median)
    }

    /// Returns whether every run keeps it.
    pub fn is_met_by_all(&self) -> bool {
        self.bound.holds(self.worst_run)
    }
}

/// The verdicts so far.
#[derive(Default)]
pub struct Verdicts(pub Vec<Verdict>);

impl Verdicts {
    /// Judges a case of one cubic flow.
    pub fn judge(&mut self, case: &Case, outcome: &Outcome) {
        let rate = case.rate;
        if is_exact(rate) {
            self.add(Verdict {
                rate,
                promise: "goodput within 3 %",
                bound: GOODPUT,
                precision: 3,
                median: outcome.median(|run| run.all),
                worst_run: outcome.farthest(|run| run.all),
            });
            self.add(Verdict {
                rate,
                promise: "first second at most 1.15",
                bound: FIRST_SECOND,
                precision: 2,
                median: outcome.median(|run| run.first_second),
                worst_run: outcome.largest(|run| run.first_second),
            });
        }
        if let Some(bound) = worst_ping(rate) {
            self.add(Verdict {
                rate,
                promise: if bound == Bound::AtMost(60.0) {
                    "worst ping at most 60 ms"
                } else {
                    "worst ping at most 100 ms"
                },
                bound,
                precision: 0,
                median: outcome.median(|run| run.ping_worst),
                worst_run: outcome.largest(|run| run.ping_worst),
            });
        }
    }

    /// Judges whether full-size packets pass, by how many of them were answered.
    pub fn judge_full_packets(&mut self, rate: Rate, answered: usize) {
        let answered = f64::from(u32::try_from(answered).unwrap_or(u32::MAX));
        self.add(Verdict {
            rate,
            promise: "a full-size packet passes",
            bound: Bound::AtLeast(1.0),
            precision: 0,
            median: answered,
            worst_run: answered,
        });
    }

    fn add(&mut self, verdict: Verdict) {
        let known =
            self.0.iter_mut().find(|known| known.rate == verdict.rate && known.promise == verdict.promise);
        match known {
            Some(known) => {
                known.median = known.bound.worse(known.median, verdict.median);
                known.worst_run = known.bound.worse(known.worst_run, verdict.worst_run);
            }
            None => self.0.push(verdict),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_promise_is_judged_by_its_worst_case() {
        let mut verdicts = Verdicts::default();
        for (median, worst_run) in [(1.0, 0.99), (0.98, 1.02), (1.01, 1.04)] {
            verdicts.add(Verdict {
                rate: Rate(10_000_000),
                promise: "goodput within 3 %",
                bound: GOODPUT,
                precision: 3,
                median,
                worst_run,
            });
        }
        assert_eq!(verdicts.0.len(), 1);
        let verdict = &verdicts.0[0];
        assert_eq!((verdict.median, verdict.worst_run), (0.98, 1.04));
        assert!(verdict.is_met() && !verdict.is_met_by_all());
    }

    #[test]
    fn a_bar_without_a_measurement_is_not_met() {
        let mut verdicts = Verdicts::default();
        verdicts.judge(&Case::new(Rate(10_000_000), crate::case::Direction::In), &Outcome::default());
        assert_eq!(verdicts.0.len(), 3);
        assert!(verdicts.0.iter().all(|verdict| !verdict.is_met()));
    }
}
