//! One run: attach, load, ping, look.

use std::thread;
use std::time::Duration;

use crate::attached::Attached;
use crate::case::Case;
use crate::machine::{Ticks, Watch, load_average};
use crate::outcome::{Outcome, Run};
use crate::{load, ping};

/// Runs a case so many times, each on a node of its own, and says on standard error how it goes.
pub fn measure(case: &Case, seconds: u32, runs: u32) -> Outcome {
    let mut outcome = Outcome::default();
    for _ in 0..runs {
        // A thread is the node: it ends with it.
        let run = thread::scope(|scope| scope.spawn(|| once(case, seconds)).join());
        match run {
            Ok(Ok(run)) => {
                eprintln!(
                    "{} {} {} {} {:?} {:?}: {:.3}, first second {:.2}, ping {:.1} / {:.1} ms",
                    case.rate,
                    case.direction,
                    case.runtime,
                    case.load,
                    case.peer,
                    case.plugin,
                    run.all,
                    run.first_second,
                    run.ping_mean,
                    run.ping_worst
                );
                outcome.runs.push(run);
            }
            Ok(Err(complaint)) => outcome.complaints.push(complaint),
            Err(_) => outcome.complaints.push("it could not be set up".to_owned()),
        }
    }
    outcome
}

fn once(case: &Case, seconds: u32) -> Result<Run, String> {
    let attached = Attached::new(case);
    let load_average = load_average();
    let watch = Watch::start();
    let before = Ticks::now();
    let load = load::start(&attached, case, seconds);
    let ping = ping::start(&attached, case.rate, seconds);
    let trips = ping::finish(ping, seconds);
    let busy = Ticks::now().busy_since(&before);
    let received = load.received()?;
    let late = watch.late();
    // The kernel sums up a qdisc's statistics at once; those of the load's last packets are in.
    thread::sleep(Duration::from_millis(10));
    let statistics = attached.statistics(case.direction);
    #[expect(clippy::cast_precision_loss, reason = "rates are below 2^52")]
    let ideal = case.rate.0 as f64 * case.load.payload();
    Ok(Run {
        all: received.mean / ideal,
        first_second: received.first_second / ideal,
        megabits: received.mean / 1e6,
        // Without any answer there is no time; it is the worst there is.
        ping_mean: trips.map_or(f64::INFINITY, |trips| trips.mean),
        ping_worst: trips.map_or(f64::INFINITY, |trips| trips.worst),
        ping_lost: trips.map_or(0, |trips| trips.lost),
        burst: statistics.burst,
        queue_milliseconds: statistics.queue_milliseconds,
        dropped: statistics.dropped,
        busy,
        late,
        load_average,
    })
}
