//! What is promised, and whether the numbers hold it.

use crate::case::{Case, Rate};
use crate::outcome::Outcome;

/// The rates of which an exact goodput is promised.
const EXACT: [u64; 5] = [1_000_000, 10_000_000, 100_000_000, 1_000_000_000, 5_000_000_000];
const DEVIATION: f64 = 0.03;
const FIRST_SECOND: f64 = 1.15;

/// Whether something is promised about the goodput at this rate.
pub fn is_exact(rate: Rate) -> bool {
    EXACT.contains(&rate.0)
}

/// The longest ping beside one cubic flow, in milliseconds.
fn worst_ping(rate: Rate) -> Option<f64> {
    match rate.0 {
        100_000_000.. => Some(60.0),
        10_000_000.. => Some(100.0),
        _ => None,
    }
}

/// One promise beside what was measured.
pub struct Verdict {
    pub what: String,
    pub median: String,
    pub worst: String,
    /// By the median of the runs.
    pub met: bool,
    /// By every run.
    pub met_always: bool,
}

/// Compares a case of one cubic flow.
pub fn verdicts(case: &Case, outcome: &Outcome) -> Vec<Verdict> {
    let name = format!("{}, {}, {}", case.rate, case.direction, case.runtime);
    let close = |part: f64| (part - 1.0).abs() <= DEVIATION;
    let mut verdicts = Vec::new();
    if is_exact(case.rate) {
        let (median, worst) = (outcome.median(|run| run.all), outcome.farthest(|run| run.all));
        verdicts.push(Verdict {
            what: format!("{name}: goodput within 3 %"),
            median: format!("{median:.3}"),
            worst: format!("{worst:.3}"),
            met: close(median),
            met_always: close(worst),
        });
        let (median, worst) =
            (outcome.median(|run| run.first_second), outcome.largest(|run| run.first_second));
        verdicts.push(Verdict {
            what: format!("{name}: first second at most {FIRST_SECOND}"),
            median: format!("{median:.2}"),
            worst: format!("{worst:.2}"),
            met: median <= FIRST_SECOND,
            met_always: worst <= FIRST_SECOND,
        });
    }
    if let Some(most) = worst_ping(case.rate) {
        let (median, worst) = (outcome.median(|run| run.ping_worst), outcome.largest(|run| run.ping_worst));
        verdicts.push(Verdict {
            what: format!("{name}: worst ping at most {most} ms"),
            median: format!("{median:.0} ms"),
            worst: format!("{worst:.0} ms"),
            met: median <= most,
            met_always: worst <= most,
        });
    }
    verdicts
}
