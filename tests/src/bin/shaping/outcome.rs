//! The results of one case.

/// One run.
#[derive(Debug, Clone, Copy)]
pub struct Run {
    /// The received rate over all seconds, as a part of the limit.
    pub all: f64,
    /// The same in the first second.
    pub first_second: f64,
    /// The received rate over all seconds, in Mbit/s.
    pub megabits: f64,
    /// Milliseconds.
    pub ping_mean: f64,
    pub ping_worst: f64,
    pub ping_lost: u32,
    /// Bytes.
    pub burst: u64,
    pub queue_milliseconds: f64,
    /// Packets.
    pub dropped: f64,
    /// From 0 to 1.
    pub busy: f64,
    /// Milliseconds that the machine was away at worst.
    pub late: f64,
    pub load_average: f64,
}

/// All runs of a case; nothing is left out of them.
#[derive(Debug, Default)]
pub struct Outcome {
    pub runs: Vec<Run>,
    /// Of those that failed.
    pub complaints: Vec<String>,
}

impl Outcome {
    /// The median; NaN without a run.
    pub fn median(&self, of: impl Fn(&Run) -> f64) -> f64 {
        let mut values: Vec<f64> = self.runs.iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        match values.len() {
            0 => f64::NAN,
            count if count % 2 == 1 => values[count / 2],
            count => f64::midpoint(values[count / 2 - 1], values[count / 2]),
        }
    }

    /// The largest; NaN without a run.
    pub fn largest(&self, of: impl Fn(&Run) -> f64) -> f64 {
        self.runs.iter().map(of).fold(f64::NAN, f64::max)
    }

    /// The one that is farthest from 1; NaN without a run.
    pub fn farthest(&self, of: impl Fn(&Run) -> f64) -> f64 {
        let distance = |value: &f64| (value - 1.0).abs();
        self.runs
            .iter()
            .map(of)
            .max_by(|left, right| distance(left).total_cmp(&distance(right)))
            .unwrap_or(f64::NAN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(values: &[f64]) -> Outcome {
        let run = |value: &f64| Run {
            all: *value,
            first_second: 0.0,
            megabits: 0.0,
            ping_mean: 0.0,
            ping_worst: 0.0,
            ping_lost: 0,
            burst: 0,
            queue_milliseconds: 0.0,
            dropped: 0.0,
            busy: 0.0,
            late: 0.0,
            load_average: 0.0,
        };
        Outcome { runs: values.iter().map(run).collect(), complaints: Vec::new() }
    }

    #[test]
    fn the_worst_part_is_the_one_farthest_from_one() {
        let outcome = outcome(&[0.99, 1.02, 0.95]);
        assert_eq!(outcome.median(|run| run.all), 0.99);
        assert_eq!(outcome.farthest(|run| run.all), 0.95);
        assert_eq!(outcome.largest(|run| run.all), 1.02);
    }

    #[test]
    fn without_a_run_there_is_no_number() {
        assert!(outcome(&[]).median(|run| run.all).is_nan());
        assert!(outcome(&[]).farthest(|run| run.all).is_nan());
    }
}
